//! Named tensors in memory as they were stored, read from and written to safetensors.

use std::collections::BTreeMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::storage::{Int8Rows, Precision, SCALES, Storage, Stored, Values, check_finite, decode};
use super::writer::TensorWriter;
use crate::error::{Error, ErrorKind, Result};

/// Name of the metadata entry that ties weights and descriptors to one joint space.
pub const BACKBONE: &str = "backbone";

#[derive(Debug, Clone)]
struct Tensor {
    shape: Vec<usize>,
    stored: Stored,
}

/// Tensors by name, and the file's own metadata.
///
/// f16 and 8-bit tensors stay as they are until somebody takes them, so that a model on its way from a file to a
/// device is never twice in memory.
#[derive(Debug, Clone, Default)]
pub struct Weights {
    tensors: BTreeMap<String, Tensor>,
    /// How a device that stores matrices in a form of its own is to store them.
    pub matrices: Precision,
    /// Free-form strings of the file.
    pub metadata: BTreeMap<String, String>,
}

impl Weights {
    /// Adds the tensors of a safetensors file to these.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidWeights`] when the bytes are no safetensors file, a tensor comes twice, has another
    /// number format than f32, f16, bf16 and 8 bits with scales, or holds a value that is not finite.
    pub fn read(&mut self, file: &str, bytes: &[u8]) -> Result<()> {
        self.read_some(file, bytes, |_| true)
    }

    /// The same, leaving out tensors of integers (`position_ids` and the like).
    pub fn read_floats(&mut self, file: &str, bytes: &[u8]) -> Result<()> {
        self.read_some(file, bytes, |view| !matches!(view.dtype(), Dtype::I64 | Dtype::I32 | Dtype::U8 | Dtype::BOOL))
    }

    fn read_some(&mut self, file: &str, bytes: &[u8], wanted: impl Fn(&TensorView) -> bool) -> Result<()> {
        let broken = |error| {
            Error::with_source(
                ErrorKind::InvalidWeights,
                format!("`{file}` ({} bytes) is no safetensors file, or was cut off", bytes.len()),
                error,
            )
        };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        self.metadata.extend(header.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
        let tensors = SafeTensors::deserialize(bytes).map_err(broken)?;
        let is_8_bit = |name: &str| tensors.tensor(name).is_ok_and(|view| view.dtype() == Dtype::I8);
        for (name, view) in tensors.iter() {
            if !wanted(&view) || name.strip_suffix(SCALES).is_some_and(is_8_bit) {
                continue;
            }
            let stored = match view.dtype() {
                Dtype::I8 => Stored::Int8(read_rows(file, name, &view, &tensors)?),
                dtype => Stored::decode(file, name, dtype, view.data())?,
            };
            stored.check_finite(name)?;
            self.add(name.into(), Tensor { shape: view.shape().to_vec(), stored })?;
        }
        Ok(())
    }

    /// None, for the same device.
    pub fn emptied(&self) -> Self {
        Self { matrices: self.matrices, ..Self::default() }
    }

    /// Adds one tensor.
    pub fn insert(&mut self, name: &str, values: Values) -> Result<()> {
        check_finite(name, &values.data)?;
        self.add(name.into(), Tensor { shape: values.shape, stored: Stored::F32(values.data) })
    }

    /// Adds all of another file's tensors.
    pub fn append(&mut self, other: Self) -> Result<()> {
        self.metadata.extend(other.metadata);
        other.tensors.into_iter().try_for_each(|(name, tensor)| self.add(name, tensor))
    }

    fn add(&mut self, name: String, tensor: Tensor) -> Result<()> {
        if self.tensors.contains_key(&name) {
            return Err(twice(&name));
        }
        self.tensors.insert(name, tensor);
        Ok(())
    }

    /// `keep * these + (1 - keep) * other`, tensor by tensor.
    pub fn blend(&mut self, other: &Self, keep: f32) -> Result<()> {
        for (name, tensor) in &mut self.tensors {
            let other = other.get(name).filter(|other| other.shape == tensor.shape);
            let other =
                other.ok_or_else(|| invalid(format!("`{name}` is missing or misshapen in one of two models")))?;
            let mut values = std::mem::replace(&mut tensor.stored, Stored::F32(Vec::new())).into_f32();
            for (value, other) in values.iter_mut().zip(&other.data) {
                *value = keep * *value + (1.0 - keep) * other;
            }
            tensor.stored = Stored::F32(values);
        }
        Ok(())
    }

    /// Takes one tensor out, checking its shape.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidWeights`] naming the tensor, what was expected and what was found.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        Ok(self.take_stored(name, shape)?.into_f32())
    }

    /// The same as it is stored, for products that work on 8-bit values.
    ///
    /// # Errors
    /// As [`Weights::take`].
    pub fn take_stored(&mut self, name: &str, shape: &[usize]) -> Result<Stored> {
        self.check_shape(name, shape)?;
        let tensor = self.tensors.remove(name);
        Ok(tensor.map_or(Stored::F32(Vec::new()), |tensor| tensor.stored))
    }

    /// Says what is wrong with a tensor that should be there in this shape.
    ///
    /// # Errors
    /// As [`Weights::take`].
    pub fn check_shape(&self, name: &str, shape: &[usize]) -> Result<()> {
        match self.tensors.get(name) {
            None => Err(absent(name, shape)),
            Some(tensor) if tensor.shape != shape => {
                Err(invalid(format!("`{name}` has shape {:?}; {shape:?} was expected", tensor.shape)))
            }
            Some(_) => Ok(()),
        }
    }

    /// Whether there is a tensor of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Whether matrices are stored in 8 bits.
    pub fn has_int8(&self) -> bool {
        self.tensors.values().any(|tensor| matches!(tensor.stored, Stored::Int8(_)))
    }

    /// A copy of one tensor.
    pub fn get(&self, name: &str) -> Option<Values> {
        let Tensor { shape, stored } = self.tensors.get(name)?.clone();
        Some(Values { shape, data: stored.into_f32() })
    }

    /// The tensors' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Refuses tensors that nobody took.
    pub fn finish(self) -> Result<()> {
        match self.tensors.iter().next() {
            None => Ok(()),
            Some((name, tensor)) => Err(invalid(format!(
                "`{name}` {:?} is not a tensor of this model ({} such); none was expected: the weights belong to \
                 another configuration",
                tensor.shape,
                self.tensors.len()
            ))),
        }
    }

    /// A safetensors file of all tensors: the same bytes for the same tensors and metadata, always.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidWeights`] naming a tensor with a value that f16 can't hold.
    pub fn write(&self, storage: impl Into<Storage>) -> Result<Vec<u8>> {
        let shapes = self.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect();
        let mut writer = TensorWriter::new(Vec::new(), shapes, &self.metadata, storage)?;
        self.names().filter_map(|name| self.get(name)).try_for_each(|values| writer.push(&values))?;
        writer.finish()
    }
}

/// An 8-bit tensor with the scales that stand beside it.
fn read_rows(file: &str, name: &str, view: &TensorView, tensors: &SafeTensors) -> Result<Int8Rows> {
    let outputs = view.shape().first().copied().unwrap_or(0);
    let scales = tensors.tensor(&format!("{name}{SCALES}")).ok();
    let scales = scales.filter(|scales| scales.dtype() == Dtype::F32 && scales.shape() == [outputs]);
    let scales = scales.ok_or_else(|| {
        invalid(format!(
            "`{name}` in `{file}` is stored in 8 bits; its scales `{name}{SCALES}`, F32 [{outputs}], were expected \
             beside it"
        ))
    })?;
    let mut rows = Int8Rows { values: Vec::with_capacity(view.data().len()), scales: Vec::with_capacity(outputs) };
    decode(file, name, Dtype::F32, scales.data(), &mut rows.scales)?;
    rows.values.extend(view.data().iter().map(|&byte| byte as i8));
    match rows.values.iter().position(|&value| value == i8::MIN) {
        None => Ok(rows),
        Some(index) => Err(invalid(format!("`{name}` holds -128 at position {index}; -127 to 127 were expected"))),
    }
}

/// That a tensor is missing.
pub(crate) fn absent(name: &str, shape: &[usize]) -> Error {
    invalid(format!("`{name}` is missing; {shape:?} was expected"))
}

/// That there is another tensor of that name.
pub(crate) fn twice(name: &str) -> Error {
    invalid(format!("`{name}` comes twice; one tensor of that name was expected"))
}

fn invalid(why: String) -> Error {
    Error::new(ErrorKind::InvalidWeights, why)
}
