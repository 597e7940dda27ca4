//! Models on disk: checkpoints, backbones, bundles, their shards and cards.

pub mod card;
pub mod checkpoints;
pub mod detector;
pub mod memory;
pub mod sentence_encoder;
pub mod shards;
pub mod tflite;
