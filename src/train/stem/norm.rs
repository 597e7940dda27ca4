//! The stem's batch norms in training: statistics, the normed map, and the gradient through both.

use super::product::{Brain, brain, float};

/// Keeps a variance of nothing from being divided by.
const EPSILON: f32 = crate::config::LAYER_NORM_EPSILON;

/// Statistics of a stage's outputs and what they make of its norm.
#[derive(Debug, Clone, Default)]
pub struct Norm {
    /// `[channels]`.
    pub mean: Vec<f32>,
    /// One over the standard deviation, `[channels]`.
    pub inverse: Vec<f32>,
    /// `gamma * inverse`, `[channels]`.
    pub scale: Vec<f32>,
    /// What is added after it, `[channels]`.
    pub shift: Vec<f32>,
}

impl Norm {
    /// Of all of a stage's outputs `[rows, channels]`, `part` rows at a time: longer sums in f32 would lose digits.
    pub fn of(outputs: &[Brain], channels: usize, part: usize, gamma: &[f32], beta: &[f32]) -> Self {
        let rows = outputs.len() / channels;
        let (mut sums, mut squares) = (Sums::new(channels), Sums::new(channels));
        for part in outputs.chunks(part * channels) {
            vectorised::moments(part, sums.part(), squares.part());
        }
        let (sums, squares) = (sums.total(), squares.total());
        let mut norm = Self::default();
        for channel in 0..channels {
            let mean = sums[channel] / rows as f64;
            let variance = (squares[channel] / rows as f64 - mean * mean).max(0.0) as f32;
            let inverse = 1.0 / (variance + EPSILON).sqrt();
            let scale = gamma[channel] * inverse;
            norm.mean.push(mean as f32);
            norm.inverse.push(inverse);
            norm.scale.push(scale);
            norm.shift.push(beta[channel] - mean as f32 * scale);
        }
        norm
    }

    /// `max(0, norm)` of a row of outputs.
    pub fn apply(&self, outputs: &[Brain], normed: &mut [Brain]) {
        vectorised::apply(outputs, &self.scale, &self.shift, normed);
    }

    /// For each channel the sums of the gradient behind the activation and of that times the centred output, `part` rows
    /// at a time as in [`Norm::of`].
    pub fn collect(&self, outputs: &[Brain], gradient: &[Brain], part: usize) -> (Vec<f64>, Vec<f64>) {
        let channels = self.mean.len();
        let terms = [&self.scale[..], &self.shift, &self.mean];
        let (mut sums, mut products) = (Sums::new(channels), Sums::new(channels));
        for (outputs, gradient) in outputs.chunks(part * channels).zip(gradient.chunks(part * channels)) {
            vectorised::collect(outputs, gradient, terms, sums.part(), products.part());
        }
        (sums.total(), products.total())
    }

    /// What [`Norm::differentiate`] takes off, from the means over all rows of what [`Norm::collect`] gave.
    pub fn corrections(&self, sum: &[f64], product: &[f64], rows: usize) -> (Vec<f32>, Vec<f32>) {
        (0..self.mean.len())
            .map(|channel| {
                let inverse = f64::from(self.inverse[channel]);
                let constant = f64::from(self.scale[channel]) * sum[channel] / rows as f64;
                let slope = f64::from(self.scale[channel]) * inverse * inverse * product[channel] / rows as f64;
                (constant as f32, slope as f32)
            })
            .unzip()
    }

    /// The gradient of two neighbouring outputs, one by one and as pairs.
    pub fn differentiate(
        &self,
        (constant, slope): (&[f32], &[f32]),
        outputs: &[Brain],
        gradient: &[Brain],
        rows: &mut [Brain],
        pairs: &mut [u32],
    ) {
        let terms = [&self.scale[..], &self.shift, &self.mean, constant, slope];
        vectorised::differentiate(outputs, gradient, terms, rows, pairs);
    }
}

/// Sums of channels: short ones in f32, which the loops are fast in, added up in f64.
struct Sums {
    total: Vec<f64>,
    part: Vec<f32>,
}

impl Sums {
    fn new(channels: usize) -> Self {
        Self { total: vec![0.0; channels], part: vec![0.0; channels] }
    }

    /// Puts the last part away; room for the next one, of zeros.
    fn part(&mut self) -> &mut [f32] {
        for (total, part) in self.total.iter_mut().zip(&mut self.part) {
            *total += f64::from(std::mem::take(part));
        }
        &mut self.part
    }

    fn total(mut self) -> Vec<f64> {
        self.part();
        self.total
    }
}

/// Compiles a loop over channels twice: with the processor's wide vectors and without.
macro_rules! vectorise {
    ($($name:ident($($argument:ident: $kind:ty),*);)*) => {
        mod vectorised {
            use super::*;
            $(pub fn $name($($argument: $kind),*) {
                #[cfg(target_arch = "x86_64")]
                {
                    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
                    unsafe fn wide($($argument: $kind),*) {
                        super::$name($($argument),*);
                    }
                    if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl") {
                        // SAFETY: the processor has what `wide` was compiled for.
                        return unsafe { wide($($argument),*) };
                    }
                }
                super::$name($($argument),*);
            })*
        }
    };
}

vectorise! {
    moments(outputs: &[Brain], sum: &mut [f32], square: &mut [f32]);
    apply(outputs: &[Brain], scale: &[f32], shift: &[f32], normed: &mut [Brain]);
    collect(outputs: &[Brain], gradient: &[Brain], terms: [&[f32]; 3], sum: &mut [f32], product: &mut [f32]);
    differentiate(outputs: &[Brain], gradient: &[Brain], terms: [&[f32]; 5], rows: &mut [Brain], pairs: &mut [u32]);
}

#[inline(always)]
fn moments(outputs: &[Brain], sum: &mut [f32], square: &mut [f32]) {
    let channels = sum.len();
    let square = &mut square[..channels];
    for row in outputs.chunks_exact(channels) {
        for channel in 0..channels {
            let value = float(row[channel]);
            sum[channel] += value;
            square[channel] += value * value;
        }
    }
}

#[inline(always)]
fn apply(outputs: &[Brain], scale: &[f32], shift: &[f32], normed: &mut [Brain]) {
    let channels = scale.len();
    let shift = &shift[..channels];
    for (row, normed) in outputs.chunks_exact(channels).zip(normed.chunks_exact_mut(channels)) {
        for channel in 0..channels {
            normed[channel] = brain((float(row[channel]) * scale[channel] + shift[channel]).max(0.0));
        }
    }
}

#[inline(always)]
fn collect(outputs: &[Brain], gradient: &[Brain], terms: [&[f32]; 3], sum: &mut [f32], product: &mut [f32]) {
    let channels = sum.len();
    let [scale, shift, mean] = terms.map(|term| &term[..channels]);
    let product = &mut product[..channels];
    for (row, gradient) in outputs.chunks_exact(channels).zip(gradient.chunks_exact(channels)) {
        for channel in 0..channels {
            let value = float(row[channel]);
            let passes = value * scale[channel] + shift[channel] > 0.0;
            let gradient = if passes { float(gradient[channel]) } else { 0.0 };
            sum[channel] += gradient;
            product[channel] += gradient * (value - mean[channel]);
        }
    }
}

#[inline(always)]
fn differentiate(outputs: &[Brain], gradient: &[Brain], terms: [&[f32]; 5], rows: &mut [Brain], pairs: &mut [u32]) {
    let channels = terms[0].len();
    let [scale, shift, mean, constant, slope] = terms.map(|term| &term[..channels]);
    let pairs = &mut pairs[..channels];
    let (first, second) = rows[..2 * channels].split_at_mut(channels);
    let (left, right) = outputs[..2 * channels].split_at(channels);
    let (before, after) = gradient[..2 * channels].split_at(channels);
    for channel in 0..channels {
        let terms = [scale[channel], shift[channel], mean[channel], constant[channel], slope[channel]];
        first[channel] = through(left[channel], before[channel], terms);
        second[channel] = through(right[channel], after[channel], terms);
        pairs[channel] = u32::from(first[channel]) | u32::from(second[channel]) << 16;
    }
}

/// One output's gradient from that of its activation.
#[inline(always)]
fn through(output: Brain, gradient: Brain, [scale, shift, mean, constant, slope]: [f32; 5]) -> Brain {
    let value = float(output);
    let gradient = if value * scale + shift > 0.0 { float(gradient) } else { 0.0 };
    brain(gradient * scale - constant - slope * (value - mean))
}
