// A transformer's input: class token and tokens, each with its position's embedding, and a layer norm of the rows:
// LANES invocations a row.

struct Size {
  rows: u32,
  // Of a picture, the class token included.
  tokens: u32,
  width4: u32,
  // From a token's place to its position, but for the class token.
  shift: u32,
}

fn embedded(row: u32, column: u32) -> vec4f {
  let token = row % size.tokens;
  if (token < CLASS_TOKENS) {
    return class_value(column) + positions[column];
  }
  let source = row / size.tokens * (size.tokens - CLASS_TOKENS) + token - CLASS_TOKENS;
  return tokens[source * size.width4 + column] + positions[(token + size.shift) * size.width4 + column];
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = id.y * groups.x * 64u + id.x;
  // Every invocation reaches the barriers: rows past the end repeat the last one.
  let row = min(index / LANES, size.rows - 1u);
  let lane = index % LANES;
  let width = f32(size.width4 * 4u);
  var mean = 0.0;
  var scale = 1.0;
  if (NORMS) {
    var sum = vec4f();
    for (var k = lane; k < size.width4; k += LANES) {
      sum += embedded(row, k);
    }
    mean = total(lane, dot(sum, vec4f(1.0))) / width;
    var squares = vec4f();
    for (var k = lane; k < size.width4; k += LANES) {
      let centred = embedded(row, k) - mean;
      squares += centred * centred;
    }
    scale = inverseSqrt(total(lane, dot(squares, vec4f(1.0))) / width + EPSILON);
  }
  let is_row = index / LANES < size.rows;
  var sum = vec4f();
  var squares = vec4f();
  for (var k = lane; k < size.width4; k += LANES) {
    let value = normed((embedded(row, k) - mean) * scale, k);
    sum += value;
    squares += value * value;
    if (is_row) {
      output[row * size.width4 + k] = value;
    }
  }
  let noted = vec2f(total(lane, dot(sum, vec4f(1.0))), total(lane, dot(squares, vec4f(1.0))));
  if (is_row && lane == 0u) {
    notes[row] = noted;
  }
}
