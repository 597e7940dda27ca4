//! Training on Burn: CLIPER's loss, METD (stage 1), augmentation and the image encoder (stage 2), with checkpoints.
//!
//! | stage | what learns | what it needs |
//! |---|---|---|
//! | 1, [`MetdTrainer`] | [`LearnedTokens`] `[classes * descriptors, tokens, width]` in a [`Prompt`] | a [`TextTower`] and [`Features`]: one embedding a picture, made once |
//! | 2, [`Trainer`] | the image encoder | [`Sample`]s, and the descriptors as they stand |
//!
//! Stage 2's convolutions are computed by [`Stem`], where the processor has products of brain floats, else by Burn.
//!
//! With [`Trainer::learn_auxiliary`] it learns a second data set's labels beside the votes, against descriptors of their own; a bundle
//! then answers in either ([`Manifest::answer_in`](crate::bundle::Manifest::answer_in)).
//!
//! With [`Trainer::learn_from`] it is taught by an encoder that was trained before, too.
//!
//! Both are taught by [`cliper_loss`] over [`logits`]. As commands, from a bundle or an imported checkpoint to a bundle:
//!
//! ```sh
//! cargo pkg train metd --data ferplus:FOLDER --from START --checkpoint FIRST
//! cargo pkg train image --data ferplus:FOLDER --from FIRST --checkpoint SECOND
//! cargo pkg pack --checkpoint SECOND --data ferplus:FOLDER --output BUNDLE
//! ```

mod augment;
mod checkpoint;
mod config;
mod face_spread;
mod features;
mod initial;
mod linear;
mod loss;
#[cfg(feature = "text")]
mod metd;
mod offsets;
#[cfg(feature = "text")]
mod prompt;
mod sampling;
mod schedule;
mod stem;
mod teacher;
#[cfg(test)]
mod teaching;
mod temporal;
mod trainer;
mod turn;
mod widen;

pub use augment::{AugmentConfig, augment};
pub use checkpoint::{Distilled, Earlier, EncoderCheckpoint, EpochRecord, RunState};
pub use config::{TrainConfig, TrainOptimizer, TrainPrecision, adamw};
pub use face_spread::fit_face_spread;
pub use features::Features;
pub use initial::{initial_weights, normal};
pub use linear::LinearHead;
pub use loss::{Loss, class_loss, cliper_loss, logits, modulating_factor};
#[cfg(feature = "text")]
pub use metd::{LearnedTokens, Metd, MetdCheckpoint, MetdConfig, MetdTrainer};
pub use offsets::{HalfMoments, OffsetConfig, OffsetTrainer, ShapedFace};
#[cfg(feature = "text")]
pub use prompt::{PROMPT, Prompt, TextTower};
pub use sampling::epoch_order;
pub use schedule::Schedule;
pub use stem::{Engine, Stem, StemPass, StemWeights};
pub use temporal::{ClipSample, TemporalCheckpoint, TemporalTrainConfig, TemporalTrainer, initial_temporal_weights};
pub use trainer::{Progress, Sample, Trainer, plain_pixels};
pub use turn::autodiff_turn;
pub use widen::widen;

use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::config::EncoderConfig;
use crate::error::{Error, ErrorKind, Result};

/// What a [`StemPass`] put out, as the rest of the encoder takes it: `[batch, side * side, channels]`.
fn stem_map<B: Backend>(map: Vec<f32>, encoder: &EncoderConfig, device: &B::Device) -> Tensor<B, 3> {
    let (positions, channels) = (encoder.patches() * encoder.patch.pow(2), encoder.patch_channels());
    let shape = [map.len() / (positions * channels), positions, channels];
    Tensor::from_data(TensorData::new(map, shape), device)
}

/// A tensor's values on the host.
fn read<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Result<Vec<f32>> {
    tensor
        .into_data()
        .convert::<f32>()
        .to_vec()
        .map_err(|error| Error::new(ErrorKind::InvalidTraining, format!("the device gave no values back ({error:?})")))
}
