//! BERT over packed weights: token ids -> one unit vector, the mean over the tokens through the projection.

use super::super::attention::{Attention, Sizes};
use super::super::encoder::Norm;
use super::super::gemm::{Epilogue, Matrix};
use super::super::gemm_int8::QuantizedRows;
use super::super::linear::{Arithmetic, Linear};
use super::super::memory::Rows;
use super::super::thread_pool::ThreadPool;
use crate::config::Activation;
use crate::engine::tokens::TextConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::tensors::{Stored, Weights};

/// A post-norm block: the norms follow the sums.
#[derive(Debug)]
struct Block {
    qkv: Linear,
    output: Linear,
    attention_norm: Norm,
    first: Linear,
    second: Linear,
    output_norm: Norm,
}

/// BERT without its pooler.
#[derive(Debug)]
pub struct CpuTextEncoder {
    /// `[vocabulary, rank]`, as they are stored: a text reads few of them.
    words: Stored,
    rank: usize,
    /// `[width, rank]`, where the table is the product of two narrow ones.
    word_projection: Option<Matrix>,
    /// `[longest, width]`, the token type's own added.
    positions: Vec<f32>,
    norm: Norm,
    blocks: Vec<Block>,
    projection: Option<Linear>,
    width: usize,
    heads: usize,
}

impl CpuTextEncoder {
    /// From the tensors of Hugging Face's `BertModel`, which it takes out of `weights`.
    pub fn load(weights: &mut Weights, config: &TextConfig) -> Result<Self> {
        let &TextConfig { hidden_size: width, num_attention_heads: heads, intermediate_size: hidden, .. } = config;
        if heads == 0 || width == 0 || !width.is_multiple_of(heads) {
            return Err(Error::new(
                ErrorKind::InvalidText,
                format!("{heads} heads can't share a width of {width}; the text encoder's sizes do not fit"),
            ));
        }
        let epsilon = config.layer_norm_eps as f32;
        let rank = config.word_rank.unwrap_or(width);
        let words = weights.take_stored("embeddings.word_embeddings.weight", &[config.vocab_size, rank])?;
        let word_projection = match config.word_rank {
            Some(rank) => {
                let rows = weights.take("embeddings.word_projection.weight", &[width, rank])?;
                Some(Matrix::pack(&rows, &[], rank))
            }
            None => None,
        };
        let longest = config.max_position_embeddings;
        let mut positions = weights.take("embeddings.position_embeddings.weight", &[longest, width])?;
        let types = weights.take("embeddings.token_type_embeddings.weight", &[2, width])?;
        for row in positions.chunks_exact_mut(width) {
            row.iter_mut().zip(&types).for_each(|(value, own)| *value += own);
        }
        let norm = |weights: &mut Weights, name: &str| Norm::load(weights, name, width, epsilon);
        let first = norm(weights, "embeddings.LayerNorm")?;
        let blocks = (0..config.num_hidden_layers)
            .map(|layer| {
                let name = |part: &str| format!("encoder.layer.{layer}.{part}");
                let mut linear = |parts: &[&str], sizes: [usize; 2]| {
                    let names: Vec<String> = parts.iter().map(|part| name(part)).collect();
                    Linear::load(weights, &names, sizes, Arithmetic::F32)
                };
                let own = ["attention.self.query", "attention.self.key", "attention.self.value"];
                Ok(Block {
                    qkv: linear(&own, [width, width])?,
                    output: linear(&["attention.output.dense"], [width, width])?,
                    first: linear(&["intermediate.dense"], [width, hidden])?,
                    second: linear(&["output.dense"], [hidden, width])?,
                    attention_norm: norm(weights, &name("attention.output.LayerNorm"))?,
                    output_norm: norm(weights, &name("output.LayerNorm"))?,
                })
            })
            .collect::<Result<_>>()?;
        let projection = match config.embedding {
            Some(embedding) => {
                Some(Linear::load(weights, &["projection".into()], [width, embedding], Arithmetic::F32)?)
            }
            None => None,
        };
        Ok(Self { words, rank, word_projection, positions, norm: first, blocks, projection, width, heads })
    }

    /// One text's unit vector, `[width]`, or of the joint space where there is a projection.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidText`] for no token, more of them than there are positions, and an id that is no word's.
    pub fn encode(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let (width, tokens) = (self.width, ids.len());
        let most = self.positions.len() / width;
        if tokens == 0 || tokens > most {
            let why = format!("a text has {tokens} tokens; 1 to {most} can be encoded");
            return Err(Error::new(ErrorKind::InvalidText, why));
        }
        let (pool, mut quantized) = (ThreadPool::single(), QuantizedRows::default());
        let mut words = Vec::with_capacity(tokens * self.rank);
        for &id in ids {
            words.extend(self.word(id)?);
        }
        let mut sum = vec![0.0; tokens * width];
        match &self.word_projection {
            Some(matrix) => matrix.apply(tokens, Rows { values: &words, stride: self.rank }, &mut sum, width),
            None => sum.copy_from_slice(&words),
        }
        sum.iter_mut().zip(&self.positions).for_each(|(value, position)| *value += position);
        let mut hidden = vec![0.0; tokens * width];
        self.norm.run(&pool, &sum, &mut hidden);

        let sizes = Sizes { tokens, heads: self.heads, size: width / self.heads, kept: tokens };
        let mut attention = Attention::default();
        let (mut qkv, mut attended) = (vec![0.0; tokens * 3 * width], vec![0.0; tokens * width]);
        for block in &self.blocks {
            let mut wide = vec![0.0; tokens * block.first.outputs()];
            block.qkv.gemm(&pool, &mut quantized, tokens, &hidden, &mut qkv, Epilogue::Store);
            attention.run(&pool, sizes, &qkv, &mut attended);
            block.output.gemm(&pool, &mut quantized, tokens, &attended, &mut hidden, Epilogue::Add);
            block.attention_norm.run(&pool, &hidden, &mut sum);
            block.first.gemm(&pool, &mut quantized, tokens, &sum, &mut wide, Epilogue::Activate(Activation::Gelu));
            block.second.gemm(&pool, &mut quantized, tokens, &wide, &mut sum, Epilogue::Add);
            block.output_norm.run(&pool, &sum, &mut hidden);
        }

        let mut mean = vec![0.0; width];
        for token in hidden.chunks_exact(width) {
            mean.iter_mut().zip(token).for_each(|(sum, value)| *sum += value / tokens as f32);
        }
        let mut embedding = match &self.projection {
            Some(projection) => {
                let mut embedding = vec![0.0; projection.outputs()];
                projection.gemm(&pool, &mut quantized, 1, &mean, &mut embedding, Epilogue::Store);
                embedding
            }
            None => mean,
        };
        let length = embedding.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-12);
        embedding.iter_mut().for_each(|value| *value /= length);
        Ok(embedding)
    }

    fn word(&self, id: u32) -> Result<Vec<f32>> {
        let places = id as usize * self.rank..(id as usize + 1) * self.rank;
        let unknown = || Error::new(ErrorKind::InvalidText, format!("the token {id} is none of the vocabulary's"));
        Ok(match &self.words {
            Stored::F32(values) => values.get(places).ok_or_else(unknown)?.to_vec(),
            Stored::F16(values) => values.get(places).ok_or_else(unknown)?.iter().map(|value| value.to_f32()).collect(),
            Stored::Int8(rows) => {
                let values = rows.values.get(places).ok_or_else(unknown)?;
                values.iter().map(|&value| f32::from(value) * rows.scales[id as usize]).collect()
            }
        })
    }
}
