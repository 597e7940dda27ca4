//! Evidence of still pictures: how they may be looked at, and a grid for each descriptor.

use std::iter::once;

use super::Session;
use crate::config::TokenPool;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::evidence::{cover, covered_side, mirror_grid, parts};
use crate::math::mean;
use crate::prediction::{Evidence, EvidenceMethod, Prediction, WindowState};
use crate::preprocess::{Picture, mirror, preprocess};

/// Most pictures given to the engine at once, so that memory stays bounded.
const AT_ONCE: usize = 8;

/// How a still picture is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    /// At it and at its mirror image, as the mean of their similarities: two passes of the encoder, in one batch where
    /// the device gains by it; most models are right more often so.
    pub mirrored: bool,
    /// With the evidence of every similarity, found in this way.
    pub evidence: Option<AskedEvidence>,
}

/// How evidence is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedEvidence {
    /// As the exact sum where the encoder takes its tokens' mean: in no more passes than without evidence. By occlusion
    /// where it has a class token.
    Best,
    /// By occlusion, with any encoder: 36 passes more, 72 more with the mirror image.
    Occlusion,
}

impl AskedEvidence {
    /// From its word: `best` or `occlusion`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for any other word.
    pub fn parse(word: &str) -> Result<Self> {
        match word {
            "best" => Ok(Self::Best),
            "occlusion" => Ok(Self::Occlusion),
            _ => Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("there is no evidence `{word}`; ask for `best` or `occlusion`"),
            )),
        }
    }
}

/// What was found for every descriptor.
struct Found {
    /// `[descriptors]`.
    similarities: Vec<f32>,
    method: EvidenceMethod,
    side: usize,
    /// `[descriptors, side, side]`.
    grids: Vec<f32>,
}

impl<E: Engine> Session<E> {
    /// One picture's prediction, each descriptor with its evidence.
    pub(super) async fn recognize_evident(
        &mut self,
        picture: Picture<'_>,
        mirrored: bool,
        asked: AskedEvidence,
    ) -> Result<Prediction> {
        let pixels = preprocess(picture, &self.manifest.encoder, &self.manifest.preprocess);
        let found = match (asked, self.manifest.encoder.pool) {
            (AskedEvidence::Best, TokenPool::Mean) => self.sum_up(pixels, mirrored).await?,
            _ => self.cover_each(&pixels, mirrored).await?,
        };
        let mut prediction = self.explain(&found.similarities, WindowState { filled: 1, length: 1 })?;
        if found.grids.iter().any(|value| !value.is_finite()) {
            return Err(Error::new(
                ErrorKind::DeviceWrong,
                "the device computed evidence that is no numbers; create the recognizer again or use another device",
            ));
        }
        attach(&mut prediction, &found);
        Ok(prediction)
    }

    /// The similarities as sums over patches: one pass a look.
    async fn sum_up(&mut self, pixels: Vec<f32>, mirrored: bool) -> Result<Found> {
        let (encoder, width) = (&self.manifest.encoder, self.descriptors.width());
        let side = encoder.grid();
        let image = mirrored.then(|| mirror(&pixels, encoder.side));
        let (mut similarities, mut grids) = (Vec::new(), Vec::new());
        for (pixels, is_image) in once((pixels, false)).chain(image.map(|image| (image, true))) {
            self.counters.passes += 1;
            self.counters.uploaded_bytes += 4 * pixels.len() as u64;
            let (embedding, patches) = self.engine.encode_patches(pixels).await?;
            let row = self.engine.similarities(&[&embedding]).await?;
            self.counters.read_bytes += 4 * (patches.len() + row.len()) as u64;
            similarities.push(row);
            let parts = parts(&patches, self.descriptors.embeddings(), width);
            grids.push(if is_image { mirror_grid(&parts, side) } else { parts });
        }
        Ok(Found { similarities: mean(&similarities), method: EvidenceMethod::Sum, side, grids: mean(&grids) })
    }

    /// What each similarity loses where a cell is covered: a pass a cell and one of the whole, twice with the mirror image.
    async fn cover_each(&mut self, pixels: &[f32], mirrored: bool) -> Result<Found> {
        let side = self.manifest.encoder.side;
        let cells = covered_side(side).pow(2);
        let looks: Vec<(Option<usize>, bool)> = once(None)
            .chain((0..cells).map(Some))
            .flat_map(|cell| once((cell, false)).chain(mirrored.then_some((cell, true))))
            .collect();
        let mut rows = Vec::with_capacity(looks.len());
        for looks in looks.chunks(AT_ONCE) {
            let look = |&(cell, is_image): &(Option<usize>, bool)| {
                let seen = cell.map_or_else(|| pixels.to_vec(), |cell| cover(pixels, side, cell));
                if is_image { mirror(&seen, side) } else { seen }
            };
            let frames = self.encode_each(looks.iter().map(look).collect()).await?;
            let windows: Vec<_> = frames.iter().map(|frame| vec![frame]).collect();
            let found = self.engine.similarities_of_all(&windows).await?;
            self.counters.read_bytes += found.iter().map(|row| 4 * row.len() as u64).sum::<u64>();
            rows.extend(found);
        }
        let mut rows = rows.chunks(1 + usize::from(mirrored)).map(mean);
        let similarities = rows.next().unwrap_or_default();
        let covered: Vec<Vec<f32>> = rows.collect();
        let grids = similarities
            .iter()
            .enumerate()
            .flat_map(|(place, whole)| covered.iter().map(move |covered| whole - covered[place]))
            .collect();
        Ok(Found { similarities, method: EvidenceMethod::Occlusion, side: covered_side(side), grids })
    }
}

/// Gives each descriptor of a prediction, whose order is its own, the grid of its place among all.
fn attach(prediction: &mut Prediction, found: &Found) {
    let Found { method, side, grids, .. } = found;
    let cells = side * side;
    let mut first = 0;
    for expression in &mut prediction.expressions {
        for descriptor in &mut expression.descriptors {
            let values = grids.chunks_exact(cells).nth(first + descriptor.place).map(<[f32]>::to_vec);
            descriptor.evidence = values.map(|values| Evidence { side: *side, method: *method, values });
        }
        first += expression.descriptors.len();
    }
}
