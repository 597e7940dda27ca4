//! Building blocks on Burn without faces in them, each with its load from and save to named tensors.

mod attention;
mod block;
mod linear;
mod norm;
mod parameters;
mod stem;

pub use attention::{Attention, AttentionShape};
pub use block::{Block, BlockShape, Mlp};
pub use linear::{Linear, LinearShape, LinearValues, load_linear, save_linear};
pub use norm::{LayerNorm, NormValues, load_norm, save_norm};
pub use parameters::{load_param, save_param, to_device};
#[cfg(feature = "train")]
pub use stem::StageValues;
pub use stem::StemStage;

use burn::tensor::{Tensor, activation, backend::Backend};

use crate::config::Activation;

/// Brings each row to unit length.
pub fn unit_length<B: Backend>(rows: Tensor<B, 2>) -> Tensor<B, 2> {
    let length = (rows.clone() * rows.clone()).sum_dim(1).sqrt().clamp_min(1e-12);
    rows / length
}

/// Applies the activation.
pub fn activate<B: Backend, const D: usize>(kind: Activation, input: Tensor<B, D>) -> Tensor<B, D> {
    match kind {
        Activation::QuickGelu => input.clone() * activation::sigmoid(input * 1.702),
        Activation::Gelu => activation::gelu(input),
        Activation::GeluTanh => {
            // (1 + tanh(z)) / 2 = sigmoid(2 z), with 2 sqrt(2 / pi) = 1.595769.
            let cube = input.clone() * input.clone() * input.clone();
            input.clone() * activation::sigmoid((input + cube * 0.044_715) * 1.595_769_2)
        }
        Activation::Relu => activation::relu(input),
    }
}
