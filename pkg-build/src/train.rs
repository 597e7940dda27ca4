//! `cargo pkg train`: the image encoder's stage on FER+ votes, resumable, chosen on the validation part.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use cliper::bundle::{Precision, Weights};
use cliper::config::EncoderConfig;
use cliper::cpu::CpuEncoder;
use cliper::device::TrainingCpu;
use cliper::evaluation::{Evaluation, fit_temperature};
use cliper::model::descriptors::Descriptors;
use cliper::train::{Checkpoint, EpochRecord, Sample, TrainConfig, Trainer, plain_pixels};
use indicatif::{ProgressBar, ProgressStyle};

use crate::dataset::{CLASSES, DataSet, Example, Part, VOTES};
use crate::files::{self, read_descriptors};

/// Every twentieth training picture is held back to fit the temperature on.
pub const HELD_BACK: usize = 20;

#[derive(Args)]
pub struct Options {
    /// ferplus:FOLDER, with FER2013Train and FER2013Valid
    #[arg(long)]
    data: DataSet,
    /// Descriptor embeddings that `cargo pkg describe` wrote
    #[arg(long, default_value = "pkg-build/descriptors/ferplus.safetensors")]
    descriptors: PathBuf,
    /// Folder of the run; one that exists is gone on with
    #[arg(long)]
    checkpoint: PathBuf,
    /// Encoder preset
    #[arg(long, default_value = "small")]
    preset: String,
    /// Passes over the data, 12 in a new run; given to a run that is gone on with, its schedule is stretched or cut
    #[arg(long)]
    epochs: Option<usize>,
    #[arg(long, default_value_t = TrainConfig::default().batch)]
    batch: usize,
    /// Highest learning rate
    #[arg(long, default_value_t = TrainConfig::default().rate)]
    rate: f64,
    /// Weight of the cross-entropy over class scores beside CLIPER's two terms
    #[arg(long, default_value_t = TrainConfig::default().class_weight)]
    class_weight: f32,
    /// How far the classes are evened out: 0 leaves their shares alone, 1 makes them equal
    #[arg(long, default_value_t = TrainConfig::default().balance)]
    balance: f64,
    /// Similarities are divided by this in the loss
    #[arg(long, default_value_t = TrainConfig::default().temperature)]
    temperature: f32,
    #[arg(long, default_value_t = TrainConfig::default().weight_decay)]
    weight_decay: f32,
    #[arg(long, default_value_t = TrainConfig::default().seed)]
    seed: u64,
    /// Parts of a batch computed side by side
    #[arg(long, default_value_t = TrainConfig::default().threads)]
    threads: usize,
    /// Train on the first N pictures only: a rehearsal
    #[arg(long)]
    limit: Option<usize>,
}

pub fn run(options: &Options) -> Result<()> {
    let (descriptors, backbone) = read_descriptors(&options.descriptors)?;
    ensure!(
        descriptors
            .expressions()
            .iter()
            .map(|expression| expression.name.as_str())
            .eq(VOTES[..CLASSES].iter().copied()),
        "{} must describe FER+'s eight expressions in their order: {}",
        options.descriptors.display(),
        VOTES[..CLASSES].join(" ")
    );
    let device = Default::default();
    let mut trainer = if options.checkpoint.join("state.json").is_file() {
        let mut state = read_checkpoint(&options.checkpoint)?;
        state.config.epochs = options.epochs.unwrap_or(state.config.epochs);
        eprintln!("going on with {} after {} epochs", options.checkpoint.display(), state.history.len());
        Trainer::<TrainingCpu>::resume(state, &descriptors, &backbone, &device)?
    } else {
        let config = TrainConfig {
            epochs: options.epochs.unwrap_or(TrainConfig::default().epochs),
            batch: options.batch,
            rate: options.rate,
            weight_decay: options.weight_decay,
            temperature: options.temperature,
            class_weight: options.class_weight,
            balance: options.balance,
            seed: options.seed,
            threads: options.threads,
            ..TrainConfig::default()
        };
        Trainer::new(EncoderConfig::preset(&options.preset)?, config, &descriptors, &backbone, &device)?
    };
    let encoder = trainer.encoder_config().clone();

    let (train, report) = options.data.read(Part::Train, encoder.side)?;
    report.print();
    let (valid, report) = options.data.read(Part::Valid, encoder.side)?;
    report.print();
    let mut samples: Vec<Sample> = split(train).0.into_iter().map(|example| example.sample).collect();
    samples.truncate(options.limit.unwrap_or(usize::MAX));
    let config = trainer.config().clone();
    eprintln!(
        "{} training and {} validation pictures; {} parameters, {:.3} GFLOP a picture; seed {}",
        samples.len(),
        valid.len(),
        encoder.parameters(),
        encoder.flops() as f64 / 1e9,
        config.seed
    );

    while trainer.history().len() < config.epochs {
        let epoch = trainer.history().len() + 1;
        let start = Instant::now();
        let bar = ProgressBar::new((samples.len() / config.batch * config.batch) as u64).with_style(
            ProgressStyle::with_template(
                "epoch {prefix} {bar:30} {pos}/{len} pictures, {per_sec}, {eta} to go, loss {msg}",
            )?,
        );
        bar.set_prefix(format!("{epoch}/{}", config.epochs));
        let mut recent = 0.0;
        let loss = trainer.epoch(&samples, |progress| {
            bar.inc(progress.samples as u64);
            bar.set_message(format!("{:.3}", progress.loss));
            // A log file gets a line now and then instead of the bar.
            recent += (progress.loss - recent) / 20.0;
            if bar.is_hidden() && progress.step % 50 == 0 {
                let rate = bar.position() as f64 / start.elapsed().as_secs_f64();
                eprintln!("step {}/{}: loss {recent:.3}, {rate:.0} pictures a second", progress.step, progress.steps);
            }
        })?;
        bar.finish_and_clear();
        let rate = samples.len() as f64 / start.elapsed().as_secs_f64();
        let deployed = trainer.deployed(&samples)?;
        let evaluation = validate(&trainer, &deployed, &descriptors, &valid)?;
        trainer.record(EpochRecord {
            epoch,
            loss,
            seconds: start.elapsed().as_secs_f64(),
            war: evaluation.war,
            uar: evaluation.uar,
        });
        let best = trainer.history().iter().all(|record| record.war <= evaluation.war);
        write_checkpoint(&options.checkpoint, &trainer.checkpoint()?, best.then_some(&deployed))?;
        let left = (config.epochs - epoch) as f64 * start.elapsed().as_secs_f64() / 60.0;
        eprintln!(
            "epoch {epoch}/{}: loss {loss:.4}, validation WAR {:.2} % UAR {:.2} %{}, {rate:.0} pictures a second, {left:.0} min to go",
            config.epochs,
            evaluation.war * 100.0,
            evaluation.uar * 100.0,
            if best { " (best)" } else { "" },
        );
    }
    Ok(())
}

/// Training pictures and the ones held back from training.
pub fn split(examples: Vec<Example>) -> (Vec<Example>, Vec<Example>) {
    let (mut training, mut held_back) = (Vec::new(), Vec::new());
    for (index, example) in examples.into_iter().enumerate() {
        if index % HELD_BACK == 0 { held_back.push(example) } else { training.push(example) }
    }
    (training, held_back)
}

fn validate(
    trainer: &Trainer<TrainingCpu>,
    deployed: &Weights,
    descriptors: &Descriptors,
    examples: &[Example],
) -> Result<Evaluation> {
    let config = trainer.encoder_config();
    let load = || Ok(CpuEncoder::load(&mut deployed.clone(), config)?);
    let pixels = |example: &Example| plain_pixels(&example.sample, &trainer.config().preprocess);
    let similarities = similarities(load, pixels, descriptors, examples)?;
    Ok(evaluation(descriptors, &similarities, examples, trainer.config().temperature))
}

/// Cosines with every descriptor for each example, on all cores.
pub fn similarities(
    load: impl Fn() -> Result<CpuEncoder> + Sync,
    pixels: impl Fn(&Example) -> Vec<f32> + Sync,
    descriptors: &Descriptors,
    examples: &[Example],
) -> Result<Vec<Vec<f32>>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let parts = std::thread::scope(|scope| {
        let threads: Vec<_> = examples
            .chunks(examples.len().div_ceil(cores).max(1))
            .map(|part| {
                let (load, pixels) = (&load, &pixels);
                scope.spawn(move || -> Result<Vec<Vec<f32>>> {
                    let mut encoder = load()?;
                    Ok(part
                        .iter()
                        .map(|example| {
                            let mut embedding = encoder.encode(&pixels(example));
                            let length = embedding.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-12);
                            embedding.iter_mut().for_each(|value| *value /= length);
                            descriptors.similarities(&embedding)
                        })
                        .collect())
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
    });
    let mut all = Vec::with_capacity(examples.len());
    for part in parts {
        all.extend(part.map_err(|_| anyhow::anyhow!("an evaluation thread panicked; its message stands above"))??);
    }
    Ok(all)
}

/// The figures of similarities at a temperature.
pub fn evaluation(
    descriptors: &Descriptors,
    similarities: &[Vec<f32>],
    examples: &[Example],
    temperature: f32,
) -> Evaluation {
    let names = descriptors.expressions().iter().map(|expression| expression.name.clone()).collect();
    let scores: Vec<Vec<f32>> = similarities.iter().map(|row| descriptors.scores(row, temperature)).collect();
    let truth: Vec<usize> = examples.iter().map(|example| example.label).collect();
    Evaluation::new(names, &scores, &truth)
}

/// The temperature that makes the majority label most likely.
pub fn calibrate(descriptors: &Descriptors, similarities: &[Vec<f32>], examples: &[Example]) -> f32 {
    fit_temperature(0.001, 1.0, |temperature| {
        let sum: f64 = similarities
            .iter()
            .zip(examples)
            .map(|(row, example)| -f64::from(descriptors.scores(row, temperature)[example.label].max(1e-12).ln()))
            .sum();
        sum / examples.len() as f64
    })
}

/// A run's folder, read.
pub fn read_checkpoint(folder: &Path) -> Result<Checkpoint> {
    let mut state: Checkpoint = serde_json::from_slice(&files::read(&folder.join("state.json"))?)
        .with_context(|| format!("{} is no run of `cargo pkg train`", folder.display()))?;
    state.parameters = files::read(&folder.join("parameters.bin"))?;
    state.optimizer = files::read(&folder.join("optimizer.bin"))?;
    state.averaged = files::read(&folder.join("averaged.safetensors"))?;
    Ok(state)
}

/// Writes the run aside, then puts it in the old one's place; the best epoch's deployed weights stay beside it.
fn write_checkpoint(folder: &Path, state: &Checkpoint, best: Option<&Weights>) -> Result<()> {
    let new = folder.with_extension("new");
    if new.exists() {
        fs::remove_dir_all(&new)?;
    }
    files::write(&new.join("state.json"), serde_json::to_string_pretty(state)?.as_bytes())?;
    files::write(&new.join("parameters.bin"), &state.parameters)?;
    files::write(&new.join("optimizer.bin"), &state.optimizer)?;
    files::write(&new.join("averaged.safetensors"), &state.averaged)?;
    let best = match best {
        Some(weights) => weights.write(Precision::F32)?,
        None => files::read(&folder.join("best.safetensors"))?,
    };
    files::write(&new.join("best.safetensors"), &best)?;
    files::replace_folder(&new, folder)
}
