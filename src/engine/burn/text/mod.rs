//! The text encoders that turn descriptor texts into embeddings.

mod clip;
mod clip_tokens;
mod sentence;

pub use clip::{ClipTextEncoder, ClipTexts};
pub use clip_tokens::ClipTokenizer;
pub use sentence::{SentenceEncoder, TextEncoder};
