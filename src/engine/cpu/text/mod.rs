//! Sentences in anybody's words on the CPU: one text a pass, in single precision.

mod encoder;
mod side;

pub use encoder::CpuTextEncoder;
pub use side::TextSide;
