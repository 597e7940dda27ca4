//! Where a tensor's values lie in a file, and how a file that can't be served is refused.

use safetensors::tensor::Dtype;

use crate::error::{Error, ErrorKind};

/// Where and how a tensor's values lie in its file.
#[derive(Debug, Clone)]
pub(super) struct Located {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// Of the first value, from the file's beginning.
    pub(super) start: u64,
    /// From one index of each axis to the next, in values; none where the values lie in order.
    pub(super) strides: Option<Vec<usize>>,
}

pub(super) fn invalid(why: String) -> Error {
    Error::new(ErrorKind::InvalidWeights, why)
}
