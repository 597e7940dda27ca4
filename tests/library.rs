//! The library's tests in one program: linked once. What counts a whole process, or needs a GPU, has a program of its own.

mod bundle;
mod parity;
mod properties;
mod session;
mod structure;
mod support;
#[cfg(feature = "train")]
mod training;
