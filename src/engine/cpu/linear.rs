//! A layer's matrix with its bias, in the arithmetic it was loaded for.

use super::gemm::{Epilogue, Matrix};
use super::gemm_int8::{Int8Matrix, QuantizedRows};
use super::memory::Rows;
use super::thread_pool::ThreadPool;
use crate::error::Result;
use crate::tensors::{Stored, Weights};

/// How products are computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Arithmetic {
    /// Single precision.
    #[default]
    F32,
    /// Weights of 8 bits with a scale an output, activations of 7 bits with a scale a row and block.
    Int8,
}

impl Arithmetic {
    /// What weights are stored for: 8 bits where they are rounded to them already.
    pub fn as_stored(weights: &Weights) -> Self {
        if weights.has_int8() { Self::Int8 } else { Self::F32 }
    }
}

/// One matrix `[outputs, inputs]`.
#[derive(Debug)]
pub enum Linear {
    /// In single precision.
    Full(Matrix),
    /// In 8 bits.
    Int8(Int8Matrix),
}

impl Linear {
    /// The matrices and biases of `names`, each `[outputs, inputs]`, one below the other. One tensor at a time is in
    /// memory twice.
    pub fn load(
        weights: &mut Weights,
        names: &[String],
        [inputs, outputs]: [usize; 2],
        arithmetic: Arithmetic,
    ) -> Result<Self> {
        let mut linear = Self::new(inputs, names.len() * outputs, arithmetic);
        for (index, name) in names.iter().enumerate() {
            let rows = weights.take_stored(&format!("{name}.weight"), &[outputs, inputs])?;
            let bias = weights.take(&format!("{name}.bias"), &[outputs])?;
            linear.fill(index * outputs, outputs, rows, &bias);
        }
        Ok(linear)
    }

    fn new(inputs: usize, outputs: usize, arithmetic: Arithmetic) -> Self {
        match arithmetic {
            Arithmetic::Int8 if Int8Matrix::fits(inputs) => Self::Int8(Int8Matrix::new(inputs, outputs)),
            _ => Self::Full(Matrix::new(inputs, outputs)),
        }
    }

    fn fill(&mut self, first: usize, outputs: usize, rows: Stored, bias: &[f32]) {
        match self {
            Self::Full(matrix) => matrix.fill(first, &rows.into_f32(), bias),
            Self::Int8(matrix) => {
                let rows = rows.into_int8(outputs);
                matrix.fill(first, &rows.values, &rows.scales, bias);
            }
        }
    }

    /// `bias + matrix * input[row]`, rows one after the other in input and output.
    pub fn gemm(
        &self,
        pool: &ThreadPool,
        quantized: &mut QuantizedRows,
        rows: usize,
        input: &[f32],
        output: &mut [f32],
        epilogue: Epilogue,
    ) {
        match self {
            Self::Full(matrix) => {
                let lines = Rows { values: input, stride: matrix.inputs() };
                matrix.gemm(pool, rows, lines, output, matrix.outputs(), epilogue);
            }
            Self::Int8(matrix) => {
                let lines = Rows { values: input, stride: matrix.inputs() };
                matrix.gemm(pool, quantized, rows, lines, output, matrix.outputs(), epilogue);
            }
        }
    }

    /// Values of one row of its product.
    #[cfg(feature = "sentences")]
    pub fn outputs(&self) -> usize {
        match self {
            Self::Full(matrix) => matrix.outputs(),
            Self::Int8(matrix) => matrix.outputs(),
        }
    }

    /// Of a product with so many rows.
    pub fn multiply_adds(&self, rows: usize) -> u64 {
        match self {
            Self::Full(matrix) => matrix.multiply_adds(rows),
            Self::Int8(matrix) => matrix.multiply_adds(rows),
        }
    }
}
