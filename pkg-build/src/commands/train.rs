//! `cargo pkg train`: one stage of training; goes on where it stopped.

pub use crate::training::{Options, run};
