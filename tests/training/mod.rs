//! Training against PyTorch.

#[cfg(feature = "train")]
mod loss;
#[cfg(all(feature = "train", feature = "text"))]
mod metd;
#[cfg(feature = "train")]
mod offsets;
#[cfg(feature = "train")]
mod turn;
