//! `cargo pkg head`: a bundle and a temporal head -> a bundle that recognises clips by their order in time.

use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use cliper::bundle::{Bundle, FileEntry, GOLDEN_SIDE, Role, golden_picture};
use cliper::engine::Engine;
use cliper::engine::burn::{Cliper, NativeCpu};
use cliper::engine::cpu::CpuEngine;
use cliper::import::{read_temporal, temporal_head};
use cliper::preprocess::{Picture, preprocess};
use cliper::session::Session;
use cliper::tensors::{BACKBONE, Precision, Values, Weights, sha256};
use serde_json::{Value, json};

use crate::bundles::read_bundle;
use crate::files;
use crate::packaging::card;
use crate::project;
use crate::training::temporal::encoder_hash;

/// The head's file in a bundle.
const FILE: &str = "temporal.safetensors";

#[derive(Args)]
pub struct Options {
    /// The head: head.safetensors of `cargo pkg train temporal`, or DFER-CLIP's checkpoint (safetensors, or a
    /// state dict of torch.save)
    #[arg(long)]
    head: PathBuf,
    /// The bundle whose encoder it was trained on; the built-in one by default
    #[arg(long)]
    bundle: Option<PathBuf>,
    /// Attention heads, where they are not 64 wide: no shape tells
    #[arg(long)]
    heads: Option<usize>,
    /// The new bundle's name
    #[arg(long)]
    name: Option<String>,
    /// Folder of the new bundle
    #[arg(long)]
    output: PathBuf,
}

pub fn run(options: &Options) -> Result<()> {
    let source = project::bundle_folder(options.bundle.as_ref())?;
    let mut bundle = read_bundle(&source)?;
    let read = read(&options.head)?;
    if let Some(backbone) = read.metadata.get(BACKBONE) {
        ensure!(
            *backbone == bundle.manifest.backbone,
            "{} was trained in the joint space `{backbone}`, the bundle is in `{}`; give the bundle it was trained on",
            options.head.display(),
            bundle.manifest.backbone
        );
    }
    if let Some(encoder) = read.metadata.get("encoder") {
        ensure!(
            *encoder == encoder_hash(&bundle),
            "{} was trained on another encoder's embeddings than {}'s; give --bundle the one of its --from",
            options.head.display(),
            source.display()
        );
    }
    let (config, width, mut head) = temporal_head(&read, options.heads)?;
    ensure!(
        width == bundle.manifest.encoder.embedding,
        "the head is for embeddings of {width} values, the bundle's have {}",
        bundle.manifest.encoder.embedding
    );
    let manifest = &mut bundle.manifest;
    manifest.window = manifest.window.min(config.frames);
    manifest.temporal = Some(config.clone());
    manifest.name = options.name.clone().unwrap_or_else(|| format!("{}-temporal", manifest.name));
    let said = |name: &str| read.metadata.get(name).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let (validation, training) = (said("validation"), said("training"));
    let part = card::head(&config, validation.as_ref(), training.as_ref());
    if let Value::Object(provenance) = &mut manifest.provenance {
        provenance.insert("temporal".into(), json!({ "validation": validation, "training": training }));
    }
    head.metadata.insert(BACKBONE.into(), manifest.backbone.clone());
    // The head's answers lie where it learned them: neither movements nor sentences are compared with them.
    if manifest.movements.is_some() || manifest.text.is_some() {
        eprintln!("the bundle's movements and text side are left out: a temporal head's answers lie elsewhere");
    }
    (manifest.movements, manifest.text) = (None, None);
    manifest.files.retain(|file| !matches!(file.role, Role::Temporal | Role::Movements | Role::Text));

    // The reference answers with the weights as packed, so that f16 costs no tolerance.
    let mut rounded = Weights::default();
    rounded.read(FILE, &head.write(Precision::F16)?)?;
    let golden = golden_window(&bundle, rounded)?;
    head.insert("golden.similarities", Values { shape: vec![golden.len()], data: golden })?;
    let bytes = head.write(Precision::F16)?;
    bundle.manifest.files.push(FileEntry {
        path: FILE.into(),
        role: Role::Temporal,
        bytes: bytes.len() as u64,
        sha256: sha256(&bytes),
    });
    let described = bundle.manifest.files.iter_mut().find(|file| file.role == Role::Card);
    let described = match described {
        Some(file) => {
            let text =
                String::from_utf8(files::read(&source.join(&file.path))?).context("the bundle's card is no text")?;
            let bytes = format!("{}\n{part}", text.trim_end()).into_bytes();
            (file.bytes, file.sha256) = (bytes.len() as u64, sha256(&bytes));
            Some((file.path.clone(), bytes))
        }
        None => None,
    };
    bundle.manifest.validate()?;
    let written = files::write_folder(&options.output, "model.json", |aside| {
        for file in bundle.manifest.files.iter().filter(|file| !matches!(file.role, Role::Temporal | Role::Card)) {
            fs::copy(source.join(&file.path), aside.join(&file.path))
                .with_context(|| format!("{} can't be copied", source.join(&file.path).display()))?;
        }
        if let Some((path, bytes)) = &described {
            files::write(&aside.join(path), bytes)?;
        }
        files::write(&aside.join(FILE), &bytes)?;
        files::write(&aside.join("model.json"), bundle.manifest.to_json().as_bytes())?;
        replay(aside)
    });
    written?;
    eprintln!(
        "packed {}: a head of {} parameters, {} bytes, for {} frames",
        options.output.display(),
        config.parameters(width),
        bytes.len(),
        config.frames
    );
    Ok(())
}

/// A head's tensors; one of our own says in its metadata what it belongs to.
fn read(path: &Path) -> Result<Weights> {
    let name = path.display().to_string();
    if path.extension().is_some_and(|ending| ending == "safetensors") {
        let mut read = Weights::default();
        read.read_floats(&name, &files::read(path)?)?;
        return Ok(read);
    }
    let file = fs::File::open(path).with_context(|| format!("{name} can't be read"))?;
    Ok(read_temporal(&name, BufReader::new(file))?)
}

/// What Burn on the native CPU makes of a window of two golden frames, `[descriptors]`.
fn golden_window(bundle: &Bundle, temporal: Weights) -> Result<Vec<f32>> {
    let mut bundle = Bundle { temporal, ..bundle.clone() };
    let picture = golden_picture();
    let picture = Picture::new(&picture, GOLDEN_SIDE, GOLDEN_SIDE)?;
    let pixels = preprocess(picture, &bundle.manifest.encoder, &bundle.manifest.preprocess);
    let mut engine = Cliper::<NativeCpu>::from_bundle(&mut bundle, &Default::default())?;
    let frame = pollster::block_on(Engine::encode(&mut engine, pixels))?;
    Ok(pollster::block_on(engine.similarities(&[&frame, &frame]))?)
}

/// Reads the new bundle back and proves it on both engines.
fn replay(folder: &Path) -> Result<()> {
    let bundle = read_bundle(folder).context("the bundle just written can't be read back")?;
    let engine = CpuEngine::from_bundle(&mut bundle.clone())?;
    pollster::block_on(Session::open(engine, bundle.clone()))?;
    let engine = Cliper::<NativeCpu>::from_bundle(&mut bundle.clone(), &Default::default())?;
    pollster::block_on(Session::open(engine, bundle))?;
    Ok(())
}
