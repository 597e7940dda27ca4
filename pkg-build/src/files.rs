//! Files in and out: bundles, descriptor files, pictures; everything written is written aside and renamed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use cliper::bundle::{BACKBONE, Bundle, BundleReader, Precision, Values, Weights};
use cliper::model::descriptors::{Descriptors, Expression};
use cliper::model::learned::Learned;

/// Metadata entry of a descriptor file that holds names and texts.
const EXPRESSIONS: &str = "expressions";
/// Metadata entry of a descriptor file of METD: the nearest words of its learned tokens.
const LEARNED: &str = "learned";

/// Reads a file with its path in the error.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("{} can't be read", path.display()))
}

/// Writes a file beside its place, then renames it: a full disk or a stop leaves the old one whole.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("{} can't be made", folder.display()))?;
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(".part");
    let aside = PathBuf::from(aside);
    fs::write(&aside, bytes).with_context(|| format!("{} can't be written", aside.display()))?;
    fs::rename(&aside, path).with_context(|| format!("{} can't be put in place", path.display()))
}

/// Replaces a folder by another in two renames; the old one is gone only once the new one is there.
pub fn replace_folder(new: &Path, place: &Path) -> Result<()> {
    let old = place.with_extension("old");
    if old.exists() {
        fs::remove_dir_all(&old).with_context(|| format!("{} can't be removed", old.display()))?;
    }
    if place.exists() {
        fs::rename(place, &old).with_context(|| format!("{} can't be moved", place.display()))?;
    }
    fs::rename(new, place).with_context(|| format!("{} can't be put in place", place.display()))?;
    if old.exists() {
        fs::remove_dir_all(&old).with_context(|| format!("{} can't be removed", old.display()))?;
    }
    Ok(())
}

/// Fills a new folder aside, then puts it in place. After an error nothing of it is left, and the old one is whole.
///
/// `marker` is a file that every folder of this kind holds: one without it is somebody else's and is not replaced.
pub fn write_folder<T>(place: &Path, marker: &str, fill: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let foreign = place.exists()
        && !place.join(marker).is_file()
        && !fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_none());
    ensure!(!foreign, "{} exists and holds no {marker}; name a new folder", place.display());
    let aside = place.with_extension("new");
    if aside.exists() {
        fs::remove_dir_all(&aside).with_context(|| format!("{} can't be removed", aside.display()))?;
    }
    fs::create_dir_all(&aside).with_context(|| format!("{} can't be made", aside.display()))?;
    let filled = fill(&aside).and_then(|filled| replace_folder(&aside, place).map(|()| filled));
    if filled.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_dir_all(&aside);
    }
    filled
}

/// A bundle from its folder, every file checked.
pub fn read_bundle(folder: &Path) -> Result<Bundle> {
    let manifest = folder.join("model.json");
    let text = String::from_utf8(read(&manifest)?)
        .with_context(|| format!("{} is no text; give a folder that `cargo pkg pack` wrote", manifest.display()))?;
    let mut reader = BundleReader::new(&text)?;
    for file in reader.missing().to_vec() {
        reader.add(&file.path, &read(&folder.join(&file.path))?)?;
    }
    Ok(reader.finish()?)
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

/// A picture as RGBA bytes with its width and height.
pub fn read_picture(path: &Path) -> Result<(Vec<u8>, usize, usize)> {
    let bytes = read(path)?;
    let mut reader = image::ImageReader::new(std::io::Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(1 << 30);
    reader.limits(limits);
    let picture = reader.decode().with_context(|| {
        format!("{} is not a picture that can be read (PNG, JPEG, GIF, BMP and WebP can)", path.display())
    })?;
    let picture = picture.into_rgba8();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    ensure!(width > 0 && height > 0, "{} has no pixels", path.display());
    Ok((picture.into_raw(), width, height))
}
