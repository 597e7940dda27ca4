//! How far rounded weights move the embeddings of real pictures: the portrait's in any case, a data set's where one is given.

use anyhow::{Result, ensure};
use cliper::config::{EncoderConfig, PreprocessConfig};
use cliper::engine::cpu::CpuEncoder;
use cliper::math::{best, cosine};
use cliper::model::descriptors::Descriptors;
use cliper::preprocess::{Picture, preprocess};
use cliper::tensors::Weights;

/// Least cosine between the embeddings of a picture by rounded weights and by the exact ones: below it something is wrong.
pub const LEAST_COSINE: f32 = 0.995;
/// Least share of the pictures whose top answer stays. With 8 bits throughout, 99.6 % of FER+'s validation faces keep theirs.
pub const LEAST_KEPT: f32 = 0.98;

/// NASA's portrait, in the public domain: the page's own picture.
const PORTRAIT: &[u8] = include_bytes!("../../../www/demo/portrait.jpg");

/// A picture as the encoder takes it.
#[derive(Clone)]
pub struct Look {
    pub name: String,
    pub pixels: Vec<f32>,
}

/// The portrait whole, closer, and mirrored.
pub fn portrait(encoder: &EncoderConfig, config: &PreprocessConfig) -> Result<Vec<Look>> {
    let whole = image::load_from_memory(PORTRAIT)?.into_rgba8();
    let (width, height) = whole.dimensions();
    let near = image::imageops::crop_imm(&whole, width / 4, height / 16, width / 2, height / 2).to_image();
    let mirrored = image::imageops::flip_horizontal(&near);
    [("the portrait", whole), ("the portrait's middle", near), ("the portrait's middle, mirrored", mirrored)]
        .into_iter()
        .map(|(name, picture)| {
            let picture = Picture::new(picture.as_raw(), picture.width() as usize, picture.height() as usize)?;
            Ok(Look { name: name.into(), pixels: preprocess(picture, encoder, config) })
        })
        .collect()
}

/// The embedding of each look.
pub fn embed(weights: &mut Weights, encoder: &EncoderConfig, looks: &[Look]) -> Result<Vec<Vec<f32>>> {
    let mut encoder = CpuEncoder::load(weights, encoder)?;
    Ok(looks.iter().map(|look| encoder.encode(&look.pixels)).collect())
}

/// What rounding does to looks.
#[derive(Debug, Clone, Copy)]
pub struct Fidelity {
    /// Between the embeddings of a look.
    pub least_cosine: f32,
    /// Share of the looks whose top answer stays.
    pub kept: f32,
}

/// Compares embeddings by rounded weights with those by the exact ones.
///
/// # Errors
/// Names the first look below [`LEAST_COSINE`], and refuses rounding that changes too many answers.
pub fn compare(
    looks: &[Look],
    exact: &[Vec<f32>],
    rounded: &[Vec<f32>],
    descriptors: &Descriptors,
) -> Result<Fidelity> {
    let mut least = 1.0f32;
    for ((look, exact), rounded) in looks.iter().zip(exact).zip(rounded) {
        let cosine = cosine(exact, rounded);
        ensure!(
            cosine >= LEAST_COSINE,
            "rounding moves the embedding of {} to a cosine of {cosine:.6} with the exact one; at least {LEAST_COSINE} is \
             needed: pack with --precision f16",
            look.name
        );
        least = least.min(cosine);
    }
    let top = |embedding: &Vec<f32>| best(&descriptors.scores(&descriptors.similarities(embedding), 1.0));
    let kept = exact.iter().zip(rounded).filter(|(exact, rounded)| top(exact) == top(rounded)).count();
    let kept = kept as f32 / looks.len().max(1) as f32;
    ensure!(
        kept >= LEAST_KEPT,
        "rounding changes the top answer on {:.1} % of {} pictures; at most {:.0} % may change: pack with --precision f16",
        100.0 * (1.0 - kept),
        looks.len(),
        100.0 * (1.0 - LEAST_KEPT)
    );
    Ok(Fidelity { least_cosine: least, kept })
}
