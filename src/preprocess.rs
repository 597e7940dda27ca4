//! RGBA pixels of any size -> the encoder's normalised square: resize, crop and statistics live here only.
//!
//! The resize is Pillow's with antialiasing (`Resample.c`), which CLIP was trained with: a canvas scales differently and
//! visibly moves the embedding, so no page may scale before this.

use crate::config::{CropRounding, EncoderConfig, Interpolation, PreprocessConfig, ResizeConfig, ResizeMode};
use crate::error::{Error, ErrorKind, Result};

/// Most pixels of a picture: 2^26, 256 MiB of RGBA.
pub const MAX_PIXELS: usize = 1 << 26;

/// Pixels that are read where they lie, part by part: a large photo is never in memory twice.
pub trait ReadPixels: std::fmt::Debug {
    /// The RGBA bytes `[height, width, 4]` of a part, in the place of what `rgba` holds; the part lies in the picture.
    fn read(&self, left: usize, top: usize, width: usize, height: usize, rgba: &mut Vec<u8>);
}

/// Pixels of one [`ReadPixels::read`]: 1 MB.
const PART: usize = 1 << 18;

#[derive(Debug, Clone, Copy)]
enum Pixels<'a> {
    Here(&'a [u8]),
    Elsewhere(&'a dyn ReadPixels),
}

/// A borrowed picture: rows of RGBA bytes from the top, alpha not multiplied in and ignored.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    pixels: Pixels<'a>,
    width: usize,
    height: usize,
}

impl<'a> Picture<'a> {
    /// Checks that `rgba` holds `width * height` pixels.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidImage`] for an empty picture, more than [`MAX_PIXELS`], or a buffer of another length.
    pub fn new(rgba: &'a [u8], width: usize, height: usize) -> Result<Self> {
        check_size(width, height)?;
        if rgba.len() != width * height * 4 {
            return Err(invalid(format!(
                "{width} x {height} RGBA pixels are {} bytes, but {} were given; pass rows of 4 bytes a pixel without padding",
                width * height * 4,
                rgba.len()
            )));
        }
        Ok(Self { pixels: Pixels::Here(rgba), width, height })
    }

    /// A picture whose pixels are read when they are looked at.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidImage`] for an empty picture and more than [`MAX_PIXELS`].
    pub fn elsewhere(pixels: &'a dyn ReadPixels, width: usize, height: usize) -> Result<Self> {
        check_size(width, height)?;
        Ok(Self { pixels: Pixels::Elsewhere(pixels), width, height })
    }

    /// Shows `see` the pixels from `left` up to `right` of each row from `top` up to `bottom`, one row after the other.
    pub(crate) fn rows(&self, [left, right]: [usize; 2], [top, bottom]: [usize; 2], mut see: impl FnMut(&[u8])) {
        match self.pixels {
            Pixels::Here(rgba) => {
                let rows = rgba.chunks_exact(self.width * 4).take(bottom).skip(top);
                rows.for_each(|row| see(&row[left * 4..right * 4]));
            }
            Pixels::Elsewhere(pixels) => {
                let width = right - left;
                let most = (PART / width.max(1)).max(1);
                let mut part = Vec::new();
                for first in (top..bottom).step_by(most) {
                    pixels.read(left, first, width, most.min(bottom - first), &mut part);
                    part.chunks_exact(width * 4).for_each(&mut see);
                }
            }
        }
    }

    /// Pixels of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }
}

fn check_size(width: usize, height: usize) -> Result<()> {
    if width == 0 || height == 0 {
        return Err(invalid(format!("the picture is {width} x {height} pixels; give one with at least 1 x 1")));
    }
    match width.checked_mul(height) {
        Some(pixels) if pixels <= MAX_PIXELS => Ok(()),
        _ => Err(invalid(format!(
            "the picture is {width} x {height} pixels, more than {MAX_PIXELS} in all; crop it to the face first"
        ))),
    }
}

fn invalid(why: String) -> Error {
    Error::new(ErrorKind::InvalidImage, why)
}

/// Pixels `[channels, side, side]`, normalised, for the encoder: resize, centre crop, statistics.
pub fn preprocess(picture: Picture, encoder: &EncoderConfig, config: &PreprocessConfig) -> Vec<f32> {
    normalise(&resize_and_crop(picture, encoder.side, encoder.channels, &config.resize), config)
}

/// Bytes `[side, side, channels]` -> `[channels, side, side]`, `(value / 255 - mean) / std`.
pub fn normalise(bytes: &[u8], config: &PreprocessConfig) -> Vec<f32> {
    let channels = config.mean.len();
    let plane = bytes.len() / channels;
    let mut pixels = vec![0.0; bytes.len()];
    for (channel, (&mean, &std)) in config.mean.iter().zip(&config.std).enumerate() {
        let (scale, shift) = (1.0 / (255.0 * std), mean / std);
        for (value, pixel) in pixels[channel * plane..][..plane].iter_mut().zip(bytes.chunks_exact(channels)) {
            *value = f32::from(pixel[channel]) * scale - shift;
        }
    }
    pixels
}

/// The mirror image of pixels `[channels, side, side]`: each line backwards.
pub fn mirror(pixels: &[f32], side: usize) -> Vec<f32> {
    pixels.chunks(side).flat_map(|line| line.iter().rev().copied()).collect()
}

/// A square from the middle of a picture: bytes `[side, side, channels]`, RGB or ITU-R 601 grey.
pub fn resize_and_crop(picture: Picture, side: usize, channels: usize, config: &ResizeConfig) -> Vec<u8> {
    let [columns, rows] = axes(picture.width, picture.height, side, config);
    let (wide, high) = (columns.taps.len(), rows.taps.len());
    // Only the source rows that some output row reads, each resized across first, as Pillow does.
    let (first, last) = rows.reach();
    let mut across = vec![0u8; (last - first) * wide * channels];
    let (left, right) = columns.reach();
    let mut line = vec![0.0f32; (right - left) * channels];
    let mut outs = across.chunks_exact_mut(wide * channels);
    picture.rows([left, right], [first, last], |source| {
        let Some(out) = outs.next() else { return };
        for (pixel, value) in source.chunks_exact(4).zip(line.chunks_exact_mut(channels)) {
            if channels == 1 {
                value[0] = f32::from(grey(pixel));
            } else {
                for channel in 0..channels {
                    value[channel] = f32::from(pixel[channel]);
                }
            }
        }
        for (tap, out) in columns.taps.iter().zip(out.chunks_exact_mut(channels)) {
            let window = &line[(tap.first - left) * channels..][..tap.weights.len() * channels];
            for (channel, out) in out.iter_mut().enumerate() {
                let sum: f32 = tap
                    .weights
                    .iter()
                    .zip(window[channel..].iter().step_by(channels))
                    .map(|(weight, value)| weight * value)
                    .sum();
                *out = round(sum);
            }
        }
    });
    let mut out = border(side, channels, config);
    let mut sums = vec![0.0f32; wide * channels];
    let lines = out.chunks_exact_mut(side * channels).skip(rows.before).take(high);
    for (tap, out) in rows.taps.iter().zip(lines) {
        sums.fill(0.0);
        for (weight, line) in tap.weights.iter().zip(across.chunks_exact(wide * channels).skip(tap.first - first)) {
            for (sum, &value) in sums.iter_mut().zip(line) {
                *sum += weight * f32::from(value);
            }
        }
        for (out, &sum) in out[columns.before * channels..].iter_mut().zip(&sums) {
            *out = round(sum);
        }
    }
    out
}

/// A square of the border's colour, to be drawn into.
fn border(side: usize, channels: usize, config: &ResizeConfig) -> Vec<u8> {
    let [red, green, blue] = config.fill;
    let grey = [grey(&[red, green, blue])];
    let colour: &[u8] = if channels == 1 { &grey } else { &config.fill };
    colour.iter().copied().cycle().take(side * side * channels).collect()
}

/// Pillow's `L`: ITU-R 601-2 luma in 16-bit fixed point (`Convert.c`).
pub fn grey(pixel: &[u8]) -> u8 {
    let [red, green, blue] = [0, 1, 2].map(|channel| u32::from(pixel[channel]));
    ((red * 19_595 + green * 38_470 + blue * 7_471 + 0x8000) >> 16) as u8
}

/// Pillow rounds to bytes between the two passes, too.
fn round(sum: f32) -> u8 {
    (sum + 0.5).floor().clamp(0.0, 255.0) as u8
}

/// The source samples and weights of one output sample.
struct Tap {
    first: usize,
    weights: Vec<f32>,
}

/// One axis of the resize: a tap for each sample that the crop keeps, and how many of the border lie before them.
struct Axis {
    before: usize,
    taps: Vec<Tap>,
}

/// The columns and the rows of the square.
fn axes(width: usize, height: usize, side: usize, config: &ResizeConfig) -> [Axis; 2] {
    let edge = config.edge.unwrap_or(side);
    let (short, long) = (width.min(height), width.max(height));
    [width, height].map(|length| {
        let resized = match config.mode {
            // torchvision's and transformers' rule: the longer side is cut to an integer.
            ResizeMode::Shortest => (edge as u64 * length as u64 / short as u64) as usize,
            // open_clip's: rounded, half to even; a side of no pixels can't be drawn.
            ResizeMode::Longest => ((length as f64 / (long as f64 / edge as f64)).round_ties_even() as usize).max(1),
            ResizeMode::Squash => edge,
        };
        Axis::new(length, resized, side, config)
    })
}

impl Axis {
    fn new(length: usize, resized: usize, side: usize, config: &ResizeConfig) -> Self {
        let before = side.saturating_sub(resized) / 2;
        let cut = resized.saturating_sub(side);
        let start = match config.crop {
            CropRounding::HalfToEven => (cut as f64 / 2.0).round_ties_even() as usize,
            CropRounding::Down => cut / 2,
        };
        let (kernel, reach): (fn(f64) -> f64, f64) = match config.interpolation {
            Interpolation::Bicubic => (bicubic, 2.0),
            Interpolation::Bilinear => (bilinear, 1.0),
        };
        let scale = length as f64 / resized as f64;
        let widening = scale.max(1.0);
        let support = reach * widening;
        let taps = (start..start + side.min(resized))
            .map(|index| {
                let center = (index as f64 + 0.5) * scale;
                let first = ((center - support + 0.5).max(0.0) as usize).min(length - 1);
                let last = ((center + support + 0.5) as usize).clamp(first + 1, length);
                let raw: Vec<f64> =
                    (first..last).map(|sample| kernel((sample as f64 - center + 0.5) / widening)).collect();
                let sum: f64 = raw.iter().sum();
                Tap { first, weights: raw.iter().map(|weight| (weight / sum) as f32).collect() }
            })
            .collect();
        Self { before, taps }
    }

    /// The source samples that some tap reads: the first, and the one behind the last.
    fn reach(&self) -> (usize, usize) {
        let last = self.taps.iter().map(|tap| tap.first + tap.weights.len()).max().unwrap_or(1);
        (self.taps[0].first, last)
    }
}

/// Keys' kernel with a = -0.5, Pillow's.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// A triangle.
fn bilinear(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}
