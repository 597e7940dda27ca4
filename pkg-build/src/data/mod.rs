//! Labelled data sets named on the command line as `FORMAT:FOLDER`, one file a layout.
//!
//! A set lists clips with their expressions by our names; a picture is a clip of one frame. FER+, which carries votes,
//! and FER2013's table, which holds its pictures, are read into memory.

mod afew;
mod affectnet;
pub mod clips;
pub mod descriptor_texts;
mod dfew;
pub mod embeddings;
mod expression;
pub mod face_landmarker;
pub mod face_shapes;
mod fer2013;
mod ferplus;
mod ferv39k;
mod folders;
mod mafw;
mod original;
mod rafdb;
pub mod split;

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use cliper::config::{EncoderConfig, PreprocessConfig, ResizeConfig};
use cliper::preprocess::{Picture, resize_and_crop};
use cliper::train::{Sample, plain_pixels};

use crate::files::read_text;
use crate::media::pictures::{picture_files, read_picture};

pub use expression::expression;
pub use ferplus::{CLASSES, VOTES};
pub use original::picture_key;

/// The layouts that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// FER+: `FER2013{Train,Valid,Test}/label.csv`.
    #[value(name = "ferplus")]
    FerPlus,
    /// FER2013: `fer2013.csv`, a file and no folder, with the challenge's own 7 labels.
    #[value(name = "fer2013")]
    Fer2013,
    /// RAF-DB: `list_patition_label.txt`, 7 expressions.
    #[value(name = "rafdb")]
    RafDb,
    /// AffectNet without contempt.
    #[value(name = "affectnet7")]
    AffectNet7,
    /// AffectNet: `{train,val}_set/{images,annotations}`, 8 expressions.
    #[value(name = "affectnet8")]
    AffectNet8,
    /// DFEW: `EmoLabel_DataSplit`, `Clip/clip_224x224`, 5 folds.
    #[value(name = "dfew")]
    Dfew,
    /// FERV39k: lists of `path frames label`.
    #[value(name = "ferv39k")]
    Ferv39k,
    /// MAFW: `set_{1..5}/{train,test}.txt`, 11 expressions.
    #[value(name = "mafw")]
    Mafw,
    /// AFEW: `{Train,Val}_AFEW/EXPRESSION/CLIP/FRAMES`.
    #[value(name = "afew")]
    Afew,
    /// `{train,valid,test}/CLASS/*.png`, folders named by expressions.
    #[value(name = "folders")]
    Folders,
}

/// A data set: its layout and where it lies.
#[derive(Debug, Clone)]
pub struct DataSet {
    format: Format,
    folder: PathBuf,
}

impl FromStr for DataSet {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let named = text.split_once(':').filter(|(_, folder)| !folder.is_empty());
        let found = named.and_then(|(format, folder)| Some((Format::from_str(format, false).ok()?, folder)));
        match found {
            Some((format, folder)) => Ok(Self { format, folder: folder.into() }),
            None => {
                let forms =
                    Format::value_variants().iter().map(|&format| Self { format, folder: PathBuf::new() }.form());
                Err(format!("give the data as {}", forms.collect::<Vec<_>>().join(", ")))
            }
        }
    }
}

/// Damaged rows that are named one by one.
const NAMED: usize = 100;

/// Which part of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// To train on.
    Train,
    /// To choose by.
    Valid,
    /// To report.
    Test,
}

/// The squares that pictures are brought to.
#[derive(Debug, Clone, Copy)]
pub struct Square {
    side: usize,
    resize: ResizeConfig,
}

impl Square {
    /// What an encoder takes, made as its own preprocessing makes it.
    pub fn of(encoder: &EncoderConfig, preprocess: &PreprocessConfig) -> Self {
        Self { side: encoder.side, resize: preprocess.resize }
    }

    /// CLIP's own square of this side.
    pub fn plain(side: usize) -> Self {
        Self { side, resize: ResizeConfig::default() }
    }

    /// Grey levels `[side * side]` of a picture.
    fn grey(&self, rgba: &[u8], width: usize, height: usize) -> Result<Vec<u8>> {
        Ok(resize_and_crop(Picture::new(rgba, width, height)?, self.side, 1, &self.resize))
    }
}

/// One picture that carries one of the data set's expressions.
#[derive(Debug, Clone)]
pub struct Example {
    /// Grey levels and the distribution of the votes over the expressions.
    pub sample: Sample,
    /// Index of the expression with most votes, in [`DataSet::expressions`].
    pub label: usize,
    /// How many of the votes are for it, as a share.
    pub majority: Majority,
    /// How many in number; none where the set has a label instead.
    pub votes: Option<u8>,
    /// What the picture is known by ([`picture_key`]).
    pub picture: String,
}

/// A label's share of the votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Majority {
    /// As many as something else has.
    Tied,
    /// More than anything else has.
    Most,
    /// More than half by FER+'s own rule, or a set's label instead of votes.
    Half,
}

impl Example {
    /// What an encoder takes, an RGB one too.
    pub fn pixels(&self, config: &PreprocessConfig) -> Vec<f32> {
        plain_pixels(&self.sample, config)
    }
}

/// One clip with its expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    /// Where it comes from, for messages.
    pub name: String,
    /// Its frames' files in order; one for a picture.
    pub frames: Vec<PathBuf>,
    /// Our name of its expression.
    pub expression: &'static str,
}

/// What a part of a set holds.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The set's expressions, in its own order.
    pub expressions: Vec<&'static str>,
    /// The clips that can be used, as far as their listing tells.
    pub clips: Vec<Labelled>,
    /// What was left out.
    pub report: Report,
}

/// Largest share of a set's rows that may be damaged for the others to be measured.
const MOST_DAMAGED: f64 = 0.1;
/// In a table of a few rows a share says nothing.
const FEW_DAMAGED: usize = 20;

/// What reading found besides examples.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Rows of the table.
    pub rows: usize,
    /// Rows that the set's own protocol leaves out.
    pub left_out: usize,
    /// Why, as the end of a sentence.
    pub because: &'static str,
    /// Rows that can't be used, each named with its reason.
    pub damaged: Vec<String>,
    /// No row says which part it is of: all of them stand for the part that was asked for.
    pub is_whole: bool,
}

impl Report {
    /// Refuses to choose by rows that may be the ones that were trained on.
    fn check(&self, part: Part, place: &Path) -> Result<()> {
        ensure!(
            !(self.is_whole && part == Part::Valid),
            "{} has no parts, so the pictures to choose by would be those that are trained on; split them into train, \
             valid and test first",
            place.display()
        );
        Ok(())
    }

    /// Refuses figures of a set of which too much can't be used: those of the rest would say little of it.
    pub fn check_damage(&self) -> Result<()> {
        let share = self.damaged.len() as f64 / self.rows.max(1) as f64;
        ensure!(
            share <= MOST_DAMAGED || self.damaged.len() <= FEW_DAMAGED,
            "{} of {} rows can't be used, such as {}; figures of the rest would say little: at most {:.0} % may be damaged",
            self.damaged.len(),
            self.rows,
            self.damaged.first().map_or("", String::as_str),
            100.0 * MOST_DAMAGED
        );
        Ok(())
    }

    /// Prints what was left out and why, on standard error.
    pub fn print(&self) {
        match self.because {
            "" => eprintln!("{} rows", self.rows),
            because => eprintln!("{} rows, {} {because}", self.rows, self.left_out),
        }
        if self.is_whole {
            eprintln!("no row says which part it is of: all are taken");
        }
        if !self.damaged.is_empty() {
            eprintln!("{} rows can't be used:", self.damaged.len());
            self.damaged.iter().take(NAMED).for_each(|reason| eprintln!("  {reason}"));
            if let Some(more) = self.damaged.len().checked_sub(NAMED).filter(|&more| more > 0) {
                eprintln!("  and {more} more");
            }
        }
    }
}

impl DataSet {
    /// Whether it is read into memory as grey pictures with labels that count as FER+'s do, rather than listed.
    pub fn is_in_memory(&self) -> bool {
        matches!(self.format, Format::FerPlus | Format::Fer2013)
    }

    /// What the labels of [`DataSet::read`] stand for, in their order.
    pub fn expressions(&self) -> &'static [&'static str] {
        match self.format {
            // All but contempt, which stands last.
            Format::Fer2013 => &VOTES[..CLASSES - 1],
            _ => &VOTES[..CLASSES],
        }
    }

    /// What to type for it, without the place where it lies.
    pub fn form(&self) -> &'static str {
        match self.format {
            Format::FerPlus => "ferplus:FOLDER",
            Format::Fer2013 => "fer2013:FILE",
            Format::RafDb => "rafdb:FOLDER",
            Format::AffectNet7 => "affectnet7:FOLDER",
            Format::AffectNet8 => "affectnet8:FOLDER",
            Format::Dfew => "dfew:FOLDER",
            Format::Ferv39k => "ferv39k:FOLDER",
            Format::Mafw => "mafw:FOLDER",
            Format::Afew => "afew:FOLDER",
            Format::Folders => "folders:FOLDER",
        }
    }

    /// Its name, for people.
    pub fn name(&self) -> &'static str {
        match self.format {
            Format::FerPlus => "FER+",
            Format::Fer2013 => "FER2013",
            Format::RafDb => "RAF-DB",
            Format::AffectNet7 | Format::AffectNet8 => "AffectNet",
            Format::Dfew => "DFEW",
            Format::Ferv39k => "FERV39k",
            Format::Mafw => "MAFW",
            Format::Afew => "AFEW",
            Format::Folders => "folders of classes",
        }
    }

    /// Folds that the set's authors evaluate over.
    pub fn folds(&self) -> usize {
        if matches!(self.format, Format::Dfew | Format::Mafw) { 5 } else { 1 }
    }

    /// Whether the set comes with a part to choose by.
    pub fn has_validation(&self) -> bool {
        match self.format {
            Format::Folders => folders::has(&self.folder, Part::Valid),
            format => matches!(format, Format::FerPlus | Format::AffectNet7 | Format::AffectNet8 | Format::Afew),
        }
    }

    /// Adds this set's labels to the pictures of another set's training part that stand in its own, pixel for pixel; where one
    /// stands in it several times, the mean of its labels. Gives the number of pictures that got one.
    pub fn label(&self, samples: &mut [Sample], square: Square) -> Result<usize> {
        let (own, report) = self.read(Part::Train, square)?;
        report.print();
        let classes = self.expressions().len();
        let mut votes: HashMap<&[u8], Vec<f32>> = HashMap::new();
        for example in &own {
            let sum = votes.entry(&example.sample.picture).or_insert_with(|| vec![0.0; classes]);
            sum.iter_mut().zip(&example.sample.votes).for_each(|(sum, vote)| *sum += vote);
        }
        let mut count = 0;
        for sample in samples {
            if let Some(found) = votes.get(sample.picture.as_slice()) {
                let all: f32 = found.iter().sum();
                sample.auxiliary = found.iter().map(|votes| votes / all).collect();
                count += 1;
            }
        }
        Ok(count)
    }

    /// Lists a part; `fold` counts from 1. Damaged rows are reported, not skipped in silence.
    pub fn list(&self, part: Part, fold: usize) -> Result<Listing> {
        ensure!((1..=self.folds()).contains(&fold), "there is no fold {fold}: the set has {}", self.folds());
        let listing = match self.format {
            Format::FerPlus => ferplus::list(&self.folder, part),
            Format::Fer2013 => bail!("fer2013:FILE holds pictures in a table; clips are listed from folders"),
            Format::RafDb => rafdb::list(&self.folder, part),
            Format::AffectNet7 => affectnet::list(&self.folder, part, 7),
            Format::AffectNet8 => affectnet::list(&self.folder, part, 8),
            Format::Dfew => dfew::list(&self.folder, part, fold),
            Format::Ferv39k => ferv39k::list(&self.folder, part),
            Format::Mafw => mafw::list(&self.folder, part, fold),
            Format::Afew => afew::list(&self.folder, part),
            Format::Folders => folders::list(&self.folder, part),
        }?;
        if listing.clips.is_empty() {
            listing.report.print();
            bail!("{} has no row that can be used", self.folder.display());
        }
        listing.report.check(part, &self.folder)?;
        Ok(listing)
    }

    /// Reads a part of pictures as grey squares. FER+ gives its votes, the others their label as the one vote.
    pub fn read(&self, part: Part, square: Square) -> Result<(Vec<Example>, Report)> {
        match self.format {
            Format::FerPlus => return ferplus::read(&self.folder, part, square),
            Format::Fer2013 => return fer2013::read(&self.folder, part, square),
            _ => {}
        }
        let Listing { clips, mut report, .. } = self.list(part, 1)?;
        let mut examples = Vec::new();
        for clip in clips {
            let label = VOTES[..CLASSES].iter().position(|name| *name == clip.expression);
            let (Some(label), [file]) = (label, clip.frames.as_slice()) else {
                bail!(
                    "{} holds clips; the image encoder is trained and packed on sets of pictures",
                    self.folder.display()
                );
            };
            let read = read_picture(file).and_then(|(rgba, width, height)| {
                Ok((square.grey(&rgba, width, height)?, picture_key(&rgba, width, height)))
            });
            match read {
                Ok((picture, key)) => {
                    let votes = (0..CLASSES).map(|class| f32::from(class == label)).collect();
                    examples.push(Example {
                        sample: Sample { picture, votes, auxiliary: Vec::new() },
                        label,
                        majority: Majority::Half,
                        votes: None,
                        picture: key,
                    });
                }
                Err(error) => report.damaged.push(format!("{}: {error:#}", clip.name)),
            }
        }
        ensure!(!examples.is_empty(), "{} has no picture that can be read", self.folder.display());
        Ok((examples, report))
    }
}

/// Lists the lines of a table; a line that fails is reported with its number.
fn list_lines(
    table: &Path,
    expressions: &[&'static str],
    mut row: impl FnMut(&str) -> Result<Option<Labelled>>,
) -> Result<Listing> {
    let text = read_text(table)?;
    let mut listing = Listing { expressions: expressions.to_vec(), ..Listing::default() };
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() {
            listing.report.rows += 1;
            match row(line) {
                Ok(Some(clip)) => listing.clips.push(clip),
                Ok(None) => {}
                Err(error) => {
                    listing.report.damaged.push(format!("line {} of {}: {error:#}", index + 1, table.display()));
                }
            }
        }
    }
    Ok(listing)
}

/// A clip whose frames are the pictures of a folder.
fn clip(folder: &Path, expression: &'static str) -> Result<Labelled> {
    Ok(Labelled { name: folder.display().to_string(), frames: picture_files(folder)?, expression })
}

/// The first of several places that is there.
fn first_of(folder: &Path, places: &[String], what: &str) -> Result<PathBuf> {
    let found = places.iter().map(|place| folder.join(place)).find(|path| path.exists());
    found.with_context(|| format!("{} holds no {what}: none of {} is there", folder.display(), places.join(", ")))
}

/// The folders in a folder, in order.
fn subfolders(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("{} can't be read", folder.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| path.is_dir()).collect())
}

/// The error for a part that a set does not have.
fn no_part<T>(set: &str, parts: &str) -> Result<T> {
    bail!("{set} has the parts {parts} only; to choose by its training part, hold some of that back")
}
