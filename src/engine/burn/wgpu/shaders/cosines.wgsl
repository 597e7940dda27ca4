// The cosine of the frames' mean with every row, one an invocation.

struct Size {
  rows: u32,
  width4: u32,
  // Frames that are pooled: one a tensor, or below one another in a single one.
  frames: u32,
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = id.y * groups.x * 64u + id.x;
  if (index >= size.rows) {
    return;
  }
  let row = index * size.width4;
  var product = vec4f();
  var squares = vec4f();
  for (var k = 0u; k < size.width4; k++) {
    var sum = vec4f();
    for (var frame = 0u; frame < size.frames; frame++) {
      sum += row_value(frame % TENSORS, frame / TENSORS * size.width4 + k);
    }
    let mean = sum / f32(size.frames);
    product += mean * rows[row + k];
    squares += mean * mean;
  }
  let one = vec4f(1.0);
  output[index] = dot(product, one) / max(sqrt(dot(squares, one)), 1e-12);
}

