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

/// What a run needs to go on where it stopped.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// The encoder that is trained.
    pub encoder: EncoderConfig,
    /// How it is trained.
    pub config: TrainConfig,
    /// Name of the joint space.
    pub backbone: String,
    /// Optimiser steps done.
    pub step: usize,
    /// Epochs done.
    pub history: Vec<EpochRecord>,
    /// Parameters with their ids, Burn's binary record.
    #[serde(skip)]
    pub parameters: Vec<u8>,
    /// Optimiser state, Burn's binary record.
    #[serde(skip)]
    pub optimizer: Vec<u8>,
    /// Averaged weights, safetensors.
    #[serde(skip)]
    pub averaged: Vec<u8>,
}
