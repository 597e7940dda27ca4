// The sizes of both products.

struct Size {
  rows: u32,
  inputs4: u32,
  outputs4: u32,
  // 0: none; 1: ReLU; 2: quick GELU; 3: GELU by tanh; 4: GELU.
  activation: u32,
  // Vectors of four from one row of the residual to the next.
  residual_stride4: u32,
  // Sums of a row.
  parts: u32,
  // 1: each row has sums of its own; 0: all rows take the first's.
  sums_stride: u32,
  padding: u32,
}

