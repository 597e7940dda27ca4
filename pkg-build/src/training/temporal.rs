//! `cargo pkg train temporal`: a temporal head on the cached embeddings of a bundle's encoder.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use cliper::bundle::{Bundle, Role};
use cliper::config::TemporalConfig;
use cliper::engine::burn::TrainingCpu;
use cliper::engine::cpu::CpuTemporalHead;
use cliper::math::best;
use cliper::metrics::Evaluation;
use cliper::tensors::{BACKBONE, Precision, Values, Weights, sha256};
use cliper::train::{ClipSample, EpochRecord, Progress, TemporalCheckpoint, TemporalTrainConfig, TemporalTrainer};
use serde_json::json;

use crate::bundles::read_bundle;
use crate::data::embeddings::embed;
use crate::data::{DataSet, Labelled, Part};
use crate::files;
use crate::project;
use crate::training::fit::{self, Measured, fit};
use crate::training::options::{Common, TemporalOptions};
use crate::training::records::{read_records, write_records};
use crate::training::settings::TrainedOn;

/// Where a set has no validation part, every tenth training clip is held back to choose the epoch by.
const HELD_BACK: usize = 10;
/// The head with the best validation figures, in the run's folder.
pub const BEST: &str = "head.safetensors";
/// The folder of its state, in the run's folder.
pub const STATE: &str = "state";
/// The cached embeddings, in the run's folder.
const CACHE: &str = "embeddings.safetensors";

pub fn run(options: &TemporalOptions) -> Result<()> {
    let Common { data, checkpoint: folder, epochs, batch, rate, limit, .. } = &options.common;
    let state = folder.join(STATE);
    let state = if state.join("state.json").is_file() { Some(read_state(&state)?) } else { None };
    // What can be refused is refused before anything is encoded.
    if let Some(state) = &state {
        options.check(&state.head, &state.config)?;
    }
    let frames = state
        .as_ref()
        .map_or_else(|| options.frames.unwrap_or(TemporalConfig::default().frames), |state| state.head.frames);
    let bundle = read_bundle(&project::bundle_folder(options.from.as_ref())?)?;
    let (train, valid) = clips(data, options.fold, &bundle, *limit)?;
    let trained_on = TrainedOn {
        fold: Some(options.fold),
        encoder: Some(encoder_hash(&bundle)),
        ..options.common.trained_on(train.len())
    };
    trained_on.check(folder)?;
    let cache = Cache { bundle: &bundle, run: folder, frames };
    let embedded = cache.read_or_make(&[train.as_slice(), valid.as_slice()].concat())?;
    let (train, valid) = embedded.split_at(train.len());
    let samples: Vec<ClipSample> = train.iter().flatten().cloned().collect();
    let valid: Vec<ClipSample> = valid.iter().flatten().cloned().collect();
    ensure!(!samples.is_empty() && !valid.is_empty(), "no clip is left to train on, or none to choose by");

    let device = Default::default();
    let trainer = if let Some(mut state) = state {
        state.config.epochs = epochs.unwrap_or(state.config.epochs);
        eprintln!("going on with {} after {} epochs", folder.display(), state.run.history.len());
        TemporalTrainer::<TrainingCpu>::resume(state, &bundle.descriptors, &device)?
    } else {
        let defaults = TemporalTrainConfig::default();
        let config = TemporalTrainConfig {
            epochs: epochs.unwrap_or(defaults.epochs),
            batch: batch.unwrap_or(defaults.batch),
            rate: rate.unwrap_or(defaults.rate),
            temperature: bundle.manifest.calibration.temperature,
            descriptor_weight: if bundle.manifest.movements.is_some() { 0.0 } else { defaults.descriptor_weight },
            shorten: options.shorten.unwrap_or(defaults.shorten),
            seed: options.common.seed(),
            ..defaults
        };
        let head = TemporalConfig { frames, ..TemporalConfig::default() };
        TemporalTrainer::new(head, config, &bundle.descriptors, &samples, &device)?
    };
    let config = trainer.state().config.clone();
    let mean = measure(&bundle, &valid, mean);
    eprintln!(
        "{} training and {} validation clips of {} frames; head of {} parameters, seed {}; the mean over time: \
         validation WAR {:.2} % UAR {:.2} %",
        samples.len(),
        valid.len(),
        frames,
        trainer.state().head.parameters(bundle.manifest.encoder.embedding),
        config.seed,
        mean.war * 100.0,
        mean.uar * 100.0
    );
    fit::say_if_done(folder, &trainer.state().run.history, config.epochs);
    trained_on.write(folder)?;
    fit(&mut TemporalRun { trained_on, folder, bundle: &bundle, samples, valid, mean, trainer })?;
    eprintln!(
        "the best head is {}; put it into a bundle: cargo pkg head --head {0} --output BUNDLE",
        folder.join(BEST).display()
    );
    Ok(())
}

struct TemporalRun<'a> {
    trained_on: TrainedOn,
    folder: &'a Path,
    bundle: &'a Bundle,
    samples: Vec<ClipSample>,
    valid: Vec<ClipSample>,
    /// What the mean over time is worth.
    mean: Evaluation,
    trainer: TemporalTrainer<TrainingCpu>,
}

impl fit::Run for TemporalRun<'_> {
    type Best = (Weights, Evaluation);

    fn epochs(&self) -> usize {
        self.trainer.state().config.epochs
    }

    fn history(&self) -> &[EpochRecord] {
        &self.trainer.state().run.history
    }

    fn size(&self) -> (usize, &'static str) {
        (self.samples.len(), "clips")
    }

    fn train(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<f64> {
        Ok(self.trainer.epoch(&self.samples, progress)?)
    }

    fn measure(&mut self) -> Result<Measured<Self::Best>> {
        let weights = self.trainer.weights()?;
        let width = self.bundle.manifest.encoder.embedding;
        let head = CpuTemporalHead::load(&mut weights.clone(), &self.trainer.state().head, width)?;
        let evaluation = measure(self.bundle, &self.valid, |frames| head.forward(frames));
        Ok(Measured { evaluation: evaluation.clone(), note: String::new(), best: (weights, evaluation) })
    }

    fn record(&mut self, record: EpochRecord) -> Result<()> {
        self.trainer.record(record);
        Ok(())
    }

    fn save(&mut self, best: Option<Self::Best>) -> Result<()> {
        if let Some((weights, found)) = best {
            write_best(self, weights, &found)?;
        }
        write_state(&self.folder.join(STATE), &self.trainer.checkpoint()?)
    }
}

/// Training clips and clips to choose by, of the expressions that the bundle knows.
fn clips(data: &DataSet, fold: usize, bundle: &Bundle, limit: Option<usize>) -> Result<(Vec<Labelled>, Vec<Labelled>)> {
    let known = |clip: &Labelled| bundle.manifest.expressions.iter().any(|known| known.name == clip.expression);
    let list = |part| -> Result<Vec<Labelled>> {
        let listing = data.list(part, fold)?;
        listing.report.print();
        let (known, others): (Vec<Labelled>, Vec<Labelled>) = listing.clips.into_iter().partition(known);
        if !others.is_empty() {
            eprintln!("{} of expressions that the bundle does not know are left out", others.len());
        }
        Ok(known)
    };
    let mut train = list(Part::Train)?;
    train.truncate(limit.unwrap_or(usize::MAX));
    if data.has_validation() {
        return Ok((train, list(Part::Valid)?));
    }
    let (mut training, mut held_back) = (Vec::new(), Vec::new());
    for (index, clip) in train.into_iter().enumerate() {
        if index % HELD_BACK == 0 { held_back.push(clip) } else { training.push(clip) }
    }
    Ok((training, held_back))
}

/// The embeddings of a run's clips, kept in its folder so that going on does not encode again.
struct Cache<'a> {
    bundle: &'a Bundle,
    run: &'a Path,
    frames: usize,
}

impl Cache<'_> {
    /// One sample a clip, none where a frame is damaged.
    fn read_or_make(&self, clips: &[Labelled]) -> Result<Vec<Option<ClipSample>>> {
        let path = self.run.join(CACHE);
        let key = self.key(clips)?;
        let embeddings = match self.read(&path, &key, clips.len()) {
            Some(embeddings) => embeddings,
            None => {
                let embedded = embed(self.bundle, clips, self.frames)?;
                if !embedded.damaged.is_empty() {
                    eprintln!("{} clips can't be read:", embedded.damaged.len());
                    embedded.damaged.iter().take(20).for_each(|reason| eprintln!("  {reason}"));
                }
                self.write(&path, &key, &embedded.clips)?;
                embedded.clips
            }
        };
        let names = &self.bundle.manifest.expressions;
        let sample = |(clip, frames): (&Labelled, Option<Vec<f32>>)| {
            let votes = names.iter().map(|known| f32::from(known.name == clip.expression)).collect();
            frames.map(|frames| ClipSample { frames, votes })
        };
        Ok(clips.iter().zip(embeddings).map(sample).collect())
    }

    /// Everything that the embeddings depend on, but for the pictures' own bytes.
    fn key(&self, clips: &[Labelled]) -> Result<String> {
        let weights: Vec<&str> = self.bundle.manifest.files.iter().map(|file| file.sha256.as_str()).collect();
        let names: Vec<&str> = clips.iter().map(|clip| clip.name.as_str()).collect();
        let encoder = (&self.bundle.manifest.encoder, &self.bundle.manifest.preprocess);
        Ok(sha256(json!([weights, serde_json::to_value(encoder)?, self.frames, names]).to_string().as_bytes()))
    }

    fn read(&self, path: &Path, key: &str, clips: usize) -> Option<Vec<Option<Vec<f32>>>> {
        let mut cached = Weights::default();
        cached.read(CACHE, &fs::read(path).ok()?).ok()?;
        let values = self.frames * self.bundle.manifest.encoder.embedding;
        let is_same = cached.metadata.get("key").is_some_and(|found| found == key);
        let seen = is_same.then(|| cached.take("seen", &[clips]).ok()).flatten()?;
        let embeddings = cached.take("embeddings", &[clips, values]).ok()?;
        eprintln!("using the embeddings in {}", path.display());
        let rows = embeddings.chunks_exact(values).zip(seen);
        Some(rows.map(|(row, seen)| (seen > 0.0).then(|| row.to_vec())).collect())
    }

    fn write(&self, path: &Path, key: &str, clips: &[Option<Vec<f32>>]) -> Result<()> {
        let values = self.frames * self.bundle.manifest.encoder.embedding;
        let mut cached = Weights::default();
        cached.metadata.insert("key".into(), key.into());
        let seen = clips.iter().map(|clip| f32::from(clip.is_some())).collect();
        cached.insert("seen", Values { shape: vec![clips.len()], data: seen })?;
        let rows = clips.iter().flat_map(|clip| clip.clone().unwrap_or_else(|| vec![0.0; values])).collect();
        cached.insert("embeddings", Values { shape: vec![clips.len(), values], data: rows })?;
        files::write(path, &cached.write(Precision::F32)?)
    }
}

/// The figures of clips whose windows `pool` makes one unit vector of.
fn measure(bundle: &Bundle, samples: &[ClipSample], pool: impl Fn(&[&[f32]]) -> Vec<f32>) -> Evaluation {
    let names = bundle.manifest.expressions.iter().map(|expression| expression.name.clone()).collect();
    let (width, temperature) = (bundle.descriptors.width(), bundle.manifest.calibration.temperature);
    let score = |sample: &ClipSample| {
        let frames: Vec<&[f32]> = sample.frames.chunks_exact(width).collect();
        bundle.descriptors.scores(&bundle.descriptors.similarities(&pool(&frames)), temperature)
    };
    let scores: Vec<Vec<f32>> = samples.iter().map(score).collect();
    let truth: Vec<usize> = samples.iter().map(|sample| best(&sample.votes)).collect();
    Evaluation::new(names, &scores, &truth)
}

/// The mean over time at unit length: what a bundle without a head does.
fn mean(frames: &[&[f32]]) -> Vec<f32> {
    let width = frames.first().map_or(0, |frame| frame.len());
    let mut sum: Vec<f32> = (0..width).map(|index| frames.iter().map(|frame| frame[index]).sum()).collect();
    let length = sum.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-12);
    sum.iter_mut().for_each(|value| *value /= length);
    sum
}

/// SHA-256 over those of a bundle's encoder files: what embeddings depend on.
pub fn encoder_hash(bundle: &Bundle) -> String {
    let files = bundle.manifest.files.iter().filter(|file| file.role == Role::Weights);
    sha256(files.map(|file| file.sha256.as_str()).collect::<String>().as_bytes())
}

/// The head, with all that its part of a card says.
fn write_best(run: &TemporalRun, mut weights: Weights, found: &Evaluation) -> Result<()> {
    let TemporalRun { folder, bundle, mean, trainer, trained_on, .. } = run;
    let TemporalCheckpoint { head, config, run, .. } = trainer.state();
    weights.metadata.insert(BACKBONE.into(), bundle.manifest.backbone.clone());
    weights.metadata.insert("temporal".into(), serde_json::to_string(head)?);
    let validation = json!({ "head": found, "mean": mean });
    weights.metadata.insert("validation".into(), validation.to_string());
    let training = json!({ "config": config, "epochs": run.history, "data": trained_on });
    weights.metadata.insert("training".into(), training.to_string());
    weights.metadata.insert("encoder".into(), encoder_hash(bundle));
    files::write(&folder.join(BEST), &weights.write(Precision::F32)?)
}

fn read_state(folder: &Path) -> Result<TemporalCheckpoint> {
    let mut state: TemporalCheckpoint = serde_json::from_slice(&files::read(&folder.join("state.json"))?)
        .with_context(|| format!("{} is no run of `cargo pkg train temporal`", folder.display()))?;
    read_records(folder, &mut state.run)?;
    Ok(state)
}

/// Writes the run aside, then puts it in the old one's place.
fn write_state(folder: &Path, state: &TemporalCheckpoint) -> Result<()> {
    files::write_folder(folder, "state.json", |aside| {
        files::write(&aside.join("state.json"), serde_json::to_string_pretty(state)?.as_bytes())?;
        write_records(aside, &state.run)
    })
}
