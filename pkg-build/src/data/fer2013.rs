//! FER2013 as it was published: `fer2013.csv`, one row a picture, with the challenge's own seven labels.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use cliper::train::Sample;

use crate::files::open_text;

use super::{CLASSES, Example, Majority, Part, Report, Square, VOTES, picture_key};

/// Its labels 0 to 6, by our names.
const LABELS: [&str; 7] = ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"];

/// Side of its pictures.
const SIDE: usize = 48;

/// Reads a part of the table. Damaged rows are reported, not skipped in silence.
pub fn read(table: &Path, part: Part, square: Square) -> Result<(Vec<Example>, Report)> {
    let mut rows = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::Headers).from_reader(
        open_text(table).context("FER2013's fer2013.csv can't be read; of folders of classes, give folders:FOLDER")?,
    );
    let headers = rows.headers().with_context(|| format!("{} is no table", table.display()))?.clone();
    let place = |name: &str| headers.iter().position(|header| header.eq_ignore_ascii_case(name));
    let column = |name: &str| {
        place(name).with_context(|| {
            let found: Vec<&str> = headers.iter().take(4).collect();
            format!(
                "{} has no column `{name}` but `{}`; FER2013's table has emotion, pixels and Usage, with commas between",
                table.display(),
                found.join("`, `")
            )
        })
    };
    // The challenge's own train.csv has no column for the part.
    let columns = (column("emotion")?, column("pixels")?, place("Usage"));
    let usage = match part {
        Part::Train => "Training",
        Part::Valid => "PublicTest",
        Part::Test => "PrivateTest",
    };
    let (mut examples, mut report) = (Vec::new(), Report { is_whole: columns.2.is_none(), ..Report::default() });
    for (index, row) in rows.records().enumerate() {
        let read = row.map_err(anyhow::Error::from).and_then(|row| example(&row, columns, usage, square));
        match read {
            Ok(None) => continue,
            Ok(Some(example)) => examples.push(example),
            Err(error) => report.damaged.push(format!("row {} of {}: {error:#}", index + 1, table.display())),
        }
        report.rows += 1;
    }
    if examples.is_empty() {
        report.print();
        bail!("{} has no row of `{usage}` that can be used", table.display());
    }
    report.check(part, table)?;
    Ok((examples, report))
}

/// A row's example; none where it belongs to another part.
fn example(
    row: &csv::StringRecord,
    (emotion, pixels, part): (usize, usize, Option<usize>),
    usage: &str,
    square: Square,
) -> Result<Option<Example>> {
    let part = part.map_or(Some(usage), |part| row.get(part));
    let (Some(emotion), Some(pixels), Some(part)) = (row.get(emotion), row.get(pixels), part) else {
        bail!("{} columns, too few", row.len());
    };
    let parts = ["Training", "PublicTest", "PrivateTest"];
    ensure!(parts.contains(&part.trim()), "the usage is `{part}`; there are {}", parts.join(", "));
    if part.trim() != usage {
        return Ok(None);
    }
    let name = emotion.trim().parse::<usize>().ok().and_then(|label| LABELS.get(label));
    let label = name.and_then(|name| VOTES.iter().position(|other| other == name));
    let label = label.with_context(|| format!("`{emotion}` is no label from 0 to 6"))?;
    let levels = pixels
        .split_ascii_whitespace()
        .map(|level| level.parse::<u8>().with_context(|| format!("`{level}` is no grey level from 0 to 255")))
        .collect::<Result<Vec<u8>>>()?;
    ensure!(levels.len() == SIDE * SIDE, "{} pixels instead of {}", levels.len(), SIDE * SIDE);
    let rgba: Vec<u8> = levels.iter().flat_map(|&level| [level, level, level, 255]).collect();
    let mut votes = vec![0.0; CLASSES];
    votes[label] = 1.0;
    Ok(Some(Example {
        sample: Sample { picture: square.grey(&rgba, SIDE, SIDE)?, votes, auxiliary: Vec::new() },
        label,
        majority: Majority::Half,
        votes: None,
        picture: picture_key(&rgba, SIDE, SIDE),
    }))
}
