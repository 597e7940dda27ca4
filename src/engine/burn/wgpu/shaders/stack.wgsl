// Rows of other tensors below one another.

struct Size {
  rows: u32,
  width4: u32,
  // The first row of the output that is written.
  first: u32,
  // The row of each tensor that is taken.
  taken: u32,
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x / size.width4;
  if (row >= size.rows) {
    return;
  }
  let column = id.x % size.width4;
  output[(size.first + row) * size.width4 + column] = row_value(row, size.taken * size.width4 + column);
}

