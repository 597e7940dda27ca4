//! `cargo pkg import`: a CLIP checkpoint -> a backbone folder, tensor by tensor, read back before it says imported.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use cliper::bundle::{BACKBONE as SPACE, Precision, TensorWriter};
use cliper::checkpoint::Checkpoint;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::checkpoints::{
    self, BACKBONE, Backbone, BackboneFile, CheckpointActivation, hexadecimal, identity, weight_files,
};
use crate::files;
use crate::pack::{shard_name, shards};

#[derive(Args)]
pub struct Options {
    /// A safetensors file, an index of shards, or a folder with either
    checkpoint: PathBuf,
    /// Of the MLPs, where no file beside the checkpoint says it
    #[arg(long)]
    activation: Option<CheckpointActivation>,
    /// The checkpoint's config.json or open_clip_config.json, where it does not lie beside it
    #[arg(long)]
    config: Option<PathBuf>,
    /// The model's name; the checkpoint's file or folder name by default
    #[arg(long)]
    name: Option<String>,
    /// Terms of the weights
    #[arg(long, default_value = "not stated by the importer; see the source of the checkpoint")]
    licence: String,
    /// Folder of the backbone
    #[arg(long)]
    output: PathBuf,
}

pub fn run(options: &Options) -> Result<()> {
    let mut checkpoint = checkpoints::open(&options.checkpoint, options.activation, options.config.as_deref())?;
    let name = match &options.name {
        Some(name) => name.clone(),
        None => options.checkpoint.file_stem().map_or("clip".into(), |name| name.to_string_lossy().into_owned()),
    };
    let space = identity(&mut checkpoint)?;
    let mut backbone = Backbone::new(name, space, &checkpoint, options.licence.clone());
    let sources: Vec<String> = match options.checkpoint.join(BACKBONE).is_file() {
        true => vec![BACKBONE.into()],
        false => weight_files(&options.checkpoint)?
            .iter()
            .filter_map(|file| Some(file.file_name()?.to_string_lossy().into_owned()))
            .collect(),
    };
    backbone.provenance = json!({ "checkpoint": sources, "layout": format!("{:?}", checkpoint.layout()) });
    let rounding = files::write_folder(&options.output, BACKBONE, |folder| {
        backbone.files = write(folder, &mut checkpoint, &backbone.backbone)?;
        files::write(&folder.join(BACKBONE), (serde_json::to_string_pretty(&backbone)? + "\n").as_bytes())?;
        let mut written = checkpoints::open(folder, None, None).context("the backbone just written can't be read")?;
        compare(&mut checkpoint, &mut written)
    })?;
    let encoder = checkpoint.encoder();
    eprintln!(
        "imported {}: {} ({:?}), image encoder of {} parameters ({} pixels, patch {}, {} wide, {} blocks, {:?}), {}; \
         {} bytes of f16, largest rounding {rounding:.1e} of a tensor's largest value; backbone {}",
        options.output.display(),
        backbone.name,
        checkpoint.layout(),
        encoder.parameters(),
        encoder.side,
        encoder.patch,
        encoder.width,
        encoder.layers,
        encoder.activation,
        match checkpoint.text() {
            Some(text) => format!("text tower {} wide, {} blocks", text.width, text.layers),
            None => "no text tower: it can't describe".into(),
        },
        backbone.files.iter().map(|file| file.bytes).sum::<u64>(),
        backbone.backbone
    );
    Ok(())
}

/// Writes the encoder's shards, in the order of the forward pass, and the text tower; one tensor in memory at a time.
fn write(folder: &Path, checkpoint: &mut Checkpoint<File>, space: &str) -> Result<Vec<BackboneFile>> {
    let shards = shards(checkpoint.encoder());
    let count = shards.len();
    let mut parts: Vec<_> =
        shards.into_iter().enumerate().map(|(index, shard)| (shard_name(index, count), shard)).collect();
    parts.extend(checkpoint.text().map(|text| ("text.safetensors".to_string(), text.tensors())));

    let metadata: BTreeMap<String, String> = [(SPACE.to_string(), space.to_string())].into();
    let mut entries = Vec::new();
    for (path, tensors) in parts {
        let place = folder.join(&path);
        let file = File::create(&place).with_context(|| format!("{} can't be written", place.display()))?;
        let output = Measured { file: BufWriter::new(file), bytes: 0, hash: Sha256::new() };
        let mut writer = TensorWriter::new(output, tensors.clone(), &metadata, Precision::F16)?;
        for (name, _) in tensors {
            writer.push(&checkpoint.read(&name)?)?;
        }
        let Measured { bytes, hash, .. } = writer.finish()?;
        entries.push(BackboneFile { path, bytes, sha256: hexadecimal(hash) });
    }
    Ok(entries)
}

/// Largest difference between the checkpoint's tensors and the written ones, over the tensor's largest value.
fn compare(checkpoint: &mut Checkpoint<File>, written: &mut Checkpoint<File>) -> Result<f32> {
    ensure!(
        checkpoint.encoder() == written.encoder() && checkpoint.text() == written.text(),
        "the backbone just written has other sizes than the checkpoint"
    );
    let mut worst = 0.0f32;
    for (name, _) in checkpoints::tensors(checkpoint) {
        let (wanted, found) = (checkpoint.read(&name)?, written.read(&name)?);
        let largest = wanted.data.iter().fold(f32::MIN_POSITIVE, |most, value| most.max(value.abs()));
        let difference = wanted.data.iter().zip(&found.data).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        let rounding = difference / largest;
        // Half a unit in f16's last place is 2^-11 of a value; below its normal range only tensors that hold
        // nothing else lose more.
        ensure!(
            rounding <= 4.9e-4 || difference <= 3e-8,
            "`{name}` differs by {difference:e} from the checkpoint after being written"
        );
        worst = worst.max(rounding);
    }
    Ok(worst)
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
