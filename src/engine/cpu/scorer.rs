//! A window of embeddings in memory -> its cosine with every row, by the temporal head or by the mean.

use super::temporal::CpuTemporalHead;
use crate::bundle::Bundle;
use crate::error::Result;
use crate::model::rows::Rows;

/// What comes after the encoder where embeddings are in memory: the temporal head, if there is one, and what it is compared with.
#[derive(Debug)]
pub struct WindowScorer {
    temporal: Option<CpuTemporalHead>,
    rows: Rows,
}

impl WindowScorer {
    /// Of a bundle, taking its head's weights.
    pub fn from_bundle(bundle: &mut Bundle) -> Result<Self> {
        let temporal = bundle.take_temporal(CpuTemporalHead::load)?;
        Ok(Self { temporal, rows: Rows::new(bundle.descriptors.embeddings().to_vec(), bundle.descriptors.width()) })
    }

    /// What windows are compared with from now on, `[rows, embedding]`.
    pub fn set_rows(&mut self, rows: Vec<f32>) {
        self.rows = self.rows.with(rows);
    }

    /// The cosine of a window with every row. A single frame is compared as it is.
    ///
    /// # Shapes
    /// - frames: `[time][embedding]`, the oldest first
    /// - output: `[rows]`
    pub fn similarities(&self, frames: &[&Vec<f32>]) -> Vec<f32> {
        match &self.temporal {
            Some(head) if frames.len() > 1 => {
                let frames: Vec<&[f32]> = frames.iter().map(|frame| frame.as_slice()).collect();
                self.rows.similarities(&head.forward(&frames))
            }
            _ => self.rows.pooled_similarities(frames),
        }
    }
}
