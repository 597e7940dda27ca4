//! Unit vectors that windows of embeddings are compared with.

use crate::math::dot;

/// Unit vectors of one width: descriptors, then movements.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    values: Vec<f32>,
    width: usize,
}

impl Rows {
    /// # Shapes
    /// - values: `[rows, width]`, unit vectors
    pub fn new(values: Vec<f32>, width: usize) -> Self {
        Self { values, width }
    }

    /// Others of the same width.
    pub fn with(&self, values: Vec<f32>) -> Self {
        Self { values, width: self.width }
    }

    /// Cosine of each row with a unit vector, `[rows]`.
    pub fn similarities(&self, unit: &[f32]) -> Vec<f32> {
        similarities(&self.values, unit)
    }

    /// The same for a window of frames, each `[width]`: their mean, brought to unit length.
    pub fn pooled_similarities(&self, frames: &[&Vec<f32>]) -> Vec<f32> {
        let mut pooled = vec![0.0; self.width];
        for frame in frames {
            pooled.iter_mut().zip(*frame).for_each(|(sum, value)| *sum += value);
        }
        let length = pooled.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-12);
        pooled.iter_mut().for_each(|value| *value /= length);
        self.similarities(&pooled)
    }
}

/// Products of rows `[rows, width]` with one vector `[width]`.
pub fn similarities(rows: &[f32], unit: &[f32]) -> Vec<f32> {
    rows.chunks_exact(unit.len().max(1)).map(|row| dot(row, unit)).collect()
}
