//! The lean CPU encoder: the configuration and weights of [`crate::model`] without Burn, for the browser's CPU file.
//!
//! A general engine spends half its time around the products (packing, passes over memory, small products). Here
//! weights are packed once at load, biases and activations ride on the products, and no layer allocates.

mod encoder;
mod math;
pub(crate) mod product;
mod temporal;

pub use encoder::CpuEncoder;
pub use temporal::CpuTemporalHead;

use crate::bundle::Bundle;
use crate::error::Result;
use crate::model::descriptors::Descriptors;
use crate::session::Engine;

/// The CPU's engine: encoder, temporal head and descriptors in memory.
#[derive(Debug)]
pub struct CpuEngine {
    encoder: CpuEncoder,
    temporal: Option<CpuTemporalHead>,
    descriptors: Descriptors,
}

impl CpuEngine {
    /// The model of a bundle, taking its weights.
    pub fn from_bundle(bundle: &mut Bundle) -> Result<Self> {
        let mut weights = std::mem::take(&mut bundle.weights);
        let encoder = CpuEncoder::load(&mut weights, &bundle.manifest.encoder)?;
        weights.finish()?;
        let temporal = bundle.take_temporal(|weights, config, width| CpuTemporalHead::load(weights, config, width))?;
        Ok(Self { encoder, temporal, descriptors: bundle.descriptors.clone() })
    }
}

impl Engine for CpuEngine {
    type Embedding = Vec<f32>;

    fn encode(&mut self, pixels: Vec<f32>) -> Result<Vec<f32>> {
        Ok(self.encoder.encode(&pixels))
    }

    async fn similarities(&self, frames: &[&Vec<f32>]) -> Result<Vec<f32>> {
        if let (Some(head), true) = (&self.temporal, frames.len() > 1) {
            let frames: Vec<&[f32]> = frames.iter().map(|frame| frame.as_slice()).collect();
            return Ok(self.descriptors.similarities(&head.forward(&frames)));
        }
        let mut clip = vec![0.0; self.descriptors.width()];
        for frame in frames {
            clip.iter_mut().zip(*frame).for_each(|(sum, value)| *sum += value);
        }
        math::to_unit_length(&mut clip);
        Ok(self.descriptors.similarities(&clip))
    }

    async fn read(&self, embedding: &Vec<f32>) -> Result<Vec<f32>> {
        Ok(embedding.clone())
    }
}
