// A product's sums of rows that are normed by it: the mean is taken off and the deviation divided by afterwards.

// A row's mean, and one over its deviation.
fn statistics(row: u32) -> vec2f {
  var total = vec2f();
  let first = row * size.sums_stride * size.parts;
  for (var part = 0u; part < size.parts; part++) {
    total += sums[first + part];
  }
  let mean = total / f32(size.inputs4 * 4u);
  return vec2f(mean.x, inverseSqrt(max(mean.y - mean.x * mean.x, 0.0) + EPSILON));
}

fn finish(row: u32, column4: u32, sum: vec4f, norm: vec2f) -> vec4f {
  // Biases, scales, and what a mean of 1 adds to each output.
  let padded4 = (size.outputs4 + 1u) / 2u * 2u;
  let centred = sum * scales[padded4 + column4] - norm.x * scales[2u * padded4 + column4];
  return activate(centred * norm.y + scales[column4]);
}
