// Notes for the norm that follows: the sum, and the sum of squares, of a row's eight new values.

fn note(row: u32, panel: u32, left: vec4f, right: vec4f) {
  let one = vec4f(1.0);
  sums[row * size.parts + panel] = vec2f(dot(left, one) + dot(right, one), dot(left, left) + dot(right, right));
}
