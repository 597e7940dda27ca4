//! Writes a safetensors file tensor by tensor: one tensor in memory at a time.

use std::collections::BTreeMap;
use std::io::Write;

use half::f16;
use serde_json::{Map, Value, json};

use super::weights::{Precision, Values};
use crate::error::{Error, ErrorKind, Result};

/// A safetensors file being written. The tensors are announced first, since the header comes first, and then given
/// in the same order.
#[derive(Debug)]
pub struct TensorWriter<W> {
    output: W,
    announced: std::vec::IntoIter<(String, Vec<usize>)>,
    precision: Precision,
}

impl<W: Write> TensorWriter<W> {
    /// Writes the header of a file that will hold these tensors (name and shape).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidWeights`] when the output takes no bytes.
    pub fn new(
        mut output: W,
        tensors: Vec<(String, Vec<usize>)>,
        metadata: &BTreeMap<String, String>,
        precision: Precision,
    ) -> Result<Self> {
        let (kind, size) = match precision {
            Precision::F32 => ("F32", 4),
            Precision::F16 => ("F16", 2),
        };
        let mut header = Map::new();
        if !metadata.is_empty() {
            header.insert("__metadata__".into(), json!(metadata));
        }
        let mut end = 0;
        for (name, shape) in &tensors {
            let start = end;
            end += size * shape.iter().product::<usize>();
            header.insert(name.clone(), json!({ "dtype": kind, "shape": shape, "data_offsets": [start, end] }));
        }
        let mut header = Value::Object(header).to_string().into_bytes();
        // The format lets values start at a multiple of 8.
        header.resize(header.len().next_multiple_of(8), b' ');
        output.write_all(&(header.len() as u64).to_le_bytes()).map_err(unwritable)?;
        output.write_all(&header).map_err(unwritable)?;
        Ok(Self { output, announced: tensors.into_iter(), precision })
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
        let mut bytes = Vec::with_capacity(4 * values.data.len());
        for (index, &value) in values.data.iter().enumerate() {
            match self.precision {
                Precision::F32 => bytes.extend(value.to_le_bytes()),
                Precision::F16 => {
                    let rounded = f16::from_f32(value);
                    if !rounded.is_finite() {
                        return Err(invalid(format!(
                            "`{name}` holds {value} at position {index}; f16 can hold numbers up to 65504"
                        )));
                    }
                    bytes.extend(rounded.to_le_bytes());
                }
            }
        }
        self.output.write_all(&bytes).map_err(unwritable)
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
