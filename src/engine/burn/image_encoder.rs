//! CLIP's image encoder: stem, patch embedding, class token, pre-norm transformer, projection.

use burn::module::{Module, Param};
#[cfg(feature = "train")]
use burn::module::{ModuleVisitor, ParamId};
use burn::tensor::{Tensor, backend::Backend};

use crate::config::layout::{channels_last, stage_layouts};
use crate::config::{EncoderConfig, TokenPool};
use crate::engine::burn::nn::{
    Block, LayerNorm, Linear, NormValues, StemStage, load_linear, load_norm, load_param, save_linear, save_norm,
    save_param,
};
use crate::engine::burn::ops::{EncoderOps, Hidden};
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

impl<B: EncoderOps> ImageEncoder<B> {
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
        let mut rows = weights.emptied();
        let data = channels_last(&weight, channels, patch);
        rows.insert(&format!("{name}.weight"), Values { shape: vec![width, config.patch_values()], data })?;
        let post_norm = NormValues::take(weights, "vision_model.post_layernorm", width)?;
        let projection = ["visual_projection".into()];
        Ok(Self {
            stem,
            patch_embedding: load_linear(&mut rows, &[name], [config.patch_values(), width], false, None, device)?,
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
            projection: load_linear(weights, &projection, [width, config.embedding], false, Some(&post_norm), device)?,
            post_norm: post_norm.layer(1e-5, device),
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
        self.finish(self.tokens(self.stem_map(pixel_rows(pixels))))
    }

    /// What follows the stem.
    ///
    /// # Shapes
    /// - map: `[batch, side * side, channels]` of the stem's output
    /// - output: `[batch, embedding]`, of any length
    pub fn forward_map(&self, map: Tensor<B, 3>) -> Tensor<B, 2> {
        self.finish(self.tokens(map))
    }

    /// The same as [`ImageEncoder::forward`] from pixels in the order of [`ImageEncoder::arrange`].
    ///
    /// # Shapes
    /// - rows: `[batch, rows, values]`
    /// - output: `[batch, embedding]`, of any length
    pub fn forward_arranged(&self, rows: Tensor<B, 3>) -> Tensor<B, 2> {
        self.finish(self.arranged_tokens(rows))
    }

    /// The embedding, and those of the patches, whose mean it is ([`crate::evidence`]).
    ///
    /// # Shapes
    /// - rows: `[batch, rows, values]`, pixels in the order of [`ImageEncoder::arrange`]
    /// - output: `[batch, embedding]`, and `[batch * patches, embedding]`
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] where the encoder has a class token.
    pub fn forward_patches(&self, rows: Tensor<B, 3>) -> Result<(Tensor<B, 2>, Tensor<B, 2>)> {
        crate::evidence::check_patches(&self.config)?;
        let tokens = self.arranged_tokens(rows);
        let pooled = B::mean_tokens(&tokens);
        let patches = B::norm_linear_held(&tokens, &pooled, &self.post_norm, &self.projection);
        Ok((B::norm_linear(&pooled, &self.post_norm, &self.projection, None), patches))
    }

    /// Pictures in the order in which the first layer reads them: channels last, and without a stem patch after patch.
    ///
    /// # Shapes
    /// - pixels: `[batch, channels, side, side]`
    /// - output: values and shape of `[batch, rows, values]`
    pub fn arrange(&self, pixels: Vec<f32>) -> (Vec<f32>, [usize; 3]) {
        let EncoderConfig { side, channels, .. } = self.config;
        let batch = pixels.len() / (channels * side * side);
        if self.config.stem.is_empty() {
            let values = self.config.patch_values().next_multiple_of(B::ALIGNMENT);
            let rows = patch_pixels(&pixels, side, channels, self.config.patch, values);
            return (rows, [batch, self.config.patches(), values]);
        }
        let rows = if channels == 1 { pixels } else { patch_pixels(&pixels, side, channels, 1, channels) };
        (rows, [batch, side * side, channels])
    }

    fn arranged_tokens(&self, rows: Tensor<B, 3>) -> Hidden<B> {
        if self.stem.is_empty() {
            let [batch, patches, values] = rows.dims();
            return self.blocks(B::view(rows, [batch * patches, values]), batch);
        }
        self.tokens(self.stem_map(rows))
    }

    fn stem_map(&self, map: Tensor<B, 3>) -> Tensor<B, 3> {
        self.stem.iter().fold(map, |map, stage| stage.forward(map))
    }

    fn tokens(&self, map: Tensor<B, 3>) -> Hidden<B> {
        let [batch, ..] = map.dims();
        self.blocks(B::patch_rows(map, self.config.grid() * self.config.patch, self.config.patch), batch)
    }

    /// What the blocks make of the patches: tokens, the class token alone where there is one, since nothing else of the
    /// last block is asked for.
    ///
    /// # Shapes
    /// - rows: `[batch * patches, values of a patch]`
    /// - output: `[batch, tokens or 1, width]`
    fn blocks(&self, rows: Tensor<B, 2>, batch: usize) -> Hidden<B> {
        let embedded = B::view(self.patch_embedding.forward(rows), [batch, self.config.patches(), self.config.width]);
        let class = self.class_embedding.as_ref().map(|class| class.val());
        let mut hidden = B::embed(embedded, class, self.position_embedding.val(), Some(&self.pre_norm));
        for (index, block) in self.blocks.iter().enumerate() {
            let is_last = index + 1 == self.blocks.len();
            let kept = if is_last && self.class_embedding.is_some() { 1 } else { self.config.tokens() };
            hidden = block.forward_first(&hidden, kept);
        }
        hidden
    }

    /// Pooling, norm and projection: `[batch, embedding]`.
    fn finish(&self, hidden: Hidden<B>) -> Tensor<B, 2> {
        let pooled = match self.config.pool {
            TokenPool::Class => hidden,
            TokenPool::Mean => B::mean_tokens(&hidden),
        };
        B::norm_linear(&pooled, &self.post_norm, &self.projection, None)
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

/// `[batch, channels, side, side]` -> rows of `values`, one a patch, channels last, filled up with zeros.
fn patch_pixels(pixels: &[f32], side: usize, channels: usize, patch: usize, values: usize) -> Vec<f32> {
    let (grid, area) = (side / patch, side * side);
    let mut rows = vec![0.0; pixels.len() / (channels * area) * grid * grid * values];
    for (index, row) in rows.chunks_exact_mut(values).enumerate() {
        let (picture, place) = (index / (grid * grid) * channels * area, index % (grid * grid));
        let first = place / grid * patch * side + place % grid * patch;
        for (value, pixel) in row.chunks_exact_mut(channels).take(patch * patch).enumerate() {
            let at = picture + first + value / patch * side + value % patch;
            pixel.iter_mut().enumerate().for_each(|(channel, pixel)| *pixel = pixels[at + channel * area]);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::patch_pixels;

    #[test]
    fn patches_are_rows_with_channels_last() {
        // Two channels of 4 x 4 pixels: 0 to 15, and 100 more.
        let pixels: Vec<f32> = (0..16).chain(100..116).map(|value| value as f32).collect();
        let rows = patch_pixels(&pixels, 4, 2, 2, 12);
        assert_eq!(rows.len(), 4 * 12);
        assert_eq!(rows[..8], [0.0, 100.0, 1.0, 101.0, 4.0, 104.0, 5.0, 105.0]);
        assert_eq!(rows[8..12], [0.0; 4]);
        assert_eq!(rows[36..44], [10.0, 110.0, 11.0, 111.0, 14.0, 114.0, 15.0, 115.0]);
        assert_eq!(patch_pixels(&pixels, 4, 2, 1, 2)[6..8], [3.0, 103.0]);
    }
}
