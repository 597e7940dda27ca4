// Squares of a map as rows, channels last, zeros outside the map: with them a convolution and a patch embedding are
// products. Four values an invocation.

struct Size {
  rows: u32,
  // Side of the map, and of the grid of squares.
  side: u32,
  grid: u32,
  square: u32,
  stride: u32,
  padding: u32,
  channels: u32,
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = id.y * groups.x * 64u + id.x;
  let values = size.square * size.square * size.channels;
  let values4 = (values + 3u) / 4u;
  let row = index / values4;
  if (row >= size.rows) {
    return;
  }
  let area = size.side * size.side;
  let position = row % (size.grid * size.grid);
  // More than the true place by the padding, so that it is never negative.
  let top = position / size.grid * size.stride;
  let left = position % size.grid * size.stride;
  let picture = row / (size.grid * size.grid) * area * size.channels;
  var four: vec4f;
  for (var part = 0u; part < 4u; part++) {
    let value = index % values4 * 4u + part;
    let channel = value % size.channels;
    let place = value / size.channels;
    let y = top + place / size.square;
    let x = left + place % size.square;
    let inside = y >= size.padding && x >= size.padding && y < size.side + size.padding && x < size.side + size.padding;
    if (inside && value < values) {
      let pixel = (y - size.padding) * size.side + x - size.padding;
      four[part] = input[picture + pixel * size.channels + channel];
    }
  }
  output[index] = four;
}
