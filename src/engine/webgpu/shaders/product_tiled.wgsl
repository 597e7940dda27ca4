// Rows times a packed matrix in tiles of 32 rows and 32 outputs, read once into workgroup memory: for hardware.

struct Size {
  rows: u32,
  inputs4: u32,
  outputs4: u32,
  input_stride4: u32,
  output_stride4: u32,
  epilogue: u32,
}

@group(0) @binding(0) var<uniform> size: Size;
@group(0) @binding(1) var<storage, read> input: array<vec4f>;
@group(0) @binding(2) var<storage, read> weights: array<Packed>;
@group(0) @binding(3) var<storage, read> scales: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> output: array<vec4f>;

// Sixteen inputs at a time: 32 rows of four vectors, and four panels of sixteen times two.
var<workgroup> rows: array<vec4f, 128>;
var<workgroup> columns: array<vec4f, 128>;

@compute @workgroup_size(8, 8)
fn main(
  @builtin(workgroup_id) tile: vec3u,
  @builtin(local_invocation_id) id: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let panels = (size.outputs4 + 1u) / 2u;
  let first_row = tile.y * 32u;
  let first_panel = tile.x * 4u;
  var sum: array<vec4f, 4>;
  for (var k = 0u; k < size.inputs4; k += 4u) {
    for (var part = 0u; part < 2u; part++) {
      let place = index + part * 64u;
      let row = min(first_row + place / 4u, size.rows - 1u);
      let input4 = k + place % 4u;
      rows[place] = select(vec4f(), input[row * size.input_stride4 + min(input4, size.inputs4 - 1u)], input4 < size.inputs4);
      let panel = min(first_panel + place / 32u, panels - 1u);
      let line = min(k * 8u + place % 32u, size.inputs4 * 8u - 1u);
      columns[place] = unpacked(weights[panel * size.inputs4 * 8u + line]);
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
    finish(first_row + id.y * 4u + line, column4, sum[line]);
  }
}
