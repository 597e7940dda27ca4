//! The face detector that lies in the repository.

use anyhow::{Context, Result, ensure};
use cliper::face::{DetectorManifest, FaceDetector};

use crate::{files, project};

/// The face detector that lies in the repository.
pub fn built_in() -> Result<FaceDetector> {
    let folder = project::root()?.join(project::DETECTOR);
    let manifest = String::from_utf8(files::read(&folder.join("model.json"))?)
        .with_context(|| format!("{} holds no text in model.json", folder.display()))?;
    let path = DetectorManifest::parse(&manifest)?.weights.path;
    ensure!(!path.contains(['/', '\\']) && !path.starts_with('.'), "`{path}` is no plain file name");
    Ok(FaceDetector::read(&manifest, &files::read(&folder.join(path))?)?)
}
