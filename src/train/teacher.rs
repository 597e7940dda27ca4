//! What a run is taught by beside votes: an encoder that was trained before, asked about every changed picture.

use burn::tensor::{Tensor, TensorData, activation::softmax, backend::Backend};

use super::loss::{class_scores, logits, unit};
use super::stem::{Stem, StemPass, StemWeights};
use crate::config::EncoderConfig;
use crate::engine::burn::ImageEncoder;
use crate::engine::burn::nn::StemStage;
use crate::engine::burn::ops::EncoderOps;
use crate::error::{Error, ErrorKind, Result};
use crate::preprocess::mirror;
use crate::tensors::Weights;

/// An encoder that answers for each picture together with its mirror image: it is right on more pictures so, and a run that
/// it teaches needs no mirror image for that.
#[derive(Debug)]
pub struct Teacher<B: Backend> {
    encoder: ImageEncoder<B>,
    /// Where its stem is computed outside Burn.
    stem: Option<(Stem, StemWeights)>,
}

impl<B: EncoderOps> Teacher<B> {
    /// From weights as deployed or, with batch norms, as trained: their statistics are then the batch's. `stem`: computes
    /// the convolutions, where it can.
    pub(super) fn load(
        mut weights: Weights,
        config: &EncoderConfig,
        stem: Option<Stem>,
        device: &B::Device,
    ) -> Result<Self> {
        let encoder = ImageEncoder::load(&mut weights, config, device)?;
        let values: Vec<_> = encoder.stem().iter().filter_map(StemStage::values).collect();
        let stem = stem.filter(|_| values.len() == config.stem.len()).map(|stem| {
            let weights = stem.weights(values);
            (stem, weights)
        });
        Ok(Self { encoder, stem })
    }

    /// Room for a thread's pictures, where the stem needs some.
    pub(super) fn pass(&self, batch: usize) -> Option<StemPass> {
        self.stem.as_ref().map(|(stem, _)| stem.pass(batch))
    }

    /// Refuses an encoder that can't see a run's pictures or answers in another joint space.
    pub(super) fn check(&self, config: &EncoderConfig) -> Result<()> {
        let own = self.encoder.config();
        if (own.side, own.channels, own.embedding) == (config.side, config.channels, config.embedding) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::InvalidTraining,
            format!(
                "the teacher sees {} pixels a side in {} channels and answers in {} numbers, the run's encoder {}, {} and {}",
                own.side, own.channels, own.embedding, config.side, config.channels, config.embedding
            ),
        ))
    }

    /// The joint embeddings of pictures and their mirror images.
    ///
    /// # Shapes
    /// - pixels: `[batch, channels, side, side]`
    /// - output: `[batch, embedding]`
    pub(super) fn embeddings(&self, pass: &mut Option<StemPass>, pixels: &[f32], device: &B::Device) -> Tensor<B, 2> {
        let mirrored = mirror(pixels, self.encoder.config().side);
        let plain = unit(self.encode(pass, pixels, device));
        plain + unit(self.encode(pass, &mirrored, device))
    }

    fn encode(&self, pass: &mut Option<StemPass>, pixels: &[f32], device: &B::Device) -> Tensor<B, 2> {
        let EncoderConfig { side, channels, .. } = *self.encoder.config();
        let batch = pixels.len() / (channels * side * side);
        let (Some((_, weights)), Some(pass)) = (&self.stem, pass) else {
            let pixels = TensorData::new(pixels.to_vec(), [batch, channels, side, side]);
            return self.encoder.forward(Tensor::from_data(pixels, device));
        };
        let map = pass.forward(weights, pixels);
        self.encoder.forward_map(super::stem_map(map, self.encoder.config(), device))
    }
}

/// What embeddings say of each picture's classes, rows that add up to 1.
///
/// # Shapes
/// - embeddings: `[batch, embedding]`
/// - descriptors: `[descriptors of all classes in order, embedding]`
pub(super) fn answers<B: Backend>(
    embeddings: Tensor<B, 2>,
    descriptors: Tensor<B, 2>,
    counts: &[usize],
    temperature: f32,
) -> Result<Vec<Vec<f32>>> {
    let scores = class_scores(logits(embeddings, descriptors, temperature), counts);
    Ok(super::read(softmax(scores, 1))?.chunks_exact(counts.len()).map(<[f32]>::to_vec).collect())
}

/// Moves a picture's votes towards a teacher's answer, by as much as there are votes: a set that does not know the
/// picture has none.
pub(super) fn teach(votes: &mut [f32], answer: &[f32], weight: f32) {
    let total: f32 = votes.iter().sum();
    for (vote, answer) in votes.iter_mut().zip(answer) {
        *vote += weight * (total * answer - *vote);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_move_towards_the_answer_and_keep_their_sum() {
        let mut votes = [0.8, 0.2, 0.0];
        teach(&mut votes, &[0.4, 0.4, 0.2], 0.5);
        assert_eq!(votes.map(|vote| (vote * 100.0).round()), [60.0, 30.0, 10.0]);
        let mut none = [0.0; 3];
        teach(&mut none, &[0.4, 0.4, 0.2], 0.5);
        assert_eq!(none, [0.0; 3]);
    }
}
