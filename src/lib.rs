//! CLIPER: facial expression recognition on CLIP with several text descriptors an expression, for the browser.
//!
//! A picture becomes an apparent expression in eight steps, one module each:
//!
//! | step | module |
//! |---|---|
//! | bytes of a bundle -> a checked model | [`bundle`] |
//! | RGBA pixels -> faces, and the upright square around each | [`face`] |
//! | RGBA pixels -> the encoder's normalised square | [`preprocess`] |
//! | square -> embedding, by Burn ([`model`] on [`nn`]), on the CPU ([`cpu`]) or on a GPU ([`webgpu`]) | [`session::Engine`] |
//! | a stream's faces followed, each with a window of its own | [`session::FaceFollower`] |
//! | a window or a [`clip`] of embeddings -> one unit vector -> cosines with every descriptor | [`session`] |
//! | a still picture's embedding -> where on it each cosine comes from | [`evidence`] |
//! | cosines -> scores and their explanation | [`model::descriptors`] |
//!
//! Burn carries training and the native reference. The files for browsers carry none of it: the same configuration and
//! weights run through [`cpu`] and [`webgpu`], and every test run holds them against each other.
//!
//! A CLIP checkpoint, whatever its tensors are called, becomes a model through `checkpoint`: natively, since browsers
//! load bundles.
//!
//! Arrows run one way: `error, prediction, config <- preprocess, evidence, nn <- model, cpu, webgpu, face <- bundle <- session, clip <- wasm`;
//! `checkpoint` hangs on `bundle`.

#![warn(missing_docs)]

pub mod bundle;
pub mod certainty;
#[cfg(not(target_arch = "wasm32"))]
pub mod checkpoint;
pub mod clip;
pub mod config;
pub mod cpu;
pub mod device;
mod error;
pub mod evaluation;
pub mod evidence;
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
pub mod webgpu;

pub use error::{Error, ErrorKind, Result};
pub use prediction::{
    DescriptorSimilarity, Evidence, EvidenceMethod, ExpressionScore, Face, FaceBox, FacePrediction, FaceState,
    FramePrediction, KeyPoints, PicturePrediction, Point, Prediction, TopExpression, TrackState, TrackedFace,
    WindowState,
};
