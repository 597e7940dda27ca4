//! A pre-norm transformer block, CLIP's.

use burn::module::Module;
use burn::nn::{LayerNorm, Linear};
use burn::tensor::{Tensor, backend::Backend};

use super::activate;
use super::attention::{Attention, AttentionShape};
use super::linear::{EPSILON, load_linear, load_norm, save_linear, save_norm};
use crate::config::Activation;
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

impl<B: Backend> Mlp<B> {
    /// From the tensors `{names[0]}` `[hidden, width]` and `{names[1]}` `[width, hidden]`.
    pub fn load(
        weights: &mut Weights,
        names: &[String; 2],
        [width, hidden]: [usize; 2],
        activation: Activation,
        device: &B::Device,
    ) -> Result<Self> {
        Ok(Self {
            first: load_linear(weights, &names[..1], [width, hidden], true, device)?,
            second: load_linear(weights, &names[1..], [hidden, width], true, device)?,
            activation,
        })
    }

    /// The inverse of [`Mlp::load`].
    pub fn save(&self, weights: &mut Weights, names: &[String; 2]) -> Result<()> {
        save_linear(weights, &names[..1], &self.first)?;
        save_linear(weights, &names[1..], &self.second)
    }

    /// # Shapes
    /// - input, output: `[batch, tokens, width]`
    pub fn forward(&self, input: Tensor<B, 3>) -> Tensor<B, 3> {
        let [batch, tokens, width] = input.dims();
        let hidden = self.first.forward(input.reshape([batch * tokens, width]));
        self.second.forward(activate(self.activation, hidden)).reshape([batch, tokens, width])
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

impl<B: Backend> Block<B> {
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
        Ok(Self {
            first_norm: load_norm(weights, &format!("{name}.layer_norm1"), width, EPSILON, device)?,
            attention: Attention::load_shaped(weights, &attention_names(name), attention, device)?,
            second_norm: load_norm(weights, &format!("{name}.layer_norm2"), width, EPSILON, device)?,
            mlp: Mlp::load(weights, &mlp_names(name), [width, *hidden], *activation, device)?,
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
    pub fn forward(&self, input: Tensor<B, 3>) -> Tensor<B, 3> {
        self.forward_biased(input, None)
    }

    /// The same with a bias on the attention's logits: a mask.
    ///
    /// # Shapes
    /// - input, output: `[batch, tokens, width]`
    /// - bias: `[batch or 1, 1, tokens or 1, tokens]`
    pub fn forward_biased(&self, input: Tensor<B, 3>, bias: Option<Tensor<B, 4>>) -> Tensor<B, 3> {
        let attended = input.clone() + self.attention.forward(self.first_norm.forward(input), bias);
        attended.clone() + self.mlp.forward(self.second_norm.forward(attended))
    }
}

fn attention_names(name: &str) -> [String; 4] {
    ["q_proj", "k_proj", "v_proj", "out_proj"].map(|product| format!("{name}.self_attn.{product}"))
}

fn mlp_names(name: &str) -> [String; 2] {
    ["fc1", "fc2"].map(|product| format!("{name}.mlp.{product}"))
}
