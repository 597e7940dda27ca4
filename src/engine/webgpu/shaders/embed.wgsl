// The transformer's input: class token and patches, each with its position's embedding.

struct Size {
  rows: u32,
  tokens: u32,
  // 1 with a class token, 0 without.
  class_tokens: u32,
  width4: u32,
}

@group(0) @binding(0) var<uniform> size: Size;
@group(0) @binding(1) var<storage, read> patches: array<vec4f>;
@group(0) @binding(2) var<storage, read> class_embedding: array<vec4f>;
@group(0) @binding(3) var<storage, read> positions: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> output: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = id.y * groups.x * 64u + id.x;
  let row = index / size.width4;
  if (row >= size.rows) {
    return;
  }
  let column = index % size.width4;
  let token = row % size.tokens;
  var value = positions[token * size.width4 + column];
  if (token < size.class_tokens) {
    value += class_embedding[column];
  } else {
    let patch_row = row / size.tokens * (size.tokens - size.class_tokens) + token - size.class_tokens;
    value += patches[patch_row * size.width4 + column];
  }
  output[index] = value;
}
