//! The two inner loops of the stem's training: products of pairs of brain floats, summed in f32.
//!
//! A pair is what the processor's instruction takes at once (AVX-512 BF16: 32 products a cycle, twice those of f32).
//! Elsewhere the same sums are made one by one, which the tests hold against it.

/// A brain float's bits: the upper half of an f32.
pub type Brain = u16;

/// Output channels of one vector.
pub const LANES: usize = 16;
/// Pixels of a forward tile: divides the maps' sides.
pub const PIXELS: usize = 6;
/// Input channels of a weight gradient's tile.
pub const CHANNELS: usize = 8;
/// Vectors of the widest forward tile: with [`PIXELS`], 24 sums stay in registers.
pub const FORWARD_VECTORS: usize = 4;
/// Vectors of the widest weight gradient's tile.
pub const GRADIENT_VECTORS: usize = 3;

/// The nearest brain float, ties to even.
#[inline(always)]
pub fn brain(value: f32) -> Brain {
    let bits = value.to_bits();
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as Brain
}

/// The value of a brain float.
#[inline(always)]
pub fn float(bits: Brain) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// What computes the tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Engine(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Pairs,
    Portable,
}

impl Engine {
    /// Any processor's: for comparison, since plain f32 products are faster there.
    pub const PORTABLE: Self = Self(Kind::Portable);

    /// The processor's own products of pairs, where it has them.
    pub fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bf16")
        {
            return Some(Self(Kind::Pairs));
        }
        None
    }
}

/// Where a forward tile reads and writes, in elements.
pub struct Pixels<'a> {
    /// Where each of the tile's pixels starts in the input.
    pub inputs: [usize; PIXELS],
    /// Where each goes in the output.
    pub outputs: [usize; PIXELS],
    /// What is read for a pixel, from its start.
    pub taps: &'a [usize],
    /// Pairs of channels of a tap.
    pub pairs: usize,
}

/// `output[pixel] = sum over taps and channels of input * weights`, for `vectors` of output channels.
///
/// # Safety
/// Every place named by `pixels` lies within the slices; `weights` holds `[tap][pair][vectors * LANES][2]`.
pub unsafe fn forward(
    engine: Engine,
    vectors: usize,
    pixels: &Pixels,
    input: &[Brain],
    weights: &[Brain],
    output: &mut [Brain],
) {
    let (input, weights, output) = (input.as_ptr(), weights.as_ptr(), output.as_mut_ptr());
    unsafe {
        match (engine.0, vectors) {
            #[cfg(target_arch = "x86_64")]
            (Kind::Pairs, 1) => x86::forward::<1>(pixels, input, weights, output),
            #[cfg(target_arch = "x86_64")]
            (Kind::Pairs, 2) => x86::forward::<2>(pixels, input, weights, output),
            #[cfg(target_arch = "x86_64")]
            (Kind::Pairs, 3) => x86::forward::<3>(pixels, input, weights, output),
            #[cfg(target_arch = "x86_64")]
            (Kind::Pairs, _) => x86::forward::<4>(pixels, input, weights, output),
            (Kind::Portable, _) => portable::forward(vectors, pixels, input, weights, output),
        }
    }
}

/// Where a weight gradient's tile reads and writes, in elements.
pub struct Window {
    /// Where each of the tile's input channels starts in the planes.
    pub channels: [usize; CHANNELS],
    /// Where each goes in the output.
    pub outputs: [usize; CHANNELS],
    /// How many of them there are.
    pub count: usize,
    /// Pictures, and how far they stand apart in the planes and in the gradient's pairs.
    pub pictures: (usize, usize, usize),
    /// Rows of the output map, and how far they stand apart.
    pub rows: (usize, usize, usize),
    /// Pairs of pixels of a row.
    pub pairs: usize,
    /// How far pairs stand apart in the gradient.
    pub step: usize,
}

/// `output[channel] += sum over pixels of plane * gradient`, for `vectors` of output channels.
///
/// # Safety
/// Every place named by `window` lies within the slices; a plane's pixel pairs stand side by side, `gradient` holds
/// one word a pair and output channel.
pub unsafe fn gradient(
    engine: Engine,
    vectors: usize,
    window: &Window,
    planes: &[Brain],
    gradient: &[u32],
    output: &mut [f32],
) {
    let (planes, gradient, output) = (planes.as_ptr(), gradient.as_ptr(), output.as_mut_ptr());
    unsafe {
        match (engine.0, vectors) {
            #[cfg(target_arch = "x86_64")]
            (Kind::Pairs, 1) => x86::gradient::<1>(window, planes, gradient, output),
            #[cfg(target_arch = "x86_64")]
            (Kind::Pairs, 2) => x86::gradient::<2>(window, planes, gradient, output),
            #[cfg(target_arch = "x86_64")]
            (Kind::Pairs, _) => x86::gradient::<3>(window, planes, gradient, output),
            (Kind::Portable, _) => portable::gradient(vectors, window, planes, gradient, output),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(clippy::needless_range_loop, reason = "the sums stay in registers when every index is a constant")]
mod x86 {
    use std::arch::x86_64::*;

    use super::*;

    /// Two brain floats for every lane, and what they are multiplied with.
    ///
    /// The type of brain vectors can't be made of whole numbers but by their bits.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn pairs(vector: __m512i) -> __m512bh {
        unsafe { std::mem::transmute(vector) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub unsafe fn forward<const V: usize>(
        pixels: &Pixels,
        input: *const Brain,
        mut weights: *const Brain,
        output: *mut Brain,
    ) {
        unsafe {
            let mut sums = [[_mm512_setzero_ps(); V]; PIXELS];
            let mut rows = [input; PIXELS];
            for &tap in pixels.taps {
                for pixel in 0..PIXELS {
                    rows[pixel] = input.add(pixels.inputs[pixel] + tap);
                }
                for pair in 0..pixels.pairs {
                    let mut columns = [pairs(_mm512_setzero_si512()); V];
                    for vector in 0..V {
                        columns[vector] = pairs(_mm512_loadu_si512(weights.add(2 * LANES * vector).cast()));
                    }
                    weights = weights.add(2 * LANES * V);
                    for pixel in 0..PIXELS {
                        let word = rows[pixel].add(2 * pair).cast::<i32>().read_unaligned();
                        let word = pairs(_mm512_set1_epi32(word));
                        for vector in 0..V {
                            sums[pixel][vector] = _mm512_dpbf16_ps(sums[pixel][vector], word, columns[vector]);
                        }
                    }
                }
            }
            for pixel in 0..PIXELS {
                for vector in 0..V {
                    let rounded = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(sums[pixel][vector]));
                    _mm256_storeu_si256(output.add(pixels.outputs[pixel] + LANES * vector).cast(), rounded);
                }
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub unsafe fn gradient<const V: usize>(
        window: &Window,
        planes: *const Brain,
        gradient: *const u32,
        output: *mut f32,
    ) {
        unsafe {
            let mut sums = [[_mm512_setzero_ps(); V]; CHANNELS];
            for picture in 0..window.pictures.0 {
                for row in 0..window.rows.0 {
                    let offset = picture * window.pictures.1 + row * window.rows.1;
                    let mut lines = [planes; CHANNELS];
                    for channel in 0..CHANNELS {
                        lines[channel] = planes.add(window.channels[channel] + offset);
                    }
                    let mut line = gradient.add(picture * window.pictures.2 + row * window.rows.2);
                    for pair in 0..window.pairs {
                        let mut columns = [pairs(_mm512_setzero_si512()); V];
                        for vector in 0..V {
                            columns[vector] = pairs(_mm512_loadu_si512(line.add(LANES * vector).cast()));
                        }
                        line = line.add(window.step);
                        for channel in 0..CHANNELS {
                            let word = lines[channel].add(2 * pair).cast::<i32>().read_unaligned();
                            let word = pairs(_mm512_set1_epi32(word));
                            for vector in 0..V {
                                sums[channel][vector] = _mm512_dpbf16_ps(sums[channel][vector], word, columns[vector]);
                            }
                        }
                    }
                }
            }
            for channel in 0..window.count {
                for vector in 0..V {
                    let place = output.add(window.outputs[channel] + LANES * vector);
                    _mm512_storeu_ps(place, _mm512_add_ps(_mm512_loadu_ps(place), sums[channel][vector]));
                }
            }
        }
    }
}

mod portable {
    use super::*;

    pub unsafe fn forward(
        vectors: usize,
        pixels: &Pixels,
        input: *const Brain,
        weights: *const Brain,
        output: *mut Brain,
    ) {
        let width = vectors * LANES;
        for (&from, &to) in pixels.inputs.iter().zip(&pixels.outputs) {
            for lane in 0..width {
                let mut sum = 0.0;
                for (index, &tap) in pixels.taps.iter().enumerate() {
                    for channel in 0..2 * pixels.pairs {
                        let place = ((index * pixels.pairs + channel / 2) * width + lane) * 2 + channel % 2;
                        unsafe {
                            sum += float(*input.add(from + tap + channel)) * float(*weights.add(place));
                        }
                    }
                }
                unsafe { *output.add(to + lane) = brain(sum) };
            }
        }
    }

    pub unsafe fn gradient(
        vectors: usize,
        window: &Window,
        planes: *const Brain,
        gradient: *const u32,
        output: *mut f32,
    ) {
        for channel in 0..window.count {
            for lane in 0..vectors * LANES {
                let mut sum = 0.0;
                for (picture, row) in
                    (0..window.pictures.0).flat_map(|picture| (0..window.rows.0).map(move |row| (picture, row)))
                {
                    let from = window.channels[channel] + picture * window.pictures.1 + row * window.rows.1;
                    let with = picture * window.pictures.2 + row * window.rows.2 + lane;
                    for pair in 0..window.pairs {
                        unsafe {
                            let word = *gradient.add(with + pair * window.step);
                            let plane = planes.add(from + 2 * pair);
                            sum += float(*plane) * float(word as Brain)
                                + float(*plane.add(1)) * float((word >> 16) as Brain);
                        }
                    }
                }
                unsafe { *output.add(window.outputs[channel] + lane) += sum };
            }
        }
    }
}
