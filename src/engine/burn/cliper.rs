//! The whole model on Burn: image encoder, pooling over frames, descriptor similarities.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData, backend::Backend};

use super::image_encoder::ImageEncoder;
use super::nn::unit_length;
use super::temporal_head::TemporalHead;
use crate::bundle::Bundle;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::model::descriptors::Descriptors;

/// CLIPER on Burn: an image encoder against the unit embeddings of descriptor texts.
#[derive(Module, Debug)]
pub struct Cliper<B: Backend> {
    /// The image encoder.
    pub encoder: ImageEncoder<B>,
    /// The temporal head; without one, a window is the mean of its frames.
    pub temporal: Option<TemporalHead<B>>,
    /// What it is scored against, as columns `[width, rows]`.
    rows: Tensor<B, 2>,
}

impl<B: Backend> Cliper<B> {
    /// An encoder and the descriptors it is scored against, without a temporal head.
    pub fn new(encoder: ImageEncoder<B>, descriptors: &Descriptors, device: &B::Device) -> Self {
        let rows = columns(descriptors.embeddings().to_vec(), descriptors.width(), device);
        Self { encoder, temporal: None, rows }
    }

    /// The model of a bundle, taking its weights.
    pub fn from_bundle(bundle: &mut Bundle, device: &B::Device) -> Result<Self> {
        let mut weights = std::mem::take(&mut bundle.weights);
        let encoder = ImageEncoder::load(&mut weights, &bundle.manifest.encoder, device)?;
        weights.finish()?;
        let temporal =
            bundle.take_temporal(|weights, config, width| TemporalHead::load(weights, config, width, device))?;
        Ok(Self { temporal, ..Self::new(encoder, &bundle.descriptors, device) })
    }

    /// # Shapes
    /// - pixels: `[batch, channels, side, side]`
    /// - output: `[batch, embedding]`, of any length
    pub fn encode(&self, pixels: Tensor<B, 4>) -> Tensor<B, 2> {
        self.encoder.forward(pixels)
    }

    /// The temporal head's answer to several frames; without a head, or to one frame, the mean over time. Then unit
    /// length.
    ///
    /// # Shapes
    /// - frames: `[batch, time, embedding]`
    /// - output: `[batch, embedding]`
    pub fn pool(&self, frames: Tensor<B, 3>) -> Tensor<B, 2> {
        let [batch, time, width] = frames.dims();
        if time == 1 {
            return unit_length(frames.reshape([batch, width]));
        }
        match &self.temporal {
            Some(head) => head.forward(frames),
            None => unit_length(frames.mean_dim(1).reshape([batch, width])),
        }
    }

    fn pool_frames(&self, frames: &[&Tensor<B, 2>]) -> Tensor<B, 2> {
        let frames = Tensor::cat(frames.iter().map(|&frame| frame.clone()).collect(), 0);
        self.pool(frames.unsqueeze_dim(0))
    }

    /// Cosines with every row.
    ///
    /// # Shapes
    /// - clip: `[batch, embedding]`, unit length
    /// - output: `[batch, rows]`
    pub fn score(&self, clip: Tensor<B, 2>) -> Tensor<B, 2> {
        clip.matmul(self.rows.clone())
    }
}

async fn read<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Result<Vec<f32>> {
    let lost = "the device gave no answer; it may be lost: create the recognizer again";
    let data = tensor
        .into_data_async()
        .await
        .map_err(|error| Error::new(ErrorKind::DeviceUnavailable, format!("{lost} ({error:?})")))?;
    data.convert::<f32>()
        .to_vec()
        .map_err(|error| Error::new(ErrorKind::DeviceUnavailable, format!("{lost} ({error:?})")))
}

/// Rows `[rows, width]` as columns `[width, rows]`: the product with embeddings needs no transpose.
fn columns<B: Backend>(rows: Vec<f32>, width: usize, device: &B::Device) -> Tensor<B, 2> {
    let shape = [rows.len() / width, width];
    Tensor::<B, 2>::from_data(TensorData::new(rows, shape), device).transpose()
}

impl<B: Backend> Engine for Cliper<B> {
    type Embedding = Tensor<B, 2>;

    async fn encode(&mut self, pixels: Vec<f32>) -> Result<Tensor<B, 2>> {
        let config = self.encoder.config();
        let shape = [1, config.channels, config.side, config.side];
        let device = self.rows.device();
        Ok(Cliper::encode(self, Tensor::from_data(TensorData::new(pixels, shape), &device)))
    }

    async fn encode_each(&mut self, pictures: Vec<Vec<f32>>) -> Result<Vec<Tensor<B, 2>>> {
        let config = self.encoder.config();
        let count = pictures.len();
        let shape = [count, config.channels, config.side, config.side];
        let device = self.rows.device();
        let all = Cliper::encode(self, Tensor::from_data(TensorData::new(pictures.concat(), shape), &device));
        Ok((0..count).map(|index| all.clone().narrow(0, index, 1)).collect())
    }

    async fn encode_patches(&mut self, pixels: Vec<f32>) -> Result<(Tensor<B, 2>, Vec<f32>)> {
        let config = self.encoder.config();
        let shape = [1, config.channels, config.side, config.side];
        let device = self.rows.device();
        let pixels = Tensor::from_data(TensorData::new(pixels, shape), &device);
        let (embedding, patches) = self.encoder.forward_patches(pixels)?;
        Ok((embedding, read(patches).await?))
    }

    async fn similarities(&self, frames: &[&Tensor<B, 2>]) -> Result<Vec<f32>> {
        read(self.score(self.pool_frames(frames))).await
    }

    async fn similarities_of_all(&self, windows: &[Vec<&Tensor<B, 2>>]) -> Result<Vec<Vec<f32>>> {
        let clips = Tensor::cat(windows.iter().map(|frames| self.pool_frames(frames)).collect(), 0);
        let values = read(self.score(clips)).await?;
        Ok(values.chunks(values.len() / windows.len()).map(<[f32]>::to_vec).collect())
    }

    fn set_rows(&mut self, rows: Vec<f32>) {
        let [width, _] = self.rows.dims();
        self.rows = columns(rows, width, &self.rows.device());
    }

    async fn read(&self, embedding: &Tensor<B, 2>) -> Result<Vec<f32>> {
        read(embedding.clone()).await
    }
}
