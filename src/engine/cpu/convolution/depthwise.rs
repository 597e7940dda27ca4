//! One row of a 3 x 3 depthwise convolution: a channel's nine weights stay in registers while the row's pixels pass.

use super::super::simd::{Kernel, MOST_LANES, Vector, dispatch};

/// The three rows of a map that an output row is made of, channels last.
#[derive(Debug, Clone, Copy)]
pub struct Lines<'a> {
    /// From the first output pixel's upper left neighbour on.
    pub values: &'a [f32],
    /// From one row to the next.
    pub pitch: usize,
    /// Pixels from one output's neighbour to the next one's.
    pub stride: usize,
}

/// `output[pixel] = bias + sum of weights * neighbours`.
///
/// # Shapes
/// - weights: `[9, channels]`, taps in rows; bias: `[channels]`, channels a multiple of eight
/// - output: `[pixels, channels]`
pub fn depthwise(weights: &[f32], bias: &[f32], lines: Lines, output: &mut [f32]) {
    let channels = bias.len();
    let pixels = output.len() / channels;
    assert!(channels.is_multiple_of(MOST_LANES) && weights.len() == 9 * channels && pixels > 0);
    assert!(lines.values.len() >= 2 * lines.pitch + ((pixels - 1) * lines.stride + 3) * channels);
    dispatch(Row { weights, bias, lines, output });
}

struct Row<'a> {
    weights: &'a [f32],
    bias: &'a [f32],
    lines: Lines<'a>,
    output: &'a mut [f32],
}

impl Kernel for Row<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { weights, bias, lines: Lines { values, pitch, stride }, output } = self;
        let channels = bias.len();
        let pixels = output.len() / channels;
        for channel in (0..channels).step_by(V::LANES) {
            // SAFETY: the caller checked that every neighbour and every output is there.
            unsafe {
                let bias = V::load(bias.as_ptr().add(channel));
                let mut taps = [bias; 9];
                for (index, tap) in taps.iter_mut().enumerate() {
                    *tap = V::load(weights.as_ptr().add(index * channels + channel));
                }
                let mut from = values.as_ptr().add(channel);
                let mut to = output.as_mut_ptr().add(channel);
                for _ in 0..pixels {
                    let mut sum = bias;
                    for (index, tap) in taps.into_iter().enumerate() {
                        let value = V::load(from.add(index / 3 * pitch + index % 3 * channels));
                        sum = value.mul_add(tap, sum);
                    }
                    sum.store(to);
                    from = from.wrapping_add(stride * channels);
                    to = to.wrapping_add(channels);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_equals_the_plain_sum_at_either_stride() {
        let channels = 16;
        for (pixels, stride) in [(1, 1), (5, 1), (4, 2)] {
            let pitch = ((pixels - 1) * stride + 3) * channels;
            let drawn = |count: usize, seed: usize| -> Vec<f32> {
                (0..count).map(|index| ((index * 37 + seed) % 23) as f32 / 8.0 - 1.0).collect()
            };
            let (values, weights, bias) = (drawn(3 * pitch, 1), drawn(9 * channels, 2), drawn(channels, 3));
            let mut output = vec![0.0; pixels * channels];
            depthwise(&weights, &bias, Lines { values: &values, pitch, stride }, &mut output);
            for (index, found) in output.iter().enumerate() {
                let (pixel, channel) = (index / channels, index % channels);
                let tap = |tap: usize| {
                    let place = tap / 3 * pitch + (pixel * stride + tap % 3) * channels + channel;
                    values[place] * weights[tap * channels + channel]
                };
                let wanted = bias[channel] + (0..9).map(tap).sum::<f32>();
                assert!((found - wanted).abs() < 1e-4, "{pixels} {stride}: {found} {wanted}");
            }
        }
    }
}
