//! What follows the tokens' mean, on the host: a pass whose tokens were read back goes on here.

use super::kernels::Storage;
use crate::config::EncoderConfig;
use crate::engine::cpu::gemm::Matrix;
use crate::engine::cpu::memory::Rows;
use crate::evidence::{check_patches, norm_with_held_statistics};
use crate::tensors::{Int8Rows, Weights};

/// Copies of the last norm and of the projection.
#[derive(Debug)]
pub struct PatchHead {
    weight: Vec<f32>,
    bias: Vec<f32>,
    projection: Matrix,
}

impl PatchHead {
    /// Of a mean-pooled model's tensors, which stay where they are; the projection rounded as the device keeps it.
    /// `None` with a class token; where a tensor is missing or misshapen too, since taking it says so next.
    pub fn copy(weights: &Weights, config: &EncoderConfig, storage: Storage) -> Option<Self> {
        check_patches(config).ok()?;
        let get = |name: &str, shape: &[usize]| {
            weights.get(name).filter(|values| values.shape == shape).map(|values| values.data)
        };
        let (width, outputs) = (config.width, config.embedding);
        let mut rows = get("visual_projection.weight", &[outputs, width])?;
        if storage == Storage::Int8 {
            let rounded = Int8Rows::round(&rows, outputs);
            for ((row, codes), scale) in
                rows.chunks_exact_mut(width).zip(rounded.values.chunks_exact(width)).zip(&rounded.scales)
            {
                row.iter_mut().zip(codes).for_each(|(value, &code)| *value = f32::from(code) * scale);
            }
        }
        Some(Self {
            weight: get("vision_model.post_layernorm.weight", &[width])?,
            bias: get("vision_model.post_layernorm.bias", &[width])?,
            projection: Matrix::pack(&rows, &[], width),
        })
    }

    /// # Shapes
    /// - tokens: `[patches, width]`
    /// - output: `[patches, embedding]`
    pub fn run(&self, mut tokens: Vec<f32>) -> Vec<f32> {
        norm_with_held_statistics(&mut tokens, &self.weight, &self.bias);
        let (width, outputs) = (self.projection.inputs(), self.projection.outputs());
        let count = tokens.len() / width;
        let mut patches = vec![0.0; count * outputs];
        self.projection.apply(count, Rows { values: &tokens, stride: width }, &mut patches, outputs);
        patches
    }
}
