//! Streams: windows, faces and what is counted.

mod follow;
