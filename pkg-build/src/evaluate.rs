//! `cargo pkg evaluate`: a bundle against a labelled data set.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use cliper::cpu::CpuEncoder;

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
    /// File with one picture name a line to leave out, such as pictures that also stand in the training part
    #[arg(long)]
    without: Option<PathBuf>,
    /// Print JSON: war, uar, count, expressions, confusion, recalls
    #[arg(long)]
    json: bool,
}

pub fn run(options: &Options) -> Result<()> {
    let folder = match &options.bundle {
        Some(folder) => folder.clone(),
        None => project::built_in_bundle()?,
    };
    let bundle = read_bundle(&folder)?;
    let encoder = &bundle.manifest.encoder;
    let (mut examples, report) = options.data.read(options.part, encoder.side)?;
    report.print();
    if let Some(list) = &options.without {
        let names = String::from_utf8(crate::files::read(list)?)?;
        let names: std::collections::BTreeSet<&str> = names.lines().map(str::trim).collect();
        let before = examples.len();
        examples.retain(|example| {
            !example.path.file_name().is_some_and(|name| names.contains(name.to_string_lossy().as_ref()))
        });
        eprintln!("{} pictures left out by name", before - examples.len());
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
    for ((name, recall), row) in figures.expressions.iter().zip(&figures.recalls).zip(&figures.confusion) {
        let recall = recall.map_or("   -  ".into(), |recall| format!("{:5.1} %", recall * 100.0));
        let row: Vec<String> = row.iter().map(|count| format!("{count:5}")).collect();
        println!("{name:10} {recall} {}", row.join(""));
    }
    Ok(())
}
