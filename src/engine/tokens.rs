//! Texts -> token ids, by a BERT's own tokenizer: what every sentence encoder takes.

use serde::Deserialize;
use serde_json::{Map, Value};
use tokenizers::Tokenizer;

use crate::error::{Error, ErrorKind, Result};
use crate::model::learned::is_word;

/// BERT's sizes, as Hugging Face's `config.json` names them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TextConfig {
    /// Width of the tokens.
    pub hidden_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Width inside the MLPs.
    pub intermediate_size: usize,
    /// Words.
    pub vocab_size: usize,
    /// Longest text, tokens.
    pub max_position_embeddings: usize,
    /// Layer norm's epsilon.
    pub layer_norm_eps: f64,
    /// A bundle's text side: width of the word table, which `embeddings.word_projection.weight` `[hidden, rank]` widens.
    #[serde(default)]
    pub word_rank: Option<usize>,
    /// A bundle's text side: width of the joint space, which `projection.weight` and `projection.bias` lead to.
    #[serde(default)]
    pub embedding: Option<usize>,
}

/// What a BERT's tokenizer is made of. Others are refused before the library sees them, which panics on some.
const PARTS: [(&str, &[&str]); 4] = [
    ("normalizer", &["BertNormalizer"]),
    ("pre_tokenizer", &["BertPreTokenizer"]),
    ("post_processor", &["BertProcessing", "TemplateProcessing"]),
    ("model", &["WordPiece"]),
];

/// Whether all that a template puts around one text is there, which the library takes for granted.
fn is_whole(template: &Value) -> bool {
    let is_there = |piece: &Value| match piece["SpecialToken"]["id"].as_str() {
        Some(mark) => template["special_tokens"].get(mark).is_some(),
        None => piece["Sequence"]["id"] == "A",
    };
    template["single"].as_array().is_some_and(|pieces| pieces.iter().all(is_there))
}

/// A BERT's tokenizer.
#[derive(Debug)]
pub struct TextTokenizer {
    inner: Tokenizer,
    longest: usize,
}

impl TextTokenizer {
    /// From the bytes of `tokenizer.json`.
    ///
    /// - longest: most tokens of a text
    ///
    /// # Errors
    /// [`ErrorKind::InvalidText`] for a file that can't be read or used.
    pub fn new(json: &[u8], longest: usize) -> Result<Self> {
        let broken = |error| Error::with_source(ErrorKind::InvalidText, "tokenizer.json can't be read", error);
        let mut json: Map<String, Value> = serde_json::from_slice(json).map_err(|error| broken(error.into()))?;
        for (name, known) in PARTS {
            let part = json.get(name).unwrap_or(&Value::Null);
            let kind = part["type"].as_str().unwrap_or("none");
            // All but the model may be missing.
            if !known.contains(&kind) && (name == "model" || !part.is_null()) {
                let why =
                    format!("tokenizer.json has the {name} `{kind}`; a BERT's ({}) can be used", known.join(", "));
                return Err(Error::new(ErrorKind::InvalidText, why));
            }
        }
        let template = &json.get("post_processor").unwrap_or(&Value::Null);
        if template["type"] == "TemplateProcessing" && !is_whole(template) {
            let why = "tokenizer.json has a template with marks that it does not define, or for more than one text";
            return Err(Error::new(ErrorKind::InvalidText, why));
        }
        // Ids are never made texts again.
        json.insert("decoder".into(), Value::Null);
        let mut inner = Tokenizer::from_bytes(Value::Object(json).to_string()).map_err(broken)?;
        // A file may ask for a fixed number of tokens; a text has as many as it has.
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|error| Error::with_source(ErrorKind::InvalidText, "tokenizer.json can't be used", error))?;
        Ok(Self { inner, longest })
    }

    /// Longest text, tokens.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The token ids of a text.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidText`] for a text that is too long.
    pub fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode(text, true).map_err(|error| {
            Error::with_source(ErrorKind::InvalidText, format!("\"{text}\" can't be tokenized"), error)
        })?;
        let ids = encoding.get_ids().to_vec();
        if ids.len() > self.longest {
            return Err(Error::new(
                ErrorKind::InvalidText,
                format!("\"{text}\" has {} tokens; {} are the most, shorten it", ids.len(), self.longest),
            ));
        }
        Ok(ids)
    }

    /// What an id stands for, where that is a word or a piece of one: no mark, no unused place.
    pub fn word(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id).filter(|piece| is_word(piece) && !(piece.starts_with('[') && piece.ends_with(']')))
    }
}
