//! CLIPER: facial expression recognition on CLIP with several text descriptors an expression, for the browser.
//!
//! A picture becomes an apparent expression in eight steps, one module each:
//!
//! | step | module |
//! |---|---|
//! | bytes of a bundle -> a checked model | [`bundle`] |
//! | RGBA pixels -> faces, and the upright square around each | [`face`] |
//! | RGBA pixels -> the encoder's normalised square | [`preprocess`] |
//! | square -> embedding, by Burn (`engine::burn`), on WebGPU too, or on the CPU ([`engine::cpu`]) | [`engine`] |
//! | a stream's faces followed, each with a window of its own | [`session::FaceFollower`] |
//! | a window or a [film](session::film) of embeddings -> one unit vector -> cosines with every descriptor | [`session`] |
//! | a still picture's embedding -> where on it each cosine comes from | [`evidence`] |
//! | cosines -> scores and their explanation | [`model::descriptors`] |
//!
//! Burn carries training, the native reference and the file for WebGPU, where its operations are WGSL of our own. The files
//! for the CPU carry none of it: the same configuration and weights run through [`engine::cpu`], and every test run holds
//! both against each other.
//!
//! A CLIP checkpoint, whatever its tensors are called, becomes a model through `import`: natively, since browsers
//! load bundles.
//!
//! Arrows run one way: `error, prediction, math, movements, config <- tensors, evidence <- bundle, preprocess, model <- face, engine <- session <- wasm`;
//! `train`, `import` and `metrics` hang on them. A test reads them from the sources (`tests/structure`).

#![warn(missing_docs)]

pub mod bundle;
pub mod config;
pub mod engine;
mod error;
pub mod evidence;
pub mod face;
#[cfg(not(target_arch = "wasm32"))]
pub mod import;
pub mod math;
pub mod metrics;
pub mod model;
pub mod movements;
mod prediction;
pub mod preprocess;
pub mod session;
pub mod tensors;
#[cfg(feature = "train")]
pub mod train;
#[cfg(target_arch = "wasm32")]
mod wasm;

pub use error::{Error, ErrorKind, Result};
pub use prediction::{
    DescriptorSimilarity, Evidence, EvidenceMethod, ExpressionScore, Face, FaceBox, FacePrediction, FaceState,
    FramePrediction, KeyPoints, MovementScore, PicturePrediction, Point, Prediction, TopExpression, TrackState,
    TrackedFace, WindowState,
};
