//! A sentence that faces are compared with: its embedding, and how similar faces usually are to it.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::prediction::DescriptorSimilarity;

/// A sentence in a bundle's joint space.
#[derive(Debug, Clone, PartialEq)]
pub struct Sentence {
    text: Arc<str>,
    embedding: Vec<f32>,
    mean: f32,
    deviation: f32,
}

impl Sentence {
    /// A sentence by its unit vector.
    ///
    /// - mean, deviation: of the similarities that faces have with it
    ///
    /// # Errors
    /// [`ErrorKind::InvalidText`] for values that are not finite, a deviation of nothing, and a spread that cosines can't have.
    pub fn new(text: &str, embedding: Vec<f32>, mean: f32, deviation: f32) -> Result<Self> {
        if !embedding.iter().all(|value| value.is_finite()) || !is_spread(mean, deviation) {
            return Err(Error::new(
                ErrorKind::InvalidText,
                format!("\"{text}\" has no embedding to compare faces with; word it otherwise"),
            ));
        }
        Ok(Self { text: text.into(), embedding, mean, deviation })
    }

    /// As it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Unit vector `[embedding]`.
    pub fn embedding(&self) -> &[f32] {
        &self.embedding
    }

    /// Mean and deviation of the similarities that faces have with it.
    pub fn spread(&self) -> [f32; 2] {
        [self.mean, self.deviation]
    }

    /// A similarity with the share of faces that are less like the sentence: taken to be spread normally.
    pub fn compare(&self, similarity: f32) -> DescriptorSimilarity {
        let strength = normal_share(f64::from((similarity - self.mean) / self.deviation)) as f32;
        DescriptorSimilarity { text: self.text.clone(), place: 0, similarity, strength: Some(strength), evidence: None }
    }
}

/// Whether similarities can be spread so: cosines have no other mean and no larger deviation, but for rounding, and one below the
/// least would make scores that are no numbers.
pub(super) fn is_spread(mean: f32, deviation: f32) -> bool {
    mean.abs() <= 1.01 && (1e-6..=1.01).contains(&deviation)
}

/// The share of a normal distribution below so many deviations from its mean: Abramowitz and Stegun 7.1.26, right to 1e-7.
pub(super) fn normal_share(deviations: f64) -> f64 {
    const FACTORS: [f64; 5] = [0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429];
    let at = deviations.abs() / 2f64.sqrt();
    let part = 1.0 / (1.0 + 0.3275911 * at);
    let sum = FACTORS.iter().rev().fold(0.0, |sum, factor| (sum + factor) * part);
    let above = sum * (-at * at).exp() / 2.0;
    if deviations < 0.0 { above } else { 1.0 - above }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The normal distribution's own table.
    #[test]
    fn strengths_are_shares_of_a_normal_distribution() {
        for (at, share) in [(0.0, 0.5), (1.0, 0.841_345), (-1.0, 0.158_655), (1.96, 0.975_002), (-3.0, 0.001_350)] {
            assert!((normal_share(at) - share).abs() < 1e-6, "{at}: {}", normal_share(at));
        }
        let sentence = Sentence::new("lips apart", vec![1.0, 0.0], 0.2, 0.1).unwrap();
        let found = sentence.compare(0.3);
        assert_eq!((&*found.text, found.similarity), ("lips apart", 0.3));
        assert!((found.strength.unwrap() - 0.841_345).abs() < 1e-5);
        assert!(sentence.compare(0.31).strength > found.strength);
    }

    #[test]
    fn nothing_to_compare_with_is_refused() {
        for (embedding, deviation) in [(vec![f32::NAN], 0.1), (vec![1.0], 0.0)] {
            let error = Sentence::new("x", embedding, 0.0, deviation).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidText);
        }
    }
}
