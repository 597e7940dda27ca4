//! Linear layers: their named tensors to parameters and back.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, backend::Backend};

use super::norm::NormValues;
use super::parameters::{save_param, to_device};
use crate::config::Activation;
use crate::engine::burn::ops::EncoderOps;
use crate::error::Result;
use crate::tensors::{Precision, Weights};

/// A linear layer, its parameters as the backend's products read them.
#[derive(Module, Debug)]
pub struct Linear<B: Backend> {
    /// `[inputs, outputs]`, or a backend's own form.
    pub weight: Param<Tensor<B, 2>>,
    /// `[outputs]`, or a backend's own form.
    pub bias: Option<Param<Tensor<B, 1>>>,
    #[module(skip)]
    shape: LinearShape,
}

/// Sizes of a linear layer, and the form of its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinearShape {
    /// Values of a row that it reads.
    pub inputs: usize,
    /// Values of a row that it gives.
    pub outputs: usize,
    /// How a backend's own form stores a value; `None` for Burn's form.
    pub packed: Option<Precision>,
}

/// A linear layer on its way to a device.
#[derive(Debug)]
pub struct LinearValues<'a> {
    /// `[outputs, inputs]`.
    pub rows: Vec<f32>,
    /// `[outputs]`, or none.
    pub bias: Option<Vec<f32>>,
    /// Values of a row.
    pub inputs: usize,
    /// The norm that what it reads goes through, where one does.
    pub norm: Option<&'a NormValues>,
    /// How a backend with a form of its own is to store the matrix.
    pub precision: Precision,
}

impl<B: Backend> Linear<B> {
    /// In Burn's form.
    pub fn columns(values: LinearValues<'_>, device: &B::Device) -> Self {
        let inputs = values.inputs;
        let outputs = values.rows.len() / inputs;
        // Transposed here, on the host: a transposed view would keep the slow layout for every product.
        let mut columns = vec![0.0; values.rows.len()];
        for (row, values) in values.rows.chunks_exact(inputs).enumerate() {
            for (column, &value) in values.iter().enumerate() {
                columns[column * outputs + row] = value;
            }
        }
        let weight = to_device(columns, [inputs, outputs], device);
        let bias = values.bias.map(|bias| to_device(bias, [outputs], device));
        Self::of(weight, bias, LinearShape { inputs, outputs, packed: None })
    }

    /// Of parameters on the device.
    pub fn of(weight: Tensor<B, 2>, bias: Option<Tensor<B, 1>>, shape: LinearShape) -> Self {
        Self { weight: Param::from_tensor(weight), bias: bias.map(Param::from_tensor), shape }
    }

    /// Its sizes and form.
    pub fn shape(&self) -> LinearShape {
        self.shape
    }
}

impl<B: EncoderOps> Linear<B> {
    /// # Shapes
    /// - input: `[rows, inputs]`
    /// - output: `[rows, outputs]`
    pub fn forward(&self, input: Tensor<B, 2>) -> Tensor<B, 2> {
        <B as EncoderOps>::linear(input, self, None)
    }

    /// The same, then the activation.
    pub fn activated(&self, input: Tensor<B, 2>, activation: Activation) -> Tensor<B, 2> {
        <B as EncoderOps>::linear(input, self, Some(activation))
    }
}

/// A linear layer from `weight` `[output, input]` and, where it has one, `bias` `[output]`. Several names make one
/// layer whose outputs stand side by side (queries, keys and values in one product).
///
/// - norm: the layer norm that what it reads goes through, where one does
pub fn load_linear<B: EncoderOps>(
    weights: &mut Weights,
    names: &[String],
    [input, output]: [usize; 2],
    bias: bool,
    norm: Option<&NormValues>,
    device: &B::Device,
) -> Result<Linear<B>> {
    let (mut rows, mut shifts) = (Vec::new(), Vec::new());
    for name in names {
        rows.extend(weights.take(&format!("{name}.weight"), &[output, input])?);
        if bias {
            shifts.extend(weights.take(&format!("{name}.bias"), &[output])?);
        }
    }
    let precision = weights.matrices;
    Ok(B::matrix(LinearValues { rows, bias: bias.then_some(shifts), inputs: input, norm, precision }, device))
}

/// The inverse of [`load_linear`], of a layer in Burn's form.
pub fn save_linear<B: Backend>(weights: &mut Weights, names: &[String], linear: &Linear<B>) -> Result<()> {
    for (name, weight) in names.iter().zip(linear.weight.val().transpose().chunk(names.len(), 0)) {
        save_param(weights, &format!("{name}.weight"), weight)?;
    }
    if let Some(bias) = &linear.bias {
        for (name, bias) in names.iter().zip(bias.val().chunk(names.len(), 0)) {
            save_param(weights, &format!("{name}.bias"), bias)?;
        }
    }
    Ok(())
}
