//! Streams: windows, faces and what is counted.

mod evidence;
mod follow;
