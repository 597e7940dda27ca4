//! Bytes -> a model: the manifest, hashes, weights and descriptors of a bundle, checked file by file.
//!
//! # The format, version 4
//!
//! A bundle is a folder: `model.json` and the plain file names it lists. Programs need every file but the card and labels
//! that they don't answer in.
//!
//! | field of `model.json` | meaning |
//! |---|---|
//! | `format`, `version` | `cliper-bundle`, and 1, or 2 where a file holds 8-bit tensors, or 3 with label sets, or 4 with movements or a text side; a higher version is refused as `unsupported-bundle` |
//! | `name`, `licence`, `provenance` | for people: data, command, settings, measured figures |
//! | `encoder` | [`EncoderConfig`](crate::config::EncoderConfig): sizes, stem, activation, pooling of the tokens |
//! | `preprocess` | mean and standard deviation of each channel, after scaling to 0..1 |
//! | `expressions` | `{ name, descriptors }` in the order of the embeddings; where the descriptors are annotated, `movements` beside them: for each in their order what it says of [`movements`](crate::movements), `{ jawOpen: 1, ... }` |
//! | `learned` | only with learned descriptors: the prompt, and for every learned token its nearest words with their distances; `descriptors` are then the nearest words |
//! | `labels` | optional label sets `{ name, path, expressions, calibration }`: other data sets' labels, which the encoder learned too |
//! | `movements` | optional `{ path, names }`: what the parts of a face do, as scores of their own |
//! | `text` | optional `{ weights, tokenizer, longest }`: the files that make embeddings of sentences, and the longest sentence in tokens |
//! | `aggregation`, `calibration` | `mean` over an expression's descriptors; the softmax's `temperature`; `uncertainBelow`, the top score under which a prediction is `uncertain` |
//! | `temporal` | optional [`TemporalConfig`]: the sizes of a temporal head; without it a window is the mean of its frames |
//! | `window`, `faceMargin` | frames of a stream's window; room around a face that is found |
//! | `backbone` | names the joint space; each file's metadata carries the same, or is refused as `foreign-descriptors` |
//! | `files` | `{ path, role, bytes, sha256 }` of every other file |
//!
//! | role | file | tensors |
//! |---|---|---|
//! | `weights` | `encoder-0000i-of-0000n.safetensors`, at most 16 MB each (a larger tensor has a file of its own) | named as [`EncoderConfig::tensors`](crate::config::EncoderConfig::tensors) lists them, in that order over the files |
//! | `descriptors` | `descriptors.safetensors` | `embeddings` `[descriptors, embedding]`, f32 as all of this file, or f16 beside 8-bit weights; optional `quantiles` `[descriptors, points]`: of the similarities with faces that training did not see, evenly spaced from the least to the largest ([`Descriptors::strength`]); optional `faces.means` `[expressions, embedding]`, `faces.axes` `[axes, embedding]` and `faces.rest` `[1]`: how faces' embeddings are spread ([`FaceSpread`]) |
//! | `labels` | `labels-NAME.safetensors`, one for each label set | as `descriptors`; read in its place by a program that answers in these labels |
//! | `movements` | `movements.safetensors`, where `movements` is set | as those, `embeddings` `[movements, embedding]`, `knots` and `scores` `[movements, points]`: the curve from a similarity to a score ([`MovementSet`]) |
//! | `text` | `text.safetensors` and `text.json`, where `text` is set | a BERT's, with `projection.weight` `[embedding, width]` and `projection.bias`; f32 `faces.mean` `[embedding]` and `faces.spread` `[axes, embedding]`, the similarities' distribution; the other file: `{ config, tokenizer }` |
//! | `temporal` | `temporal.safetensors`, where `temporal` is set | f16, named as [`TemporalConfig::tensors`](crate::config::TemporalConfig::tensors) lists them; `golden.similarities` `[descriptors]`: what the reference made of a window of two golden frames |
//! | `golden` | `golden.safetensors` | f32 `embedding` `[embedding]`: what the reference made of [`golden_picture`] |
//! | `card` | `CARD.md` | none; no program reads it |
//!
//! Weights are F32, F16 or BF16, tensor by tensor, or I8: a matrix `NAME` `[outputs, inputs]` of whole numbers from -127
//! to 127 with `NAME.scales`, F32 `[outputs]`, beside it in the same file. Its values are `NAME[o][i] * NAME.scales[o]`
//! (symmetric, one scale an output channel); fewer numbers than 255 may be in use. `cargo pkg pack --precision int8` stores the matrices of the blocks, the
//! projection and the stem's convolutions so, `[outputs, channels, 3, 3]`, and the patch embedding, class token, positions, norms,
//! biases and convolutions of fewer than eight channels in F16; it refuses to write a bundle whose top answers on real
//! pictures are others than the f32 weights'.
//!
//! Files may be given to a [`BundleReader`] in any order. f16 and 8-bit tensors stay so in memory until the engine takes
//! them, one by one.

mod manifest;
mod reader;

pub use manifest::{
    Aggregation, Calibration, FORMAT, FileEntry, LabelSet, Manifest, MovementList, Role, TextSide, VERSION,
};
pub use reader::BundleReader;

use crate::config::TemporalConfig;
use crate::error::Result;
use crate::model::descriptors::Descriptors;
use crate::model::face_spread::FaceSpread;
use crate::model::movement_set::MovementSet;
use crate::tensors::Weights;

/// A bundle whose every file was checked.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// model.json.
    pub manifest: Manifest,
    /// The encoder's tensors.
    pub weights: Weights,
    /// Texts and embeddings.
    pub descriptors: Descriptors,
    /// How faces' embeddings are spread; none where the file of descriptors does not say, or others than the model's own are
    /// answered in.
    pub face_spread: Option<FaceSpread>,
    /// What the parts of a face do; none where the manifest lists no movements.
    pub movements: Option<MovementSet>,
    /// The temporal head's tensors; none where the manifest has no head.
    pub temporal: Weights,
    /// What the reference device made of [`golden_picture`], `[embedding]`.
    pub golden: Vec<f32>,
    /// Where there is a temporal head: what the reference made of a window of two golden frames, `[descriptors]`.
    pub golden_window: Option<Vec<f32>>,
}

impl Bundle {
    /// The temporal head, made by `load` of its tensors, its configuration and the embedding's width.
    pub(crate) fn take_temporal<T>(
        &mut self,
        load: impl FnOnce(&mut Weights, &TemporalConfig, usize) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut weights = std::mem::take(&mut self.temporal);
        let width = self.manifest.encoder.embedding;
        let head = self.manifest.temporal.as_ref().map(|config| load(&mut weights, config, width)).transpose()?;
        weights.finish()?;
        Ok(head)
    }
}

/// Side of the golden picture.
pub const GOLDEN_SIDE: usize = 64;

/// The picture of the self-test, RGBA `[GOLDEN_SIDE, GOLDEN_SIDE, 4]`: rings and ramps from integer arithmetic,
/// so that every machine makes the same bytes and no bundle has to carry a photo.
pub fn golden_picture() -> Vec<u8> {
    let middle = GOLDEN_SIDE as i32 / 2;
    (0..(GOLDEN_SIDE * GOLDEN_SIDE) as i32)
        .flat_map(|index| {
            let (x, y) = (index % GOLDEN_SIDE as i32, index / GOLDEN_SIDE as i32);
            let ring = ((x - middle).pow(2) + (y - middle).pow(2)) / 6;
            [(x * 4) as u8, (ring % 256) as u8, (y * 3 + x) as u8, 255]
        })
        .collect()
}
