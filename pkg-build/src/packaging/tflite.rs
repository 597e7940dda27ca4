//! A reader of TensorFlow Lite files: as much of the FlatBuffer as a plain convolutional net needs.
//!
//! Field numbers are those of TensorFlow's `schema.fbs`, operator numbers its `BuiltinOperator`. Every offset is
//! checked: a broken file is an error, never a panic.

use anyhow::{Context, Result, bail, ensure};
use half::f16;

/// What the nets that are read here are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Add,
    Concatenation,
    Convolution,
    DepthwiseConvolution,
    Dequantize,
    MaxPool,
    Relu,
    Reshape,
    Pad,
}

/// One step of the net.
#[derive(Debug)]
pub struct Operator {
    pub kind: Kind,
    /// Indices of tensors.
    pub inputs: Vec<usize>,
    /// Indices of tensors.
    pub outputs: Vec<usize>,
    /// Of convolutions and pooling, the same across and down; 0 elsewhere.
    pub stride: usize,
}

/// One tensor.
#[derive(Debug)]
pub struct Tensor {
    pub shape: Vec<usize>,
    /// Its values where the file carries them as f16 or f32.
    pub data: Option<Vec<f32>>,
}

/// A net: its tensors, and its operators in the order of their running.
#[derive(Debug)]
pub struct Graph {
    pub tensors: Vec<Tensor>,
    pub operators: Vec<Operator>,
    /// Indices of tensors.
    pub inputs: Vec<usize>,
}

impl Graph {
    /// Reads the first net of a file.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        ensure!(bytes.get(4..8) == Some(b"TFL3"), "this is no TensorFlow Lite file");
        let model = Table { bytes, start: offset(bytes, 0)? };
        let codes = model.tables(1)?;
        let buffers = model.tables(4)?;
        let net = model.tables(2)?.into_iter().next().context("the file holds no net")?;
        let tensors = net.tables(0)?.iter().map(|tensor| read_tensor(tensor, &buffers)).collect::<Result<Vec<_>>>()?;
        let count = tensors.len();
        let indices = |table: &Table, field: usize| -> Result<Vec<usize>> {
            let indices = table.integers(field)?;
            let known = |&index: &i32| usize::try_from(index).ok().filter(|&index| index < count);
            indices.iter().map(|index| known(index).context("an operator names a tensor that is not there")).collect()
        };
        let mut operators = Vec::new();
        for operator in net.tables(3)? {
            let code = codes.get(operator.integer(0, 0)? as usize).context("an operator has no code")?;
            // Old files carry the code in a byte, new ones in both.
            let number = code.integer(3, 0)?.max(i32::from(code.byte(0, 0)? as i8));
            let kind = match number {
                0 => Kind::Add,
                2 => Kind::Concatenation,
                3 => Kind::Convolution,
                4 => Kind::DepthwiseConvolution,
                6 => Kind::Dequantize,
                17 => Kind::MaxPool,
                19 => Kind::Relu,
                22 => Kind::Reshape,
                34 => Kind::Pad,
                other => bail!("operator {other} can't be read"),
            };
            let inputs = indices(&operator, 1)?;
            let mut stride = 0;
            if matches!(kind, Kind::Convolution | Kind::DepthwiseConvolution | Kind::MaxPool) {
                let options = operator.table(4)?.context("an operator has no options")?;
                stride = options.integer(1, 0)? as usize;
                ensure!(options.integer(2, 0)? as usize == stride, "the strides across and down differ");
                let activation = match kind {
                    Kind::Convolution => 3,
                    Kind::DepthwiseConvolution => 4,
                    _ => 5,
                };
                ensure!(options.byte(activation, 0)? == 0, "an operator has a fused activation");
                // SAME, except where VALID means the same: maxima over pairs, and kernels of one pixel.
                let kernel = inputs.get(1).map(|&index| tensors[index].shape.as_slice());
                let free = match kernel {
                    Some(&[_, 1, 1, _]) => stride == 1,
                    _ => kind == Kind::MaxPool,
                };
                ensure!(options.byte(0, 0)? == 0 || free, "an operator is not padded as SAME");
                if kind == Kind::MaxPool {
                    let sides = (options.integer(3, 0)?, options.integer(4, 0)?);
                    ensure!(stride == 2 && sides == (2, 2), "only maxima of 2x2 can be read");
                }
                if kind == Kind::DepthwiseConvolution {
                    ensure!(options.integer(3, 0)? == 1, "a depthwise convolution multiplies its channels");
                }
            }
            operators.push(Operator { kind, inputs, outputs: indices(&operator, 2)?, stride });
        }
        Ok(Self { inputs: indices(&net, 1)?, tensors, operators })
    }
}

fn read_tensor(tensor: &Table, buffers: &[Table]) -> Result<Tensor> {
    let shape = tensor
        .integers(0)?
        .into_iter()
        .map(|length| usize::try_from(length).context("a tensor has a length below zero"))
        .collect::<Result<Vec<_>>>()?;
    let buffer = buffers.get(tensor.integer(2, 0)? as usize).context("a tensor's buffer is not there")?;
    let bytes = buffer.bytes(0)?;
    let data: Option<Vec<f32>> = match tensor.byte(1, 0)? {
        _ if bytes.is_empty() => None,
        0 => Some(bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()),
        1 => Some(bytes.chunks_exact(2).map(|pair| f16::from_le_bytes([pair[0], pair[1]]).to_f32()).collect()),
        // Shapes and paddings, which the other tensors' shapes say as well.
        _ => None,
    };
    if let Some(data) = &data {
        ensure!(data.len() == shape.iter().product::<usize>(), "a tensor has other values than its shape says");
    }
    Ok(Tensor { shape, data })
}

/// A FlatBuffer table: fields found through its own list of places.
#[derive(Clone, Copy)]
struct Table<'a> {
    bytes: &'a [u8],
    start: usize,
}

impl<'a> Table<'a> {
    /// Where a field's value lies; none where the file leaves it at its default.
    fn field(&self, field: usize) -> Result<Option<usize>> {
        let back = integer(self.bytes, self.start)?;
        let places = usize::try_from(self.start as i64 - i64::from(back)).context("a table points outside the file")?;
        let place = 4 + 2 * field;
        if place >= usize::from(short(self.bytes, places)?) {
            return Ok(None);
        }
        let distance = usize::from(short(self.bytes, places + place)?);
        Ok((distance > 0).then_some(self.start + distance))
    }

    fn byte(&self, field: usize, default: u8) -> Result<u8> {
        match self.field(field)? {
            Some(place) => self.bytes.get(place).copied().context("the file ends too early"),
            None => Ok(default),
        }
    }

    fn integer(&self, field: usize, default: i32) -> Result<i32> {
        self.field(field)?.map_or(Ok(default), |place| integer(self.bytes, place))
    }

    fn table(&self, field: usize) -> Result<Option<Table<'a>>> {
        let Some(place) = self.field(field)? else { return Ok(None) };
        Ok(Some(Table { bytes: self.bytes, start: place + offset(self.bytes, place)? }))
    }

    /// First place and number of a vector's elements, each `size` bytes, all within the file.
    fn vector(&self, field: usize, size: usize) -> Result<(usize, usize)> {
        let Some(place) = self.field(field)? else { return Ok((0, 0)) };
        let start = place + offset(self.bytes, place)?;
        let (first, count) = (start + 4, offset(self.bytes, start)?);
        let end = count.checked_mul(size).and_then(|length| length.checked_add(first));
        ensure!(end.is_some_and(|end| end <= self.bytes.len()), "the file ends too early");
        Ok((first, count))
    }

    fn bytes(&self, field: usize) -> Result<&'a [u8]> {
        let (first, count) = self.vector(field, 1)?;
        Ok(&self.bytes[first..first + count])
    }

    fn integers(&self, field: usize) -> Result<Vec<i32>> {
        let (first, count) = self.vector(field, 4)?;
        (0..count).map(|index| integer(self.bytes, first + 4 * index)).collect()
    }

    fn tables(&self, field: usize) -> Result<Vec<Table<'a>>> {
        let (first, count) = self.vector(field, 4)?;
        let places = (0..count).map(|index| first + 4 * index);
        places.map(|place| Ok(Table { bytes: self.bytes, start: place + offset(self.bytes, place)? })).collect()
    }
}

fn take<const N: usize>(bytes: &[u8], place: usize) -> Result<[u8; N]> {
    let slice = bytes.get(place..).and_then(|rest| rest.first_chunk::<N>());
    slice.copied().context("the file ends too early")
}

fn short(bytes: &[u8], place: usize) -> Result<u16> {
    take(bytes, place).map(u16::from_le_bytes)
}

fn integer(bytes: &[u8], place: usize) -> Result<i32> {
    take(bytes, place).map(i32::from_le_bytes)
}

fn offset(bytes: &[u8], place: usize) -> Result<usize> {
    take(bytes, place).map(|four| u32::from_le_bytes(four) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_files_are_errors() {
        assert!(Graph::read(b"").is_err());
        assert!(Graph::read(b"\x08\0\0\0TFL3").is_err());
        for fill in [0u8, 1, 4, 127, 255] {
            for first in 0..=255u8 {
                let mut bytes = vec![fill; 64];
                bytes[..4].copy_from_slice(&[first, 0, 0, 0]);
                bytes[4..8].copy_from_slice(b"TFL3");
                // Whatever it says, it says it.
                let _ = Graph::read(&bytes);
            }
        }
    }
}
