//! Writes a safetensors file tensor by tensor: one tensor in memory at a time.

use std::collections::BTreeMap;
use std::io::Write;

use half::f16;
use serde_json::{Map, Value, json};

use super::storage::{Int8Rows, Precision, SCALES, Storage, Values};
use crate::error::{Error, ErrorKind, Result};

/// Values brought into bytes at once.
const PIECE: usize = 1 << 16;

/// A safetensors file being written. The tensors are announced first, since the header comes first, and then given
/// in the same order.
#[derive(Debug)]
pub struct TensorWriter<W> {
    output: W,
    announced: std::vec::IntoIter<(String, Vec<usize>)>,
    storage: Storage,
}

impl<W: Write> TensorWriter<W> {
    /// Writes the header of a file that will hold these tensors (name and shape).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidWeights`] when the output takes no bytes, and for a name that comes twice.
    pub fn new(
        mut output: W,
        tensors: Vec<(String, Vec<usize>)>,
        metadata: &BTreeMap<String, String>,
        storage: impl Into<Storage>,
    ) -> Result<Self> {
        let storage = storage.into();
        let precision = storage.precision;
        let mut header = Map::new();
        if !metadata.is_empty() {
            header.insert("__metadata__".into(), json!(metadata));
        }
        let (mut end, mut twice) = (0, None);
        let mut list = |name: String, kind: &str, shape: &[usize], bytes: usize| {
            let place = json!({ "dtype": kind, "shape": shape, "data_offsets": [end, end + bytes] });
            if header.insert(name.clone(), place).is_some() {
                twice = Some(name);
            }
            end += bytes;
        };
        for (name, shape) in &tensors {
            let bytes = precision.bytes(name, shape);
            match precision.of(name, shape) {
                Precision::F32 => list(name.clone(), "F32", shape, bytes),
                Precision::F16 => list(name.clone(), "F16", shape, bytes),
                Precision::Int8 => {
                    list(format!("{name}{SCALES}"), "F32", &shape[..1], 4 * shape[0]);
                    list(name.clone(), "I8", shape, bytes - 4 * shape[0]);
                }
            }
        }
        if let Some(name) = twice {
            return Err(invalid(format!("`{name}` would stand in the file twice, once as another tensor's scales")));
        }
        let mut header = Value::Object(header).to_string().into_bytes();
        // The format lets values start at a multiple of 8.
        header.resize(header.len().next_multiple_of(8), b' ');
        output.write_all(&(header.len() as u64).to_le_bytes()).map_err(unwritable)?;
        output.write_all(&header).map_err(unwritable)?;
        Ok(Self { output, announced: tensors.into_iter(), storage })
    }

    /// Writes the values of the next tensor.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidWeights`] for another shape than announced, and for a value that f16 can't hold.
    pub fn push(&mut self, values: &Values) -> Result<()> {
        let (name, shape) =
            self.announced.next().ok_or_else(|| invalid("more tensors were given than announced".into()))?;
        if values.shape != shape || values.data.len() != shape.iter().product::<usize>() {
            return Err(invalid(format!("`{name}` has shape {:?}; {shape:?} was announced", values.shape)));
        }
        match self.storage.precision.of(&name, &shape) {
            Precision::F32 => self.push_values(&values.data, |_, value| Ok(value.to_le_bytes())),
            Precision::F16 => self.push_values(&values.data, |index, value| {
                let rounded = f16::from_f32(value);
                match rounded.is_finite() {
                    true => Ok(rounded.to_le_bytes()),
                    false => Err(invalid(format!(
                        "`{name}` holds {value} at position {index}; f16 can hold numbers up to 65504"
                    ))),
                }
            }),
            Precision::Int8 => {
                let Int8Rows { values, scales } = Int8Rows::round(&values.data, &shape, self.storage.levels);
                self.push_values(&scales, |_, value| Ok(value.to_le_bytes()))?;
                self.push_values(&values, |_, value| Ok(value.to_le_bytes()))
            }
        }
    }

    fn push_values<T: Copy, const N: usize>(
        &mut self,
        values: &[T],
        encode: impl Fn(usize, T) -> Result<[u8; N]>,
    ) -> Result<()> {
        let mut bytes = Vec::with_capacity(N * PIECE.min(values.len()));
        for (piece, values) in values.chunks(PIECE).enumerate() {
            bytes.clear();
            for (index, &value) in values.iter().enumerate() {
                bytes.extend(encode(piece * PIECE + index, value)?);
            }
            self.output.write_all(&bytes).map_err(unwritable)?;
        }
        Ok(())
    }

    /// Closes the file and gives the output back.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidWeights`] naming an announced tensor that was not given.
    pub fn finish(mut self) -> Result<W> {
        match self.announced.next() {
            None => {
                self.output.flush().map_err(unwritable)?;
                Ok(self.output)
            }
            Some((name, _)) => Err(invalid(format!("`{name}` was announced and not given"))),
        }
    }
}

fn unwritable(error: std::io::Error) -> Error {
    Error::with_source(ErrorKind::InvalidWeights, "the tensors can't be written", error)
}

fn invalid(why: String) -> Error {
    Error::new(ErrorKind::InvalidWeights, why)
}
