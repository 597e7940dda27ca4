//! Linear layers -> the bytes that the products read.

use half::f16;

use crate::engine::burn::nn::LinearValues;
use crate::tensors::{Int8Rows, Precision, Storage};

/// Outputs of one panel.
pub const PANEL: usize = 8;

/// A layer in the form that the product reads.
#[derive(Debug)]
pub struct PackedLinear {
    /// Panels of [`PANEL`] outputs, each `[inputs, PANEL]`; the last outputs and inputs are filled up with zeros, the
    /// inputs to a multiple of four.
    pub weights: Vec<u8>,
    /// Biases, scales, and what a row's mean takes off each output where a norm comes before, `[3, outputs padded to
    /// whole panels]`.
    pub scales: Vec<f32>,
}

/// Bytes of four values.
pub fn bytes_of_four(precision: Precision) -> usize {
    match precision {
        Precision::F32 => 16,
        Precision::F16 => 8,
        Precision::Int8 => 4,
    }
}

/// Whether f16 holds every value exactly, as it does where the bundle is stored in it.
pub fn fits_f16(values: &[f32]) -> bool {
    values.iter().all(|&value| f16::from_f32(value).to_f32() == value)
}

/// Packs a layer. A norm before it becomes part of it: its shift goes into the bias, its scale into a matrix of f32;
/// other matrices would lose by that, so the kernel scales what it reads.
pub fn pack(values: LinearValues<'_>) -> PackedLinear {
    let LinearValues { mut rows, bias, inputs, norm, precision } = values;
    let outputs = rows.len() / inputs;
    let padded = outputs.next_multiple_of(PANEL);
    let mut scales = vec![0.0f32; 3 * padded];
    scales[padded..2 * padded].fill(1.0);
    scales[..outputs].copy_from_slice(&bias.unwrap_or_else(|| vec![0.0; outputs]));
    let rounded = (precision == Precision::Int8).then(|| Int8Rows::round(&rows, &[outputs], Storage::LEVELS));
    if let Some(rounded) = &rounded {
        for (output, &scale) in rounded.scales.iter().enumerate() {
            // `unpack4x8snorm` gives a 127th of the byte.
            scales[padded + output] = 127.0 * scale;
            let row = &mut rows[output * inputs..][..inputs];
            row.iter_mut()
                .zip(&rounded.values[output * inputs..])
                .for_each(|(value, &code)| *value = f32::from(code) * scale);
        }
    }
    if let Some(norm) = norm {
        for (output, row) in rows.chunks_exact_mut(inputs).enumerate() {
            let sum = |of: &[f32]| row.iter().zip(of).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
            scales[output] = (f64::from(scales[output]) + sum(&norm.shift)) as f32;
            scales[2 * padded + output] = sum(&norm.scale) as f32;
            if precision == Precision::F32 {
                row.iter_mut().zip(&norm.scale).for_each(|(value, scale)| *value *= scale);
            }
        }
    }
    let mut weights = Vec::with_capacity(padded * inputs.div_ceil(4) * bytes_of_four(precision));
    for panel in (0..padded).step_by(PANEL) {
        for input in 0..inputs.next_multiple_of(4) {
            for output in panel..panel + PANEL {
                let index = (output < outputs && input < inputs).then_some(output * inputs + input);
                match (precision, &rounded) {
                    (Precision::Int8, Some(rounded)) => {
                        weights.push(index.map_or(0, |index| rounded.values[index] as u8));
                    }
                    (Precision::F16, _) => {
                        weights.extend(f16::from_f32(index.map_or(0.0, |index| rows[index])).to_le_bytes());
                    }
                    _ => weights.extend(index.map_or(0.0, |index| rows[index]).to_le_bytes()),
                }
            }
        }
    }
    PackedLinear { weights, scales }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::burn::nn::NormValues;

    fn floats(bytes: &[u8]) -> Vec<f32> {
        bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()
    }

    fn values(rows: Vec<f32>, bias: Option<Vec<f32>>, inputs: usize, precision: Precision) -> LinearValues<'static> {
        LinearValues { rows, bias, inputs, norm: None, precision }
    }

    #[test]
    fn panels_hold_every_value_once_and_zeros_after_them() {
        let (outputs, inputs) = (10, 5);
        let rows: Vec<f32> = (0..outputs * inputs).map(|index| index as f32 + 1.0).collect();
        let packed = pack(values(rows.clone(), Some(vec![0.5; 10]), inputs, Precision::F32));
        let weights = floats(&packed.weights);
        assert_eq!(weights.len(), 16 * 8);
        for output in 0..16 {
            for input in 0..8 {
                let found = weights[(output / PANEL * 8 + input) * PANEL + output % PANEL];
                let is_filling = output >= outputs || input >= inputs;
                assert_eq!(found, if is_filling { 0.0 } else { rows[output * inputs + input] });
            }
        }
        assert_eq!(packed.scales, [vec![0.5; 10], vec![0.0; 6], vec![1.0; 16], vec![0.0; 16]].concat());
    }

    #[test]
    fn bytes_times_their_scale_are_within_half_a_step() {
        let rows: Vec<f32> = (0..64).map(|index| ((index * 37 % 61) as f32 - 30.0) / 7.0).collect();
        let packed = pack(values(rows.clone(), None, 8, Precision::Int8));
        for (output, row) in rows.chunks_exact(8).enumerate() {
            for (input, value) in row.iter().enumerate() {
                let scale = packed.scales[8 + output];
                let found = f32::from(packed.weights[input * PANEL + output] as i8) / 127.0 * scale;
                assert!((found - value).abs() <= scale / 253.0, "{found} for {value}");
            }
        }
    }

    #[test]
    fn a_norm_before_a_layer_is_part_of_it() {
        let norm = NormValues { scale: vec![2.0, 0.5, 1.0, -1.0], shift: vec![0.1, 0.2, 0.3, 0.4] };
        let rows = vec![1.0, 2.0, 3.0, 4.0];
        let row: Vec<f32> = vec![3.0, -1.0, 0.5, 2.0];
        let mean = row.iter().sum::<f32>() / 4.0;
        let deviation = (row.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / 4.0).sqrt();
        let normed = |index: usize| (row[index] - mean) / deviation * norm.scale[index] + norm.shift[index];
        let wanted: f32 = (0..4).map(|index| normed(index) * rows[index]).sum::<f32>() + 7.0;
        for precision in [Precision::F32, Precision::F16] {
            let values =
                LinearValues { rows: rows.clone(), bias: Some(vec![7.0]), inputs: 4, norm: Some(&norm), precision };
            let packed = pack(values);
            let weight = |input: usize| match precision {
                Precision::F32 => floats(&packed.weights)[input * PANEL],
                _ => rows[input] * norm.scale[input],
            };
            let product: f32 = (0..4).map(|input| row[input] * weight(input)).sum();
            let found = (product - mean * packed.scales[16]) / deviation + packed.scales[0];
            assert!((found - wanted).abs() < 1e-5, "{found} {wanted}");
        }
    }

    #[test]
    fn half_precision_is_taken_only_where_it_loses_nothing() {
        assert!(fits_f16(&[0.5, -2.0, f16::from_f32(0.1).to_f32()]));
        assert!(!fits_f16(&[0.1]));
    }
}
