//! A tensor's values as files hold them: f32, f16, or 8-bit integers with one scale a row.

use half::{bf16, f16};
use safetensors::tensor::Dtype;

use crate::error::{Error, ErrorKind, Result};

/// One tensor: its shape and its values in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// The values.
    pub data: Vec<f32>,
}

/// Ends the name of the tensor that holds an 8-bit tensor's scales.
pub(super) const SCALES: &str = ".scales";

/// How weights are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Four bytes a value.
    #[default]
    F32,
    /// Two bytes a value.
    F16,
    /// One byte a value of the matrices and the stem's convolutions, with one scale an output channel; norms, biases, embedding
    /// tables and convolutions of very few channels, which are small and where rounding costs most, in f16.
    Int8,
}

impl Precision {
    /// How one tensor is stored.
    pub(super) fn of(self, name: &str, shape: &[usize]) -> Self {
        match self {
            // The stem's convolutions have four axes; engines compute those of whole vectors in 8 bits.
            Self::Int8 if shape.len() == 4 && name.contains(".stem.") && shape[1].is_multiple_of(8) => Self::Int8,
            Self::Int8 if shape.len() != 2 || name.contains("embedding") => Self::F16,
            other => other,
        }
    }

    /// The oldest format version that has it.
    pub fn version(self) -> u32 {
        match self {
            Self::F32 | Self::F16 => 1,
            Self::Int8 => 2,
        }
    }

    /// Bytes that one tensor takes.
    pub fn bytes(self, name: &str, shape: &[usize]) -> usize {
        let count: usize = shape.iter().product();
        match self.of(name, shape) {
            Self::F32 => 4 * count,
            Self::F16 => 2 * count,
            Self::Int8 => count + 4 * shape[0],
        }
    }
}

/// How a file of tensors is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage {
    /// How weights are stored.
    pub precision: Precision,
    /// Values that an 8-bit weight may take, an odd number: as many steps below zero as above it. Fewer than
    /// [`Storage::LEVELS`] round more and compress better.
    pub levels: u8,
}

impl Storage {
    /// All that 8 bits hold, but for -128.
    pub const LEVELS: u8 = 255;
}

impl From<Precision> for Storage {
    fn from(precision: Precision) -> Self {
        Self { precision, levels: Self::LEVELS }
    }
}

/// A tensor's values as they are stored, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub enum Stored {
    /// Single precision.
    F32(Vec<f32>),
    /// Half precision.
    F16(Vec<f16>),
    /// 8-bit integers.
    Int8(Int8Rows),
}

/// A matrix `[outputs, inputs]` of 8-bit integers from -127 to 127: `value[output][input] * scale[output]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Int8Rows {
    /// `[outputs, inputs]`.
    pub values: Vec<i8>,
    /// `[outputs]`.
    pub scales: Vec<f32>,
}

impl Int8Rows {
    /// Rounds rows to the nearest of so many values between minus and plus the row's largest. Of a convolution's kernel the
    /// errors add up to half a step at most: pixels beside each other are much alike, so what counts of a kernel's errors is
    /// their sum, and those that were nearly halves go the other way (as SQuant does, Guo et al. 2022).
    ///
    /// # Shapes
    /// - shape: `[outputs, inputs]`, or a convolution's `[outputs, inputs, height, width]`
    pub fn round(values: &[f32], shape: &[usize], levels: u8) -> Self {
        let outputs = shape.first().copied().unwrap_or(0);
        let kernel = shape.iter().skip(2).product::<usize>().max(1);
        let steps = f32::from((levels / 2).max(1));
        let inputs = (values.len() / outputs.max(1)).max(1);
        let mut rounded = Self { values: Vec::with_capacity(values.len()), scales: Vec::with_capacity(outputs) };
        for row in values.chunks_exact(inputs) {
            let largest = row.iter().fold(0.0f32, |most, value| most.max(value.abs()));
            let scale = largest / steps;
            // A row of zeros has none, and a scale below f32's normal range would make the quotients infinite.
            let inverse = if scale < f32::MIN_POSITIVE { 0.0 } else { 1.0 / scale };
            rounded.scales.push(scale);
            let first = rounded.values.len();
            rounded.values.extend(row.iter().map(|value| (value * inverse).round() as i8));
            if kernel > 1 {
                let kernels = row.chunks_exact(kernel).zip(rounded.values[first..].chunks_exact_mut(kernel));
                kernels.for_each(|(exact, rounded)| even_out(exact, inverse, rounded));
            }
        }
        // Rows without a value have a scale all the same.
        rounded.scales.resize(outputs, 0.0);
        rounded
    }
}

/// Rounds as many of a kernel's values the other way as bring the sum of its errors nearest to nothing.
fn even_out(exact: &[f32], inverse: f32, rounded: &mut [i8]) {
    let error = |place: usize, rounded: &[i8]| f32::from(rounded[place]) - exact[place] * inverse;
    let sum: f32 = (0..exact.len()).map(|place| error(place, rounded)).sum();
    for _ in 0..sum.abs().round() as usize {
        let largest =
            |a: &usize, b: &usize| (sum.signum() * error(*a, rounded)).total_cmp(&(sum.signum() * error(*b, rounded)));
        let Some(place) = (0..exact.len()).max_by(largest) else { return };
        rounded[place] -= sum.signum() as i8;
    }
}

impl Stored {
    /// Reads the bytes of a tensor of floats.
    pub(super) fn decode(file: &str, name: &str, dtype: Dtype, bytes: &[u8]) -> Result<Self> {
        if dtype == Dtype::F16 {
            let mut values = vec![f16::ZERO; bytes.len() / 2];
            for (value, pair) in values.iter_mut().zip(bytes.chunks_exact(2)) {
                *value = f16::from_le_bytes([pair[0], pair[1]]);
            }
            return Ok(Self::F16(values));
        }
        let mut values = Vec::with_capacity(bytes.len() / dtype_bytes(file, name, dtype)?);
        decode(file, name, dtype, bytes, &mut values)?;
        Ok(Self::F32(values))
    }

    /// How many values there are.
    pub fn count(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::Int8(rows) => rows.values.len(),
        }
    }

    /// The values.
    pub fn into_f32(self) -> Vec<f32> {
        match self {
            Self::F32(values) => values,
            Self::F16(values) => widen(&values),
            Self::Int8(Int8Rows { values, scales }) => {
                let inputs = (values.len() / scales.len().max(1)).max(1);
                let rows = values.chunks_exact(inputs).zip(scales);
                rows.flat_map(|(row, scale)| row.iter().map(move |&value| f32::from(value) * scale)).collect()
            }
        }
    }

    /// The values in 8 bits: as they are stored, or else rounded.
    pub fn into_int8(self, outputs: usize) -> Int8Rows {
        match self {
            Self::Int8(rows) => rows,
            other => Int8Rows::round(&other.into_f32(), &[outputs], Storage::LEVELS),
        }
    }

    /// Refuses NaN and infinities, naming the tensor.
    pub(super) fn check_finite(&self, name: &str) -> Result<()> {
        match self {
            Self::F32(values) => check_finite(name, values),
            // First whether there is one at all, in vectors.
            Self::F16(values) if values.iter().fold(true, |all, value| all & value.is_finite()) => Ok(()),
            Self::F16(values) => check(name, values.iter().position(|value| !value.is_finite())),
            // Of the largest value that a row may have.
            Self::Int8(rows) => {
                check(&format!("{name}{SCALES}"), rows.scales.iter().position(|scale| !(127.0 * scale).is_finite()))
            }
        }
    }
}

/// Refuses NaN and infinities, naming the tensor.
pub(crate) fn check_finite(name: &str, values: &[f32]) -> Result<()> {
    check(name, values.iter().position(|value| !value.is_finite()))
}

/// The same numbers in single precision, in a loop without a branch, of which the compiler makes vectors: a page waits for
/// it. Moved up by the bits that f32 has more, a value is too small by the difference of the two biases.
fn widen(values: &[f16]) -> Vec<f32> {
    const BIASES: f32 = f32::from_bits((127 + 112) << 23);
    let mut wide = vec![0.0; values.len()];
    for (wide, value) in wide.iter_mut().zip(values) {
        let bits = u32::from(value.to_bits());
        let magnitude = f32::from_bits((bits & 0x7fff) << 13) * BIASES;
        *wide = f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16);
    }
    wide
}

fn check(name: &str, found: Option<usize>) -> Result<()> {
    match found {
        None => Ok(()),
        Some(index) => Err(invalid(format!(
            "`{name}` holds a value that is not finite at position {index}; numbers were expected: train or export the \
             model again"
        ))),
    }
}

/// Bytes of one value of a number format that can be read.
pub(crate) fn dtype_bytes(file: &str, name: &str, dtype: Dtype) -> Result<usize> {
    match dtype {
        Dtype::F32 => Ok(4),
        Dtype::F16 | Dtype::BF16 => Ok(2),
        other => Err(invalid(format!("`{name}` in `{file}` is stored as {other:?}; F32, F16 and BF16 can be read"))),
    }
}

/// Adds the values of a stored tensor, or of a piece of it, to `values`.
pub(crate) fn decode(file: &str, name: &str, dtype: Dtype, bytes: &[u8], values: &mut Vec<f32>) -> Result<()> {
    let pairs = || bytes.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
    match dtype {
        Dtype::F32 => {
            values.extend(bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])));
        }
        Dtype::F16 => values.extend(pairs().map(|pair| f16::from_le_bytes(pair).to_f32())),
        Dtype::BF16 => values.extend(pairs().map(|pair| bf16::from_le_bytes(pair).to_f32())),
        other => return dtype_bytes(file, name, other).map(drop),
    }
    Ok(())
}

fn invalid(why: String) -> Error {
    Error::new(ErrorKind::InvalidWeights, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_half_becomes_the_same_number() {
        let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).filter(|half| half.is_finite()).collect();
        for (wide, half) in widen(&halves).into_iter().zip(&halves) {
            assert_eq!(wide.to_bits(), half.to_f32().to_bits(), "{half}");
        }
    }

    #[test]
    fn a_half_that_is_no_number_is_named_by_its_place() {
        for bad in [f16::NAN, f16::INFINITY, f16::NEG_INFINITY] {
            let mut values = vec![f16::MAX; 40];
            assert!(Stored::F16(values.clone()).check_finite("w").is_ok());
            values[33] = bad;
            let error = Stored::F16(values).check_finite("w").unwrap_err().to_string();
            assert!(error.contains("`w`") && error.contains("position 33"), "{error}");
        }
    }
}
