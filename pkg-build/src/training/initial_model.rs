//! What a run starts from: the encoder of a bundle, of an imported checkpoint or of another run.

use std::path::Path;

use anyhow::{Result, bail, ensure};
use cliper::config::{EncoderConfig, PreprocessConfig};
use cliper::model::descriptors::Descriptors;
use cliper::model::learned::Learned;
use cliper::tensors::Weights;
use cliper::train::TrainConfig;
use serde_json::json;

use crate::bundles::{read_bundle, read_descriptors, read_learned};
use crate::packaging::checkpoints::{self, Backbone};
use crate::training::run_folder::{self, Provenance, Run};

/// An encoder that was trained before, with the descriptors it was trained against.
pub struct InitialModel {
    pub encoder: EncoderConfig,
    pub preprocess: PreprocessConfig,
    /// As deployed.
    pub weights: Weights,
    /// Of a run of the image encoder: how it was trained, and its weights with their batch norms, to go on from.
    pub trained: Option<(TrainConfig, Weights)>,
    /// Names the joint space.
    pub backbone: String,
    /// None for an imported checkpoint.
    pub descriptors: Option<(Descriptors, Option<Learned>)>,
    /// Names of a bundle's label sets.
    pub labels: Vec<String>,
    pub origin: Provenance,
}

impl InitialModel {
    /// The same with a wider stem.
    pub fn widen(mut self, wider: &EncoderConfig, seed: u64) -> Result<Self> {
        let widen = |weights: &Weights| cliper::train::widen(weights, &self.encoder, wider, seed);
        self.weights = widen(&self.weights)?;
        if let Some((_, weights)) = &mut self.trained {
            *weights = widen(weights)?;
        }
        self.origin.name += ", widened";
        self.encoder = wider.clone();
        Ok(self)
    }

    /// Reads a bundle, a folder that `cargo pkg import` wrote, or a run.
    pub fn read(path: &Path) -> Result<Self> {
        if path.join("model.json").is_file() {
            let bundle = read_bundle(path)?;
            let manifest = bundle.manifest;
            return Ok(Self {
                encoder: manifest.encoder,
                preprocess: manifest.preprocess,
                weights: bundle.weights,
                trained: None,
                backbone: manifest.backbone,
                descriptors: Some((bundle.descriptors, manifest.learned)),
                labels: manifest.labels.iter().map(|set| set.name.clone()).collect(),
                origin: Provenance { name: manifest.name, licence: manifest.licence, provenance: manifest.provenance },
            });
        }
        if path.join(checkpoints::BACKBONE).is_file() {
            let imported = Backbone::read(path)?;
            return Ok(Self {
                weights: checkpoints::open(path, None, None)?.read_encoder()?,
                trained: None,
                encoder: imported.encoder,
                preprocess: imported.preprocess,
                backbone: imported.backbone,
                descriptors: None,
                labels: Vec::new(),
                origin: Provenance {
                    name: imported.name,
                    licence: imported.licence,
                    provenance: json!({ "imported": imported.provenance }),
                },
            });
        }
        if !path.join(run_folder::STATE).is_file() {
            bail!(
                "{} is nothing to start from; name a bundle (it holds model.json), a folder that `cargo pkg import` wrote \
                 (backbone.json) or a run (state.json)",
                path.display()
            );
        }
        let run = Run::read(path)?;
        let file = path.join(run_folder::DESCRIPTORS);
        ensure!(file.is_file(), "{} has no descriptors of its own; pack it and start from the bundle", path.display());
        let (descriptors, _) = read_descriptors(&file)?;
        Ok(Self {
            weights: run_folder::read_weights(path)?,
            trained: run_folder::read_trained(path, run.stage)?,
            descriptors: Some((descriptors, read_learned(&file)?)),
            labels: Vec::new(),
            origin: Provenance::of(&run)?,
            encoder: run.encoder,
            preprocess: run.preprocess,
            backbone: run.backbone,
        })
    }
}
