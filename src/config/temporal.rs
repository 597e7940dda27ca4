//! The temporal head's configuration; no tensors.

use serde::{Deserialize, Serialize};

use super::{MAX_WINDOW, norm_tensors};
use crate::error::{Error, ErrorKind, Result};

/// A transformer over the embeddings of a window's frames, DFER-CLIP's: a class token and learned positions, pre-norm
/// blocks whose queries, keys and values have no bias, an MLP with the tanh GELU, no norm at the end. The class token
/// that comes out, at unit length, is the clip's embedding.
///
/// Its width is the encoder's `embedding`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TemporalConfig {
    /// Frames of a full window, T: one learned position each, and one for the class token.
    pub frames: usize,
    /// Blocks.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of a head; all heads together need not be as wide as the embedding.
    pub head_width: usize,
    /// Width inside the MLPs.
    pub hidden: usize,
}

impl Default for TemporalConfig {
    /// DFER-CLIP's sizes.
    fn default() -> Self {
        Self { frames: 16, layers: 1, heads: 8, head_width: 64, hidden: 1024 }
    }
}

impl TemporalConfig {
    /// Every tensor of a head for embeddings of this width by its name with its shape.
    pub fn tensors(&self, width: usize) -> Vec<(String, Vec<usize>)> {
        let inner = self.heads * self.head_width;
        let mut tensors = vec![
            ("temporal.class_embedding".into(), vec![width]),
            ("temporal.position_embedding.weight".into(), vec![self.frames + 1, width]),
        ];
        for layer in 0..self.layers {
            let block = format!("temporal.layers.{layer}");
            tensors.extend(norm_tensors(&format!("{block}.layer_norm1"), width));
            for product in ["q_proj", "k_proj", "v_proj"] {
                tensors.push((format!("{block}.self_attn.{product}.weight"), vec![inner, width]));
            }
            tensors.push((format!("{block}.self_attn.out_proj.weight"), vec![width, inner]));
            tensors.push((format!("{block}.self_attn.out_proj.bias"), vec![width]));
            tensors.extend(norm_tensors(&format!("{block}.layer_norm2"), width));
            tensors.push((format!("{block}.mlp.fc1.weight"), vec![self.hidden, width]));
            tensors.push((format!("{block}.mlp.fc1.bias"), vec![self.hidden]));
            tensors.push((format!("{block}.mlp.fc2.weight"), vec![width, self.hidden]));
            tensors.push((format!("{block}.mlp.fc2.bias"), vec![width]));
        }
        tensors
    }

    /// Parameters of a head for embeddings of this width.
    pub fn parameters(&self, width: usize) -> usize {
        self.tensors(width).iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }

    /// Says what can't be built, naming the field.
    pub fn validate(&self) -> Result<()> {
        for (name, value, most) in [
            ("frames", self.frames, MAX_WINDOW),
            ("layers", self.layers, 16),
            ("heads", self.heads, 64),
            ("headWidth", self.head_width, 1024),
            ("hidden", self.hidden, 16_384),
        ] {
            if value == 0 || value > most {
                return Err(Error::new(
                    ErrorKind::InvalidConfig,
                    format!("the temporal head's `{name}` is {value}; it must be 1 to {most}"),
                ));
            }
        }
        Ok(())
    }
}
