//! 3 x 3 convolutions of stride 1 by Winograd's minimal filtering (Lavin and Gray, arXiv 1509.09308): tiles of a map and
//! kernels become points, of which each is a product by itself, and the products become tiles of the next map.
//!
//! Tiles of 4 x 4 need 36 products of a pixel's channels where the sum of nine taps needs 144; tiles of 2 x 2 need 16
//! where it needs 36.

use std::ops::Range;

use super::super::gemm::{Epilogue, Matrix};
use super::super::memory::{Aligned, Output, Rows};
use super::super::simd::{Kernel, MOST_LANES, Vector, dispatch};
use super::super::thread_pool::ThreadPool;
use super::super::vector_math::activated;
use crate::config::Activation;
use crate::config::layout::StageLayout;

/// Sides of the tiles that are known, and of the windows that they are made of: a border of one on each side.
const SMALL: [usize; 2] = [2, 4];
const LARGE: [usize; 2] = [4, 6];
/// Tiles that must share a point's weights: with fewer a pass waits for weights longer than it computes, of which there are
/// 16 or 36 for a kernel's nine. With 9 large tiles on a map of 12 x 12 an encoder of 0.276 GFLOP took 4.6 ms in Chromium,
/// with 36 small ones 4.3 (`tests/bench/reports/speed.md`).
const SHARED: usize = 16;
/// Points of the largest window.
const MOST_POINTS: usize = LARGE[1] * LARGE[1];

/// The paper's G: what a kernel's three taps are at each point of a window's side.
const SMALL_KERNEL: &[[f32; 3]] = &[[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];
const LARGE_KERNEL: &[[f32; 3]] = &[
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// A convolution as one matrix a point.
#[derive(Debug)]
pub struct Winograd {
    layout: StageLayout,
    bias: Aligned<f32>,
    /// `[outputs, channels]` each.
    transform_domain: Vec<Matrix>,
    /// Sides of a tile and of its window.
    sides: [usize; 2],
    /// For every tile the pixels of its window, in rows; `side * side` stands for the border.
    pixels: Vec<usize>,
}

impl Winograd {
    /// Sides of a stage's tiles and windows, or none where the sum of nine taps is faster: with few channels the way to
    /// the points and back is longer than what they spare.
    fn sides(layout: &StageLayout) -> Option<[usize; 2]> {
        let (channels, outputs) = (layout.channels, layout.stage.channels);
        let has_vectors = channels % MOST_LANES == 0 && outputs % MOST_LANES == 0;
        let is_shared = |[tile, _]: &[usize; 2]| layout.side.div_ceil(*tile).pow(2) >= SHARED;
        let suits = layout.stage.stride == 1 && channels >= 32 && has_vectors;
        [LARGE, SMALL].into_iter().find(is_shared).filter(|_| suits)
    }

    /// None where the stage is faster without.
    ///
    /// # Shapes
    /// - weight: `[outputs, channels, 3, 3]`
    /// - bias: `[outputs]`
    pub fn pack(layout: StageLayout, weight: &[f32], bias: &[f32]) -> Option<Self> {
        let sides = Self::sides(&layout)?;
        let kernel = if sides == LARGE { LARGE_KERNEL } else { SMALL_KERNEL };
        let count = layout.channels * layout.stage.channels;
        let mut taps = vec![0.0; 9 * count];
        for (index, value) in weight.iter().enumerate() {
            taps[index % 9 * count + index / 9] = *value;
        }
        let places = (0..kernel.len().pow(2)).map(|point| [kernel[point / kernel.len()], kernel[point % kernel.len()]]);
        let transform_domain = places.map(|lines| pack_point(lines, &taps, layout.channels)).collect();
        let mut aligned = Aligned::zeros(bias.len());
        aligned.copy_from_slice(bias);
        Some(Self { layout, bias: aligned, transform_domain, sides, pixels: windows(layout.side, sides) })
    }

    fn tiles(&self) -> usize {
        self.pixels.len() / self.transform_domain.len()
    }

    /// Of one pass.
    pub fn multiply_adds(&self) -> u64 {
        self.transform_domain.iter().map(|point| point.multiply_adds(self.tiles())).sum()
    }

    /// # Shapes
    /// - map: `[side * side + 1, channels]`, the last pixel zero
    /// - windows, products: of any length
    /// - output: `[side * side, outputs]` or more
    pub fn run(
        &self,
        pool: &ThreadPool,
        map: &[f32],
        [windows, products]: [&mut Aligned<f32>; 2],
        output: &mut [f32],
        activation: Activation,
    ) {
        let (tiles, channels, outputs) = (self.tiles(), self.layout.channels, self.layout.stage.channels);
        assert!(map.len() >= (self.layout.side.pow(2) + 1) * channels);
        assert!(output.len() >= self.layout.side.pow(2) * outputs);
        windows.resize(self.transform_domain.len() * tiles * channels);
        products.resize(self.transform_domain.len() * tiles * outputs);

        let to = Output { values: windows.as_mut_ptr(), stride: tiles * channels };
        pool.share(tiles, |tiles| dispatch(InputTransform { of: self, map, to, tiles }));

        let to = Output { values: products.as_mut_ptr(), stride: tiles * outputs };
        pool.share(self.transform_domain.len(), |points| {
            for point in points {
                let input = Rows { values: &windows[point * tiles * channels..], stride: channels };
                // SAFETY: the point's own rows.
                let output = unsafe { std::slice::from_raw_parts_mut(to.row(point), tiles * outputs) };
                self.transform_domain[point].gemm(
                    &ThreadPool::single(),
                    tiles,
                    input,
                    output,
                    outputs,
                    Epilogue::Store,
                );
            }
        });

        let to = Output { values: output.as_mut_ptr(), stride: outputs };
        pool.share(tiles, |tiles| dispatch(OutputTransform { of: self, products, to, tiles, activation }));
    }
}

/// The matrix of the point that these lines of G cross in. Not inlined, so that a browser soon runs its optimised code.
///
/// # Shapes
/// - taps: `[9, outputs, channels]`
#[inline(never)]
fn pack_point([vertical, horizontal]: [[f32; 3]; 2], taps: &[f32], channels: usize) -> Matrix {
    let mut rows = vec![0.0; taps.len() / 9];
    for (tap, values) in taps.chunks_exact(rows.len()).enumerate() {
        let factor = vertical[tap / 3] * horizontal[tap % 3];
        if factor != 0.0 {
            rows.iter_mut().zip(values).for_each(|(sum, value)| *sum += factor * value);
        }
    }
    Matrix::pack(&rows, &[], channels)
}

/// [`Winograd::pixels`].
fn windows(side: usize, [tile, window]: [usize; 2]) -> Vec<usize> {
    let across = side.div_ceil(tile);
    let mut pixels = Vec::with_capacity((across * window).pow(2));
    for index in 0..across * across {
        for place in 0..window * window {
            // One more than the true place, for the border.
            let (y, x) = (index / across * tile + place / window, index % across * tile + place % window);
            let is_inside = (1..=side).contains(&y) && (1..=side).contains(&x);
            pixels.push(if is_inside { (y - 1) * side + x - 1 } else { side * side });
        }
    }
    pixels
}

/// The paper's B: a line of a window at its points.
#[inline(always)]
fn input_transform<V: Vector, const WINDOW: usize>(line: [V; WINDOW]) -> [V; WINDOW] {
    let mut at = line;
    if WINDOW == LARGE[1] {
        let (four, five, two) = (V::splat(4.0), V::splat(-5.0), V::splat(2.0));
        let even = line[2].mul_add(V::splat(-4.0), line[4]);
        let odd = line[1].mul_add(V::splat(-4.0), line[3]);
        let (outer, inner) = (line[4].sub(line[2]), line[3].sub(line[1]).mul(two));
        at[0] = line[2].mul_add(five, line[0].mul_add(four, line[4]));
        at[1] = even.add(odd);
        at[2] = even.sub(odd);
        at[3] = outer.add(inner);
        at[4] = outer.sub(inner);
        at[5] = line[3].mul_add(five, line[1].mul_add(four, line[5]));
    } else {
        at[0] = line[0].sub(line[2]);
        at[1] = line[1].add(line[2]);
        at[2] = line[2].sub(line[1]);
        at[3] = line[1].sub(line[3]);
    }
    at
}

/// The paper's A: a tile's line from its points; what is beyond the tile stays as it was.
#[inline(always)]
fn output_transform<V: Vector, const WINDOW: usize>(points: [V; WINDOW]) -> [V; WINDOW] {
    let mut line = points;
    let (sum, difference) = (points[1].add(points[2]), points[1].sub(points[2]));
    if WINDOW == LARGE[1] {
        let (far, opposite) = (points[3].add(points[4]), points[3].sub(points[4]));
        line[0] = points[0].add(sum).add(far);
        line[1] = opposite.mul_add(V::splat(2.0), difference);
        line[2] = far.mul_add(V::splat(4.0), sum);
        line[3] = opposite.mul_add(V::splat(8.0), difference).add(points[5]);
    } else {
        line[0] = points[0].add(sum);
        line[1] = difference.sub(points[3]);
    }
    line
}

/// Some tiles' windows to the points.
struct InputTransform<'a> {
    of: &'a Winograd,
    map: &'a [f32],
    to: Output,
    tiles: Range<usize>,
}

impl Kernel for InputTransform<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        match self.of.sides {
            LARGE => self.tiles::<V, { LARGE[1] }>(),
            _ => self.tiles::<V, { SMALL[1] }>(),
        }
    }
}

impl InputTransform<'_> {
    #[inline(always)]
    fn tiles<V: Vector, const WINDOW: usize>(self) {
        let channels = self.of.layout.channels;
        let mut between = [V::splat(0.0); MOST_POINTS];
        for tile in self.tiles {
            let pixels = &self.of.pixels[tile * WINDOW * WINDOW..][..WINDOW * WINDOW];
            for channel in (0..channels).step_by(V::LANES) {
                // SAFETY: pixels are the map's, its border included, and every tile has its place at every point.
                unsafe {
                    let from = self.map.as_ptr().add(channel);
                    for x in 0..WINDOW {
                        let mut line = [V::splat(0.0); WINDOW];
                        for (y, value) in line.iter_mut().enumerate() {
                            *value = V::load(from.add(pixels.get_unchecked(y * WINDOW + x) * channels));
                        }
                        let line = input_transform(line);
                        for (y, value) in line.into_iter().enumerate() {
                            between[y * WINDOW + x] = value;
                        }
                    }
                    for y in 0..WINDOW {
                        let mut line = [V::splat(0.0); WINDOW];
                        line.copy_from_slice(&between[y * WINDOW..][..WINDOW]);
                        let line = input_transform(line);
                        for (x, value) in line.into_iter().enumerate() {
                            value.store(self.to.row(y * WINDOW + x).add(tile * channels + channel));
                        }
                    }
                }
            }
        }
    }
}

/// Some tiles of the next map from the products at their points.
struct OutputTransform<'a> {
    of: &'a Winograd,
    products: &'a [f32],
    to: Output,
    tiles: Range<usize>,
    activation: Activation,
}

impl Kernel for OutputTransform<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        match self.of.sides {
            LARGE => self.tiles::<V, { LARGE[1] }>(),
            _ => self.tiles::<V, { SMALL[1] }>(),
        }
    }
}

impl OutputTransform<'_> {
    #[inline(always)]
    fn tiles<V: Vector, const WINDOW: usize>(self) {
        let (side, outputs) = (self.of.layout.side, self.of.layout.stage.channels);
        let size = WINDOW - 2;
        let across = side.div_ceil(size);
        let plane = self.of.tiles() * outputs;
        let mut between = [V::splat(0.0); MOST_POINTS];
        for tile in self.tiles {
            let (top, left) = (tile / across * size, tile % across * size);
            for output in (0..outputs).step_by(V::LANES) {
                // SAFETY: every tile has its products at every point, and its pixels inside the map are its own.
                unsafe {
                    let from = self.products.as_ptr().add(tile * outputs + output);
                    for x in 0..WINDOW {
                        let mut line = [V::splat(0.0); WINDOW];
                        for (y, value) in line.iter_mut().enumerate() {
                            *value = V::load(from.add((y * WINDOW + x) * plane));
                        }
                        let line = output_transform(line);
                        for y in 0..size {
                            between[y * WINDOW + x] = line[y];
                        }
                    }
                    let bias = V::load(self.of.bias.as_ptr().add(output));
                    for y in 0..size.min(side - top) {
                        let mut line = [V::splat(0.0); WINDOW];
                        line.copy_from_slice(&between[y * WINDOW..][..WINDOW]);
                        let line = output_transform(line);
                        for (x, value) in line.into_iter().enumerate().take(size.min(side - left)) {
                            let value = activated(self.activation, value.add(bias));
                            value.store(self.to.row((top + y) * side + left + x).add(output));
                        }
                    }
                }
            }
        }
    }
}
