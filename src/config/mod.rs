//! The towers' configurations and their presets; no tensors.

mod encoder;
pub(crate) mod layout;
mod preprocess;
mod temporal;
mod text;

use serde::{Deserialize, Serialize};

pub use encoder::{EncoderConfig, PRESETS, StemStage, TokenPool};
pub use preprocess::{CropRounding, Interpolation, PreprocessConfig, ResizeConfig, ResizeMode};
pub use temporal::TemporalConfig;
pub use text::ClipTextConfig;

/// Layer norm's epsilon in every CLIP vision tower (`layer_norm_eps` of `CLIPVisionConfig`).
pub const LAYER_NORM_EPSILON: f32 = 1e-5;

/// Most frames of a window.
pub const MAX_WINDOW: usize = 1024;

/// The MLP's activation. OpenAI's weights use [`Activation::QuickGelu`], most others [`Activation::Gelu`]:
/// a checkpoint does not say, so a configuration must.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Activation {
    /// `x * sigmoid(1.702 x)`.
    QuickGelu,
    /// The exact `x * Phi(x)`.
    Gelu,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`: DFER-CLIP's temporal head has it.
    GeluTanh,
    /// `max(x, 0)`: the cheapest on every device; ours uses it.
    Relu,
}

/// Weight and bias of a layer norm.
fn norm_tensors(name: &str, width: usize) -> [(String, Vec<usize>); 2] {
    ["weight", "bias"].map(|part| (format!("{name}.{part}"), vec![width]))
}

/// The tensors of one transformer block.
pub(crate) fn block_tensors(block: &str, width: usize) -> Vec<(String, Vec<usize>)> {
    let mut tensors = Vec::from(norm_tensors(&format!("{block}.layer_norm1"), width));
    for product in ["q_proj", "k_proj", "v_proj", "out_proj"] {
        tensors.push((format!("{block}.self_attn.{product}.weight"), vec![width, width]));
        tensors.push((format!("{block}.self_attn.{product}.bias"), vec![width]));
    }
    tensors.extend(norm_tensors(&format!("{block}.layer_norm2"), width));
    tensors.push((format!("{block}.mlp.fc1.weight"), vec![4 * width, width]));
    tensors.push((format!("{block}.mlp.fc1.bias"), vec![4 * width]));
    tensors.push((format!("{block}.mlp.fc2.weight"), vec![width, 4 * width]));
    tensors.push((format!("{block}.mlp.fc2.bias"), vec![width]));
    tensors
}
