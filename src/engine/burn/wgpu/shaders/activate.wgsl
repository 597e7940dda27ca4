// The activations.

fn activate(x: vec4f) -> vec4f {
  switch size.activation {
    case 1u: { return max(x, vec4f()); }
    case 2u: { return x / (1.0 + exp(-1.702 * x)); }
    case 3u: { return x / (1.0 + exp(-1.5957692 * (x + 0.044715 * x * x * x))); }
    case 4u: {
      // Abramowitz and Stegun 7.1.26: error at most 1.5e-7.
      let magnitude = abs(x) * 0.70710678;
      let t = 1.0 / (1.0 + 0.3275911 * magnitude);
      let sum = ((((1.0614054 * t - 1.4531521) * t + 1.4214138) * t - 0.28449672) * t + 0.2548296) * t;
      return 0.5 * x * (1.0 + sign(x) * (1.0 - sum * exp(-magnitude * magnitude)));
    }
    default: {}
  }
  return x;
}
