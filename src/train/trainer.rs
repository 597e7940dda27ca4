//! Stage 2 of CLIPER: the image encoder alone, against constant descriptor embeddings.

use burn::module::{AutodiffModule, Module};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{AdamW, AdamWConfig, GradientsAccumulator, GradientsParams, Optimizer};
use burn::record::{BinBytesRecorder, FullPrecisionSettings, Recorder};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::augment::augment;
use super::checkpoint::{Checkpoint, EpochRecord};
use super::config::TrainConfig;
use super::initial::initial_weights;
use super::loss::{class_loss, cliper_loss};
use super::sampling::epoch_order;
use crate::bundle::{Precision, Weights};
use crate::config::{EncoderConfig, PreprocessConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::model::ImageEncoder;
use crate::model::descriptors::Descriptors;
use crate::preprocess::normalise;

/// A grey picture of the encoder's side with its votes.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// `[side * side]`.
    pub picture: Vec<u8>,
    /// `[classes]`, adding up to 1.
    pub votes: Vec<f32>,
}

/// Told after every step.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Steps done of `steps`.
    pub step: usize,
    /// Steps of the whole run.
    pub steps: usize,
    /// Samples of this step.
    pub samples: usize,
    /// The step's loss.
    pub loss: f64,
}

type Optimiser<B> = OptimizerAdaptor<AdamW, ImageEncoder<B>, B>;

/// A run between two steps.
pub struct Trainer<B: AutodiffBackend> {
    encoder: ImageEncoder<B>,
    optimizer: Optimiser<B>,
    descriptors: Tensor<B, 2>,
    counts: Vec<usize>,
    averaged: Weights,
    state: Checkpoint,
    pools: Vec<rayon::ThreadPool>,
    device: B::Device,
}

impl<B: AutodiffBackend> Trainer<B> {
    /// Starts a run from seeded weights.
    pub fn new(
        encoder: EncoderConfig,
        config: TrainConfig,
        descriptors: &Descriptors,
        backbone: &str,
        device: &B::Device,
    ) -> Result<Self> {
        let averaged = initial_weights(&encoder, config.seed)?;
        let state = Checkpoint {
            encoder,
            config,
            backbone: backbone.into(),
            step: 0,
            history: Vec::new(),
            parameters: Vec::new(),
            optimizer: Vec::new(),
            averaged: Vec::new(),
        };
        Self::build(state, averaged, descriptors, device)
    }

    /// Goes on from a checkpoint.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTraining`] for records that can't be read, [`ErrorKind::ForeignDescriptors`] for
    /// descriptors of another joint space.
    pub fn resume(state: Checkpoint, descriptors: &Descriptors, backbone: &str, device: &B::Device) -> Result<Self> {
        if state.backbone != backbone {
            return Err(Error::new(
                ErrorKind::ForeignDescriptors,
                format!(
                    "the run was started against the joint space `{}`, these descriptors are of `{backbone}`; \
                     resume with the same ones",
                    state.backbone
                ),
            ));
        }
        let mut averaged = Weights::default();
        averaged.read("averaged.safetensors", &state.averaged)?;
        let (parameters, optimizer) = (state.parameters.clone(), state.optimizer.clone());
        let mut trainer = Self::build(state, averaged, descriptors, device)?;
        let recorder = BinBytesRecorder::<FullPrecisionSettings>::default();
        let broken = |error| Error::with_source(ErrorKind::InvalidTraining, "the checkpoint can't be read", error);
        let record = Recorder::<B>::load(&recorder, parameters, device).map_err(broken)?;
        trainer.encoder = trainer.encoder.load_record(record);
        let record = Recorder::<B>::load(&recorder, optimizer, device).map_err(broken)?;
        trainer.optimizer = trainer.optimizer.load_record(record);
        Ok(trainer)
    }

    fn build(state: Checkpoint, averaged: Weights, descriptors: &Descriptors, device: &B::Device) -> Result<Self> {
        let config = &state.config;
        let valid = config.batch > 0
            && config.threads > 0
            && config.epochs > 0
            && config.rate > 0.0
            && config.temperature > 0.0
            && (0.0..1.0).contains(&config.averaging)
            && (0.0..=1.0).contains(&config.balance);
        if !valid || state.encoder.channels != 1 {
            return Err(Error::new(
                ErrorKind::InvalidTraining,
                "training needs a grey encoder, at least one epoch, thread and sample a batch, a positive rate and \
                 temperature, an averaging of 0 to 1 and a balance of 0 to 1",
            ));
        }
        if descriptors.width() != state.encoder.embedding {
            return Err(Error::new(
                ErrorKind::ForeignDescriptors,
                format!(
                    "the descriptors are {} wide, the encoder's joint space {}",
                    descriptors.width(),
                    state.encoder.embedding
                ),
            ));
        }
        let pools = (0..config.threads)
            .map(|_| rayon::ThreadPoolBuilder::new().num_threads(1).build())
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| Error::with_source(ErrorKind::InvalidTraining, "no thread can be started", error))?;
        let shape = [descriptors.count(), descriptors.width()];
        let embeddings = TensorData::new(descriptors.embeddings().to_vec(), shape);
        Ok(Self {
            encoder: ImageEncoder::load(&mut averaged.clone(), &state.encoder, device)?,
            optimizer: AdamWConfig::new()
                .with_weight_decay(config.weight_decay)
                .with_epsilon(1e-8)
                .with_grad_clipping(Some(burn::grad_clipping::GradientClippingConfig::Norm(1.0)))
                .init(),
            descriptors: Tensor::<B, 2>::from_data(embeddings, device).transpose(),
            counts: descriptors.expressions().iter().map(|expression| expression.descriptors.len()).collect(),
            averaged,
            pools,
            state,
            device: device.clone(),
        })
    }

    /// Trains until the end of the current epoch; order and changes depend on the seed, step and sample only.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTraining`] naming the step when the loss is no number any more; the last checkpoint
    /// stays good.
    pub fn epoch(&mut self, samples: &[Sample], mut progress: impl FnMut(Progress)) -> Result<f64> {
        let TrainConfig { batch, epochs, seed, balance, .. } = self.state.config;
        if samples.len() < batch {
            return Err(Error::new(
                ErrorKind::InvalidTraining,
                format!("{} samples do not fill one batch of {batch}", samples.len()),
            ));
        }
        let epoch_steps = samples.len() / batch;
        let steps = epoch_steps * epochs;
        let epoch = self.state.step / epoch_steps;
        let labels: Vec<usize> = samples.iter().map(|sample| crate::evaluation::best(&sample.votes)).collect();
        let order = epoch_order(&labels, balance, &mut ChaCha8Rng::seed_from_u64(mix(seed, epoch as u64, u64::MAX)));
        let mut sum = 0.0;
        for indices in order.chunks_exact(batch) {
            let loss = self.step(samples, indices, self.rate(steps))?;
            self.state.step += 1;
            self.average()?;
            sum += loss;
            progress(Progress { step: self.state.step, steps, samples: indices.len(), loss });
        }
        Ok(sum / epoch_steps as f64)
    }

    fn rate(&self, steps: usize) -> f64 {
        let warm = (steps / 20).max(1);
        let step = self.state.step;
        let share = if step < warm {
            (step + 1) as f64 / warm as f64
        } else {
            let done = (step - warm) as f64 / (steps - warm).max(1) as f64;
            0.5 * (1.0 + (std::f64::consts::PI * done).cos())
        };
        self.state.config.rate * share
    }

    /// One optimiser step; each part of the batch runs on a thread of its own, which wastes less than splitting
    /// every product.
    fn step(&mut self, samples: &[Sample], indices: &[usize], rate: f64) -> Result<f64> {
        let parts: Vec<&[usize]> = indices.chunks(indices.len().div_ceil(self.pools.len())).collect();
        let this = &*self;
        let results: Vec<(f64, GradientsParams)> = std::thread::scope(|scope| {
            let threads: Vec<_> = parts
                .iter()
                .zip(&this.pools)
                .map(|(part, pool)| {
                    let share = part.len() as f32 / indices.len() as f32;
                    // A fork has leaves of its own: two threads may not share one autodiff graph.
                    let encoder = this.encoder.clone().fork(&this.device);
                    scope.spawn(move || pool.install(|| this.gradients(&encoder, samples, part, share)))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join()).collect::<std::result::Result<_, _>>()
        })
        .map_err(|_| Error::new(ErrorKind::InvalidTraining, "a training thread panicked; its message stands above"))?;
        let loss: f64 = results.iter().map(|(loss, _)| loss).sum();
        if !loss.is_finite() {
            return Err(Error::new(
                ErrorKind::InvalidTraining,
                format!(
                    "the loss is no number at step {}; lower the rate and go on from the last checkpoint",
                    self.state.step
                ),
            ));
        }
        let mut sum = GradientsAccumulator::new();
        for (_, gradients) in results {
            sum.accumulate(&self.encoder, gradients);
        }
        self.encoder = self.optimizer.step(rate, self.encoder.clone(), sum.grads());
        Ok(loss)
    }

    fn gradients(
        &self,
        encoder: &ImageEncoder<B>,
        samples: &[Sample],
        part: &[usize],
        share: f32,
    ) -> (f64, GradientsParams) {
        let config = &self.state.config;
        let side = self.state.encoder.side;
        let (mean, std) = (config.preprocess.mean[0] * 255.0, config.preprocess.std[0] * 255.0);
        let pixels: Vec<f32> = part
            .iter()
            .flat_map(|&index| {
                let mut random = ChaCha8Rng::seed_from_u64(mix(config.seed, self.state.step as u64, index as u64));
                augment(&samples[index].picture, side, &config.augment, &mut random)
            })
            .map(|level| (level - mean) / std)
            .collect();
        let votes: Vec<Vec<f32>> = part.iter().map(|&index| samples[index].votes.clone()).collect();
        let pixels = Tensor::from_data(TensorData::new(pixels, [part.len(), 1, side, side]), &self.device);
        let embeddings = encoder.forward(pixels);
        let length = (embeddings.clone() * embeddings.clone()).sum_dim(1).sqrt().clamp_min(1e-6);
        let logits = (embeddings / length).matmul(self.descriptors.clone()) / config.temperature;
        let class = class_loss(logits.clone(), &votes, &self.counts) * config.class_weight;
        let loss = (cliper_loss(logits, &votes, &self.counts).total + class) * share;
        let value = loss.clone().into_scalar();
        let gradients = GradientsParams::from_grads(loss.backward(), encoder);
        (burn::tensor::ElementConversion::elem::<f64>(value), gradients)
    }

    /// Moves the average towards the weights. Every eighth step is enough: the decay follows.
    fn average(&mut self) -> Result<()> {
        const EVERY: usize = 8;
        if !self.state.step.is_multiple_of(EVERY) {
            return Ok(());
        }
        // A young average would remember the initial weights for too long.
        let steps = self.state.step as f64;
        let keep = self.state.config.averaging.powi(EVERY as i32).min(steps / (steps + 10.0 * EVERY as f64)) as f32;
        let mut current = Weights::default();
        self.encoder.valid().save(&mut current)?;
        self.averaged.blend(&current, keep)
    }

    /// The averaged weights as they are deployed: the ones to validate and to pack. The stem's batch norms take
    /// their statistics from the first of `samples`, unchanged.
    pub fn deployed(&self, samples: &[Sample]) -> Result<Weights> {
        const PICTURES: usize = 512;
        let samples = &samples[..samples.len().min(PICTURES)];
        let side = self.state.encoder.side;
        let pixels: Vec<f32> =
            samples.iter().flat_map(|sample| plain_pixels(sample, &self.state.config.preprocess)).collect();
        let encoder =
            ImageEncoder::<B::InnerBackend>::load(&mut self.averaged.clone(), &self.state.encoder, &self.device)?;
        let mut weights = Weights::default();
        encoder.fold(
            Tensor::from_data(TensorData::new(pixels, [samples.len(), 1, side, side]), &self.device),
            &mut weights,
        )?;
        Ok(weights)
    }

    /// Epochs finished.
    pub fn history(&self) -> &[EpochRecord] {
        &self.state.history
    }

    /// Adds a finished epoch to the record.
    pub fn record(&mut self, record: EpochRecord) {
        self.state.history.push(record);
    }

    /// The encoder that is trained.
    pub fn encoder_config(&self) -> &EncoderConfig {
        &self.state.encoder
    }

    /// How the run is trained.
    pub fn config(&self) -> &TrainConfig {
        &self.state.config
    }

    /// Everything needed to go on.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        let recorder = BinBytesRecorder::<FullPrecisionSettings>::default();
        let broken = |error| Error::with_source(ErrorKind::InvalidTraining, "the run can't be recorded", error);
        let mut state = self.state.clone();
        state.parameters = Recorder::<B>::record(&recorder, self.encoder.clone().into_record(), ()).map_err(broken)?;
        state.optimizer = Recorder::<B>::record(&recorder, self.optimizer.to_record(), ()).map_err(broken)?;
        state.averaged = self.averaged.write(Precision::F32)?;
        Ok(state)
    }
}

/// Pixels `[1, side, side]` of an unchanged sample.
pub fn plain_pixels(sample: &Sample, preprocess: &PreprocessConfig) -> Vec<f32> {
    normalise(&sample.picture, preprocess)
}

/// One seed from three numbers (SplitMix64's finaliser).
fn mix(seed: u64, epoch: u64, index: u64) -> u64 {
    let mut value = seed ^ epoch.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ index.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}
