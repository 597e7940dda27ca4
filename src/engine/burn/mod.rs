//! The model on Burn, generic over its backend: training's, the reference of the CPU's engine, and what runs on WebGPU.

mod cliper;
pub(crate) mod device;
mod image_encoder;
pub mod nn;
pub mod ops;
mod temporal_head;
#[cfg(feature = "text")]
pub mod text;
#[cfg(any(test, all(feature = "webgpu", target_arch = "wasm32")))]
pub mod wgpu;

pub use cliper::Cliper;
#[cfg(feature = "flex")]
pub use device::NativeCpu;
#[cfg(feature = "train")]
pub use device::TrainingCpu;
#[cfg(feature = "gpu")]
pub use device::{TrainingGpu, has_gpu};
pub use image_encoder::ImageEncoder;
pub use temporal_head::TemporalHead;
