//! One file a command; none imports another.

pub mod ablate;
pub mod bench;
pub mod build;
pub mod classify;
pub mod compare;
pub mod demo;
pub mod describe;
pub mod embed;
pub mod evaluate;
pub mod face;
pub mod head;
pub mod import;
pub mod inspect;
pub mod linear_probe;
pub mod npm;
pub mod pack;
pub mod shapes;
pub mod test;
pub mod train;
