//! `cargo pkg linear-probe`: what a linear head on a bundle's frozen encoder makes of another set's labels.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use cliper::engine::burn::TrainingCpu;
use cliper::metrics::Evaluation;
use cliper::train::{Features, LinearHead};

use crate::data::split::pictures;
use crate::data::{DataSet, Example, Square};
use crate::evaluation::measure::leave_out_seen;
use crate::project;
use crate::training::initial_model::InitialModel;
use crate::training::metd;

#[derive(Args)]
pub struct Options {
    /// ferplus:FOLDER or fer2013:FILE; the head learns the training part and is measured once on the validation part
    #[arg(long)]
    data: DataSet,
    /// Folder of a bundle; the built-in one by default
    #[arg(long)]
    bundle: Option<PathBuf>,
    /// Leave out pictures that also stand, pixel for pixel, in the training part
    #[arg(long)]
    deduplicated: bool,
    /// Learn from the first N pictures only
    #[arg(long)]
    limit: Option<usize>,
    #[arg(long, default_value_t = 20)]
    epochs: usize,
    #[arg(long, default_value_t = 0.01)]
    rate: f64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON: war, uar, count, expressions, confusion, recalls, calibrationError
    #[arg(long)]
    json: bool,
}

pub fn run(options: &Options) -> Result<()> {
    ensure!(options.data.is_in_memory(), "linear-probe reads ferplus and fer2013, not {}", options.data.name());
    ensure!(options.epochs > 0 && options.rate > 0.0, "--epochs and --rate must be positive");
    let start = InitialModel::read(&project::bundle_folder(options.bundle.as_ref())?)?;
    let (training, mut valid) = pictures(&options.data, Square::of(&start.encoder, &start.preprocess), options.limit)?;
    if options.deduplicated {
        valid = leave_out_seen(&options.data, valid, Square::of(&start.encoder, &start.preprocess))?;
    }
    let names = options.data.expressions();
    let (features, choices) = (features(&start, &training, names.len())?, features(&start, &valid, names.len())?);
    let mut head = LinearHead::<TrainingCpu>::new(features.width(), names.len(), options.seed, &Default::default());
    for epoch in 0..options.epochs {
        // Down to a tenth, so that the last epochs settle: nothing is chosen on the validation part.
        let rate = options.rate * 0.1f64.powf(epoch as f64 / options.epochs as f64);
        let loss = head.epoch(&features, 128, rate);
        eprintln!("epoch {}/{}: loss {loss:.4}", epoch + 1, options.epochs);
    }
    let truth: Vec<usize> = valid.iter().map(|example| example.label).collect();
    let names = names.iter().map(|&name| name.into()).collect();
    let found = Evaluation::new(names, &head.scores(&choices)?, &truth);
    if options.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        println!("{} pictures: WAR {:.2} %, UAR {:.2} %", found.count, found.war * 100.0, found.uar * 100.0);
        print!("{}", found.table());
    }
    Ok(())
}

/// Embeddings with the votes for the set's own classes.
fn features(start: &InitialModel, examples: &[Example], classes: usize) -> Result<Features> {
    let votes = examples.iter().map(|example| example.sample.votes[..classes].to_vec()).collect();
    Ok(Features::new(&metd::encode(start, examples)?, votes)?)
}
