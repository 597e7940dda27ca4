//! Parameters: named tensors to a device and back.

use burn::module::Param;
use burn::tensor::{Tensor, TensorData, TensorPrimitive, backend::Backend};

use crate::error::Result;
use crate::tensors::{Values, Weights};

/// Values on a device. Burn's own way can convert between all number formats, which a browser's file would carry.
pub fn to_device<B: Backend, const D: usize>(values: Vec<f32>, shape: [usize; D], device: &B::Device) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(B::float_from_data(TensorData::new(values, shape), device)))
}

/// A parameter from a named tensor of exactly this shape.
pub fn load_param<B: Backend, const D: usize>(
    weights: &mut Weights,
    name: &str,
    shape: [usize; D],
    device: &B::Device,
) -> Result<Param<Tensor<B, D>>> {
    let data = weights.take(name, &shape)?;
    Ok(Param::from_tensor(to_device(data, shape, device)))
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
