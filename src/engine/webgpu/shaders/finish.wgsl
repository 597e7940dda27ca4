// What both products do with their sums: scale of 8-bit weights, bias, then activation or residual, and the store.

fn finish(row: u32, column4: u32, sum: vec4f) {
  if (row >= size.rows || column4 >= size.outputs4) {
    return;
  }
  // Biases, then scales.
  let value = sum * scales[arrayLength(&scales) / 2u + column4] + scales[column4];
  let at = row * size.output_stride4 + column4;
  switch size.epilogue {
    case 1u: { output[at] = activate(value); }
    case 2u: { output[at] += value; }
    default: { output[at] = value; }
  }
}
