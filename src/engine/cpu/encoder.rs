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
use crate::config::layout::StageLayout;
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
pub(super) struct StemStage {
    pub(super) convolution: Convolution,
    pub(super) layout: StageLayout,
}

#[derive(Debug)]
pub(super) struct Block {
    pub(super) first_norm: Norm,
    pub(super) qkv: Linear,
    pub(super) output: Linear,
    pub(super) second_norm: Norm,
    pub(super) first: Linear,
    pub(super) second: Linear,
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
        Self { arithmetic: Arithmetic::as_stored(weights), pool }
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
    pub(super) config: EncoderConfig,
    pub(super) stem: Vec<StemStage>,
    pub(super) patch_embedding: Matrix,
    /// Empty where the tokens' mean is taken.
    pub(super) class_embedding: Vec<f32>,
    pub(super) position_embedding: Vec<f32>,
    pub(super) pre_norm: Norm,
    pub(super) blocks: Vec<Block>,
    pub(super) post_norm: Norm,
    pub(super) projection: Matrix,
    pub(super) options: CpuOptions,
    pub(super) buffers: Buffers,
    pub(super) work: CpuWork,
}

/// What one pass writes, kept between passes.
#[derive(Debug, Default)]
pub(super) struct Buffers {
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
    /// How it computes.
    pub fn options(&self) -> &CpuOptions {
        &self.options
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
