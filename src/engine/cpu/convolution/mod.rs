//! One stage of the convolutional stem: in 8 bits, or by Winograd's points where that spares work, else its taps gathered for
//! a product.

pub(crate) mod depthwise;
mod winograd;

use super::gemm::{Epilogue, Matrix};
use super::gemm_int8::{Int8Matrix, QuantizedRows};
use super::linear::Arithmetic;
use super::memory::{Aligned, Rows};
use super::thread_pool::ThreadPool;
use crate::config::Activation;
use crate::config::layout::{StageLayout, channels_last};
use crate::error::Result;
use crate::tensors::{Int8Rows, Weights};
use winograd::Winograd;

/// A convolution of 3 x 3 with its bias.
#[derive(Debug)]
pub enum Convolution {
    /// Every output pixel is a row of its nine taps.
    Gathered { matrix: Matrix, taps: Vec<usize> },
    /// A product for each point of the tiles' windows.
    Winograd(Winograd),
    /// Gathered taps in 8 bits. Points would need more: their sums reach four and more times as far.
    Int8 { matrix: Int8Matrix, taps: Vec<usize> },
}

/// What a stage writes before its output, kept between passes.
#[derive(Debug, Default)]
pub struct Scratch {
    pub rows: Aligned<f32>,
    products: Aligned<f32>,
    quantized: QuantizedRows,
}

impl Convolution {
    /// From `NAME.weight` and `NAME.bias`. In 8 bits a stage of few channels stays in f32: its pixels are no whole vectors.
    pub fn load(weights: &mut Weights, name: &str, layout: StageLayout, arithmetic: Arithmetic) -> Result<Self> {
        let (channels, outputs) = (layout.channels, layout.stage.channels);
        let weight = weights.take_stored(&format!("{name}.weight"), &[outputs, channels, 3, 3])?;
        let bias = weights.take(&format!("{name}.bias"), &[outputs])?;
        if arithmetic == Arithmetic::Int8 && Int8Matrix::fits(channels) {
            return Ok(Self::int8(&layout, &weight.into_int8(outputs), &bias));
        }
        let weight = weight.into_f32();
        Ok(Winograd::pack(layout, &weight, &bias)
            .map_or_else(|| Self::gathered(&layout, &weight, &bias), Self::Winograd))
    }

    fn int8(layout: &StageLayout, rows: &Int8Rows, bias: &[f32]) -> Self {
        let channels = layout.channels;
        let mut matrix = Int8Matrix::new(9 * channels, layout.stage.channels);
        matrix.fill(0, &channels_last(&rows.values, channels, 3), &rows.scales, bias);
        Self::Int8 { matrix, taps: layout.taps() }
    }

    fn gathered(layout: &StageLayout, weight: &[f32], bias: &[f32]) -> Self {
        let channels = layout.channels;
        let matrix = Matrix::pack(&channels_last(weight, channels, 3), bias, 9 * channels);
        Self::Gathered { matrix, taps: layout.taps() }
    }

    /// # Shapes
    /// - map: `[side * side + 1, channels]`, the last pixel zero: it stands for the border
    /// - output: `[output side * output side, outputs]` or more
    pub fn run(
        &self,
        pool: &ThreadPool,
        map: &[f32],
        scratch: &mut Scratch,
        output: &mut [f32],
        activation: Activation,
    ) {
        let Scratch { rows, products, quantized } = scratch;
        match self {
            Self::Gathered { matrix, taps } => {
                let channels = matrix.inputs() / 9;
                rows.resize(taps.len() * channels);
                for (row, &tap) in rows.chunks_exact_mut(channels).zip(taps) {
                    row.copy_from_slice(&map[tap * channels..][..channels]);
                }
                let lines = Rows { values: rows, stride: matrix.inputs() };
                let epilogue = Epilogue::Activate(activation);
                matrix.gemm(pool, taps.len() / 9, lines, output, matrix.outputs(), epilogue);
            }
            Self::Winograd(winograd) => winograd.run(pool, map, [rows, products], output, activation),
            Self::Int8 { matrix, taps } => {
                let epilogue = Epilogue::Activate(activation);
                quantized.gather(pool, map, matrix.inputs() / 9, taps, matrix.inputs());
                matrix.product(pool, quantized, taps.len() / 9, output, matrix.outputs(), epilogue);
            }
        }
    }

    /// Of one pass.
    pub fn multiply_adds(&self) -> u64 {
        match self {
            Self::Gathered { matrix, taps } => matrix.multiply_adds(taps.len() / 9),
            Self::Winograd(winograd) => winograd.multiply_adds(),
            Self::Int8 { matrix, taps } => matrix.multiply_adds(taps.len() / 9),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::suits_interpreter;
    use super::*;
    use crate::config::StemStage;
    use crate::tensors::Stored;

    fn drawn(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|index| ((index * 37 + seed * 11) % 101) as f32 / 50.0 - 1.0).collect()
    }

    #[test]
    fn winograd_computes_what_gathered_taps_do() {
        let pool = ThreadPool::of_threads(2);
        // Whole tiles of 4 and of 2, and some that reach beyond the map.
        let sizes = [(16, 32, 16), (23, 40, 24), (8, 64, 32), (9, 32, 8)];
        for (side, channels, outputs) in sizes.into_iter().filter(|(a, b, c)| suits_interpreter(9 * a * a * b * c)) {
            let layout = StageLayout { side, channels, stage: StemStage { channels: outputs, stride: 1 } };
            let (weight, bias) = (drawn(outputs * channels * 9, 1), drawn(outputs, 2));
            let mut map = drawn((side * side + 1) * channels, 3);
            map[side * side * channels..].fill(0.0);
            let run = |convolution: &Convolution, pool: &ThreadPool| {
                let mut output = vec![f32::NAN; side * side * outputs];
                let mut scratch = Scratch::default();
                convolution.run(pool, &map, &mut scratch, &mut output, Activation::Relu);
                output
            };
            let plain = Convolution::gathered(&layout, &weight, &bias);
            let points = Convolution::Winograd(Winograd::pack(layout, &weight, &bias).unwrap());
            let (wanted, found) = (run(&plain, &ThreadPool::single()), run(&points, &ThreadPool::single()));
            let largest = wanted.iter().fold(0.0f32, |most, value| most.max(value.abs()));
            for (found, wanted) in found.iter().zip(&wanted) {
                assert!((found - wanted).abs() < 1e-5 * largest, "{side} {channels}: {found} {wanted}");
            }
            assert_eq!(run(&points, &pool), found, "a pool computes the same");
        }
    }

    #[test]
    fn eight_bits_compute_what_the_rounded_weights_do() {
        let pool = ThreadPool::of_threads(2);
        let sizes = [(3, 8, 8, 1), (9, 8, 16, 1), (12, 48, 24, 2), (6, 64, 40, 1)];
        for (side, channels, outputs, stride) in
            sizes.into_iter().filter(|(a, b, c, _)| suits_interpreter(9 * a * a * b * c))
        {
            let layout = StageLayout { side, channels, stage: StemStage { channels: outputs, stride } };
            let rows = Int8Rows::round(&drawn(outputs * channels * 9, 1), &[outputs], 255);
            let bias = drawn(outputs, 2);
            // Codes of 0 to 126 and nothing between: then nothing of the map is rounded.
            let mut map: Vec<f32> = drawn((side * side + 1) * channels, 3);
            map.iter_mut().for_each(|value| *value = ((*value + 1.0) * 63.0).round() / 126.0);
            map[0] = 1.0;
            map[side * side * channels..].fill(0.0);
            let run = |convolution: &Convolution, pool: &ThreadPool| {
                let mut output = vec![f32::NAN; layout.output_side().pow(2) * outputs];
                convolution.run(pool, &map, &mut Scratch::default(), &mut output, Activation::Relu);
                output
            };
            let weight = Stored::Int8(rows.clone()).into_f32();
            let wanted = run(&Convolution::gathered(&layout, &weight, &bias), &ThreadPool::single());
            let int8 = Convolution::int8(&layout, &rows, &bias);
            let found = run(&int8, &ThreadPool::single());
            let largest = wanted.iter().fold(0.0f32, |most, value| most.max(value.abs()));
            for (found, wanted) in found.iter().zip(&wanted) {
                assert!((found - wanted).abs() < 1e-5 * largest, "{side} {channels}: {found} {wanted}");
            }
            assert_eq!(run(&int8, &pool), found, "a pool computes the same");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "counts products, and packs for minutes")]
    fn points_spare_products_where_they_are_taken() {
        let spared = |side, stride, channels| {
            let layout = StageLayout { side, channels, stage: StemStage { channels: 32, stride } };
            let (weight, bias) = (drawn(32 * channels * 9, 1), [0.0; 32]);
            let plain = Convolution::gathered(&layout, &weight, &bias).multiply_adds() as f64;
            Winograd::pack(layout, &weight, &bias).map(|points| plain / points.multiply_adds() as f64)
        };
        assert_eq!(spared(24, 1, 32), Some(4.0));
        assert_eq!(spared(12, 1, 32), Some(2.25));
        assert_eq!([spared(6, 1, 32), spared(24, 2, 32), spared(24, 1, 16), spared(24, 1, 36)], [None; 4]);
    }
}
