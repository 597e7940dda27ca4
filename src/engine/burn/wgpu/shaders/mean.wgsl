// The mean of each picture's tokens, and notes for the norm that follows.

struct Size {
  batch: u32,
  tokens: u32,
  width4: u32,
  padding: u32,
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let picture = id.x / size.width4;
  if (picture >= size.batch) {
    return;
  }
  let column = id.x % size.width4;
  var sum = vec4f();
  for (var token = 0u; token < size.tokens; token++) {
    sum += input[(picture * size.tokens + token) * size.width4 + column];
  }
  let mean = sum / f32(size.tokens);
  output[id.x] = mean;
  sums[id.x] = vec2f(dot(mean, vec4f(1.0)), dot(mean, mean));
}
