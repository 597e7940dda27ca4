//! One file of a checkpoint, safetensors or PyTorch's: its tensors' names and places, and their values on demand.

use std::io::{Read, Seek, SeekFrom};

use safetensors::tensor::{Dtype, Metadata};

use super::archive;
use super::located::{Located, invalid};
use crate::error::{Error, ErrorKind, Result};
use crate::tensors::{decode, dtype_bytes};

/// Longest header that safetensors allows.
const LONGEST_HEADER: u64 = 100_000_000;
/// Bytes read at once.
const PIECE: usize = 1 << 18;

/// One open file: what it lists in memory, its values not.
#[derive(Debug)]
pub(super) struct File<R> {
    pub(super) name: String,
    reader: R,
    pub(super) tensors: Vec<(String, Located)>,
    /// What of the file was taken or left out, for people.
    pub(super) note: Option<String>,
}

impl<R: Read + Seek> File<R> {
    /// Lists the tensors and checks that the file is as long as it says.
    pub(super) fn open(name: String, mut reader: R) -> Result<Self> {
        let unreadable =
            |error| Error::with_source(ErrorKind::InvalidWeights, format!("`{name}` can't be read"), error);
        let length = reader.seek(SeekFrom::End(0)).map_err(unreadable)?;
        reader.rewind().map_err(unreadable)?;
        let mut head = [0; 9];
        if length < 8 {
            return Err(invalid(format!("`{name}` has {length} bytes: it is empty or was cut off; fetch it again")));
        }
        reader.read_exact(&mut head[..length.min(9) as usize]).map_err(unreadable)?;
        if head.starts_with(b"version ") {
            return Err(invalid(format!(
                "`{name}` is a pointer that Git LFS left in the file's place; fetch the file itself with `git lfs pull`"
            )));
        }
        // The length of a safetensors header may look like a pickle's beginning; its header begins with a brace.
        let is_pickle = head[0] == archive::PICKLE && (2..=5).contains(&head[1]) && head[8] != b'{';
        if head.starts_with(archive::ZIP) || is_pickle {
            reader.rewind().map_err(unreadable)?;
            let (tensors, note) = match head.starts_with(archive::ZIP) {
                true => archive::read_zip(&name, &mut reader)?,
                false => archive::read_pickle(&name, &mut reader)?,
            };
            return Ok(Self { name, reader, tensors, note });
        }
        let [size @ .., _] = head;
        let size = u64::from_le_bytes(size);
        reader.seek(SeekFrom::Start(8)).map_err(unreadable)?;
        if size > LONGEST_HEADER {
            return Err(invalid(format!("`{name}` is no safetensors file: it does not begin with a header's length")));
        }
        if size > length - 8 {
            return Err(invalid(format!(
                "`{name}` was cut off: its header alone has {size} bytes, the whole file {length}; fetch it again"
            )));
        }
        let mut header = vec![0; size as usize];
        reader.read_exact(&mut header).map_err(unreadable)?;
        let header: Metadata = serde_json::from_slice(&header).map_err(|error| {
            Error::with_source(ErrorKind::InvalidWeights, format!("the header of `{name}` can't be read"), error)
        })?;
        let (wanted, found) = (header.data_len() as u64, length - 8 - size);
        if wanted != found {
            return Err(invalid(format!(
                "`{name}` lists {wanted} bytes of values and holds {found}: it was cut off or mixed up; fetch it again"
            )));
        }
        let tensors = header.tensors().into_iter().map(|(name, info)| {
            let start = 8 + size + info.data_offsets.0 as u64;
            (name, Located { dtype: info.dtype, shape: info.shape.clone(), start, strides: None })
        });
        Ok(Self { tensors: tensors.collect(), name, reader, note: None })
    }

    /// A group of equally many rows of a tensor, of `groups` such, or all of it with `groups` 1.
    pub(super) fn read(&mut self, name: &str, located: &Located, group: usize, groups: usize) -> Result<Vec<f32>> {
        let Located { dtype, shape, start, strides } = located;
        let count = shape.iter().product::<usize>() / groups;
        let Some(strides) = strides else {
            let size = dtype_bytes(&self.name, name, *dtype)?;
            return self.read_run(name, *dtype, start + (group * count * size) as u64, count);
        };
        let last: usize = shape.iter().zip(strides).map(|(length, stride)| (length - 1) * stride).sum();
        let run = self.read_run(name, *dtype, *start, last + 1)?;
        let place = |index: usize| {
            let axes = shape.iter().zip(strides).rev();
            axes.fold((0, index), |(at, rest), (length, stride)| (at + rest % length * stride, rest / length)).0
        };
        Ok((group * count..(group + 1) * count).map(|index| run[place(index)]).collect())
    }

    fn read_run(&mut self, name: &str, dtype: Dtype, start: u64, count: usize) -> Result<Vec<f32>> {
        let size = dtype_bytes(&self.name, name, dtype)?;
        let lost = |error| {
            Error::with_source(ErrorKind::InvalidWeights, format!("`{name}` in `{}` can't be read", self.name), error)
        };
        let (mut values, mut bytes) = (Vec::with_capacity(count), vec![0; PIECE.min(count * size)]);
        self.reader.seek(SeekFrom::Start(start)).map_err(lost)?;
        while values.len() < count {
            let piece = &mut bytes[..PIECE.min((count - values.len()) * size)];
            self.reader.read_exact(piece).map_err(lost)?;
            decode(&self.name, name, dtype, piece, &mut values)?;
        }
        Ok(values)
    }
}
