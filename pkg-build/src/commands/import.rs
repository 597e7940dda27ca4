//! `cargo pkg import`: a CLIP checkpoint -> a backbone folder, tensor by tensor, read back before it says imported.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use cliper::import::Checkpoint;
use cliper::tensors::Precision;
use serde_json::json;

use crate::files;
use crate::packaging::checkpoints::{
    self, BACKBONE, Backbone, BackboneFile, CheckpointActivation, identity, weight_files,
};
use crate::packaging::shards::{shard_name, shards, write_tensors};

#[derive(Args)]
pub struct Options {
    /// A safetensors file, an index of shards, a state dict of torch.save (.bin, .pt, .pth), or a folder with one of them
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
    let space = identity(&mut checkpoint)?.space;
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
    let shards = shards(checkpoint.encoder(), Precision::F16);
    let count = shards.len();
    let mut parts: Vec<_> =
        shards.into_iter().enumerate().map(|(index, shard)| (shard_name(index, count), shard)).collect();
    parts.extend(checkpoint.text().map(|text| ("text.safetensors".to_string(), text.tensors())));
    parts
        .into_iter()
        .map(|(path, tensors)| {
            let (bytes, sha256) =
                write_tensors(&folder.join(&path), tensors, space, Precision::F16.into(), checkpoint)?;
            Ok(BackboneFile { path, bytes, sha256 })
        })
        .collect()
}

/// Largest difference between the checkpoint's tensors and the written ones, over the tensor's largest value.
fn compare(checkpoint: &mut Checkpoint<File>, written: &mut Checkpoint<File>) -> Result<f32> {
    ensure!(
        checkpoint.encoder() == written.encoder()
            && checkpoint.text() == written.text()
            && checkpoint.preprocess() == written.preprocess(),
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
