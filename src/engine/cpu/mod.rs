//! The lean CPU encoder: the configuration and weights of `engine::burn` without Burn, for the browser's CPU file.
//!
//! A general engine spends half its time around the products (packing, passes over memory, small products). Here
//! weights are packed once at load, biases and activations ride on the products, and no layer allocates. The stem's
//! convolutions take the way of fewest products that their weights' bytes allow (`convolution`).
//!
//! Every kernel is written once, in the vectors of `simd`: relaxed or plain SIMD in a browser's file, AVX2 or
//! whatever the compiler knows natively.

mod attention;
pub(crate) mod convolution;
mod encoder;
pub(crate) mod gemm;
mod gemm_int8;
mod linear;
pub(crate) mod memory;
mod packing;
mod scorer;
mod simd;
mod temporal;
#[cfg(feature = "sentences")]
pub mod text;
#[cfg_attr(
    all(target_arch = "wasm32", not(feature = "threads")),
    allow(dead_code, reason = "a file without shared memory has no helpers")
)]
mod thread_pool;
mod vector_math;

pub use encoder::{CpuEncoder, CpuOptions, CpuWork};
pub use linear::Arithmetic;
pub use packing::CpuPacking;
pub use scorer::WindowScorer;
pub use temporal::CpuTemporalHead;
pub use thread_pool::ThreadPool;

use crate::bundle::Bundle;
use crate::engine::Engine;
use crate::error::Result;

/// The CPU's engine: encoder, temporal head and descriptors in memory.
#[derive(Debug)]
pub struct CpuEngine {
    encoder: CpuEncoder,
    scorer: WindowScorer,
}

impl CpuEngine {
    /// The model of a bundle, taking its weights, which it computes with as they are stored, on this thread.
    pub fn from_bundle(bundle: &mut Bundle) -> Result<Self> {
        let options = CpuOptions::as_stored(&bundle.weights, ThreadPool::single());
        Self::from_bundle_with(bundle, options)
    }

    /// The same, computing as `options` say.
    pub fn from_bundle_with(bundle: &mut Bundle, options: CpuOptions) -> Result<Self> {
        let packing = CpuPacking::new(&bundle.manifest.encoder, Some(options.arithmetic))?;
        Self::from_packing(packing, bundle, options.pool)
    }

    /// The same with an encoder of which parts are packed already; the bundle has the rest.
    pub fn from_packing(packing: CpuPacking, bundle: &mut Bundle, pool: ThreadPool) -> Result<Self> {
        let mut weights = std::mem::take(&mut bundle.weights);
        let encoder = packing.finish(&mut weights, pool)?;
        weights.finish()?;
        Ok(Self { encoder, scorer: WindowScorer::from_bundle(bundle)? })
    }

    /// How its encoder computes.
    pub fn options(&self) -> &CpuOptions {
        self.encoder.options()
    }
}

impl Engine for CpuEngine {
    type Embedding = Vec<f32>;

    async fn encode(&mut self, pixels: Vec<f32>) -> Result<Vec<f32>> {
        Ok(self.encoder.encode(&pixels))
    }

    async fn encode_patches(&mut self, pixels: Vec<f32>) -> Result<(Vec<f32>, Vec<f32>)> {
        self.encoder.encode_patches(&pixels)
    }

    async fn similarities(&self, frames: &[&Vec<f32>]) -> Result<Vec<f32>> {
        Ok(self.scorer.similarities(frames))
    }

    fn set_rows(&mut self, rows: Vec<f32>) {
        self.scorer.set_rows(rows);
    }

    /// Its kernels are what was compiled.
    fn proving_passes(&self) -> usize {
        1
    }

    async fn read(&self, embedding: &Vec<f32>) -> Result<Vec<f32>> {
        Ok(embedding.clone())
    }
}

/// Whether a test's case of so many products suits what runs it: Miri, an interpreter, is some thousand times slower.
#[cfg(test)]
fn suits_interpreter(products: usize) -> bool {
    !cfg!(miri) || products < 6_000
}
