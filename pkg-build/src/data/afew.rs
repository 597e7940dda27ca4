//! AFEW: `{Train,Val}_AFEW/Angry/000046280/*.png`, a folder of frames a clip below a folder an expression.

use std::path::Path;

use anyhow::{Context, Result};

use super::{Listing, Part, clip, expression, subfolders};

const EXPRESSIONS: [&str; 7] = ["anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"];

pub fn list(folder: &Path, part: Part) -> Result<Listing> {
    let names = match part {
        Part::Train => ["train_afew", "train"],
        Part::Valid => ["val_afew", "val"],
        Part::Test => ["test_afew", "test"],
    };
    let is_part = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        names.contains(&name.as_str())
    };
    let part = subfolders(folder)?.into_iter().find(|path| is_part(path));
    let part =
        part.with_context(|| format!("{} holds no folder Train_AFEW, Val_AFEW or the like", folder.display()))?;
    let mut listing = Listing { expressions: EXPRESSIONS.to_vec(), ..Listing::default() };
    for class in subfolders(&part)? {
        let name = class.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(found) = expression(&name).filter(|name| EXPRESSIONS.contains(name)) else {
            listing.report.rows += 1;
            listing.report.damaged.push(format!("{}: `{name}` is none of AFEW's expressions", class.display()));
            continue;
        };
        for path in subfolders(&class)? {
            listing.report.rows += 1;
            match clip(&path, found) {
                Ok(clip) => listing.clips.push(clip),
                Err(error) => listing.report.damaged.push(format!("{error:#}")),
            }
        }
    }
    Ok(listing)
}
