//! What a model says of expressions: descriptors, learned tokens, and what somebody teaches it. No device.

pub mod descriptors;
pub mod face_spread;
pub mod learned;
pub mod movement_set;
pub mod own_words;
pub mod rows;
pub mod sentence;
pub mod teaching;
