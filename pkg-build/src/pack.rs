//! `cargo pkg pack`: a finished run, or an imported backbone, and its descriptors -> a bundle, replayed before it says
//! packed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use cliper::bundle::{
    Aggregation, BACKBONE, Calibration, FORMAT, FileEntry, GOLDEN_SIDE, Manifest, Precision, Role, VERSION, Values,
    Weights, golden_picture, sha256,
};
use cliper::config::{EncoderConfig, PreprocessConfig};
use cliper::cpu::{CpuEncoder, CpuEngine};
use cliper::device::NativeCpu;
use cliper::evaluation::Evaluation;
use cliper::model::Cliper;
use cliper::model::descriptors::Descriptors;
use cliper::preprocess::Picture;
use cliper::session::{GOLDEN_COSINE, Session, cosine};
use serde_json::json;

use crate::card;
use crate::checkpoints::{self, Backbone};
use crate::dataset::{DataSet, Example, Part};
use crate::files::{self, read_bundle, read_descriptors};
use crate::train::{calibrate, evaluation, read_checkpoint, similarities, split};

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
    /// ferplus:FOLDER: fits the temperature on held-back training pictures and measures the validation part
    #[arg(long)]
    data: Option<DataSet>,
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
        Some(data) => Some(measure(data, &weights, &run.encoder, &run.config.preprocess, &descriptors)?),
        None => None,
    };
    let calibration = match &measured {
        Some(measured) => measured.calibration,
        None => Calibration { temperature: run.config.temperature, error: None },
    };
    let best = run.history.iter().max_by(|a, b| a.war.total_cmp(&b.war));
    let validation = measured.as_ref().map(|measured| &measured.validation);
    let provenance = json!({
        "training": { "config": run.config, "epochs": run.history, "chosen": best.map(|epoch| epoch.epoch) },
        "command": format!(
            "cargo pkg train --data ferplus:FOLDER --checkpoint RUN --epochs {} --batch {} --rate {} --weight-decay {} --temperature {} --class-weight {} --seed {} --threads {}",
            run.config.epochs, run.config.batch, run.config.rate, run.config.weight_decay, run.config.temperature, run.config.class_weight, run.config.seed, run.config.threads
        ),
        "validation": validation,
        "descriptorEncoder": "all-MiniLM-L6-v2 (Apache-2.0)",
        "data": card::DATA,
    });
    let manifest = Manifest {
        format: FORMAT.into(),
        version: VERSION,
        name: options.name.clone().unwrap_or("ferplus-small".into()),
        encoder: run.encoder.clone(),
        preprocess: run.config.preprocess.clone(),
        temporal: None,
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
    let card = card::text(&manifest, validation);
    let (bytes, cosine) = write(&options.output, manifest, weights, &descriptors, &card)?;
    eprintln!(
        "packed {}: {bytes} bytes, temperature {:.4}, golden cosine of the CPU encoder {cosine:.7}",
        options.output.display(),
        calibration.temperature
    );
    if let Some(validation) = validation {
        eprintln!("validation WAR {:.2} % UAR {:.2} %", validation.war * 100.0, validation.uar * 100.0);
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
        temporal: None,
        expressions: descriptors.expressions().to_vec(),
        aggregation: Aggregation::Mean,
        calibration: Calibration { temperature: CLIPER_TEMPERATURE, error: None },
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

struct Measured {
    calibration: Calibration,
    validation: Evaluation,
}

/// Fits the temperature on held-back training pictures, then measures the validation part with it.
fn measure(
    data: &DataSet,
    weights: &Weights,
    encoder: &EncoderConfig,
    preprocess: &PreprocessConfig,
    descriptors: &Descriptors,
) -> Result<Measured> {
    let similarities = |examples: &[Example]| {
        let load = || Ok(CpuEncoder::load(&mut weights.clone(), encoder)?);
        let pixels = |example: &Example| cliper::train::plain_pixels(&example.sample, preprocess);
        similarities(load, pixels, descriptors, examples)
    };
    let (train, _) = data.read(Part::Train, encoder.side)?;
    let held_back = split(train).1;
    let rows = similarities(&held_back)?;
    let temperature = calibrate(descriptors, &rows, &held_back);
    let (valid, report) = data.read(Part::Valid, encoder.side)?;
    report.print();
    let rows = similarities(&valid)?;
    let validation = evaluation(descriptors, &rows, &valid, temperature);
    let error = Some(validation.calibration_error as f32);
    Ok(Measured { calibration: Calibration { temperature, error }, validation })
}

/// Writes a bundle aside, reloads it, replays the golden picture on both engines, then puts it in place.
///
/// Gives the bytes of all files and the lean CPU encoder's cosine to the reference.
pub fn write(
    output: &Path,
    mut manifest: Manifest,
    mut weights: Weights,
    descriptors: &Descriptors,
    card: &str,
) -> Result<(u64, f32)> {
    let aside = output.with_extension("new");
    if aside.exists() {
        std::fs::remove_dir_all(&aside)?;
    }
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

    let mut bundle = read_bundle(&aside).context("the bundle just written can't be read back")?;
    let engine = CpuEngine::from_bundle(&mut bundle.clone())?;
    let mut session = pollster::block_on(Session::open(engine, bundle.clone()))?;
    let found = pollster::block_on(session.embed(Picture::new(&picture, GOLDEN_SIDE, GOLDEN_SIDE)?))?;
    let cosine = cosine(&found, &reference);
    let engine = Cliper::<NativeCpu>::from_bundle(&mut bundle, &device)?;
    pollster::block_on(Session::open(engine, bundle))?;
    ensure!(cosine >= GOLDEN_COSINE, "the two encoders disagree on the golden picture (cosine {cosine})");
    let bytes = manifest.files.iter().map(|file| file.bytes).sum();
    files::replace_folder(&aside, output)?;
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
