// Rows times a packed matrix, eight rows and eight outputs an invocation, all in registers: for software adapters,
// which lose more by barriers and workgroup memory than by reading twice.

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let panels = (size.outputs4 + 1u) / 2u;
  let panel = id.x % panels;
  let row = id.x / panels * 8u;
  if (row >= size.rows) {
    return;
  }
  // A short last tile repeats its last row and throws the copies away.
  let last = size.rows - 1u;
  let a0 = row * size.inputs4;
  let a1 = min(row + 1u, last) * size.inputs4;
  let a2 = min(row + 2u, last) * size.inputs4;
  let a3 = min(row + 3u, last) * size.inputs4;
  let a4 = min(row + 4u, last) * size.inputs4;
  let a5 = min(row + 5u, last) * size.inputs4;
  let a6 = min(row + 6u, last) * size.inputs4;
  let a7 = min(row + 7u, last) * size.inputs4;
  var l0 = vec4f(); var l1 = vec4f(); var l2 = vec4f(); var l3 = vec4f();
  var l4 = vec4f(); var l5 = vec4f(); var l6 = vec4f(); var l7 = vec4f();
  var r0 = vec4f(); var r1 = vec4f(); var r2 = vec4f(); var r3 = vec4f();
  var r4 = vec4f(); var r5 = vec4f(); var r6 = vec4f(); var r7 = vec4f();
  var at = panel * size.inputs4 * 8u;
  for (var k = 0u; k < size.inputs4; k++) {
    let x0 = scaled(input[a0 + k], k); let x1 = scaled(input[a1 + k], k); let x2 = scaled(input[a2 + k], k); let x3 = scaled(input[a3 + k], k);
    let x4 = scaled(input[a4 + k], k); let x5 = scaled(input[a5 + k], k); let x6 = scaled(input[a6 + k], k); let x7 = scaled(input[a7 + k], k);
    {
      let l = unpacked(at); let r = unpacked(at + 1u);
      l0 += x0.x * l; l1 += x1.x * l; l2 += x2.x * l; l3 += x3.x * l;
      l4 += x4.x * l; l5 += x5.x * l; l6 += x6.x * l; l7 += x7.x * l;
      r0 += x0.x * r; r1 += x1.x * r; r2 += x2.x * r; r3 += x3.x * r;
      r4 += x4.x * r; r5 += x5.x * r; r6 += x6.x * r; r7 += x7.x * r;
    }
    {
      let l = unpacked(at + 2u); let r = unpacked(at + 3u);
      l0 += x0.y * l; l1 += x1.y * l; l2 += x2.y * l; l3 += x3.y * l;
      l4 += x4.y * l; l5 += x5.y * l; l6 += x6.y * l; l7 += x7.y * l;
      r0 += x0.y * r; r1 += x1.y * r; r2 += x2.y * r; r3 += x3.y * r;
      r4 += x4.y * r; r5 += x5.y * r; r6 += x6.y * r; r7 += x7.y * r;
    }
    {
      let l = unpacked(at + 4u); let r = unpacked(at + 5u);
      l0 += x0.z * l; l1 += x1.z * l; l2 += x2.z * l; l3 += x3.z * l;
      l4 += x4.z * l; l5 += x5.z * l; l6 += x6.z * l; l7 += x7.z * l;
      r0 += x0.z * r; r1 += x1.z * r; r2 += x2.z * r; r3 += x3.z * r;
      r4 += x4.z * r; r5 += x5.z * r; r6 += x6.z * r; r7 += x7.z * r;
    }
    {
      let l = unpacked(at + 6u); let r = unpacked(at + 7u);
      l0 += x0.w * l; l1 += x1.w * l; l2 += x2.w * l; l3 += x3.w * l;
      l4 += x4.w * l; l5 += x5.w * l; l6 += x6.w * l; l7 += x7.w * l;
      r0 += x0.w * r; r1 += x1.w * r; r2 += x2.w * r; r3 += x3.w * r;
      r4 += x4.w * r; r5 += x5.w * r; r6 += x6.w * r; r7 += x7.w * r;
    }
    at += 8u;
  }
  store(row, panel, l0, r0);
  store(row + 1u, panel, l1, r1);
  store(row + 2u, panel, l2, r2);
  store(row + 3u, panel, l3, r3);
  store(row + 4u, panel, l4, r4);
  store(row + 5u, panel, l5, r5);
  store(row + 6u, panel, l6, r6);
  store(row + 7u, panel, l7, r7);
}

fn store(row: u32, panel: u32, left: vec4f, right: vec4f) {
  if (row >= size.rows) {
    return;
  }
  let norm = statistics(row);
  let at = row * size.outputs4 + panel * 2u;
  let first = finish(row, panel * 2u, left, norm);
  var second = vec4f();
  output[at] = first;
  if (panel * 2u + 1u < size.outputs4) {
    second = finish(row, panel * 2u + 1u, right, norm);
    output[at + 1u] = second;
  }
  note(row, panel, first, second);
}
