// Notes for the norm that follows: the sum, and the sum of squares, of a row's new values in a tile.

var<workgroup> notes: array<vec2f, 256>;

fn note(tile: vec2u, id: vec2u, line: u32, value: vec4f) {
  notes[(id.y * 4u + line) * 8u + id.x] = vec2f(dot(value, vec4f(1.0)), dot(value, value));
}

fn store_notes(tile: vec2u, index: u32) {
  workgroupBarrier();
  let row = tile.y * 32u + index;
  if (index < 32u && row < size.rows) {
    var total = vec2f();
    for (var part = 0u; part < 8u; part++) {
      total += notes[index * 8u + part];
    }
    sums[row * size.parts + tile.x] = total;
  }
}
