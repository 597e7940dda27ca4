// Rows times a packed matrix in tiles of 32 rows and 32 outputs, read once into workgroup memory: for hardware.

// Sixteen inputs at a time: 32 rows of four vectors, and four panels of sixteen times two.
var<workgroup> rows: array<vec4f, 128>;
var<workgroup> columns: array<vec4f, 128>;
// Mean and deviation of the rows, where they are normed.
var<workgroup> norms: array<vec2f, 32>;

@compute @workgroup_size(8, 8)
fn main(
  @builtin(workgroup_id) tile: vec3u,
  @builtin(local_invocation_id) id: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let panels = (size.outputs4 + 1u) / 2u;
  let first_row = tile.y * 32u;
  let first_panel = tile.x * 4u;
  if (index < 32u) {
    norms[index] = statistics(min(first_row + index, size.rows - 1u));
  }
  var sum: array<vec4f, 4>;
  for (var k = 0u; k < size.inputs4; k += 4u) {
    for (var part = 0u; part < 2u; part++) {
      let place = index + part * 64u;
      let row = min(first_row + place / 4u, size.rows - 1u);
      let input4 = k + place % 4u;
      rows[place] = select(vec4f(), scaled(input[row * size.inputs4 + min(input4, size.inputs4 - 1u)], min(input4, size.inputs4 - 1u)), input4 < size.inputs4);
      let panel = min(first_panel + place / 32u, panels - 1u);
      let line = min(k * 8u + place % 32u, size.inputs4 * 8u - 1u);
      columns[place] = unpacked(panel * size.inputs4 * 8u + line);
    }
    workgroupBarrier();
    for (var step = 0u; step < 4u; step++) {
      let at = id.x / 2u * 32u + step * 8u + id.x % 2u;
      let w0 = columns[at];
      let w1 = columns[at + 2u];
      let w2 = columns[at + 4u];
      let w3 = columns[at + 6u];
      for (var line = 0u; line < 4u; line++) {
        let x = rows[(id.y * 4u + line) * 4u + step];
        sum[line] += x.x * w0 + x.y * w1 + x.z * w2 + x.w * w3;
      }
    }
    workgroupBarrier();
  }
  let column4 = first_panel * 2u + id.x;
  for (var line = 0u; line < 4u; line++) {
    let place = id.y * 4u + line;
    let row = first_row + place;
    var value = vec4f();
    if (row < size.rows && column4 < size.outputs4) {
      value = finish(row, column4, sum[line], norms[place]);
      output[row * size.outputs4 + column4] = value;
    }
    note(tile.xy, id.xy, line, value);
  }
  store_notes(tile.xy, index);
}
