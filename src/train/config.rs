//! How an encoder is trained: every number that the result depends on.

use serde::{Deserialize, Serialize};

use super::augment::AugmentConfig;
use crate::config::PreprocessConfig;

/// How an encoder is trained. Every number that the result depends on stands here and goes into the card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the data.
    pub epochs: usize,
    /// Samples of a step.
    pub batch: usize,
    /// Highest learning rate: reached after a twentieth of the steps, then down a cosine to 0.
    pub rate: f64,
    /// AdamW's weight decay.
    pub weight_decay: f32,
    /// Similarities are divided by this. CLIPER's 0.01 suits a pretrained encoder; from nothing it is so steep that
    /// the first steps only learn the classes' shares.
    pub temperature: f32,
    /// Weight of the cross-entropy over class scores beside CLIPER's two terms; 0 is CLIPER's loss alone.
    pub class_weight: f32,
    /// How far an epoch evens the classes out: 0 leaves their shares alone, 1 makes them equal.
    #[serde(default)]
    pub balance: f64,
    /// Share of the old average kept at each step.
    pub averaging: f64,
    /// Of initial weights, order and augmentation.
    pub seed: u64,
    /// Parts of a batch computed side by side; the modulating factor counts within a part.
    pub threads: usize,
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
            weight_decay: 0.05,
            temperature: 0.05,
            class_weight: 1.0,
            balance: 0.0,
            averaging: 0.998,
            seed: 1,
            threads: 2,
            augment: AugmentConfig::default(),
            preprocess: PreprocessConfig::ferplus(),
        }
    }
}
