//! The text tower of a joint space, as METD trains through it.

use std::path::Path;

use anyhow::{Result, bail, ensure};
use cliper::engine::burn::TrainingCpu;
use cliper::engine::burn::text::{ClipTexts, SentenceEncoder};
use cliper::train::{Prompt, TextTower};
use serde_json::Value;

use crate::files;
use crate::packaging::{checkpoints, sentence_encoder};

/// A text tower with its tokenizer.
pub enum Tower {
    Clip(Box<ClipTexts<TrainingCpu>>),
    Sentence(Box<SentenceEncoder<TrainingCpu>>),
}

impl Tower {
    /// The tower of the joint space `backbone`: the one named, or that of the imported checkpoint `from`, or
    /// all-MiniLM-L6-v2.
    pub fn of(backbone: &str, named: Option<&Path>, from: &Path) -> Result<Self> {
        let (tower, identity) = match named {
            Some(folder) if is_sentence_encoder(folder)? => Self::sentence(folder)?,
            Some(path) => Self::clip(path, backbone)?,
            None if from.join(checkpoints::BACKBONE).is_file() => Self::clip(from, backbone)?,
            None if backbone == sentence_encoder::SENTENCE_ENCODER => Self::sentence(&sentence_encoder::fetch()?)?,
            None => bail!(
                "{} carries no text tower; name that of its joint space `{backbone}` with --text-encoder",
                from.display()
            ),
        };
        ensure!(
            identity == backbone,
            "the text tower is of the joint space `{identity}`, the encoder of `{backbone}`; name the one that it was \
             trained with"
        );
        Ok(tower)
    }

    fn clip(path: &Path, wanted: &str) -> Result<(Self, String)> {
        let mut checkpoint = checkpoints::open(path, None, None)?;
        let tower = Self::Clip(Box::new(checkpoints::texts(&mut checkpoint)?));
        let checkpoints::SpaceName { tensors, space } = checkpoints::identity(&mut checkpoint)?;
        // Runs that began from an older import know their space by its tensors alone.
        Ok((tower, if tensors == wanted { tensors } else { space }))
    }

    fn sentence(folder: &Path) -> Result<(Self, String)> {
        let encoder = sentence_encoder::load(folder)?;
        let identity = encoder.identity().to_string();
        Ok((Self::Sentence(Box::new(encoder)), identity))
    }

    /// The part that takes token embeddings.
    pub fn encoder(&self) -> &dyn TextTower<TrainingCpu> {
        match self {
            Self::Clip(texts) => texts.encoder(),
            Self::Sentence(texts) => texts.encoder(),
        }
    }

    /// A sentence with `{}` in the place of learned tokens, cut by the tower's tokenizer.
    pub fn prompt(&self, sentence: &str, learned: usize) -> Result<Prompt> {
        Ok(Prompt::tokenize(sentence, learned, |text| match self {
            Self::Clip(texts) => texts.tokens(text),
            Self::Sentence(texts) => texts.tokens(text),
        })?)
    }

    /// What an id of its vocabulary stands for, where that is a word.
    pub fn word(&self, id: u32) -> Option<String> {
        match self {
            Self::Clip(texts) => texts.word(id),
            Self::Sentence(texts) => texts.word(id),
        }
    }

    /// Unit vectors of texts.
    pub fn encode(&self, texts: &[&str]) -> Result<Vec<f32>> {
        Ok(match self {
            Self::Clip(tower) => tower.encode(texts)?,
            Self::Sentence(tower) => tower.encode(texts)?,
        })
    }
}

/// Whether a folder's config.json describes BERT; a CLIP checkpoint's describes CLIP, or there is none.
fn is_sentence_encoder(path: &Path) -> Result<bool> {
    let config = path.join("config.json");
    if !config.is_file() {
        return Ok(false);
    }
    let config: Value = serde_json::from_slice(&files::read(&config)?)?;
    Ok(!config["model_type"].as_str().is_some_and(|model| model.starts_with("clip")))
}
