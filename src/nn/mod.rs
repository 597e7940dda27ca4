//! Building blocks on Burn without faces in them, each with its load from and save to named tensors.

mod attention;
mod block;
mod linear;
mod patches;
mod stem;

pub use attention::Attention;
pub use block::{Block, Mlp};
pub use linear::{load_linear, load_norm, load_param, save_linear, save_norm, save_param};
pub use patches::patches;
pub use stem::Stage;

use burn::tensor::{Tensor, activation, backend::Backend};

use crate::config::Activation;

/// Applies the activation.
pub fn activate<B: Backend, const D: usize>(kind: Activation, input: Tensor<B, D>) -> Tensor<B, D> {
    match kind {
        Activation::QuickGelu => input.clone() * activation::sigmoid(input * 1.702),
        Activation::Gelu => activation::gelu(input),
        Activation::Relu => activation::relu(input),
    }
}
