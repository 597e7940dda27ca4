//! Products in 8 bits: weights with one scale an output, activations as codes of 7 bits with scale and zero a row and
//! block, sums in whole numbers, the same on every host.

use std::ops::Range;

use super::gemm::{BLOCK, Edge, Epilogue, VECTORS, load_panel, next_panel, tiles};
use super::memory::{Aligned, Output, Rows};
use super::simd::{Kernel, MOST_LANES, Shape, Vector, dispatch, shape};
use super::thread_pool::ThreadPool;
use super::vector_math::encode;

/// Rows of the largest tile: the sums of a sixth row would leave no register for the products.
const ROWS: usize = 5;
/// Weights of a cache line.
const AHEAD: usize = 64;

/// A matrix `[outputs, inputs]` of 8-bit integers, packed as `[blocks, panels, steps, outputs of a panel, inputs of a
/// step]`; the last panel is filled up with zeros.
#[derive(Debug, Clone)]
pub struct Int8Matrix {
    panels: Aligned<i8>,
    /// Of every output.
    scales: Vec<f32>,
    bias: Vec<f32>,
    /// `[blocks, outputs]`: the sum of a block's weights, which the activations' zero is multiplied with. All these whole
    /// numbers are below 2^24, so that f32 holds them exactly.
    column_sums: Vec<f32>,
    inputs: usize,
    outputs: usize,
    width: usize,
    step: usize,
}

/// Rows of activations in codes.
#[derive(Debug, Default)]
pub struct QuantizedRows {
    bytes: Aligned<u8>,
    /// `[rows, blocks]`.
    scales: Vec<f32>,
    /// `[rows, blocks]`: whole numbers.
    zero_points: Vec<f32>,
    /// Of a map whose pixels are gathered.
    map: Aligned<u8>,
}

impl Int8Matrix {
    /// Whether a matrix of so many inputs can be packed: rows are cut into whole vectors.
    pub fn fits(inputs: usize) -> bool {
        inputs.is_multiple_of(MOST_LANES)
    }

    /// Zeros without a bias.
    pub fn new(inputs: usize, outputs: usize) -> Self {
        let shape = shape();
        let width = VECTORS * shape.lanes;
        let padded = outputs.next_multiple_of(width);
        Self {
            panels: Aligned::zeros(padded * inputs),
            scales: vec![0.0; padded],
            bias: vec![0.0; padded],
            column_sums: vec![0.0; padded * inputs.div_ceil(BLOCK)],
            inputs,
            outputs,
            width,
            step: shape.step,
        }
    }

    /// Packs some of the rows, from output `first` on.
    ///
    /// # Shapes
    /// - values: `[outputs, inputs]`
    /// - scales: `[outputs]`
    /// - bias: `[outputs]`, or nothing
    pub fn fill(&mut self, first: usize, values: &[i8], scales: &[f32], bias: &[f32]) {
        self.bias[first..first + bias.len()].copy_from_slice(bias);
        self.scales[first..first + scales.len()].copy_from_slice(scales);
        let (width, step, padded) = (self.width, self.step, self.bias.len());
        for (index, row) in values.chunks_exact(self.inputs).enumerate() {
            let output = first + index;
            let (panel, lane) = (output / width, output % width);
            for (block, values) in row.chunks(BLOCK).enumerate() {
                self.column_sums[block * padded + output] = values.iter().map(|&value| f32::from(value)).sum();
                let start = block * BLOCK * padded + panel * values.len() * width + lane * step;
                for (place, values) in values.chunks_exact(step).enumerate() {
                    self.panels[start + place * step * width..][..step].copy_from_slice(values);
                }
            }
        }
    }

    /// Values of one row of its product.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Values of one row of its input.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// `bias + matrix * input[row]`, with the input rounded into `codes`.
    ///
    /// # Shapes
    /// - input: rows of `inputs` values, each `input_stride` after the last
    /// - output: rows of `outputs` values, each `output_stride` after the last
    #[expect(clippy::too_many_arguments, reason = "the same as of a Matrix, and the quantized")]
    pub fn gemm(
        &self,
        pool: &ThreadPool,
        quantized: &mut QuantizedRows,
        rows: usize,
        input: Rows,
        output: &mut [f32],
        output_stride: usize,
        epilogue: Epilogue,
    ) {
        if rows == 0 {
            return;
        }
        assert!(input.values.len() >= (rows - 1) * input.stride + self.inputs);
        quantized.write(pool, rows, input, self.inputs);
        self.product(pool, quantized, rows, output, output_stride, epilogue);
    }

    /// The product with rows that are codes already, each of `inputs` of them.
    pub fn product(
        &self,
        pool: &ThreadPool,
        quantized: &QuantizedRows,
        rows: usize,
        output: &mut [f32],
        output_stride: usize,
        epilogue: Epilogue,
    ) {
        assert!(rows > 0 && output.len() >= (rows - 1) * output_stride + self.outputs);
        assert!(quantized.bytes.len() >= rows * self.inputs * shape().code);
        assert!(quantized.scales.len() >= rows * self.inputs.div_ceil(BLOCK));
        let output = Output { values: output.as_mut_ptr(), stride: output_stride };
        pool.share(self.bias.len() / self.width, |panels| {
            dispatch(Product { matrix: self, quantized, rows, output, epilogue, panels });
        });
    }

    /// Of a product with so many rows.
    pub fn multiply_adds(&self, rows: usize) -> u64 {
        (rows * self.inputs * self.outputs) as u64
    }
}

impl QuantizedRows {
    fn write(&mut self, pool: &ThreadPool, rows: usize, input: Rows, inputs: usize) {
        let blocks = inputs.div_ceil(BLOCK);
        self.bytes.resize(rows * inputs * shape().code);
        self.scales.resize(rows * blocks, 0.0);
        self.zero_points.resize(rows * blocks, 0.0);
        let places = Places {
            bytes: self.bytes.as_mut_ptr(),
            scales: self.scales.as_mut_ptr(),
            zero_points: self.zero_points.as_mut_ptr(),
        };
        pool.share(rows, |rows| dispatch(Encode { input, inputs, places, rows }));
    }

    /// Rows of pixels of a map, which becomes codes once, with one scale and zero: as many a pixel as it is read by taps
    /// would cost more than it spares.
    ///
    /// # Shapes
    /// - map: `[pixels, channels]`, channels whole vectors
    /// - taps: `[rows, pixels of a row]`, of `map`
    pub fn gather(&mut self, pool: &ThreadPool, map: &[f32], channels: usize, taps: &[usize], inputs: usize) {
        assert!(channels.is_multiple_of(MOST_LANES) && map.len().is_multiple_of(channels));
        assert!(taps.iter().all(|tap| (tap + 1) * channels <= map.len()));
        let Shape { code, .. } = shape();
        let (rows, blocks) = (taps.len() * channels / inputs, inputs.div_ceil(BLOCK));
        self.map.resize(map.len() * code);
        let (mut scale, mut zero) = (0.0, 0.0);
        dispatch(EncodeMap { map, codes: self.map.as_mut_ptr(), scale: &mut scale, zero: &mut zero });
        self.scales.clear();
        self.scales.resize(rows * blocks, scale);
        self.zero_points.clear();
        self.zero_points.resize(rows * blocks, zero);
        self.bytes.resize(taps.len() * channels * code);
        let pixel = channels * code;
        let (from, to) = (&self.map, Bytes(self.bytes.as_mut_ptr()));
        pool.share(taps.len(), |places| {
            // SAFETY: every member writes places of its own.
            let to = unsafe { std::slice::from_raw_parts_mut(to.at(places.start * pixel), places.len() * pixel) };
            for (to, tap) in to.chunks_exact_mut(pixel).zip(&taps[places]) {
                to.copy_from_slice(&from[tap * pixel..][..pixel]);
            }
        });
    }
}

/// Bytes that a pool writes, each member others.
#[derive(Clone, Copy)]
struct Bytes(*mut u8);

// SAFETY: see above.
unsafe impl Sync for Bytes {}

impl Bytes {
    unsafe fn at(self, index: usize) -> *mut u8 {
        unsafe { self.0.add(index) }
    }
}

struct EncodeMap<'a> {
    map: &'a [f32],
    codes: *mut u8,
    scale: &'a mut f32,
    zero: &'a mut f32,
}

impl Kernel for EncodeMap<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        // SAFETY: the buffer holds a code a value, and pixels are whole vectors.
        (*self.scale, *self.zero) = unsafe { encode::<V>(self.map, self.codes.cast()) };
    }
}

/// Where codes are written, by each member other rows.
#[derive(Clone, Copy)]
struct Places {
    bytes: *mut u8,
    scales: *mut f32,
    zero_points: *mut f32,
}

// SAFETY: every member writes rows of its own.
unsafe impl Sync for Places {}

struct Encode<'a> {
    input: Rows<'a>,
    inputs: usize,
    places: Places,
    rows: Range<usize>,
}

impl Kernel for Encode<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { input, inputs, places, rows } = self;
        for row in rows {
            let values = &input.values[row * input.stride..][..inputs];
            for (block, values) in values.chunks(BLOCK).enumerate() {
                let index = row * inputs.div_ceil(BLOCK) + block;
                // SAFETY: the buffers hold every row, and `fits` made sure of whole vectors.
                unsafe {
                    let quantized = places.bytes.cast::<V::Code>().add(row * inputs + block * BLOCK);
                    let (scale, zero) = encode::<V>(values, quantized);
                    *places.scales.add(index) = scale;
                    *places.zero_points.add(index) = zero;
                }
            }
        }
    }
}

struct Product<'a> {
    matrix: &'a Int8Matrix,
    quantized: &'a QuantizedRows,
    rows: usize,
    output: Output,
    epilogue: Epilogue,
    panels: Range<usize>,
}

impl Kernel for Product<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        if V::has_whole_dot() { self.tiles::<V, true>() } else { self.tiles::<V, false>() }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn tiles<V: Vector, const WHOLE: bool>(self) {
        let Self { matrix, quantized, rows, output, epilogue, panels } = self;
        let width = VECTORS * V::LANES;
        assert!(matrix.width == width && matrix.step == V::STEP);
        let padded = matrix.bias.len();
        let blocks = matrix.inputs.div_ceil(BLOCK);
        let zeros = [0.0f32; VECTORS * MOST_LANES];
        for block in 0..blocks {
            let first = block * BLOCK;
            let inputs = BLOCK.min(matrix.inputs - first);
            for panel in panels.clone() {
                let column = panel * width;
                // SAFETY: the places are inside what was packed and encoded, and, as the caller checked, the rows.
                unsafe {
                    let bias = if block == 0 { matrix.bias.as_ptr().add(column) } else { zeros.as_ptr() };
                    let carry = block > 0 || epilogue == Epilogue::Add;
                    let start = first * padded + column * inputs;
                    let weights = matrix.panels.as_ptr().add(start);
                    let next = matrix.panels.as_ptr().add(next_panel(start, inputs * width, matrix.panels.len()));
                    for (row, height) in tiles(rows, ROWS) {
                        let to = Output { values: output.row(row).add(column), stride: output.stride };
                        let mut edge = Edge::open(to, height, [width.min(matrix.outputs - column), width], carry);
                        let to = edge.output();
                        let tile = Tile::<V> {
                            weights,
                            column_sums: matrix.column_sums.as_ptr().add(block * padded + column),
                            scales: matrix.scales.as_ptr().add(column),
                            bias,
                            inputs,
                            ahead: next.add((row * inputs * width / rows).min(inputs * (width - 1))),
                            quantized: quantized.bytes.as_ptr().cast::<V::Code>().add(row * matrix.inputs + first),
                            stride: matrix.inputs,
                            row_scales: quantized.scales.as_ptr().add(row * blocks + block),
                            row_zero_points: quantized.zero_points.as_ptr().add(row * blocks + block),
                            blocks,
                            carry,
                        };
                        tile.run::<WHOLE>(height, to);
                        if block + 1 == blocks {
                            epilogue.apply::<V>(height, width, to);
                        }
                        edge.close();
                    }
                }
            }
        }
    }
}

/// Some rows times one panel's block.
struct Tile<V: Vector> {
    /// `[steps, outputs, inputs of a step]`.
    weights: *const i8,
    /// `[outputs]`: the sum of the weights.
    column_sums: *const f32,
    /// `[outputs]`.
    scales: *const f32,
    /// `[outputs]`.
    bias: *const f32,
    inputs: usize,
    /// As of a [`super::gemm::Tile`].
    ahead: *const i8,
    quantized: *const V::Code,
    /// From a row's codes to the next row's.
    stride: usize,
    row_scales: *const f32,
    row_zero_points: *const f32,
    /// From a row's scale and zero to the next row's.
    blocks: usize,
    /// Whether the product is added to what the output holds.
    carry: bool,
}

impl<V: Vector> Tile<V> {
    #[inline(always)]
    unsafe fn run<const WHOLE: bool>(&self, height: usize, output: Output) {
        unsafe {
            match height {
                1 => self.rows::<WHOLE, 1>(output),
                2 => self.rows::<WHOLE, 2>(output),
                3 => self.rows::<WHOLE, 3>(output),
                4 => self.rows::<WHOLE, 4>(output),
                _ => self.rows::<WHOLE, ROWS>(output),
            }
        }
    }

    #[inline(always)]
    unsafe fn rows<const WHOLE: bool, const HEIGHT: usize>(&self, output: Output) {
        unsafe {
            let lines: [*const V::Code; HEIGHT] = std::array::from_fn(|row| self.quantized.add(row * self.stride));
            let mut sums = [[V::no_sums(); VECTORS]; HEIGHT];
            let ones = V::ones();
            let mut weights = self.weights;
            let mut ahead = self.ahead;
            let mut input = 0;
            while input < self.inputs {
                ahead.read_volatile();
                ahead = ahead.add(AHEAD);
                let end = self.inputs.min(input + AHEAD);
                while input < end {
                    let first = V::load_weights(weights);
                    let second = V::load_weights(weights.add(V::LANES * V::STEP));
                    for (sums, line) in sums.iter_mut().zip(lines) {
                        let quantized = V::splat_codes(line.add(input));
                        sums[0] = V::dot::<WHOLE>(sums[0], first, quantized, ones);
                        sums[1] = V::dot::<WHOLE>(sums[1], second, quantized, ones);
                    }
                    weights = weights.add(VECTORS * V::LANES * V::STEP);
                    input += V::STEP;
                }
            }
            let column_sums = load_panel::<V>(self.column_sums);
            let scales = load_panel::<V>(self.scales);
            let bias = load_panel::<V>(self.bias);
            for (row, sums) in sums.into_iter().enumerate() {
                let scale = V::splat(*self.row_scales.add(row * self.blocks));
                let zero = V::splat(*self.row_zero_points.add(row * self.blocks));
                for (vector, sum) in sums.into_iter().enumerate() {
                    let place = output.row(row).add(vector * V::LANES);
                    let dot = V::to_floats(sum).sub(column_sums[vector].mul(zero));
                    let mut value = dot.mul(scale.mul(scales[vector])).add(bias[vector]);
                    if self.carry {
                        value = value.add(V::load(place));
                    }
                    value.store(place);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::suits_interpreter;
    use super::*;

    /// The same arithmetic without a vector: whole numbers, so that nothing may differ but the last roundings.
    fn plain(values: &[i8], scales: &[f32], bias: &[f32], row: &[f32]) -> Vec<f32> {
        let inputs = row.len();
        values
            .chunks(inputs)
            .zip(scales)
            .zip(bias)
            .map(|((weights, scale), bias)| {
                row.chunks(BLOCK).zip(weights.chunks(BLOCK)).fold(*bias, |sum, (row, weights)| {
                    let (least, most) = row.iter().fold((0.0f32, 0.0f32), |(a, b), &x| (a.min(x), b.max(x)));
                    let range = (most - least).max(1e-30);
                    let factor = 126.0 / range;
                    let zero = (-least * factor).round_ties_even() as i32;
                    let dot: i32 = row
                        .iter()
                        .zip(weights)
                        .map(|(&x, &weight)| {
                            let code = (x * factor).round_ties_even() as i32 + zero;
                            assert!((0..=127).contains(&code), "{code}");
                            (code - zero) * i32::from(weight)
                        })
                        .sum();
                    sum + dot as f32 * (range / 126.0 * scale)
                })
            })
            .collect()
    }

    #[test]
    fn products_of_every_size_equal_the_sums_of_whole_numbers() {
        let mut state = 1u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 8
        };
        let sizes = [(1, 8, 1), (5, 16, 8), (6, 400, 17), (13, 776, 33), (0, 8, 3)];
        for (rows, inputs, outputs) in sizes.into_iter().filter(|(a, b, c)| suits_interpreter(a * b * c)) {
            // Extremes too: the products must not saturate.
            let values: Vec<i8> = (0..inputs * outputs)
                .map(|_| if random() % 4 == 0 { -127 } else { (random() % 255) as u8 as i8 })
                .collect();
            let scales: Vec<f32> = (0..outputs).map(|_| 1e-3 + random() as f32 * 1e-9).collect();
            let bias: Vec<f32> = (0..outputs).map(|_| random() as f32 / 1e7).collect();
            let input: Vec<f32> = (0..rows * inputs).map(|_| random() as f32 / (1 << 22) as f32 - 1.0).collect();
            let mut matrix = Int8Matrix::new(inputs, outputs);
            let middle = outputs / 2;
            let (above, below) = values.split_at(middle * inputs);
            matrix.fill(0, above, &scales[..middle], &bias[..middle]);
            matrix.fill(middle, below, &scales[middle..], &bias[middle..]);
            for pool in [ThreadPool::single(), ThreadPool::of_threads(2)] {
                let mut output = vec![1.0; rows * outputs];
                let lines = Rows { values: &input, stride: inputs };
                matrix.gemm(&pool, &mut QuantizedRows::default(), rows, lines, &mut output, outputs, Epilogue::Add);
                for (row, found) in output.chunks(outputs).enumerate() {
                    let wanted = plain(&values, &scales, &bias, &input[row * inputs..][..inputs]);
                    for (found, wanted) in found.iter().zip(wanted) {
                        assert!((found - wanted - 1.0).abs() < 1e-5 * (1.0 + wanted.abs()), "{found} {wanted}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_constant_row_is_exact() {
        let mut matrix = Int8Matrix::new(8, 1);
        matrix.fill(0, &[1; 8], &[1.0], &[]);
        for value in [0.0, 3.5, -3.5] {
            let mut output = [0.0];
            let input = [value; 8];
            let lines = Rows { values: &input, stride: 8 };
            matrix.gemm(
                &ThreadPool::single(),
                &mut QuantizedRows::default(),
                1,
                lines,
                &mut output,
                1,
                Epilogue::Store,
            );
            assert!((output[0] - 8.0 * value).abs() < 1e-5);
        }
    }
}
