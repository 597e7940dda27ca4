// The cosine of each window's pooled row with every row, one an invocation.

struct Size {
  windows: u32,
  rows: u32,
  width4: u32,
  // Rows of a window, and how many of them, from the first, are pooled.
  time: u32,
  pooled: u32,
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = id.y * groups.x * 64u + id.x;
  let window = index / size.rows;
  if (window >= size.windows) {
    return;
  }
  let row = index % size.rows * size.width4;
  let first = window * size.time * size.width4;
  var product = vec4f();
  var squares = vec4f();
  for (var k = 0u; k < size.width4; k++) {
    var sum = vec4f();
    for (var frame = 0u; frame < size.pooled; frame++) {
      sum += windows[first + frame * size.width4 + k];
    }
    let mean = sum / f32(size.pooled);
    product += mean * rows[row + k];
    squares += mean * mean;
  }
  let one = vec4f(1.0);
  output[index] = dot(product, one) / max(sqrt(dot(squares, one)), 1e-12);
}
