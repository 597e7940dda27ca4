//! Run folders: what training of each stage leaves on disk, and what other commands read of it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cliper::config::{EncoderConfig, PreprocessConfig};
use cliper::model::descriptors::Descriptors;
use cliper::tensors::{Precision, Weights};
use cliper::train::{
    Distilled, Earlier, EncoderCheckpoint, EpochRecord, MetdCheckpoint, OffsetConfig, RunState, Schedule, TrainConfig,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::bundles;
use crate::files;
use crate::packaging::card;
use crate::training::fit;
use crate::training::provenance::{command, plain, preset};
use crate::training::records::{read_records, write_records};
use crate::training::settings::TrainedOn;
use crate::training::temporal;

/// Settings and history of a run.
pub const STATE: &str = "state.json";
/// What a second set's labels were learned against.
pub const AUXILIARY: &str = "auxiliary.safetensors";
/// Movements as answers of their own: directions, and the curves from similarities to scores.
pub const MOVEMENTS: &str = "movements.safetensors";
/// How faces' embeddings and movements go together.
const MOMENTS: &str = "moments.safetensors";
/// Metadata entry of that file that holds the movements' names.
pub const NAMES: &str = "names";
/// What its encoder is scored against, as `cargo pkg describe` writes it; a METD run learns it.
pub const DESCRIPTORS: &str = "descriptors.safetensors";
/// The encoder as it is deployed: of the best epoch, or the frozen one of a METD run.
const WEIGHTS: &str = "best.safetensors";
const AVERAGED: &str = "averaged.safetensors";
/// Where the first weights came from; absent where they were seeded.
const ORIGIN: &str = "origin.json";
/// In its place where `pkg-build/training-gpu` trained: a folder with state and origin of the run that it started from.
const START: &str = "start";
/// What a packed model's provenance says of how good it is.
const FIGURES: [&str; 3] = ["validation", "cardData", "weights"];

/// What is trained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TrainingStage {
    /// CLIPER's first: learned descriptors (METD), everything else frozen
    Metd,
    /// CLIPER's second: the image encoder against constant descriptors
    #[default]
    Image,
    /// A temporal head on the embeddings of a bundle's encoder
    Temporal,
}

impl TrainingStage {
    /// Of a run's folder; none where there is no run.
    pub fn of(folder: &Path) -> Result<Option<Self>> {
        #[derive(Deserialize)]
        struct Head {
            #[serde(default)]
            stage: TrainingStage,
        }
        let path = folder.join(STATE);
        if folder.join(temporal::STATE).is_dir() {
            return Ok(Some(Self::Temporal));
        }
        if !path.is_file() {
            return Ok(None);
        }
        let head: Head = serde_json::from_slice(&files::read(&path)?).with_context(|| foreign(folder))?;
        Ok(Some(head.stage))
    }

    /// As the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Metd => "metd",
            Self::Image => "image",
            Self::Temporal => "temporal",
        }
    }
}

/// state.json of a METD run that learns offsets of texts from face shapes.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OffsetState {
    pub stage: TrainingStage,
    pub encoder: EncoderConfig,
    pub preprocess: PreprocessConfig,
    /// Names the joint space.
    pub backbone: String,
    /// Fitted on held-back pictures.
    pub temperature: f32,
    #[serde(rename = "offsets")]
    pub config: OffsetConfig,
    #[serde(flatten)]
    pub run: RunState,
}

/// state.json of a METD run: beside its own state, the frozen encoder's sizes.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetdState {
    pub stage: TrainingStage,
    pub encoder: EncoderConfig,
    pub preprocess: PreprocessConfig,
    #[serde(flatten)]
    pub checkpoint: MetdCheckpoint,
}

/// Where the weights of a run come from: kept with the run, and in the bundle packed from it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// Of the bundle or the backbone, and whether it was trained since.
    pub name: String,
    /// Terms of the weights.
    pub licence: String,
    /// What it says of itself.
    pub provenance: Value,
}

impl Provenance {
    /// A run, as what the next one starts from.
    pub fn of(run: &Run) -> Result<Self> {
        let before = run.origin.as_ref().map_or("seeded weights", |origin| &origin.name);
        let since = if run.is_distilled() { "distilled" } else { "trained" };
        Ok(Self { name: format!("{before}, {since}"), licence: run.licence(), provenance: run.provenance()? })
    }
}

/// A run of any stage, as far as others need it.
pub struct Run {
    pub stage: TrainingStage,
    pub encoder: EncoderConfig,
    pub preprocess: PreprocessConfig,
    pub backbone: String,
    /// Similarities were divided by this.
    pub temperature: f32,
    pub history: Vec<EpochRecord>,
    /// What held before the settings.
    earlier: Vec<Earlier>,
    /// What trained it, where `cargo pkg train` did not.
    distilled: Option<Distilled>,
    pub origin: Option<Provenance>,
    /// What it learned from, where the run says so.
    trained_on: Option<TrainedOn>,
    /// Every setting.
    config: Value,
    /// Epochs between restarts of the rate.
    restarts: Option<usize>,
}

impl Run {
    /// Reads a folder's state.
    pub fn read(folder: &Path) -> Result<Self> {
        let stage = TrainingStage::of(folder)?.with_context(|| foreign(folder))?;
        let trained_on = TrainedOn::read(folder)?;
        let (origin, start) = (folder.join(ORIGIN), folder.join(START));
        let origin = match (origin.is_file(), start.is_dir()) {
            (_, true) => Some(Provenance::of(&Self::read(&start)?)?),
            (true, _) => Some(serde_json::from_slice(&files::read(&origin)?).with_context(|| foreign(folder))?),
            _ => None,
        };
        Ok(match stage {
            TrainingStage::Temporal => anyhow::bail!(
                "{} holds a temporal head; put it into a bundle: cargo pkg head --head {0}/{} --output BUNDLE",
                folder.display(),
                temporal::BEST
            ),
            TrainingStage::Metd if let Some(state) = read_offsets(folder)? => Self {
                stage,
                encoder: state.encoder,
                preprocess: state.preprocess,
                backbone: state.backbone,
                temperature: state.temperature,
                history: state.run.history,
                earlier: Vec::new(),
                distilled: None,
                origin,
                trained_on,
                config: plain(&state.config)?,
                restarts: None,
            },
            TrainingStage::Metd => {
                let MetdState { encoder, preprocess, checkpoint, .. } = read_metd(folder)?;
                let config = &checkpoint.config;
                Self {
                    stage,
                    encoder,
                    preprocess,
                    backbone: checkpoint.backbone,
                    temperature: config.temperature,
                    history: checkpoint.run.history,
                    earlier: Vec::new(),
                    distilled: None,
                    origin,
                    trained_on,
                    config: plain(config)?,
                    restarts: None,
                }
            }
            TrainingStage::Image => {
                let EncoderCheckpoint { encoder, config, backbone, run, earlier, distilled, .. } = read_state(folder)?;
                let restarts = match config.schedule {
                    Schedule::Restarts { epochs } => Some(epochs),
                    Schedule::WarmCosine => None,
                };
                Self {
                    stage,
                    encoder,
                    preprocess: config.preprocess.clone(),
                    backbone,
                    temperature: config.temperature,
                    history: run.history,
                    earlier,
                    distilled,
                    origin,
                    trained_on,
                    config: plain(&config)?,
                    restarts,
                }
            }
        })
    }

    /// Whose last epoch is the model, not the best one on the validation part.
    pub fn is_distilled(&self) -> bool {
        self.distilled.is_some()
    }

    /// Terms of the weights.
    pub fn licence(&self) -> String {
        self.origin.as_ref().map_or(card::LICENCE.into(), |origin| origin.licence.clone())
    }

    /// How it came about: settings, every epoch, the chosen one, the command, and the same of what it started from.
    pub fn provenance(&self) -> Result<Value> {
        let follows = self.config.get("largestShare").is_some();
        let chosen = if self.is_distilled() || follows { self.history.last() } else { fit::chosen(&self.history) };
        let mut options = match (&self.origin, preset(&self.encoder)) {
            (Some(_), _) => " --from START".to_string(),
            (None, Some(preset)) => format!(" --preset {preset}"),
            (None, None) => String::new(),
        };
        if self.config.get("auxiliaryWeight").is_some() {
            options += " --auxiliary fer2013:FILE";
        }
        if self.config.get("teacherWeight").is_some() {
            options += " --teacher RUN";
        }
        if self.config.get("largestShare").is_some() {
            options += " --shapes SHAPES";
        }
        if let Some(epochs) = self.restarts {
            options += &format!(" --restarts {epochs}");
        }
        if let Some(TrainedOn { limit: Some(limit), .. }) = &self.trained_on {
            options += &format!(" --limit {limit}");
        }
        let mut provenance = json!({
            "training": {
                "stage": self.stage,
                "config": self.config,
                "epochs": self.history,
                "chosen": chosen.map(|epoch| epoch.epoch),
            },
            "command": command(self.stage.name(), &options, &self.config)?,
        });
        if let Some(trained_on) = &self.trained_on {
            provenance["training"]["data"] = json!(trained_on);
        }
        if let Some(Distilled { command, teachers }) = &self.distilled {
            provenance["command"] = json!(command);
            provenance["training"]["teachers"] = json!(teachers);
        }
        if !self.earlier.is_empty() {
            provenance["training"]["earlier"] = json!(self.earlier);
        }
        if let Some(origin) = &self.origin {
            provenance["start"] = json!(origin);
            // How it was made; its figures are another model's.
            if let Some(before) = provenance["start"]["provenance"].as_object_mut() {
                FIGURES.iter().for_each(|name| drop(before.remove(*name)));
            }
        }
        Ok(provenance)
    }
}

/// A run of the image encoder, with what it needs to go on.
pub fn read_checkpoint(folder: &Path) -> Result<EncoderCheckpoint> {
    let mut state: EncoderCheckpoint = read_state(folder)?;
    ensure!(
        state.distilled.is_none(),
        "{} was distilled, and can't be gone on with; name a new folder and start --from this one",
        folder.display()
    );
    read_records(folder, &mut state.run)?;
    state.averaged = files::read(&folder.join(AVERAGED))?;
    Ok(state)
}

/// A METD run, with what it needs to go on.
pub fn read_metd(folder: &Path) -> Result<MetdState> {
    let mut state: MetdState = read_state(folder)?;
    read_records(folder, &mut state.checkpoint.run)?;
    Ok(state)
}

/// A METD run that learns offsets, with what it needs to go on; none where the folder holds no run, or one that learns tokens.
pub fn read_offsets(folder: &Path) -> Result<Option<OffsetState>> {
    if TrainingStage::of(folder)? != Some(TrainingStage::Metd) {
        return Ok(None);
    }
    let state: Value = read_state(folder)?;
    if state.get("offsets").is_none() {
        return Ok(None);
    }
    let mut state: OffsetState = read_state(folder)?;
    read_records(folder, &mut state.run)?;
    Ok(Some(state))
}

/// The encoder of a run's best epoch.
pub fn read_weights(folder: &Path) -> Result<Weights> {
    let mut weights = Weights::default();
    weights.read(WEIGHTS, &files::read(&folder.join(WEIGHTS))?)?;
    Ok(weights)
}

/// How a run of the image encoder's stage is trained, and its averaged weights before they are deployed.
pub fn read_trained(folder: &Path, stage: TrainingStage) -> Result<Option<(TrainConfig, Weights)>> {
    if stage != TrainingStage::Image {
        return Ok(None);
    }
    let state: EncoderCheckpoint = read_state(folder)?;
    let mut weights = Weights::default();
    weights.read(AVERAGED, &files::read(&folder.join(AVERAGED))?)?;
    Ok(Some((state.config, weights)))
}

/// What a second set's labels were learned against, where they were.
pub fn read_auxiliary(folder: &Path) -> Result<Option<Descriptors>> {
    let file = folder.join(AUXILIARY);
    if !file.is_file() {
        return Ok(None);
    }
    Ok(Some(bundles::read_descriptors(&file)?.0))
}

fn read_state<T: for<'a> Deserialize<'a>>(folder: &Path) -> Result<T> {
    serde_json::from_slice(&files::read(&folder.join(STATE))?).with_context(|| foreign(folder))
}

fn foreign(folder: &Path) -> String {
    format!("{} is no run of `cargo pkg train`", folder.display())
}

/// Writes a new state of a run aside, then puts it in the old one's place.
pub fn write(place: &Path, fill: impl FnOnce(&Folder) -> Result<()>) -> Result<()> {
    files::write_folder(place, STATE, |new| fill(&Folder { place, new }))
}

/// A state of a run while it is written.
pub struct Folder<'a> {
    place: &'a Path,
    new: &'a Path,
}

impl Folder<'_> {
    /// Where descriptors go.
    pub fn descriptors(&self) -> PathBuf {
        self.new.join(DESCRIPTORS)
    }

    /// Where those of a second set's labels go.
    pub fn auxiliary(&self) -> PathBuf {
        self.new.join(AUXILIARY)
    }

    /// Where movements go.
    pub fn movements(&self) -> PathBuf {
        self.new.join(MOVEMENTS)
    }

    /// Where the faces' moments go.
    pub fn moments(&self) -> PathBuf {
        self.new.join(MOMENTS)
    }

    /// Adds where the first weights came from.
    pub fn origin(&self, origin: &Provenance) -> Result<()> {
        files::write(&self.new.join(ORIGIN), serde_json::to_string_pretty(origin)?.as_bytes())
    }

    /// Keeps it from the state before, where there is one.
    pub fn keep_origin(&self) -> Result<()> {
        if self.place.join(ORIGIN).is_file() { self.keep(ORIGIN) } else { Ok(()) }
    }

    /// Adds what it learns from.
    pub fn trained_on(&self, trained_on: &TrainedOn) -> Result<()> {
        trained_on.write(self.new)
    }

    /// Adds the deployed weights: new ones, or those of the state before.
    pub fn weights(&self, weights: Option<&Weights>) -> Result<()> {
        match weights {
            Some(weights) => files::write(&self.new.join(WEIGHTS), &weights.write(Precision::F32)?),
            None => self.keep(WEIGHTS),
        }
    }

    /// Keeps a file of the state before.
    pub fn keep(&self, name: &str) -> Result<()> {
        files::write(&self.new.join(name), &files::read(&self.place.join(name))?)
    }

    /// Adds a state of the image encoder's stage.
    pub fn image(&self, state: &EncoderCheckpoint) -> Result<()> {
        files::write(&self.new.join(AVERAGED), &state.averaged)?;
        self.state(state, &state.run)
    }

    /// Adds a state of METD.
    pub fn metd(&self, state: &MetdState) -> Result<()> {
        self.state(state, &state.checkpoint.run)
    }

    /// Adds a state of METD that learns offsets.
    pub fn offsets(&self, state: &OffsetState) -> Result<()> {
        self.state(state, &state.run)
    }

    fn state(&self, state: &impl Serialize, run: &RunState) -> Result<()> {
        write_records(self.new, run)?;
        files::write(&self.new.join(STATE), serde_json::to_string_pretty(state)?.as_bytes())
    }
}
