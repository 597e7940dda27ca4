// Self-attention of one query and head an invocation, without workgroup memory: for software adapters.

struct Size {
  batch: u32,
  // Queries of each picture that are answered, from the first.
  queries: u32,
  heads: u32,
  tokens: u32,
}

var<private> scores: array<f32, MOST_TOKENS>;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let query = id.x % size.queries;
  let head = id.x / size.queries % size.heads;
  let picture = id.x / size.queries / size.heads;
  if (picture >= size.batch) {
    return;
  }
  let width4 = size.heads * HEAD4;
  let stride = 3u * width4;
  let first = picture * size.tokens * stride + head * HEAD4;
  let asked = first + query * stride;
  var most = -3.4e38;
  // Four keys at a time, so that a query's value is read once for them.
  for (var key = 0u; key < size.tokens; key += 4u) {
    let k0 = first + width4 + key * stride;
    let k1 = first + width4 + min(key + 1u, size.tokens - 1u) * stride;
    let k2 = first + width4 + min(key + 2u, size.tokens - 1u) * stride;
    let k3 = first + width4 + min(key + 3u, size.tokens - 1u) * stride;
    var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
    for (var place = 0u; place < HEAD4; place++) {
      let q = joint[asked + place];
      s0 += q * joint[k0 + place];
      s1 += q * joint[k1 + place];
      s2 += q * joint[k2 + place];
      s3 += q * joint[k3 + place];
    }
    let one = vec4f(1.0);
    let found = vec4f(dot(s0, one), dot(s1, one), dot(s2, one), dot(s3, one)) * SCALE;
    for (var place = 0u; place < min(size.tokens - key, 4u); place++) {
      scores[key + place] = found[place];
      most = max(most, found[place]);
    }
  }
  var sum = 0.0;
  for (var key = 0u; key < size.tokens; key++) {
    let share = exp(scores[key] - most);
    scores[key] = share;
    sum += share;
  }
  let to = (picture * size.queries + query) * width4 + head * HEAD4;
  for (var place = 0u; place < HEAD4; place += 4u) {
    var m0 = vec4f(); var m1 = vec4f(); var m2 = vec4f(); var m3 = vec4f();
    var at = first + 2u * width4 + place;
    for (var key = 0u; key < size.tokens; key++) {
      let share = scores[key];
      m0 += share * joint[at];
      // A head that is no multiple of sixteen wide reads into the next one, and does not store it.
      m1 += share * joint[at + 1u];
      m2 += share * joint[at + 2u];
      m3 += share * joint[at + 3u];
      at += stride;
    }
    output[to + place] = m0 / sum;
    if (place + 1u < HEAD4) { output[to + place + 1u] = m1 / sum; }
    if (place + 2u < HEAD4) { output[to + place + 2u] = m2 / sum; }
    if (place + 3u < HEAD4) { output[to + place + 3u] = m3 / sum; }
  }
}
