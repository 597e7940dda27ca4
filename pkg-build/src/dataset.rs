//! Labelled pictures: FER+ in its own folder layout, `FER2013{Train,Valid,Test}/label.csv` with ten votes a picture,
//! and FER2013's own table.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use cliper::config::PreprocessConfig;
use cliper::evaluation::best;
use cliper::preprocess::{Picture, resize_and_crop};
use cliper::train::{Sample, plain_pixels};

use crate::fer2013;
use crate::files::read_picture;

/// Columns of `label.csv` behind name and box.
pub const VOTES: [&str; 10] =
    ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF"];
/// The first eight are expressions.
pub const CLASSES: usize = 8;

/// A data set named on the command line.
#[derive(Debug, Clone)]
pub enum DataSet {
    /// `ferplus:FOLDER`.
    FerPlus(PathBuf),
    /// `fer2013:FILE`.
    Fer2013(PathBuf),
}

impl FromStr for DataSet {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.split_once(':') {
            Some(("ferplus", folder)) if !folder.is_empty() => Ok(Self::FerPlus(folder.into())),
            Some(("fer2013", file)) if !file.is_empty() => Ok(Self::Fer2013(file.into())),
            _ => Err("give the data as ferplus:FOLDER or fer2013:FILE".into()),
        }
    }
}

/// Damaged rows that are named one by one.
const NAMED: usize = 100;

/// Which part of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// `FER2013Train`.
    Train,
    /// `FER2013Valid`.
    Valid,
    /// `FER2013Test`.
    Test,
}

impl Part {
    fn folder(self) -> &'static str {
        match self {
            Self::Train => "FER2013Train",
            Self::Valid => "FER2013Valid",
            Self::Test => "FER2013Test",
        }
    }
}

/// One picture that carries one of the data set's expressions.
#[derive(Debug, Clone)]
pub struct Example {
    /// Grey levels and the distribution of the votes over the expressions.
    pub sample: Sample,
    /// Index of the expression with most votes, in [`DataSet::expressions`].
    pub label: usize,
}

impl Example {
    /// What an encoder takes, an RGB one too.
    pub fn pixels(&self, config: &PreprocessConfig) -> Vec<f32> {
        plain_pixels(&self.sample, config)
    }
}

/// What reading found besides examples.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Rows of the table.
    pub rows: usize,
    /// Rows whose majority is `unknown` or `NF`, or without votes: FER+ leaves them out.
    pub left_out: usize,
    /// Rows that can't be used, each named with its reason.
    pub damaged: Vec<String>,
}

impl DataSet {
    /// What its labels stand for, in their order.
    pub fn expressions(&self) -> &'static [&'static str] {
        match self {
            Self::FerPlus(_) => &VOTES[..CLASSES],
            // All but contempt, which stands last.
            Self::Fer2013(_) => &VOTES[..CLASSES - 1],
        }
    }

    /// Its name, for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::FerPlus(_) => "FER+",
            Self::Fer2013(_) => "FER2013",
        }
    }

    /// Reads a part. Damaged rows are reported, not skipped in silence.
    ///
    /// - side: of the square that pictures are brought to
    pub fn read(&self, part: Part, side: usize) -> Result<(Vec<Example>, Report)> {
        let folder = match self {
            Self::FerPlus(folder) => folder.join(part.folder()),
            Self::Fer2013(table) => return fer2013::read(table, part, side),
        };
        let table = folder.join("label.csv");
        ensure!(
            table.is_file(),
            "{} is missing; give the folder that holds FER2013Train, FER2013Valid and FER2013Test as FER+'s own \
             scripts write them",
            table.display()
        );
        let mut rows = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_path(&table)?;
        let (mut examples, mut report) = (Vec::new(), Report::default());
        for row in rows.records() {
            report.rows += 1;
            let number = report.rows;
            let read = row.map_err(anyhow::Error::from).and_then(|row| example(&folder, &row, side));
            match read {
                Ok(Some(example)) => examples.push(example),
                Ok(None) => report.left_out += 1,
                Err(error) => report.damaged.push(format!("row {number} of {}: {error:#}", table.display())),
            }
        }
        ensure!(!examples.is_empty(), "{} has no row that can be used", table.display());
        Ok((examples, report))
    }
}

impl Report {
    /// Prints what was left out and why, on standard error.
    pub fn print(&self) {
        eprintln!("{} rows, {} without a majority among the expressions", self.rows, self.left_out);
        if !self.damaged.is_empty() {
            eprintln!("{} rows can't be used:", self.damaged.len());
            self.damaged.iter().take(NAMED).for_each(|reason| eprintln!("  {reason}"));
            if let Some(more) = self.damaged.len().checked_sub(NAMED).filter(|&more| more > 0) {
                eprintln!("  and {more} more");
            }
        }
    }
}

fn example(folder: &Path, row: &csv::StringRecord, side: usize) -> Result<Option<Example>> {
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
    if most == 0.0 || label >= CLASSES {
        return Ok(None);
    }
    let path = folder.join(row[0].trim());
    let (rgba, width, height) = read_picture(&path)?;
    let picture = grey_square(&rgba, width, height, side)?;
    let sum: f32 = votes[..CLASSES].iter().sum();
    let mut votes: Vec<f32> = votes[..CLASSES].iter().map(|vote| vote / sum).collect();
    if best(&votes) != label {
        // Ties: a trifle keeps the label the arg max of the distribution.
        votes[label] += 1e-4;
    }
    Ok(Some(Example { sample: Sample { picture, votes }, label }))
}

/// Grey levels `[side * side]` of a picture's centre square.
pub fn grey_square(rgba: &[u8], width: usize, height: usize, side: usize) -> Result<Vec<u8>> {
    Ok(resize_and_crop(Picture::new(rgba, width, height)?, side, 1))
}
