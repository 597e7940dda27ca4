//! The towers' configurations and their presets; no tensors.

mod temporal;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

pub use temporal::TemporalConfig;

/// Layer norm's epsilon in every CLIP vision tower (`layer_norm_eps` of `CLIPVisionConfig`).
pub const LAYER_NORM_EPSILON: f32 = 1e-5;

/// Names of the encoder's presets.
pub const PRESETS: [&str; 7] =
    ["small", "wide", "vit-b-16", "vit-b-32", "tiny-clip-39m-16", "tiny-clip-40m-32", "tiny-clip-8m-16"];

/// Most frames of a window.
pub const MAX_WINDOW: usize = 1024;

/// The MLP's activation. OpenAI's weights use [`Activation::QuickGelu`], most others [`Activation::Gelu`]:
/// a checkpoint does not say, so a configuration must.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Activation {
    /// `x * sigmoid(1.702 x)`.
    QuickGelu,
    /// The exact `x * Phi(x)`.
    Gelu,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`: DFER-CLIP's temporal head has it.
    GeluTanh,
    /// `max(x, 0)`: the cheapest on every device; ours uses it.
    Relu,
}

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
        let side = self.stem_sides().last().copied().unwrap_or(self.side);
        if self.patch > side || !side.is_multiple_of(self.patch) {
            return fail(format!("`patch` {} does not tile a map of side {side}", self.patch));
        }
        Ok(())
    }
}

/// CLIP's text tower: token and position embeddings, a pre-norm transformer that looks back only, a norm and a
/// projection into the joint space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClipTextConfig {
    /// Longest text, tokens: 77.
    pub context: usize,
    /// Tokens there are: 49,408. The largest one ends a text.
    pub vocabulary: usize,
    /// Width of the transformer.
    pub width: usize,
    /// Its blocks.
    pub layers: usize,
    /// Its attention heads.
    pub heads: usize,
    /// Activation of the MLPs.
    pub activation: Activation,
    /// Width of the joint space.
    pub embedding: usize,
}

impl ClipTextConfig {
    /// Every tensor of the tower by its name (Hugging Face's) with its shape.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let width = self.width;
        let embeddings = "text_model.embeddings";
        let mut tensors = vec![
            (format!("{embeddings}.token_embedding.weight"), vec![self.vocabulary, width]),
            (format!("{embeddings}.position_embedding.weight"), vec![self.context, width]),
        ];
        for layer in 0..self.layers {
            tensors.extend(block_tensors(&format!("text_model.encoder.layers.{layer}"), width));
        }
        tensors.extend(norm_tensors("text_model.final_layer_norm", width));
        tensors.push(("text_projection.weight".into(), vec![self.embedding, width]));
        tensors
    }

    /// Says what can't be built, naming the field.
    pub fn validate(&self) -> Result<()> {
        let fail = |why: String| Err(Error::new(ErrorKind::InvalidConfig, why));
        for (name, value, most) in [
            ("context", self.context, 1024),
            ("vocabulary", self.vocabulary, 1 << 20),
            ("width", self.width, 4096),
            ("layers", self.layers, 64),
            ("heads", self.heads, 64),
            ("embedding", self.embedding, 4096),
        ] {
            if value == 0 || value > most {
                return fail(format!("the text tower's `{name}` is {value}; it must be 1 to {most}"));
            }
        }
        if !self.width.is_multiple_of(self.heads) {
            return fail(format!("the text tower's `width` {} can't be split into {} `heads`", self.width, self.heads));
        }
        Ok(())
    }
}

/// Weight and bias of a layer norm.
fn norm_tensors(name: &str, width: usize) -> [(String, Vec<usize>); 2] {
    ["weight", "bias"].map(|part| (format!("{name}.{part}"), vec![width]))
}

/// The tensors of one transformer block.
fn block_tensors(block: &str, width: usize) -> Vec<(String, Vec<usize>)> {
    let mut tensors = Vec::from(norm_tensors(&format!("{block}.layer_norm1"), width));
    for product in ["q_proj", "k_proj", "v_proj", "out_proj"] {
        tensors.push((format!("{block}.self_attn.{product}.weight"), vec![width, width]));
        tensors.push((format!("{block}.self_attn.{product}.bias"), vec![width]));
    }
    tensors.extend(norm_tensors(&format!("{block}.layer_norm2"), width));
    tensors.push((format!("{block}.mlp.fc1.weight"), vec![4 * width, width]));
    tensors.push((format!("{block}.mlp.fc1.bias"), vec![4 * width]));
    tensors.push((format!("{block}.mlp.fc2.weight"), vec![width, 4 * width]));
    tensors.push((format!("{block}.mlp.fc2.bias"), vec![width]));
    tensors
}

/// What happens to pixels before the encoder: a bundle's field, since checkpoints differ in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PreprocessConfig {
    /// Subtracted from each channel after scaling to 0..1.
    pub mean: Vec<f32>,
    /// Divides each channel after that.
    pub std: Vec<f32>,
}

impl PreprocessConfig {
    /// CLIP's RGB statistics (`image_mean`, `image_std` of its processor).
    pub fn clip() -> Self {
        Self { mean: vec![0.481_454_66, 0.457_827_5, 0.408_210_73], std: vec![0.268_629_54, 0.261_302_6, 0.275_777_1] }
    }

    /// FER2013's training part in grey: mean 0.508, standard deviation 0.255.
    pub fn ferplus() -> Self {
        Self { mean: vec![0.508], std: vec![0.255] }
    }

    /// Says what does not fit the encoder.
    pub fn validate(&self, channels: usize) -> Result<()> {
        let finite = self.mean.iter().chain(&self.std).all(|value| value.is_finite());
        if self.mean.len() != channels
            || self.std.len() != channels
            || !finite
            || self.std.iter().any(|&std| std <= 0.0)
        {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                format!("`preprocess` needs {channels} finite means and {channels} positive standard deviations"),
            ));
        }
        Ok(())
    }
}
