//! The whole model on Burn: image encoder, pooling over frames, descriptor similarities.

use std::cell::Cell;

use burn::tensor::{Tensor, backend::Backend};

use super::image_encoder::ImageEncoder;
use super::nn::{to_device, unit_length};
use super::ops::EncoderOps;
use super::temporal_head::TemporalHead;
use crate::bundle::Bundle;
use crate::engine::{Engine, Work};
use crate::error::Result;
use crate::model::descriptors::Descriptors;

/// Most pictures of one pass: more are split, so that memory stays bounded.
pub(crate) const AT_ONCE: usize = 8;

/// CLIPER on Burn: an image encoder against the unit embeddings of descriptor texts.
#[derive(Debug)]
pub struct Cliper<B: Backend> {
    /// The image encoder.
    pub encoder: ImageEncoder<B>,
    /// The temporal head; without one, a window is the mean of its frames.
    pub temporal: Option<TemporalHead<B>>,
    /// What it is scored against, `[rows, width]`.
    rows: Tensor<B, 2>,
    uploaded_bytes: Cell<u64>,
    read_bytes: Cell<u64>,
}

impl<B: EncoderOps> Cliper<B> {
    /// An encoder and the descriptors it is scored against, without a temporal head.
    pub fn new(encoder: ImageEncoder<B>, descriptors: &Descriptors, device: &B::Device) -> Self {
        let rows = to_rows(descriptors.embeddings().to_vec(), descriptors.width(), device);
        Self { encoder, temporal: None, rows, uploaded_bytes: Cell::default(), read_bytes: Cell::default() }
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

    /// Cosines with every row.
    ///
    /// # Shapes
    /// - clip: `[batch, embedding]`, unit length
    /// - output: `[batch, rows]`
    pub fn score(&self, clip: Tensor<B, 2>) -> Tensor<B, 2> {
        clip.matmul(self.rows.clone().transpose())
    }

    /// A window's cosines with every row, `[1, rows]`.
    fn cosines(&self, frames: &[&Tensor<B, 2>]) -> Tensor<B, 2> {
        match &self.temporal {
            Some(head) if frames.len() > 1 => {
                let [_, width] = self.rows.dims();
                let pooled = B::view(head.class_token(B::stack(frames)), [1, width]);
                B::cosines(&[&pooled], self.rows.clone())
            }
            _ => B::cosines(frames, self.rows.clone()),
        }
    }

    /// Pictures on the device, in the order in which the encoder reads them.
    fn upload(&self, pixels: Vec<f32>) -> Tensor<B, 3> {
        let (values, shape) = self.encoder.arrange(pixels);
        self.uploaded_bytes.set(self.uploaded_bytes.get() + 4 * values.len() as u64);
        to_device(values, shape, &self.rows.device())
    }

    async fn read_all(&self, tensors: Vec<Tensor<B, 2>>) -> Result<Vec<Vec<f32>>> {
        let found = B::read(tensors).await?;
        let bytes: usize = found.iter().map(|values| 4 * values.len()).sum();
        self.read_bytes.set(self.read_bytes.get() + bytes as u64);
        Ok(found)
    }
}

fn to_rows<B: Backend>(rows: Vec<f32>, width: usize, device: &B::Device) -> Tensor<B, 2> {
    let shape = [rows.len() / width, width];
    to_device(rows, shape, device)
}

impl<B: EncoderOps> Engine for Cliper<B> {
    type Embedding = Tensor<B, 2>;

    async fn encode(&mut self, pixels: Vec<f32>) -> Result<Tensor<B, 2>> {
        Ok(self.encoder.forward_arranged(self.upload(pixels)))
    }

    async fn encode_all(&mut self, pixels: &[f32], values: usize) -> Result<Vec<f32>> {
        let mut embeddings = Vec::new();
        for pictures in pixels.chunks(AT_ONCE * values) {
            let found = self.encoder.forward_arranged(self.upload(pictures.to_vec()));
            embeddings.extend(self.read_all(vec![found]).await?.concat());
        }
        Ok(embeddings)
    }

    async fn encode_each(&mut self, pictures: Vec<Vec<f32>>) -> Result<Vec<Tensor<B, 2>>> {
        let mut embeddings = Vec::with_capacity(pictures.len());
        for pictures in pictures.chunks(AT_ONCE) {
            embeddings.extend(B::split(self.encoder.forward_arranged(self.upload(pictures.concat()))));
        }
        Ok(embeddings)
    }

    async fn encode_patches(&mut self, pixels: Vec<f32>) -> Result<(Tensor<B, 2>, Vec<f32>)> {
        let (embedding, patches) = self.encoder.forward_patches(self.upload(pixels))?;
        Ok((embedding, self.read_all(vec![patches]).await?.concat()))
    }

    async fn similarities(&self, frames: &[&Tensor<B, 2>]) -> Result<Vec<f32>> {
        Ok(self.read_all(vec![self.cosines(frames)]).await?.concat())
    }

    async fn similarities_of_all(&self, windows: &[Vec<&Tensor<B, 2>>]) -> Result<Vec<Vec<f32>>> {
        self.read_all(windows.iter().map(|frames| self.cosines(frames)).collect()).await
    }

    fn set_rows(&mut self, rows: Vec<f32>) {
        let [_, width] = self.rows.dims();
        self.rows = to_rows(rows, width, &self.rows.device());
    }

    async fn read(&self, embedding: &Tensor<B, 2>) -> Result<Vec<f32>> {
        Ok(self.read_all(vec![embedding.clone()]).await?.concat())
    }

    fn work(&self) -> Option<Work> {
        B::dispatches().map(|dispatches| Work {
            dispatches,
            uploaded_bytes: self.uploaded_bytes.get(),
            read_bytes: self.read_bytes.get(),
        })
    }
}
