//! What `cargo pkg train` does: its stages, the run that each leaves, and the epoch loop that all share.

pub mod encoder;
pub mod fit;
pub mod initial_model;
pub mod metd;
pub mod offsets;
pub mod options;
pub mod provenance;
mod records;
pub mod run_folder;
mod settings;
pub mod temporal;
pub mod tower;

use anyhow::{Result, ensure};
use clap::{Args, Subcommand};

use crate::data::{CLASSES, VOTES};
use crate::files;
use options::{Common, ImageOptions, MetdOptions, TemporalOptions};
use run_folder::TrainingStage;

#[derive(Args)]
pub struct Options {
    #[command(subcommand)]
    stage: Stage,
}

/// What is trained. Each goes on where it stopped.
#[derive(Subcommand)]
enum Stage {
    /// CLIPER's first: descriptors (METD), everything else frozen; with --shapes they follow the movements that they name
    Metd(Box<MetdOptions>),
    /// CLIPER's second: the image encoder against constant descriptors
    Image(Box<ImageOptions>),
    /// A temporal head on the embeddings of a bundle's encoder
    Temporal(Box<TemporalOptions>),
}

impl Stage {
    fn common(&self) -> &Common {
        match self {
            Self::Metd(options) => &options.common,
            Self::Image(options) => &options.common,
            Self::Temporal(options) => &options.common,
        }
    }
}

pub fn run(options: &Options) -> Result<()> {
    let _lock = settings::Lock::take(&options.stage.common().checkpoint)?;
    match &options.stage {
        Stage::Metd(options) => {
            check(&options.common, TrainingStage::Metd)?;
            match &options.shapes {
                Some(shapes) => offsets::run(options, shapes),
                None => metd::run(options),
            }
        }
        Stage::Image(options) => {
            check(&options.common, TrainingStage::Image)?;
            encoder::run(options)
        }
        Stage::Temporal(options) => {
            check(&options.common, TrainingStage::Temporal)?;
            temporal::run(options)
        }
    }
}

/// Refuses a set without votes, and a run of another stage.
fn check(common: &Common, stage: TrainingStage) -> Result<()> {
    let Common { data, checkpoint, .. } = common;
    ensure!(
        stage == TrainingStage::Temporal || data.expressions() == &VOTES[..CLASSES],
        "{} has no FER+ votes to train on; give ferplus:FOLDER",
        data.name()
    );
    files::recover_folder(checkpoint)?;
    if stage != TrainingStage::Temporal {
        files::check_place(checkpoint, run_folder::STATE)?;
    }
    if let Some(found) = TrainingStage::of(checkpoint)? {
        ensure!(
            found == stage,
            "{} holds a run of `train {}`; name a new folder for `train {}`{}",
            checkpoint.display(),
            found.name(),
            stage.name(),
            if stage == TrainingStage::Image { " and start --from that run" } else { "" }
        );
    }
    Ok(())
}
