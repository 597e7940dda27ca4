//! A pre-norm transformer block, CLIP's.

use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use super::attention::{Attention, AttentionShape};
use super::linear::{Linear, load_linear, save_linear};
use super::norm::{EPSILON, LayerNorm, NormValues, save_norm};
use crate::config::Activation;
use crate::engine::burn::ops::{EncoderOps, Hidden};
use crate::error::Result;
use crate::tensors::Weights;

/// Two products with an activation between.
#[derive(Module, Debug)]
pub struct Mlp<B: Backend> {
    first: Linear<B>,
    second: Linear<B>,
    #[module(skip)]
    activation: Activation,
}

impl<B: EncoderOps> Mlp<B> {
    /// From the tensors `{names[0]}` `[hidden, width]` and `{names[1]}` `[width, hidden]`.
    ///
    /// - norm: the layer norm that its tokens go through
    pub fn load(
        weights: &mut Weights,
        names: &[String; 2],
        [width, hidden]: [usize; 2],
        activation: Activation,
        norm: &NormValues,
        device: &B::Device,
    ) -> Result<Self> {
        Ok(Self {
            first: load_linear(weights, &names[..1], [width, hidden], true, Some(norm), device)?,
            second: load_linear(weights, &names[1..], [hidden, width], true, None, device)?,
            activation,
        })
    }

    /// The inverse of [`Mlp::load`].
    pub fn save(&self, weights: &mut Weights, names: &[String; 2]) -> Result<()> {
        save_linear(weights, &names[..1], &self.first)?;
        save_linear(weights, &names[1..], &self.second)
    }

    /// `hidden + mlp(norm(hidden))`.
    pub fn add(&self, hidden: &Hidden<B>, norm: &LayerNorm<B>) -> Hidden<B> {
        let wide = B::norm_linear(hidden, norm, &self.first, Some(self.activation));
        B::linear_add(wide, &self.second, hidden)
    }
}

/// `x + attention(norm(x))`, then `x + mlp(norm(x))`.
#[derive(Module, Debug)]
pub struct Block<B: Backend> {
    first_norm: LayerNorm<B>,
    attention: Attention<B>,
    second_norm: LayerNorm<B>,
    mlp: Mlp<B>,
}

/// Sizes and activation of a block.
#[derive(Debug, Clone, Copy)]
pub struct BlockShape {
    /// Of its attention.
    pub attention: AttentionShape,
    /// Width inside its MLP.
    pub hidden: usize,
    /// Of its MLP.
    pub activation: Activation,
}

impl<B: EncoderOps> Block<B> {
    /// CLIP's block, from the tensors of one `vision_model.encoder.layers.i`.
    pub fn load(
        weights: &mut Weights,
        name: &str,
        width: usize,
        heads: usize,
        activation: Activation,
        device: &B::Device,
    ) -> Result<Self> {
        let shape = BlockShape { attention: AttentionShape::even(width, heads), hidden: 4 * width, activation };
        Self::load_shaped(weights, name, &shape, device)
    }

    /// A block of any shape, from tensors of the same names.
    pub fn load_shaped(weights: &mut Weights, name: &str, shape: &BlockShape, device: &B::Device) -> Result<Self> {
        let BlockShape { attention, hidden, activation } = shape;
        let width = attention.width;
        let first = NormValues::take(weights, &format!("{name}.layer_norm1"), width)?;
        let second = NormValues::take(weights, &format!("{name}.layer_norm2"), width)?;
        Ok(Self {
            attention: Attention::load(weights, &attention_names(name), attention, Some(&first), device)?,
            mlp: Mlp::load(weights, &mlp_names(name), [width, *hidden], *activation, &second, device)?,
            first_norm: first.layer(EPSILON, device),
            second_norm: second.layer(EPSILON, device),
        })
    }

    /// The inverse of [`Block::load`].
    pub fn save(&self, weights: &mut Weights, name: &str) -> Result<()> {
        save_norm(weights, &format!("{name}.layer_norm1"), &self.first_norm)?;
        self.attention.save(weights, &attention_names(name))?;
        save_norm(weights, &format!("{name}.layer_norm2"), &self.second_norm)?;
        self.mlp.save(weights, &mlp_names(name))
    }

    /// # Shapes
    /// - input, output: `[batch, tokens, width]`
    pub fn forward(&self, input: &Hidden<B>) -> Hidden<B> {
        let [_, tokens, _] = input.rows.dims();
        self.forward_first(input, tokens)
    }

    /// The same for the first `kept` tokens of each picture alone, which still see all.
    ///
    /// # Shapes
    /// - output: `[batch, kept, width]`
    pub fn forward_first(&self, input: &Hidden<B>, kept: usize) -> Hidden<B> {
        let attended = self.attention.add(input, &self.first_norm, kept);
        self.mlp.add(&attended, &self.second_norm)
    }

    /// The same as [`Block::forward`] with a bias on the attention's logits: a mask.
    ///
    /// # Shapes
    /// - input, output: `[batch, tokens, width]`
    /// - bias: `[batch or 1, 1, tokens or 1, tokens]`
    pub fn forward_biased(&self, input: Tensor<B, 3>, bias: Tensor<B, 4>) -> Tensor<B, 3> {
        let attended = input.clone() + self.attention.forward(self.first_norm.forward(input), Some(bias));
        self.mlp.add(&attended.into(), &self.second_norm).rows
    }
}

fn attention_names(name: &str) -> [String; 4] {
    ["q_proj", "k_proj", "v_proj", "out_proj"].map(|product| format!("{name}.self_attn.{product}"))
}

fn mlp_names(name: &str) -> [String; 2] {
    ["fc1", "fc2"].map(|product| format!("{name}.mlp.{product}"))
}
