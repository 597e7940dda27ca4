//! What tensors don't tell of a checkpoint: what the one who imports it says, and the libraries' JSON files beside it.

mod open_clip;
mod transformers;

use serde_json::Value;

use super::Layout;
use crate::config::{Activation, ClipTextConfig, CropRounding, EncoderConfig, PreprocessConfig, ResizeConfig};
use crate::error::{Error, ErrorKind, Result};

/// Facts about a checkpoint from outside its tensors.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CheckpointHints {
    /// What was asked for: goes before every file.
    asked: Facts,
    /// What files say, each with the library whose file it is, in the order in which they count.
    files: Vec<(Layout, Facts)>,
}

/// What one source states; what is not stated is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// Of the image tower's MLPs.
    pub activation: Option<Activation>,
    /// Of the text tower's.
    pub text_activation: Option<Activation>,
    /// The image tower's attention heads.
    pub heads: Option<usize>,
    /// The text tower's.
    pub text_heads: Option<usize>,
    /// What happens to pixels.
    pub preprocess: Option<PreprocessConfig>,
    /// Side of the squares that the preprocessing makes.
    square: Option<Claim>,
    /// Sizes that the tensors must have.
    claims: Vec<Claim>,
    /// Why the text tower can't be run, where there is one.
    text_refusal: Option<String>,
}

/// A size that a file states.
#[derive(Debug, Clone, PartialEq)]
struct Claim {
    file: String,
    field: String,
    value: usize,
    of: Size,
}

/// What a stated size is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Side,
    Patch,
    Width,
    Layers,
    Embedding,
    Context,
    Vocabulary,
    TextWidth,
    TextLayers,
    /// The token whose place is the text's embedding: here always the last of the vocabulary.
    EndToken,
}

impl CheckpointHints {
    /// One activation for both towers.
    pub fn with_activation(activation: Activation) -> Self {
        let asked = Facts { activation: Some(activation), text_activation: Some(activation), ..Facts::default() };
        Self { asked, files: Vec::new() }
    }

    /// All that there is to know of towers that were read before.
    pub fn of(encoder: &EncoderConfig, text: Option<&ClipTextConfig>, preprocess: &PreprocessConfig) -> Self {
        let asked = Facts {
            activation: Some(encoder.activation),
            text_activation: text.map(|text| text.activation),
            heads: Some(encoder.heads),
            text_heads: text.map(|text| text.heads),
            preprocess: Some(preprocess.clone()),
            ..Facts::default()
        };
        Self { asked, files: Vec::new() }
    }

    /// Adds what a JSON file says that no file of the same library said before: transformers' `config.json` of CLIP,
    /// its `processor_config.json` or `preprocessor_config.json`, or open_clip's `open_clip_config.json`.
    ///
    /// In transformers' file a missing `hidden_act` states nothing. open_clip's defines a missing `quick_gelu` as
    /// false, which is the exact GELU.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] for what is no JSON, for facts of another architecture, and for options that can't
    /// be followed, by their names.
    pub fn add_json(&mut self, file: &str, text: &[u8]) -> Result<()> {
        self.files.push(read(file, text)?);
        Ok(())
    }

    /// The same for a file that goes before all others, whosever it is: one that was named.
    ///
    /// # Errors
    /// Those of [`CheckpointHints::add_json`].
    pub fn prefer_json(&mut self, file: &str, text: &[u8]) -> Result<()> {
        let (_, facts) = read(file, text)?;
        self.asked.add(facts);
        Ok(())
    }

    /// All that counts for a checkpoint in a library's naming: its own files go before those of the other.
    pub fn stated(&self, layout: Layout) -> Facts {
        let mut stated = self.asked.clone();
        let (own, other): (Vec<_>, Vec<_>) = self.files.iter().partition(|(library, _)| *library == layout);
        own.into_iter().chain(other).for_each(|(_, facts)| stated.add(facts.clone()));
        stated
    }
}

impl Facts {
    /// Takes what is not stated yet.
    fn add(&mut self, other: Self) {
        self.activation = self.activation.or(other.activation);
        self.text_activation = self.text_activation.or(other.text_activation);
        self.heads = self.heads.or(other.heads);
        self.text_heads = self.text_heads.or(other.text_heads);
        if self.preprocess.is_none() {
            (self.preprocess, self.square) = (other.preprocess, other.square);
        }
        // The first file that tells sizes is the one to compare with.
        if self.claims.is_empty() {
            self.claims = other.claims;
        }
        self.text_refusal = self.text_refusal.take().or(other.text_refusal);
    }

    /// What happens to pixels, as stated or as the library does with CLIP's own.
    pub(super) fn preprocess(&self, layout: Layout) -> PreprocessConfig {
        self.preprocess.clone().unwrap_or_else(|| PreprocessConfig {
            resize: ResizeConfig { crop: crop_rounding(layout), ..ResizeConfig::default() },
            ..PreprocessConfig::clip()
        })
    }

    /// Refuses what the tensors contradict, and texts that can't be encoded as the checkpoint's library does.
    pub(super) fn check(&self, encoder: &EncoderConfig, text: Option<&ClipTextConfig>) -> Result<()> {
        if let (Some(why), Some(_)) = (&self.text_refusal, text) {
            return Err(invalid(why.clone()));
        }
        for Claim { file, field, value, of } in self.claims.iter().chain(&self.square) {
            let found = match of {
                Size::Side => Some(encoder.side),
                Size::Patch => Some(encoder.patch),
                Size::Width => Some(encoder.width),
                Size::Layers => Some(encoder.layers),
                Size::Embedding => Some(encoder.embedding),
                Size::Context => text.map(|text| text.context),
                Size::Vocabulary => text.map(|text| text.vocabulary),
                Size::TextWidth => text.map(|text| text.width),
                Size::TextLayers => text.map(|text| text.layers),
                Size::EndToken => text.map(|text| text.vocabulary - 1),
            };
            match found {
                Some(found) if found != *value => {
                    return Err(invalid(format!(
                        "{file} says `{field}` {value}, the checkpoint's tensors say {found}: this cliper can't run one \
                         as the other; give the file that belongs to the checkpoint with --config, or a checkpoint \
                         that was saved at that size"
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Notes a size where it is stated.
    fn claim(&mut self, file: &str, field: &str, value: Option<usize>, of: Size) {
        self.claims.extend(value.map(|value| Claim { file: file.into(), field: field.into(), value, of }));
    }
}

/// Where a library begins a crop that cuts an odd number of pixels off.
fn crop_rounding(layout: Layout) -> CropRounding {
    match layout {
        Layout::HuggingFace => CropRounding::Down,
        Layout::OpenAi => CropRounding::HalfToEven,
    }
}

/// Whose file it is, and what it says.
fn read(file: &str, text: &[u8]) -> Result<(Layout, Facts)> {
    // Editors on Windows put a mark of the byte order before what they save.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let json: Value = serde_json::from_slice(text)
        .map_err(|error| Error::with_source(ErrorKind::InvalidConfig, format!("{file} is no JSON"), error))?;
    // open_clip's own table of models holds the inner part alone.
    if ["model_cfg", "preprocess_cfg", "vision_cfg"].iter().any(|key| json.get(key).is_some()) {
        return Ok((Layout::OpenAi, open_clip::facts(file, &json)?));
    }
    Ok((Layout::HuggingFace, transformers::facts(file, &json)?))
}

fn number(value: &Value) -> Option<usize> {
    value.as_u64().map(|number| number as usize)
}

/// A side that is stated as one number or as height and width.
fn side(file: &str, field: &str, value: &Value) -> Result<Option<usize>> {
    let sides = match value {
        Value::Null => return Ok(None),
        Value::Array(sides) => sides.iter().map(number).collect::<Vec<_>>(),
        Value::Object(sides) => ["height", "width"].map(|key| sides.get(key).and_then(number)).to_vec(),
        one => vec![number(one)],
    };
    match sides.as_slice() {
        [Some(side)] => Ok(Some(*side)),
        [Some(height), Some(width)] if height == width => Ok(Some(*height)),
        _ => Err(invalid(format!("{file} asks for `{field}` {value}; a square can be run, given as one number"))),
    }
}

/// Statistics of each channel, stated as a list or as one number for all.
fn statistics(value: &Value) -> Option<Vec<f64>> {
    match value {
        Value::Number(one) => Some(vec![one.as_f64()?; 3]),
        _ => value.as_array()?.iter().map(Value::as_f64).collect(),
    }
}

fn narrowed(values: Vec<f64>) -> Vec<f32> {
    values.into_iter().map(|value| value as f32).collect()
}

fn invalid(why: String) -> Error {
    Error::new(ErrorKind::InvalidConfig, why)
}
