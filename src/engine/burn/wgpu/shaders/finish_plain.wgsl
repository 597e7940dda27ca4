// A product's sums, with the scale of 8-bit weights, the bias and the activation.

fn statistics(row: u32) -> vec2f {
  return vec2f();
}

fn finish(row: u32, column4: u32, sum: vec4f, norm: vec2f) -> vec4f {
  // Biases, then scales.
  return activate(sum * scales[(size.outputs4 + 1u) / 2u * 2u + column4] + scales[column4]);
}
