//! One stage of the convolutional stem: a 3x3 convolution as a gather and a product, a layer norm, an activation.

use burn::module::Module;
use burn::nn::{LayerNorm, Linear};
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

use super::activate;
use super::linear::{EPSILON, load_linear, load_norm, save_norm, save_param};
use crate::bundle::{Values, Weights};
use crate::config::Activation;
use crate::error::Result;
use crate::model::layout::{StageLayout, channels_last};

/// Convolution, norm, activation.
#[derive(Module, Debug)]
pub struct Stage<B: Backend> {
    convolution: Linear<B>,
    norm: LayerNorm<B>,
    taps: Tensor<B, 1, Int>,
    #[module(skip)]
    layout: StageLayout,
    #[module(skip)]
    activation: Activation,
}

impl<B: Backend> Stage<B> {
    /// From the tensors of one `vision_model.embeddings.stem.i`.
    pub fn load(
        weights: &mut Weights,
        name: &str,
        layout: StageLayout,
        activation: Activation,
        device: &B::Device,
    ) -> Result<Self> {
        let (channels, output) = (layout.channels, layout.stage.channels);
        let convolution = format!("{name}.convolution");
        let weight = weights.take(&format!("{convolution}.weight"), &[output, channels, 3, 3])?;
        let mut rows = Weights::default();
        rows.insert(
            &format!("{convolution}.weight"),
            Values { shape: vec![output, 9 * channels], data: channels_last(&weight, channels, 3) },
        )?;
        let bias = weights.take(&format!("{convolution}.bias"), &[output])?;
        rows.insert(&format!("{convolution}.bias"), Values { shape: vec![output], data: bias })?;
        let taps: Vec<i32> = layout.taps().iter().map(|&tap| tap as i32).collect();
        let length = taps.len();
        Ok(Self {
            convolution: load_linear(&mut rows, &[convolution], [9 * channels, output], true, device)?,
            norm: load_norm(weights, &format!("{name}.norm"), output, EPSILON, device)?,
            taps: Tensor::from_data(TensorData::new(taps, [length]), device),
            layout,
            activation,
        })
    }

    /// The inverse of [`Stage::load`].
    pub fn save(&self, weights: &mut Weights, name: &str) -> Result<()> {
        let (channels, output) = (self.layout.channels, self.layout.stage.channels);
        let weight = self.convolution.weight.val().reshape([3, 3, channels, output]).permute([3, 2, 0, 1]);
        save_param(weights, &format!("{name}.convolution.weight"), weight)?;
        if let Some(bias) = &self.convolution.bias {
            save_param(weights, &format!("{name}.convolution.bias"), bias.val())?;
        }
        save_norm(weights, &format!("{name}.norm"), &self.norm)
    }

    /// # Shapes
    /// - input: `[batch, side * side, channels]`
    /// - output: `[batch, output side * output side, output channels]`
    pub fn forward(&self, input: Tensor<B, 3>) -> Tensor<B, 3> {
        let [batch, pixels, channels] = input.dims();
        let device = input.device();
        let positions = self.layout.output_side().pow(2);
        let border = Tensor::zeros([batch, 1, channels], &device);
        let padded = Tensor::cat(vec![input, border], 1).reshape([batch * (pixels + 1), channels]);
        // One flat gather for the whole batch: rows of one matrix are what every backend moves fastest.
        let taps = self.taps.clone();
        let taps = if batch == 1 {
            taps
        } else {
            let starts = Tensor::<B, 1, Int>::arange(0..batch as i64, &device) * (pixels as i32 + 1);
            (starts.unsqueeze_dim::<2>(1) + taps.unsqueeze_dim::<2>(0)).flatten(0, 1)
        };
        let rows = padded.select(0, taps).reshape([batch * positions, 9 * channels]);
        let output = self.norm.forward(self.convolution.forward(rows));
        activate(self.activation, output).reshape([batch, positions, self.layout.stage.channels])
    }
}
