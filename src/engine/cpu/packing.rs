//! The encoder while its tensors arrive: a block that is whole is packed at once, so that a start waits for none of them.

use super::convolution::Convolution;
use super::encoder::{Block, CpuEncoder, CpuOptions, StemStage, load_norm};
use super::gemm::Matrix;
use super::linear::{Arithmetic, Linear};
use super::thread_pool::ThreadPool;
use crate::config::layout::{channels_last, stage_layouts};
use crate::config::{EncoderConfig, TokenPool, block_tensors};
use crate::error::Result;
use crate::tensors::Weights;

/// An encoder of which not all tensors are here.
#[derive(Debug)]
pub struct CpuPacking {
    config: EncoderConfig,
    arithmetic: Option<Arithmetic>,
    blocks: Vec<Block>,
}

impl CpuPacking {
    /// Of no tensor yet. It will compute in `arithmetic`, or in what its weights are stored for.
    ///
    /// # Errors
    /// As [`EncoderConfig::validate`].
    pub fn new(config: &EncoderConfig, arithmetic: Option<Arithmetic>) -> Result<Self> {
        config.validate()?;
        Ok(Self { config: config.clone(), arithmetic, blocks: Vec::new() })
    }

    /// Packs the blocks whose tensors are all here, taking them out of `weights`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidWeights`] for a tensor of another shape.
    pub fn advance(&mut self, weights: &mut Weights) -> Result<()> {
        let width = self.config.width;
        while self.blocks.len() < self.config.layers {
            let name = block_name(self.blocks.len());
            if !block_tensors(&name, width).iter().all(|(tensor, _)| weights.contains(tensor)) {
                break;
            }
            self.pack_block(weights)?;
        }
        Ok(())
    }

    /// The encoder, with the tensors that are left: those that [`EncoderConfig::tensors`] lists, less the packed blocks'.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidWeights`] for one that is missing or has another shape.
    pub fn finish(mut self, weights: &mut Weights, pool: ThreadPool) -> Result<CpuEncoder> {
        let arithmetic = self.arithmetic(weights);
        let embeddings = "vision_model.embeddings";
        let mut stem = Vec::new();
        for (index, layout) in stage_layouts(&self.config).into_iter().enumerate() {
            let name = format!("{embeddings}.stem.{index}.convolution");
            stem.push(StemStage { convolution: Convolution::load(weights, &name, layout, arithmetic)?, layout });
        }
        let (width, channels, patch) = (self.config.width, self.config.patch_channels(), self.config.patch);
        let weight = weights.take(&format!("{embeddings}.patch_embedding.weight"), &[width, channels, patch, patch])?;
        let patch_embedding = Matrix::pack(&channels_last(&weight, channels, patch), &[], self.config.patch_values());
        drop(weight);
        while self.blocks.len() < self.config.layers {
            self.pack_block(weights)?;
        }
        let Self { config, blocks, .. } = self;
        Ok(CpuEncoder {
            stem,
            patch_embedding,
            class_embedding: match config.pool {
                TokenPool::Class => weights.take(&format!("{embeddings}.class_embedding"), &[width])?,
                TokenPool::Mean => Vec::new(),
            },
            position_embedding: weights
                .take(&format!("{embeddings}.position_embedding.weight"), &[config.tokens(), width])?,
            pre_norm: load_norm(weights, "vision_model.pre_layrnorm", width)?,
            blocks,
            post_norm: load_norm(weights, "vision_model.post_layernorm", width)?,
            // One row a picture: 8 bits would spare nothing, and their rounding would be the embedding's own.
            projection: Matrix::pack(
                &weights.take("visual_projection.weight", &[config.embedding, width])?,
                &[],
                width,
            ),
            config,
            options: CpuOptions { arithmetic, pool },
            buffers: Default::default(),
            work: Default::default(),
        })
    }

    /// What was asked for; else 8 bits where the first weights that come are rounded to them already.
    fn arithmetic(&mut self, weights: &Weights) -> Arithmetic {
        *self.arithmetic.get_or_insert_with(|| Arithmetic::as_stored(weights))
    }

    fn pack_block(&mut self, weights: &mut Weights) -> Result<()> {
        let arithmetic = self.arithmetic(weights);
        let width = self.config.width;
        let name = block_name(self.blocks.len());
        let mut linear = |names: &[&str], [inputs, outputs]: [usize; 2]| {
            let names: Vec<_> = names.iter().map(|part| format!("{name}.{part}")).collect();
            Linear::load(weights, &names, [inputs, outputs], arithmetic)
        };
        let qkv = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"];
        self.blocks.push(Block {
            qkv: linear(&qkv, [width, width])?,
            output: linear(&["self_attn.out_proj"], [width, width])?,
            first: linear(&["mlp.fc1"], [width, 4 * width])?,
            second: linear(&["mlp.fc2"], [4 * width, width])?,
            first_norm: load_norm(weights, &format!("{name}.layer_norm1"), width)?,
            second_norm: load_norm(weights, &format!("{name}.layer_norm2"), width)?,
        });
        Ok(())
    }
}

impl CpuEncoder {
    /// From named tensors, which it takes out of `weights` ([`EncoderConfig::tensors`] lists them), as they are stored, on
    /// this thread.
    pub fn load(weights: &mut Weights, config: &EncoderConfig) -> Result<Self> {
        let options = CpuOptions::as_stored(weights, ThreadPool::single());
        Self::load_with(weights, config, options)
    }

    /// The same, computing as `options` say.
    pub fn load_with(weights: &mut Weights, config: &EncoderConfig, options: CpuOptions) -> Result<Self> {
        CpuPacking::new(config, Some(options.arithmetic))?.finish(weights, options.pool)
    }
}

fn block_name(layer: usize) -> String {
    format!("vision_model.encoder.layers.{layer}")
}
