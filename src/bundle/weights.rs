//! Named tensors in memory, read from and written to safetensors (f32, f16, bf16).

use std::collections::BTreeMap;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::stream::TensorWriter;
use crate::error::{Error, ErrorKind, Result};

/// Name of the metadata entry that ties weights and descriptors to one joint space.
pub const BACKBONE: &str = "backbone";

/// One tensor: its shape and its values in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// The values.
    pub data: Vec<f32>,
}

/// The number format of a stored tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Four bytes a value.
    F32,
    /// Two bytes a value.
    F16,
}

/// Tensors by name, and the file's own metadata.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Weights {
    tensors: BTreeMap<String, Values>,
    /// Free-form strings of the file.
    pub metadata: BTreeMap<String, String>,
}

impl Weights {
    /// Adds the tensors of a safetensors file to these.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidWeights`] when the bytes are no safetensors file, a tensor comes twice, has another
    /// number format than f32, f16 and bf16, or holds a value that is not finite.
    pub fn read(&mut self, file: &str, bytes: &[u8]) -> Result<()> {
        self.read_some(file, bytes, |_| true)
    }

    /// The same, leaving out tensors of integers (`position_ids` and the like).
    pub fn read_floats(&mut self, file: &str, bytes: &[u8]) -> Result<()> {
        self.read_some(file, bytes, |view| !matches!(view.dtype(), Dtype::I64 | Dtype::I32 | Dtype::U8 | Dtype::BOOL))
    }

    fn read_some(&mut self, file: &str, bytes: &[u8], wanted: impl Fn(&TensorView) -> bool) -> Result<()> {
        let broken =
            |error| Error::with_source(ErrorKind::InvalidWeights, format!("`{file}` is no safetensors file"), error);
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        self.metadata.extend(header.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
        for (name, view) in SafeTensors::deserialize(bytes).map_err(broken)?.iter() {
            if wanted(&view) {
                self.insert(
                    name,
                    Values { shape: view.shape().to_vec(), data: decode(file, name, view.dtype(), view.data())? },
                )?;
            }
        }
        Ok(())
    }

    /// Adds one tensor.
    pub fn insert(&mut self, name: &str, values: Values) -> Result<()> {
        check_finite(name, &values.data)?;
        match self.tensors.insert(name.into(), values) {
            None => Ok(()),
            Some(_) => Err(invalid(format!("`{name}` comes twice"))),
        }
    }

    /// Adds all of another file's tensors.
    pub fn append(&mut self, other: Self) -> Result<()> {
        self.metadata.extend(other.metadata);
        other.tensors.into_iter().try_for_each(|(name, values)| self.insert(&name, values))
    }

    /// `keep * these + (1 - keep) * other`, tensor by tensor.
    pub fn blend(&mut self, other: &Self, keep: f32) -> Result<()> {
        for (name, values) in &mut self.tensors {
            let other = other.tensors.get(name).filter(|other| other.shape == values.shape);
            let other =
                other.ok_or_else(|| invalid(format!("`{name}` is missing or misshapen in one of two models")))?;
            for (value, other) in values.data.iter_mut().zip(&other.data) {
                *value = keep * *value + (1.0 - keep) * other;
            }
        }
        Ok(())
    }

    /// Takes one tensor out, checking its shape.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidWeights`] naming the tensor, what was expected and what was found.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let values =
            self.tensors.remove(name).ok_or_else(|| invalid(format!("`{name}` is missing; {shape:?} was expected")))?;
        if values.shape != shape {
            return Err(invalid(format!("`{name}` has shape {:?}; {shape:?} was expected", values.shape)));
        }
        Ok(values.data)
    }

    /// Looks at one tensor.
    pub fn get(&self, name: &str) -> Option<&Values> {
        self.tensors.get(name)
    }

    /// The tensors' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Refuses tensors that nobody took.
    pub fn finish(self) -> Result<()> {
        match self.tensors.keys().next() {
            None => Ok(()),
            Some(name) => Err(invalid(format!(
                "`{name}` is not a tensor of this model ({} such); the weights belong to another configuration",
                self.tensors.len()
            ))),
        }
    }

    /// A safetensors file of all tensors: the same bytes for the same tensors and metadata, always.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidWeights`] naming a tensor with a value that f16 can't hold.
    pub fn write(&self, precision: Precision) -> Result<Vec<u8>> {
        let shapes = self.tensors.iter().map(|(name, values)| (name.clone(), values.shape.clone())).collect();
        let mut writer = TensorWriter::new(Vec::new(), shapes, &self.metadata, precision)?;
        self.tensors.values().try_for_each(|values| writer.push(values))?;
        writer.finish()
    }
}

/// Refuses NaN and infinities, naming the tensor.
pub(crate) fn check_finite(name: &str, values: &[f32]) -> Result<()> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(invalid(format!("`{name}` holds a value that is not finite at position {index}"))),
    }
}

/// The values of a stored tensor.
pub(crate) fn decode(file: &str, name: &str, dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>> {
    let pairs = || bytes.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
    Ok(match dtype {
        Dtype::F32 => {
            bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()
        }
        Dtype::F16 => pairs().map(|pair| f16::from_le_bytes(pair).to_f32()).collect(),
        Dtype::BF16 => pairs().map(|pair| bf16::from_le_bytes(pair).to_f32()).collect(),
        other => {
            return Err(invalid(format!("`{name}` in `{file}` is stored as {other:?}; F32, F16 and BF16 can be read")));
        }
    })
}

fn invalid(why: String) -> Error {
    Error::new(ErrorKind::InvalidWeights, why)
}
