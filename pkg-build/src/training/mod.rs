//! What `cargo pkg train` does: its options, and the stages that they begin.

pub mod encoder;
pub mod epoch;
pub mod initial_model;
pub mod metd;
pub mod offsets;
pub mod provenance;
mod records;
pub mod run_folder;
pub mod temporal;
pub mod tower;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use cliper::config::EncoderConfig;
use cliper::train::{EncoderCheckpoint, MetdConfig, Schedule, Stem, TrainConfig, TrainOptimizer, TrainPrecision};

use crate::data::split::pictures;
use crate::data::{CLASSES, DataSet, Example, VOTES};
use crate::files;
use initial_model::InitialModel;
use run_folder::TrainingStage;

/// Of a second set's labels, which are one a picture and often wrong, beside the votes' 12 of the built-in model.
const ALSO_WEIGHT: f32 = 4.0;

/// How far votes give way to a teacher: it has seen all pictures, they are ten taggers' opinions of one.
const TEACHER_WEIGHT: f32 = 0.7;

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
enum Optimizer {
    Adamw,
    Muon,
}

/// What the stem's products are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Precision {
    F32,
    Bf16,
}

#[derive(Args)]
pub struct Options {
    /// ferplus:FOLDER, with FER2013Train and FER2013Valid; or another set that `cargo pkg evaluate` reads
    #[arg(long)]
    pub data: DataSet,
    /// What is trained
    #[arg(long, value_enum, default_value = "image")]
    stage: TrainingStage,
    /// Folder of the run; one that exists is gone on with
    #[arg(long)]
    pub checkpoint: PathBuf,
    /// What it starts from: a bundle, a folder that `cargo pkg import` wrote, or a run (metd: needed; image: seeded weights
    /// without it, and from a run of its own kind with that run's settings where none are named; temporal: the bundle that the head is for, the built-in one without it)
    #[arg(long)]
    pub from: Option<PathBuf>,
    /// image: descriptor embeddings that `cargo pkg describe` wrote; those of --from, or
    /// pkg-build/descriptors/ferplus.safetensors
    #[arg(long)]
    pub descriptors: Option<PathBuf>,
    #[command(flatten)]
    temporal: temporal::Options,
    /// image: a second set, fer2013:FILE, whose labels are learned too, of the pictures that stand in both
    #[arg(long)]
    pub auxiliary: Option<DataSet>,
    /// image: what those labels are learned against; pkg-build/descriptors/fer2013.safetensors
    #[arg(long, requires = "auxiliary")]
    pub auxiliary_descriptors: Option<PathBuf>,
    /// image: weight of those labels' cross-entropy [4]
    #[arg(long, requires = "auxiliary")]
    auxiliary_weight: Option<f32>,
    /// image: an encoder that teaches this one, a run or a bundle of the same joint space: votes give way to what it says of each
    /// changed picture and its mirror image
    #[arg(long)]
    pub teacher: Option<PathBuf>,
    /// image: how far, from 0 to 1 [0.7]
    #[arg(long, requires = "teacher")]
    teacher_weight: Option<f32>,
    /// metd: the text tower of the joint space, a folder of all-MiniLM-L6-v2's kind or a CLIP checkpoint; found by itself for
    /// an imported checkpoint and for all-MiniLM-L6-v2
    #[arg(long)]
    pub text_encoder: Option<PathBuf>,
    /// metd: face shapes of the training and validation parts, which `cargo pkg shapes` wrote: the descriptors of --from keep
    /// their texts and learn to follow the movements that they name; class scores stay as they are
    #[arg(long, conflicts_with_all = ["text_encoder", "per_expression", "tokens", "prompt", "batch", "temperature", "weight_decay", "limit"])]
    pub shapes: Option<PathBuf>,
    /// metd: descriptor texts with movements, JSON, for descriptors that carry none
    #[arg(long, requires = "shapes")]
    pub movements: Option<PathBuf>,
    /// metd: how much descriptors of one half of the face are kept from answering by the other half; 0 lets them [50]
    #[arg(long, requires = "shapes")]
    elsewhere: Option<f32>,
    /// metd: descriptors of each expression [5]
    #[arg(long)]
    per_expression: Option<usize>,
    /// metd: learned tokens of each descriptor [4]
    #[arg(long)]
    tokens: Option<usize>,
    /// metd: sentence with {} in the learned tokens' place ["an ID photo of {}."]
    #[arg(long)]
    prompt: Option<String>,
    /// image: encoder preset, of seeded weights [small] or of what the encoder of --from is widened to
    #[arg(long)]
    pub preset: Option<String>,
    /// Passes over the data [metd: 2; image: 12, with --from 57; temporal: 30]; given to a run that is gone on with, its schedule is
    /// stretched or cut
    #[arg(long)]
    pub epochs: Option<usize>,
    /// [metd, image: 128; temporal: 32]
    #[arg(long)]
    batch: Option<usize>,
    /// Highest learning rate [metd: 0.01; image: 0.0015, with --from 0.000005; temporal: 0.001]
    #[arg(long)]
    rate: Option<f64>,
    /// image: epochs between warm restarts of the rate, 0 for one cosine with a warm-up [0, with --from 10]
    #[arg(long)]
    restarts: Option<usize>,
    /// image: weight of the cross-entropy over class scores beside CLIPER's two terms [1, with --from 0]
    #[arg(long)]
    class_weight: Option<f32>,
    /// image: how far the classes are evened out, 0 leaves their shares alone, 1 makes them equal [0]; given to a run that is
    /// gone on with, the epochs to come are drawn so
    #[arg(long)]
    class_balance: Option<f64>,
    /// image: blend each picture with another by a share from Beta(MIX, MIX), and their votes; 0 blends none [0]
    #[arg(long)]
    mixup: Option<f32>,
    /// Similarities are divided by this in the loss [0.05, with --from 0.01]
    #[arg(long)]
    temperature: Option<f32>,
    /// image: what moves the weights [muon, with --from adamw]
    #[arg(long, value_enum)]
    optimizer: Option<Optimizer>,
    /// Weight decay, times the rate [metd: 0; image: 0.05, with --from 0.1]
    #[arg(long)]
    weight_decay: Option<f32>,
    #[arg(long, default_value_t = TrainConfig::default().seed)]
    pub seed: u64,
    /// image: what computes
    #[arg(long, value_enum, default_value = "cpu")]
    pub device: Device,
    /// image: of the stem's products, for a new run; bf16 needs a processor with AVX-512 BF16 and is two to three times as
    /// fast [bf16 where it can be had, else f32; with --from RUN the run's, with another f32]
    #[arg(long, value_enum)]
    precision: Option<Precision>,
    /// image: parts of a batch computed side by side [2; on a GPU 1]
    #[arg(long)]
    threads: Option<usize>,
    /// Train on the first N pictures only: a rehearsal
    #[arg(long)]
    limit: Option<usize>,
}

pub fn run(options: &Options) -> Result<()> {
    options.check()?;
    match options.stage {
        TrainingStage::Metd => match &options.shapes {
            Some(shapes) => offsets::run(options, shapes),
            None => metd::run(options),
        },
        TrainingStage::Image => encoder::run(options),
        TrainingStage::Temporal => temporal::run(
            &options.temporal,
            &temporal::Common {
                data: &options.data,
                run: &options.checkpoint,
                from: options.from.as_ref(),
                epochs: options.epochs,
                batch: options.batch,
                rate: options.rate,
                seed: options.seed,
                limit: options.limit,
            },
        ),
    }
}

impl Options {
    /// Refuses options of another stage, and a run of another.
    fn check(&self) -> Result<()> {
        let image = [
            ("--descriptors", self.descriptors.is_some()),
            ("--preset", self.preset.is_some()),
            ("--restarts", self.restarts.is_some()),
            ("--class-weight", self.class_weight.is_some()),
            ("--class-balance", self.class_balance.is_some()),
            ("--auxiliary", self.auxiliary.is_some()),
            ("--teacher", self.teacher.is_some()),
            ("--mixup", self.mixup.is_some()),
            ("--threads", self.threads.is_some()),
            ("--optimizer", self.optimizer.is_some()),
            ("--precision", self.precision.is_some()),
            ("--device gpu", self.device == Device::Gpu),
        ];
        let metd = [
            ("--text-encoder", self.text_encoder.is_some()),
            ("--per-expression", self.per_expression.is_some()),
            ("--tokens", self.tokens.is_some()),
            ("--prompt", self.prompt.is_some()),
            ("--shapes", self.shapes.is_some()),
        ];
        for (owner, options) in [(TrainingStage::Image, &image[..]), (TrainingStage::Metd, &metd[..])] {
            if let Some((name, _)) = options.iter().find(|(_, given)| *given && owner != self.stage) {
                let (owner, stage) = (owner.name(), self.stage.name());
                anyhow::bail!("{name} belongs to --stage {owner}; leave it out of --stage {stage}");
            }
        }
        ensure!(
            self.stage != TrainingStage::Metd || self.from.is_some(),
            "--stage metd learns descriptors for an encoder that is there: name a bundle, an imported checkpoint or a run \
             with --from"
        );
        ensure!(
            self.stage == TrainingStage::Temporal || self.data.expressions() == &VOTES[..CLASSES],
            "{} has no FER+ votes to train on; give ferplus:FOLDER",
            self.data.name()
        );
        files::recover_folder(&self.checkpoint)?;
        if self.stage != TrainingStage::Temporal {
            files::check_place(&self.checkpoint, run_folder::STATE)?;
        }
        if let Some(found) = TrainingStage::of(&self.checkpoint)? {
            ensure!(
                found == self.stage,
                "{} holds a run of --stage {}; name a new folder for --stage {}{}",
                self.checkpoint.display(),
                found.name(),
                self.stage.name(),
                if self.stage == TrainingStage::Image { " and start --from that run" } else { "" }
            );
        }
        Ok(())
    }

    /// Settings of the image encoder's stage.
    pub fn image(&self, start: Option<&InitialModel>) -> Result<(EncoderConfig, TrainConfig)> {
        let (encoder, base) = match start {
            Some(InitialModel { encoder, trained: Some((config, _)), .. }) => (encoder.clone(), config.clone()),
            Some(start) => (start.encoder.clone(), TrainConfig::second_stage(start.preprocess.clone())),
            None => (EncoderConfig::preset(self.preset.as_deref().unwrap_or("small"))?, TrainConfig::default()),
        };
        // Deployed weights have no batch norms any more: only Burn trains such a stem.
        let usual = match start {
            Some(InitialModel { trained: None, .. }) => TrainPrecision::F32,
            Some(_) => base.precision,
            None => TrainPrecision::Bf16,
        };
        let trains_here = self.device == Device::Cpu && Stem::detect(&encoder).is_some();
        let config = TrainConfig {
            precision: match self.precision {
                Some(Precision::F32) => TrainPrecision::F32,
                Some(Precision::Bf16) => TrainPrecision::Bf16,
                None if trains_here => usual,
                None => TrainPrecision::F32,
            },
            optimizer: match self.optimizer {
                None => base.optimizer,
                Some(Optimizer::Adamw) => TrainOptimizer::AdamW,
                Some(Optimizer::Muon) => TrainOptimizer::Muon,
            },
            epochs: self.epochs.unwrap_or(base.epochs),
            batch: self.batch.unwrap_or(base.batch),
            rate: self.rate.unwrap_or(base.rate),
            schedule: match self.restarts {
                None => base.schedule,
                Some(0) => Schedule::WarmCosine,
                Some(epochs) => Schedule::Restarts { epochs },
            },
            weight_decay: self.weight_decay.unwrap_or(base.weight_decay),
            temperature: self.temperature.unwrap_or(base.temperature),
            class_weight: self.class_weight.unwrap_or(base.class_weight),
            auxiliary_weight: match self.auxiliary {
                Some(_) => self.auxiliary_weight.unwrap_or(ALSO_WEIGHT),
                None => 0.0,
            },
            teacher_weight: match self.teacher {
                Some(_) => self.teacher_weight.unwrap_or(TEACHER_WEIGHT),
                None => 0.0,
            },
            class_balance: self.class_balance.unwrap_or(base.class_balance),
            mixup: self.mixup.unwrap_or(base.mixup),
            seed: self.seed,
            threads: self.threads.unwrap_or(if self.device == Device::Gpu { 1 } else { base.threads }),
            ..base
        };
        Ok((encoder, config))
    }

    /// What may change in an image run that is gone on with.
    pub fn change(&self, state: &mut EncoderCheckpoint) {
        state.change(self.epochs, self.class_balance);
    }

    /// Settings of METD.
    pub fn metd(&self) -> MetdConfig {
        let base = MetdConfig::default();
        MetdConfig {
            epochs: self.epochs.unwrap_or(base.epochs),
            batch: self.batch.unwrap_or(base.batch),
            rate: self.rate.unwrap_or(base.rate),
            weight_decay: self.weight_decay.unwrap_or(base.weight_decay),
            temperature: self.temperature.unwrap_or(base.temperature),
            per_expression: self.per_expression.unwrap_or(base.per_expression),
            tokens: self.tokens.unwrap_or(base.tokens),
            prompt: self.prompt.clone().unwrap_or(base.prompt),
            seed: self.seed,
        }
    }

    /// The pictures to train on and the ones to choose by.
    pub fn pictures(&self, side: usize) -> Result<(Vec<Example>, Vec<Example>)> {
        pictures(&self.data, side, self.limit)
    }
}
