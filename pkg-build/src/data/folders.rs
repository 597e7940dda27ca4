//! Folders of classes, as FER2013 is mostly handed around: `{train,valid,test}/CLASS/*.png`, or `CLASS/*.png` alone.
//!
//! A class is named by one of the words of [`super::expression::expression`], in any case: neutral; happy, happiness, joy;
//! sad, sadness; surprise, surprised; fear, fearful, afraid, scared; disgust, disgusted; anger, angry; contempt; anxiety;
//! helplessness; disappointment. Other folders are named and left out: numbers mean something else in every set.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::{Labelled, Listing, Part, expression, subfolders};
use crate::media::pictures::picture_files;

/// Names of a part's folder.
const fn names(part: Part) -> &'static [&'static str] {
    match part {
        Part::Train => &["train", "training"],
        Part::Valid => &["valid", "validation", "val", "publictest"],
        Part::Test => &["test", "testing", "privatetest"],
    }
}

pub fn list(folder: &Path, part: Part) -> Result<Listing> {
    let (place, is_whole) = match part_folder(folder, part)? {
        Some(place) => (place, false),
        None => {
            let parts: Vec<_> = [Part::Train, Part::Valid, Part::Test]
                .map(|part| part_folder(folder, part))
                .into_iter()
                .collect::<Result<_>>()?;
            ensure!(
                parts.iter().all(Option::is_none),
                "{} has parts, but no folder {} for this one; name another --part",
                folder.display(),
                names(part).join(" or ")
            );
            (folder.to_owned(), true)
        }
    };
    let mut listing = Listing::default();
    listing.report.is_whole = is_whole;
    for class in subfolders(&place)? {
        let name = name(&class);
        let Some(found) = expression(&name) else {
            listing.report.rows += 1;
            listing.report.damaged.push(format!("{}: `{name}` is the name of no expression", class.display()));
            continue;
        };
        match picture_files(&class) {
            Ok(files) => {
                listing.report.rows += files.len();
                if !listing.expressions.contains(&found) {
                    listing.expressions.push(found);
                }
                let labelled = |file: PathBuf| Labelled {
                    name: file.display().to_string(),
                    frames: vec![file],
                    expression: found,
                };
                listing.clips.extend(files.into_iter().map(labelled));
            }
            Err(error) => {
                listing.report.rows += 1;
                listing.report.damaged.push(format!("{error:#}"));
            }
        }
    }
    Ok(listing)
}

/// Whether a part has a folder of its own.
pub fn has(folder: &Path, part: Part) -> bool {
    matches!(part_folder(folder, part), Ok(Some(_)))
}

fn part_folder(folder: &Path, part: Part) -> Result<Option<PathBuf>> {
    let is_part = |path: &PathBuf| names(part).contains(&name(path).to_ascii_lowercase().as_str());
    Ok(subfolders(folder)?.into_iter().find(is_part))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
