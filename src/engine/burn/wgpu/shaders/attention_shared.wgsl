// Self-attention of one query and head a workgroup, its scores in workgroup memory: for hardware.

struct Size {
  batch: u32,
  // Queries of each picture that are answered, from the first.
  queries: u32,
  heads: u32,
  tokens: u32,
}

var<workgroup> scores: array<f32, MOST_TOKENS>;
var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let query = group.x;
  let head = group.y;
  let picture = group.z;
  let width4 = size.heads * HEAD4;
  let stride = 3u * width4;
  let first = picture * size.tokens * stride + head * HEAD4;
  let asked = first + query * stride;
  var most = -3.4e38;
  for (var key = lane; key < size.tokens; key += 64u) {
    let at = first + width4 + key * stride;
    var sum = vec4f();
    for (var place = 0u; place < HEAD4; place++) {
      sum += joint[asked + place] * joint[at + place];
    }
    let score = dot(sum, vec4f(1.0)) * SCALE;
    scores[key] = score;
    most = max(most, score);
  }
  sums[lane] = most;
  workgroupBarrier();
  for (var reach = 32u; reach > 0u; reach /= 2u) {
    if (lane < reach) {
      sums[lane] = max(sums[lane], sums[lane + reach]);
    }
    workgroupBarrier();
  }
  most = sums[0];
  workgroupBarrier();
  var sum = 0.0;
  for (var key = lane; key < size.tokens; key += 64u) {
    let share = exp(scores[key] - most);
    scores[key] = share;
    sum += share;
  }
  sums[lane] = sum;
  workgroupBarrier();
  for (var reach = 32u; reach > 0u; reach /= 2u) {
    if (lane < reach) {
      sums[lane] += sums[lane + reach];
    }
    workgroupBarrier();
  }
  sum = sums[0];
  // Four values of the head each.
  let to = (picture * size.queries + query) * width4 + head * HEAD4;
  for (var place = lane; place < HEAD4; place += 64u) {
    var mixed = vec4f();
    var at = first + 2u * width4 + place;
    for (var key = 0u; key < size.tokens; key++) {
      mixed += scores[key] * joint[at];
      at += stride;
    }
    output[to + place] = mixed / sum;
  }
}
