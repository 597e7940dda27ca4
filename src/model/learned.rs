//! What METD learned, in words: the nearest ones of the vocabulary for every learned token.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// Words kept for each token.
pub const NEAREST: usize = 5;

/// A word of the vocabulary, or a piece of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Word {
    /// As the tokenizer writes it.
    pub text: String,
    /// Euclidean distance of its embedding from the learned one.
    pub distance: f32,
}

/// The explanation of learned descriptors. Readable words are no clinical claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Learned {
    /// The prompt, with `{}` in the place of the learned tokens.
    pub prompt: String,
    /// `[descriptors][learned tokens]`, each with its nearest words, nearest first.
    pub nearest: Vec<Vec<Vec<Word>>>,
}

impl Learned {
    /// Looks up the nearest words of every learned token by Euclidean distance to the token embedding table.
    ///
    /// # Shapes
    /// - tokens: `[descriptors, learned tokens, width]`
    /// - table: `[vocabulary, width]`
    /// - word: the text of an id, where it is one
    pub fn look_up(
        prompt: &str,
        tokens: &[f32],
        [learned, width]: [usize; 2],
        table: &[f32],
        word: impl Fn(u32) -> Option<String>,
    ) -> Self {
        let nearest = |token: &[f32]| {
            let mut distances: Vec<(f32, u32)> = table
                .chunks_exact(width)
                .zip(0..)
                .map(|(row, id)| (row.iter().zip(token).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt(), id))
                .collect();
            distances.sort_by(|a, b| a.0.total_cmp(&b.0));
            let mut seen = BTreeSet::new();
            // A word and the same letters within a longer one are two ids and one answer.
            let words = distances.into_iter().filter_map(|(distance, id)| Some(Word { text: word(id)?, distance }));
            words.filter(|word| seen.insert(word.text.clone())).take(NEAREST).collect()
        };
        let nearest = tokens
            .chunks_exact((learned * width).max(1))
            .map(|descriptor| descriptor.chunks_exact(width).map(nearest).collect())
            .collect();
        Self { prompt: prompt.into(), nearest }
    }

    /// A text for each descriptor: the nearest word of each of its tokens. One that another descriptor has already
    /// gets a number: what tells them apart is no word.
    pub fn texts(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let nearest = |token: &Vec<Word>| token.first().map(|word| word.text.clone()).unwrap_or_default();
        self.nearest
            .iter()
            .map(|descriptor| {
                let words: Vec<String> = descriptor.iter().map(nearest).collect();
                let text = words.join(" ");
                let numbered = (2..).map(|number| format!("{text} ({number})"));
                let free = std::iter::once(text.clone()).chain(numbered).find(|text| !seen.contains(text));
                let free = free.unwrap_or(text);
                seen.insert(free.clone());
                free
            })
            .collect()
    }

    /// Says when this explains another number of descriptors.
    pub fn check(&self, descriptors: usize) -> Result<()> {
        if self.nearest.len() != descriptors {
            return Err(Error::new(
                ErrorKind::InvalidBundle,
                format!("nearest words of {} descriptors are given, there are {descriptors}", self.nearest.len()),
            ));
        }
        if !self.nearest.iter().flatten().flatten().all(|word| word.distance.is_finite()) {
            return Err(Error::new(ErrorKind::InvalidBundle, "the nearest words have distances that are no numbers"));
        }
        Ok(())
    }
}

/// Whether people can read a piece of the vocabulary.
#[cfg(feature = "sentences")]
pub(crate) fn is_word(piece: &str) -> bool {
    !piece.trim().is_empty()
        && piece.chars().all(|letter| !letter.is_control() && letter != char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_words_are_found_once_each_and_name_the_descriptors() {
        let names = ["zero", "<|mark|>", "one", "one", "far", "two", "farther"];
        let table = [0.0, 0.0, 0.9, 0.1, 1.0, 0.0, 0.0, 1.0, 9.0, 9.0, 0.0, 2.0, 20.0, 0.0];
        let word = |id: u32| Some(names[id as usize].to_string()).filter(|name| !name.starts_with('<'));
        let tokens = [1.0, 0.1, 0.1, 1.9, 1.0, 0.0, 0.0, 2.0];
        let learned = Learned::look_up("a {}", &tokens, [2, 2], &table, word);
        let texts: Vec<&str> = learned.nearest[0][0].iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts, ["one", "zero", "two", "far", "farther"]);
        assert!((learned.nearest[0][0][0].distance - 0.1).abs() < 1e-6);
        assert_eq!(learned.texts(), ["one two", "one two (2)"]);
        assert!(learned.check(2).is_ok());
        assert!(learned.check(3).unwrap_err().to_string().contains("there are 3"));
    }
}
