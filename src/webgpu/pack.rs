//! Tensors -> the bytes that the kernels read.

use half::f16;

use super::kernels::Storage;

/// Outputs of one panel.
pub const PANEL: usize = 8;

/// A matrix in the form that the product reads.
#[derive(Debug)]
pub struct PackedMatrix {
    /// Panels of [`PANEL`] outputs, each `[inputs, PANEL]`; the last is filled up with zeros.
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
    let mut scales = vec![0.0f32; 2 * padded];
    scales[..bias.len()].copy_from_slice(bias);
    for (output, scale) in scales[padded..].iter_mut().enumerate() {
        *scale = match storage {
            // `unpack4x8snorm` gives a 127th of the byte, so the scale is the row's largest value.
            Storage::Int8 if output < outputs => {
                rows[output * inputs..][..inputs].iter().fold(0.0f32, |most, value| most.max(value.abs()))
            }
            _ => 1.0,
        };
    }
    let mut weights = Vec::with_capacity(padded * inputs / 4 * storage.bytes_of_four());
    for panel in (0..padded).step_by(PANEL) {
        for input in 0..inputs {
            for output in panel..panel + PANEL {
                let value = if output < outputs { rows[output * inputs + input] } else { 0.0 };
                match storage {
                    Storage::F32 => weights.extend(value.to_le_bytes()),
                    Storage::F16 => weights.extend(f16::from_f32(value).to_le_bytes()),
                    Storage::Int8 => {
                        let scale = scales[padded + output];
                        let share = if scale > 0.0 { value / scale } else { 0.0 };
                        weights.push((share * 127.0).round() as i8 as u8);
                    }
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
        let (outputs, inputs) = (10, 3);
        let rows: Vec<f32> = (0..outputs * inputs).map(|index| index as f32 + 1.0).collect();
        let packed = pack_matrix(&rows, &[0.5; 10], inputs, Storage::F32);
        let weights = floats(&packed.weights);
        for output in 0..16 {
            for input in 0..inputs {
                let found = weights[(output / PANEL * inputs + input) * PANEL + output % PANEL];
                assert_eq!(found, if output < outputs { rows[output * inputs + input] } else { 0.0 });
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
