//! Bundles: bytes to a model, and what is refused.

mod files;
mod packing;
#[cfg(feature = "train")]
mod temporal;
