//! Training of the temporal head on cached embeddings: encoder and descriptors are constant.

use burn::module::{AutodiffModule, Module};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{AdamW, AdamWConfig, GradientsParams, Optimizer};
use burn::record::{BinBytesRecorder, FullPrecisionSettings, Recorder};
use burn::tensor::{ElementConversion, Tensor, TensorData};
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::checkpoint::{EpochRecord, RunState};
use super::initial::normal;
use super::loss::{class_loss, cliper_loss};
use super::trainer::{Progress, derive_seed};
use super::turn::autodiff_turn;
use crate::config::TemporalConfig;
use crate::engine::burn::TemporalHead;
use crate::engine::burn::ops::TrainingOps;
use crate::error::{Error, ErrorKind, Result};
use crate::model::descriptors::Descriptors;
use crate::tensors::{Values, Weights};

/// How a temporal head is trained. Every number that the result depends on stands here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TemporalTrainConfig {
    /// Passes over the clips.
    pub epochs: usize,
    /// Clips of a step.
    pub batch: usize,
    /// Highest learning rate: reached after a twentieth of the steps, then down a cosine to 0.
    pub rate: f64,
    /// AdamW's weight decay.
    pub weight_decay: f32,
    /// Similarities are divided by this: the bundle's own keeps its scores calibrated.
    pub temperature: f32,
    /// Weight of the cross-entropy over class scores beside CLIPER's two terms.
    pub class_weight: f32,
    /// Weight of CLIPER's two terms, which set an expression's worst descriptor against the best foreign one: 0 where descriptors
    /// follow movements, since those of one expression are meant to disagree.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub descriptor_weight: f32,
    /// Share of clips of which only some of the newest frames are shown, as in a window that fills.
    pub shorten: f32,
    /// Of initial weights, order and shortening.
    pub seed: u64,
}

impl Default for TemporalTrainConfig {
    fn default() -> Self {
        Self {
            epochs: 30,
            batch: 32,
            rate: 1e-3,
            weight_decay: 0.05,
            temperature: 0.05,
            class_weight: 1.0,
            descriptor_weight: 1.0,
            shorten: 0.25,
            seed: 1,
        }
    }
}

fn one() -> f32 {
    1.0
}

/// What a run without it doesn't name.
fn is_one(value: &f32) -> bool {
    *value == 1.0
}

/// A clip's embeddings with its votes.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipSample {
    /// `[frames * embedding]`, the oldest first, as the encoder gives them.
    pub frames: Vec<f32>,
    /// `[expressions]`, adding up to 1.
    pub votes: Vec<f32>,
}

/// What a run needs to go on where it stopped.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemporalCheckpoint {
    /// The head that is trained.
    pub head: TemporalConfig,
    /// Width of the embeddings.
    pub width: usize,
    /// How it is trained.
    pub config: TemporalTrainConfig,
    /// How far it is.
    #[serde(flatten)]
    pub run: RunState,
}

/// Seeded weights of a head that begins close to the mean over time: attention starts nearly even, its values pass
/// the frames on, and the MLP adds nothing yet. Training starts from what the encoder knows already.
///
/// - deviation: standard deviation of the embeddings' values, beside which the positions must be seen
pub fn initial_temporal_weights(config: &TemporalConfig, width: usize, deviation: f32, seed: u64) -> Result<Weights> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut weights = Weights::default();
    for (name, shape) in config.tensors(width) {
        let (count, columns) = (shape.iter().product::<usize>(), *shape.last().unwrap_or(&1));
        let diagonal = |index: usize| f32::from(index / columns == index % columns);
        let mut noise = |scale: f32| (0..count).map(|_| normal(&mut random) * scale).collect::<Vec<f32>>();
        let part = name.strip_prefix("temporal.layers.").and_then(|rest| rest.split_once('.'));
        let data = match part.map_or(name.as_str(), |(_, part)| part) {
            "temporal.class_embedding" => noise(0.1),
            "temporal.position_embedding.weight" => noise(0.1 * deviation),
            "layer_norm1.weight" | "layer_norm2.weight" => vec![1.0; count],
            "self_attn.q_proj.weight" | "self_attn.k_proj.weight" => noise(0.5 * (width as f32).powf(-0.5)),
            "self_attn.v_proj.weight" | "self_attn.out_proj.weight" => (0..count).map(diagonal).collect(),
            "mlp.fc1.weight" => noise((2.0 * width as f32).powf(-0.5)),
            _ => vec![0.0; count],
        };
        weights.insert(&name, Values { shape, data })?;
    }
    Ok(weights)
}

/// A run between two steps.
pub struct TemporalTrainer<B: TrainingOps> {
    head: TemporalHead<B>,
    optimizer: OptimizerAdaptor<AdamW, TemporalHead<B>, B>,
    descriptors: Tensor<B, 2>,
    counts: Vec<usize>,
    state: TemporalCheckpoint,
    device: B::Device,
}

impl<B: TrainingOps> TemporalTrainer<B> {
    /// Starts a run from [`initial_temporal_weights`].
    ///
    /// - samples: what will be trained on; only the spread of their values is looked at
    pub fn new(
        head: TemporalConfig,
        config: TemporalTrainConfig,
        descriptors: &Descriptors,
        samples: &[ClipSample],
        device: &B::Device,
    ) -> Result<Self> {
        let width = descriptors.width();
        let deviation = deviation(samples);
        let weights = initial_temporal_weights(&head, width, deviation, config.seed)?;
        let state = TemporalCheckpoint { head, width, config, run: RunState::default() };
        Self::build(state, weights, descriptors, device)
    }

    /// Goes on from a checkpoint.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTraining`] for records that can't be read, [`ErrorKind::ForeignDescriptors`] for
    /// descriptors of another width.
    pub fn resume(state: TemporalCheckpoint, descriptors: &Descriptors, device: &B::Device) -> Result<Self> {
        let weights = initial_temporal_weights(&state.head, state.width, 1.0, state.config.seed)?;
        let recorder = BinBytesRecorder::<FullPrecisionSettings>::default();
        let broken = |error| Error::with_source(ErrorKind::InvalidTraining, "the run's records can't be read", error);
        let (parameters, optimizer) = (state.run.parameters.clone(), state.run.optimizer.clone());
        let mut trainer = Self::build(state, weights, descriptors, device)?;
        let record = Recorder::<B>::load(&recorder, parameters, device).map_err(broken)?;
        trainer.head = trainer.head.load_record(record);
        let record = Recorder::<B>::load(&recorder, optimizer, device).map_err(broken)?;
        trainer.optimizer = trainer.optimizer.load_record(record);
        Ok(trainer)
    }

    fn build(
        state: TemporalCheckpoint,
        mut weights: Weights,
        descriptors: &Descriptors,
        device: &B::Device,
    ) -> Result<Self> {
        let config = &state.config;
        let valid = config.batch > 0
            && config.epochs > 0
            && config.rate > 0.0
            && config.temperature > 0.0
            && (0.0..=1.0).contains(&config.shorten);
        if !valid {
            return Err(Error::new(
                ErrorKind::InvalidTraining,
                "training a head needs at least one epoch and clip a batch, a positive rate and temperature, and a \
                 share of shortened clips of 0 to 1",
            ));
        }
        if descriptors.width() != state.width {
            return Err(Error::new(
                ErrorKind::ForeignDescriptors,
                format!("the descriptors are {} wide, the embeddings {}", descriptors.width(), state.width),
            ));
        }
        let shape = [descriptors.count(), descriptors.width()];
        let embeddings = TensorData::new(descriptors.embeddings().to_vec(), shape);
        Ok(Self {
            head: TemporalHead::load(&mut weights, &state.head, state.width, device)?,
            optimizer: AdamWConfig::new()
                .with_weight_decay(config.weight_decay)
                .with_epsilon(1e-8)
                .with_grad_clipping(Some(burn::grad_clipping::GradientClippingConfig::Norm(1.0)))
                .init(),
            descriptors: Tensor::<B, 2>::from_data(embeddings, device).transpose(),
            counts: descriptors.expressions().iter().map(|expression| expression.descriptors.len()).collect(),
            state,
            device: device.clone(),
        })
    }

    /// Trains for one epoch; order and shortening depend on the seed, epoch and clip only. Gives the mean loss.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTraining`] for clips of another length, and naming the step when the loss is no number
    /// any more; the last checkpoint stays good.
    pub fn epoch(&mut self, samples: &[ClipSample], mut progress: impl FnMut(Progress)) -> Result<f64> {
        let TemporalTrainConfig { batch, epochs, seed, .. } = self.state.config;
        let batch = batch.min(samples.len());
        let values = self.state.head.frames * self.state.width;
        if batch == 0 || samples.iter().any(|sample| sample.frames.len() != values) {
            return Err(Error::new(
                ErrorKind::InvalidTraining,
                format!("each of the clips (at least one) must have {} frames", self.state.head.frames),
            ));
        }
        let epoch_steps = samples.len() / batch;
        let steps = epoch_steps * epochs;
        let epoch = self.state.run.step / epoch_steps;
        let mut order: Vec<usize> = (0..samples.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(derive_seed(seed, epoch as u64, u64::MAX)));
        let mut sum = 0.0;
        for indices in order.chunks_exact(batch) {
            let loss = self.step(samples, indices, epoch, self.rate(steps))?;
            self.state.run.step += 1;
            sum += loss;
            progress(Progress { step: self.state.run.step, steps, samples: indices.len(), loss });
        }
        Ok(sum / epoch_steps as f64)
    }

    fn rate(&self, steps: usize) -> f64 {
        let warm = (steps / 20).max(1);
        let step = self.state.run.step;
        let done = step.saturating_sub(warm) as f64 / steps.saturating_sub(warm).max(1) as f64;
        let share = if step < warm {
            (step + 1) as f64 / warm as f64
        } else {
            0.5 * (1.0 + (std::f64::consts::PI * done).cos())
        };
        self.state.config.rate * share
    }

    fn step(&mut self, samples: &[ClipSample], indices: &[usize], epoch: usize, rate: f64) -> Result<f64> {
        let TemporalTrainConfig { temperature, class_weight, descriptor_weight, shorten, seed, .. } = self.state.config;
        let (frames, width) = (self.state.head.frames, self.state.width);
        let values: Vec<f32> = indices.iter().flat_map(|&index| samples[index].frames.iter().copied()).collect();
        let votes: Vec<Vec<f32>> = indices.iter().map(|&index| samples[index].votes.clone()).collect();
        let filled: Vec<usize> = indices
            .iter()
            .map(|&index| {
                let mut random = ChaCha8Rng::seed_from_u64(derive_seed(seed, epoch as u64, index as u64));
                let is_short = random.random::<f32>() < shorten;
                if is_short && frames > 2 { random.random_range(2..=frames) } else { frames }
            })
            .collect();
        let _turn = autodiff_turn();
        let clips = Tensor::from_data(TensorData::new(values, [indices.len(), frames, width]), &self.device);
        let logits = self.head.forward_masked(clips, &filled).matmul(self.descriptors.clone()) / temperature;
        let class = class_loss(logits.clone(), &votes, &self.counts) * class_weight;
        let loss = cliper_loss(logits, &votes, &self.counts).total * descriptor_weight + class;
        let value: f64 = loss.clone().into_scalar().elem();
        if !value.is_finite() {
            return Err(Error::new(
                ErrorKind::InvalidTraining,
                format!(
                    "the loss is no number at step {}; lower the rate and go on from the last checkpoint",
                    self.state.run.step
                ),
            ));
        }
        let gradients = GradientsParams::from_grads(loss.backward(), &self.head);
        self.head = self.optimizer.step(rate, self.head.clone(), gradients);
        Ok(value)
    }

    /// The head's tensors as they are now.
    pub fn weights(&self) -> Result<Weights> {
        let mut weights = Weights::default();
        self.head.valid().save(&mut weights)?;
        Ok(weights)
    }

    /// The run so far, without its records.
    pub fn state(&self) -> &TemporalCheckpoint {
        &self.state
    }

    /// Adds a finished epoch to the record.
    pub fn record(&mut self, record: EpochRecord) {
        self.state.run.history.push(record);
    }

    /// Everything needed to go on.
    pub fn checkpoint(&self) -> Result<TemporalCheckpoint> {
        let recorder = BinBytesRecorder::<FullPrecisionSettings>::default();
        let broken = |error| Error::with_source(ErrorKind::InvalidTraining, "the run can't be recorded", error);
        let mut state = self.state.clone();
        state.run.parameters = Recorder::<B>::record(&recorder, self.head.clone().into_record(), ()).map_err(broken)?;
        state.run.optimizer = Recorder::<B>::record(&recorder, self.optimizer.to_record(), ()).map_err(broken)?;
        Ok(state)
    }
}

/// Standard deviation of the embeddings' values; 1 where there are none.
fn deviation(samples: &[ClipSample]) -> f32 {
    let values = || samples.iter().flat_map(|sample| &sample.frames).map(|&value| f64::from(value));
    let count = values().count().max(1) as f64;
    let mean = values().sum::<f64>() / count;
    let variance = values().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    if variance > 0.0 { variance.sqrt() as f32 } else { 1.0 }
}
