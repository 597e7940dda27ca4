//! What a device with the model on it does, and the devices: Burn, with WebGPU, and the CPU.

#[cfg(feature = "burn")]
pub mod burn;
pub mod cpu;
#[cfg(feature = "sentences")]
pub mod tokens;

use crate::error::{Error, ErrorKind, Result};

/// A device with the model on it: embeds frames and compares windows of them with the descriptors.
#[allow(async_fn_in_trait, reason = "one thread drives a session: the futures need not be Send")]
pub trait Engine {
    /// A frame's embedding, where the device keeps it.
    type Embedding;

    /// Runs the encoder once.
    ///
    /// # Shapes
    /// - pixels: `[channels, side, side]`, normalised
    async fn encode(&mut self, pixels: Vec<f32>) -> Result<Self::Embedding>;

    /// Runs the encoder over a batch and reads the embeddings back; one picture after the other unless the device
    /// can do better.
    ///
    /// # Shapes
    /// - pixels: `[batch, channels, side, side]`, normalised, `values` a picture
    /// - output: `[batch, embedding]`
    async fn encode_all(&mut self, pixels: &[f32], values: usize) -> Result<Vec<f32>> {
        let mut embeddings = Vec::new();
        for picture in pixels.chunks_exact(values) {
            let embedding = self.encode(picture.to_vec()).await?;
            embeddings.extend(self.read(&embedding).await?);
        }
        Ok(embeddings)
    }

    /// Runs the encoder over several pictures, in one batch where the device gains by it.
    async fn encode_each(&mut self, pictures: Vec<Vec<f32>>) -> Result<Vec<Self::Embedding>> {
        let mut embeddings = Vec::with_capacity(pictures.len());
        for pixels in pictures {
            embeddings.push(self.encode(pixels).await?);
        }
        Ok(embeddings)
    }

    /// Runs the encoder once and gives, beside its embedding, the patches' own embeddings, whose mean it is: with the last
    /// norm's statistics held at this picture's, as [`crate::evidence`] says.
    ///
    /// # Shapes
    /// - pixels: `[channels, side, side]`, normalised
    /// - output: the embedding, and `[patches, embedding]`, rows of the grid from the upper left
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] where the encoder has a class token, and of an engine that can't.
    async fn encode_patches(&mut self, pixels: Vec<f32>) -> Result<(Self::Embedding, Vec<f32>)> {
        let _ = pixels;
        Err(Error::new(
            ErrorKind::InvalidArgument,
            "this engine does not give its patches' embeddings; ask for evidence by occlusion instead",
        ))
    }

    /// Pools frames (the temporal head, or the mean; then unit length) and gives the cosine with every row,
    /// the descriptors unless others were set: the one read-back. A single frame is compared as it is: without time, a temporal head has nothing to add.
    async fn similarities(&self, frames: &[&Self::Embedding]) -> Result<Vec<f32>>;

    /// [`Engine::similarities`] of several windows, with one read-back where reading back costs.
    async fn similarities_of_all(&self, windows: &[Vec<&Self::Embedding>]) -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(windows.len());
        for window in windows {
            all.push(self.similarities(window).await?);
        }
        Ok(all)
    }

    /// What windows are compared with from now on, in place of the descriptors alone.
    ///
    /// # Shapes
    /// - rows: `[rows, embedding]`, unit vectors
    fn set_rows(&mut self, rows: Vec<f32>);

    /// Passes after which every kernel has run as it will run from then on: a device that tunes or caches kernels shows a wrong
    /// one from its second pass on.
    fn proving_passes(&self) -> usize {
        2
    }

    /// Reads an embedding back, for the self-test and for tools.
    async fn read(&self, embedding: &Self::Embedding) -> Result<Vec<f32>>;

    /// What the device itself counts, where values cross to it and back.
    fn work(&self) -> Option<Work> {
        None
    }
}

/// Work of a device that is not this memory, since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Kernels launched.
    pub dispatches: u64,
    /// Bytes of pixels given to it.
    pub uploaded_bytes: u64,
    /// Bytes read back from it.
    pub read_bytes: u64,
}
