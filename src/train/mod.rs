//! Training on Burn: CLIPER's loss, augmentation, the image encoder's stage with its checkpoints.

mod augment;
mod checkpoint;
mod config;
mod initial;
mod loss;
mod sampling;
mod trainer;

pub use augment::{AugmentConfig, augment};
pub use checkpoint::{Checkpoint, EpochRecord};
pub use config::TrainConfig;
pub use initial::initial_weights;
pub use loss::{Loss, balance, class_loss, cliper_loss};
pub use sampling::epoch_order;
pub use trainer::{Progress, Sample, Trainer, plain_pixels};
