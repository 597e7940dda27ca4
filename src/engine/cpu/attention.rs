//! Attention head by head, some rows at a time: their logits never leave the nearest cache.

use std::ops::Range;

use super::gemm::{Edge, ROWS, Tile, VECTORS, tiles};
use super::memory::{Aligned, Output};
use super::simd::{Kernel, MOST_LANES, Vector, dispatch};
use super::thread_pool::ThreadPool;
use super::vector_math::exponentials;

/// Sizes of one attention.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub tokens: usize,
    pub heads: usize,
    /// Values of one head.
    pub size: usize,
    /// Rows to make, from the first on.
    pub kept: usize,
}

/// Buffers, one part a head.
#[derive(Debug, Default)]
pub struct Attention {
    scratch: Aligned<f32>,
}

/// Where a head's buffers lie in its part.
#[derive(Debug, Clone, Copy)]
struct Parts {
    /// Tokens, filled up to whole panels.
    tokens: usize,
    /// Values of a head, filled up.
    size: usize,
}

impl Parts {
    fn of(sizes: Sizes) -> Self {
        let panel = VECTORS * MOST_LANES;
        Self { tokens: sizes.tokens.next_multiple_of(panel), size: sizes.size.next_multiple_of(panel) }
    }

    /// Keys, values and a tile's logits.
    fn whole(self, sizes: Sizes) -> usize {
        self.tokens * sizes.size + sizes.tokens * self.size + ROWS * self.tokens
    }
}

impl Attention {
    /// `attended[row] = softmax(query[row] * keys / sqrt(size)) * values`, for every head.
    ///
    /// # Shapes
    /// - qkv: `[tokens, 3 * width]`: queries, keys, values, each `[heads, size]`
    /// - attended: `[kept, width]`
    pub fn run(&mut self, pool: &ThreadPool, sizes: Sizes, qkv: &[f32], attended: &mut [f32]) {
        let width = sizes.heads * sizes.size;
        assert!(qkv.len() >= sizes.tokens * 3 * width && attended.len() >= sizes.kept * width);
        let parts = Parts::of(sizes);
        self.scratch.resize(sizes.heads * parts.whole(sizes));
        let scratch = Output { values: self.scratch.as_mut_ptr(), stride: parts.whole(sizes) };
        let attended = Output { values: attended.as_mut_ptr(), stride: width };
        pool.share(sizes.heads, |heads| dispatch(Heads { sizes, qkv, scratch, attended, heads }));
    }
}

struct Heads<'a> {
    sizes: Sizes,
    qkv: &'a [f32],
    scratch: Output,
    attended: Output,
    heads: Range<usize>,
}

impl Kernel for Heads<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { sizes, qkv, scratch, attended, heads } = self;
        let Sizes { tokens, size, kept, .. } = sizes;
        let panel = VECTORS * V::LANES;
        let stride = 3 * sizes.heads * size;
        let scale = (size as f32).powf(-0.5);
        let zeros = [0.0f32; VECTORS * MOST_LANES];
        let padded = tokens.next_multiple_of(panel);
        for head in heads {
            let parts = Parts::of(sizes);
            // SAFETY: every head has a part of the scratch and columns of the output; the qkv rows were checked.
            unsafe {
                let keys = scratch.row(head);
                let values = keys.add(parts.tokens * size);
                let logits = Output { values: values.add(tokens * parts.size), stride: parts.tokens };
                let query = qkv.as_ptr().add(head * size);
                let key = query.add(sizes.heads * size);
                let value = key.add(sizes.heads * size);
                // `[panels of tokens, size, panel]`, scaled.
                for token in 0..padded {
                    let to = keys.add(token / panel * panel * size + token % panel);
                    for place in 0..size {
                        let found = if token < tokens { *key.add(token * stride + place) * scale } else { 0.0 };
                        *to.add(place * panel) = found;
                    }
                }
                // `[panels of size, tokens, panel]`.
                for first in (0..size).step_by(panel) {
                    let count = panel.min(size - first);
                    for token in 0..tokens {
                        let to = values.add(first * tokens + token * panel);
                        to.copy_from_nonoverlapping(value.add(token * stride + first), count);
                        to.add(count).write_bytes(0, panel - count);
                    }
                }
                for (row, height) in tiles(kept, ROWS) {
                    for first in (0..padded).step_by(panel) {
                        let tile = Tile {
                            weights: keys.add(first * size),
                            inputs: size,
                            input: query.add(row * stride),
                            input_stride: stride,
                            bias: zeros.as_ptr(),
                            ahead: keys,
                            carry: false,
                        };
                        tile.run::<V>(height, Output { values: logits.values.add(first), ..logits });
                    }
                    let mut scales = [0.0f32; ROWS];
                    for (row, scale) in scales.iter_mut().enumerate().take(height) {
                        for token in tokens..padded {
                            *logits.row(row).add(token) = f32::NEG_INFINITY;
                        }
                        *scale = 1.0 / exponentials::<V>(logits.row(row), padded);
                    }
                    for first in (0..size).step_by(panel) {
                        let tile = Tile {
                            weights: values.add(first * tokens),
                            inputs: tokens,
                            input: logits.values,
                            input_stride: logits.stride,
                            bias: zeros.as_ptr(),
                            ahead: keys,
                            carry: false,
                        };
                        let to = Output { values: attended.row(row).add(head * size + first), ..attended };
                        let mut edge = Edge::open(to, height, [panel.min(size - first), panel], false);
                        let to = edge.output();
                        tile.run::<V>(height, to);
                        for (row, scale) in scales.iter().enumerate().take(height) {
                            for vector in 0..VECTORS {
                                let place = to.row(row).add(vector * V::LANES);
                                V::load(place).mul(V::splat(*scale)).store(place);
                            }
                        }
                        edge.close();
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::suits_interpreter;
    use super::*;

    #[test]
    fn attention_of_odd_sizes_equals_its_definition() {
        let sizes = [(1, 1, 4, 1), (5, 2, 8, 5), (17, 3, 12, 17), (50, 2, 64, 1), (197, 1, 32, 197)];
        for (tokens, heads, size, kept) in sizes.into_iter().filter(|(a, b, c, _)| suits_interpreter(a * a * b * c)) {
            let width = heads * size;
            let qkv: Vec<f32> =
                (0..tokens * 3 * width).map(|index| ((index * 37 % 101) as f32 - 50.0) / 25.0).collect();
            for pool in [ThreadPool::single(), ThreadPool::of_threads(2)] {
                let mut attended = vec![0.0; kept * width];
                Attention::default().run(&pool, Sizes { tokens, heads, size, kept }, &qkv, &mut attended);
                for row in 0..kept {
                    for head in 0..heads {
                        let at =
                            |token: usize, part: usize| &qkv[token * 3 * width + part * width + head * size..][..size];
                        let logits: Vec<f64> = (0..tokens)
                            .map(|token| {
                                let dot: f32 = at(row, 0).iter().zip(at(token, 1)).map(|(a, b)| a * b).sum();
                                f64::from(dot) / (size as f64).sqrt()
                            })
                            .collect();
                        let most = logits.iter().copied().fold(f64::MIN, f64::max);
                        let total: f64 = logits.iter().map(|logit| (logit - most).exp()).sum();
                        for place in 0..size {
                            let wanted: f64 = (0..tokens)
                                .map(|token| (logits[token] - most).exp() / total * f64::from(at(token, 2)[place]))
                                .sum();
                            let found = f64::from(attended[row * width + head * size + place]);
                            assert!((found - wanted).abs() < 1e-4, "{tokens} {size}: {found} {wanted}");
                        }
                    }
                }
            }
        }
    }
}
