//! Arithmetic along rows, in vectors: exp, activations, softmax, layer norm, and activations as codes of 7 bits.

use std::ops::Range;

use super::memory::Output;
use super::simd::{Kernel, MOST_LANES, ROUND, Vector, dispatch};
use super::thread_pool::ThreadPool;
use crate::config::Activation;

/// `e^x` within 2 units in the last place for x in -87..88: range reduction by powers of two and a degree-6
/// polynomial (Cephes' `expf` coefficients), without a branch or a call.
#[inline(always)]
fn exp<V: Vector>(x: V) -> V {
    let x = x.max(V::splat(-87.0)).min(V::splat(88.0));
    let rounded = x.mul_add(V::splat(std::f32::consts::LOG2_E), V::splat(ROUND));
    let power = rounded.sub(V::splat(ROUND));
    let rest = power.mul_add(V::splat(-0.693_359_4), x);
    let rest = power.mul_add(V::splat(2.121_944_4e-4), rest);
    let mut sum = V::splat(1.987_569_1e-4);
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        sum = sum.mul_add(rest, V::splat(coefficient));
    }
    let fraction = sum.mul_add(rest.mul(rest), rest).add(V::splat(1.0));
    fraction.mul(rounded.power_of_two())
}

/// Abramowitz and Stegun 7.1.26: error at most 1.5e-7.
#[inline(always)]
fn erf<V: Vector>(x: V) -> V {
    let one = V::splat(1.0);
    let magnitude = x.max(V::splat(0.0).sub(x));
    let t = one.div(magnitude.mul_add(V::splat(0.327_591_1), one));
    let mut sum = V::splat(1.061_405_4);
    for coefficient in [-1.453_152_1, 1.421_413_8, -0.284_496_72, 0.254_829_6] {
        sum = sum.mul_add(t, V::splat(coefficient));
    }
    let rest = sum.mul(t).mul(exp(V::splat(0.0).sub(magnitude.mul(magnitude))));
    one.sub(rest).with_sign_of(x)
}

#[inline(always)]
pub fn activated<V: Vector>(kind: Activation, x: V) -> V {
    let one = V::splat(1.0);
    match kind {
        Activation::Relu => x.max(V::splat(0.0)),
        Activation::QuickGelu => x.div(one.add(exp(x.mul(V::splat(-1.702))))),
        Activation::GeluTanh => {
            // (1 + tanh(z)) / 2 = sigmoid(2 z), with 2 sqrt(2 / pi) = 1.595769.
            let inner = x.mul(x).mul_add(V::splat(0.044_715), one).mul(x);
            x.div(one.add(exp(inner.mul(V::splat(-1.595_769_2)))))
        }
        Activation::Gelu => {
            let half = x.mul(V::splat(0.5));
            erf(x.mul(V::splat(std::f32::consts::FRAC_1_SQRT_2))).mul_add(half, half)
        }
    }
}

/// Applies the activation in place.
///
/// # Safety
/// `count` values must be writable, a multiple of the lanes.
#[inline(always)]
pub unsafe fn activate<V: Vector>(kind: Activation, values: *mut f32, count: usize) {
    for place in (0..count).step_by(V::LANES) {
        unsafe { activated(kind, V::load(values.add(place))).store(values.add(place)) }
    }
}

/// `e^(x - most)` in place; returns the sum.
///
/// # Safety
/// `count` values must be writable, a multiple of the lanes.
#[inline(always)]
pub unsafe fn exponentials<V: Vector>(row: *mut f32, count: usize) -> f32 {
    unsafe {
        let mut most = V::load(row);
        for place in (V::LANES..count).step_by(V::LANES) {
            most = most.max(V::load(row.add(place)));
        }
        let most = V::splat(most.largest());
        let mut sum = V::splat(0.0);
        for place in (0..count).step_by(V::LANES) {
            let value = exp(V::load(row.add(place)).sub(most));
            value.store(row.add(place));
            sum = sum.add(value);
        }
        sum.sum()
    }
}

/// A layer norm of rows.
pub struct LayerNorm<'a> {
    /// `[width]`.
    pub weight: &'a [f32],
    /// `[width]`.
    pub bias: &'a [f32],
    /// Added to every variance.
    pub epsilon: f32,
    /// `[rows, width]`.
    pub input: &'a [f32],
    /// `[rows, width]`, or more.
    pub output: &'a mut [f32],
}

impl LayerNorm<'_> {
    /// Norms every row.
    pub fn run(self, pool: &ThreadPool) {
        let Self { weight, bias, epsilon, input, output } = self;
        assert!(weight.len() == bias.len() && input.len() <= output.len());
        let output = Output { values: output.as_mut_ptr(), stride: weight.len() };
        pool.share(input.len() / weight.len(), |rows| {
            dispatch(NormRows { weight, bias, epsilon, input, output, rows })
        });
    }
}

struct NormRows<'a> {
    weight: &'a [f32],
    bias: &'a [f32],
    epsilon: f32,
    input: &'a [f32],
    output: Output,
    rows: Range<usize>,
}

impl Kernel for NormRows<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { weight, bias, epsilon, input, output, rows } = self;
        let width = weight.len();
        for row in rows {
            let input = &input[row * width..][..width];
            let mean = V::splat(total::<V>(input, |value| value) / width as f32);
            let variance = total::<V>(input, |value| {
                let centred = value.sub(mean);
                centred.mul(centred)
            }) / width as f32;
            let scale = V::splat(1.0 / (variance + epsilon).sqrt());
            let scaled = |value: V, weight: V, bias: V| value.sub(mean).mul(scale).mul_add(weight, bias);
            let whole = width / V::LANES * V::LANES;
            // SAFETY: all four have `width` values, and no vector has more lanes than `last`.
            unsafe {
                let output = output.row(row);
                for place in (0..whole).step_by(V::LANES) {
                    let load = |values: &[f32]| V::load(values.as_ptr().add(place));
                    scaled(load(input), load(weight), load(bias)).store(output.add(place));
                }
                if whole < width {
                    let part = |values: &[f32]| part::<V>(&values[whole..]);
                    let mut last = [0.0; MOST_LANES];
                    scaled(part(input), part(weight), part(bias)).store(last.as_mut_ptr());
                    output.add(whole).copy_from_nonoverlapping(last.as_ptr(), width - whole);
                }
            }
        }
    }
}

/// Sum of `of(value)`.
#[inline(always)]
fn total<V: Vector>(values: &[f32], of: impl Fn(V) -> V) -> f32 {
    let mut sums = [V::splat(0.0); 4];
    let step = 4 * V::LANES;
    let whole = values.len() / step * step;
    for place in (0..whole).step_by(step) {
        for (index, sum) in sums.iter_mut().enumerate() {
            // SAFETY: `place + step` is at most the length.
            *sum = sum.add(of(unsafe { V::load(values.as_ptr().add(place + index * V::LANES)) }));
        }
    }
    let [a, b, c, d] = sums;
    let mut total = a.add(b).add(c.add(d)).sum();
    for &value in &values[whole..] {
        total += of(V::splat(value)).sum() / V::LANES as f32;
    }
    total
}

/// A vector that is not full, filled up with zeros.
#[inline(always)]
fn part<V: Vector>(values: &[f32]) -> V {
    let mut buffer = [0.0; MOST_LANES];
    buffer[..values.len()].copy_from_slice(values);
    // SAFETY: no vector has more lanes.
    unsafe { V::load(buffer.as_ptr()) }
}

/// Steps between a row's least and most value: one less than codes of 7 bits have, since both ends are rounded.
const STEPS: f32 = 126.0;
/// A row of zeros has no range; this is one whose inverse f32 can hold.
const LEAST_RANGE: f32 = 1e-30;

/// Writes a row as codes: `value = scale * (code - zero)`. Returns scale and zero.
///
/// Products and sums here are rounded one by one, so that the same values give the same codes on every host.
///
/// # Safety
/// As many codes as values must be writable; their number is a multiple of the lanes.
#[inline(always)]
pub unsafe fn encode<V: Vector>(values: &[f32], codes: *mut V::Code) -> (f32, f32) {
    unsafe {
        let from = values.as_ptr();
        let (mut least, mut most) = (V::splat(0.0), V::splat(0.0));
        for place in (0..values.len()).step_by(V::LANES) {
            let value = V::load(from.add(place));
            least = least.min(value);
            most = most.max(value);
        }
        let least = -V::splat(0.0).sub(least).largest();
        let range = (most.largest() - least).max(LEAST_RANGE);
        let factor = STEPS / range;
        let zero = (-least * factor + ROUND) - ROUND;
        let (factors, shift) = (V::splat(factor), V::splat(zero + ROUND));
        for place in (0..values.len()).step_by(V::LANES) {
            V::load(from.add(place)).mul(factors).add(shift).store_codes(codes.add(place));
        }
        (range / STEPS, zero)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Each<'a, F>(&'a mut [f32], F);

    /// `f` of every vector, by the vectors of [`dispatch`].
    trait Map {
        fn map<V: Vector>(&self, value: V) -> V;
    }

    impl<F: Map> Kernel for Each<'_, F> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            for place in (0..self.0.len()).step_by(V::LANES) {
                unsafe {
                    let at = self.0.as_mut_ptr().add(place);
                    self.1.map(V::load(at)).store(at);
                }
            }
        }
    }

    struct Exp;
    impl Map for Exp {
        fn map<V: Vector>(&self, value: V) -> V {
            exp(value)
        }
    }

    impl Map for Activation {
        fn map<V: Vector>(&self, value: V) -> V {
            activated(*self, value)
        }
    }

    fn inputs() -> Vec<f32> {
        (-8000..8000).step_by(if cfg!(miri) { 400 } else { 1 }).map(|step| step as f32 / 100.0).collect()
    }

    #[test]
    fn exp_is_close_everywhere() {
        let mut values = inputs();
        dispatch(Each(&mut values, Exp));
        for (x, found) in inputs().into_iter().zip(values) {
            let wanted = f64::from(x).exp();
            assert!((f64::from(found) / wanted - 1.0).abs() < 3e-7, "{x}: {found} {wanted}");
        }
    }

    #[test]
    fn activations_equal_their_definitions() {
        for kind in [Activation::Relu, Activation::QuickGelu, Activation::Gelu, Activation::GeluTanh] {
            let mut values = inputs();
            dispatch(Each(&mut values, kind));
            for (x, found) in inputs().into_iter().zip(values) {
                let x = f64::from(x);
                let wanted = match kind {
                    Activation::Relu => x.max(0.0),
                    Activation::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
                    Activation::Gelu => x * normal(x),
                    Activation::GeluTanh => {
                        let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
                        0.5 * x * (1.0 + inner.tanh())
                    }
                };
                assert!((f64::from(found) - wanted).abs() <= 1e-6 * (1.0 + wanted.abs()), "{kind:?} {x}: {found}");
            }
        }
    }

    /// The normal distribution, by the midpoint rule.
    fn normal(x: f64) -> f64 {
        if x.abs() > 9.0 {
            return if x < 0.0 { 0.0 } else { 1.0 };
        }
        let step = x / 2000.0;
        let density = |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        0.5 + (0..2000).map(|index| density((f64::from(index) + 0.5) * step) * step).sum::<f64>()
    }

    #[test]
    fn layer_norm_centres_and_scales_rows_of_every_width() {
        for width in [1, 3, 4, 8, 24, 33, 40, 128] {
            let input: Vec<f32> = (0..3 * width).map(|index| (index * 7 % 13) as f32 * 3.0 - 11.0).collect();
            let weight: Vec<f32> = (0..width).map(|index| 1.0 + index as f32 / 10.0).collect();
            let bias: Vec<f32> = (0..width).map(|index| index as f32 / 7.0).collect();
            let mut output = vec![0.0; 3 * width];
            LayerNorm { weight: &weight, bias: &bias, epsilon: 1e-5, input: &input, output: &mut output }
                .run(&ThreadPool::of_threads(2));
            for (input, output) in input.chunks(width).zip(output.chunks(width)) {
                let mean = input.iter().map(|&value| f64::from(value)).sum::<f64>() / width as f64;
                let variance = input.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / width as f64;
                for place in 0..width {
                    let normed = (f64::from(input[place]) - mean) / (variance + 1e-5).sqrt();
                    let wanted = normed * f64::from(weight[place]) + f64::from(bias[place]);
                    assert!((f64::from(output[place]) - wanted).abs() < 1e-4, "{width}");
                }
            }
        }
    }
}
