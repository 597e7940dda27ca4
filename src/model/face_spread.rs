//! How faces' embeddings are spread: what stands for other people's faces where somebody teaches an expression.

use rand::{Rng, rngs::SmallRng};

use crate::error::{Error, ErrorKind, Result};
use crate::math::{dot, unit};
use crate::tensors::{Values, Weights};

const NAMES: [&str; 3] = ["faces.means", "faces.axes", "faces.rest"];

/// Faces of each expression as a normal distribution: its mean, and a spread that all of them share.
#[derive(Debug, Clone, PartialEq)]
pub struct FaceSpread {
    width: usize,
    /// `[expressions, width]`.
    means: Vec<f32>,
    /// `[axes, width]`: the directions in which faces differ most, each as long as a standard deviation along it.
    axes: Vec<f32>,
    /// Standard deviation in any other direction.
    rest: f32,
}

impl FaceSpread {
    /// # Shapes
    /// - means: `[expressions, width]`
    /// - axes: `[axes, width]`, at right angles to each other
    ///
    /// # Errors
    /// [`ErrorKind::InvalidBundle`] for values that are not finite and deviations that are not above 0.
    pub fn new(means: Vec<f32>, axes: Vec<f32>, rest: f32, width: usize) -> Result<Self> {
        let lengths = axes.chunks_exact(width.max(1)).map(|axis| dot(axis, axis));
        if !means.iter().chain(&axes).all(|value| value.is_finite())
            || !lengths.chain([rest]).all(|value| value > 0.0 && value.is_finite())
        {
            return Err(Error::new(
                ErrorKind::InvalidBundle,
                "the spread of faces has values that are none; pack the model again",
            ));
        }
        Ok(Self { width, means, axes, rest })
    }

    /// Takes its tensors out of a bundle's file of descriptors; none where it has none.
    pub fn take(weights: &mut Weights, expressions: usize, width: usize) -> Result<Option<Self>> {
        let Some(axes) = weights.get(NAMES[1]) else { return Ok(None) };
        let count = axes.shape.first().copied().unwrap_or(0);
        let [means, shape, one] = [vec![expressions, width], vec![count, width], vec![1]];
        let (means, axes) = (weights.take(NAMES[0], &means)?, weights.take(NAMES[1], &shape)?);
        let rest = weights.take(NAMES[2], &one)?[0];
        Self::new(means, axes, rest, width).map(Some)
    }

    /// The inverse of [`FaceSpread::take`].
    pub fn save(&self, weights: &mut Weights) -> Result<()> {
        let rows = |data: &Vec<f32>| Values { shape: vec![data.len() / self.width, self.width], data: data.clone() };
        weights.insert(NAMES[0], rows(&self.means))?;
        weights.insert(NAMES[1], rows(&self.axes))?;
        weights.insert(NAMES[2], Values { shape: vec![1], data: vec![self.rest] })
    }

    /// Expressions that it knows faces of.
    pub fn expressions(&self) -> usize {
        self.means.len() / self.width
    }

    /// The mean face of an expression, `[width]`.
    pub fn mean(&self, expression: usize) -> &[f32] {
        &self.means[expression * self.width..(expression + 1) * self.width]
    }

    /// A face of an expression, a unit vector.
    ///
    /// - shift: how the person differs from the mean of people, `[width]`
    pub fn draw(&self, random: &mut SmallRng, expression: usize, shift: &[f32]) -> Vec<f32> {
        let mut face: Vec<f32> = self.mean(expression).iter().zip(shift).map(|(mean, shift)| mean + shift).collect();
        face.iter_mut().for_each(|value| *value += self.rest * normal(random));
        for axis in self.axes.chunks_exact(self.width) {
            let deviations = normal(random);
            face.iter_mut().zip(axis).for_each(|(value, part)| *value += deviations * part);
        }
        unit(&face)
    }

    /// A vector in the space in which faces of one expression differ as much in every direction. The map is its own
    /// transpose: a product of one mapped and one plain vector is the same either way.
    pub fn whiten(&self, vector: &[f32]) -> Vec<f32> {
        let mut whitened = vector.to_vec();
        for axis in self.axes.chunks_exact(self.width) {
            let variance = dot(axis, axis);
            let shrink = self.rest / (variance + self.rest * self.rest).sqrt() - 1.0;
            let part = shrink * dot(axis, vector) / variance;
            whitened.iter_mut().zip(axis).for_each(|(value, axis)| *value += part * axis);
        }
        whitened.iter_mut().for_each(|value| *value /= self.rest);
        whitened
    }

    /// Mean and deviation of the similarities that faces of all expressions have with a unit vector.
    ///
    /// - shares: how frequent each expression is; each as frequent as the others where that is not known
    pub fn similarities(&self, vector: &[f32], shares: &[f32]) -> [f32; 2] {
        let count = self.expressions();
        let share = |index: usize| shares.get(index).copied().unwrap_or(1.0 / count as f32);
        let means: Vec<f32> = (0..count).map(|index| dot(self.mean(index), vector)).collect();
        let mean: f32 = means.iter().enumerate().map(|(index, mean)| share(index) * mean).sum();
        let between: f32 = means.iter().enumerate().map(|(index, own)| share(index) * (own - mean).powi(2)).sum();
        let within: f32 = self.axes.chunks_exact(self.width).map(|axis| dot(axis, vector).powi(2)).sum();
        [mean, (between + within + self.rest * self.rest).sqrt()]
    }
}

/// A number of the standard normal distribution, by Box and Muller.
fn normal(random: &mut SmallRng) -> f32 {
    let (radius, turn) = (1.0 - random.random::<f32>(), random.random::<f32>());
    (-2.0 * radius.ln()).sqrt() * (std::f32::consts::TAU * turn).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn spread() -> FaceSpread {
        let means = vec![1.0, 0.0, 0.0, 0.0, 0.8, 0.6, 0.0, 0.0];
        FaceSpread::new(means, vec![0.0, 0.0, 0.3, 0.0, 0.0, 0.2, 0.0, 0.0], 0.1, 4).unwrap()
    }

    #[test]
    fn faces_are_drawn_around_their_mean() {
        let (spread, mut random) = (spread(), SmallRng::seed_from_u64(3));
        let shift = [0.0, 0.0, 0.0, 0.2];
        let faces: Vec<Vec<f32>> = (0..4000).map(|_| spread.draw(&mut random, 1, &shift)).collect();
        assert!(faces.iter().all(|face| (dot(face, face) - 1.0).abs() < 1e-5));
        let mean = unit(&crate::math::mean(&faces));
        let wanted = unit(&[0.8, 0.6, 0.0, 0.2]);
        assert!(dot(&mean, &wanted) > 0.999, "{mean:?}");
        // 0.3 along the third axis and 0.1 beside it; faces are about 1.07 long before they are made units.
        let deviation = (faces.iter().map(|face| face[2] * face[2]).sum::<f32>() / 4000.0).sqrt();
        assert!((deviation - 0.29).abs() < 0.02, "{deviation}");
    }

    #[test]
    fn whitened_axes_are_one_deviation_long() {
        let spread = spread();
        let length = |vector: &[f32]| dot(vector, vector).sqrt();
        // A deviation along an axis has the rest's share in it as well.
        for (axis, along) in [([0.0, 0.0, 1.0, 0.0], 0.3f32), ([0.0, 1.0, 0.0, 0.0], 0.2), ([0.0, 0.0, 0.0, 1.0], 0.0)]
        {
            let wanted = 1.0 / (along * along + 0.01).sqrt();
            assert!((length(&spread.whiten(&axis)) - wanted).abs() < 1e-4, "{axis:?}");
        }
        let (a, b) = ([0.3, -0.2, 0.5, 0.1], [0.2, 0.7, -0.1, 0.4]);
        assert!((dot(&spread.whiten(&a), &b) - dot(&a, &spread.whiten(&b))).abs() < 1e-4);
    }

    #[test]
    fn similarities_are_spread_as_drawn_faces_say() {
        let (spread, mut random) = (spread(), SmallRng::seed_from_u64(4));
        let vector = unit(&[0.5, 0.5, 0.5, 0.5]);
        let found: Vec<f32> = (0..8000)
            .map(|index| dot(&spread.draw(&mut random, usize::from(index % 4 == 0), &[0.0; 4]), &vector))
            .collect();
        let mean = found.iter().sum::<f32>() / 8000.0;
        let deviation = (found.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / 8000.0).sqrt();
        let [wanted, wanted_deviation] = spread.similarities(&vector, &[0.75, 0.25]);
        // Unit length costs a little of both.
        assert!((mean - wanted).abs() < 0.05 && (deviation - wanted_deviation).abs() < 0.05, "{mean} {deviation}");
    }

    #[test]
    fn it_is_saved_and_taken_back() {
        let mut weights = Weights::default();
        assert!(FaceSpread::take(&mut weights, 2, 4).unwrap().is_none());
        spread().save(&mut weights).unwrap();
        assert_eq!(FaceSpread::take(&mut weights, 2, 4).unwrap().unwrap(), spread());
        assert!(FaceSpread::new(vec![f32::NAN], vec![1.0], 1.0, 1).is_err());
        assert!(FaceSpread::new(vec![1.0], vec![1.0], 0.0, 1).is_err());
    }
}
