//! `cargo pkg pack`: a finished run, an imported backbone with descriptors, or a bundle -> a bundle, replayed before it says
//! packed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use cliper::bundle::{
    Aggregation, Calibration, FORMAT, FileEntry, GOLDEN_SIDE, LabelSet, Manifest, MovementList, Role, VERSION,
    golden_picture,
};
use cliper::engine::burn::{Cliper, NativeCpu};
use cliper::engine::cpu::CpuEngine;
use cliper::engine::cpu::text::TextSide;
use cliper::model::descriptors::Descriptors;
use cliper::model::face_spread::FaceSpread;
use cliper::model::movement_set::MovementSet;
use cliper::preprocess::Picture;
use cliper::session::Session;
use cliper::tensors::{BACKBONE, Precision, Storage, Values, Weights, sha256};
use serde_json::json;

use crate::bundles::{read_bundle, read_bundle_in, read_descriptors, read_learned};
use crate::data::face_shapes::ShapeTable;
use crate::data::split::split;
use crate::data::{DataSet, Part, Square};
use crate::evaluation::explain;
use crate::evaluation::fidelity::{self, Fidelity, Look};
use crate::evaluation::measure::{CardData, Figures, Model, some_looks};
use crate::files;
use crate::packaging::card;
use crate::packaging::checkpoints::{self, Backbone};
use crate::packaging::shards::{Tensors, shard_name, shards, write_tensors};
use crate::packaging::{memory, sentence_encoder};
use crate::training::encoder::DESCRIPTORS;
use crate::training::provenance::plain;
use crate::training::run_folder::{self, Run};

/// Frames of a window: at 8 answers a second, two seconds, and DFER-CLIP's T.
const WINDOW: usize = 16;
/// CLIPER's fixed temperature, in place of a checkpoint's logit scale.
const CLIPER_TEMPERATURE: f32 = 0.01;

#[derive(Args)]
pub struct Options {
    /// Folder of a run of `cargo pkg train`, of a backbone that `cargo pkg import` wrote (zero-shot), or of a bundle, to
    /// store its weights in another precision
    #[arg(long)]
    checkpoint: PathBuf,
    /// Descriptor embeddings it was trained against, or that its own text tower made; a run's own by default, else
    /// pkg-build/descriptors/ferplus.safetensors
    #[arg(long)]
    descriptors: Option<PathBuf>,
    /// ferplus:FOLDER: fits temperature and threshold on held-back training pictures and measures the validation part; of
    /// a bundle, only compares rounded weights on that part
    #[arg(long)]
    data: Option<DataSet>,
    /// Another data set whose validation part goes into the card, e.g. fer2013:FILE; may come several times
    #[arg(long, requires = "data")]
    card_data: Vec<DataSet>,
    /// Face shapes of the validation part, which `cargo pkg shapes` wrote: explanations are measured by them
    #[arg(long, requires = "data")]
    shapes: Option<PathBuf>,
    /// Descriptor texts with movements, JSON, for descriptors that carry none
    #[arg(long)]
    movements: Option<PathBuf>,
    /// Folder with text.safetensors and text.json, which `pkg-build/text-side/train.py` wrote for this encoder: sentences in
    /// anybody's words can be compared with faces then
    #[arg(long)]
    text: Option<PathBuf>,
    /// The model's name; ferplus-small, or the backbone's
    #[arg(long)]
    name: Option<String>,
    /// How the weights are stored
    #[arg(long, value_enum, default_value = "f16")]
    precision: StoredPrecision,
    /// Values that an 8-bit weight may take, an odd number from 15: 105 make the built-in encoder a sixth smaller in brotli. How
    /// many answers stay the same is said
    #[arg(long, default_value_t = Storage::LEVELS, value_parser = read_levels)]
    levels: u8,
    /// Folder of the bundle
    #[arg(long)]
    output: PathBuf,
}

/// How a bundle's weights can be stored.
#[derive(Clone, Copy, ValueEnum)]
enum StoredPrecision {
    /// Four bytes a value
    F32,
    /// Two bytes a value
    F16,
    /// One byte a value of the matrices, with a scale for each output channel; the rest in f16
    Int8,
}

impl From<StoredPrecision> for Precision {
    fn from(precision: StoredPrecision) -> Self {
        match precision {
            StoredPrecision::F32 => Self::F32,
            StoredPrecision::F16 => Self::F16,
            StoredPrecision::Int8 => Self::Int8,
        }
    }
}

impl Options {
    fn storage(&self) -> Result<Storage> {
        let storage = Storage { precision: self.precision.into(), levels: self.levels };
        ensure!(
            storage.precision == Precision::Int8 || storage.levels == Storage::LEVELS,
            "--levels is of 8-bit weights: give --precision int8 too"
        );
        Ok(storage)
    }
}

fn read_levels(text: &str) -> Result<u8, String> {
    let odd = text.parse().ok().filter(|levels| (15..=Storage::LEVELS).contains(levels) && levels % 2 == 1);
    odd.ok_or_else(|| format!("`{text}` is no odd number from 15 to {}", Storage::LEVELS))
}

pub fn run(options: &Options) -> Result<()> {
    let storage = options.storage()?;
    memory::give_back_large_pieces();
    if options.checkpoint.join("model.json").is_file() {
        return pack_again(options, storage);
    }
    if options.checkpoint.join(checkpoints::BACKBONE).is_file() {
        return pack_zero_shot(options, storage);
    }
    let run = Run::read(&options.checkpoint)?;
    let own = options.checkpoint.join(run_folder::DESCRIPTORS);
    let own = if own.is_file() { own } else { DESCRIPTORS.into() };
    let file = options.descriptors.clone().unwrap_or(own);
    let (mut descriptors, backbone) = read_descriptors(&file)?;
    descriptors = stored(descriptors, storage)?;
    explain::annotate(&mut descriptors, options.movements.as_deref())?;
    let shapes = options.shapes.as_deref().map(ShapeTable::read).transpose()?;
    if shapes.is_some() {
        explain::check(&descriptors)?;
    }
    ensure!(
        run.backbone == backbone,
        "the run was trained against another joint space than {} is in; pack it with its own descriptors",
        file.display()
    );
    let mut weights = run_folder::read_weights(&options.checkpoint)?;
    let mut looks = fidelity::portrait(&run.encoder, &run.preprocess)?;
    let auxiliary = run_folder::read_auxiliary(&options.checkpoint)?;
    let auxiliary = auxiliary.map(|descriptors| stored(descriptors, storage)).transpose()?;
    let movements = read_movements(&options.checkpoint, run.encoder.embedding, storage)?;
    let measured = match &options.data {
        Some(data) => {
            // What is measured is what will be packed.
            let mut rounded = Weights::default();
            rounded.read("the rounded weights", &weights.write(storage)?)?;
            let model = Model {
                encoder: &run.encoder,
                preprocess: &run.preprocess,
                weights: &rounded,
                descriptors: &descriptors,
                movements: movements.as_ref().map(|(_, set, _)| set),
                mirror: false,
            };
            Some(Figures::measure(&model, auxiliary.as_ref(), data, &options.card_data, shapes.as_ref())?)
        }
        None => None,
    };
    looks.extend(measured.iter().flat_map(|measured| measured.looks.iter().cloned()));
    if measured.is_none() {
        eprintln!(
            "without --data neither temperature nor threshold is fitted and nothing is measured: scores will be no probabilities"
        );
    }
    if options.name.is_none() {
        eprintln!("the bundle is called ferplus-small, as the built-in model is: give --name to tell them apart");
    }
    let calibration = match &measured {
        Some(measured) => measured.calibration,
        None => Calibration { temperature: run.temperature, error: None, uncertain_below: None },
    };
    let mut provenance = run.provenance()?;
    provenance["validation"] = plain(&measured.as_ref().map(|measured| &measured.validation))?;
    provenance["cardData"] = plain(&measured.as_ref().map(|measured| &measured.card_data))?;
    provenance["data"] = json!(card::DATA);
    if backbone == sentence_encoder::SENTENCE_ENCODER {
        provenance["descriptorEncoder"] = json!("all-MiniLM-L6-v2 (Apache-2.0)");
    }
    // Labels whose set was not named have no temperature: nothing would answer in them.
    let fitted = |(name, data): (&String, &CardData)| Some((name.clone(), data.calibration?));
    let labels = match (auxiliary, measured.iter().flat_map(|measured| &measured.card_data).find_map(fitted)) {
        (Some(descriptors), Some((name, calibration))) => vec![Labels { name, descriptors, calibration }],
        (Some(_), None) => {
            eprintln!(
                "the labels of the run's second set are left out: name the set, by --card-data, for them to be calibrated"
            );
            Vec::new()
        }
        (None, _) => Vec::new(),
    };
    let mut manifest = Manifest {
        format: FORMAT.into(),
        version: VERSION,
        name: options.name.clone().unwrap_or("ferplus-small".into()),
        licence: run.licence(),
        encoder: run.encoder,
        preprocess: run.preprocess,
        temporal: None,
        expressions: descriptors.expressions().to_vec(),
        learned: read_learned(&file)?,
        labels: Vec::new(),
        movements: None,
        text: None,
        aggregation: Aggregation::Mean,
        shares: measured.as_ref().map(|measured| measured.shares.clone()).unwrap_or_default(),
        calibration,
        window: WINDOW,
        face_margin: 1.0,
        backbone,
        provenance,
        files: Vec::new(),
    };
    let mut attached = Vec::new();
    if let Some((list, _, bytes)) = movements {
        attached.push((Role::Movements, list.path.clone(), bytes));
        manifest.movements = Some(list);
    }
    attached.extend(attach_text(options.text.as_deref(), &mut manifest)?);
    if let Some(measured) = &measured {
        descriptors = descriptors.with_quantiles(measured.quantiles.clone())?;
    }
    let card = card::text(&manifest, measured.as_ref());
    let face_spread = measured.as_ref().and_then(|measured| measured.face_spread.clone());
    let contents =
        Contents { manifest, descriptors: &descriptors, face_spread, labels, attached, card, storage, looks };
    let written = write(&options.output, contents, &mut weights)?;
    eprintln!("packed {}: temperature {:.4}, {written}", options.output.display(), calibration.temperature);
    if let Some(Figures { validation, .. }) = &measured {
        let [war, uar] = [validation.evaluation.war, validation.evaluation.uar].map(|share| share * 100.0);
        eprintln!("validation WAR {war:.2} % UAR {uar:.2} %");
    }
    Ok(())
}

/// A bundle of an imported backbone as it is, against texts of its own text tower.
fn pack_zero_shot(options: &Options, storage: Storage) -> Result<()> {
    ensure!(
        options.data.is_none(),
        "a zero-shot bundle is not fitted to data; pack it without --data and measure it with `cargo pkg evaluate`"
    );
    let imported = Backbone::read(&options.checkpoint)?;
    let file = options.descriptors.clone().unwrap_or(DESCRIPTORS.into());
    let (mut descriptors, backbone) = read_descriptors(&file)?;
    explain::annotate(&mut descriptors, options.movements.as_deref())?;
    ensure!(
        backbone == imported.backbone,
        "{} was made for the joint space `{backbone}`, {} is in `{}`; describe again: cargo pkg describe --checkpoint {}",
        file.display(),
        options.checkpoint.display(),
        imported.backbone,
        options.checkpoint.display()
    );
    let mut checkpoint = checkpoints::open(&options.checkpoint, None, None)?;
    imported.verify(&options.checkpoint)?;
    let looks = fidelity::portrait(&imported.encoder, &imported.preprocess)?;
    let manifest = Manifest {
        format: FORMAT.into(),
        version: VERSION,
        name: options.name.clone().unwrap_or(imported.name),
        encoder: imported.encoder,
        preprocess: imported.preprocess,
        temporal: None,
        expressions: descriptors.expressions().to_vec(),
        learned: None,
        labels: Vec::new(),
        movements: None,
        text: None,
        aggregation: Aggregation::Mean,
        shares: Vec::new(),
        calibration: Calibration { temperature: CLIPER_TEMPERATURE, error: None, uncertain_below: None },
        window: WINDOW,
        face_margin: 1.0,
        backbone,
        licence: imported.licence,
        provenance: json!({ "imported": imported.provenance, "training": "none: zero-shot" }),
        files: Vec::new(),
    };
    let card = card::zero_shot(&manifest);
    let contents = Contents {
        manifest,
        descriptors: &descriptors,
        face_spread: None,
        labels: Vec::new(),
        attached: Vec::new(),
        card,
        storage,
        looks,
    };
    let written = write(&options.output, contents, &mut checkpoint)?;
    eprintln!("packed {}: zero-shot, {written}", options.output.display());
    Ok(())
}

/// A bundle as it is, its weights stored in another precision.
fn pack_again(options: &Options, storage: Storage) -> Result<()> {
    let cliper::bundle::Bundle { mut manifest, mut weights, mut descriptors, mut face_spread, .. } =
        read_bundle(&options.checkpoint)?;
    ensure!(
        options.shapes.is_none(),
        "--shapes is for a run's own figures; measure a bundle with `cargo pkg evaluate --explanations --shapes FILE`"
    );
    explain::annotate(&mut descriptors, options.movements.as_deref())?;
    manifest.expressions = descriptors.expressions().to_vec();
    ensure!(
        manifest.temporal.is_none(),
        "{} has a temporal head; pack the bundle without one, then give it the head: cargo pkg head",
        options.checkpoint.display()
    );
    let card = match manifest.card() {
        Some(path) => String::from_utf8(files::read(&options.checkpoint.join(path))?)?,
        None => card::text(&manifest, None),
    };
    let read_labels = |set: LabelSet| -> Result<Labels> {
        let bundle = read_bundle_in(&options.checkpoint, &set.name)?;
        Ok(Labels { name: set.name, descriptors: bundle.descriptors, calibration: set.calibration })
    };
    let labels = std::mem::take(&mut manifest.labels).into_iter().map(read_labels).collect::<Result<_>>()?;
    let kept = manifest.files.iter().filter(|file| matches!(file.role, Role::Movements | Role::Text));
    let keep = |file: &FileEntry| {
        let bytes = files::read(&options.checkpoint.join(&file.path))?;
        let bytes = if file.role == Role::Movements { rewritten(&file.path, &bytes, storage)? } else { bytes };
        Ok((file.role, file.path.clone(), bytes))
    };
    let mut attached: Vec<Attached> = kept.map(keep).collect::<Result<_>>()?;
    if options.text.is_some() {
        attached.retain(|(role, ..)| *role != Role::Text);
        attached.extend(attach_text(options.text.as_deref(), &mut manifest)?);
    }
    manifest.files.clear();
    if let Some(name) = &options.name {
        manifest.name = name.clone();
    }
    let mut looks = fidelity::portrait(&manifest.encoder, &manifest.preprocess)?;
    if let Some(data) = &options.data {
        let square = Square::of(&manifest.encoder, &manifest.preprocess);
        let (valid, report) = data.read(Part::Valid, square)?;
        report.print();
        looks.extend(some_looks(&valid, &manifest.preprocess));
        // Older bundles do not say how faces are spread.
        if face_spread.is_none() && descriptors.names().eq(data.expressions().iter().copied()) {
            let model = Model {
                encoder: &manifest.encoder,
                preprocess: &manifest.preprocess,
                weights: &weights,
                descriptors: &descriptors,
                movements: None,
                mirror: false,
            };
            face_spread = model.face_spread(&split(data.read(Part::Train, square)?.0).0)?;
        }
    }
    let contents =
        Contents { manifest, descriptors: &descriptors, face_spread, labels, attached, card, storage, looks };
    let written = write(&options.output, contents, &mut weights)?;
    eprintln!("packed {} from {}: {written}", options.output.display(), options.checkpoint.display());
    Ok(())
}

/// A file that goes into a bundle as it is.
type Attached = (Role, String, Vec<u8>);

/// The movements of a run that learned them: as the manifest lists them, as they answer, and their file.
fn read_movements(run: &Path, width: usize, storage: Storage) -> Result<Option<(MovementList, MovementSet, Vec<u8>)>> {
    let file = run.join(run_folder::MOVEMENTS);
    if !file.is_file() {
        return Ok(None);
    }
    let bytes = rewritten(run_folder::MOVEMENTS, &files::read(&file)?, storage)?;
    let mut weights = Weights::default();
    weights.read(run_folder::MOVEMENTS, &bytes)?;
    let names = weights.metadata.get(run_folder::NAMES).context("the run's movements have no names; train it again")?;
    let list = MovementList { path: run_folder::MOVEMENTS.into(), names: serde_json::from_str(names)? };
    let set = MovementSet::take(&list.names, &mut weights, width)?;
    Ok(Some((list, set, bytes)))
}

/// How what embeddings are compared with is stored: beside 8-bit weights halves are exact.
fn rows(storage: Storage) -> Precision {
    if storage.precision == Precision::Int8 { Precision::F16 } else { Precision::F32 }
}

/// A file of tensors as it is stored.
fn rewritten(path: &str, bytes: &[u8], storage: Storage) -> Result<Vec<u8>> {
    let mut weights = Weights::default();
    weights.read(path, bytes)?;
    Ok(weights.write(rows(storage))?)
}

/// Descriptors as they are read back: what is measured is what will be packed.
fn stored(descriptors: Descriptors, storage: Storage) -> Result<Descriptors> {
    let (mut weights, shape) = (Weights::default(), vec![descriptors.count(), descriptors.width()]);
    weights.insert("embeddings", Values { shape: shape.clone(), data: descriptors.embeddings().to_vec() })?;
    let mut read = Weights::default();
    read.read("the stored descriptors", &weights.write(rows(storage))?)?;
    let embeddings = read.take("embeddings", &shape)?;
    Ok(Descriptors::new(descriptors.expressions().to_vec(), embeddings, descriptors.width())?)
}

/// The two files of a text side, proved by a sentence.
fn attach_text(folder: Option<&Path>, manifest: &mut Manifest) -> Result<Vec<Attached>> {
    let Some(folder) = folder else { return Ok(Vec::new()) };
    let [weights, tokenizer] = ["text.safetensors", "text.json"];
    let [weight_bytes, token_bytes] = [files::read(&folder.join(weights))?, files::read(&folder.join(tokenizer))?];
    let side = TextSide::load(&token_bytes, &weight_bytes, manifest.encoder.embedding)?;
    side.embed(&["the mouth is open"])?;
    let longest = side.longest();
    manifest.text = Some(cliper::bundle::TextSide { weights: weights.into(), tokenizer: tokenizer.into(), longest });
    Ok(vec![(Role::Text, weights.into(), weight_bytes), (Role::Text, tokenizer.into(), token_bytes)])
}

/// A label set with its descriptors.
pub struct Labels {
    name: String,
    descriptors: Descriptors,
    calibration: Calibration,
}

/// What goes into a bundle beside the encoder's tensors.
pub struct Contents<'a> {
    /// Without the files and the label sets; the version is told by what is written.
    pub manifest: Manifest,
    pub descriptors: &'a Descriptors,
    pub face_spread: Option<FaceSpread>,
    pub labels: Vec<Labels>,
    /// Files that the manifest names already.
    pub attached: Vec<Attached>,
    pub card: String,
    pub storage: Storage,
    /// Pictures on which rounded weights are compared with the exact ones.
    pub looks: Vec<Look>,
}

/// What was packed.
pub struct Written {
    /// Of all files.
    bytes: u64,
    /// The lean CPU encoder's on the golden picture, to the reference.
    golden_cosine: f32,
    /// Over all looks, of rounded weights to the exact ones.
    fidelity: Fidelity,
    looks: usize,
}

impl std::fmt::Display for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} bytes, golden cosine of the CPU encoder {:.7}; beside the exact weights {:.1} % of {} pictures keep their top \
             answer, at a cosine of {:.5} or more",
            self.bytes,
            self.golden_cosine,
            100.0 * self.fidelity.kept,
            self.looks,
            self.fidelity.least_cosine
        )
    }
}

/// Writes a bundle aside, reloads it, compares it with the exact weights and replays the golden picture on both engines,
/// then puts it in place. One model is in memory at a time.
pub fn write(output: &Path, contents: Contents, source: &mut dyn Tensors) -> Result<Written> {
    files::write_folder(output, "model.json", |folder| fill(folder, contents, source))
}

fn fill(folder: &Path, contents: Contents, source: &mut dyn Tensors) -> Result<Written> {
    let Contents { mut manifest, descriptors, face_spread, labels, attached, card, storage, looks } = contents;
    let encoder = manifest.encoder.clone();
    let shards = shards(&encoder, storage.precision);
    let mut entries = Vec::new();
    for (index, tensors) in shards.iter().enumerate() {
        let path = shard_name(index, shards.len());
        let (bytes, sha256) = write_tensors(&folder.join(&path), tensors.clone(), &manifest.backbone, storage, source)?;
        entries.push(FileEntry { path, role: Role::Weights, bytes, sha256 });
    }
    let read_back = || -> Result<Weights> {
        let mut weights = Weights::default();
        for index in 0..shards.len() {
            let path = shard_name(index, shards.len());
            weights.read(&path, &files::read(&folder.join(&path))?)?;
        }
        Ok(weights)
    };

    let mut exact = Weights::default();
    for (name, _) in encoder.tensors() {
        exact.insert(&name, source.tensor(&name)?)?;
    }
    let exact = fidelity::embed(&mut exact, &encoder, &looks)?;
    let rounded = fidelity::embed(&mut read_back()?, &encoder, &looks)?;
    let fidelity = fidelity::compare(&looks, &exact, &rounded, descriptors)?;
    manifest.provenance["weights"] = json!({
        "precision": format!("{:?}", storage.precision).to_lowercase(),
        "leastCosine": fidelity.least_cosine,
        "sameAnswers": fidelity.kept,
        "pictures": looks.len(),
    });
    if storage.precision == Precision::Int8 {
        manifest.provenance["weights"]["levels"] = json!(storage.levels);
    }

    let mut add = |path: &str, role: Role, bytes: Vec<u8>| -> Result<()> {
        files::write(&folder.join(path), &bytes)?;
        entries.push(FileEntry { path: path.into(), role, bytes: bytes.len() as u64, sha256: sha256(&bytes) });
        Ok(())
    };
    let backbone = manifest.backbone.clone();
    let tied = |name: &str, shape: Vec<usize>, data: Vec<f32>| -> Result<Vec<u8>> {
        let mut weights = Weights::default();
        weights.insert(name, Values { shape, data })?;
        weights.metadata.insert(BACKBONE.into(), backbone.clone());
        Ok(weights.write(Precision::F32)?)
    };
    let embeddings = |descriptors: &Descriptors, face_spread: Option<&FaceSpread>| {
        let mut weights = Weights::default();
        let (count, quantiles) = (descriptors.count(), descriptors.quantiles());
        let shape = vec![count, descriptors.width()];
        weights.insert("embeddings", Values { shape, data: descriptors.embeddings().to_vec() })?;
        if !quantiles.is_empty() {
            weights.insert(
                "quantiles",
                Values { shape: vec![count, quantiles.len() / count], data: quantiles.to_vec() },
            )?;
        }
        face_spread.map(|spread| spread.save(&mut weights)).transpose()?;
        weights.metadata.insert(BACKBONE.into(), backbone.clone());
        Ok::<_, anyhow::Error>(weights.write(rows(storage))?)
    };
    add("descriptors.safetensors", Role::Descriptors, embeddings(descriptors, face_spread.as_ref())?)?;
    attached.into_iter().try_for_each(|(role, path, bytes)| add(&path, role, bytes))?;
    for Labels { name, descriptors, calibration } in labels {
        let path = format!("labels-{}.safetensors", name.to_lowercase());
        add(&path, Role::Labels, embeddings(&descriptors, None)?)?;
        manifest.labels.push(LabelSet { name, path, expressions: descriptors.expressions().to_vec(), calibration });
    }
    let golden = golden_embedding(&mut read_back()?, &manifest)?;
    add("golden.safetensors", Role::Golden, tied("embedding", vec![golden.len()], golden)?)?;
    add("CARD.md", Role::Card, card.into_bytes())?;
    manifest.files = entries;
    manifest.version = manifest.oldest_version(storage.precision);
    manifest.validate()?;
    files::write(&folder.join("model.json"), manifest.to_json().as_bytes())?;

    let read = || read_bundle(folder).context("the bundle just written can't be read back");
    let mut bundle = read()?;
    let engine = CpuEngine::from_bundle(&mut bundle)?;
    let golden_cosine = pollster::block_on(Session::open(engine, bundle))?.golden_cosine();
    let mut bundle = read()?;
    let engine = Cliper::<NativeCpu>::from_bundle(&mut bundle, &Default::default())?;
    pollster::block_on(Session::open(engine, bundle))?;
    let bytes = manifest.files.iter().map(|file| file.bytes).sum();
    Ok(Written { bytes, golden_cosine, fidelity, looks: looks.len() })
}

/// What the reference, Burn on the native CPU, makes of the golden picture with the weights as packed, so that rounding
/// costs no tolerance.
fn golden_embedding(weights: &mut Weights, manifest: &Manifest) -> Result<Vec<f32>> {
    let device = Default::default();
    let encoder = cliper::engine::burn::ImageEncoder::<NativeCpu>::load(weights, &manifest.encoder, &device)?;
    let picture = golden_picture();
    let picture = Picture::new(&picture, GOLDEN_SIDE, GOLDEN_SIDE)?;
    let pixels = cliper::preprocess::preprocess(picture, &manifest.encoder, &manifest.preprocess);
    let (channels, side) = (manifest.encoder.channels, manifest.encoder.side);
    let pixels = burn::tensor::TensorData::new(pixels, [1, channels, side, side]);
    let embedding = encoder.forward(burn::tensor::Tensor::from_data(pixels, &device)).into_data();
    embedding.to_vec().map_err(|error| anyhow::anyhow!("the golden embedding can't be read ({error:?})"))
}
