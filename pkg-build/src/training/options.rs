//! Options of the stages of `cargo pkg train`, and the settings that they become.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use cliper::config::TemporalConfig;
use cliper::train::{MetdConfig, OffsetConfig, Schedule, TemporalTrainConfig, TrainConfig};

use crate::data::split::pictures;
use crate::data::{DataSet, Example, Square};
use crate::training::settings::{Settings, TrainedOn};

/// What trains the image encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Device {
    /// The processor
    Cpu,
    /// The graphics card, in a build with `--features gpu`
    Gpu,
}

/// What moves the weights: AdamW, or Muon for the matrices within.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Optimizer {
    Adamw,
    Muon,
}

/// What the stem's products are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    F32,
    Bf16,
}

/// What every stage takes.
#[derive(Args)]
pub struct Common {
    /// ferplus:FOLDER, with FER2013Train and FER2013Valid; or another set that `cargo pkg evaluate` reads
    #[arg(long)]
    pub data: DataSet,
    /// Folder of the run; one that exists is gone on with
    #[arg(long)]
    pub checkpoint: PathBuf,
    /// Passes over the data; given to a run that is gone on with, its schedule is stretched or cut
    #[arg(long)]
    pub epochs: Option<usize>,
    /// Pictures, or clips, of a step
    #[arg(long)]
    pub batch: Option<usize>,
    /// Highest learning rate
    #[arg(long)]
    pub rate: Option<f64>,
    /// Of everything that is drawn [1]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Train on the first N pictures only: a rehearsal
    #[arg(long)]
    pub limit: Option<usize>,
}

impl Common {
    /// The seed of a new run.
    pub fn seed(&self) -> u64 {
        self.seed.unwrap_or(TrainConfig::default().seed)
    }

    /// What a run on so many pictures learns from.
    pub fn trained_on(&self, count: usize) -> TrainedOn {
        TrainedOn { data: self.data.name().into(), limit: self.limit, count, fold: None, encoder: None }
    }

    /// Compares what is named here with what the run was begun with.
    fn settings(&self, batch: usize, rate: f64, seed: u64) -> Settings<'_> {
        Settings::of(&self.checkpoint)
            .keep("batch", self.batch, batch)
            .keep("rate", self.rate, rate)
            .keep("seed", self.seed, seed)
    }

    /// The pictures to train on and the ones to choose by.
    pub fn pictures(&self, square: Square) -> Result<(Vec<Example>, Vec<Example>)> {
        pictures(&self.data, square, self.limit)
    }
}

/// Of `cargo pkg train metd`.
#[derive(Args)]
#[command(after_help = "Defaults: 2 epochs, batches of 128, rate 0.01; with --shapes 5 epochs, rate 0.003.")]
pub struct MetdOptions {
    #[command(flatten)]
    pub common: Common,
    /// The encoder that descriptors are learned for: a bundle, a folder that `cargo pkg import` wrote, or a run
    #[arg(long)]
    pub from: PathBuf,
    /// The text tower of the joint space, a folder of all-MiniLM-L6-v2's kind or a CLIP checkpoint; found by itself for
    /// an imported checkpoint and for all-MiniLM-L6-v2
    #[arg(long)]
    pub text_encoder: Option<PathBuf>,
    /// Face shapes of the training and validation parts, which `cargo pkg shapes` wrote: the descriptors of --from keep
    /// their texts and learn to follow the movements that they name; class scores stay as they are
    #[arg(long, conflicts_with_all = ["text_encoder", "per_expression", "tokens", "prompt", "batch", "temperature", "weight_decay", "limit"])]
    pub shapes: Option<PathBuf>,
    /// Descriptor texts with movements, JSON, for descriptors that carry none
    #[arg(long, requires = "shapes")]
    pub movements: Option<PathBuf>,
    /// How much descriptors of one half of the face are kept from answering by the other half; 0 lets them [0]
    #[arg(long, requires = "shapes")]
    pub elsewhere: Option<f32>,
    /// Descriptors of each expression [5]
    #[arg(long)]
    pub per_expression: Option<usize>,
    /// Learned tokens of each descriptor [4]
    #[arg(long)]
    pub tokens: Option<usize>,
    /// Sentence with {} in the learned tokens' place ["an ID photo of {}."]
    #[arg(long)]
    pub prompt: Option<String>,
    /// Similarities are divided by this in the loss [0.01]
    #[arg(long)]
    pub temperature: Option<f32>,
    /// Weight decay, times the rate [0]
    #[arg(long)]
    pub weight_decay: Option<f32>,
}

/// Of `cargo pkg train image`.
#[derive(Args)]
#[command(after_help = "Defaults: 12 epochs at a rate of 0.0015, with --from 57 at 0.000005; batches of 128.")]
pub struct ImageOptions {
    #[command(flatten)]
    pub common: Common,
    /// What it starts from: a bundle, a folder that `cargo pkg import` wrote, or a run, of its own kind with that run's settings
    /// where none are named; seeded weights without it
    #[arg(long)]
    pub from: Option<PathBuf>,
    /// Descriptor embeddings that `cargo pkg describe` wrote; those of --from, or
    /// pkg-build/descriptors/ferplus.safetensors
    #[arg(long)]
    pub descriptors: Option<PathBuf>,
    /// A second set, fer2013:FILE, whose labels are learned too, of the pictures that stand in both
    #[arg(long)]
    pub auxiliary: Option<DataSet>,
    /// What those labels are learned against; pkg-build/descriptors/fer2013.safetensors
    #[arg(long, requires = "auxiliary")]
    pub auxiliary_descriptors: Option<PathBuf>,
    /// Weight of those labels' cross-entropy [4]
    #[arg(long, requires = "auxiliary")]
    pub auxiliary_weight: Option<f32>,
    /// An encoder that teaches this one, a run or a bundle of the same joint space: votes give way to what it says of each
    /// changed picture and its mirror image
    #[arg(long)]
    pub teacher: Option<PathBuf>,
    /// How far, from 0 to 1 [0.7]
    #[arg(long, requires = "teacher")]
    pub teacher_weight: Option<f32>,
    /// Encoder preset, of seeded weights [small] or of what the encoder of --from is widened to
    #[arg(long)]
    pub preset: Option<String>,
    /// Epochs between warm restarts of the rate, 0 for one cosine with a warm-up [0, with --from 10]
    #[arg(long)]
    pub restarts: Option<usize>,
    /// Weight of the cross-entropy over class scores beside CLIPER's two terms [1, with --from 0]
    #[arg(long)]
    pub class_weight: Option<f32>,
    /// How far the classes are evened out, 0 leaves their shares alone, 1 makes them equal [0]; given to a run that is
    /// gone on with, the epochs to come are drawn so
    #[arg(long)]
    pub class_balance: Option<f64>,
    /// Blend each picture with another by a share from Beta(MIX, MIX), and their votes; 0 blends none [0]
    #[arg(long)]
    pub mixup: Option<f32>,
    /// Similarities are divided by this in the loss [0.05, with --from 0.01]
    #[arg(long)]
    pub temperature: Option<f32>,
    /// What moves the weights [muon, with --from adamw]
    #[arg(long, value_enum)]
    pub optimizer: Option<Optimizer>,
    /// Weight decay, times the rate [0.05, with --from 0.1]
    #[arg(long)]
    pub weight_decay: Option<f32>,
    /// What computes
    #[arg(long, value_enum, default_value = "cpu")]
    pub device: Device,
    /// Of the stem's products, for a new run; bf16 needs a processor with AVX-512 BF16 and is two to three times as
    /// fast [bf16 where it can be had, else f32; with --from RUN the run's, with another f32]
    #[arg(long, value_enum)]
    pub precision: Option<Precision>,
    /// Parts of a batch computed side by side [2; on a GPU 1]
    #[arg(long)]
    pub threads: Option<usize>,
}

/// Of `cargo pkg train temporal`.
#[derive(Args)]
#[command(after_help = "Defaults: 30 epochs, batches of 32, rate 0.001.")]
pub struct TemporalOptions {
    #[command(flatten)]
    pub common: Common,
    /// The bundle whose encoder and descriptors the head is for; the built-in one by default
    #[arg(long)]
    pub from: Option<PathBuf>,
    /// The fold of a set that has several, counted from 1
    #[arg(long, default_value_t = 1)]
    pub fold: usize,
    /// Frames of a clip, T [16]
    #[arg(long)]
    pub frames: Option<usize>,
    /// Share of clips of which only the newest frames are shown, as in a window that fills [0.25]
    #[arg(long)]
    pub shorten: Option<f32>,
}

impl ImageOptions {
    /// Refuses settings that a run was not begun with; its epochs and its class balance may change.
    pub fn check(&self, own: &TrainConfig) -> Result<()> {
        let word = |own: serde_json::Result<serde_json::Value>| {
            own.ok().and_then(|word| word.as_str().map(String::from)).unwrap_or_default()
        };
        let restarts = match own.schedule {
            Schedule::WarmCosine => 0,
            Schedule::Restarts { epochs } => epochs,
        };
        let named = |value: Option<String>| value.map(|word| word.to_lowercase());
        self.common
            .settings(own.batch, own.rate, own.seed)
            .keep("restarts", self.restarts, restarts)
            .keep("class-weight", self.class_weight, own.class_weight)
            .keep("mixup", self.mixup, own.mixup)
            .keep("temperature", self.temperature, own.temperature)
            .keep("weight-decay", self.weight_decay, own.weight_decay)
            .keep("auxiliary-weight", self.auxiliary_weight, own.auxiliary_weight)
            .keep("teacher-weight", self.teacher_weight, own.teacher_weight)
            .keep(
                "optimizer",
                named(self.optimizer.map(|it| format!("{it:?}"))),
                word(serde_json::to_value(own.optimizer)),
            )
            .keep(
                "precision",
                named(self.precision.map(|it| format!("{it:?}"))),
                word(serde_json::to_value(own.precision)),
            )
            .check()
    }
}

impl TemporalOptions {
    /// Refuses settings that a run was not begun with; its epochs may change.
    pub fn check(&self, head: &TemporalConfig, own: &TemporalTrainConfig) -> Result<()> {
        self.common
            .settings(own.batch, own.rate, own.seed)
            .keep("frames", self.frames, head.frames)
            .keep("shorten", self.shorten, own.shorten)
            .check()
    }
}

impl MetdOptions {
    /// Settings of METD.
    pub fn config(&self) -> MetdConfig {
        let base = MetdConfig::default();
        MetdConfig {
            epochs: self.common.epochs.unwrap_or(base.epochs),
            batch: self.common.batch.unwrap_or(base.batch),
            rate: self.common.rate.unwrap_or(base.rate),
            weight_decay: self.weight_decay.unwrap_or(base.weight_decay),
            temperature: self.temperature.unwrap_or(base.temperature),
            per_expression: self.per_expression.unwrap_or(base.per_expression),
            tokens: self.tokens.unwrap_or(base.tokens),
            prompt: self.prompt.clone().unwrap_or(base.prompt),
            seed: self.common.seed(),
        }
    }

    /// Refuses settings that a run of METD was not begun with.
    pub fn check(&self, own: &MetdConfig) -> Result<()> {
        self.common
            .settings(own.batch, own.rate, own.seed)
            .keep("weight-decay", self.weight_decay, own.weight_decay)
            .keep("temperature", self.temperature, own.temperature)
            .keep("per-expression", self.per_expression, own.per_expression)
            .keep("tokens", self.tokens, own.tokens)
            .keep("prompt", self.prompt.clone(), own.prompt.clone())
            .check()
    }

    /// The same of a run that follows face shapes.
    pub fn check_offsets(&self, own: &OffsetConfig) -> Result<()> {
        let Common { checkpoint, epochs, rate, seed, .. } = &self.common;
        Settings::of(checkpoint)
            .keep("epochs", *epochs, own.epochs)
            .keep("rate", *rate, own.rate)
            .keep("seed", *seed, own.seed)
            .keep("elsewhere", self.elsewhere, own.elsewhere)
            .check()
    }

    /// Settings of offsets that follow face shapes.
    pub fn offsets(&self) -> OffsetConfig {
        let base = OffsetConfig::default();
        OffsetConfig {
            epochs: self.common.epochs.unwrap_or(base.epochs),
            rate: self.common.rate.unwrap_or(base.rate),
            elsewhere: self.elsewhere.unwrap_or(base.elsewhere),
            seed: self.common.seed(),
            ..base
        }
    }
}
