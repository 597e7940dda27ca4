//! CLIP's image encoder: stem, patch embedding, class token, pre-norm transformer, projection.

use burn::module::{Module, Param};
#[cfg(feature = "train")]
use burn::module::{ModuleVisitor, ParamId};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::{Tensor, backend::Backend};

use crate::config::layout::{channels_last, stage_layouts};
use crate::config::{EncoderConfig, LAYER_NORM_EPSILON, TokenPool};
use crate::engine::burn::nn::{
    Block, StemStage, load_linear, load_norm, load_param, patches, save_linear, save_norm, save_param,
};
use crate::error::Result;
use crate::tensors::{Values, Weights};

const EMBEDDINGS: &str = "vision_model.embeddings";

/// The image encoder of one configuration.
#[derive(Module, Debug)]
pub struct ImageEncoder<B: Backend> {
    stem: Vec<StemStage<B>>,
    patch_embedding: Linear<B>,
    class_embedding: Option<Param<Tensor<B, 1>>>,
    position_embedding: Param<Tensor<B, 2>>,
    pre_norm: LayerNorm<B>,
    blocks: Vec<Block<B>>,
    post_norm: LayerNorm<B>,
    projection: Linear<B>,
    #[module(skip)]
    config: EncoderConfig,
}

impl<B: Backend> ImageEncoder<B> {
    /// From named tensors, which it takes out of `weights` ([`EncoderConfig::tensors`] lists them).
    pub fn load(weights: &mut Weights, config: &EncoderConfig, device: &B::Device) -> Result<Self> {
        config.validate()?;
        let width = config.width;
        let stem = stage_layouts(config)
            .into_iter()
            .enumerate()
            .map(|(index, layout)| {
                StemStage::load(weights, &format!("{EMBEDDINGS}.stem.{index}"), layout, config.activation, device)
            })
            .collect::<Result<_>>()?;
        let name = format!("{EMBEDDINGS}.patch_embedding");
        let (channels, patch) = (config.patch_channels(), config.patch);
        let weight = weights.take(&format!("{name}.weight"), &[width, channels, patch, patch])?;
        let mut rows = Weights::default();
        let data = channels_last(&weight, channels, patch);
        rows.insert(&format!("{name}.weight"), Values { shape: vec![width, config.patch_values()], data })?;
        Ok(Self {
            stem,
            patch_embedding: load_linear(&mut rows, &[name], [config.patch_values(), width], false, device)?,
            class_embedding: match config.pool {
                TokenPool::Class => {
                    Some(load_param(weights, &format!("{EMBEDDINGS}.class_embedding"), [width], device)?)
                }
                TokenPool::Mean => None,
            },
            position_embedding: load_param(
                weights,
                &format!("{EMBEDDINGS}.position_embedding.weight"),
                [config.tokens(), width],
                device,
            )?,
            pre_norm: load_norm(weights, "vision_model.pre_layrnorm", width, 1e-5, device)?,
            blocks: (0..config.layers)
                .map(|layer| {
                    let name = format!("vision_model.encoder.layers.{layer}");
                    Block::load(weights, &name, width, config.heads, config.activation, device)
                })
                .collect::<Result<_>>()?,
            post_norm: load_norm(weights, "vision_model.post_layernorm", width, 1e-5, device)?,
            projection: load_linear(weights, &["visual_projection".into()], [width, config.embedding], false, device)?,
            config: config.clone(),
        })
    }

    /// The inverse of [`ImageEncoder::load`].
    pub fn save(&self, weights: &mut Weights) -> Result<()> {
        for (index, stage) in self.stem.iter().enumerate() {
            stage.save(weights, &format!("{EMBEDDINGS}.stem.{index}"))?;
        }
        self.save_transformer(weights)
    }

    /// Saves the encoder as it is deployed: the stem's batch norms with these pictures' statistics go into its
    /// convolutions.
    ///
    /// # Shapes
    /// - pixels: `[batch, channels, side, side]`
    pub fn fold(&self, pixels: Tensor<B, 4>, weights: &mut Weights) -> Result<()> {
        let mut map = pixel_rows(pixels);
        for (index, stage) in self.stem.iter().enumerate() {
            map = stage.fold(map, weights, &format!("{EMBEDDINGS}.stem.{index}"))?;
        }
        self.save_transformer(weights)
    }

    fn save_transformer(&self, weights: &mut Weights) -> Result<()> {
        let (channels, patch) = (self.config.patch_channels(), self.config.patch);
        let weight = self.patch_embedding.weight.val();
        let weight = weight.reshape([patch, patch, channels, self.config.width]).permute([3, 2, 0, 1]);
        save_param(weights, &format!("{EMBEDDINGS}.patch_embedding.weight"), weight)?;
        if let Some(class) = &self.class_embedding {
            save_param(weights, &format!("{EMBEDDINGS}.class_embedding"), class.val())?;
        }
        save_param(weights, &format!("{EMBEDDINGS}.position_embedding.weight"), self.position_embedding.val())?;
        save_norm(weights, "vision_model.pre_layrnorm", &self.pre_norm)?;
        for (layer, block) in self.blocks.iter().enumerate() {
            block.save(weights, &format!("vision_model.encoder.layers.{layer}"))?;
        }
        save_norm(weights, "vision_model.post_layernorm", &self.post_norm)?;
        save_linear(weights, &["visual_projection".into()], &self.projection)
    }

    /// Every parameter's gradient by its tensor's name, taken out of `gradients`; none where one is missing.
    #[cfg(feature = "train")]
    pub fn gradients(&self, gradients: &mut B::Gradients) -> Option<Weights>
    where
        B: burn::tensor::backend::AutodiffBackend,
    {
        use burn::module::ModuleMapper;
        struct Take<'a, B: burn::tensor::backend::AutodiffBackend>(&'a mut B::Gradients, bool);
        impl<B: burn::tensor::backend::AutodiffBackend> ModuleMapper<B> for Take<'_, B> {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
                let found = param.val().grad_remove(self.0);
                self.1 &= found.is_some();
                Param::initialized(ParamId::new(), found.map_or(param.val(), Tensor::from_inner))
            }
        }
        // A model whose parameters are the gradients saves them under the parameters' names.
        let mut take = Take::<B>(gradients, true);
        let model = self.clone().map(&mut take);
        let mut weights = Weights::default();
        model.save(&mut weights).ok().filter(|()| take.1).map(|()| weights)
    }

    /// The stem's stages.
    #[cfg(feature = "train")]
    pub fn stem(&self) -> &[StemStage<B>] {
        &self.stem
    }

    /// The matrices within: of the stem's stages but the first, and of the blocks.
    #[cfg(feature = "train")]
    pub fn matrices(&self) -> Vec<ParamId> {
        struct Matrices(Vec<ParamId>);
        impl<B: Backend> ModuleVisitor<B> for Matrices {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
                if D == 2 {
                    self.0.push(param.id);
                }
            }
        }
        let mut matrices = Matrices(Vec::new());
        self.stem.iter().skip(1).for_each(|stage| stage.visit(&mut matrices));
        self.blocks.iter().for_each(|block| block.visit(&mut matrices));
        matrices.0
    }

    /// The configuration.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// # Shapes
    /// - pixels: `[batch, channels, side, side]`
    /// - output: `[batch, embedding]`, of any length
    pub fn forward(&self, pixels: Tensor<B, 4>) -> Tensor<B, 2> {
        let mut map = pixel_rows(pixels);
        for stage in &self.stem {
            map = stage.forward(map);
        }
        self.forward_map(map)
    }

    /// What follows the stem.
    ///
    /// # Shapes
    /// - map: `[batch, side * side, channels]` of the stem's output
    /// - output: `[batch, embedding]`, of any length
    pub fn forward_map(&self, map: Tensor<B, 3>) -> Tensor<B, 2> {
        self.finish(self.tokens(map))
    }

    /// The embedding, and those of the patches, whose mean it is ([`crate::evidence`]).
    ///
    /// # Shapes
    /// - pixels: `[batch, channels, side, side]`
    /// - output: `[batch, embedding]`, and `[batch, patches, embedding]`
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] where the encoder has a class token.
    pub fn forward_patches(&self, pixels: Tensor<B, 4>) -> Result<(Tensor<B, 2>, Tensor<B, 3>)> {
        crate::evidence::check_patches(&self.config)?;
        let mut map = pixel_rows(pixels);
        for stage in &self.stem {
            map = stage.forward(map);
        }
        let tokens = self.tokens(map);
        let pooled = tokens.clone().mean_dim(1);
        let mean = pooled.clone().mean_dim(2);
        let variance = (pooled - mean.clone()).powi_scalar(2).mean_dim(2);
        let normed = (tokens.clone() - mean) / (variance + LAYER_NORM_EPSILON).sqrt();
        let mut normed = normed * self.post_norm.gamma.val().unsqueeze();
        if let Some(shift) = &self.post_norm.beta {
            normed = normed + shift.val().unsqueeze();
        }
        Ok((self.finish(tokens), self.projection.forward(normed)))
    }

    /// What the blocks make of the stem's map.
    ///
    /// # Shapes
    /// - map: `[batch, side * side, channels]`
    /// - output: `[batch, tokens, width]`
    fn tokens(&self, map: Tensor<B, 3>) -> Tensor<B, 3> {
        let [batch, ..] = map.dims();
        let width = self.config.width;
        let side = self.config.grid() * self.config.patch;
        let embedded = self.patch_embedding.forward(patches(map, side, self.config.patch));
        let mut embedded = embedded.reshape([batch, self.config.patches(), width]);
        if let Some(class) = &self.class_embedding {
            embedded = Tensor::cat(vec![class.val().reshape([1, 1, width]).expand([batch, 1, width]), embedded], 1);
        }
        let mut hidden = self.pre_norm.forward(embedded + self.position_embedding.val().unsqueeze_dim(0));
        for block in &self.blocks {
            hidden = block.forward(hidden);
        }
        hidden
    }

    /// Pooling, norm and projection: `[batch, tokens, width]` -> `[batch, embedding]`.
    fn finish(&self, hidden: Tensor<B, 3>) -> Tensor<B, 2> {
        let [batch, _, width] = hidden.dims();
        let pooled = match self.config.pool {
            TokenPool::Class => hidden.narrow(1, 0, 1),
            TokenPool::Mean => hidden.mean_dim(1),
        };
        self.projection.forward(self.post_norm.forward(pooled.reshape([batch, width])))
    }
}

/// `[batch, channels, side, side]` -> `[batch, side * side, channels]`: with channels last every layer is a product
/// over rows.
fn pixel_rows<B: Backend>(pixels: Tensor<B, 4>) -> Tensor<B, 3> {
    let [batch, channels, side, _] = pixels.dims();
    if channels == 1 {
        return pixels.reshape([batch, side * side, 1]);
    }
    pixels.reshape([batch, channels, side * side]).swap_dims(1, 2)
}
