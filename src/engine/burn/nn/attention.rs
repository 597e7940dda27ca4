//! Multi-head self-attention with queries, keys and values in one product.

use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use super::linear::{Linear, load_linear, save_linear};
use super::norm::{LayerNorm, NormValues};
use crate::engine::burn::ops::{EncoderOps, Hidden, plain_attention};
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

impl<B: EncoderOps> Attention<B> {
    /// From the tensors `{names[0..3]}` (queries, keys, values) and `{names[3]}` (output).
    ///
    /// - norm: the layer norm that its tokens go through, where one does
    pub fn load(
        weights: &mut Weights,
        names: &[String; 4],
        shape: &AttentionShape,
        norm: Option<&NormValues>,
        device: &B::Device,
    ) -> Result<Self> {
        let AttentionShape { width, heads, head_width, joint_bias } = *shape;
        let inner = heads * head_width;
        Ok(Self {
            joint: load_linear(weights, &names[..3], [width, inner], joint_bias, norm, device)?,
            output: load_linear(weights, &names[3..], [inner, width], true, None, device)?,
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
        let joint = self.joint.forward(input.reshape([batch * tokens, width]));
        let joint = joint.reshape([batch, tokens, 3 * self.inner()]);
        self.output.forward(plain_attention(joint, self.heads, tokens, bias)).reshape([batch, tokens, width])
    }

    /// `hidden + attention(norm(hidden))` of the first `queries` tokens.
    pub fn add(&self, hidden: &Hidden<B>, norm: &LayerNorm<B>, queries: usize) -> Hidden<B> {
        let [batch, tokens, _] = hidden.rows.dims();
        let joint = B::norm_linear(hidden, norm, &self.joint, None);
        let joint = B::view(joint, [batch, tokens, 3 * self.inner()]);
        B::linear_add(<B as EncoderOps>::attention(joint, self.heads, queries), &self.output, hidden)
    }

    /// The width of all heads together.
    fn inner(&self) -> usize {
        self.output.shape().inputs
    }
}
