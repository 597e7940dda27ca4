// A 3x3 convolution padded by one, with its bias and the activation: four pixels and eight channels an invocation.

struct Size {
  batch: u32,
  side: u32,
  output_side: u32,
  stride: u32,
  channels: u32,
  output_channels4: u32,
  // From one pixel and from one channel of the input to the next.
  pixel_stride: u32,
  channel_stride: u32,
}

@group(0) @binding(0) var<uniform> size: Size;
@group(0) @binding(1) var<storage, read> input: array<vec4f>;
@group(0) @binding(2) var<storage, read> weights: array<Packed>;
@group(0) @binding(3) var<storage, read> scales: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> output: array<vec4f>;

// Where a tap of an output pixel reads, in values; the second part is false outside the picture.
fn tap_of(pixel: u32, tap: u32) -> vec2u {
  let area = size.output_side * size.output_side;
  let place = pixel % area;
  // One more than the true place: the border is one pixel wide.
  let y = place / size.output_side * size.stride + tap / 3u;
  let x = place % size.output_side * size.stride + tap % 3u;
  let inside = y >= 1u && y <= size.side && x >= 1u && x <= size.side;
  let picture = pixel / area * size.side * size.side * size.channels;
  let read = ((max(y, 1u) - 1u) * size.side + max(x, 1u) - 1u) * size.pixel_stride;
  return vec2u(select(0u, picture + read, inside), u32(inside));
}

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let panels = (size.output_channels4 + 1u) / 2u;
  let panel = id.x % panels;
  let pixel = id.x / panels * 4u;
  let pixels = size.batch * size.output_side * size.output_side;
  if (pixel >= pixels) {
    return;
  }
  var left: array<vec4f, 4>;
  var right: array<vec4f, 4>;
  var at = panel * size.channels * 9u * 2u;
  for (var tap = 0u; tap < 9u; tap++) {
    let t0 = tap_of(pixel, tap);
    let t1 = tap_of(min(pixel + 1u, pixels - 1u), tap);
    let t2 = tap_of(min(pixel + 2u, pixels - 1u), tap);
    let t3 = tap_of(min(pixel + 3u, pixels - 1u), tap);
    let inside = vec4f(f32(t0.y), f32(t1.y), f32(t2.y), f32(t3.y));
    if (size.channel_stride == 1u && size.channels % 4u == 0u) {
      for (var channel4 = 0u; channel4 < size.channels / 4u; channel4++) {
        let x0 = input[t0.x / 4u + channel4] * inside.x;
        let x1 = input[t1.x / 4u + channel4] * inside.y;
        let x2 = input[t2.x / 4u + channel4] * inside.z;
        let x3 = input[t3.x / 4u + channel4] * inside.w;
        let l0 = unpacked(weights[at]); let r0 = unpacked(weights[at + 1u]);
        let l1 = unpacked(weights[at + 2u]); let r1 = unpacked(weights[at + 3u]);
        let l2 = unpacked(weights[at + 4u]); let r2 = unpacked(weights[at + 5u]);
        let l3 = unpacked(weights[at + 6u]); let r3 = unpacked(weights[at + 7u]);
        left[0] += x0.x * l0 + x0.y * l1 + x0.z * l2 + x0.w * l3;
        left[1] += x1.x * l0 + x1.y * l1 + x1.z * l2 + x1.w * l3;
        left[2] += x2.x * l0 + x2.y * l1 + x2.z * l2 + x2.w * l3;
        left[3] += x3.x * l0 + x3.y * l1 + x3.z * l2 + x3.w * l3;
        right[0] += x0.x * r0 + x0.y * r1 + x0.z * r2 + x0.w * r3;
        right[1] += x1.x * r0 + x1.y * r1 + x1.z * r2 + x1.w * r3;
        right[2] += x2.x * r0 + x2.y * r1 + x2.z * r2 + x2.w * r3;
        right[3] += x3.x * r0 + x3.y * r1 + x3.z * r2 + x3.w * r3;
        at += 8u;
      }
    } else {
      for (var channel = 0u; channel < size.channels; channel++) {
        let step = channel * size.channel_stride;
        let x = inside * vec4f(value(t0.x + step), value(t1.x + step), value(t2.x + step), value(t3.x + step));
        let l = unpacked(weights[at]);
        let r = unpacked(weights[at + 1u]);
        left[0] += x.x * l; left[1] += x.y * l; left[2] += x.z * l; left[3] += x.w * l;
        right[0] += x.x * r; right[1] += x.y * r; right[2] += x.z * r; right[3] += x.w * r;
        at += 2u;
      }
    }
  }
  for (var place = 0u; place < 4u; place++) {
    if (pixel + place < pixels) {
      store(pixel + place, panel * 2u, left[place]);
      store(pixel + place, panel * 2u + 1u, right[place]);
    }
  }
}

fn value(at: u32) -> f32 {
  return input[at / 4u][at % 4u];
}

fn store(pixel: u32, channel4: u32, sum: vec4f) {
  if (channel4 < size.output_channels4) {
    let value = sum * scales[arrayLength(&scales) / 2u + channel4] + scales[channel4];
    output[pixel * size.output_channels4 + channel4] = activate(value);
  }
}
