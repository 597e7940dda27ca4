//! Elementwise arithmetic written so that the compiler vectorises it: exp, activations, softmax, layer norm.

use crate::config::{Activation, LAYER_NORM_EPSILON};

/// `e^x` within 2 units in the last place for x in -87..88: range reduction by powers of two and a degree-6
/// polynomial (Cephes' `expf` coefficients), without a branch or a call.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    // Adding and taking away 1.5 * 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let power = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let rest = x - power * 0.693_359_4 + power * 2.121_944_4e-4;
    let mut sum = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        sum = sum * rest + coefficient;
    }
    let fraction = sum * rest * rest + rest + 1.0;
    fraction * f32::from_bits((((power as i32) + 127) << 23) as u32)
}

/// Applies the activation in place.
pub fn activate(kind: Activation, values: &mut [f32]) {
    match kind {
        Activation::Relu => values.iter_mut().for_each(|value| *value = value.max(0.0)),
        Activation::QuickGelu => values.iter_mut().for_each(|value| *value /= 1.0 + exp(-1.702 * *value)),
        Activation::GeluTanh => values.iter_mut().for_each(|value| {
            let inner = *value + 0.044_715 * *value * *value * *value;
            *value /= 1.0 + exp(-1.595_769_2 * inner);
        }),
        Activation::Gelu => {
            values.iter_mut().for_each(|value| *value *= 0.5 * (1.0 + erf(*value * std::f32::consts::FRAC_1_SQRT_2)))
        }
    }
}

/// Abramowitz and Stegun 7.1.26: error at most 1.5e-7.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let magnitude = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * magnitude);
    let mut sum = 1.061_405_4;
    for coefficient in [-1.453_152_1, 1.421_413_8, -0.284_496_72, 0.254_829_6] {
        sum = sum * t + coefficient;
    }
    (1.0 - sum * t * exp(-magnitude * magnitude)).copysign(x)
}

/// Softmax of one row, in place.
pub fn softmax(row: &mut [f32]) {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|value| *value = exp(*value - most));
    let scale = 1.0 / sum(row);
    row.iter_mut().for_each(|value| *value *= scale);
}

/// Brings a vector to unit length, in place.
pub fn to_unit_length(values: &mut [f32]) {
    let scale = 1.0 / sum_of_squares(values).sqrt().max(1e-12);
    values.iter_mut().for_each(|value| *value *= scale);
}

/// Layer norm of each row of `input` into `output`.
pub fn layer_norm(input: &[f32], weight: &[f32], bias: &[f32], output: &mut [f32]) {
    let width = weight.len();
    for (input, output) in input.chunks_exact(width).zip(output.chunks_exact_mut(width)) {
        let mean = sum(input) / width as f32;
        for (centred, value) in output.iter_mut().zip(input) {
            *centred = value - mean;
        }
        let variance = sum_of_squares(output) / width as f32;
        let scale = 1.0 / (variance + LAYER_NORM_EPSILON).sqrt();
        for ((value, weight), bias) in output.iter_mut().zip(weight).zip(bias) {
            *value = *value * scale * weight + bias;
        }
    }
}

/// Eight running sums: the compiler may not reorder one, but turns these into vectors.
fn lanes(values: &[f32], step: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0f32; 8];
    let chunks = values.chunks_exact(8);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (sum, &value) in sums.iter_mut().zip(chunk) {
            *sum = step(*sum, value);
        }
    }
    rest.iter().fold(sums.iter().sum(), |sum, &value| step(sum, value))
}

fn sum(values: &[f32]) -> f32 {
    lanes(values, |sum, value| sum + value)
}

fn sum_of_squares(values: &[f32]) -> f32 {
    lanes(values, |sum, value| sum + value * value)
}
