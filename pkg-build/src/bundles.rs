//! Bundles and descriptor files in their folders: read, checked, written.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use cliper::bundle::{Bundle, BundleReader, Manifest};
use cliper::engine::cpu::CpuEngine;
use cliper::engine::cpu::text::TextSide;
use cliper::model::descriptors::{Descriptors, Expression};
use cliper::model::learned::Learned;
use cliper::session::Session;
use cliper::tensors::{BACKBONE, Precision, Values, Weights, sha256};

use crate::data::DataSet;
use crate::files::{read, write};

/// Metadata entry of a descriptor file that holds names and texts.
const EXPRESSIONS: &str = "expressions";
/// Metadata entry of a descriptor file of METD: the nearest words of its learned tokens.
const LEARNED: &str = "learned";

/// A bundle from its folder, every file checked.
pub fn read_bundle(folder: &Path) -> Result<Bundle> {
    read_bundle_with(folder, |_| Ok(()))
}

/// A bundle that answers in a data set's own labels, where it has learned them.
pub fn read_bundle_for(folder: &Path, data: &DataSet) -> Result<Bundle> {
    read_bundle_with(folder, |manifest| match manifest.labels.iter().any(|set| set.name == data.name()) {
        true => Ok(manifest.answer_in(data.name())?),
        false => Ok(()),
    })
}

/// A bundle that answers in the labels of that name.
pub fn read_bundle_in(folder: &Path, labels: &str) -> Result<Bundle> {
    read_bundle_with(folder, |manifest| Ok(manifest.answer_in(labels)?))
}

fn read_bundle_with(folder: &Path, choose: impl FnOnce(&mut Manifest) -> Result<()>) -> Result<Bundle> {
    let manifest = folder.join("model.json");
    let text = String::from_utf8(read(&manifest)?)
        .with_context(|| format!("{} is no text; give a folder that `cargo pkg pack` wrote", manifest.display()))?;
    let mut manifest = Manifest::parse(&text)?;
    choose(&mut manifest)?;
    let mut reader = BundleReader::of(manifest);
    for file in reader.missing().to_vec() {
        reader.add(&file.path, &read(&folder.join(&file.path))?)?;
    }
    Ok(reader.finish()?)
}

/// A session of a bundle on the lean CPU encoder.
pub fn open_session(mut bundle: Bundle) -> Result<Session<CpuEngine>> {
    let engine = CpuEngine::from_bundle(&mut bundle)?;
    Ok(pollster::block_on(Session::open(engine, bundle))?)
}

/// The text side of a bundle whose manifest was read.
pub fn read_text_side(folder: &Path, manifest: &Manifest) -> Result<TextSide> {
    let Some(text) = &manifest.text else {
        bail!(
            "unsupported-bundle: the model `{}` has no text side, so it knows its own descriptors only; pack it with one \
             (cargo pkg pack --checkpoint {} --text FOLDER), or use `cargo pkg embed` for a CLIP checkpoint",
            manifest.name,
            folder.display()
        );
    };
    let file = |path: &str| -> Result<Vec<u8>> {
        let bytes = read(&folder.join(path))?;
        let packed = manifest.files.iter().find(|file| file.path == path);
        let whole = packed.is_some_and(|file| file.sha256 == sha256(&bytes));
        ensure!(whole, "`{path}` of the text side is damaged; fetch it again or pack the model again");
        Ok(bytes)
    };
    let (tokenizer, weights) = (file(&text.tokenizer)?, file(&text.weights)?);
    Ok(TextSide::load(&tokenizer, &weights, manifest.encoder.embedding)?)
}

/// Writes descriptors with their texts and the joint space they belong to.
pub fn write_descriptors(
    path: &Path,
    descriptors: &Descriptors,
    backbone: &str,
    learned: Option<&Learned>,
) -> Result<()> {
    let mut weights = Weights::default();
    let shape = vec![descriptors.count(), descriptors.width()];
    weights.insert("embeddings", Values { shape, data: descriptors.embeddings().to_vec() })?;
    weights.metadata.insert(BACKBONE.into(), backbone.into());
    weights.metadata.insert(EXPRESSIONS.into(), serde_json::to_string(descriptors.expressions())?);
    if let Some(learned) = learned {
        weights.metadata.insert(LEARNED.into(), serde_json::to_string(learned)?);
    }
    write(path, &weights.write(Precision::F32)?)
}

/// Reads what [`write_descriptors`] wrote: the descriptors and their joint space.
pub fn read_descriptors(path: &Path) -> Result<(Descriptors, String)> {
    let mut weights = Weights::default();
    weights.read(&path.display().to_string(), &read(path)?)?;
    let entry = |name: &str| {
        weights
            .metadata
            .get(name)
            .with_context(|| format!("{} does not say its `{name}`; make it with `cargo pkg describe`", path.display()))
    };
    let backbone = entry(BACKBONE)?.clone();
    let expressions: Vec<Expression> = serde_json::from_str(entry(EXPRESSIONS)?)
        .with_context(|| format!("the texts in {} can't be read", path.display()))?;
    let Some(values) = weights.get("embeddings").filter(|values| values.shape.len() == 2) else {
        bail!("{} has no tensor `embeddings` of two axes", path.display());
    };
    Ok((Descriptors::new(expressions, values.data.clone(), values.shape[1])?, backbone))
}

/// What METD learned, where [`write_descriptors`] was given it.
pub fn read_learned(path: &Path) -> Result<Option<Learned>> {
    let mut weights = Weights::default();
    weights.read(&path.display().to_string(), &read(path)?)?;
    let parse = |text: &String| serde_json::from_str(text);
    weights.metadata.get(LEARNED).map(parse).transpose().with_context(|| format!("{} can't be read", path.display()))
}
