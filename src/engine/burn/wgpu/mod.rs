//! The model on Burn's wgpu backend in a browser, its operations in WGSL of our own.
//!
//! A general engine launches a kernel an operation, each with its own pass over memory. Here a transformer block is
//! five: products that carry the norm before them, bias, activation and residual, and one attention.
//!
//! | file | job |
//! |---|---|
//! | `ops` | the operations, as kernels over Burn's tensors |
//! | `kernels` | their WGSL, in two families: plain for software adapters, shared for hardware |
//! | `pack` | linear layers -> the bytes that the kernels read |
//! | `device` | the adapter, its limits and what becomes of it |
//! | `read` | the one read-back |

#[cfg(target_arch = "wasm32")]
mod device;
#[cfg(target_arch = "wasm32")]
mod kernels;
#[cfg(target_arch = "wasm32")]
mod ops;
mod pack;
#[cfg(target_arch = "wasm32")]
mod read;

#[cfg(target_arch = "wasm32")]
pub use device::{Wgpu, check, is_lossless, start};
#[cfg(target_arch = "wasm32")]
pub use kernels::Adapter;
