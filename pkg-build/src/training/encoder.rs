//! `cargo pkg train image`: the image encoder against constant descriptors, resumable, chosen on the validation
//! part.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cliper::config::EncoderConfig;
use cliper::engine::burn::TrainingCpu;
use cliper::engine::burn::ops::TrainingOps;
use cliper::engine::cpu::CpuEncoder;
use cliper::metrics::Evaluation;
use cliper::model::descriptors::Descriptors;
use cliper::model::learned::Learned;
use cliper::tensors::Weights;
use cliper::train::{
    EpochRecord, Progress, Sample, Schedule, Stem, TrainConfig, TrainOptimizer, TrainPrecision, Trainer,
};

use crate::bundles::{read_descriptors, read_learned, write_descriptors};
use crate::data::split::{check_names, samples};
use crate::data::{Example, Square};
use crate::evaluation::encode::{evaluation, similarities};
use crate::training::fit::{self, Measured, fit};
use crate::training::initial_model::InitialModel;
use crate::training::options::{Device, ImageOptions, Optimizer, Precision};
use crate::training::run_folder;

/// What the encoder is scored against when nothing else is named.
pub const DESCRIPTORS: &str = "pkg-build/descriptors/ferplus.safetensors";

/// What a second set's labels are learned against when nothing else is named.
const AUXILIARY_DESCRIPTORS: &str = "pkg-build/descriptors/fer2013.safetensors";

/// Of a second set's labels, which are one a picture and often wrong, beside the votes' 12 of the built-in model.
const AUXILIARY_WEIGHT: f32 = 4.0;

/// How far votes give way to a teacher: it has seen all pictures, they are ten taggers' opinions of one.
const TEACHER_WEIGHT: f32 = 0.7;

pub fn run(options: &ImageOptions) -> Result<()> {
    match options.device {
        Device::Cpu => run_on::<TrainingCpu>(options),
        #[cfg(feature = "gpu")]
        Device::Gpu => {
            ensure!(
                cliper::engine::burn::has_gpu(),
                "no graphics card with a driver for Vulkan, Metal or DirectX 12 was found: install the driver and, on Linux, \
                 the Vulkan loader (libvulkan1), or leave out --device gpu"
            );
            run_on::<cliper::engine::burn::TrainingGpu>(options)
        }
        #[cfg(not(feature = "gpu"))]
        Device::Gpu => anyhow::bail!(
            "this build has no GPU backend; build one that has it: cargo run --release --package cliper-build --features \
             gpu -- train --device gpu ..."
        ),
    }
}

fn run_on<B: TrainingOps>(options: &ImageOptions) -> Result<()> {
    let folder = options.common.checkpoint.as_path();
    let goes_on = folder.join(run_folder::STATE).is_file();
    let start = match &options.from {
        Some(from) if !goes_on => {
            let start = InitialModel::read(from)?;
            Some(match &options.preset {
                Some(preset) => start.widen(&EncoderConfig::preset(preset)?, options.common.seed())?,
                None => start,
            })
        }
        _ => None,
    };
    let (descriptors, learned, backbone) = descriptors(options, start.as_ref())?;
    let device = Default::default();
    let mut trainer = if goes_on {
        let mut state = run_folder::read_checkpoint(folder)?;
        options.check(&state.config)?;
        state.change(options.common.epochs, options.class_balance);
        eprintln!("going on with {} after {} epochs", folder.display(), state.run.history.len());
        Trainer::<B>::resume(state, &descriptors, &backbone, &device)?
    } else {
        let (encoder, config) = options.config(start.as_ref())?;
        match &start {
            Some(start) => {
                let weights = start.trained.as_ref().map_or(&start.weights, |(_, weights)| weights).clone();
                Trainer::from_weights(encoder, config, weights, &descriptors, &backbone, &device)?
            }
            None => Trainer::new(encoder, config, &descriptors, &backbone, &device)?,
        }
    };
    let encoder = trainer.encoder_config().clone();
    let square = Square::of(&encoder, &trainer.config().preprocess);
    let (pictures, valid) = options.common.pictures(square)?;
    let mut samples = samples(pictures);
    let trained_on = options.common.trained_on(samples.len());
    trained_on.check(folder)?;
    fit::say_if_done(folder, trainer.history(), trainer.config().epochs);
    let auxiliary = auxiliary(options, trainer.config(), &backbone, &mut samples, square)?;
    if let Some(auxiliary) = &auxiliary {
        trainer = trainer.learn_auxiliary(auxiliary)?;
    }
    if let Some(teacher) = teacher(options, trainer.config(), &backbone)? {
        let InitialModel { encoder, weights, trained, .. } = teacher;
        trainer = trainer.learn_from(trained.map_or(weights, |(_, weights)| weights), &encoder)?;
    }
    eprintln!(
        "{} training and {} validation pictures; {} parameters, {:.3} GFLOP a picture; seed {}",
        samples.len(),
        valid.len(),
        encoder.parameters(),
        encoder.flops() as f64 / 1e9,
        trainer.config().seed
    );
    if let Some(start) = &start
        && auxiliary.is_none()
        && !start.labels.is_empty()
    {
        eprintln!(
            "the labels of {} are not learned on and will be left out of what is packed: name the set, with --auxiliary",
            start.labels.join(", ")
        );
    }
    if let Some(start) = &start {
        let before = validate(&trainer, &start.weights, &descriptors, &valid)?;
        eprintln!("as started: validation WAR {:.2} % UAR {:.2} %", before.war * 100.0, before.uar * 100.0);
    }
    train(&mut trainer, &samples, &valid, &descriptors, |trainer, best| {
        run_folder::write(folder, |new| {
            match &start {
                Some(start) => new.origin(&start.origin)?,
                None => new.keep_origin()?,
            }
            write_descriptors(&new.descriptors(), &descriptors, &backbone, learned.as_ref())?;
            if let Some(auxiliary) = &auxiliary {
                write_descriptors(&new.auxiliary(), auxiliary, &backbone, None)?;
            }
            new.trained_on(&trained_on)?;
            new.weights(best)?;
            new.image(&trainer.checkpoint()?)
        })
    })
}

impl ImageOptions {
    /// Settings of the image encoder's stage.
    pub fn config(&self, start: Option<&InitialModel>) -> Result<(EncoderConfig, TrainConfig)> {
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
            epochs: self.common.epochs.unwrap_or(base.epochs),
            batch: self.common.batch.unwrap_or(base.batch),
            rate: self.common.rate.unwrap_or(base.rate),
            schedule: match self.restarts {
                None => base.schedule,
                Some(0) => Schedule::WarmCosine,
                Some(epochs) => Schedule::Restarts { epochs },
            },
            weight_decay: self.weight_decay.unwrap_or(base.weight_decay),
            temperature: self.temperature.unwrap_or(base.temperature),
            class_weight: self.class_weight.unwrap_or(base.class_weight),
            auxiliary_weight: match self.auxiliary {
                Some(_) => self.auxiliary_weight.unwrap_or(AUXILIARY_WEIGHT),
                None => 0.0,
            },
            teacher_weight: match self.teacher {
                Some(_) => self.teacher_weight.unwrap_or(TEACHER_WEIGHT),
                None => 0.0,
            },
            class_balance: self.class_balance.unwrap_or(base.class_balance),
            mixup: self.mixup.unwrap_or(base.mixup),
            seed: self.common.seed(),
            threads: self.threads.unwrap_or(if self.device == Device::Gpu { 1 } else { base.threads }),
            ..base
        };
        Ok((encoder, config))
    }
}

/// What the encoder is scored against: named, or the run's own, or those of what it starts from, or the default.
fn descriptors(options: &ImageOptions, start: Option<&InitialModel>) -> Result<(Descriptors, Option<Learned>, String)> {
    let own = options.common.checkpoint.join(run_folder::DESCRIPTORS);
    let file: PathBuf = match (&options.descriptors, start) {
        (Some(named), _) => named.clone(),
        _ if own.is_file() => own,
        (None, None) => DESCRIPTORS.into(),
        (None, Some(start)) => {
            let (descriptors, learned) = start.descriptors.clone().with_context(|| {
                format!(
                    "the imported checkpoint has no descriptors: make some with `cargo pkg describe --checkpoint {}` and name \
                     them with --descriptors, or learn them with `cargo pkg train metd`",
                    options.from.as_deref().unwrap_or(Path::new("FOLDER")).display()
                )
            })?;
            check_names(&descriptors, &options.common.data, options.from.as_deref().unwrap_or(Path::new("--from")))?;
            return Ok((descriptors, learned, start.backbone.clone()));
        }
    };
    let (descriptors, backbone) = read_descriptors(&file)?;
    check_names(&descriptors, &options.common.data, &file)?;
    if let Some(start) = start {
        let learns = start.descriptors.as_ref().is_some_and(|(_, learned)| learned.is_some());
        ensure!(
            !learns,
            "the encoder of --from goes with the descriptors that METD learned for it; leave --descriptors out, or start \
             from what the METD run started from"
        );
        ensure!(
            start.backbone == backbone,
            "{} is of the joint space `{backbone}`, the encoder of --from of `{}`; describe the texts by its own text tower",
            file.display(),
            start.backbone
        );
    }
    Ok((descriptors, read_learned(&file)?, backbone))
}

/// What a second set's labels are learned against, if they are; the samples that stand in that set get theirs.
fn auxiliary(
    options: &ImageOptions,
    config: &TrainConfig,
    backbone: &str,
    samples: &mut [Sample],
    square: Square,
) -> Result<Option<Descriptors>> {
    let Some(set) = &options.auxiliary else {
        ensure!(
            config.auxiliary_weight == 0.0,
            "this run learns a second set's labels: name the set again, with --auxiliary"
        );
        return Ok(None);
    };
    ensure!(config.auxiliary_weight > 0.0, "this run was begun without --auxiliary; start another --from it");
    let own = options.common.checkpoint.join(run_folder::AUXILIARY);
    let file = match &options.auxiliary_descriptors {
        Some(named) => named.clone(),
        None if own.is_file() => own,
        None => AUXILIARY_DESCRIPTORS.into(),
    };
    let (descriptors, foreign) = read_descriptors(&file)?;
    check_names(&descriptors, set, &file)?;
    ensure!(
        foreign == backbone,
        "{} is of the joint space `{foreign}`, the encoder's descriptors of `{backbone}`; describe both by one text tower",
        file.display()
    );
    let count = set.label(samples, square)?;
    ensure!(count > 0, "no training picture stands in {} too, so it has no labels to learn", set.name());
    eprintln!("{count} of the training pictures have a label of {} too", set.name());
    Ok(Some(descriptors))
}

/// What teaches the run, if something does.
fn teacher(options: &ImageOptions, config: &TrainConfig, backbone: &str) -> Result<Option<InitialModel>> {
    let Some(path) = &options.teacher else {
        ensure!(config.teacher_weight == 0.0, "this run is taught by an encoder: name it again, with --teacher");
        return Ok(None);
    };
    ensure!(config.teacher_weight > 0.0, "this run was begun without --teacher; start another --from it");
    let teacher = InitialModel::read(path)?;
    ensure!(
        teacher.backbone == backbone,
        "{} is of the joint space `{}`, this run of `{backbone}`; only an encoder of the same one can teach it",
        path.display(),
        teacher.backbone
    );
    Ok(Some(teacher))
}

/// Trains to the end. After every epoch the deployed weights are measured; `save` gets those of the best one so far.
pub fn train<B: TrainingOps>(
    trainer: &mut Trainer<B>,
    samples: &[Sample],
    valid: &[Example],
    descriptors: &Descriptors,
    save: impl FnMut(&Trainer<B>, Option<&Weights>) -> Result<()>,
) -> Result<()> {
    fit(&mut EncoderRun { trainer, samples, valid, descriptors, save })
}

struct EncoderRun<'a, B: TrainingOps, S> {
    trainer: &'a mut Trainer<B>,
    samples: &'a [Sample],
    valid: &'a [Example],
    descriptors: &'a Descriptors,
    save: S,
}

impl<B: TrainingOps, S: FnMut(&Trainer<B>, Option<&Weights>) -> Result<()>> fit::Run for EncoderRun<'_, B, S> {
    type Best = Weights;

    fn epochs(&self) -> usize {
        self.trainer.config().epochs
    }

    fn history(&self) -> &[EpochRecord] {
        self.trainer.history()
    }

    fn size(&self) -> (usize, &'static str) {
        let batch = self.trainer.config().batch;
        (self.samples.len() / batch * batch, "pictures")
    }

    fn train(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<f64> {
        Ok(self.trainer.epoch(self.samples, progress)?)
    }

    fn measure(&mut self) -> Result<Measured<Weights>> {
        let best = self.trainer.deployed(self.samples)?;
        let evaluation = validate(self.trainer, &best, self.descriptors, self.valid)?;
        Ok(Measured { evaluation, note: String::new(), best })
    }

    fn record(&mut self, record: EpochRecord) -> Result<()> {
        self.trainer.record(record);
        Ok(())
    }

    fn save(&mut self, best: Option<Weights>) -> Result<()> {
        (self.save)(self.trainer, best.as_ref())
    }
}

fn validate<B: TrainingOps>(
    trainer: &Trainer<B>,
    weights: &Weights,
    descriptors: &Descriptors,
    examples: &[Example],
) -> Result<Evaluation> {
    let config = trainer.encoder_config();
    let load = || Ok(CpuEncoder::load(&mut weights.clone(), config)?);
    let pixels = |example: &Example| example.pixels(&trainer.config().preprocess);
    let similarities = similarities(load, pixels, descriptors, examples)?;
    Ok(evaluation(descriptors, &similarities, examples, trainer.config().temperature))
}
