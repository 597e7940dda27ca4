//! Multi-head self-attention with queries, keys and values in one product.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Tensor, activation::softmax, backend::Backend};

use super::linear::{load_linear, save_linear};
use crate::error::Result;
use crate::tensors::Weights;

/// Self-attention over all tokens.
#[derive(Module, Debug)]
pub struct Attention<B: Backend> {
    joint: Linear<B>,
    output: Linear<B>,
    heads: usize,
}

/// Sizes of an attention.
#[derive(Debug, Clone, Copy)]
pub struct AttentionShape {
    /// Width of the tokens.
    pub width: usize,
    /// Heads.
    pub heads: usize,
    /// Width of a head; all heads together need not be as wide as the tokens.
    pub head_width: usize,
    /// Whether queries, keys and values have a bias.
    pub joint_bias: bool,
}

impl AttentionShape {
    /// CLIP's and BERT's: the heads share the tokens' width, everything has a bias.
    pub fn even(width: usize, heads: usize) -> Self {
        Self { width, heads, head_width: width / heads, joint_bias: true }
    }
}

impl<B: Backend> Attention<B> {
    /// [`Attention::load_shaped`] of [`AttentionShape::even`].
    pub fn load(
        weights: &mut Weights,
        names: &[String; 4],
        width: usize,
        heads: usize,
        device: &B::Device,
    ) -> Result<Self> {
        Self::load_shaped(weights, names, &AttentionShape::even(width, heads), device)
    }

    /// From the tensors `{names[0..3]}` (queries, keys, values) and `{names[3]}` (output).
    pub fn load_shaped(
        weights: &mut Weights,
        names: &[String; 4],
        shape: &AttentionShape,
        device: &B::Device,
    ) -> Result<Self> {
        let AttentionShape { width, heads, head_width, joint_bias } = *shape;
        let inner = heads * head_width;
        Ok(Self {
            joint: load_linear(weights, &names[..3], [width, inner], joint_bias, device)?,
            output: load_linear(weights, &names[3..], [inner, width], true, device)?,
            heads,
        })
    }

    /// The inverse of [`Attention::load`].
    pub fn save(&self, weights: &mut Weights, names: &[String; 4]) -> Result<()> {
        save_linear(weights, &names[..3], &self.joint)?;
        save_linear(weights, &names[3..], &self.output)
    }

    /// # Shapes
    /// - input: `[batch, tokens, width]`
    /// - bias, added to the logits: `[batch or 1, 1, tokens or 1, tokens]`
    /// - output: `[batch, tokens, width]`
    pub fn forward(&self, input: Tensor<B, 3>, bias: Option<Tensor<B, 4>>) -> Tensor<B, 3> {
        let [batch, tokens, width] = input.dims();
        let [_, triple] = self.joint.weight.dims();
        let size = triple / 3 / self.heads;
        let joint = self.joint.forward(input.reshape([batch * tokens, width]));
        let joint = joint.reshape([batch, tokens, 3 * self.heads, size]).swap_dims(1, 2);
        let part = |index: usize| joint.clone().narrow(1, index * self.heads, self.heads);
        // The scale goes to the queries: fewer values than the logits.
        let mut logits = (part(0) * (size as f64).powf(-0.5)).matmul(part(1).transpose());
        if let Some(bias) = bias {
            logits = logits + bias;
        }
        let mixed = softmax(logits, 3).matmul(part(2));
        let mixed = mixed.swap_dims(1, 2).reshape([batch * tokens, self.heads * size]);
        self.output.forward(mixed).reshape([batch, tokens, width])
    }
}
