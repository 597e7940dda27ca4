//! Products of rows with a matrix packed once: register-tiled, with the bias in the accumulators.

/// Outputs of one panel: two vectors of four.
const LANES: usize = 8;
/// Rows of one tile: 4 x 8 accumulators are eight vector registers, which leaves room for operands in wasm's sixteen.
const ROWS: usize = 4;

/// A matrix `[outputs, inputs]` in panels of [`LANES`] outputs, each panel `[inputs, LANES]`; the last is filled up
/// with zeros.
#[derive(Debug, Clone, Default)]
pub struct Matrix {
    panels: Vec<f32>,
    bias: Vec<f32>,
    inputs: usize,
    outputs: usize,
}

impl Matrix {
    /// Packs rows `[outputs, inputs]` and the bias `[outputs]` (or nothing).
    pub fn pack(rows: &[f32], bias: &[f32], inputs: usize) -> Self {
        let mut matrix = Self::default();
        let outputs = rows.len() / inputs;
        matrix.refill(inputs, outputs, |output, input| rows[output * inputs + input]);
        matrix.bias[..bias.len()].copy_from_slice(bias);
        matrix
    }

    /// Packs anew without a bias, keeping the memory.
    pub fn refill(&mut self, inputs: usize, outputs: usize, at: impl Fn(usize, usize) -> f32) {
        let padded = outputs.div_ceil(LANES) * LANES;
        self.panels.clear();
        self.panels.resize(padded * inputs, 0.0);
        self.bias.clear();
        self.bias.resize(padded, 0.0);
        (self.inputs, self.outputs) = (inputs, outputs);
        for (panel, values) in self.panels.chunks_exact_mut(LANES * inputs).enumerate() {
            let first = panel * LANES;
            let count = LANES.min(outputs - first);
            for (input, lane) in values.chunks_exact_mut(LANES).enumerate() {
                for (place, value) in lane[..count].iter_mut().enumerate() {
                    *value = at(first + place, input);
                }
            }
        }
    }

    /// Values of one row of its product.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// `output[row] = bias + matrix * input[row]`.
    ///
    /// # Shapes
    /// - input: rows of `inputs` values, each `input_stride` after the last
    /// - output: rows of `outputs` values, each `output_stride` after the last
    pub fn apply(&self, rows: usize, input: Rows, output: &mut [f32], output_stride: usize) {
        self.tiles::<false>(rows, input, output, output_stride);
    }

    /// The same, added to what `output` holds.
    pub fn add(&self, rows: usize, input: Rows, output: &mut [f32], output_stride: usize) {
        self.tiles::<true>(rows, input, output, output_stride);
    }

    fn tiles<const ADD: bool>(&self, rows: usize, input: Rows, output: &mut [f32], stride: usize) {
        // Panels outside, rows inside: a panel stays in the nearest cache while every row passes it.
        for (panel, values) in self.panels.chunks_exact(LANES * self.inputs).enumerate() {
            let first = panel * LANES;
            let count = LANES.min(self.outputs - first);
            let mut bias = [0.0; LANES];
            bias.copy_from_slice(&self.bias[first..first + LANES]);
            let mut row = 0;
            while row < rows {
                let height = ROWS.min(rows - row);
                // A short last tile repeats its last row and throws the copies away.
                let lines: [&[f32]; ROWS] =
                    std::array::from_fn(|place| input.row(row + place.min(height - 1), self.inputs));
                let sums = tile(values, lines, bias);
                for (place, sums) in sums.iter().enumerate().take(height) {
                    let out = &mut output[(row + place) * stride + first..][..count];
                    for (out, sum) in out.iter_mut().zip(sums) {
                        *out = if ADD { *out + sum } else { *sum };
                    }
                }
                row += height;
            }
        }
    }
}

/// Rows of values in a larger buffer.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// The buffer.
    pub values: &'a [f32],
    /// From one row to the next.
    pub stride: usize,
}

impl<'a> Rows<'a> {
    #[inline(always)]
    fn row(&self, index: usize, length: usize) -> &'a [f32] {
        &self.values[index * self.stride..][..length]
    }
}

#[inline(always)]
fn tile(panel: &[f32], lines: [&[f32]; ROWS], bias: [f32; LANES]) -> [[f32; LANES]; ROWS] {
    let mut sums = [bias; ROWS];
    let [a, b, c, d] = lines;
    for ((((weights, &a), &b), &c), &d) in panel.chunks_exact(LANES).zip(a).zip(b).zip(c).zip(d) {
        for (sums, value) in sums.iter_mut().zip([a, b, c, d]) {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += value * weight;
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_every_odd_size_equal_the_plain_sum() {
        for (rows, inputs, outputs) in [(1, 1, 1), (3, 5, 7), (4, 8, 8), (5, 9, 17), (13, 31, 24)] {
            let value = |index: usize| ((index * 37 % 19) as f32 - 9.0) / 8.0;
            let input: Vec<f32> = (0..rows * inputs).map(value).collect();
            let weights: Vec<f32> = (0..outputs * inputs).map(|index| value(index + 5)).collect();
            let bias: Vec<f32> = (0..outputs).map(|index| value(index + 3)).collect();
            let matrix = Matrix::pack(&weights, &bias, inputs);
            let mut output = vec![0.0; rows * outputs];
            let lines = Rows { values: &input, stride: inputs };
            matrix.apply(rows, lines, &mut output, outputs);
            let plain = |row: usize, column: usize| -> f32 {
                bias[column] + (0..inputs).map(|k| input[row * inputs + k] * weights[column * inputs + k]).sum::<f32>()
            };
            for row in 0..rows {
                for column in 0..outputs {
                    assert!((output[row * outputs + column] - plain(row, column)).abs() < 1e-4);
                }
            }
            matrix.add(rows, lines, &mut output, outputs);
            assert!((output[0] - 2.0 * plain(0, 0)).abs() < 1e-4);
        }
    }
}
