//! `cargo pkg classify`: pictures -> predictions, as JSON or as a table.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use cliper::cpu::CpuEngine;
use cliper::face::{DetectorOptions, FaceDetector};
use cliper::preprocess::Picture;
use cliper::session::Session;
use cliper::{FaceState, PicturePrediction, Prediction};
use serde::Serialize;

use crate::files::{read_bundle, read_picture};
use crate::{face, project};

#[derive(Args)]
pub struct Options {
    /// Pictures of a face, cropped to it; any pictures with --face
    #[arg(required = true)]
    pictures: Vec<PathBuf>,
    /// Folder of a bundle; the built-in one by default
    #[arg(long)]
    bundle: Option<PathBuf>,
    /// Find the faces first, and look at the upright square around each
    #[arg(long)]
    face: bool,
    /// With --face: 2 and more find smaller faces, in more time
    #[arg(long, default_value_t = 1, requires = "face")]
    zoom: usize,
    /// Print JSON: an array of { path, prediction }, with --face of { path, state, faces }
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Classified {
    path: String,
    #[serde(flatten)]
    answer: Answer,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Whole { prediction: Prediction },
    Faces(PicturePrediction),
}

pub fn run(options: &Options) -> Result<()> {
    let mut session = open(options.bundle.as_ref())?;
    let mut detector = options.face.then(|| open_detector(options.zoom)).transpose()?;
    let mut classified = Vec::new();
    for path in &options.pictures {
        let answer = answer(&mut session, detector.as_mut(), path)?;
        classified.push(Classified { path: path.display().to_string(), answer });
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&classified)?);
        return Ok(());
    }
    for Classified { path, answer } in &classified {
        match answer {
            Answer::Whole { prediction } => print(path, prediction),
            Answer::Faces(PicturePrediction { state: FaceState::NoFace, .. }) => println!("{path}: no face"),
            Answer::Faces(PicturePrediction { faces, .. }) => {
                for found in faces {
                    let place = found.face.r#box;
                    let [x, y, width, height] = [place.x, place.y, place.width, place.height].map(f32::round);
                    print(&format!("{path}, face at {x}, {y}, {width} x {height}"), &found.prediction);
                }
            }
        }
    }
    Ok(())
}

fn open_detector(zoom: usize) -> Result<FaceDetector> {
    let mut detector = face::built_in()?;
    detector.set_options(DetectorOptions { zoom, ..DetectorOptions::default() })?;
    Ok(detector)
}

fn answer(session: &mut Session<CpuEngine>, detector: Option<&mut FaceDetector>, path: &Path) -> Result<Answer> {
    let (rgba, width, height) = read_picture(path)?;
    let picture = Picture::new(&rgba, width, height)?;
    Ok(match detector {
        Some(detector) => Answer::Faces(pollster::block_on(session.recognize_faces(detector, picture))?),
        None => Answer::Whole { prediction: pollster::block_on(session.recognize(picture))? },
    })
}

fn print(name: &str, prediction: &Prediction) {
    let doubt = if prediction.uncertain { ", uncertain" } else { "" };
    println!("{name}: {} ({:.1} %{doubt})", prediction.top.name, prediction.top.score * 100.0);
    for expression in &prediction.expressions {
        let best = expression.descriptors.first();
        let why = best.map_or(String::new(), |best| format!("{:+.3} {}", best.similarity, best.text));
        println!("  {:10} {:5.1} %  {why}", expression.name, expression.score * 100.0);
    }
}

/// A session of a bundle on the lean CPU encoder.
pub fn open(bundle: Option<&PathBuf>) -> Result<Session<CpuEngine>> {
    let folder = project::bundle_folder(bundle)?;
    let mut bundle = read_bundle(&folder)?;
    let engine = CpuEngine::from_bundle(&mut bundle)?;
    Ok(pollster::block_on(Session::open(engine, bundle))?)
}
