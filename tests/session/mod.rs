//! Streams: windows, faces and what is counted.

mod answers;
mod evidence;
mod follow;
mod photos;
mod robust;
mod streams;
