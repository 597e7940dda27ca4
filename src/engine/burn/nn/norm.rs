//! Layer norms: their named tensors to parameters and back.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorPrimitive, backend::Backend};

use super::parameters::{save_param, to_device};
use crate::config::LAYER_NORM_EPSILON;
use crate::error::Result;
use crate::tensors::Weights;

/// CLIP's epsilon as Burn takes it.
pub(crate) const EPSILON: f64 = LAYER_NORM_EPSILON as f64;

/// A layer norm. Burn's own can only be made together with every initializer, random ones too, which a browser's file
/// would carry.
#[derive(Module, Debug)]
pub struct LayerNorm<B: Backend> {
    /// The scale, `[width]`.
    pub gamma: Param<Tensor<B, 1>>,
    /// The shift, `[width]`.
    pub beta: Param<Tensor<B, 1>>,
    #[module(skip)]
    epsilon: f64,
}

/// A layer norm on its way to a device.
#[derive(Debug)]
pub struct NormValues {
    /// `[width]`.
    pub scale: Vec<f32>,
    /// `[width]`.
    pub shift: Vec<f32>,
}

impl<B: Backend> LayerNorm<B> {
    /// Norms the last axis.
    pub fn forward<const D: usize>(&self, input: Tensor<B, D>) -> Tensor<B, D> {
        let parameter = |parameter: &Param<Tensor<B, 1>>| parameter.val().into_primitive().tensor();
        let (gamma, beta) = (parameter(&self.gamma), parameter(&self.beta));
        let normed = B::layer_norm(input.into_primitive().tensor(), gamma, Some(beta), self.epsilon);
        Tensor::from_primitive(TensorPrimitive::Float(normed))
    }
}

impl NormValues {
    /// From `weight` and `bias`, `[width]` each.
    pub fn take(weights: &mut Weights, name: &str, width: usize) -> Result<Self> {
        Ok(Self {
            scale: weights.take(&format!("{name}.weight"), &[width])?,
            shift: weights.take(&format!("{name}.bias"), &[width])?,
        })
    }

    /// On a device.
    pub fn layer<B: Backend>(self, epsilon: f64, device: &B::Device) -> LayerNorm<B> {
        let width = self.scale.len();
        let parameter = |values| Param::from_tensor(to_device(values, [width], device));
        LayerNorm { gamma: parameter(self.scale), beta: parameter(self.shift), epsilon }
    }
}

/// A layer norm from `weight` and `bias`, `[width]` each.
pub fn load_norm<B: Backend>(
    weights: &mut Weights,
    name: &str,
    width: usize,
    epsilon: f64,
    device: &B::Device,
) -> Result<LayerNorm<B>> {
    Ok(NormValues::take(weights, name, width)?.layer(epsilon, device))
}

/// The inverse of [`load_norm`].
pub fn save_norm<B: Backend>(weights: &mut Weights, name: &str, norm: &LayerNorm<B>) -> Result<()> {
    save_param(weights, &format!("{name}.weight"), norm.gamma.val())?;
    save_param(weights, &format!("{name}.bias"), norm.beta.val())
}
