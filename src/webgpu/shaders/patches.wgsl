// Patches of a map as rows, channels last, so that the patch embedding is one product.

struct Size {
  batch: u32,
  grid: u32,
  patch_side: u32,
  channels: u32,
  pixel_stride: u32,
  channel_stride: u32,
}

@group(0) @binding(0) var<uniform> size: Size;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = id.y * groups.x * 64u + id.x;
  let values = size.patch_side * size.patch_side * size.channels;
  let row = index / values;
  if (row >= size.batch * size.grid * size.grid) {
    return;
  }
  let channel = index % size.channels;
  let place = index % values / size.channels;
  let side = size.grid * size.patch_side;
  let position = row % (size.grid * size.grid);
  let y = position / size.grid * size.patch_side + place / size.patch_side;
  let x = position % size.grid * size.patch_side + place % size.patch_side;
  let picture = row / (size.grid * size.grid) * side * side * size.channels;
  output[index] = input[picture + (y * side + x) * size.pixel_stride + channel * size.channel_stride];
}
