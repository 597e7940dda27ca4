//! Named tensors: as files store them, in memory, and written again. No layer and no device.

mod hash;
mod storage;
mod weights;
mod writer;

pub use hash::sha256;
pub use storage::{Int8Rows, Precision, Storage, Stored, Values};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use storage::{check_finite, decode, dtype_bytes};
pub use weights::{BACKBONE, Weights};
pub(crate) use weights::{absent, twice};
pub use writer::TensorWriter;
