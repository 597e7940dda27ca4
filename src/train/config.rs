//! How an encoder is trained: every number that the result depends on.

use burn::grad_clipping::GradientClippingConfig;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamWConfig, AdjustLrFn, MuonConfig};
use serde::{Deserialize, Serialize};

use super::augment::AugmentConfig;
use super::schedule::Schedule;
use crate::config::PreprocessConfig;

/// What moves the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrainOptimizer {
    /// AdamW for every tensor.
    #[default]
    AdamW,
    /// Muon (Jordan et al. 2024) for the matrices within the encoder, its steps as long as AdamW's; AdamW for the rest.
    Muon,
}

/// What the stem's products are made of; everything else is f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrainPrecision {
    /// Computed by Burn, on any device.
    #[default]
    F32,
    /// Brain floats with sums in f32, by products of our own: a processor with AVX-512 BF16.
    Bf16,
}

/// How an encoder is trained. Every number that the result depends on stands here and goes into the card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the data.
    pub epochs: usize,
    /// Samples of a step.
    pub batch: usize,
    /// Highest learning rate.
    pub rate: f64,
    /// How the rate moves.
    #[serde(default)]
    pub schedule: Schedule,
    /// What moves the weights.
    #[serde(default)]
    pub optimizer: TrainOptimizer,
    /// Weight decay, times the rate.
    pub weight_decay: f32,
    /// Longest gradient of a tensor, longer ones are shortened to it; 0 leaves all as they are.
    #[serde(default = "clipping")]
    pub clipping: f32,
    /// Similarities are divided by this. CLIPER's 0.01 suits a pretrained encoder; from nothing it is so steep that
    /// the first steps only learn the classes' shares.
    pub temperature: f32,
    /// Weight of the cross-entropy over class scores beside CLIPER's two terms; 0 is CLIPER's loss alone.
    pub class_weight: f32,
    /// Weight of the same for a second set's labels against descriptors of their own ([`Trainer::learn_auxiliary`](super::Trainer::learn_auxiliary)
    /// (super::Trainer::learn_auxiliary)), where a sample has some.
    #[serde(default, alias = "alsoWeight", skip_serializing_if = "none")]
    pub auxiliary_weight: f32,
    /// How far votes give way to what a teacher says of the changed picture ([`Trainer::learn_from`](super::Trainer::learn_from)):
    /// 0 keeps them, 1 leaves the teacher alone.
    #[serde(default, skip_serializing_if = "none")]
    pub teacher_weight: f32,
    /// How far an epoch evens the classes out: 0 leaves their shares alone, 1 makes them equal.
    #[serde(default, alias = "balance")]
    pub class_balance: f64,
    /// Share of the old average kept at each step; 0 deploys the weights as they are.
    pub averaging: f64,
    /// Of initial weights, order and augmentation.
    pub seed: u64,
    /// Parts of a batch computed side by side; the modulating factor counts within a part.
    pub threads: usize,
    /// Of the stem's products.
    #[serde(default)]
    pub precision: TrainPrecision,
    /// Of mixup (Zhang et al. 2018): each picture is blended with another by a share from Beta(mixup, mixup), and so are their
    /// votes; 0 blends none.
    #[serde(default, alias = "mix", skip_serializing_if = "none")]
    pub mixup: f32,
    /// Changes of the pictures.
    pub augment: AugmentConfig,
    /// Statistics of the pixels.
    pub preprocess: PreprocessConfig,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 12,
            batch: 128,
            rate: 1.5e-3,
            schedule: Schedule::default(),
            optimizer: TrainOptimizer::Muon,
            weight_decay: 0.05,
            clipping: clipping(),
            temperature: 0.05,
            class_weight: 1.0,
            auxiliary_weight: 0.0,
            teacher_weight: 0.0,
            class_balance: 0.0,
            averaging: 0.998,
            seed: 1,
            threads: 2,
            precision: TrainPrecision::default(),
            mixup: 0.0,
            augment: AugmentConfig::default(),
            preprocess: PreprocessConfig::ferplus(),
        }
    }
}

impl TrainConfig {
    /// CLIPER's second stage: an encoder that can already see, moved gently; the pictures' changes stay ours.
    pub fn second_stage(preprocess: PreprocessConfig) -> Self {
        Self {
            epochs: 57,
            rate: 5e-6,
            schedule: Schedule::Restarts { epochs: 10 },
            optimizer: TrainOptimizer::AdamW,
            weight_decay: 0.1,
            clipping: 0.0,
            temperature: 0.01,
            class_weight: 0.0,
            averaging: 0.0,
            preprocess,
            ..Self::default()
        }
    }
}

/// What a run without it doesn't name.
fn none(value: &f32) -> bool {
    *value == 0.0
}

/// What an encoder that starts from nothing needs.
fn clipping() -> f32 {
    1.0
}

/// AdamW as PyTorch has it.
///
/// - clipping: as [`TrainConfig::clipping`]
pub fn adamw(weight_decay: f32, clipping: f32) -> AdamWConfig {
    let clipping = (clipping > 0.0).then_some(GradientClippingConfig::Norm(clipping));
    AdamWConfig::new().with_weight_decay(weight_decay).with_epsilon(1e-8).with_grad_clipping(clipping)
}

/// Muon with steps as long as AdamW's, so that one rate suits both.
pub fn muon(weight_decay: f32) -> MuonConfig {
    MuonConfig::new()
        .with_weight_decay(Some(WeightDecayConfig::new(weight_decay)))
        .with_adjust_lr_fn(AdjustLrFn::MatchRmsAdamW)
}
