//! The forward pass of [`EncoderConfig`] over packed weights and one set of buffers.

use std::fmt;

use super::attention::{Attention, Sizes};
use super::convolution::{Convolution, Scratch};
use super::gemm::{Epilogue, Matrix};
use super::gemm_int8::QuantizedRows;
use super::linear::{Arithmetic, Linear};
use super::memory::{Aligned, Rows};
use super::simd;
use super::thread_pool::ThreadPool;
use super::vector_math::LayerNorm;
use crate::config::layout::{StageLayout, channels_last, stage_layouts};
use crate::config::{EncoderConfig, LAYER_NORM_EPSILON, TokenPool};
use crate::error::Result;
use crate::evidence;
use crate::tensors::Weights;

#[derive(Debug)]
pub(super) struct Norm {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) epsilon: f32,
}

#[derive(Debug)]
struct StemStage {
    convolution: Convolution,
    layout: StageLayout,
}

#[derive(Debug)]
struct Block {
    first_norm: Norm,
    qkv: Linear,
    output: Linear,
    second_norm: Norm,
    first: Linear,
    second: Linear,
}

/// How the encoder computes.
#[derive(Debug, Clone, Default)]
pub struct CpuOptions {
    /// Of the stem's and the blocks' products.
    pub arithmetic: Arithmetic,
    /// Who computes.
    pub pool: ThreadPool,
}

impl CpuOptions {
    /// In the arithmetic that weights are stored for: 8 bits where they are rounded to them already.
    pub fn as_stored(weights: &Weights, pool: ThreadPool) -> Self {
        let arithmetic = if weights.has_int8() { Arithmetic::Int8 } else { Arithmetic::F32 };
        Self { arithmetic, pool }
    }
}

/// For people: `relaxed SIMD, 2 threads, 8-bit products`.
impl fmt::Display for CpuOptions {
    fn fmt(&self, output: &mut fmt::Formatter) -> fmt::Result {
        let threads = self.pool.threads();
        write!(output, "{}, {threads} thread{}", simd::name(), if threads == 1 { "" } else { "s" })?;
        match self.arithmetic {
            Arithmetic::F32 => Ok(()),
            Arithmetic::Int8 => write!(output, ", 8-bit products"),
        }
    }
}

/// Work done so far; tests count it instead of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuWork {
    /// Encoder passes.
    pub passes: u64,
    /// Multiplications and additions of products, in pairs.
    pub multiply_adds: u64,
}

/// The image encoder on the CPU, one picture at a time.
#[derive(Debug)]
pub struct CpuEncoder {
    config: EncoderConfig,
    stem: Vec<StemStage>,
    patch_embedding: Matrix,
    /// Empty where the tokens' mean is taken.
    class_embedding: Vec<f32>,
    position_embedding: Vec<f32>,
    pre_norm: Norm,
    blocks: Vec<Block>,
    post_norm: Norm,
    projection: Matrix,
    options: CpuOptions,
    buffers: Buffers,
    work: CpuWork,
}

/// What one pass writes, kept between passes.
#[derive(Debug, Default)]
struct Buffers {
    map: Aligned<f32>,
    next: Aligned<f32>,
    scratch: Scratch,
    hidden: Aligned<f32>,
    normed: Aligned<f32>,
    qkv: Aligned<f32>,
    wide: Aligned<f32>,
    attended: Aligned<f32>,
    attention: Attention,
    quantized: QuantizedRows,
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
        config.validate()?;
        let arithmetic = options.arithmetic;
        let width = config.width;
        let embeddings = "vision_model.embeddings";
        let mut stem = Vec::new();
        for (index, layout) in stage_layouts(config).into_iter().enumerate() {
            let name = format!("{embeddings}.stem.{index}.convolution");
            stem.push(StemStage { convolution: Convolution::load(weights, &name, layout, arithmetic)?, layout });
        }
        let (channels, patch) = (config.patch_channels(), config.patch);
        let weight = weights.take(&format!("{embeddings}.patch_embedding.weight"), &[width, channels, patch, patch])?;
        let patch_embedding = Matrix::pack(&channels_last(&weight, channels, patch), &[], config.patch_values());
        drop(weight);
        let blocks = (0..config.layers)
            .map(|layer| {
                let name = format!("vision_model.encoder.layers.{layer}");
                let mut linear = |names: &[&str], [inputs, outputs]: [usize; 2]| {
                    let names: Vec<_> = names.iter().map(|part| format!("{name}.{part}")).collect();
                    Linear::load(weights, &names, [inputs, outputs], arithmetic)
                };
                let qkv = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"];
                Ok(Block {
                    qkv: linear(&qkv, [width, width])?,
                    output: linear(&["self_attn.out_proj"], [width, width])?,
                    first: linear(&["mlp.fc1"], [width, 4 * width])?,
                    second: linear(&["mlp.fc2"], [4 * width, width])?,
                    first_norm: load_norm(weights, &format!("{name}.layer_norm1"), width)?,
                    second_norm: load_norm(weights, &format!("{name}.layer_norm2"), width)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
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
            config: config.clone(),
            options,
            buffers: Buffers::default(),
            work: CpuWork::default(),
        })
    }

    /// Work done so far.
    pub fn work(&self) -> CpuWork {
        self.work
    }

    /// # Shapes
    /// - pixels: `[channels, side, side]`
    /// - output: `[embedding]`, of any length
    pub fn encode(&mut self, pixels: &[f32]) -> Vec<f32> {
        let mut embedding = vec![0.0; self.config.embedding];
        self.encode_into(pixels, &mut embedding);
        embedding
    }

    /// The same without an allocation, once a pass has made the buffers.
    pub fn encode_into(&mut self, pixels: &[f32], embedding: &mut [f32]) {
        let config = &self.config;
        let pool = &self.options.pool;
        let (width, tokens, grid) = (config.width, config.tokens(), config.grid());
        let Buffers { map, next, scratch, hidden, normed, qkv, wide, attended, attention, quantized } =
            &mut self.buffers;
        let mut multiply_adds = 0;

        // Channels last, with one zero pixel at the end that stands for the border.
        let plane = config.side * config.side;
        map.resize((plane + 1) * config.channels);
        for (channel, pixels) in pixels.chunks_exact(plane).enumerate() {
            for (pixel, &value) in map.chunks_exact_mut(config.channels).zip(pixels) {
                pixel[channel] = value;
            }
        }
        for stage in &self.stem {
            let (channels, output) = (stage.layout.channels, stage.layout.stage.channels);
            let border = map.len() - channels;
            map[border..].fill(0.0);
            next.resize((stage.layout.output_side().pow(2) + 1) * output);
            stage.convolution.run(pool, map, scratch, next, config.activation);
            multiply_adds += stage.convolution.multiply_adds();
            std::mem::swap(map, next);
        }

        let (patch, channels) = (config.patch, config.patch_channels());
        let side = grid * patch;
        let rows = &mut scratch.rows;
        rows.resize(grid * grid * config.patch_values());
        let line = patch * channels;
        for (index, row) in rows.chunks_exact_mut(line).enumerate() {
            let (position, down) = (index / patch, index % patch);
            let (top, left) = (position / grid * patch, position % grid * patch);
            row.copy_from_slice(&map[((top + down) * side + left) * channels..][..line]);
        }
        wide.resize(tokens * 4 * width);
        let class = self.class_embedding.len();
        wide[..class].copy_from_slice(&self.class_embedding);
        let lines = Rows { values: rows, stride: config.patch_values() };
        self.patch_embedding.gemm(pool, grid * grid, lines, &mut wide[class..], width, Epilogue::Store);
        multiply_adds += self.patch_embedding.multiply_adds(grid * grid);
        for (value, position) in wide.iter_mut().zip(&self.position_embedding) {
            *value += position;
        }
        hidden.resize(tokens * width);
        normed.resize(tokens * width);
        attended.resize(tokens * width);
        qkv.resize(tokens * 3 * width);
        self.pre_norm.run(pool, &wide[..tokens * width], hidden);

        let size = width / config.heads;
        for (index, block) in self.blocks.iter().enumerate() {
            // A class token leaves the last block alone: the other rows need no attention output and no MLP.
            let last = index + 1 == self.blocks.len() && config.pool == TokenPool::Class;
            let kept = if last { 1 } else { tokens };
            let mut linear = |linear: &Linear, rows: usize, input: &[f32], output: &mut [f32], epilogue: Epilogue| {
                linear.gemm(pool, quantized, rows, input, output, epilogue);
                multiply_adds += linear.multiply_adds(rows);
            };
            block.first_norm.run(pool, hidden, normed);
            linear(&block.qkv, tokens, normed, qkv, Epilogue::Store);
            attention.run(pool, Sizes { tokens, heads: config.heads, size, kept }, qkv, attended);
            linear(&block.output, kept, attended, hidden, Epilogue::Add);
            block.second_norm.run(pool, &hidden[..kept * width], normed);
            linear(&block.first, kept, normed, wide, Epilogue::Activate(config.activation));
            linear(&block.second, kept, wide, hidden, Epilogue::Add);
            multiply_adds += (2 * kept * tokens * width) as u64;
        }
        // The tokens stay as they are: `encode_patches` goes on with them.
        let (first, others) = hidden.split_at(width);
        let pooled = &mut attended[..width];
        pooled.copy_from_slice(first);
        if config.pool == TokenPool::Mean {
            for token in others.chunks_exact(width) {
                pooled.iter_mut().zip(token).for_each(|(sum, value)| *sum += value);
            }
            pooled.iter_mut().for_each(|sum| *sum /= tokens as f32);
        }
        self.post_norm.run(&ThreadPool::single(), pooled, normed);
        let line = Rows { values: &normed[..width], stride: width };
        self.projection.gemm(pool, 1, line, embedding, config.embedding, Epilogue::Store);
        multiply_adds += self.projection.multiply_adds(1);
        self.work.passes += 1;
        self.work.multiply_adds += multiply_adds;
    }

    /// The embedding, and those of the patches, whose mean it is ([`crate::evidence`]).
    ///
    /// # Shapes
    /// - pixels: `[channels, side, side]`
    /// - output: `[embedding]`, and `[patches, embedding]`
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] where the encoder has a class token.
    pub fn encode_patches(&mut self, pixels: &[f32]) -> Result<(Vec<f32>, Vec<f32>)> {
        evidence::check_patches(&self.config)?;
        let whole = self.encode(pixels);
        let (width, tokens, embedding) = (self.config.width, self.config.tokens(), self.config.embedding);
        let Buffers { hidden, normed, .. } = &mut self.buffers;
        let normed = &mut normed[..tokens * width];
        normed.copy_from_slice(&hidden[..tokens * width]);
        evidence::norm_with_held_statistics(normed, &self.post_norm.weight, &self.post_norm.bias);
        let mut patches = vec![0.0; tokens * embedding];
        let rows = Rows { values: normed, stride: width };
        self.projection.gemm(&self.options.pool, tokens, rows, &mut patches, embedding, Epilogue::Store);
        self.work.multiply_adds += self.projection.multiply_adds(tokens);
        Ok((whole, patches))
    }
}

impl Norm {
    /// Of every row of `input`.
    pub(super) fn run(&self, pool: &ThreadPool, input: &[f32], output: &mut [f32]) {
        LayerNorm { weight: &self.weight, bias: &self.bias, epsilon: self.epsilon, input, output }.run(pool);
    }

    /// `NAME.weight` and `NAME.bias`.
    pub(super) fn load(weights: &mut Weights, name: &str, width: usize, epsilon: f32) -> Result<Self> {
        Ok(Self {
            weight: weights.take(&format!("{name}.weight"), &[width])?,
            bias: weights.take(&format!("{name}.bias"), &[width])?,
            epsilon,
        })
    }
}

pub(super) fn load_norm(weights: &mut Weights, name: &str, width: usize) -> Result<Norm> {
    Norm::load(weights, name, width, LAYER_NORM_EPSILON)
}
