//! Embeddings of pictures by a frozen encoder: made once, then trained on as often as wanted.

use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::error::{Error, ErrorKind, Result};

/// Embeddings of pictures by a frozen encoder, with their votes.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    embeddings: Vec<f32>,
    votes: Vec<Vec<f32>>,
    width: usize,
}

impl Features {
    /// Puts one embedding and one distribution of votes a picture together.
    ///
    /// # Shapes
    /// - embeddings: `[pictures][width]`, of any length
    /// - votes: `[pictures][classes]`, each adding up to 1
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTraining`] for counts and widths that differ.
    pub fn new(embeddings: &[Vec<f32>], votes: Vec<Vec<f32>>) -> Result<Self> {
        let width = embeddings.first().map_or(0, Vec::len);
        let even = embeddings.iter().all(|embedding| embedding.len() == width);
        if width == 0 || !even || embeddings.len() != votes.len() {
            return Err(Error::new(
                ErrorKind::InvalidTraining,
                format!(
                    "{} embeddings and {} votes do not make features; one of each a picture, of one width, was expected",
                    embeddings.len(),
                    votes.len()
                ),
            ));
        }
        Ok(Self { embeddings: embeddings.concat(), votes, width })
    }

    /// Pictures.
    pub fn count(&self) -> usize {
        self.votes.len()
    }

    /// The class with most votes of each picture.
    pub fn labels(&self) -> Vec<usize> {
        self.votes.iter().map(|votes| crate::math::best(votes)).collect()
    }

    /// Width of an embedding.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Some pictures' embeddings `[indices, width]` and votes.
    pub fn batch<B: Backend>(&self, indices: &[usize], device: &B::Device) -> (Tensor<B, 2>, Vec<Vec<f32>>) {
        let rows = indices.iter().flat_map(|&index| &self.embeddings[index * self.width..][..self.width]);
        let data = TensorData::new(rows.copied().collect::<Vec<f32>>(), [indices.len(), self.width]);
        (Tensor::from_data(data, device), indices.iter().map(|&index| self.votes[index].clone()).collect())
    }
}
