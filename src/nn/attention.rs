//! Multi-head self-attention with queries, keys and values in one product.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Tensor, activation::softmax, backend::Backend};

use super::linear::{load_linear, save_linear};
use crate::bundle::Weights;
use crate::error::Result;

/// Self-attention over all tokens.
#[derive(Module, Debug)]
pub struct Attention<B: Backend> {
    joint: Linear<B>,
    output: Linear<B>,
    heads: usize,
}

impl<B: Backend> Attention<B> {
    /// From the tensors `{names[0..3]}` (queries, keys, values) and `{names[3]}` (output).
    pub fn load(
        weights: &mut Weights,
        names: &[String; 4],
        width: usize,
        heads: usize,
        device: &B::Device,
    ) -> Result<Self> {
        Ok(Self {
            joint: load_linear(weights, &names[..3], [width, width], true, device)?,
            output: load_linear(weights, &names[3..], [width, width], true, device)?,
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
        let size = width / self.heads;
        let joint = self.joint.forward(input.reshape([batch * tokens, width]));
        let joint = joint.reshape([batch, tokens, 3 * self.heads, size]).swap_dims(1, 2);
        let part = |index: usize| joint.clone().narrow(1, index * self.heads, self.heads);
        // The scale goes to the queries: fewer values than the logits.
        let mut logits = (part(0) * (size as f64).powf(-0.5)).matmul(part(1).transpose());
        if let Some(bias) = bias {
            logits = logits + bias;
        }
        let mixed = softmax(logits, 3).matmul(part(2));
        let mixed = mixed.swap_dims(1, 2).reshape([batch * tokens, width]);
        self.output.forward(mixed).reshape([batch, tokens, width])
    }
}
