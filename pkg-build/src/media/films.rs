//! Films through the ffmpeg that is on the PATH: the times of all frames, and the pictures of a few.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use super::ffmpeg;
use super::pictures::picture_files;

/// Endings of films that people have.
const ENDINGS: [&str; 14] =
    ["mp4", "m4v", "mov", "webm", "mkv", "avi", "mpg", "mpeg", "wmv", "ogv", "3gp", "flv", "ts", "mts"];

/// Whether a path is a film, by its ending.
pub fn is_film(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    ENDINGS.contains(&ending.as_str())
}

/// The time of each frame in seconds from the first one, in the order in which they are shown.
pub fn times(film: &Path) -> Result<Vec<f64>> {
    let fields = ["-select_streams", "v:0", "-show_entries", "frame=best_effort_timestamp_time", "-of", "csv=p=0"];
    let probed = run(Command::new("ffprobe").args(["-v", "error"]).args(fields).arg(film), film)?;
    let text = String::from_utf8_lossy(&probed);
    let mut times: Vec<f64> = text.lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect();
    ensure!(!times.is_empty(), "{} holds no film that ffmpeg can read", film.display());
    times.sort_by(f64::total_cmp);
    let first = times[0];
    times.iter_mut().for_each(|time| *time -= first);
    Ok(times)
}

/// The pictures of some frames, by their places in ascending order: upright, with square pixels, as browsers show them.
pub fn pictures(film: &Path, chosen: &[usize]) -> Result<(TempDir, Vec<PathBuf>)> {
    let folder = tempfile::tempdir()?;
    let places: Vec<String> = chosen.iter().map(|index| format!("eq(n\\,{index})")).collect();
    let filter =
        format!("select={},scale=w=if(gt(sar\\,0)\\,round(iw*sar)\\,iw):h=ih:flags=bicubic,setsar=1", places.join("+"));
    let mut take = Command::new("ffmpeg");
    take.args(["-nostdin", "-v", "error", "-i"])
        .arg(film)
        .args(["-map", "0:v:0", "-vf", &filter, "-vsync", "passthrough"])
        .arg(folder.path().join("%05d.png"));
    run(&mut take, film)?;
    let files = picture_files(folder.path())?;
    ensure!(
        files.len() == chosen.len(),
        "ffmpeg gave {} of {} frames of {}; is the film whole?",
        files.len(),
        chosen.len(),
        film.display()
    );
    Ok((folder, files))
}

fn run(command: &mut Command, film: &Path) -> Result<Vec<u8>> {
    let instead = "take the film apart elsewhere, as with `ffmpeg -i VIDEO FOLDER/%05d.png`, and give the folder, or \
                   recognise it in the browser";
    ffmpeg::run(command, film, "a film", instead)
}
