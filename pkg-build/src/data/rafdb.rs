//! RAF-DB: `list_patition_label.txt` (sic) with lines `train_00001.jpg 5`, pictures `train_00001_aligned.jpg`.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::{Labelled, Listing, Part, first_of, list_lines, no_part};

/// Labels count from 1.
const EXPRESSIONS: [&str; 7] = ["surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"];

pub fn list(folder: &Path, part: Part) -> Result<Listing> {
    let prefix = match part {
        Part::Train => "train_",
        Part::Test => "test_",
        Part::Valid => return no_part("RAF-DB", "train and test"),
    };
    let name = "list_patition_label.txt";
    let table = first_of(folder, &[name.into(), format!("EmoLabel/{name}"), format!("basic/EmoLabel/{name}")], name)?;
    let places = ["Image/aligned", "basic/Image/aligned", "aligned", "."].map(String::from);
    let pictures = first_of(folder, &places, "folder of aligned pictures")?;
    let mut others = 0;
    let mut listing = list_lines(&table, &EXPRESSIONS, |line| {
        let (file, label) = line.split_once(char::is_whitespace).context("no `picture label`")?;
        let stem = file.strip_suffix(".jpg").with_context(|| format!("`{file}` is no .jpg"))?;
        if !stem.starts_with(prefix) {
            ensure!(stem.starts_with("train_") || stem.starts_with("test_"), "`{file}` is of neither part");
            others += 1;
            return Ok(None);
        }
        let label: usize = label.trim().parse().with_context(|| format!("`{label}` is no label"))?;
        let Some(expression) = label.checked_sub(1).and_then(|label| EXPRESSIONS.get(label)) else {
            bail!("label {label} is not 1 to 7");
        };
        let path = pictures.join(format!("{stem}_aligned.jpg"));
        ensure!(path.is_file(), "{} is missing", path.display());
        Ok(Some(Labelled { name: file.into(), frames: vec![path], expression }))
    })?;
    // The table lists both parts.
    listing.report.rows -= others;
    Ok(listing)
}
