//! Plans and packed weights through whatever executes them.

use super::kernels::{Adapter, Storage};
use super::pack::{bytes, fits_f16, pack_matrix};
use super::patches::PatchHead;
use super::plan::{PlainPlan, Plan, Source, plan, unsupported};
use crate::bundle::Bundle;
use crate::config::EncoderConfig;
use crate::config::layout::channels_last;
use crate::engine::cpu::WindowScorer;
use crate::engine::{Engine, Work};
use crate::error::{Error, ErrorKind, Result};
use crate::evidence::{check_patches, mean_row};
use crate::tensors::Weights;

/// Most pictures of one pass: more are split, so that memory stays bounded.
const MOST: usize = 8;

/// A device that executes plans: in a browser `www/src/worker/gpu.ts`.
#[allow(async_fn_in_trait, reason = "one thread drives a session: the futures need not be Send")]
pub trait Gpu {
    /// What kind of adapter it is.
    fn adapter(&self) -> Adapter;

    /// Keeps these bytes on the device; uploads count up from 0.
    fn upload(&self, bytes: &[u8]) -> Result<()>;

    /// Compiles the plan's kernels and makes its buffers, in place of an earlier plan's.
    async fn prepare(&self, plan: &PlainPlan) -> Result<()>;

    /// Runs the plan on these pixels and reads the output.
    async fn run(&self, pixels: &[f32]) -> Result<Vec<f32>>;
}

/// The image encoder on a GPU.
#[derive(Debug)]
pub struct GpuEncoder<G> {
    gpu: G,
    config: EncoderConfig,
    storage: Storage,
    plan: Plan,
    patches: Option<PatchHead>,
    work: Work,
}

impl<G: Gpu> GpuEncoder<G> {
    /// From named tensors, which it takes out of `weights` one by one ([`EncoderConfig::tensors`] lists them).
    ///
    /// `storage`: of the matrices; by default f16 on hardware if that loses nothing, else f32.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceUnavailable`] where the kernels can't run the configuration or the device refuses them.
    pub async fn load(gpu: G, weights: &mut Weights, config: &EncoderConfig, storage: Option<Storage>) -> Result<Self> {
        config.validate()?;
        if let Some(why) = unsupported(config) {
            return Err(Error::new(
                ErrorKind::DeviceUnavailable,
                format!("WebGPU can't run this encoder: {why}; take device 'auto' or 'cpu'"),
            ));
        }
        let storage = storage.unwrap_or_else(|| {
            let lossless = || weights.names().all(|name| weights.get(name).is_none_or(|values| fits_f16(&values.data)));
            // Half the bytes to read is what counts on hardware; unpacking is what counts on a CPU.
            if gpu.adapter() == Adapter::Hardware && lossless() { Storage::F16 } else { Storage::F32 }
        });
        let patches = PatchHead::copy(weights, config, storage);
        let plan = plan(config, 1, gpu.adapter());
        for source in &plan.sources {
            upload(&gpu, weights, source, storage)?;
        }
        gpu.prepare(&plan.plain(config, gpu.adapter(), storage)).await?;
        Ok(Self { gpu, config: config.clone(), storage, plan, patches, work: Work::default() })
    }

    /// # Shapes
    /// - pixels: `[batch, channels, side, side]`
    /// - output: `[batch, embedding]`, of any length
    pub async fn encode(&mut self, pixels: &[f32]) -> Result<Vec<f32>> {
        let values = self.config.channels * self.config.side * self.config.side;
        let mut embeddings = Vec::with_capacity(pixels.len() / values * self.config.embedding);
        for chunk in pixels.chunks(MOST * values) {
            embeddings.extend(self.run(chunk.len() / values, false, chunk).await?);
        }
        Ok(embeddings)
    }

    /// The patches' embeddings, whose mean is the embedding ([`crate::evidence`]).
    ///
    /// # Shapes
    /// - pixels: `[channels, side, side]`
    /// - output: `[patches, embedding]`
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] where the encoder has a class token.
    pub async fn encode_patches(&mut self, pixels: &[f32]) -> Result<Vec<f32>> {
        check_patches(&self.config)?;
        let tokens = self.run(1, true, pixels).await?;
        match &self.patches {
            Some(head) if tokens.len() == self.config.patches() * self.config.width => Ok(head.run(tokens)),
            _ => Err(Error::new(
                ErrorKind::DeviceUnavailable,
                format!(
                    "WebGPU gave {} values for the tokens; create the recognizer again or take device 'cpu'",
                    tokens.len()
                ),
            )),
        }
    }

    /// One pass, whose tokens are read or its embeddings; its plan is prepared unless it is the last pass's.
    async fn run(&mut self, batch: usize, tokens: bool, pixels: &[f32]) -> Result<Vec<f32>> {
        if (batch, tokens) != (self.plan.batch, self.plan.reads_tokens()) {
            let plan = plan(&self.config, batch, self.gpu.adapter());
            let plan = if tokens { plan.with_tokens(&self.config) } else { plan };
            self.gpu.prepare(&plan.plain(&self.config, self.gpu.adapter(), self.storage)).await?;
            self.plan = plan;
        }
        let found = self.gpu.run(pixels).await?;
        self.work.dispatches += self.plan.steps.len() as u64;
        self.work.uploaded_bytes += 4 * pixels.len() as u64;
        self.work.read_bytes += 4 * found.len() as u64;
        Ok(found)
    }
}

fn upload(gpu: &impl Gpu, weights: &mut Weights, source: &Source, storage: Storage) -> Result<()> {
    match source {
        Source::Matrix { names, outputs, inputs, bias } => {
            let (mut rows, mut shifts) = (Vec::new(), Vec::new());
            for name in names {
                rows.extend(weights.take(&format!("{name}.weight"), &[*outputs, *inputs])?);
                if *bias {
                    shifts.extend(weights.take(&format!("{name}.bias"), &[*outputs])?);
                }
            }
            upload_matrix(gpu, &rows, &shifts, *inputs, storage)
        }
        Source::Convolution { name, outputs, channels, side, bias } => {
            let weight = weights.take(&format!("{name}.weight"), &[*outputs, *channels, *side, *side])?;
            let shifts = if *bias { weights.take(&format!("{name}.bias"), &[*outputs])? } else { Vec::new() };
            upload_matrix(gpu, &channels_last(&weight, *channels, *side), &shifts, channels * side * side, storage)
        }
        Source::Norm { name, width } => {
            let mut both = weights.take(&format!("{name}.weight"), &[*width])?;
            both.extend(weights.take(&format!("{name}.bias"), &[*width])?);
            gpu.upload(&bytes(&both))
        }
        Source::Plain { name, shape } => gpu.upload(&bytes(&weights.take(name, shape)?)),
        Source::Nothing => gpu.upload(&[0; 16]),
    }
}

fn upload_matrix(gpu: &impl Gpu, rows: &[f32], bias: &[f32], inputs: usize, storage: Storage) -> Result<()> {
    let packed = pack_matrix(rows, bias, inputs, storage);
    gpu.upload(&packed.weights)?;
    gpu.upload(&packed.scales)
}

/// The GPU's engine: the encoder there; windows, temporal head and descriptors here, since they are a few thousand values.
#[derive(Debug)]
pub struct GpuEngine<G> {
    encoder: GpuEncoder<G>,
    scorer: WindowScorer,
}

impl<G: Gpu> GpuEngine<G> {
    /// The model of a bundle, taking its weights.
    pub async fn from_bundle(gpu: G, bundle: &mut Bundle, storage: Option<Storage>) -> Result<Self> {
        let mut weights = std::mem::take(&mut bundle.weights);
        let encoder = GpuEncoder::load(gpu, &mut weights, &bundle.manifest.encoder, storage).await?;
        weights.finish()?;
        Ok(Self { encoder, scorer: WindowScorer::from_bundle(bundle)? })
    }
}

impl<G: Gpu> Engine for GpuEngine<G> {
    type Embedding = Vec<f32>;

    async fn encode(&mut self, pixels: Vec<f32>) -> Result<Vec<f32>> {
        self.encoder.encode(&pixels).await
    }

    async fn encode_all(&mut self, pixels: &[f32], _values: usize) -> Result<Vec<f32>> {
        self.encoder.encode(pixels).await
    }

    async fn encode_each(&mut self, pictures: Vec<Vec<f32>>) -> Result<Vec<Vec<f32>>> {
        let all = self.encoder.encode(&pictures.concat()).await?;
        Ok(all.chunks(all.len() / pictures.len()).map(<[f32]>::to_vec).collect())
    }

    async fn encode_patches(&mut self, pixels: Vec<f32>) -> Result<(Vec<f32>, Vec<f32>)> {
        let patches = self.encoder.encode_patches(&pixels).await?;
        Ok((mean_row(&patches, self.encoder.config.embedding), patches))
    }

    async fn similarities(&self, frames: &[&Vec<f32>]) -> Result<Vec<f32>> {
        Ok(self.scorer.similarities(frames))
    }

    fn set_rows(&mut self, rows: Vec<f32>) {
        self.scorer.set_rows(rows);
    }

    async fn read(&self, embedding: &Vec<f32>) -> Result<Vec<f32>> {
        Ok(embedding.clone())
    }

    fn work(&self) -> Option<Work> {
        Some(self.encoder.work)
    }
}
