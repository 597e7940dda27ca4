//! The forward pass of [`EncoderConfig`] over packed weights and one set of buffers.

use super::math::{activate, layer_norm, softmax};
use super::product::{Matrix, Rows};
use crate::bundle::Weights;
use crate::config::{EncoderConfig, TokenPool};
use crate::error::Result;
use crate::model::layout::{StageLayout, channels_last, stage_layouts};

#[derive(Debug)]
pub(super) struct Norm {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

#[derive(Debug)]
struct Stage {
    convolution: Matrix,
    taps: Vec<usize>,
    layout: StageLayout,
}

#[derive(Debug)]
struct Block {
    first_norm: Norm,
    joint: Matrix,
    output: Matrix,
    second_norm: Norm,
    first: Matrix,
    second: Matrix,
}

/// The image encoder on the CPU, one picture at a time.
#[derive(Debug)]
pub struct CpuEncoder {
    config: EncoderConfig,
    stem: Vec<Stage>,
    patch_embedding: Matrix,
    /// Empty where the tokens' mean is taken.
    class_embedding: Vec<f32>,
    position_embedding: Vec<f32>,
    pre_norm: Norm,
    blocks: Vec<Block>,
    post_norm: Norm,
    projection: Matrix,
    buffers: Buffers,
}

/// What one pass writes, kept between passes.
#[derive(Debug, Default)]
struct Buffers {
    map: Vec<f32>,
    rows: Vec<f32>,
    hidden: Vec<f32>,
    normed: Vec<f32>,
    joint: Vec<f32>,
    wide: Vec<f32>,
    logits: Vec<f32>,
    mixed: Vec<f32>,
    keys: Matrix,
    values: Matrix,
}

impl CpuEncoder {
    /// From named tensors, which it takes out of `weights` ([`EncoderConfig::tensors`] lists them).
    pub fn load(weights: &mut Weights, config: &EncoderConfig) -> Result<Self> {
        config.validate()?;
        let width = config.width;
        let embeddings = "vision_model.embeddings";
        let mut stem = Vec::new();
        for (index, layout) in stage_layouts(config).into_iter().enumerate() {
            let name = format!("{embeddings}.stem.{index}");
            let (channels, output) = (layout.channels, layout.stage.channels);
            let weight = weights.take(&format!("{name}.convolution.weight"), &[output, channels, 3, 3])?;
            let bias = weights.take(&format!("{name}.convolution.bias"), &[output])?;
            stem.push(Stage {
                convolution: Matrix::pack(&channels_last(&weight, channels, 3), &bias, 9 * channels),
                taps: layout.taps(),
                layout,
            });
        }
        let (channels, patch) = (config.patch_channels(), config.patch);
        let weight = weights.take(&format!("{embeddings}.patch_embedding.weight"), &[width, channels, patch, patch])?;
        let patch_embedding = Matrix::pack(&channels_last(&weight, channels, patch), &[], config.patch_values());
        let blocks = (0..config.layers)
            .map(|layer| {
                let name = format!("vision_model.encoder.layers.{layer}");
                let attention = |product: &str| format!("{name}.self_attn.{product}");
                let joint = ["q_proj", "k_proj", "v_proj"].map(attention);
                Ok(Block {
                    first_norm: load_norm(weights, &format!("{name}.layer_norm1"), width)?,
                    joint: load_matrix(weights, &joint, [width, width])?,
                    output: load_matrix(weights, &[attention("out_proj")], [width, width])?,
                    second_norm: load_norm(weights, &format!("{name}.layer_norm2"), width)?,
                    first: load_matrix(weights, &[format!("{name}.mlp.fc1")], [width, 4 * width])?,
                    second: load_matrix(weights, &[format!("{name}.mlp.fc2")], [4 * width, width])?,
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
            projection: Matrix::pack(
                &weights.take("visual_projection.weight", &[config.embedding, width])?,
                &[],
                width,
            ),
            config: config.clone(),
            buffers: Buffers::default(),
        })
    }

    /// # Shapes
    /// - pixels: `[channels, side, side]`
    /// - output: `[embedding]`, of any length
    pub fn encode(&mut self, pixels: &[f32]) -> Vec<f32> {
        let config = &self.config;
        let (width, tokens, grid) = (config.width, config.tokens(), config.grid());
        let Buffers { map, rows, hidden, normed, joint, wide, logits, mixed, keys, values } = &mut self.buffers;

        // Channels last, with one zero pixel at the end that stands for the border.
        let plane = config.side * config.side;
        map.clear();
        map.extend(
            (0..plane).flat_map(|pixel| (0..config.channels).map(move |channel| pixels[channel * plane + pixel])),
        );
        for stage in &self.stem {
            let (channels, output) = (stage.layout.channels, stage.layout.stage.channels);
            map.resize(map.len() + channels, 0.0);
            rows.clear();
            for &tap in &stage.taps {
                rows.extend_from_slice(&map[tap * channels..][..channels]);
            }
            let positions = stage.layout.output_side().pow(2);
            map.resize(positions * output, 0.0);
            let lines = Rows { values: rows, stride: 9 * channels };
            stage.convolution.apply(positions, lines, map, output);
            activate(config.activation, map);
        }

        let (patch, channels) = (config.patch, config.patch_channels());
        let side = grid * patch;
        rows.clear();
        for position in 0..grid * grid {
            let (top, left) = (position / grid * patch, position % grid * patch);
            for line in 0..patch {
                rows.extend_from_slice(&map[((top + line) * side + left) * channels..][..patch * channels]);
            }
        }
        wide.resize(tokens * width, 0.0);
        let class = self.class_embedding.len();
        wide[..class].copy_from_slice(&self.class_embedding);
        let lines = Rows { values: rows, stride: config.patch_values() };
        self.patch_embedding.apply(grid * grid, lines, &mut wide[class..], width);
        for (value, position) in wide.iter_mut().zip(&self.position_embedding) {
            *value += position;
        }
        hidden.resize(tokens * width, 0.0);
        normed.resize(tokens * width, 0.0);
        mixed.resize(tokens * width, 0.0);
        joint.resize(tokens * 3 * width, 0.0);
        logits.resize(tokens * tokens, 0.0);
        layer_norm(&wide[..tokens * width], &self.pre_norm.weight, &self.pre_norm.bias, hidden);

        let size = width / config.heads;
        let scale = (size as f32).powf(-0.5);
        for (index, block) in self.blocks.iter().enumerate() {
            // A class token leaves the last block alone: the other rows need no attention output and no MLP.
            let last = index + 1 == self.blocks.len() && config.pool == TokenPool::Class;
            let kept = if last { 1 } else { tokens };
            layer_norm(hidden, &block.first_norm.weight, &block.first_norm.bias, normed);
            block.joint.apply(tokens, Rows { values: normed, stride: width }, joint, 3 * width);
            for head in 0..config.heads {
                let at =
                    |part: usize, token: usize, place: usize| token * 3 * width + part * width + head * size + place;
                keys.refill(size, tokens, |token, place| joint[at(1, token, place)] * scale);
                values.refill(tokens, size, |place, token| joint[at(2, token, place)]);
                keys.apply(kept, Rows { values: &joint[head * size..], stride: 3 * width }, logits, tokens);
                logits[..kept * tokens].chunks_exact_mut(tokens).for_each(softmax);
                values.apply(kept, Rows { values: logits, stride: tokens }, &mut mixed[head * size..], width);
            }
            block.output.add(kept, Rows { values: mixed, stride: width }, hidden, width);
            layer_norm(&hidden[..kept * width], &block.second_norm.weight, &block.second_norm.bias, normed);
            wide.resize(kept * 4 * width, 0.0);
            block.first.apply(kept, Rows { values: normed, stride: width }, wide, 4 * width);
            activate(config.activation, wide);
            block.second.add(kept, Rows { values: wide, stride: 4 * width }, hidden, width);
        }
        if config.pool == TokenPool::Mean {
            let (first, others) = hidden.split_at_mut(width);
            for token in others.chunks_exact(width) {
                first.iter_mut().zip(token).for_each(|(sum, value)| *sum += value);
            }
            first.iter_mut().for_each(|sum| *sum /= tokens as f32);
        }
        layer_norm(&hidden[..width], &self.post_norm.weight, &self.post_norm.bias, normed);
        let mut embedding = vec![0.0; config.embedding];
        self.projection.apply(1, Rows { values: normed, stride: width }, &mut embedding, config.embedding);
        embedding
    }
}

pub(super) fn load_norm(weights: &mut Weights, name: &str, width: usize) -> Result<Norm> {
    Ok(Norm {
        weight: weights.take(&format!("{name}.weight"), &[width])?,
        bias: weights.take(&format!("{name}.bias"), &[width])?,
    })
}

pub(super) fn load_matrix(weights: &mut Weights, names: &[String], [inputs, outputs]: [usize; 2]) -> Result<Matrix> {
    let (mut rows, mut bias) = (Vec::new(), Vec::new());
    for name in names {
        rows.extend(weights.take(&format!("{name}.weight"), &[outputs, inputs])?);
        bias.extend(weights.take(&format!("{name}.bias"), &[outputs])?);
    }
    Ok(Matrix::pack(&rows, &bias, inputs))
}
