//! The ffmpeg that is on the PATH: films, and pictures that no crate here reads.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// Runs a program of ffmpeg's on a file and gives what it prints.
///
/// - kind: what the file is, e.g. `a film`
/// - instead: what to do where there is no ffmpeg
pub fn run(command: &mut Command, file: &Path, kind: &str, instead: &str) -> Result<Vec<u8>> {
    let (program, file) = (command.get_program().to_string_lossy().into_owned(), file.display());
    let output = match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "{file} is {kind}, which is read through `{program}`, and that is not on the PATH; install ffmpeg, or {instead}"
        ),
        output => output.with_context(|| format!("{program} can't be started"))?,
    };
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{file} is {kind}, which {program} can't read: {}",
        said.lines().next().unwrap_or("it says nothing")
    );
    Ok(output.stdout)
}
