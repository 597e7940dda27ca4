//! The temporal head: a window's frame embeddings -> one embedding that knows their order.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::config::{Activation, TemporalConfig};
use crate::engine::burn::nn::{AttentionShape, Block, BlockShape, load_param, save_param, unit_length};
use crate::engine::burn::ops::EncoderOps;
use crate::error::Result;
use crate::tensors::Weights;

/// The temporal head of one configuration.
///
/// Frames stand at the last positions: the newest frame's is always the same, and a window that is not full yet
/// leaves the first positions out.
#[derive(Module, Debug)]
pub struct TemporalHead<B: Backend> {
    class_embedding: Param<Tensor<B, 1>>,
    position_embedding: Param<Tensor<B, 2>>,
    blocks: Vec<Block<B>>,
}

impl<B: EncoderOps> TemporalHead<B> {
    /// From named tensors, which it takes out of `weights` ([`TemporalConfig::tensors`] lists them).
    pub fn load(weights: &mut Weights, config: &TemporalConfig, width: usize, device: &B::Device) -> Result<Self> {
        config.validate()?;
        let TemporalConfig { frames, layers, heads, head_width, hidden } = *config;
        let shape = BlockShape {
            attention: AttentionShape { width, heads, head_width, joint_bias: false },
            hidden,
            activation: Activation::GeluTanh,
        };
        Ok(Self {
            class_embedding: load_param(weights, "temporal.class_embedding", [width], device)?,
            position_embedding: load_param(weights, "temporal.position_embedding.weight", [frames + 1, width], device)?,
            blocks: (0..layers)
                .map(|layer| Block::load_shaped(weights, &format!("temporal.layers.{layer}"), &shape, device))
                .collect::<Result<_>>()?,
        })
    }

    /// The inverse of [`TemporalHead::load`].
    pub fn save(&self, weights: &mut Weights) -> Result<()> {
        save_param(weights, "temporal.class_embedding", self.class_embedding.val())?;
        save_param(weights, "temporal.position_embedding.weight", self.position_embedding.val())?;
        self.blocks
            .iter()
            .enumerate()
            .try_for_each(|(layer, block)| block.save(weights, &format!("temporal.layers.{layer}")))
    }

    /// # Shapes
    /// - frames: `[batch, time, embedding]`, the oldest first, as the encoder gives them (of any length); at most as
    ///   many as the head has positions
    /// - output: `[batch, embedding]`, unit length
    pub fn forward(&self, frames: Tensor<B, 3>) -> Tensor<B, 2> {
        let [batch, _, width] = frames.dims();
        unit_length(self.class_token(frames).reshape([batch, width]))
    }

    /// The same at its own length.
    ///
    /// # Shapes
    /// - output: `[batch, 1, embedding]`
    pub fn class_token(&self, frames: Tensor<B, 3>) -> Tensor<B, 3> {
        let mut hidden = B::embed(frames, Some(self.class_embedding.val()), self.position_embedding.val(), None);
        for (index, block) in self.blocks.iter().enumerate() {
            let [_, tokens, _] = hidden.rows.dims();
            hidden = block.forward_first(&hidden, if index + 1 == self.blocks.len() { 1 } else { tokens });
        }
        hidden.rows
    }

    /// [`TemporalHead::forward`] where windows are filled differently: of each, only the newest frames are seen.
    ///
    /// # Shapes
    /// - as [`TemporalHead::forward`]
    /// - filled: `[batch]`, each 1 to `time`
    pub fn forward_masked(&self, frames: Tensor<B, 3>, filled: &[usize]) -> Tensor<B, 2> {
        let [batch, time, width] = frames.dims();
        let hidden = |filled: usize| (0..=time).map(move |place| place > 0 && place + filled <= time);
        let bias: Vec<f32> =
            filled.iter().flat_map(|&filled| hidden(filled)).map(|h| if h { -1e9 } else { 0.0 }).collect();
        let bias = Tensor::from_data(TensorData::new(bias, [batch, 1, 1, time + 1]), &frames.device());
        let mut hidden = B::embed(frames, Some(self.class_embedding.val()), self.position_embedding.val(), None).rows;
        for block in &self.blocks {
            hidden = block.forward_biased(hidden, bias.clone());
        }
        unit_length(hidden.narrow(1, 0, 1).reshape([batch, width]))
    }
}
