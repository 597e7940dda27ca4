//! Linear layers and layer norms: their named tensors to Burn's parameters and back.

use burn::module::Param;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::config::LAYER_NORM_EPSILON;
use crate::error::Result;
use crate::tensors::{Values, Weights};

/// A parameter from a named tensor of exactly this shape.
pub fn load_param<B: Backend, const D: usize>(
    weights: &mut Weights,
    name: &str,
    shape: [usize; D],
    device: &B::Device,
) -> Result<Param<Tensor<B, D>>> {
    let data = weights.take(name, &shape)?;
    Ok(Param::from_tensor(Tensor::from_data(TensorData::new(data, shape), device)))
}

/// The inverse of [`load_param`].
pub fn save_param<B: Backend, const D: usize>(weights: &mut Weights, name: &str, tensor: Tensor<B, D>) -> Result<()> {
    let shape = tensor.dims().to_vec();
    weights.insert(name, Values { shape, data: host(tensor) })
}

/// A parameter's values; none where the device gave none back, which every check of a length finds.
pub(super) fn host<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().to_vec().unwrap_or_default()
}

/// A linear layer from `weight` `[output, input]` and, where it has one, `bias` `[output]`. Several names make one
/// layer whose outputs stand side by side (queries, keys and values in one product).
pub fn load_linear<B: Backend>(
    weights: &mut Weights,
    names: &[String],
    [input, output]: [usize; 2],
    bias: bool,
    device: &B::Device,
) -> Result<Linear<B>> {
    let mut linear = LinearConfig::new(1, 1).with_bias(false).init(device);
    let (mut rows, mut shifts) = (Vec::new(), Vec::new());
    for name in names {
        rows.extend(weights.take(&format!("{name}.weight"), &[output, input])?);
        if bias {
            shifts.extend(weights.take(&format!("{name}.bias"), &[output])?);
        }
    }
    let outputs = output * names.len();
    // Transposed here, on the host: a transposed view would keep the slow layout for every product.
    let mut columns = vec![0.0; rows.len()];
    for (row, values) in rows.chunks_exact(input).enumerate() {
        for (column, &value) in values.iter().enumerate() {
            columns[column * outputs + row] = value;
        }
    }
    linear.weight = Param::from_tensor(Tensor::from_data(TensorData::new(columns, [input, outputs]), device));
    linear.bias = bias.then(|| Param::from_tensor(Tensor::from_data(TensorData::new(shifts, [outputs]), device)));
    Ok(linear)
}

/// The inverse of [`load_linear`].
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

/// A layer norm from `weight` and `bias`, `[width]` each.
pub fn load_norm<B: Backend>(
    weights: &mut Weights,
    name: &str,
    width: usize,
    epsilon: f64,
    device: &B::Device,
) -> Result<LayerNorm<B>> {
    let mut norm = LayerNormConfig::new(1).with_epsilon(epsilon).init(device);
    norm.gamma = load_param(weights, &format!("{name}.weight"), [width], device)?;
    norm.beta = Some(load_param(weights, &format!("{name}.bias"), [width], device)?);
    Ok(norm)
}

/// The inverse of [`load_norm`].
pub fn save_norm<B: Backend>(weights: &mut Weights, name: &str, norm: &LayerNorm<B>) -> Result<()> {
    save_param(weights, &format!("{name}.weight"), norm.gamma.val())?;
    if let Some(beta) = &norm.beta {
        save_param(weights, &format!("{name}.bias"), beta.val())?;
    }
    Ok(())
}

/// CLIP's epsilon as Burn takes it.
pub(crate) const EPSILON: f64 = LAYER_NORM_EPSILON as f64;
