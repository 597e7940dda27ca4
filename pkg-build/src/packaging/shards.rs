//! The encoder's tensors in files of at most 16 MB, written one tensor at a time, so that loading can show progress, go on
//! where it stopped, and never needs the whole model twice.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use cliper::config::EncoderConfig;
use cliper::import::Checkpoint;
use cliper::tensors::{BACKBONE, Precision, Storage, TensorWriter, Values, Weights};
use sha2::{Digest, Sha256};

use crate::packaging::checkpoints::hexadecimal;

/// Largest file, and what its header may take of it.
const SHARD: usize = 16_000_000;
const HEADER: usize = 100_000;

/// Where tensors come from, one at a time and as often as asked.
pub trait Tensors {
    /// The tensor of one of our names.
    fn tensor(&mut self, name: &str) -> Result<Values>;
}

impl Tensors for Weights {
    fn tensor(&mut self, name: &str) -> Result<Values> {
        self.get(name).with_context(|| format!("`{name}` is missing; it was expected in the run's weights"))
    }
}

impl Tensors for Checkpoint<File> {
    fn tensor(&mut self, name: &str) -> Result<Values> {
        Ok(self.read(name)?)
    }
}

/// Names and shapes of the encoder's tensors in shards, in the order of the forward pass. A tensor that is larger than a
/// shard may be has one of its own.
pub fn shards(encoder: &EncoderConfig, precision: Precision) -> Vec<Vec<(String, Vec<usize>)>> {
    let mut shards = vec![Vec::new()];
    let mut filled = HEADER;
    for (name, shape) in encoder.tensors() {
        let bytes = precision.bytes(&name, &shape);
        if filled > HEADER && filled + bytes > SHARD {
            shards.push(Vec::new());
            filled = HEADER;
        }
        filled += bytes;
        if let Some(shard) = shards.last_mut() {
            shard.push((name, shape));
        }
    }
    shards
}

/// The file name of a shard, counted from 0.
pub fn shard_name(index: usize, count: usize) -> String {
    format!("encoder-{:05}-of-{count:05}.safetensors", index + 1)
}

/// Writes a file of tensors tied to a joint space; gives its bytes and SHA-256.
pub fn write_tensors(
    place: &Path,
    tensors: Vec<(String, Vec<usize>)>,
    space: &str,
    storage: Storage,
    source: &mut dyn Tensors,
) -> Result<(u64, String)> {
    let metadata: BTreeMap<String, String> = [(BACKBONE.to_string(), space.to_string())].into();
    let file = File::create(place).with_context(|| format!("{} can't be written", place.display()))?;
    let output = Measured { file: BufWriter::new(file), bytes: 0, hash: Sha256::new() };
    let mut writer = TensorWriter::new(output, tensors.clone(), &metadata, storage)?;
    for (name, _) in tensors {
        writer.push(&source.tensor(&name)?)?;
    }
    let Measured { bytes, hash, .. } = writer.finish()?;
    Ok((bytes, hexadecimal(hash)))
}

/// A file that counts and hashes what goes into it.
struct Measured {
    file: BufWriter<File>,
    bytes: u64,
    hash: Sha256,
}

impl Write for Measured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
