//! CLIPER: facial expression recognition on CLIP with several text descriptors an expression, for the browser.
//!
//! A picture becomes an apparent expression in seven steps, one module each:
//!
//! | step | module |
//! |---|---|
//! | bytes of a bundle -> a checked model | [`bundle`] |
//! | RGBA pixels -> faces, and the upright square around each | [`face`] |
//! | RGBA pixels -> the encoder's normalised square | [`preprocess`] |
//! | square -> embedding, by Burn ([`model`] on [`nn`]) or by the lean CPU encoder ([`cpu`]) | [`session::Engine`] |
//! | a stream's faces followed, each with a window of its own | [`session::FaceFollower`] |
//! | a window of embeddings -> one unit vector -> cosines with every descriptor | [`session`] |
//! | cosines -> scores and their explanation | [`model::descriptors`] |
//!
//! Burn carries training, the native reference and WebGPU. The CPU file for browsers carries none of it: the same
//! configuration and weights run through [`cpu`], and every test run holds the two against each other.
//!
//! A CLIP checkpoint, whatever its tensors are called, becomes a model through [`checkpoint`].
//!
//! Arrows run one way: `error, prediction, config <- preprocess, nn <- model, cpu, face <- bundle <- session <- wasm`;
//! `checkpoint` hangs on `bundle`.

#![warn(missing_docs)]

pub mod bundle;
pub mod checkpoint;
pub mod config;
pub mod cpu;
pub mod device;
mod error;
pub mod evaluation;
pub mod face;
pub mod model;
#[cfg(feature = "burn")]
pub mod nn;
mod prediction;
pub mod preprocess;
pub mod session;
#[cfg(feature = "train")]
pub mod train;
#[cfg(target_arch = "wasm32")]
mod wasm;

pub use error::{Error, ErrorKind, Result};
pub use prediction::{
    DescriptorSimilarity, ExpressionScore, Face, FaceBox, FacePrediction, FaceState, FramePrediction, KeyPoints,
    PicturePrediction, Point, Prediction, TopExpression, TrackState, TrackedFace, WindowState,
};
