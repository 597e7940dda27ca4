//! Tells by coarse brightness whether a face has hardly changed since it was encoded.

use crate::preprocess::grey;

/// Cells across and down. Coarse enough that a camera's noise averages out, fine enough that a mouth or a brow fills one.
const CELLS: usize = 8;

/// The mean brightness of each cell of a square crop, 0..255.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeDetector([f32; CELLS * CELLS]);

impl ChangeDetector {
    /// Of a crop, RGBA `[side, side, 4]`.
    pub fn new(rgba: &[u8], side: usize) -> Self {
        let mut sums = [0u32; CELLS * CELLS];
        let mut counts = [0u32; CELLS * CELLS];
        let cell = |place: usize| place * CELLS / side.max(1);
        for (y, row) in rgba.chunks_exact(side.max(1) * 4).enumerate() {
            for (x, pixel) in row.chunks_exact(4).enumerate() {
                let index = (cell(y) * CELLS + cell(x)).min(CELLS * CELLS - 1);
                sums[index] += u32::from(grey(pixel));
                counts[index] += 1;
            }
        }
        Self(std::array::from_fn(|index| sums[index] as f32 / counts[index].max(1) as f32))
    }

    /// The largest difference of any cell, in grey levels: an expression moves a part of the face, so a mean over the
    /// whole would hide it.
    pub fn difference(&self, other: &Self) -> f32 {
        self.0.iter().zip(&other.0).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(side: usize, value: u8) -> Vec<u8> {
        [value, value, value, 255].repeat(side * side)
    }

    #[test]
    fn one_changed_cell_counts_in_full() {
        let side = 48;
        let mut rgba = flat(side, 100);
        let before = ChangeDetector::new(&rgba, side);
        assert_eq!(before.difference(&before), 0.0);
        for y in 30..36 {
            for x in 18..24 {
                rgba[(y * side + x) * 4..][..3].fill(140);
            }
        }
        assert_eq!(before.difference(&ChangeDetector::new(&rgba, side)), 40.0);
    }

    #[test]
    fn noise_averages_out() {
        let side = 48;
        let mut state = 1u32;
        let mut noisy = || {
            let mut rgba = flat(side, 100);
            for pixel in rgba.chunks_exact_mut(4) {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Evenly from 92 to 108: a spread of 4.9 levels.
                pixel[..3].fill(92 + (state >> 16) as u8 % 17);
            }
            ChangeDetector::new(&rgba, side)
        };
        let (a, b) = (noisy(), noisy());
        assert!(a.difference(&b) < 4.0, "{}", a.difference(&b));
    }

    #[test]
    fn crops_of_every_side_have_a_look() {
        for side in [1, 3, 7, 8, 50, 224] {
            assert_eq!(
                ChangeDetector::new(&flat(side, 9), side).difference(&ChangeDetector::new(&flat(side, 9), side)),
                0.0
            );
        }
    }
}
