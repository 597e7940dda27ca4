//! The lean WebGPU encoder: the configuration and weights of `engine::burn` without Burn, for the browser.
//!
//! A general engine launches a kernel an operation, each with its own pass over memory. Here a transformer block is
//! seven kernels: norms, products that carry bias, activation and residual, and one attention. Weights are uploaded
//! once; a pass writes the pixels, submits one list of commands and reads the embeddings back.
//!
//! | file | job |
//! |---|---|
//! | `plan` | configuration and batch -> buffers, weights and steps, as plain data |
//! | `kernels` | the WGSL of a configuration, in two families: plain for software adapters, shared for hardware |
//! | `pack` | tensors -> the bytes that the kernels read |
//! | `patches` | what follows the tokens' mean, on the host: for evidence, which needs the tokens |
//! | `encoder` | both through a [`Gpu`]: whatever executes plans (in a browser `www/src/worker/gpu.ts`) |

mod encoder;
mod kernels;
mod pack;
mod patches;
mod plan;

pub use encoder::{Gpu, GpuEncoder, GpuEngine};
pub use kernels::{Adapter, Kernel, Storage};
pub use plan::{PlainKernel, PlainPlan, PlainStep, Plan};
