//! A window of embeddings in memory -> its cosine with every descriptor, by the temporal head or by the mean.

use super::temporal::CpuTemporalHead;
use crate::bundle::Bundle;
use crate::error::Result;
use crate::model::descriptors::Descriptors;

/// What comes after the encoder where embeddings are in memory: the temporal head, if there is one, and the descriptors.
#[derive(Debug)]
pub struct WindowScorer {
    temporal: Option<CpuTemporalHead>,
    descriptors: Descriptors,
}

impl WindowScorer {
    /// Of a bundle, taking its head's weights.
    pub fn from_bundle(bundle: &mut Bundle) -> Result<Self> {
        let temporal = bundle.take_temporal(CpuTemporalHead::load)?;
        Ok(Self { temporal, descriptors: bundle.descriptors.clone() })
    }

    /// The cosine of a window with every descriptor. A single frame is compared as it is.
    ///
    /// # Shapes
    /// - frames: `[time][embedding]`, the oldest first
    /// - output: `[descriptors]`
    pub fn similarities(&self, frames: &[&Vec<f32>]) -> Vec<f32> {
        match &self.temporal {
            Some(head) if frames.len() > 1 => {
                let frames: Vec<&[f32]> = frames.iter().map(|frame| frame.as_slice()).collect();
                self.descriptors.similarities(&head.forward(&frames))
            }
            _ => self.descriptors.pooled_similarities(frames),
        }
    }
}
