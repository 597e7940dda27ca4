//! Resampling of RGB pictures: reduction by whole factors, the detector's letterbox, cubic samples at any place.
//!
//! The bilinear and cubic samples here enlarge or shrink by less than three: what is larger is first averaged over
//! whole squares of pixels, so that fine detail does not turn into noise and the work does not grow with the picture.

use crate::error::Result;
use crate::prediction::{Face, FaceBox, KeyPoints, Point};
use crate::preprocess::Picture;

/// A square of this side holds any picture: [`crate::preprocess::MAX_PIXELS`] in one line.
const MOST_FACTOR: usize = crate::preprocess::MAX_PIXELS;

/// Rows whose bytes a `u32` can add up, by far.
const MOST_ROWS: usize = 1 << 16;

/// A part of a picture, averaged over squares of `factor` pixels: RGB, 0..255.
#[derive(Debug)]
pub struct Reduced {
    values: Vec<f32>,
    width: usize,
    height: usize,
    /// Left upper corner in the picture's pixels.
    left: usize,
    top: usize,
    factor: usize,
}

impl Reduced {
    /// Averages the pixels from `left, top` up to `right, bottom` (cut to the picture; at least one pixel remains).
    pub fn new(picture: Picture, [left, top, right, bottom]: [f32; 4], factor: usize) -> Self {
        // Float to integer conversion saturates, so that far and undefined corners fall on the edges.
        let span = |from: f32, to: f32, length: usize| {
            let first = (from.floor().max(0.0) as usize).min(length - 1);
            (first, (to.ceil().max(0.0) as usize).clamp(first + 1, length))
        };
        let (left, right) = span(left, right, picture.width());
        let (top, bottom) = span(top, bottom, picture.height());
        let factor = factor.clamp(1, MOST_FACTOR);
        let (width, height) = ((right - left).div_ceil(factor), (bottom - top).div_ceil(factor));
        let mut values = vec![0.0f32; width * height * 3];
        // Down first, for whole lines in vectors; then across, once for each row of squares.
        let mut sums = vec![0u32; (right - left) * 4];
        let mut seen = 0;
        picture.rows([left, right], [top, bottom], |line| {
            sums.iter_mut().zip(line).for_each(|(sum, &value)| *sum += u32::from(value));
            seen += 1;
            if seen % factor != 0 && seen % MOST_ROWS != 0 && seen != bottom - top {
                return;
            }
            let out = &mut values[(seen - 1) / factor * width * 3..][..width * 3];
            for (cell, out) in sums.chunks(factor * 4).zip(out.chunks_exact_mut(3)) {
                let mut totals = [0u64; 3];
                for pixel in cell.chunks_exact(4) {
                    for (total, &value) in totals.iter_mut().zip(pixel) {
                        *total += u64::from(value);
                    }
                }
                for (out, total) in out.iter_mut().zip(totals) {
                    *out += total as f32;
                }
            }
            sums.fill(0);
        });
        if factor > 1 {
            for (y, row) in values.chunks_exact_mut(width * 3).enumerate() {
                let rows = factor.min(bottom - top - y * factor);
                for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
                    let count = rows * factor.min(right - left - x * factor);
                    pixel.iter_mut().for_each(|value| *value /= count as f32);
                }
            }
        }
        Self { values, width, height, left, top, factor }
    }

    /// A place of the picture in this one's pixels, counted from the middle of the first.
    fn place(&self, x: f32, y: f32) -> (f32, f32) {
        let scale = 1.0 / self.factor as f32;
        ((x - self.left as f32) * scale - 0.5, (y - self.top as f32) * scale - 0.5)
    }

    /// The colour at a place of the picture, by Keys' cubic over 4x4; beyond the edge the edge goes on.
    pub fn cubic(&self, x: f32, y: f32) -> [f32; 3] {
        let (x, y) = self.place(x, y);
        let (left, top) = (x.floor(), y.floor());
        let (across, down) = (cubic_weights(x - left), cubic_weights(y - top));
        let column = |tap: usize| ((left + tap as f32 - 1.0).max(0.0) as usize).min(self.width - 1);
        let row = |tap: usize| ((top + tap as f32 - 1.0).max(0.0) as usize).min(self.height - 1);
        let columns: [usize; 4] = std::array::from_fn(column);
        let mut sums = [0.0; 3];
        for (tap, weight) in down.into_iter().enumerate() {
            let line = &self.values[row(tap) * self.width * 3..][..self.width * 3];
            for (column, across) in columns.into_iter().zip(across) {
                for (sum, value) in sums.iter_mut().zip(&line[column * 3..][..3]) {
                    *sum += weight * across * value;
                }
            }
        }
        sums
    }
}

/// A picture averaged over whole squares of pixels.
#[derive(Debug)]
pub struct Shrunk {
    rgba: Vec<u8>,
    width: usize,
    height: usize,
    /// Pixels of the picture along a side of one of these.
    factor: usize,
}

impl Shrunk {
    /// Over squares of `factor` pixels; those at the right and lower edge may be less.
    pub fn new(picture: Picture, factor: usize) -> Self {
        let bounds = [0.0, 0.0, picture.width() as f32, picture.height() as f32];
        let Reduced { values, width, height, factor, .. } = Reduced::new(picture, bounds, factor);
        let pixel = |rgb: &[f32]| [rgb[0], rgb[1], rgb[2], 255.0].map(|value| value.round() as u8);
        Self { rgba: values.chunks_exact(3).flat_map(pixel).collect(), width, height, factor }
    }

    /// Itself.
    pub fn picture(&self) -> Result<Picture<'_>> {
        Picture::new(&self.rgba, self.width, self.height)
    }

    /// A face of this one where it lies in the picture.
    pub fn enlarge(&self, face: Face) -> Face {
        let scale = self.factor as f32;
        let FaceBox { x, y, width, height } = face.r#box;
        Face {
            r#box: FaceBox { x: x * scale, y: y * scale, width: width * scale, height: height * scale },
            key_points: KeyPoints::from_array(
                face.key_points.to_array().map(|Point { x, y }| Point { x: x * scale, y: y * scale }),
            ),
            score: face.score,
        }
    }
}

/// Keys' kernel with a = -0.5 at -1 - t, -t, 1 - t and 2 - t.
fn cubic_weights(t: f32) -> [f32; 4] {
    let (t2, t3) = (t * t, t * t * t);
    [-0.5 * t3 + t2 - 0.5 * t, 1.5 * t3 - 2.5 * t2 + 1.0, -1.5 * t3 + 2.0 * t2 + 0.5 * t, 0.5 * t3 - 0.5 * t2]
}

/// A square region of a picture, shrunk or enlarged for the detector, with the way back.
#[derive(Debug)]
pub struct Letterbox {
    /// `[side, side, 3]`, RGB in -1..1; -1 (black) beside the picture.
    pub pixels: Vec<f32>,
    /// Pixels of the picture in one of the square.
    pub scale: f32,
    /// The square's left upper corner, in the picture's pixels.
    pub left: f32,
    /// The same, downward.
    pub top: f32,
}

/// A square region of a picture, in its pixels; it may reach over the edge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// Left edge.
    pub left: f32,
    /// Upper edge.
    pub top: f32,
    /// Side, at least one.
    pub side: f32,
}

impl Region {
    /// The least square around a whole picture, with the picture in its middle.
    pub fn whole(picture: Picture) -> Self {
        let (width, height) = (picture.width() as f32, picture.height() as f32);
        let side = width.max(height);
        Self { left: (width - side) / 2.0, top: (height - side) / 2.0, side }
    }
}

impl Letterbox {
    /// Samples a region as a square of `side` pixels: averages over whole pixels, then bilinear, as MediaPipe samples
    /// (a wider filter blurs small faces away).
    pub fn new(picture: Picture, region: Region, side: usize) -> Self {
        let (width, height) = (picture.width() as f32, picture.height() as f32);
        let Region { left, top, side: long } = region;
        let scale = long / side as f32;
        let reduced = Reduced::new(picture, [left, top, left + long, top + long], scale as usize);
        let factor = reduced.factor as f32;
        let axis = |start: f32, origin: usize, length: f32, count: usize| -> Vec<Option<Tap>> {
            (0..side)
                .map(|index| {
                    let middle = start + (index as f32 + 0.5) * scale;
                    let place = (middle - origin as f32) / factor - 0.5;
                    (middle >= 0.0 && middle < length).then(|| Tap::new(place, count))
                })
                .collect()
        };
        let columns = axis(left, reduced.left, width, reduced.width);
        let rows = axis(top, reduced.top, height, reduced.height);
        // Across first, each line once.
        let mut across = vec![0.0f32; reduced.height * side * 3];
        for (line, out) in reduced.values.chunks_exact(reduced.width * 3).zip(across.chunks_exact_mut(side * 3)) {
            for (tap, out) in columns.iter().zip(out.chunks_exact_mut(3)) {
                for (weight, pixel) in
                    tap.iter().flat_map(|tap| tap.weights.iter().zip(line[tap.first * 3..].chunks_exact(3)))
                {
                    for (out, value) in out.iter_mut().zip(pixel) {
                        *out += weight * value;
                    }
                }
            }
        }
        let mut pixels = vec![-1.0f32; side * side * 3];
        for (tap, out) in rows.iter().zip(pixels.chunks_exact_mut(side * 3)) {
            let Some(tap) = tap else { continue };
            let mut sums = vec![0.0f32; side * 3];
            for (weight, line) in tap.weights.iter().zip(across.chunks_exact(side * 3).skip(tap.first)) {
                for (sum, value) in sums.iter_mut().zip(line) {
                    *sum += weight * value;
                }
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = sum / 127.5 - 1.0;
            }
        }
        Self { pixels, scale, left, top }
    }

    /// The same, turned clockwise by quarters.
    pub fn turned(self, quarters: usize) -> Self {
        let side = (self.pixels.len() / 3).isqrt();
        let mut pixels = self.pixels;
        for _ in 0..quarters {
            let from = pixels.clone();
            for (index, pixel) in from.chunks_exact(3).enumerate() {
                let (x, y) = (index % side, index / side);
                pixels[(x * side + side - 1 - y) * 3..][..3].copy_from_slice(pixel);
            }
        }
        Self { pixels, ..self }
    }
}

/// The two samples beside a place and their weights; one at the edge.
#[derive(Debug)]
struct Tap {
    first: usize,
    weights: [f32; 2],
}

impl Tap {
    /// - place: in samples, 0 is the middle of the first
    fn new(place: f32, count: usize) -> Self {
        let place = place.clamp(0.0, (count - 1) as f32);
        let first = place as usize;
        let rest = place - first as f32;
        Self { first, weights: [1.0 - rest, rest] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(width: usize, height: usize) -> Vec<u8> {
        (0..width * height).flat_map(|index| [(index % width) as u8, (index / width) as u8, 7, 255]).collect()
    }

    #[test]
    fn a_ramp_stays_a_ramp_through_reduction_and_cubic_samples() {
        let rgba = ramp(200, 100);
        let picture = Picture::new(&rgba, 200, 100).unwrap();
        for factor in [1, 2, 3, 5] {
            let reduced = Reduced::new(picture, [11.0, 8.0, 180.0, 90.0], factor);
            for (x, y) in [(60.25, 40.75), (100.0, 50.0), (121.9, 33.3)] {
                // Pixel i covers i..i+1, so that its value stands half a pixel on.
                let found = reduced.cubic(x, y);
                for (found, wanted) in found.into_iter().zip([x - 0.5, y - 0.5, 7.0]) {
                    assert!((found - wanted).abs() < 1e-2, "{factor}: {found} {wanted}");
                }
            }
        }
    }

    #[test]
    fn places_far_outside_take_the_edge() {
        let rgba = ramp(9, 5);
        let picture = Picture::new(&rgba, 9, 5).unwrap();
        let reduced = Reduced::new(picture, [f32::NAN, -1e30, 1e30, f32::INFINITY], 1);
        assert_eq!(reduced.cubic(-1e9, 2.5)[0], 0.0);
        assert_eq!(reduced.cubic(1e9, 1e9)[..2], [8.0, 4.0]);
    }

    #[test]
    fn a_letterbox_turns_clockwise_and_four_times_is_none() {
        let rgba = ramp(8, 8);
        let picture = Picture::new(&rgba, 8, 8).unwrap();
        let turned = |quarters| Letterbox::new(picture, Region::whole(picture), 8).turned(quarters).pixels;
        let (plain, once) = (turned(0), turned(1));
        // What was on the left is above.
        for (x, y) in [(0, 0), (3, 1), (7, 5)] {
            assert_eq!(once[(x * 8 + 7 - y) * 3..][..3], plain[(y * 8 + x) * 3..][..3]);
        }
        assert_eq!(turned(4), plain);
    }

    #[test]
    fn letterbox_keeps_the_shape_and_the_way_back() {
        for (width, height) in [(200, 100), (100, 200), (128, 128), (1, 1), (3, 200), (37, 20), (150, 149)] {
            let rgba = ramp(width, height);
            let picture = Picture::new(&rgba, width, height).unwrap();
            let found = Letterbox::new(picture, Region::whole(picture), 64);
            assert!(found.pixels.iter().all(|value| (-1.0..=1.0).contains(value)));
            for place in 0..64 * 64 {
                let x = found.left + ((place % 64) as f32 + 0.5) * found.scale;
                let y = found.top + ((place / 64) as f32 + 0.5) * found.scale;
                let inside = x > 0.0 && x < width as f32 && y > 0.0 && y < height as f32;
                let pixel = &found.pixels[place * 3..][..3];
                if !inside {
                    assert_eq!(pixel, [-1.0; 3]);
                    continue;
                }
                let border = 2.0 * found.scale.max(1.0);
                if x > border && x < width as f32 - border && y > border && y < height as f32 - border {
                    for (value, wanted) in pixel.iter().zip([x - 0.5, y - 0.5, 7.0]) {
                        assert!(((value + 1.0) * 127.5 - wanted).abs() < 0.05, "{width}x{height} {x} {y} {pixel:?}");
                    }
                }
            }
        }
    }
}
