//! FER+ in its own folder layout: `FER2013{Train,Valid,Test}/label.csv` with ten votes a picture.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use cliper::math::best;
use cliper::train::Sample;

use crate::files::open_text;
use crate::media::pictures::read_picture;

use super::{Example, Labelled, Listing, Majority, Part, Report, Square, picture_key};

/// Columns of `label.csv` behind name and box.
pub const VOTES: [&str; 10] =
    ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF"];
/// The first eight are expressions.
pub const CLASSES: usize = 8;

/// A part's pictures in memory, with their votes.
pub fn read(folder: &Path, part: Part, square: Square) -> Result<(Vec<Example>, Report)> {
    rows(folder, part, |path, votes, label| {
        let (rgba, width, height) = read_picture(&path)?;
        let picture = square.grey(&rgba, width, height)?;
        let (majority, count) = (strength(votes, label), votes[label] as u8);
        let sum: f32 = votes[..CLASSES].iter().sum();
        let mut votes: Vec<f32> = votes[..CLASSES].iter().map(|vote| vote / sum).collect();
        if best(&votes) != label {
            // Ties: a trifle keeps the label the arg max of the distribution.
            votes[label] += 1e-4;
        }
        let sample = Sample { picture, votes, auxiliary: Vec::new() };
        Ok(Example { sample, label, majority, votes: Some(count), picture: picture_key(&rgba, width, height) })
    })
}

/// A part's pictures with the majority of their votes.
pub fn list(folder: &Path, part: Part) -> Result<Listing> {
    let (clips, report) = rows(folder, part, |path, _, label| {
        ensure!(path.is_file(), "{} is missing", path.display());
        Ok(Labelled { name: path.display().to_string(), frames: vec![path], expression: VOTES[label] })
    })?;
    Ok(Listing { expressions: VOTES[..CLASSES].to_vec(), clips, report })
}

/// Every row with a majority among the expressions, made by `row` from its picture, its votes and that majority.
fn rows<T>(folder: &Path, part: Part, row: impl Fn(PathBuf, &[f32], usize) -> Result<T>) -> Result<(Vec<T>, Report)> {
    let folder = folder.join(match part {
        Part::Train => "FER2013Train",
        Part::Valid => "FER2013Valid",
        Part::Test => "FER2013Test",
    });
    let table = folder.join("label.csv");
    ensure!(
        table.is_file(),
        "{} is missing; give the folder that holds FER2013Train, FER2013Valid and FER2013Test as FER+'s own \
         scripts write them",
        table.display()
    );
    let mut records = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(open_text(&table)?);
    let because = "without a majority among the expressions";
    let (mut made, mut report) = (Vec::new(), Report { because, ..Report::default() });
    for record in records.records() {
        report.rows += 1;
        let number = report.rows;
        let read = record.map_err(anyhow::Error::from).and_then(|record| {
            let majority = majority(&record)?;
            majority.map(|(votes, label)| row(folder.join(record[0].trim()), &votes, label)).transpose()
        });
        match read {
            Ok(Some(one)) => made.push(one),
            Ok(None) => report.left_out += 1,
            Err(error) => report.damaged.push(format!("row {number} of {}: {error:#}", table.display())),
        }
    }
    if made.is_empty() {
        report.print();
        bail!("{} has no row that can be used", table.display());
    }
    Ok((made, report))
}

/// A row's votes and the expression with most of them; none where that is no expression.
fn majority(row: &csv::StringRecord) -> Result<Option<(Vec<f32>, usize)>> {
    if row.len() != 12 {
        bail!("{} columns instead of 12 (name, box, ten votes)", row.len());
    }
    let votes = row
        .iter()
        .skip(2)
        .map(|vote| vote.trim().parse::<u8>().map(f32::from).with_context(|| format!("`{vote}` is no number of votes")))
        .collect::<Result<Vec<f32>>>()?;
    // The first of equals wins, as in FER+'s own script (numpy's argmax).
    let most = votes.iter().copied().fold(0.0, f32::max);
    let label = votes.iter().position(|&vote| vote == most).unwrap_or(0);
    Ok((most > 0.0 && label < CLASSES).then_some((votes, label)))
}

/// What share of the votes the label has. Where FER+'s own scripts ask for a majority, they keep what has more than half of
/// them, once expressions with a single vote are left out.
fn strength(votes: &[f32], label: usize) -> Majority {
    let own = votes[label];
    let counted: f32 = votes.iter().filter(|&&vote| vote > 1.0).sum();
    if own > 1.0 && own > counted / 2.0 {
        Majority::Half
    } else if votes.iter().filter(|&&vote| vote == own).count() == 1 {
        Majority::Most
    } else {
        Majority::Tied
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taggers_agree_where_more_than_half_vote_alike_and_lone_votes_count_for_nothing() {
        use Majority::{Half, Most, Tied};
        for (votes, expected, why) in [
            ([6, 4, 0, 0, 0, 0, 0, 0, 0, 0], Half, "more than half"),
            ([5, 5, 0, 0, 0, 0, 0, 0, 0, 0], Tied, "as many as another"),
            ([4, 3, 3, 0, 0, 0, 0, 0, 0, 0], Most, "the most, yet less than half"),
            ([4, 1, 1, 1, 1, 1, 1, 0, 0, 0], Half, "the others have one vote each"),
            ([1, 0, 0, 0, 0, 0, 0, 0, 0, 0], Most, "a lone vote"),
            ([4, 0, 0, 0, 0, 0, 0, 0, 4, 2], Tied, "`unknown` and `NF` are votes too"),
        ] {
            assert_eq!(strength(&votes.map(|count: u8| f32::from(count)), 0), expected, "{why}");
        }
    }
}
