//! DFEW: `EmoLabel_DataSplit/{train,test}(single-labeled)/*set_K.csv` with `video_name,label`, frames in
//! `Clip/clip_224x224/00001/*.jpg`; five folds.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{Listing, Part, clip, list_lines, no_part};

/// Labels count from 1.
pub const EXPRESSIONS: [&str; 7] = ["happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear"];

pub fn list(folder: &Path, part: Part, fold: usize) -> Result<Listing> {
    let part = match part {
        Part::Train => "train",
        Part::Test => "test",
        Part::Valid => return no_part("DFEW", "train and test"),
    };
    let tables = folder.join("EmoLabel_DataSplit").join(format!("{part}(single-labeled)"));
    let ending = format!("set_{fold}.csv");
    let table = fs::read_dir(&tables)
        .with_context(|| format!("{} can't be read; give the folder of EmoLabel_DataSplit and Clip", tables.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().ends_with(&ending))
        .with_context(|| format!("{} holds no table *{ending}", tables.display()))?;
    let mut columns = None;
    let mut listing = list_lines(&table, &EXPRESSIONS, |line| {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let Some((name, label)) = columns else {
            let place = |wanted: &str| cells.iter().position(|cell| *cell == wanted);
            columns = place("video_name").zip(place("label"));
            return if columns.is_some() { Ok(None) } else { bail!("the header names no video_name and label") };
        };
        let (Some(name), Some(label)) = (cells.get(name), cells.get(label)) else { bail!("too few columns") };
        let number: usize = name.parse().with_context(|| format!("`{name}` is no number of a video"))?;
        let label: usize = label.parse().with_context(|| format!("`{label}` is no label"))?;
        let Some(expression) = label.checked_sub(1).and_then(|label| EXPRESSIONS.get(label)) else {
            bail!("label {label} is not 1 to 7");
        };
        clip(&folder.join("Clip/clip_224x224").join(format!("{number:05}")), expression).map(Some)
    })?;
    listing.report.rows = listing.report.rows.saturating_sub(1); // the header
    Ok(listing)
}
