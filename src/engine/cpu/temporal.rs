//! The forward pass of [`TemporalConfig`] over packed weights: [`crate::engine::burn::TemporalHead`] without Burn.

use super::encoder::{Norm, load_norm};
use super::gemm::{Epilogue, Matrix};
use super::memory::Rows;
use super::thread_pool::ThreadPool;
use crate::config::{Activation, TemporalConfig};
use crate::error::Result;
use crate::tensors::Weights;

#[derive(Debug)]
struct Layer {
    first_norm: Norm,
    queries: Matrix,
    /// Keys, then values.
    keys_values: Matrix,
    output: Matrix,
    second_norm: Norm,
    first: Matrix,
    second: Matrix,
}

/// The temporal head on the CPU, one window at a time.
#[derive(Debug)]
pub struct CpuTemporalHead {
    config: TemporalConfig,
    width: usize,
    class_embedding: Vec<f32>,
    position_embedding: Vec<f32>,
    layers: Vec<Layer>,
}

impl CpuTemporalHead {
    /// From named tensors, which it takes out of `weights` ([`TemporalConfig::tensors`] lists them).
    pub fn load(weights: &mut Weights, config: &TemporalConfig, width: usize) -> Result<Self> {
        config.validate()?;
        let inner = config.heads * config.head_width;
        let layers = (0..config.layers)
            .map(|layer| {
                let name = format!("temporal.layers.{layer}");
                let mut projection =
                    |part: &str| weights.take(&format!("{name}.self_attn.{part}.weight"), &[inner, width]);
                let queries = Matrix::pack(&projection("q_proj")?, &[], width);
                let keys_values = [projection("k_proj")?, projection("v_proj")?].concat();
                Ok(Layer {
                    first_norm: load_norm(weights, &format!("{name}.layer_norm1"), width)?,
                    queries,
                    keys_values: Matrix::pack(&keys_values, &[], width),
                    output: load_matrix(weights, &format!("{name}.self_attn.out_proj"), [inner, width])?,
                    second_norm: load_norm(weights, &format!("{name}.layer_norm2"), width)?,
                    first: load_matrix(weights, &format!("{name}.mlp.fc1"), [width, config.hidden])?,
                    second: load_matrix(weights, &format!("{name}.mlp.fc2"), [config.hidden, width])?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            class_embedding: weights.take("temporal.class_embedding", &[width])?,
            position_embedding: weights.take("temporal.position_embedding.weight", &[config.frames + 1, width])?,
            layers,
            config: config.clone(),
            width,
        })
    }

    /// # Shapes
    /// - frames: `[time][embedding]`, the oldest first; at most as many as the head has positions
    /// - output: `[embedding]`, unit length
    pub fn forward(&self, frames: &[&[f32]]) -> Vec<f32> {
        let (width, tokens, pool) = (self.width, frames.len() + 1, ThreadPool::single());
        let inner = self.config.heads * self.config.head_width;
        let place = |index: usize| &self.position_embedding[index * width..][..width];
        let add = |(a, b): (&f32, &f32)| a + b;
        let mut hidden: Vec<f32> = self.class_embedding.iter().zip(place(0)).map(add).collect();
        for (index, frame) in frames.iter().enumerate() {
            hidden.extend(frame.iter().zip(place(self.config.frames + 1 - frames.len() + index)).map(add));
        }
        let mut normed = vec![0.0; tokens * width];
        let (mut queries, mut keys_values) = (vec![0.0; tokens * inner], vec![0.0; tokens * 2 * inner]);
        let (mut logits, mut attended) = (vec![0.0; tokens], vec![0.0; tokens * inner]);
        let mut wide = vec![0.0; tokens * self.config.hidden];
        for (index, layer) in self.layers.iter().enumerate() {
            // Only the class token leaves the last block.
            let kept = if index + 1 == self.layers.len() { 1 } else { tokens };
            layer.first_norm.run(&pool, &hidden, &mut normed);
            let rows = Rows { values: &normed, stride: width };
            layer.queries.apply(kept, rows, &mut queries, inner);
            layer.keys_values.apply(tokens, rows, &mut keys_values, 2 * inner);
            self.attend(kept, tokens, &queries, &keys_values, &mut logits, &mut attended);
            layer.output.add(kept, Rows { values: &attended, stride: inner }, &mut hidden, width);
            layer.second_norm.run(&pool, &hidden[..kept * width], &mut normed);
            let rows = Rows { values: &normed, stride: width };
            let epilogue = Epilogue::Activate(Activation::GeluTanh);
            layer.first.gemm(&pool, kept, rows, &mut wide, self.config.hidden, epilogue);
            layer.second.add(kept, Rows { values: &wide, stride: self.config.hidden }, &mut hidden, width);
        }
        hidden.truncate(width);
        let length = hidden.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-12);
        hidden.iter_mut().for_each(|value| *value /= length);
        hidden
    }

    /// Attention of the first `kept` tokens to all: a handful of dot products, too few to pack for.
    fn attend(
        &self,
        kept: usize,
        tokens: usize,
        queries: &[f32],
        keys_values: &[f32],
        logits: &mut [f32],
        attended: &mut [f32],
    ) {
        let (heads, size) = (self.config.heads, self.config.head_width);
        let inner = heads * size;
        let scale = (size as f32).powf(-0.5);
        for (row, head) in (0..kept).flat_map(|row| (0..heads).map(move |head| (row, head))) {
            let query = &queries[row * inner + head * size..][..size];
            for (token, logit) in logits.iter_mut().enumerate() {
                let key = &keys_values[token * 2 * inner + head * size..][..size];
                *logit = query.iter().zip(key).map(|(a, b)| a * b).sum::<f32>() * scale;
            }
            let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            logits.iter_mut().for_each(|logit| *logit = (*logit - most).exp());
            let sum: f32 = logits.iter().sum();
            let out = &mut attended[row * inner + head * size..][..size];
            out.fill(0.0);
            for token in 0..tokens {
                let value = &keys_values[token * 2 * inner + inner + head * size..][..size];
                let share = logits[token] / sum;
                out.iter_mut().zip(value).for_each(|(total, value)| *total += share * value);
            }
        }
    }
}

fn load_matrix(weights: &mut Weights, name: &str, [inputs, outputs]: [usize; 2]) -> Result<Matrix> {
    let rows = weights.take(&format!("{name}.weight"), &[outputs, inputs])?;
    let bias = weights.take(&format!("{name}.bias"), &[outputs])?;
    Ok(Matrix::pack(&rows, &bias, inputs))
}
