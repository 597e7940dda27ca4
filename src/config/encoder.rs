//! The image encoder's sizes, its presets, and the names and shapes of its tensors.

use serde::{Deserialize, Serialize};

use super::{Activation, block_tensors, norm_tensors};
use crate::error::{Error, ErrorKind, Result};

/// Names of the encoder's presets.
pub const PRESETS: [&str; 7] =
    ["small", "wide", "vit-b-16", "vit-b-32", "tiny-clip-39m-16", "tiny-clip-40m-32", "tiny-clip-8m-16"];

/// Most values of a map of the stem, 64 MiB: weights of a few kilobytes must not ask for gigabytes.
const MOST_MAP: usize = 1 << 24;

/// What becomes of the tokens at the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TokenPool {
    /// A class token, CLIP's.
    #[default]
    Class,
    /// The mean of the patches, without a class token: a small encoder trained from nothing otherwise learns the
    /// constant class token's path first and little of the picture (2 % of its output after 105 steps).
    Mean,
}

/// One 3x3 convolution of the stem, padded by one, followed by the activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StemStage {
    /// Channels it puts out.
    pub channels: usize,
    /// 1 keeps the side, 2 halves it.
    pub stride: usize,
}

/// A CLIP-shaped image encoder: an optional convolutional stem, a patch embedding, a pre-norm transformer
/// with a class token, and a projection into the joint space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EncoderConfig {
    /// Side of the square input, pixels.
    pub side: usize,
    /// 3 for RGB, 1 for grey.
    pub channels: usize,
    /// Convolutions before the patch embedding; none in CLIP.
    #[serde(default)]
    pub stem: Vec<StemStage>,
    /// Side of a patch, in pixels of what the stem puts out.
    pub patch: usize,
    /// Width of the transformer.
    pub width: usize,
    /// Its blocks.
    pub layers: usize,
    /// Its attention heads.
    pub heads: usize,
    /// Activation of the stem and the MLPs.
    pub activation: Activation,
    /// What becomes of the tokens at the end.
    #[serde(default)]
    pub pool: TokenPool,
    /// Width of the joint space.
    pub embedding: usize,
}

impl EncoderConfig {
    /// CLIP ViT-B/16 (OpenAI weights).
    pub fn vit_b_16() -> Self {
        Self::clip(16, 768, 12, 12)
    }

    /// CLIP ViT-B/32 (OpenAI weights).
    pub fn vit_b_32() -> Self {
        Self::clip(32, 768, 12, 12)
    }

    /// TinyCLIP ViT-39M/16.
    pub fn tiny_clip_39m_16() -> Self {
        Self::clip(16, 512, 12, 8)
    }

    /// TinyCLIP ViT-40M/32.
    pub fn tiny_clip_40m_32() -> Self {
        Self::clip(32, 512, 12, 8)
    }

    /// TinyCLIP ViT-8M/16.
    pub fn tiny_clip_8m_16() -> Self {
        Self::clip(16, 256, 10, 4)
    }

    /// Ours: a 48-pixel grey face, nine convolutions to 6 x 6 tokens, one block of width 192, and the 384-wide space of
    /// all-MiniLM-L6-v2, whose embeddings of the descriptor texts it is trained against. Most of the work is in the
    /// convolutions: from 25,000 pictures alone they learn more than attention does.
    pub fn small() -> Self {
        Self::ours([16, 32, 64, 64, 128, 128, 128, 256, 256])
    }

    /// The same with a stem half as wide again, 0.48 GFLOP instead of 0.28: to be widened to from a small one.
    pub fn wide() -> Self {
        Self::ours([16, 32, 96, 96, 192, 192, 192, 256, 256])
    }

    fn ours(channels: [usize; 9]) -> Self {
        let strides = [1, 2, 1, 1, 2, 1, 1, 2, 1];
        Self {
            side: 48,
            channels: 1,
            stem: channels.into_iter().zip(strides).map(|(channels, stride)| StemStage { channels, stride }).collect(),
            patch: 1,
            width: 192,
            layers: 1,
            heads: 6,
            activation: Activation::Relu,
            pool: TokenPool::Mean,
            embedding: 384,
        }
    }

    /// The preset of a name, for command lines.
    pub fn preset(name: &str) -> Result<Self> {
        Ok(match name {
            "small" => Self::small(),
            "wide" => Self::wide(),
            "vit-b-16" => Self::vit_b_16(),
            "vit-b-32" => Self::vit_b_32(),
            "tiny-clip-39m-16" => Self::tiny_clip_39m_16(),
            "tiny-clip-40m-32" => Self::tiny_clip_40m_32(),
            "tiny-clip-8m-16" => Self::tiny_clip_8m_16(),
            _ => {
                return Err(Error::new(
                    ErrorKind::InvalidConfig,
                    format!("no preset is called `{name}`; there are {}", PRESETS.join(", ")),
                ));
            }
        })
    }

    fn clip(patch: usize, width: usize, layers: usize, heads: usize) -> Self {
        Self {
            side: 224,
            channels: 3,
            stem: Vec::new(),
            patch,
            width,
            layers,
            heads,
            activation: Activation::QuickGelu,
            pool: TokenPool::Class,
            embedding: 512,
        }
    }

    /// Side of the map that each stem stage puts out, in order.
    pub fn stem_sides(&self) -> Vec<usize> {
        self.stem
            .iter()
            .scan(self.side, |side, stage| {
                *side = side.div_ceil(stage.stride);
                Some(*side)
            })
            .collect()
    }

    /// Side of the token grid.
    pub fn grid(&self) -> usize {
        self.stem_sides().last().copied().unwrap_or(self.side) / self.patch
    }

    /// Tokens of the transformer: the patches and, where there is one, the class token.
    pub fn tokens(&self) -> usize {
        self.patches() + usize::from(self.pool == TokenPool::Class)
    }

    /// Patches of a picture.
    pub fn patches(&self) -> usize {
        self.grid() * self.grid()
    }

    /// Values of one patch: what one row of the patch embedding multiplies.
    pub fn patch_values(&self) -> usize {
        self.patch_channels() * self.patch * self.patch
    }

    /// Channels that the patch embedding reads.
    pub fn patch_channels(&self) -> usize {
        self.stem.last().map_or(self.channels, |stage| stage.channels)
    }

    /// Every tensor of the encoder by its name (Hugging Face's for CLIP) with its shape. The single source for
    /// loading, saving and counting.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let width = self.width;
        let mut tensors = Vec::new();
        let mut add = |name: String, shape: &[usize]| tensors.push((name, shape.to_vec()));
        let mut channels = self.channels;
        for (index, stage) in self.stem.iter().enumerate() {
            let stem = format!("vision_model.embeddings.stem.{index}");
            add(format!("{stem}.convolution.weight"), &[stage.channels, channels, 3, 3]);
            add(format!("{stem}.convolution.bias"), &[stage.channels]);
            channels = stage.channels;
        }
        let embeddings = "vision_model.embeddings";
        if self.pool == TokenPool::Class {
            add(format!("{embeddings}.class_embedding"), &[width]);
        }
        add(format!("{embeddings}.patch_embedding.weight"), &[width, channels, self.patch, self.patch]);
        add(format!("{embeddings}.position_embedding.weight"), &[self.tokens(), width]);
        tensors.extend(norm_tensors("vision_model.pre_layrnorm", width)); // sic: the checkpoints' spelling
        for layer in 0..self.layers {
            tensors.extend(block_tensors(&format!("vision_model.encoder.layers.{layer}"), width));
        }
        tensors.extend(norm_tensors("vision_model.post_layernorm", width));
        tensors.push(("visual_projection.weight".into(), vec![self.embedding, width]));
        tensors
    }

    /// Tensors that only training has beside [`EncoderConfig::tensors`]: the stem's batch norms.
    pub fn training_tensors(&self) -> Vec<(String, Vec<usize>)> {
        let stage = |(index, stage): (usize, &StemStage)| {
            ["weight", "bias"]
                .map(|part| (format!("vision_model.embeddings.stem.{index}.norm.{part}"), vec![stage.channels]))
        };
        self.stem.iter().enumerate().flat_map(stage).collect()
    }

    /// Parameters of the encoder.
    pub fn parameters(&self) -> usize {
        self.tensors().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }

    /// Multiply-adds of one picture times two, products only.
    pub fn flops(&self) -> u64 {
        let mut channels = self.channels;
        let mut total = 0;
        for (stage, side) in self.stem.iter().zip(self.stem_sides()) {
            total += side * side * 9 * channels * stage.channels;
            channels = stage.channels;
        }
        let (tokens, width) = (self.tokens(), self.width);
        total += self.patches() * self.patch_values() * width;
        total += self.layers * (12 * tokens * width * width + 2 * tokens * tokens * width);
        total += width * self.embedding;
        2 * total as u64
    }

    /// Says what can't be built, naming the field.
    pub fn validate(&self) -> Result<()> {
        let fail = |why: String| Err(Error::new(ErrorKind::InvalidConfig, why));
        for (name, value, most) in [
            ("side", self.side, 1024),
            ("patch", self.patch, 1024),
            ("width", self.width, 4096),
            ("layers", self.layers, 64),
            ("heads", self.heads, 64),
            ("embedding", self.embedding, 4096),
        ] {
            if value == 0 || value > most {
                return fail(format!("the encoder's `{name}` is {value}; it must be 1 to {most}"));
            }
        }
        if self.channels != 1 && self.channels != 3 {
            return fail(format!("the encoder's `channels` is {}; 1 (grey) and 3 (RGB) exist", self.channels));
        }
        if self.stem.len() > 16 {
            return fail(format!("the encoder's `stem` has {} stages; it may have 16", self.stem.len()));
        }
        for (index, stage) in self.stem.iter().enumerate() {
            if stage.channels == 0 || stage.channels > 4096 || !(1..=2).contains(&stage.stride) {
                return fail(format!(
                    "`stem[{index}]` has {} channels and stride {}; 1 to 4096 channels and stride 1 or 2 can be built",
                    stage.channels, stage.stride
                ));
            }
        }
        if !self.width.is_multiple_of(self.heads) {
            return fail(format!("the encoder's `width` {} can't be split into {} `heads`", self.width, self.heads));
        }
        for (index, (side, stage)) in self.stem_sides().into_iter().zip(&self.stem).enumerate() {
            let values = side * side * stage.channels;
            if values > MOST_MAP {
                return fail(format!(
                    "`stem[{index}]` puts out {values} values, {side} x {side} of {} channels; {MOST_MAP} are the most",
                    stage.channels
                ));
            }
        }
        let side = self.stem_sides().last().copied().unwrap_or(self.side);
        if self.patch > side || !side.is_multiple_of(self.patch) {
            return fail(format!("`patch` {} does not tile a map of side {side}", self.patch));
        }
        Ok(())
    }
}
