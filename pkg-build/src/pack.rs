//! `cargo pkg pack`: a finished run, or an imported backbone, and its descriptors -> a bundle, replayed before it says
//! packed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use cliper::bundle::{
    Aggregation, BACKBONE, Calibration, FORMAT, FileEntry, GOLDEN_SIDE, Manifest, Precision, Role, VERSION, Values,
    Weights, golden_picture, sha256,
};
use cliper::config::EncoderConfig;
use cliper::cpu::CpuEngine;
use cliper::device::NativeCpu;
use cliper::model::Cliper;
use cliper::model::descriptors::Descriptors;
use cliper::preprocess::Picture;
use cliper::session::{GOLDEN_COSINE, Session, cosine};
use cliper::train::Checkpoint;
use serde::Serialize;
use serde_json::json;

use crate::card;
use crate::checkpoints::{self, Backbone};
use crate::dataset::{DataSet, Part};
use crate::files::{self, read_bundle, read_descriptors};
use crate::measure::{Measured, Model, leave_out_seen};
use crate::train::{self, read_checkpoint, split};

/// Largest shard, so that loading can show progress and go on.
const SHARD: usize = 16 << 20;
/// Frames of a window: at 8 answers a second, two seconds, and DFER-CLIP's T.
const WINDOW: usize = 16;
/// CLIPER's fixed temperature, in place of a checkpoint's logit scale.
const CLIPER_TEMPERATURE: f32 = 0.01;

#[derive(Args)]
pub struct Options {
    /// Folder of a run of `cargo pkg train`, or of a backbone that `cargo pkg import` wrote (zero-shot)
    #[arg(long)]
    checkpoint: PathBuf,
    /// Descriptor embeddings it was trained against, or that its own text tower made
    #[arg(long, default_value = "pkg-build/descriptors/ferplus.safetensors")]
    descriptors: PathBuf,
    /// ferplus:FOLDER: fits temperature and threshold on held-back training pictures and measures the validation part
    #[arg(long)]
    data: Option<DataSet>,
    /// Another data set whose validation part goes into the card, e.g. fer2013:FILE; may come several times
    #[arg(long, requires = "data")]
    also: Vec<DataSet>,
    /// The model's name; ferplus-small, or the backbone's
    #[arg(long)]
    name: Option<String>,
    /// Folder of the bundle
    #[arg(long)]
    output: PathBuf,
}

pub fn run(options: &Options) -> Result<()> {
    if options.checkpoint.join(checkpoints::BACKBONE).is_file() {
        return pack_zero_shot(options);
    }
    let run = read_checkpoint(&options.checkpoint)?;
    let (descriptors, backbone) = read_descriptors(&options.descriptors)?;
    ensure!(
        run.backbone == backbone,
        "the run was trained against another joint space than {} is in; pack it with its own descriptors",
        options.descriptors.display()
    );
    let mut weights = Weights::default();
    weights.read("best.safetensors", &files::read(&options.checkpoint.join("best.safetensors"))?)?;
    let measured = match &options.data {
        Some(data) => {
            // What is measured is what will be packed.
            let mut rounded = Weights::default();
            rounded.read("the rounded weights", &weights.write(Precision::F16)?)?;
            let model = Model {
                encoder: &run.encoder,
                preprocess: &run.config.preprocess,
                weights: &rounded,
                descriptors: &descriptors,
            };
            Some(measure(&model, data, &options.also)?)
        }
        None => None,
    };
    let calibration = match &measured {
        Some(measured) => measured.calibration,
        None => Calibration { temperature: run.config.temperature, error: None, uncertain_below: None },
    };
    let best = run.history.iter().max_by(|a, b| a.war.total_cmp(&b.war));
    let provenance = json!({
        "training": { "config": plain(&run.config)?, "epochs": run.history, "chosen": best.map(|epoch| epoch.epoch) },
        "command": command(&run)?,
        "validation": plain(&measured.as_ref().map(|measured| &measured.validation))?,
        "also": plain(&measured.as_ref().map(|measured| &measured.also))?,
        "descriptorEncoder": "all-MiniLM-L6-v2 (Apache-2.0)",
        "data": card::DATA,
    });
    let manifest = Manifest {
        format: FORMAT.into(),
        version: VERSION,
        name: options.name.clone().unwrap_or("ferplus-small".into()),
        encoder: run.encoder.clone(),
        preprocess: run.config.preprocess.clone(),
        expressions: descriptors.expressions().to_vec(),
        aggregation: Aggregation::Mean,
        calibration,
        window: WINDOW,
        face_margin: 1.0,
        backbone,
        licence: card::LICENCE.into(),
        provenance,
        files: Vec::new(),
    };
    let card = card::text(&manifest, measured.as_ref());
    let (bytes, cosine) = write(&options.output, manifest, weights, &descriptors, &card)?;
    eprintln!(
        "packed {}: {bytes} bytes, temperature {:.4}, golden cosine of the CPU encoder {cosine:.7}",
        options.output.display(),
        calibration.temperature
    );
    if let Some(Figures { validation, .. }) = &measured {
        let [war, uar] = [validation.evaluation.war, validation.evaluation.uar].map(|share| share * 100.0);
        eprintln!("validation WAR {war:.2} % UAR {uar:.2} %");
    }
    Ok(())
}

/// A bundle of an imported backbone as it is, against texts of its own text tower.
fn pack_zero_shot(options: &Options) -> Result<()> {
    ensure!(
        options.data.is_none(),
        "a zero-shot bundle is not fitted to data; pack it without --data and measure it with `cargo pkg evaluate`"
    );
    let imported = Backbone::read(&options.checkpoint)?;
    let (descriptors, backbone) = read_descriptors(&options.descriptors)?;
    ensure!(
        backbone == imported.backbone,
        "{} was made for the joint space `{backbone}`, {} is in `{}`; describe again: cargo pkg describe --checkpoint {}",
        options.descriptors.display(),
        options.checkpoint.display(),
        imported.backbone,
        options.checkpoint.display()
    );
    let mut checkpoint = checkpoints::open(&options.checkpoint, None, None)?;
    let weights = checkpoint.read_encoder()?;
    let manifest = Manifest {
        format: FORMAT.into(),
        version: VERSION,
        name: options.name.clone().unwrap_or(imported.name),
        encoder: imported.encoder,
        preprocess: imported.preprocess,
        expressions: descriptors.expressions().to_vec(),
        aggregation: Aggregation::Mean,
        calibration: Calibration { temperature: CLIPER_TEMPERATURE, error: None, uncertain_below: None },
        window: WINDOW,
        face_margin: 1.0,
        backbone,
        licence: imported.licence,
        provenance: json!({ "imported": imported.provenance, "training": "none: zero-shot" }),
        files: Vec::new(),
    };
    let card = card::zero_shot(&manifest);
    let (bytes, cosine) = write(&options.output, manifest, weights, &descriptors, &card)?;
    eprintln!(
        "packed {}: {bytes} bytes, zero-shot, golden cosine of the CPU encoder {cosine:.7}",
        options.output.display()
    );
    Ok(())
}

/// The command that trains such a run again, made of the settings that `cargo pkg train` has an option for.
fn command(run: &Checkpoint) -> Result<String> {
    let train = train::Options::augment_args(clap::Command::new("train"));
    let mut command = String::from("cargo pkg train --data ferplus:FOLDER --checkpoint RUN");
    if let serde_json::Value::Object(settings) = plain(&run.config)? {
        for (name, value) in &settings {
            let option = kebab(name);
            if !train.get_arguments().any(|argument| argument.get_long() == Some(&option)) {
                continue;
            }
            match value {
                serde_json::Value::Bool(true) => command += &format!(" --{option}"),
                serde_json::Value::Number(number) => command += &format!(" --{option} {number}"),
                serde_json::Value::String(text) => command += &format!(" --{option} {text}"),
                _ => {}
            }
        }
    }
    Ok(command)
}

/// The option of a setting: `weightDecay` is `weight-decay`.
fn kebab(name: &str) -> String {
    name.chars().fold(String::new(), |mut option, letter| {
        if letter.is_ascii_uppercase() {
            option.push('-');
        }
        option.push(letter.to_ascii_lowercase());
        option
    })
}

/// As JSON with the digits that a person would write: `to_value` alone makes 0.05000000074505806 of an f32.
fn plain(value: &impl Serialize) -> Result<serde_json::Value> {
    Ok(serde_json::from_str(&serde_json::to_string(value)?)?)
}

/// What was fitted, and what was measured with it.
pub struct Figures {
    pub calibration: Calibration,
    /// Of the validation part.
    pub validation: Measured,
    /// Of other data sets' validation parts, by name.
    pub also: BTreeMap<String, Measured>,
}

/// Fits temperature and threshold on held-back training pictures, then measures the validation parts with them.
fn measure(model: &Model, data: &DataSet, also: &[DataSet]) -> Result<Figures> {
    let side = model.encoder.side;
    ensure!(
        model.expressions() == data.expressions(),
        "the model scores {}, the labels of {} are {}: give --data the set it was trained on, and others by --also",
        model.expressions().join(" "),
        data.name(),
        data.expressions().join(" ")
    );
    let (train, _) = data.read(Part::Train, side)?;
    let mut calibration = model.calibrate(&split(train).1)?;
    let (examples, report) = data.read(Part::Valid, side)?;
    report.print();
    let mut validation = model.measure(&examples, data.expressions(), &calibration)?;
    calibration.error = Some(validation.evaluation.calibration_error as f32);
    validation.variations = model.vary(&examples, &validation.evaluation, &calibration)?;
    let unseen = leave_out_seen(data, examples, side)?;
    validation.unseen = Some(model.measure(&unseen, data.expressions(), &calibration)?.evaluation);
    let measure_other = |data: &DataSet| {
        let (examples, report) = data.read(Part::Valid, side)?;
        report.print();
        Ok((data.name().to_string(), model.measure(&examples, data.expressions(), &calibration)?))
    };
    let also = also.iter().map(measure_other).collect::<Result<_>>()?;
    Ok(Figures { calibration, validation, also })
}

/// Writes a bundle aside, reloads it, replays the golden picture on both engines, then puts it in place.
///
/// Gives the bytes of all files and the lean CPU encoder's cosine to the reference.
pub fn write(
    output: &Path,
    manifest: Manifest,
    weights: Weights,
    descriptors: &Descriptors,
    card: &str,
) -> Result<(u64, f32)> {
    files::write_folder(output, "model.json", |aside| fill(aside, manifest, weights, descriptors, card))
}

/// Fills the folder of a bundle and proves it.
fn fill(
    aside: &Path,
    mut manifest: Manifest,
    mut weights: Weights,
    descriptors: &Descriptors,
    card: &str,
) -> Result<(u64, f32)> {
    let mut entries = Vec::new();
    let mut add = |path: String, role: Role, bytes: Vec<u8>| -> Result<()> {
        files::write(&aside.join(&path), &bytes)?;
        entries.push(FileEntry { path, role, bytes: bytes.len() as u64, sha256: sha256(&bytes) });
        Ok(())
    };
    let tied = |mut weights: Weights| {
        weights.metadata = [(BACKBONE.to_string(), manifest.backbone.clone())].into();
        weights
    };

    let shards = shards(&manifest.encoder);
    let count = shards.len();
    let mut rounded = Weights::default();
    for (index, tensors) in shards.into_iter().enumerate() {
        let name = shard_name(index, count);
        let mut shard = Weights::default();
        for (name, shape) in tensors {
            let data = weights.take(&name, &shape)?;
            shard.insert(&name, Values { shape, data })?;
        }
        let bytes = tied(shard).write(Precision::F16)?;
        rounded.read(&name, &bytes)?;
        add(name, Role::Weights, bytes)?;
    }
    let mut embeddings = Weights::default();
    let shape = vec![descriptors.count(), descriptors.width()];
    embeddings.insert("embeddings", Values { shape, data: descriptors.embeddings().to_vec() })?;
    add("descriptors.safetensors".into(), Role::Descriptors, tied(embeddings).write(Precision::F32)?)?;

    // The reference is Burn on the native CPU with the weights as packed, so that f16 costs no tolerance.
    let device = Default::default();
    let encoder = cliper::model::ImageEncoder::<NativeCpu>::load(&mut rounded, &manifest.encoder, &device)?;
    let picture = golden_picture();
    let pixels = cliper::preprocess::preprocess(
        Picture::new(&picture, GOLDEN_SIDE, GOLDEN_SIDE)?,
        &manifest.encoder,
        &manifest.preprocess,
    );
    let (channels, side) = (manifest.encoder.channels, manifest.encoder.side);
    let pixels =
        burn::tensor::Tensor::from_data(burn::tensor::TensorData::new(pixels, [1, channels, side, side]), &device);
    let reference: Vec<f32> = encoder
        .forward(pixels)
        .into_data()
        .to_vec()
        .map_err(|error| anyhow::anyhow!("the golden embedding can't be read ({error:?})"))?;
    let mut golden = Weights::default();
    golden.insert("embedding", Values { shape: vec![reference.len()], data: reference.clone() })?;
    add("golden.safetensors".into(), Role::Golden, tied(golden).write(Precision::F32)?)?;
    add("CARD.md".into(), Role::Card, card.as_bytes().to_vec())?;
    manifest.files = entries;
    manifest.validate()?;
    files::write(&aside.join("model.json"), manifest.to_json().as_bytes())?;

    let mut bundle = read_bundle(aside).context("the bundle just written can't be read back")?;
    let engine = CpuEngine::from_bundle(&mut bundle.clone())?;
    let mut session = pollster::block_on(Session::open(engine, bundle.clone()))?;
    let found = pollster::block_on(session.embed(Picture::new(&picture, GOLDEN_SIDE, GOLDEN_SIDE)?))?;
    let cosine = cosine(&found, &reference);
    let engine = Cliper::<NativeCpu>::from_bundle(&mut bundle, &device)?;
    pollster::block_on(Session::open(engine, bundle))?;
    ensure!(cosine >= GOLDEN_COSINE, "the two encoders disagree on the golden picture (cosine {cosine})");
    let bytes = manifest.files.iter().map(|file| file.bytes).sum();
    Ok((bytes, cosine))
}

/// The encoder's tensors in shards of at most [`SHARD`] bytes of f16, in the order of the forward pass: names and shapes.
pub fn shards(encoder: &EncoderConfig) -> Vec<Vec<(String, Vec<usize>)>> {
    let mut shards = vec![Vec::new()];
    let mut filled = 0;
    for (name, shape) in encoder.tensors() {
        let bytes = 2 * shape.iter().product::<usize>();
        if filled > 0 && filled + bytes > SHARD {
            shards.push(Vec::new());
            filled = 0;
        }
        filled += bytes;
        if let Some(shard) = shards.last_mut() {
            shard.push((name, shape));
        }
    }
    shards
}

/// The file name of a shard, counted from 0.
pub fn shard_name(index: usize, count: usize) -> String {
    format!("encoder-{:05}-of-{count:05}.safetensors", index + 1)
}
