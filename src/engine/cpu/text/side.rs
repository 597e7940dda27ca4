//! A bundle's text side: sentences in anybody's words -> the joint space that the bundle's faces lie in.

use serde::Deserialize;
use serde_json::Value;

use super::CpuTextEncoder;
use crate::engine::tokens::{TextConfig, TextTokenizer};
use crate::error::{Error, ErrorKind, Result};
use crate::math::dot;
use crate::model::sentence::Sentence;
use crate::tensors::Weights;

/// A sentence encoder whose answers lie in the joint space, with what faces' similarities are spread like.
#[derive(Debug)]
pub struct TextSide {
    encoder: CpuTextEncoder,
    tokenizer: TextTokenizer,
    mean: Vec<f32>,
    /// `[axes, width]`.
    spread: Vec<f32>,
}

#[derive(Deserialize)]
struct Description {
    config: TextConfig,
    tokenizer: Value,
}

impl TextSide {
    /// From the bytes of the two files that a bundle lists for it.
    ///
    /// - width: of the joint space
    ///
    /// # Errors
    /// [`ErrorKind::InvalidText`] for a description that can't be read, [`ErrorKind::InvalidWeights`] for tensors that are
    /// missing or misshapen.
    pub fn load(description: &[u8], weights: &[u8], width: usize) -> Result<Self> {
        let broken =
            |error| Error::with_source(ErrorKind::InvalidText, "the text side's description can't be read", error);
        let Description { config, tokenizer } = serde_json::from_slice(description).map_err(broken)?;
        let tokenizer = TextTokenizer::new(tokenizer.to_string().as_bytes(), config.max_position_embeddings)?;
        let mut read = Weights::default();
        read.read("the text side", weights)?;
        let axes = read.get("faces.spread").and_then(|spread| spread.shape.first().copied()).unwrap_or(0);
        let (mean, spread) = (read.take("faces.mean", &[width])?, read.take("faces.spread", &[axes, width])?);
        let encoder = CpuTextEncoder::load(&mut read, &config)?;
        read.finish()?;
        let found = config.embedding.unwrap_or(config.hidden_size);
        if found != width {
            return Err(Error::new(
                ErrorKind::ForeignDescriptors,
                format!("the text side's embeddings are {found} wide, the model's {width}; pack both together"),
            ));
        }
        Ok(Self { encoder, tokenizer, mean, spread })
    }

    /// Longest sentence, tokens.
    pub fn longest(&self) -> usize {
        self.tokenizer.longest()
    }

    /// The sentences' embeddings.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidText`] for a sentence that is empty, too long, or in another script than English's.
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<Sentence>> {
        texts.iter().try_for_each(|text| check(text))?;
        let embed = |text: &&str| {
            let embedding = self.encoder.encode(&self.tokenizer.tokens(text)?)?;
            let variance: f32 =
                self.spread.chunks_exact(embedding.len()).map(|axis| dot(axis, &embedding).powi(2)).sum();
            let mean = dot(&self.mean, &embedding);
            Sentence::new(text, embedding, mean, variance.sqrt())
        };
        texts.iter().map(embed).collect()
    }

    /// Whether most words of a sentence are none that the vocabulary has whole: it may not be English, which is the only
    /// language that the text side reads.
    pub fn looks_foreign(&self, text: &str) -> bool {
        let words: Vec<&str> = text.split_whitespace().collect();
        // Two tokens mark beginning and end; a word and the mark behind it are two.
        let broken = |word: &&&str| {
            let bare = word.trim_matches(|letter: char| !letter.is_alphanumeric());
            self.tokenizer.tokens(bare).is_ok_and(|ids| ids.len() > 4)
        };
        let foreign = words.iter().filter(broken).count();
        foreign * 2 > words.len()
    }
}

/// Says why a sentence can't be compared with faces.
fn check(text: &str) -> Result<()> {
    let refuse = |why: String| Err(Error::new(ErrorKind::InvalidText, why));
    let letters = text.chars().filter(|letter| letter.is_alphabetic());
    let (latin, others): (Vec<char>, Vec<char>) = letters.partition(|&letter| letter < '\u{250}');
    if latin.is_empty() && others.is_empty() {
        return refuse(format!(
            "\"{}\" has no words; say what a face does, such as \"lips parted a little\"",
            text.trim()
        ));
    }
    if others.len() > latin.len() {
        return refuse(format!("\"{text}\" is not English; the text side reads English only"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_that_say_nothing_are_refused_with_what_to_do() {
        for (text, part) in [
            ("", "no words"),
            ("  ", "no words"),
            ("?!", "no words"),
            ("嘴角上扬", "English only"),
            ("рот открыт", "English only"),
        ] {
            let error = check(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        for text in ["lips parted a little", "crow's feet", "naïve smile"] {
            check(text).unwrap();
        }
    }
}
