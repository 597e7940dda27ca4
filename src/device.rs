//! Burn's backends that this crate runs on.

/// The native CPU through Burn: training, and the reference that other devices are held against.
#[cfg(feature = "flex")]
pub type NativeCpu = burn::backend::Flex;

/// Training's backend on the native CPU.
#[cfg(feature = "train")]
pub type TrainingCpu = burn::backend::Autodiff<NativeCpu>;

/// Training's backend on a GPU: Vulkan, Metal or DirectX 12 through wgpu.
#[cfg(feature = "gpu")]
pub type TrainingGpu = burn::backend::Autodiff<burn_wgpu::Wgpu>;
