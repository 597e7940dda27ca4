//! A run that learns to tell bright squares from dark ones within seconds.

use cliper::config::EncoderConfig;
use cliper::model::descriptors::{Descriptors, Expression};
use cliper::train::{Sample, TrainConfig};

use crate::support::fixture;

/// An encoder and how it is trained, what it is scored against, and 32 squares.
pub fn small_run() -> (EncoderConfig, TrainConfig, Descriptors, Vec<Sample>) {
    let encoder: EncoderConfig = serde_json::from_slice(&fixture("stem_vision", "config.json")).unwrap();
    let expressions = ["bright", "dark"].map(|name| Expression {
        name: name.into(),
        descriptors: vec![format!("a {name} square"), format!("a square that looks {name}")],
        ..Default::default()
    });
    let embeddings = (0..4 * 24).map(|index| ((index * 7919 % 31) as f32 - 15.0) / 16.0).collect();
    let descriptors = Descriptors::new(expressions.to_vec(), embeddings, 24).unwrap();
    let samples = (0..32usize)
        .map(|index| {
            let dark = index % 2;
            let picture = (0..24 * 24).map(|place| (200 - 150 * dark + (place * 31 + index * 7) % 40) as u8).collect();
            Sample { picture, votes: vec![1.0 - dark as f32, dark as f32], auxiliary: Vec::new() }
        })
        .collect();
    let config = TrainConfig { epochs: 6, batch: 8, rate: 3e-3, averaging: 0.5, ..TrainConfig::default() };
    (encoder, config, descriptors, samples)
}
