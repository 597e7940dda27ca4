// The mean of each picture's tokens.

struct Size {
  batch: u32,
  tokens: u32,
  width4: u32,
}

@group(0) @binding(0) var<uniform> size: Size;
@group(0) @binding(1) var<storage, read> input: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4f>;

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
  output[id.x] = sum / f32(size.tokens);
}
