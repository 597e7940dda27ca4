//! What a model says of expressions: descriptors and learned tokens. No device.

pub mod descriptors;
pub mod learned;
pub mod movement_set;
pub mod own_words;
pub mod rows;
pub mod sentence;
