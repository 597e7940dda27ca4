//! The text encoders that turn descriptor texts into embeddings.

mod clip;
mod clip_tokens;
mod sentence;
mod side;

pub use clip::{ClipTextEncoder, ClipTexts};
pub use clip_tokens::ClipTokenizer;
pub use sentence::{SentenceEncoder, TextConfig, TextEncoder};
pub use side::TextSide;
