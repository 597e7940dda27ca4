//! How clearly a face is seen, and what that leaves of an answer's scores.

use crate::face::Seen;
use crate::prediction::Prediction;

/// Deviation of a crop's grey levels from which a face can be made out, and below which it may be anything. The test's portrait is
/// answered as in full light at 7.5, an eighth of its light, and wrongly at 3.8.
const CLEAR: f32 = 6.0;
const DIM: f32 = 3.0;

/// 1 where a face is seen clearly, 0 where it may be anything.
///
/// - crop: what is encoded of it, RGBA
pub(super) fn clarity(seen: &Seen, crop: &[u8]) -> f32 {
    let grey = |pixel: &[u8]| pixel[..3].iter().map(|&level| f32::from(level)).sum::<f32>() / 3.0;
    let count = (crop.len() / 4).max(1) as f32;
    let mean = crop.chunks_exact(4).map(grey).sum::<f32>() / count;
    let contrast = (crop.chunks_exact(4).map(|pixel| (grey(pixel) - mean).powi(2)).sum::<f32>() / count).sqrt();
    seen.certainty.min(((contrast - DIM) / (CLEAR - DIM)).clamp(0.0, 1.0))
}

impl Prediction {
    /// Draws the scores towards even ones, which a guess has: an answer about what is hardly seen is one.
    ///
    /// - clarity: 1 leaves them as they are, 0 makes them even
    /// - uncertain_below: the top score under which it is `uncertain`
    pub(super) fn doubted(mut self, clarity: f32, uncertain_below: Option<f32>) -> Self {
        if clarity < 1.0 {
            let even = 1.0 / self.expressions.len().max(1) as f32;
            let doubt = |score: f32| clarity * score + (1.0 - clarity) * even;
            self.expressions.iter_mut().for_each(|expression| expression.score = doubt(expression.score));
            self.top.score = doubt(self.top.score);
            self.uncertain = uncertain_below.is_some_and(|below| self.top.score < below);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prediction::{ExpressionScore, Face, FaceBox, KeyPoints, TopExpression, WindowState};

    #[test]
    fn a_face_is_as_clear_as_its_detector_was_sure_and_its_light_allows() {
        let face = Face { r#box: FaceBox::default(), key_points: KeyPoints::default(), score: 0.5 };
        let seen = |certainty: f32| Seen { face, certainty };
        let stripes = |contrast: u8| -> Vec<u8> {
            (0..64).flat_map(|index| [if index % 2 == 0 { 100 - contrast } else { 100 + contrast }; 4]).collect()
        };
        assert_eq!(clarity(&seen(1.0), &stripes(50)), 1.0);
        assert_eq!(clarity(&seen(0.25), &stripes(50)), 0.25);
        assert_eq!(clarity(&seen(1.0), &stripes(3)), 0.0);
        assert!((clarity(&seen(1.0), &stripes(4)) - 1.0 / 3.0).abs() < 1e-5);
        assert_eq!(clarity(&seen(1.0), &[]), 0.0);
    }

    #[test]
    fn doubt_draws_scores_towards_even_ones_and_keeps_their_order() {
        let expression = |name: &str, score: f32| ExpressionScore { name: name.into(), score, descriptors: Vec::new() };
        let plain = Prediction {
            top: TopExpression { name: "joy".into(), score: 0.9 },
            expressions: vec![expression("joy", 0.9), expression("calm", 0.1)],
            window: WindowState { filled: 1, length: 1 },
            uncertain: false,
            movements: None,
            texts: None,
        };
        assert_eq!(plain.clone().doubted(1.0, Some(0.95)), plain, "what is clear stays as it is");
        let half = plain.clone().doubted(0.5, Some(0.75));
        let scores: Vec<f32> = half.expressions.iter().map(|expression| expression.score).collect();
        assert!((scores[0] - 0.7).abs() < 1e-6 && (scores[1] - 0.3).abs() < 1e-6, "{scores:?}");
        assert!(half.top.score == scores[0] && half.uncertain);
        assert!(!plain.clone().doubted(0.5, None).uncertain);
        assert_eq!(plain.doubted(0.0, None).top.score, 0.5);
    }
}
