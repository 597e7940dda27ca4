//! model.json: everything about a model but its numbers, versioned.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::config::{EncoderConfig, MAX_WINDOW, PreprocessConfig, TemporalConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::model::descriptors::{Expression, check_texts, count_texts};
use crate::model::learned::Learned;
use crate::tensors::Precision;

/// The manifest's `format` field.
pub const FORMAT: &str = "cliper-bundle";
/// The newest version this code reads; it reads all older ones too. A bundle says the oldest version that has all that
/// is in it ([`Manifest::oldest_version`]).
pub const VERSION: u32 = 5;

/// What similarities can be divided by so that scores are numbers.
const TEMPERATURES: RangeInclusive<f32> = 1e-4..=1e4;

/// What a file of the bundle holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// A shard of the encoder's weights (safetensors).
    Weights,
    /// The descriptors' embeddings: tensor `embeddings` `[descriptors, embedding]`.
    Descriptors,
    /// The temporal head: its weights, and `golden.similarities` `[descriptors]`, which a window of two golden frames
    /// has by the reference device.
    Temporal,
    /// The golden picture's embedding by the reference device: tensor `embedding` `[embedding]`.
    Golden,
    /// A label set's descriptors, as the `Descriptors` file has them: read instead of it by a program that answers in those
    /// labels ([`Manifest::answer_in`]), and by no other.
    Labels,
    /// Movements: directions and curves, see [`MovementList`].
    Movements,
    /// The text side, which makes embeddings of sentences: fetched by programs that are asked for sentences, and by no other.
    Text,
    /// The model card, for people; no program reads it.
    Card,
}

/// One file beside model.json.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileEntry {
    /// Its name, without folders.
    pub path: String,
    /// What it holds.
    pub role: Role,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
}

/// How similarities become scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Calibration {
    /// Mean similarities are divided by this before the softmax. CLIPER trains with 0.01.
    pub temperature: f32,
    /// Expected calibration error on the validation part, which the temperature was not fitted on: 0..1, 15 bins;
    /// none where it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<f32>,
    /// A prediction whose top score is below this is `uncertain`, 0..1 ([`crate::metrics::fit_threshold`]); none
    /// where it was not fitted: then no prediction is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertain_below: Option<f32>,
}

impl Calibration {
    fn validate(&self) -> Result<()> {
        if !TEMPERATURES.contains(&self.temperature) {
            let (least, most) = (TEMPERATURES.start(), TEMPERATURES.end());
            return Err(invalid(format!("the temperature is {}; it must be {least} to {most}", self.temperature)));
        }
        if self.error.is_some_and(|error| !(0.0..=1.0).contains(&error)) {
            return Err(invalid("the calibration's `error` must be 0 to 1".into()));
        }
        match self.uncertain_below {
            Some(below) if !(0.0..=1.0).contains(&below) => {
                Err(invalid(format!("`uncertainBelow` is {below}; it must be a score, 0 to 1")))
            }
            _ => Ok(()),
        }
    }
}

/// The labels of another data set, which the encoder learned too, with descriptors of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSet {
    /// The data set's.
    pub name: String,
    /// File of the embeddings, of the role [`Role::Labels`].
    pub path: String,
    /// Names and texts, in the order of the embeddings.
    pub expressions: Vec<Expression>,
    /// Of the scores.
    pub calibration: Calibration,
}

/// What the parts of a face do, as scores of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MovementList {
    /// File of the role [`Role::Movements`].
    pub path: String,
    /// Names, in the order of its rows.
    pub names: Vec<String>,
}

/// What makes embeddings of sentences: a sentence encoder whose answers lie in the bundle's joint space.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TextSide {
    /// Its weights, a file of the role [`Role::Text`].
    pub weights: String,
    /// Its sizes and its tokenizer, another.
    pub tokenizer: String,
    /// Longest sentence, tokens.
    pub longest: usize,
}

/// How the similarities of one expression's descriptors become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Aggregation {
    /// Their mean, CLIPER's.
    Mean,
}

/// The whole of model.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always [`FORMAT`].
    pub format: String,
    /// Format version.
    pub version: u32,
    /// The model's name.
    pub name: String,
    /// The encoder.
    pub encoder: EncoderConfig,
    /// What happens to pixels before it.
    pub preprocess: PreprocessConfig,
    /// The temporal head; without one, a window is the mean of its frames.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temporal: Option<TemporalConfig>,
    /// Names and texts, in the order of the embeddings.
    pub expressions: Vec<Expression>,
    /// What METD learned, where the descriptors are learned ones: their texts are then the nearest words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned: Option<Learned>,
    /// Label sets that a program may answer in instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<LabelSet>,
    /// Movements that a program may answer with beside the expressions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub movements: Option<MovementList>,
    /// The text side; without one, only the bundle's own descriptors can be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<TextSide>,
    /// Over an expression's descriptors.
    pub aggregation: Aggregation,
    /// Of the scores.
    pub calibration: Calibration,
    /// How frequent each expression is among the faces that it learned from, in their order, above 0 and adding up to 1; empty
    /// where that is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<f32>,
    /// Frames of a window unless the page says otherwise.
    pub window: usize,
    /// Side of a face's crop, as a multiple of FER2013's framing ([`crate::face::FaceCrop::around`]).
    #[serde(default = "face_margin")]
    pub face_margin: f32,
    /// Names the joint space: weights and descriptors carry the same, or do not belong together.
    pub backbone: String,
    /// Terms of the weights.
    pub licence: String,
    /// Where the model comes from: data, command, seed, measured figures.
    #[serde(default)]
    pub provenance: serde_json::Value,
    /// Every other file of the bundle.
    pub files: Vec<FileEntry>,
}

impl Manifest {
    /// Reads and checks the text of model.json.
    ///
    /// # Errors
    /// [`ErrorKind::UnsupportedBundle`] for a newer format, [`ErrorKind::InvalidBundle`] and
    /// [`ErrorKind::InvalidConfig`] for what contradicts itself.
    pub fn parse(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
            version: u32,
        }
        let broken = |error| {
            Error::with_source(
                ErrorKind::InvalidBundle,
                "model.json is not a manifest of cliper; give the address of one that `cargo pkg pack` wrote",
                error,
            )
        };
        let head: Head = serde_json::from_str(text).map_err(broken)?;
        if head.format != FORMAT {
            return Err(invalid(format!("model.json says format `{}`; `{FORMAT}` was expected", head.format)));
        }
        if !(1..=VERSION).contains(&head.version) {
            return Err(Error::new(
                ErrorKind::UnsupportedBundle,
                format!(
                    "the bundle has format version {}, this cliper reads 1 to {VERSION}; update cliper or pack the \
                     model again",
                    head.version
                ),
            ));
        }
        let manifest: Self = serde_json::from_str(text).map_err(broken)?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// Says what contradicts itself.
    pub fn validate(&self) -> Result<()> {
        self.encoder.validate()?;
        self.preprocess.validate(self.encoder.channels)?;
        check_texts(&self.expressions)?;
        if let Some(learned) = &self.learned {
            learned.check(count_texts(&self.expressions))?;
        }
        self.calibration.validate()?;
        let is_share = |share: &f32| *share > 0.0 && *share <= 1.0;
        if !self.shares.is_empty() && (self.shares.len() != self.expressions.len() || !self.shares.iter().all(is_share))
        {
            return Err(invalid("`shares` must hold a share of the faces, above 0, for each expression".into()));
        }
        for (index, set) in self.labels.iter().enumerate() {
            check_texts(&set.expressions)?;
            set.calibration.validate()?;
            if self.labels[..index].iter().any(|other| other.name == set.name) {
                return Err(invalid(format!("the labels `{}` come twice", set.name)));
            }
            if !self.files.iter().any(|file| file.role == Role::Labels && file.path == set.path) {
                return Err(invalid(format!(
                    "model.json lists no file of labels `{}`; pack the model again",
                    set.path
                )));
            }
        }
        if self.window == 0 || self.window > MAX_WINDOW {
            return Err(invalid(format!("the window is {} frames; it must be 1 to {}", self.window, MAX_WINDOW)));
        }
        if let Some(temporal) = &self.temporal {
            temporal.validate()?;
        }
        if self.window > self.longest_window() {
            return Err(invalid(format!(
                "the window is {} frames, but the temporal head has {} positions",
                self.window,
                self.longest_window()
            )));
        }
        if !(0.5..=4.0).contains(&self.face_margin) {
            return Err(invalid(format!("the margin around faces is {}; it must be 0.5 to 4", self.face_margin)));
        }
        for (index, file) in self.files.iter().enumerate() {
            if file.path.is_empty() || file.path.contains(['/', '\\']) || file.path.starts_with('.') {
                return Err(invalid(format!("`{}` is no plain file name", file.path)));
            }
            if self.files[..index].iter().any(|other| other.path == file.path) {
                return Err(invalid(format!("`{}` is listed twice", file.path)));
            }
        }
        let has = |role: Role, path: &String| self.files.iter().any(|file| file.role == role && file.path == *path);
        let movements = self.movements.iter().map(|movements| (Role::Movements, &movements.path));
        let text = self.text.iter().flat_map(|text| [(Role::Text, &text.weights), (Role::Text, &text.tokenizer)]);
        if let Some((role, path)) = movements.chain(text).find(|(role, path)| !has(*role, path)) {
            let role = format!("{role:?}").to_lowercase();
            return Err(invalid(format!(
                "model.json lists no file `{path}` of the role `{role}`; pack the model again"
            )));
        }
        if self.movements.is_some() && self.temporal.is_some() {
            return Err(invalid(
                "a temporal head's answers lie where it learned them, not along the movements; pack the model with one of both"
                    .into(),
            ));
        }
        let temporal = self.temporal.as_ref().map(|_| Role::Temporal);
        for role in [Role::Weights, Role::Descriptors, Role::Golden].into_iter().chain(temporal) {
            if !self.files.iter().any(|file| file.role == role) {
                let role = format!("{role:?}").to_lowercase();
                return Err(invalid(format!("model.json lists no file with the role `{role}`; pack the model again")));
            }
        }
        Ok(())
    }

    /// Answers in a label set instead of the model's own expressions: its descriptors and calibration take their place.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for labels that the bundle has not, and where it has a temporal head, which was trained
    /// against the model's own descriptors.
    pub fn answer_in(&mut self, labels: &str) -> Result<()> {
        let refuse = |why: String| Err(Error::new(ErrorKind::InvalidArgument, why));
        let Some(place) = self.labels.iter().position(|set| set.name == labels) else {
            let known: Vec<String> = self.labels.iter().map(|set| format!("`{}`", set.name)).collect();
            return refuse(match known.as_slice() {
                [] => {
                    format!("the model can't answer in the labels `{labels}`: it has only its own; leave `labels` out")
                }
                _ => format!("the model has no labels `{labels}`, only {}", known.join(", ")),
            });
        };
        if self.temporal.is_some() {
            return refuse("a model with a temporal head answers in its own labels only; leave `labels` out".into());
        }
        let set = self.labels.swap_remove(place);
        self.files.retain(|file| file.role != Role::Descriptors);
        self.files.iter_mut().filter(|file| file.path == set.path).for_each(|file| file.role = Role::Descriptors);
        (self.expressions, self.calibration, self.learned) = (set.expressions, set.calibration, None);
        self.shares.clear();
        Ok(())
    }

    /// Refuses a balance that scores can't have.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] outside 0..=1, [`ErrorKind::UnsupportedBundle`] where the bundle does not say its shares.
    pub fn check_balance(&self, balance: f32) -> Result<()> {
        if !(0.0..=1.0).contains(&balance) {
            let why = format!("a balance of {balance} is not possible; give 0 to 1");
            return Err(Error::new(ErrorKind::InvalidArgument, why));
        }
        if balance > 0.0 && self.shares.is_empty() {
            let why = format!("the model `{}` does not say how frequent its expressions are; pack it again", self.name);
            return Err(Error::new(ErrorKind::UnsupportedBundle, why));
        }
        Ok(())
    }

    /// The oldest format version that has all that is in the bundle, its weights stored so.
    pub fn oldest_version(&self, precision: Precision) -> u32 {
        let labels = if self.labels.is_empty() { 1 } else { 3 };
        let all = self.expressions.iter().chain(self.labels.iter().flat_map(|set| &set.expressions));
        let annotated = all.into_iter().any(|expression| !expression.movements.is_empty());
        let explanations = if annotated || self.movements.is_some() || self.text.is_some() { 4 } else { 1 };
        let resize = if self.preprocess.resize.is_plain() { 1 } else { 5 };
        precision.version().max(labels).max(explanations).max(resize)
    }

    /// The text of model.json.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Most frames that a window may have.
    pub fn longest_window(&self) -> usize {
        self.temporal.as_ref().map_or(MAX_WINDOW, |temporal| temporal.frames)
    }

    /// Name of the model card, where there is one.
    pub fn card(&self) -> Option<&str> {
        self.files.iter().find(|file| file.role == Role::Card).map(|file| file.path.as_str())
    }

    /// The files that a program needs.
    pub fn needed_files(&self) -> impl Iterator<Item = &FileEntry> {
        self.files.iter().filter(|file| !matches!(file.role, Role::Card | Role::Labels | Role::Text))
    }
}

/// The framing of FER2013, which the built-in model was trained on.
fn face_margin() -> f32 {
    1.0
}

fn invalid(why: String) -> Error {
    Error::new(ErrorKind::InvalidBundle, why)
}
