//! Every engine against the reference libraries, and the engines against each other.

#[cfg(all(feature = "flex", feature = "text"))]
mod checkpoint;
mod cpu;
#[cfg(all(feature = "flex", feature = "text"))]
mod encoders;
mod face;
mod processors;
#[cfg(feature = "flex")]
mod temporal;
#[cfg(all(feature = "flex", feature = "text"))]
mod text_side;
#[cfg(feature = "text")]
mod tokens;
