//! The sizes of CLIP's text tower, and the names and shapes of its tensors.

use serde::{Deserialize, Serialize};

use super::{Activation, block_tensors, norm_tensors};
use crate::error::{Error, ErrorKind, Result};

/// CLIP's text tower: token and position embeddings, a pre-norm transformer that looks back only, a norm and a
/// projection into the joint space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClipTextConfig {
    /// Longest text, tokens: 77.
    pub context: usize,
    /// Tokens there are: 49,408. The largest one ends a text.
    pub vocabulary: usize,
    /// Width of the transformer.
    pub width: usize,
    /// Its blocks.
    pub layers: usize,
    /// Its attention heads.
    pub heads: usize,
    /// Activation of the MLPs.
    pub activation: Activation,
    /// Width of the joint space.
    pub embedding: usize,
}

impl ClipTextConfig {
    /// Every tensor of the tower by its name (Hugging Face's) with its shape.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let width = self.width;
        let embeddings = "text_model.embeddings";
        let mut tensors = vec![
            (format!("{embeddings}.token_embedding.weight"), vec![self.vocabulary, width]),
            (format!("{embeddings}.position_embedding.weight"), vec![self.context, width]),
        ];
        for layer in 0..self.layers {
            tensors.extend(block_tensors(&format!("text_model.encoder.layers.{layer}"), width));
        }
        tensors.extend(norm_tensors("text_model.final_layer_norm", width));
        tensors.push(("text_projection.weight".into(), vec![self.embedding, width]));
        tensors
    }

    /// Says what can't be built, naming the field.
    pub fn validate(&self) -> Result<()> {
        let fail = |why: String| Err(Error::new(ErrorKind::InvalidConfig, why));
        for (name, value, most) in [
            ("context", self.context, 1024),
            ("vocabulary", self.vocabulary, 1 << 20),
            ("width", self.width, 4096),
            ("layers", self.layers, 64),
            ("heads", self.heads, 64),
            ("embedding", self.embedding, 4096),
        ] {
            if value == 0 || value > most {
                return fail(format!("the text tower's `{name}` is {value}; it must be 1 to {most}"));
            }
        }
        if !self.width.is_multiple_of(self.heads) {
            return fail(format!("the text tower's `width` {} can't be split into {} `heads`", self.width, self.heads));
        }
        Ok(())
    }
}
