//! Movements: what the parts of a face do, as scores of their own beside the expressions.

use crate::error::{Error, ErrorKind, Result};
use crate::prediction::MovementScore;
use crate::tensors::Weights;

/// Movements by name, each with its direction in the joint space and the curve from a similarity to a score.
///
/// A score is what MediaPipe's face shape of that name would be on average for faces of that similarity, 0..1: fitted on
/// held-back training pictures, so it is calibrated and not an opinion about muscles.
#[derive(Debug, Clone, PartialEq)]
pub struct MovementSet {
    names: Vec<String>,
    embeddings: Vec<f32>,
    knots: Vec<f32>,
    scores: Vec<f32>,
}

impl MovementSet {
    /// Takes the tensors `embeddings` `[movements, width]`, `knots` and `scores` `[movements, points]` out of a bundle's
    /// file.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidBundle`] for names that are empty or come twice and knots that do not rise,
    /// [`ErrorKind::InvalidWeights`] for tensors of other shapes.
    pub fn take(names: &[String], weights: &mut Weights, width: usize) -> Result<Self> {
        let points = weights.get("knots").map_or(0, |knots| knots.shape.last().copied().unwrap_or(0)).max(2);
        let shape = [names.len(), points];
        let set = Self {
            names: names.to_vec(),
            embeddings: weights.take("embeddings", &[names.len(), width])?,
            knots: weights.take("knots", &shape)?,
            scores: weights.take("scores", &shape)?,
        };
        for (index, name) in names.iter().enumerate() {
            if name.trim().is_empty() || names[..index].contains(name) {
                return Err(invalid(format!("the movement `{name}` is empty or comes twice")));
            }
            let (knots, scores) = set.curve(index);
            if !knots.is_sorted() || scores.iter().any(|score| !(0.0..=1.0).contains(score)) {
                return Err(invalid(format!("the curve of the movement `{name}` does not rise, or leaves 0 to 1")));
            }
        }
        Ok(set)
    }

    /// The movements' names, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Unit vectors `[movements, width]`.
    pub fn embeddings(&self) -> &[f32] {
        &self.embeddings
    }

    /// A score for each movement.
    ///
    /// # Shapes
    /// - similarities: `[movements]`, cosines with [`MovementSet::embeddings`]
    pub fn scores(&self, similarities: &[f32]) -> Vec<MovementScore> {
        let score = |(index, (name, &similarity)): (usize, (&String, &f32))| {
            let (knots, scores) = self.curve(index);
            MovementScore { name: name.clone(), score: interpolate(knots, scores, similarity) }
        };
        self.names.iter().zip(similarities).enumerate().map(score).collect()
    }

    fn curve(&self, index: usize) -> (&[f32], &[f32]) {
        let points = self.knots.len() / self.names.len().max(1);
        let range = index * points..(index + 1) * points;
        (&self.knots[range.clone()], &self.scores[range])
    }
}

/// The value of a curve through points at rising knots: straight between them, level outside.
pub fn interpolate(knots: &[f32], values: &[f32], at: f32) -> f32 {
    let (before, share) = place(knots, at);
    let value = |index: usize| values.get(index).copied().unwrap_or(0.0);
    if share == 0.0 { value(before) } else { value(before) + share * (value(before + 1) - value(before)) }
}

/// Where a value stands among rising knots: the knot before it, and its share of the way to the next one, 0 outside.
pub fn place(knots: &[f32], at: f32) -> (usize, f32) {
    let next = knots.partition_point(|&knot| knot <= at);
    if next == 0 || next >= knots.len() {
        return (next.min(knots.len().saturating_sub(1)), 0.0);
    }
    (next - 1, (at - knots[next - 1]) / (knots[next] - knots[next - 1]))
}

fn invalid(why: String) -> Error {
    Error::new(ErrorKind::InvalidBundle, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::Values;

    #[test]
    fn a_curve_is_straight_between_its_points_and_level_outside() {
        let (knots, values) = ([-1.0, 0.0, 0.0, 2.0], [0.1, 0.2, 0.4, 0.8]);
        let at = |x| interpolate(&knots, &values, x);
        assert_eq!((at(-9.0), at(-1.0), at(-0.5)), (0.1, 0.1, 0.15));
        assert_eq!((at(0.0), at(1.0), at(2.0), at(9.0)), (0.4, 0.6, 0.8, 0.8));
    }

    fn weights(knots: [f32; 4]) -> Weights {
        let mut weights = Weights::default();
        let mut add = |name: &str, shape: [usize; 2], data: Vec<f32>| {
            weights.insert(name, Values { shape: shape.to_vec(), data }).unwrap();
        };
        add("embeddings", [2, 3], vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        add("knots", [2, 2], knots.to_vec());
        add("scores", [2, 2], vec![0.0, 1.0, 0.2, 0.6]);
        weights
    }

    #[test]
    fn scores_follow_each_movement_s_own_curve() {
        let names = ["jawOpen", "browDown"].map(String::from);
        let set = MovementSet::take(&names, &mut weights([-1.0, 1.0, 0.0, 0.5]), 3).unwrap();
        let scores = set.scores(&[0.5, 0.25]);
        for (found, (name, score)) in scores.iter().zip([("jawOpen", 0.75), ("browDown", 0.4)]) {
            assert!(found.name == name && (found.score - score).abs() < 1e-6, "{found:?}");
        }
    }

    #[test]
    fn what_can_t_stand_is_named() {
        let names = ["jawOpen", "browDown"].map(String::from);
        let falling = MovementSet::take(&names, &mut weights([-1.0, 1.0, 0.5, 0.0]), 3).unwrap_err().to_string();
        assert!(falling.contains("browDown"), "{falling}");
        let twice = ["jawOpen", "jawOpen"].map(String::from);
        let twice = MovementSet::take(&twice, &mut weights([-1.0, 1.0, 0.0, 0.5]), 3).unwrap_err().to_string();
        assert!(twice.contains("twice"), "{twice}");
        let wide = MovementSet::take(&names, &mut weights([-1.0, 1.0, 0.0, 0.5]), 4).unwrap_err().to_string();
        assert!(wide.contains("embeddings"), "{wide}");
    }
}
