//! Where on a picture a similarity comes from: the arithmetic, without an engine.
//!
//! An encoder without a class token pools its tokens by their mean `p`, norms it, projects it to the embedding `e` and
//! compares that, at unit length, with a descriptor's unit vector `d`. Only the norm's statistics and the length of `e`
//! are not linear in the tokens. Held at what they are for this picture, they let every token `t` be normed and
//! projected by itself: `e_t = P ((h_t - mean(p)) / std(p) * weight + bias)`. The mean of the `e_t` is `e`, so
//! `d e_t / (patches |e|)` are the patches' parts of the cosine and add up to it; the norm's bias is shared evenly.
//!
//! An encoder with a class token has no such sum: there [`cover`] hides a cell of the picture, and what the similarity
//! loses by it is the cell's value.

use crate::config::{EncoderConfig, LAYER_NORM_EPSILON, TokenPool};
use crate::error::{Error, ErrorKind, Result};

/// Cells of a row of the grid that [`cover`] hides one by one, where the picture has as many pixels.
pub const COVERED_SIDE: usize = 6;

/// Says why an encoder's similarities are no sum over its patches.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] where the encoder has a class token.
pub fn check_patches(encoder: &EncoderConfig) -> Result<()> {
    match encoder.pool {
        TokenPool::Mean => Ok(()),
        TokenPool::Class => Err(Error::new(
            ErrorKind::InvalidArgument,
            "this encoder answers from a class token, so a similarity is no sum over its patches; ask for evidence by \
             occlusion instead",
        )),
    }
}

/// Norms each token as the tokens' mean is normed: with the statistics of that mean.
///
/// # Shapes
/// - tokens: `[patches, width]`, in place
/// - weight, bias: `[width]`
pub fn norm_with_held_statistics(tokens: &mut [f32], weight: &[f32], bias: &[f32]) {
    let width = weight.len();
    let count = (tokens.len() / width) as f64;
    let mut pooled = vec![0.0f64; width];
    for token in tokens.chunks_exact(width) {
        pooled.iter_mut().zip(token).for_each(|(sum, &value)| *sum += f64::from(value) / count);
    }
    let mean = pooled.iter().sum::<f64>() / width as f64;
    let variance = pooled.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / width as f64;
    let (mean, scale) = (mean as f32, (1.0 / (variance + f64::from(LAYER_NORM_EPSILON)).sqrt()) as f32);
    for token in tokens.chunks_exact_mut(width) {
        for ((value, weight), bias) in token.iter_mut().zip(weight).zip(bias) {
            *value = (*value - mean) * scale * weight + bias;
        }
    }
}

/// The mean of rows `[count, width]`: an embedding from its patches'.
pub fn mean_row(rows: &[f32], width: usize) -> Vec<f32> {
    let count = (rows.len() / width) as f64;
    let mut mean = vec![0.0f64; width];
    for row in rows.chunks_exact(width) {
        mean.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value) / count);
    }
    mean.into_iter().map(|value| value as f32).collect()
}

/// Each patch's part of the cosine with each descriptor; a descriptor's parts add up to its cosine.
///
/// # Shapes
/// - patches: `[patches, width]`, whose mean is the embedding
/// - descriptors: `[descriptors, width]`, unit vectors
/// - output: `[descriptors, patches]`
pub fn parts(patches: &[f32], descriptors: &[f32], width: usize) -> Vec<f32> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let whole = mean_row(patches, width);
    let count = (patches.len() / width) as f64;
    let length = dot(&whole, &whole).sqrt().max(1e-12);
    let mut parts = Vec::with_capacity(descriptors.len() / width * (patches.len() / width));
    for descriptor in descriptors.chunks_exact(width) {
        parts.extend(patches.chunks_exact(width).map(|patch| (dot(descriptor, patch) / (count * length)) as f32));
    }
    parts
}

/// A grid's mirror image: each of its rows of `side` backwards.
pub fn mirror_grid(grid: &[f32], side: usize) -> Vec<f32> {
    grid.chunks(side).flat_map(|row| row.iter().rev().copied()).collect()
}

/// Cells of a row of the grid that can be covered in a picture of `side` pixels: [`COVERED_SIDE`], or one a pixel.
pub fn covered_side(side: usize) -> usize {
    COVERED_SIDE.min(side)
}

/// Pixels with one cell of [`covered_side`] squared in the statistics' mean, a grey: 0 once normalised.
///
/// # Shapes
/// - pixels, output: `[channels, side, side]`, normalised
/// - cell: 0 is the upper left one, then along the rows
pub fn cover(pixels: &[f32], side: usize, cell: usize) -> Vec<f32> {
    let cells = covered_side(side);
    let edges = |index: usize| index * side / cells..(index + 1) * side / cells;
    let (rows, columns) = (edges(cell / cells), edges(cell % cells));
    let mut covered = pixels.to_vec();
    for plane in covered.chunks_exact_mut(side * side) {
        for line in plane.chunks_exact_mut(side).take(rows.end).skip(rows.start) {
            line[columns.clone()].fill(0.0);
        }
    }
    covered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_covered_cells_tile_the_picture() {
        for (side, cells) in [(48, 36), (224, 36), (7, 36), (4, 16), (1, 1)] {
            let pixels = vec![1.0; 3 * side * side];
            let mut times = vec![0; pixels.len()];
            for cell in 0..cells {
                let covered = cover(&pixels, side, cell);
                assert!(covered.contains(&0.0), "{side} {cell}");
                times.iter_mut().zip(covered).for_each(|(times, value)| *times += usize::from(value == 0.0));
            }
            assert!(times.iter().all(|&times| times == 1), "{side}");
        }
    }

    #[test]
    fn the_first_cells_lie_in_the_first_row() {
        let covered = cover(&[1.0; 36], 6, 1);
        assert_eq!(covered.iter().position(|&value| value == 0.0), Some(1));
        assert_eq!(mirror_grid(&[1.0, 2.0, 3.0, 4.0], 2), [2.0, 1.0, 4.0, 3.0]);
    }

    #[test]
    fn the_patches_mean_is_what_the_norm_makes_of_the_tokens_mean() {
        let width = 5;
        let tokens: Vec<f32> = (0..4 * width).map(|index| (index * 37 % 17) as f32 - 6.0).collect();
        let weight: Vec<f32> = (0..width).map(|index| 1.0 + index as f32 / 9.0).collect();
        let bias: Vec<f32> = (0..width).map(|index| index as f32 / 7.0 - 0.2).collect();
        let mut alone = mean_row(&tokens, width);
        norm_with_held_statistics(&mut alone, &weight, &bias);
        let mut each = tokens;
        norm_with_held_statistics(&mut each, &weight, &bias);
        for (found, wanted) in mean_row(&each, width).iter().zip(&alone) {
            assert!((found - wanted).abs() < 1e-5, "{found} {wanted}");
        }
        // Descriptors: two axes. Their parts add up to the unit vector's two values.
        let length = alone.iter().map(|value| value * value).sum::<f32>().sqrt();
        let axes = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];
        for (found, wanted) in parts(&each, &axes, width).chunks(4).zip(&alone) {
            assert!((found.iter().sum::<f32>() - wanted / length).abs() < 1e-6);
        }
    }
}
