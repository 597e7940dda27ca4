//! RGBA pixels of any size -> the encoder's normalised square: resize, crop and statistics live here only.
//!
//! The resize is Pillow's bicubic with antialiasing (`Resample.c`), which CLIP was trained with: a canvas scales
//! differently and visibly moves the embedding, so no page may scale before this.

use crate::config::{EncoderConfig, PreprocessConfig};
use crate::error::{Error, ErrorKind, Result};

/// Most pixels of a picture: 2^26, 256 MiB of RGBA.
pub const MAX_PIXELS: usize = 1 << 26;

/// A borrowed picture: rows of RGBA bytes from the top, alpha not multiplied in and ignored.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    rgba: &'a [u8],
    width: usize,
    height: usize,
}

impl<'a> Picture<'a> {
    /// Checks that `rgba` holds `width * height` pixels.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidImage`] for an empty picture, more than [`MAX_PIXELS`], or a buffer of another length.
    pub fn new(rgba: &'a [u8], width: usize, height: usize) -> Result<Self> {
        let fail = |why: String| Err(Error::new(ErrorKind::InvalidImage, why));
        if width == 0 || height == 0 {
            return fail(format!("the picture is {width} x {height} pixels; give one with at least 1 x 1"));
        }
        match width.checked_mul(height) {
            Some(pixels) if pixels <= MAX_PIXELS => {}
            _ => {
                return fail(format!(
                    "the picture is {width} x {height} pixels, more than {MAX_PIXELS} in all; crop it to the face first"
                ));
            }
        }
        if rgba.len() != width * height * 4 {
            return fail(format!(
                "{width} x {height} RGBA pixels are {} bytes, but {} were given; pass rows of 4 bytes a pixel without padding",
                width * height * 4,
                rgba.len()
            ));
        }
        Ok(Self { rgba, width, height })
    }

    /// Rows of RGBA bytes, `[height, width, 4]`.
    pub fn rgba(&self) -> &'a [u8] {
        self.rgba
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

/// Pixels `[channels, side, side]`, normalised, for the encoder: shorter side to `side`, centre crop, statistics.
pub fn preprocess(picture: Picture, encoder: &EncoderConfig, config: &PreprocessConfig) -> Vec<f32> {
    normalise(&resize_and_crop(picture, encoder.side, encoder.channels), config)
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

/// Shorter side to `side`, centre crop: bytes `[side, side, channels]`, RGB or ITU-R 601 grey.
pub fn resize_and_crop(picture: Picture, side: usize, channels: usize) -> Vec<u8> {
    let Picture { rgba, width, height } = picture;
    let short = width.min(height);
    let columns = Axis::new(width, short, side);
    let rows = Axis::new(height, short, side);
    // Only the source rows that some output row reads, each resized across first, as Pillow does.
    let (first, last) =
        (rows.taps[0].first, rows.taps.iter().map(|tap| tap.first + tap.weights.len()).max().unwrap_or(1));
    let mut across = vec![0u8; (last - first) * side * channels];
    let mut line = vec![0.0f32; width * channels];
    let (left, right) =
        (columns.taps[0].first, columns.taps.iter().map(|tap| tap.first + tap.weights.len()).max().unwrap_or(1));
    for (source, out) in rgba.chunks_exact(width * 4).skip(first).zip(across.chunks_exact_mut(side * channels)) {
        for (pixel, value) in source.chunks_exact(4).zip(line.chunks_exact_mut(channels)).take(right).skip(left) {
            if channels == 1 {
                value[0] = f32::from(grey(pixel));
            } else {
                for channel in 0..channels {
                    value[channel] = f32::from(pixel[channel]);
                }
            }
        }
        for (tap, out) in columns.taps.iter().zip(out.chunks_exact_mut(channels)) {
            let window = &line[tap.first * channels..][..tap.weights.len() * channels];
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
    }
    let mut out = vec![0u8; side * side * channels];
    let mut sums = vec![0.0f32; side * channels];
    for (tap, out) in rows.taps.iter().zip(out.chunks_exact_mut(side * channels)) {
        sums.fill(0.0);
        for (weight, line) in tap.weights.iter().zip(across.chunks_exact(side * channels).skip(tap.first - first)) {
            for (sum, &value) in sums.iter_mut().zip(line) {
                *sum += weight * f32::from(value);
            }
        }
        for (out, &sum) in out.iter_mut().zip(&sums) {
            *out = round(sum);
        }
    }
    out
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

/// One axis of the resize: a tap for each of the `side` samples that the centre crop keeps.
struct Axis {
    taps: Vec<Tap>,
}

impl Axis {
    fn new(length: usize, short: usize, side: usize) -> Self {
        // torchvision's rules: the longer side is cut to an integer, the crop's start rounded half to even.
        let resized = (side as u64 * length as u64 / short as u64) as usize;
        let start = ((resized - side) as f64 / 2.0).round_ties_even() as usize;
        let scale = length as f64 / resized as f64;
        let widening = scale.max(1.0);
        let support = 2.0 * widening;
        let taps = (start..start + side)
            .map(|index| {
                let center = (index as f64 + 0.5) * scale;
                let first = ((center - support + 0.5).max(0.0) as usize).min(length - 1);
                let last = ((center + support + 0.5) as usize).clamp(first + 1, length);
                let raw: Vec<f64> =
                    (first..last).map(|sample| bicubic((sample as f64 - center + 0.5) / widening)).collect();
                let sum: f64 = raw.iter().sum();
                Tap { first, weights: raw.iter().map(|weight| (weight / sum) as f32).collect() }
            })
            .collect();
        Self { taps }
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
