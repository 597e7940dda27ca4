//! FERV39k: lists of lines `path frames label`, clips in `2_ClipsforFaceCrop/SCENE/EXPRESSION/CLIP/*.jpg`.
//!
//! Two orders of the labels are about: DFEW's (DFER-CLIP, EmoCLIP) and the alphabetical one (S2D). Each path names its
//! expression, so the order is told from the list itself, and a label that contradicts its path is a damaged row.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::dfew;
use super::{Listing, Part, clip, expression, first_of, list_lines, no_part};
use crate::files::read_text;

const ALPHABETICAL: [&str; 7] = ["anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"];

pub fn list(folder: &Path, part: Part) -> Result<Listing> {
    let part = match part {
        Part::Train => "train",
        Part::Test => "test",
        Part::Valid => return no_part("FERV39k", "train and test"),
    };
    let names = [
        format!("FERV39K_{part}.txt"),
        format!("annotation/FERV39K_{part}.txt"),
        format!("FERV39k_{part}.txt"),
        format!("{part}.txt"),
        format!("4_setups/All_scenes/{part}_All.csv"),
    ];
    let table = first_of(folder, &names, "list of clips")?;
    let order = order(&table)?;
    list_lines(&table, order, |line| {
        let (path, label) = path_and_label(line)?;
        let named = in_path(path);
        let expression = match label.parse::<usize>() {
            Ok(label) => *order.get(label).with_context(|| format!("label {label} is not 0 to 6"))?,
            Err(_) => expression(label).with_context(|| format!("`{label}` is no label"))?,
        };
        ensure!(
            named.is_none_or(|named| named == expression),
            "the label says {expression}, the path {}",
            named.unwrap_or_default()
        );
        clip(&place(folder, path)?, expression).map(Some)
    })
}

/// The order that most numbered labels of a list agree with.
fn order(table: &Path) -> Result<&'static [&'static str]> {
    let text = read_text(table)?;
    let rows = text.lines().filter_map(|line| path_and_label(line.trim()).ok());
    let numbered: Vec<(&str, usize)> =
        rows.filter_map(|(path, label)| Some((in_path(path)?, label.parse().ok()?))).collect();
    let agreeing = |order: &[&str]| numbered.iter().filter(|(name, label)| order.get(*label) == Some(name)).count();
    let (ours, alphabetical) = (agreeing(&dfew::EXPRESSIONS), agreeing(&ALPHABETICAL));
    let has_numbers =
        text.lines().any(|line| path_and_label(line.trim()).is_ok_and(|(_, label)| label.parse::<usize>().is_ok()));
    ensure!(
        !has_numbers || ours != alphabetical,
        "{} does not tell the order of its labels: its paths must name the expressions, as Action/Happy/0015",
        table.display()
    );
    Ok(if alphabetical > ours { &ALPHABETICAL } else { &dfew::EXPRESSIONS })
}

/// `path frames label`, or `path label`.
fn path_and_label(line: &str) -> Result<(&str, &str)> {
    let (rest, label) = line.rsplit_once([' ', ',', '\t']).context("no `path frames label`")?;
    let path = match rest.rsplit_once([' ', ',', '\t']) {
        Some((path, frames)) if frames.trim().parse::<usize>().is_ok() => path,
        _ => rest,
    };
    Ok((path.trim(), label.trim()))
}

/// The expression that a folder of the path is named after.
fn in_path(path: &str) -> Option<&'static str> {
    path.rsplit('/').skip(1).find_map(expression)
}

/// A listed clip here: as listed, or its last three folders below ours.
fn place(folder: &Path, listed: &str) -> Result<PathBuf> {
    let listed = Path::new(listed);
    let parts: Vec<Component> = listed.components().collect();
    let tail: PathBuf = parts[parts.len().saturating_sub(3)..].iter().collect();
    let places = [folder.join(listed), folder.join("2_ClipsforFaceCrop").join(&tail), folder.join(&tail)];
    match places.into_iter().find(|path| path.is_dir()) {
        Some(path) => Ok(path),
        None => bail!("{} is not below {}", tail.display(), folder.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_forms_are_read() {
        assert_eq!(path_and_label("a/Action/Happy/0015 25 0").unwrap(), ("a/Action/Happy/0015", "0"));
        assert_eq!(path_and_label("Action/Happy/0015 Happy").unwrap(), ("Action/Happy/0015", "Happy"));
        assert!(path_and_label("alone").is_err());
        assert_eq!(in_path("x/Daily Life/Angry/0001"), Some("anger"));
        assert_eq!(in_path("x/clips/0001"), None);
    }
}
