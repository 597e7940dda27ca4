//! The model on Burn, generic over its backend: training's, and the reference of the other engines.

mod cliper;
pub(crate) mod device;
mod image_encoder;
pub mod nn;
mod temporal_head;
#[cfg(feature = "text")]
pub mod text;

pub use cliper::Cliper;
#[cfg(feature = "flex")]
pub use device::NativeCpu;
#[cfg(feature = "train")]
pub use device::TrainingCpu;
#[cfg(feature = "gpu")]
pub use device::{TrainingGpu, has_gpu};
pub use image_encoder::ImageEncoder;
pub use temporal_head::TemporalHead;
