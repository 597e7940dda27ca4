//! A safetensors file read tensor by tensor, and what is no safetensors file named.

use std::io::{Read, Seek, SeekFrom};

use safetensors::tensor::{Metadata, TensorInfo};

use crate::bundle::decode;
use crate::error::{Error, ErrorKind, Result};

/// Longest header that the format allows.
const LONGEST_HEADER: u64 = 100_000_000;

/// One open file: its header in memory, its values not.
#[derive(Debug)]
pub(super) struct File<R> {
    pub(super) name: String,
    reader: R,
    start: u64,
    pub(super) header: Metadata,
}

impl<R: Read + Seek> File<R> {
    /// Reads the header and checks that the file is as long as it says.
    pub(super) fn open(name: String, mut reader: R) -> Result<Self> {
        let unreadable = |error| {
            Error::with_source(ErrorKind::InvalidWeights, format!("`{name}` can't be read as safetensors"), error)
        };
        let length = reader.seek(SeekFrom::End(0)).map_err(unreadable)?;
        reader.rewind().map_err(unreadable)?;
        let mut head = [0; 8];
        if length < 8 {
            return Err(invalid(format!("`{name}` has {length} bytes: it is empty or was cut off; fetch it again")));
        }
        reader.read_exact(&mut head).map_err(unreadable)?;
        if let Some(foreign) = foreign(&name, &head, &mut reader, length) {
            return Err(foreign);
        }
        let size = u64::from_le_bytes(head);
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
        Ok(Self { name, reader, start: 8 + size, header })
    }

    /// A group of equally many rows of a tensor, of `groups` such, or all of it with `groups` 1.
    pub(super) fn read(&mut self, name: &str, info: &TensorInfo, group: usize, groups: usize) -> Result<Vec<f32>> {
        let (start, end) = info.data_offsets;
        let length = (end - start) / groups;
        let mut bytes = vec![0; length];
        let lost = |error| {
            Error::with_source(ErrorKind::InvalidWeights, format!("`{name}` in `{}` can't be read", self.name), error)
        };
        self.reader.seek(SeekFrom::Start(self.start + (start + group * length) as u64)).map_err(lost)?;
        self.reader.read_exact(&mut bytes).map_err(lost)?;
        decode(&self.name, name, info.dtype, &bytes)
    }
}

/// Says what a file is that other tools save checkpoints in, and how to turn it into safetensors.
fn foreign<R: Read + Seek>(name: &str, head: &[u8; 8], reader: &mut R, length: u64) -> Option<Error> {
    let convert = |load: &str| {
        format!(
            "python -c \"import torch; from safetensors.torch import save_file; w = {load}; \
             save_file({{k: v.clone().contiguous() for k, v in w.items() if hasattr(v, 'shape')}}, \
             'model.safetensors')\""
        )
    };
    let pickle = format!("torch.load('{name}', map_location='cpu', weights_only=True); w = w.get('state_dict', w)");
    let (what, load) = if head.starts_with(b"PK\x03\x04") {
        // The list of an archive's files lies at its end; only a scripted model carries its code.
        let tail = length.min(1 << 20);
        let mut bytes = Vec::new();
        let read = reader.seek(SeekFrom::End(-(tail as i64))).and_then(|_| reader.read_to_end(&mut bytes));
        let scripted = read.is_ok() && bytes.windows(6).any(|six| six == b"/code/");
        if scripted {
            ("a TorchScript archive", format!("torch.jit.load('{name}', map_location='cpu').state_dict()"))
        } else {
            ("a PyTorch archive", pickle)
        }
    } else if head.starts_with(b"\x80\x02") {
        ("a PyTorch pickle", pickle)
    } else if head.starts_with(b"version ") {
        return Some(invalid(format!(
            "`{name}` is a pointer that Git LFS left in the file's place; fetch the file itself with `git lfs pull`"
        )));
    } else {
        return None;
    };
    Some(invalid(format!("`{name}` is {what}, not safetensors; convert it: {}", convert(&load))))
}

fn invalid(why: String) -> Error {
    Error::new(ErrorKind::InvalidWeights, why)
}
