//! Pictures and films from disk, as browsers show them.

mod avif;
mod ffmpeg;
pub mod films;
pub mod pictures;
