//! `cargo pkg evaluate`: a bundle against a labelled data set.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;
use cliper::cpu::CpuEncoder;

use crate::dataset::{DataSet, Example, Format, Part};
use crate::files::read_bundle;
use crate::folds::{self, Plan};
use crate::project;
use crate::train::{evaluation, similarities};

#[derive(Args)]
pub struct Options {
    /// ferplus:FOLDER; also rafdb, affectnet7, affectnet8, dfew, ferv39k, mafw and afew, each in its own layout
    #[arg(long)]
    data: DataSet,
    /// Of a set with several folds, this one alone, counted from 1; all of them by default
    #[arg(long)]
    fold: Option<usize>,
    /// Which part
    #[arg(long, value_enum, default_value = "valid")]
    part: Part,
    /// Folder of a bundle; the built-in one by default. `{fold}` in it stands for the fold's number
    #[arg(long)]
    bundle: Option<PathBuf>,
    /// Leave out pictures that also stand, pixel for pixel, in the training part
    #[arg(long)]
    unseen: bool,
    /// Print JSON: war, uar, count, expressions, confusion, recalls; of other sets than ferplus war, uar, warSpread,
    /// uarSpread and all that, with leftOut and damaged, in folds
    #[arg(long)]
    json: bool,
}

pub fn run(options: &Options) -> Result<()> {
    if options.data.format() != Format::FerPlus {
        ensure!(!options.unseen, "--unseen compares grey pictures; it is for ferplus only");
        let Options { data, part, fold, bundle, .. } = options;
        return folds::run(&Plan { data, part: *part, fold: *fold, bundle: bundle.as_ref() }, options.json);
    }
    let folder = project::bundle_folder(options.bundle.as_ref())?;
    let bundle = read_bundle(&folder)?;
    let encoder = &bundle.manifest.encoder;
    let (mut examples, report) = options.data.read(options.part, encoder.side)?;
    report.print();
    if options.unseen {
        let (train, _) = options.data.read(Part::Train, encoder.side)?;
        let seen: HashSet<&[u8]> = train.iter().map(|example| example.sample.picture.as_slice()).collect();
        let before = examples.len();
        examples.retain(|example| !seen.contains(example.sample.picture.as_slice()));
        eprintln!("{} pictures that also stand in the training part left out", before - examples.len());
        ensure!(!examples.is_empty(), "no picture is left: all of them also stand in the training part");
    }
    let start = Instant::now();
    let load = || Ok(CpuEncoder::load(&mut bundle.weights.clone(), encoder)?);
    let pixels = |example: &Example| {
        let grey = &example.sample.picture;
        // FER+'s pictures are grey; an RGB encoder gets the level in all three channels.
        let bytes: Vec<u8> = grey.iter().flat_map(|&level| std::iter::repeat_n(level, encoder.channels)).collect();
        cliper::preprocess::normalise(&bytes, &bundle.manifest.preprocess)
    };
    let rows = similarities(load, pixels, &bundle.descriptors, &examples)?;
    eprintln!("{:.2} ms a picture over all cores", start.elapsed().as_secs_f64() * 1e3 / examples.len() as f64);
    let figures = evaluation(&bundle.descriptors, &rows, &examples, bundle.manifest.calibration.temperature);
    if options.json {
        println!("{}", serde_json::to_string_pretty(&figures)?);
        return Ok(());
    }
    println!("{} pictures: WAR {:.2} %, UAR {:.2} %", figures.count, figures.war * 100.0, figures.uar * 100.0);
    println!("calibration error {:.2} %", figures.calibration_error * 100.0);
    print!("{}", figures.table());
    Ok(())
}
