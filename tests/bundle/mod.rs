//! Bundles: bytes to a model, and what is refused.

mod files;
#[cfg(feature = "train")]
mod temporal;
