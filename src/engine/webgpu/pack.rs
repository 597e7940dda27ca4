//! Tensors -> the bytes that the kernels read.

use half::f16;

use super::kernels::Storage;
use crate::tensors::Int8Rows;

/// Outputs of one panel.
pub const PANEL: usize = 8;

/// A matrix in the form that the product reads.
#[derive(Debug)]
pub struct PackedMatrix {
    /// Panels of [`PANEL`] outputs, each `[inputs, PANEL]`; the last outputs and inputs are filled up with zeros, the
    /// inputs to a multiple of four.
    pub weights: Vec<u8>,
    /// Biases, then scales, `[2, outputs padded to whole panels]` in f32.
    pub scales: Vec<u8>,
}

/// Whether f16 holds every value exactly, as it does where the bundle is stored in it.
pub fn fits_f16(values: &[f32]) -> bool {
    values.iter().all(|&value| f16::from_f32(value).to_f32() == value)
}

/// Packs rows `[outputs, inputs]` and the bias `[outputs]`, or none.
pub fn pack_matrix(rows: &[f32], bias: &[f32], inputs: usize, storage: Storage) -> PackedMatrix {
    let outputs = rows.len() / inputs;
    let padded = outputs.div_ceil(PANEL) * PANEL;
    let rounded = (storage == Storage::Int8).then(|| Int8Rows::round(rows, outputs));
    let mut scales = vec![0.0f32; padded];
    scales[..bias.len()].copy_from_slice(bias);
    // `unpack4x8snorm` gives a 127th of the byte.
    scales.extend((0..padded).map(|output| match &rounded {
        Some(rounded) => rounded.scales.get(output).map_or(0.0, |scale| 127.0 * scale),
        None => 1.0,
    }));
    let mut weights = Vec::with_capacity(padded * inputs.div_ceil(4) * storage.bytes_of_four());
    for panel in (0..padded).step_by(PANEL) {
        for input in 0..inputs.next_multiple_of(4) {
            for output in panel..panel + PANEL {
                let index = (output < outputs && input < inputs).then_some(output * inputs + input);
                match (storage, &rounded) {
                    (Storage::Int8, Some(rounded)) => {
                        weights.push(index.map_or(0, |index| rounded.values[index] as u8))
                    }
                    (Storage::F16, _) => {
                        weights.extend(f16::from_f32(index.map_or(0.0, |index| rows[index])).to_le_bytes());
                    }
                    _ => weights.extend(index.map_or(0.0, |index| rows[index]).to_le_bytes()),
                }
            }
        }
    }
    PackedMatrix { weights, scales: bytes(&scales) }
}

/// Values as they lie in memory.
pub fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(bytes: &[u8]) -> Vec<f32> {
        bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()
    }

    #[test]
    fn panels_hold_every_value_once_and_zeros_after_them() {
        let (outputs, inputs) = (10, 5);
        let rows: Vec<f32> = (0..outputs * inputs).map(|index| index as f32 + 1.0).collect();
        let packed = pack_matrix(&rows, &[0.5; 10], inputs, Storage::F32);
        let weights = floats(&packed.weights);
        assert_eq!(weights.len(), 16 * 8);
        for output in 0..16 {
            for input in 0..8 {
                let found = weights[(output / PANEL * 8 + input) * PANEL + output % PANEL];
                let is_filling = output >= outputs || input >= inputs;
                assert_eq!(found, if is_filling { 0.0 } else { rows[output * inputs + input] });
            }
        }
        let scales = floats(&packed.scales);
        assert_eq!(scales, [vec![0.5; 10], vec![0.0; 6], vec![1.0; 16]].concat());
    }

    #[test]
    fn bytes_times_their_scale_are_within_half_a_step() {
        let rows: Vec<f32> = (0..64).map(|index| ((index * 37 % 61) as f32 - 30.0) / 7.0).collect();
        let packed = pack_matrix(&rows, &[], 8, Storage::Int8);
        let scales = floats(&packed.scales);
        for (output, row) in rows.chunks_exact(8).enumerate() {
            for (input, value) in row.iter().enumerate() {
                let found = f32::from(packed.weights[input * PANEL + output] as i8) / 127.0 * scales[8 + output];
                assert!((found - value).abs() <= scales[8 + output] / 253.0, "{found} for {value}");
            }
        }
    }

    #[test]
    fn half_precision_is_taken_only_where_it_loses_nothing() {
        assert!(fits_f16(&[0.5, -2.0, f16::from_f32(0.1).to_f32()]));
        assert!(!fits_f16(&[0.1]));
    }
}
