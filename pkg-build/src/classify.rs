//! `cargo pkg classify`: pictures -> predictions, as JSON or as a table.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use cliper::Prediction;
use cliper::cpu::CpuEngine;
use cliper::preprocess::Picture;
use cliper::session::Session;
use serde::Serialize;

use crate::files::{read_bundle, read_picture};
use crate::project;

#[derive(Args)]
pub struct Options {
    /// Pictures of a face, cropped to it
    #[arg(required = true)]
    pictures: Vec<PathBuf>,
    /// Folder of a bundle; the built-in one by default
    #[arg(long)]
    bundle: Option<PathBuf>,
    /// Print JSON: an array of { path, prediction }
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Classified {
    path: String,
    prediction: Prediction,
}

pub fn run(options: &Options) -> Result<()> {
    let mut session = open(options.bundle.as_ref())?;
    let mut classified = Vec::new();
    for path in &options.pictures {
        let (rgba, width, height) = read_picture(path)?;
        let prediction = pollster::block_on(session.recognize(Picture::new(&rgba, width, height)?))?;
        classified.push(Classified { path: path.display().to_string(), prediction });
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&classified)?);
        return Ok(());
    }
    for Classified { path, prediction } in &classified {
        println!("{path}: {} ({:.1} %)", prediction.top.name, prediction.top.score * 100.0);
        for expression in &prediction.expressions {
            let best = expression.descriptors.first();
            let why = best.map_or(String::new(), |best| format!("{:+.3} {}", best.similarity, best.text));
            println!("  {:10} {:5.1} %  {why}", expression.name, expression.score * 100.0);
        }
    }
    Ok(())
}

/// A session of a bundle on the lean CPU encoder.
pub fn open(bundle: Option<&PathBuf>) -> Result<Session<CpuEngine>> {
    let folder = project::bundle_folder(bundle)?;
    let mut bundle = read_bundle(&folder)?;
    let engine = CpuEngine::from_bundle(&mut bundle)?;
    Ok(pollster::block_on(Session::open(engine, bundle))?)
}
