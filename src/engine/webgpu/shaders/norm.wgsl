// Layer norm of rows: LANES invocations a row.

struct Size {
  rows: u32,
  width4: u32,
  input_stride4: u32,
  output_stride4: u32,
}

@group(0) @binding(0) var<uniform> size: Size;
@group(0) @binding(1) var<storage, read> input: array<vec4f>;
// Scales, then shifts.
@group(0) @binding(2) var<storage, read> weights: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = id.y * groups.x * 64u + id.x;
  // Every invocation reaches the barriers: rows past the end repeat the last one.
  let row = min(index / LANES, size.rows - 1u);
  let lane = index % LANES;
  let start = row * size.input_stride4;
  var sum = vec4f();
  for (var k = lane; k < size.width4; k += LANES) {
    sum += input[start + k];
  }
  let width = f32(size.width4 * 4u);
  let mean = total(lane, dot(sum, vec4f(1.0))) / width;
  var squares = vec4f();
  for (var k = lane; k < size.width4; k += LANES) {
    let centred = input[start + k] - mean;
    squares += centred * centred;
  }
  let scale = inverseSqrt(total(lane, dot(squares, vec4f(1.0))) / width + EPSILON);
  if (index / LANES >= size.rows) {
    return;
  }
  for (var k = lane; k < size.width4; k += LANES) {
    let normed = (input[start + k] - mean) * scale;
    output[row * size.output_stride4 + k] = normed * weights[k] + weights[size.width4 + k];
  }
}
