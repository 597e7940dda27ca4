//! One stage of the convolutional stem: a 3x3 convolution as a gather and a product, and an activation.
//!
//! In training a batch norm stands between: without it, an encoder that starts from nothing stays at the classes'
//! shares for hundreds of steps. [`StemStage::fold`] puts it into the convolution, and no device ever runs it.

use burn::module::Module;
use burn::tensor::{Int, Tensor, backend::Backend};

#[cfg(feature = "train")]
use burn::{optim::GradientsParams, tensor::TensorData};

use super::activate;
use super::linear::{Linear, load_linear};
use super::norm::{EPSILON, LayerNorm, load_norm, save_norm};
#[cfg(feature = "train")]
use super::parameters::host;
use super::parameters::save_param;
use crate::config::Activation;
use crate::config::layout::{StageLayout, channels_last};
use crate::engine::burn::ops::EncoderOps;
use crate::error::Result;
use crate::tensors::{Values, Weights};

/// A stage's parameters on the host, or their gradients.
#[cfg(feature = "train")]
#[derive(Debug, Clone, PartialEq)]
pub struct StageValues {
    /// Of the convolution, `[3 * 3, channels, output channels]`.
    pub weight: Vec<f32>,
    /// Scale of the batch norm, `[output channels]`.
    pub gamma: Vec<f32>,
    /// Shift of the batch norm, `[output channels]`.
    pub beta: Vec<f32>,
}

/// Convolution, batch norm while it is trained, activation.
#[derive(Module, Debug)]
pub struct StemStage<B: Backend> {
    convolution: Linear<B>,
    /// Scale and shift of the batch norm.
    norm: Option<LayerNorm<B>>,
    taps: Tensor<B, 1, Int>,
    #[module(skip)]
    layout: StageLayout,
    #[module(skip)]
    activation: Activation,
}

impl<B: EncoderOps> StemStage<B> {
    /// From the tensors of one `vision_model.embeddings.stem.i`, in training with `norm.weight` and `norm.bias`.
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
        let mut rows = weights.emptied();
        rows.insert(
            &format!("{convolution}.weight"),
            Values { shape: vec![output, 9 * channels], data: channels_last(&weight, channels, 3) },
        )?;
        let bias = weights.take(&format!("{convolution}.bias"), &[output])?;
        rows.insert(&format!("{convolution}.bias"), Values { shape: vec![output], data: bias })?;
        // Batch norms are trained, natively: a browser's file carries nothing for them, and refuses their tensors.
        let is_trained = cfg!(not(target_arch = "wasm32")) && weights.get(&format!("{name}.norm.weight")).is_some();
        Ok(Self {
            convolution: load_linear(&mut rows, &[convolution], [9 * channels, output], true, None, device)?,
            norm: match is_trained {
                true => Some(load_norm(weights, &format!("{name}.norm"), output, EPSILON, device)?),
                false => None,
            },
            taps: B::taps(&layout, device),
            layout,
            activation,
        })
    }

    /// The inverse of [`StemStage::load`].
    pub fn save(&self, weights: &mut Weights, name: &str) -> Result<()> {
        let (channels, output) = (self.layout.channels, self.layout.stage.channels);
        let weight = self.convolution.weight.val().reshape([3, 3, channels, output]).permute([3, 2, 0, 1]);
        save_param(weights, &format!("{name}.convolution.weight"), weight)?;
        if let Some(bias) = &self.convolution.bias {
            save_param(weights, &format!("{name}.convolution.bias"), bias.val())?;
        }
        match &self.norm {
            Some(norm) => save_norm(weights, &format!("{name}.norm"), norm),
            None => Ok(()),
        }
    }

    /// # Shapes
    /// - input: `[batch, side * side, channels]`
    /// - output: `[batch, output side * output side, output channels]`
    pub fn forward(&self, input: Tensor<B, 3>) -> Tensor<B, 3> {
        let [batch, ..] = input.dims();
        let rows = B::convolution_rows(input, &self.layout, &self.taps);
        let shape = [batch, self.positions(), self.layout.stage.channels];
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(norm) = &self.norm {
            let normed = normalise(self.convolution.forward(rows), norm).0;
            return activate(self.activation, normed).reshape(shape);
        }
        B::view(self.convolution.activated(rows, self.activation), shape)
    }

    /// Runs the stage and puts its batch norm, with the statistics of this input, into the saved convolution.
    pub fn fold(&self, input: Tensor<B, 3>, weights: &mut Weights, name: &str) -> Result<Tensor<B, 3>> {
        let Some(norm) = &self.norm else {
            self.save(weights, name)?;
            return Ok(self.forward(input));
        };
        let [batch, ..] = input.dims();
        let (channels, output) = (self.layout.channels, self.layout.stage.channels);
        let (normed, mean, scale) =
            normalise(self.convolution.forward(B::convolution_rows(input, &self.layout, &self.taps)), norm);
        let weight = self.convolution.weight.val() * scale.clone();
        let weight = weight.reshape([3, 3, channels, output]).permute([3, 2, 0, 1]);
        save_param(weights, &format!("{name}.convolution.weight"), weight)?;
        let mut shift = mean.neg();
        if let Some(bias) = &self.convolution.bias {
            shift = shift + bias.val().unsqueeze_dim(0);
        }
        shift = shift * scale;
        shift = shift + norm.beta.val().unsqueeze_dim(0);
        save_param(weights, &format!("{name}.convolution.bias"), shift.reshape([output]))?;
        Ok(activate(self.activation, normed).reshape([batch, self.positions(), output]))
    }

    /// The parameters on the host; none without a batch norm.
    #[cfg(feature = "train")]
    pub fn values(&self) -> Option<StageValues> {
        let norm = self.norm.as_ref()?;
        Some(StageValues {
            weight: host(self.convolution.weight.val()),
            gamma: host(norm.gamma.val()),
            beta: host(norm.beta.val()),
        })
    }

    /// Adds gradients that were computed outside Burn. The convolution's shift has none: the batch norm takes it off.
    #[cfg(feature = "train")]
    pub fn register<I: Backend>(&self, gradients: &mut GradientsParams, values: StageValues, device: &I::Device) {
        let Some(norm) = &self.norm else { return };
        let shape = self.convolution.weight.dims();
        let weight = Tensor::<I, 2>::from_data(TensorData::new(values.weight, shape), device);
        gradients.register(self.convolution.weight.id, weight);
        let vector = |values: Vec<f32>| {
            let length = values.len();
            Tensor::<I, 1>::from_data(TensorData::new(values, [length]), device)
        };
        gradients.register(norm.gamma.id, vector(values.gamma));
        gradients.register(norm.beta.id, vector(values.beta));
    }

    fn positions(&self) -> usize {
        self.layout.output_side().pow(2)
    }
}

/// Batch norm over rows: the normed rows, and the mean and scale `[1, channels]` it took.
fn normalise<B: Backend>(rows: Tensor<B, 2>, norm: &LayerNorm<B>) -> (Tensor<B, 2>, Tensor<B, 2>, Tensor<B, 2>) {
    let mean = rows.clone().mean_dim(0);
    let centred = rows - mean.clone();
    let variance = (centred.clone() * centred.clone()).mean_dim(0);
    let scale = norm.gamma.val().unsqueeze_dim::<2>(0) / (variance + EPSILON).sqrt();
    let normed = centred * scale.clone() + norm.beta.val().unsqueeze_dim(0);
    (normed, mean, scale)
}
