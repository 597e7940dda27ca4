//! `cargo pkg evaluate`: a bundle against a labelled data set.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;
use cliper::cpu::CpuEncoder;
use cliper::train::plain_pixels;

use crate::dataset::{DataSet, Example, Part};
use crate::files::read_bundle;
use crate::project;
use crate::train::{evaluation, similarities};

#[derive(Args)]
pub struct Options {
    /// ferplus:FOLDER, in FER+'s own layout
    #[arg(long)]
    data: DataSet,
    /// Which part
    #[arg(long, value_enum, default_value = "valid")]
    part: Part,
    /// Folder of a bundle; the built-in one by default
    #[arg(long)]
    bundle: Option<PathBuf>,
    /// Leave out pictures that also stand, pixel for pixel, in the training part
    #[arg(long)]
    unseen: bool,
    /// Print JSON: war, uar, count, expressions, confusion, recalls
    #[arg(long)]
    json: bool,
}

pub fn run(options: &Options) -> Result<()> {
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
    let pixels = |example: &Example| plain_pixels(&example.sample, &bundle.manifest.preprocess);
    let rows = similarities(load, pixels, &bundle.descriptors, &examples)?;
    eprintln!("{:.2} ms a picture over all cores", start.elapsed().as_secs_f64() * 1e3 / examples.len() as f64);
    let figures = evaluation(&bundle.descriptors, &rows, &examples, bundle.manifest.calibration.temperature);
    if options.json {
        println!("{}", serde_json::to_string_pretty(&figures)?);
        return Ok(());
    }
    println!("{} pictures: WAR {:.2} %, UAR {:.2} %", figures.count, figures.war * 100.0, figures.uar * 100.0);
    println!("calibration error {:.2} %", figures.calibration_error * 100.0);
    for ((name, recall), row) in figures.expressions.iter().zip(&figures.recalls).zip(&figures.confusion) {
        let recall = recall.map_or("   -  ".into(), |recall| format!("{:5.1} %", recall * 100.0));
        let row: Vec<String> = row.iter().map(|count| format!("{count:5}")).collect();
        println!("{name:10} {recall} {}", row.join(""));
    }
    Ok(())
}
