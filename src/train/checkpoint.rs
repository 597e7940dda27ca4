//! A training run on disk-shaped bytes: parameters with their ids, optimiser state, averaged weights, progress.

use serde::{Deserialize, Serialize};

use super::config::TrainConfig;
use crate::config::EncoderConfig;

/// One finished epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EpochRecord {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean training loss.
    pub loss: f64,
    /// Seconds it took.
    pub seconds: f64,
    /// WAR of the averaged weights on the validation part.
    pub war: f64,
    /// UAR of the same.
    pub uar: f64,
}

/// What held up to an epoch, where a run was gone on with otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Earlier {
    /// The last epoch that it held for.
    pub epoch: usize,
    /// Epochs that the schedule was laid out over.
    pub epochs: usize,
    /// How far the classes were evened out.
    #[serde(alias = "balance")]
    pub class_balance: f64,
}

/// What trained a run's weights where `cargo pkg train` did not: `pkg-build/training-gpu`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Distilled {
    /// What to type for it.
    pub command: String,
    /// The nets that taught it: where they are from, what they had learned from, their terms.
    pub teachers: Vec<String>,
}

/// How far a run of any stage is, and what its optimiser needs to go on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RunState {
    /// Optimiser steps done.
    pub step: usize,
    /// Epochs done.
    pub history: Vec<EpochRecord>,
    /// What is learned with its ids, Burn's binary record.
    #[serde(skip)]
    pub parameters: Vec<u8>,
    /// Optimiser state, Burn's binary record.
    #[serde(skip)]
    pub optimizer: Vec<u8>,
}

/// What a run of the image encoder's stage needs to go on where it stopped.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EncoderCheckpoint {
    /// The encoder that is trained.
    pub encoder: EncoderConfig,
    /// How it is trained.
    pub config: TrainConfig,
    /// Name of the joint space.
    pub backbone: String,
    /// How far it is.
    #[serde(flatten)]
    pub run: RunState,
    /// What held before the present settings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Earlier>,
    /// What trained it, where this trainer did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distilled: Option<Distilled>,
    /// Averaged weights, safetensors.
    #[serde(skip)]
    pub averaged: Vec<u8>,
}

impl EncoderCheckpoint {
    /// Stretches or cuts the schedule, and evens the classes of the epochs to come out otherwise; what held is kept.
    pub fn change(&mut self, epochs: Option<usize>, class_balance: Option<f64>) {
        let TrainConfig { epochs: was, class_balance: held, .. } = self.config;
        let (epochs, class_balance) = (epochs.unwrap_or(was), class_balance.unwrap_or(held));
        if (epochs, class_balance) != (was, held) {
            self.earlier.push(Earlier { epoch: self.run.history.len(), epochs: was, class_balance: held });
            (self.config.epochs, self.config.class_balance) = (epochs, class_balance);
        }
    }
}
