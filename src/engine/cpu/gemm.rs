//! Products of rows with a matrix packed once: register-tiled, blocked for the nearest caches, with bias, sum and
//! activation on the tiles.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::memory::{Aligned, Output, Rows};
use super::simd::{Kernel, MOST_LANES, Vector, dispatch, shape};
use super::thread_pool::ThreadPool;
use super::vector_math::activate;
use crate::config::Activation;

/// Vectors of one panel.
pub const VECTORS: usize = 2;
/// Rows of the largest tile: 6 x 2 sums, two weights and one value are fifteen registers, which is all that V8 gives.
pub const ROWS: usize = 6;
/// Inputs of one block: a panel's block and its rows then share the 32 KiB of the nearest cache.
pub const BLOCK: usize = 384;
/// Values of a cache line.
const AHEAD: usize = 16;
const MOST_WIDTH: usize = VECTORS * MOST_LANES;

/// A matrix `[outputs, inputs]`, packed as `[blocks, panels, inputs of a block, outputs of a panel]`; the last panel is
/// filled up with zeros.
#[derive(Debug, Clone, Default)]
pub struct Matrix {
    panels: Aligned<f32>,
    bias: Aligned<f32>,
    inputs: usize,
    outputs: usize,
    /// Outputs of one panel.
    width: usize,
}

/// What becomes of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epilogue {
    /// It is the output.
    Store,
    /// It is added to the output.
    Add,
    /// It is activated, and then the output.
    Activate(Activation),
}

impl Epilogue {
    /// What is left to do with a tile once its sums are whole.
    ///
    /// # Safety
    /// The rows must be writable.
    #[inline(always)]
    pub unsafe fn apply<V: Vector>(self, rows: usize, width: usize, output: Output) {
        if let Self::Activate(kind) = self {
            for row in 0..rows {
                unsafe { activate::<V>(kind, output.row(row), width) }
            }
        }
    }
}

impl Matrix {
    /// Zeros without a bias.
    pub fn new(inputs: usize, outputs: usize) -> Self {
        let width = VECTORS * shape().lanes;
        let padded = outputs.next_multiple_of(width);
        Self { panels: Aligned::zeros(padded * inputs), bias: Aligned::zeros(padded), inputs, outputs, width }
    }

    /// Packs rows `[outputs, inputs]` and the bias `[outputs]` (or nothing).
    pub fn pack(rows: &[f32], bias: &[f32], inputs: usize) -> Self {
        let mut matrix = Self::new(inputs, rows.len() / inputs);
        matrix.fill(0, rows, bias);
        matrix
    }

    /// Packs some of the rows, from output `first` on.
    pub fn fill(&mut self, first: usize, rows: &[f32], bias: &[f32]) {
        self.bias[first..first + bias.len()].copy_from_slice(bias);
        let padded = self.bias.len();
        for (index, row) in rows.chunks_exact(self.inputs).enumerate() {
            let (panel, lane) = ((first + index) / self.width, (first + index) % self.width);
            for (block, values) in row.chunks(BLOCK).enumerate() {
                let start = block * BLOCK * padded + panel * values.len() * self.width + lane;
                for (place, &value) in values.iter().enumerate() {
                    self.panels[start + place * self.width] = value;
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

    /// Of a product with so many rows.
    pub fn multiply_adds(&self, rows: usize) -> u64 {
        (rows * self.inputs * self.outputs) as u64
    }

    /// `output[row] = bias + matrix * input[row]`.
    ///
    /// # Shapes
    /// - input: rows of `inputs` values, each `input_stride` after the last
    /// - output: rows of `outputs` values, each `output_stride` after the last
    pub fn apply(&self, rows: usize, input: Rows, output: &mut [f32], output_stride: usize) {
        self.gemm(&ThreadPool::single(), rows, input, output, output_stride, Epilogue::Store);
    }

    /// The same, added to what `output` holds.
    pub fn add(&self, rows: usize, input: Rows, output: &mut [f32], output_stride: usize) {
        self.gemm(&ThreadPool::single(), rows, input, output, output_stride, Epilogue::Add);
    }

    /// The same by a pool, each member some of the panels.
    pub fn gemm(
        &self,
        pool: &ThreadPool,
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
        assert!(output.len() >= (rows - 1) * output_stride + self.outputs);
        let output = Output { values: output.as_mut_ptr(), stride: output_stride };
        pool.share(self.bias.len() / self.width, |panels| {
            dispatch(Product { matrix: self, rows, input, output, epilogue, panels });
        });
    }
}

struct Product<'a> {
    matrix: &'a Matrix,
    rows: usize,
    input: Rows<'a>,
    output: Output,
    epilogue: Epilogue,
    panels: Range<usize>,
}

impl Kernel for Product<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { matrix, rows, input, output, epilogue, panels } = self;
        let width = VECTORS * V::LANES;
        assert_eq!(matrix.width, width);
        let padded = matrix.bias.len();
        let zeros = [0.0f32; MOST_WIDTH];
        // Blocks outside, panels between, rows inside: a panel's block stays in the nearest cache while every row
        // passes it, and the rows' block in the next one.
        for first in (0..matrix.inputs).step_by(BLOCK) {
            let inputs = BLOCK.min(matrix.inputs - first);
            let is_last = first + inputs == matrix.inputs;
            for panel in panels.clone() {
                let column = panel * width;
                // SAFETY: the places are inside the packed panels and bias, and, as the caller checked, the rows.
                unsafe {
                    let start = first * padded + column * inputs;
                    let weights = matrix.panels.as_ptr().add(start);
                    let bias = if first == 0 { matrix.bias.as_ptr().add(column) } else { zeros.as_ptr() };
                    let next = matrix.panels.as_ptr().add(next_panel(start, inputs * width, matrix.panels.len()));
                    let count = width.min(matrix.outputs - column);
                    let carry = first > 0 || epilogue == Epilogue::Add;
                    for (row, height) in tiles(rows, ROWS) {
                        let to = Output { values: output.row(row).add(column), stride: output.stride };
                        let mut edge = Edge::open(to, height, [count, width], carry);
                        let to = edge.output();
                        let from = input.values.as_ptr().add(row * input.stride + first);
                        let ahead = next.add((row * inputs * width / rows).min(inputs * (width - 1)));
                        let tile =
                            Tile { weights, inputs, input: from, input_stride: input.stride, bias, ahead, carry };
                        tile.run::<V>(height, to);
                        if is_last {
                            epilogue.apply::<V>(height, width, to);
                        }
                        edge.close();
                    }
                }
            }
        }
    }
}

/// Where the panel after the one at `start` begins, of which every tile looks at its share ([`Tile::ahead`]); the same
/// one again where as many values as it has do not follow.
#[inline(always)]
pub fn next_panel(start: usize, values: usize, end: usize) -> usize {
    if start + 2 * values <= end { start + values } else { start }
}

/// Splits rows into the fewest tiles, of heights that differ by at most one: a short last tile would waste registers.
/// Gives each one's first row and height.
///
/// An iterator, as [`Edge`] is a value: a closure would be compiled without the instructions of the kernel around it.
#[inline(always)]
pub fn tiles(rows: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = rows.div_ceil(most);
    let height = rows.checked_div(count).unwrap_or(0);
    let taller = rows - height * count;
    (0..count).map(move |index| (index * height + index.min(taller), height + usize::from(index < taller)))
}

/// Lets a tile write whole panels where the output has only `count` columns left: it writes beside, and `count`
/// columns are copied.
pub struct Edge {
    // Not zeroed: most tiles do without it.
    beside: MaybeUninit<[[f32; MOST_WIDTH]; ROWS]>,
    to: Output,
    height: usize,
    count: usize,
    is_whole: bool,
}

impl Edge {
    /// `carry`: the tile starts from what the output holds.
    ///
    /// # Safety
    /// `height` rows of `count` values must be readable and writable at `to`.
    #[inline(always)]
    pub unsafe fn open(to: Output, height: usize, [count, width]: [usize; 2], carry: bool) -> Self {
        let mut edge = Self { beside: MaybeUninit::uninit(), to, height, count, is_whole: count == width };
        if !edge.is_whole && carry {
            // The columns beyond are computed and thrown away, but must be numbers.
            edge.beside.write([[0.0; MOST_WIDTH]; ROWS]);
            let beside = edge.output();
            for row in 0..height {
                unsafe { to.row(row).copy_to_nonoverlapping(beside.row(row), count) }
            }
        }
        edge
    }

    /// Where the tile writes. The edge must not move from here on until it is closed.
    #[inline(always)]
    pub fn output(&mut self) -> Output {
        if self.is_whole { self.to } else { Output { values: self.beside.as_mut_ptr().cast(), stride: MOST_WIDTH } }
    }

    /// # Safety
    /// The tile must have written its rows.
    #[inline(always)]
    pub unsafe fn close(&mut self) {
        if !self.is_whole {
            let beside = self.output();
            for row in 0..self.height {
                unsafe { self.to.row(row).copy_from_nonoverlapping(beside.row(row), self.count) }
            }
        }
    }
}

/// The values of one panel's width.
///
/// # Safety
/// They must be readable.
#[inline(always)]
pub unsafe fn load_panel<V: Vector>(from: *const f32) -> [V; VECTORS] {
    unsafe { [V::load(from), V::load(from.add(V::LANES))] }
}

/// Some rows times one panel's block.
pub struct Tile {
    /// `[inputs, width]`.
    pub weights: *const f32,
    pub inputs: usize,
    pub input: *const f32,
    pub input_stride: usize,
    /// `[width]`: where every row's sums start.
    pub bias: *const f32,
    /// Weights that are wanted soon, as many as there are inputs: one value of each cache line is read, so that they
    /// are near when their tile comes. On weights of 340 MB that makes a pass 7 % faster.
    pub ahead: *const f32,
    /// Whether they start from what the output holds, too.
    pub carry: bool,
}

impl Tile {
    /// # Safety
    /// The pointers must lead to what they say, and `output` to `height` rows of a panel's width.
    #[inline(always)]
    pub unsafe fn run<V: Vector>(&self, height: usize, output: Output) {
        unsafe {
            match height {
                1 => self.rows::<V, 1>(output),
                2 => self.rows::<V, 2>(output),
                3 => self.rows::<V, 3>(output),
                4 => self.rows::<V, 4>(output),
                5 => self.rows::<V, 5>(output),
                _ => self.rows::<V, ROWS>(output),
            }
        }
    }

    #[inline(always)]
    unsafe fn rows<V: Vector, const HEIGHT: usize>(&self, output: Output) {
        unsafe {
            let lines: [*const f32; HEIGHT] = std::array::from_fn(|row| self.input.add(row * self.input_stride));
            let place = |row: usize, vector: usize| output.row(row).add(vector * V::LANES);
            let bias = load_panel::<V>(self.bias);
            let mut sums = [bias; HEIGHT];
            if self.carry {
                for (row, sums) in sums.iter_mut().enumerate() {
                    for (vector, sum) in sums.iter_mut().enumerate() {
                        *sum = sum.add(V::load(place(row, vector)));
                    }
                }
            }
            let mut weights = self.weights;
            let mut ahead = self.ahead;
            let mut input = 0;
            while input < self.inputs {
                ahead.read_volatile();
                ahead = ahead.add(AHEAD);
                let end = self.inputs.min(input + AHEAD);
                while input < end {
                    let first = V::load(weights);
                    let second = V::load(weights.add(V::LANES));
                    for (sums, line) in sums.iter_mut().zip(lines) {
                        let value = V::splat(*line.add(input));
                        sums[0] = value.mul_add(first, sums[0]);
                        sums[1] = value.mul_add(second, sums[1]);
                    }
                    weights = weights.add(VECTORS * V::LANES);
                    input += 1;
                }
            }
            for (row, sums) in sums.into_iter().enumerate() {
                for (vector, sum) in sums.into_iter().enumerate() {
                    sum.store(place(row, vector));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::suits_interpreter;
    use super::*;

    fn value(index: usize) -> f32 {
        ((index * 37 % 19) as f32 - 9.0) / 8.0
    }

    #[test]
    fn products_of_every_odd_size_equal_the_plain_sum() {
        let sizes = [(1, 1, 1), (3, 5, 7), (4, 8, 8), (5, 9, 17), (13, 31, 24), (7, 400, 33), (2, 769, 16), (0, 3, 3)];
        for (rows, inputs, outputs) in sizes.into_iter().filter(|(a, b, c)| suits_interpreter(a * b * c)) {
            let input: Vec<f32> = (0..rows * inputs).map(value).collect();
            let weights: Vec<f32> = (0..outputs * inputs).map(|index| value(index + 5)).collect();
            let bias: Vec<f32> = (0..outputs).map(|index| value(index + 3)).collect();
            let matrix = Matrix::pack(&weights, &bias, inputs);
            let plain = |row: usize, column: usize| -> f32 {
                bias[column] + (0..inputs).map(|k| input[row * inputs + k] * weights[column * inputs + k]).sum::<f32>()
            };
            let lines = Rows { values: &input, stride: inputs };
            for pool in [ThreadPool::single(), ThreadPool::of_threads(3)] {
                let mut output = vec![0.0; rows * outputs];
                for (epilogue, of) in [
                    (Epilogue::Store, (|_, sum| sum) as fn(f32, f32) -> f32),
                    (Epilogue::Add, |before, sum| before + sum),
                    (Epilogue::Activate(Activation::Relu), |_, sum| sum.max(0.0)),
                ] {
                    let before = output.clone();
                    matrix.gemm(&pool, rows, lines, &mut output, outputs, epilogue);
                    for row in 0..rows {
                        for column in 0..outputs {
                            let place = row * outputs + column;
                            let wanted = of(before[place], plain(row, column));
                            let found = output[place];
                            assert!((found - wanted).abs() < 1e-3, "{inputs} {outputs} {epilogue:?}: {found} {wanted}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn tiles_cover_every_row_once() {
        for rows in 0..60 {
            let mut next = 0;
            for (row, height) in tiles(rows, 6) {
                assert_eq!(row, next);
                assert!((1..=6).contains(&height));
                next = row + height;
            }
            assert_eq!(next, rows);
        }
    }
}
