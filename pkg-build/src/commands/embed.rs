//! `cargo pkg embed`: pictures and texts -> their vectors in the joint space, as projected, before any norm.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use burn::tensor::{Tensor, TensorData};
use clap::Args;
use cliper::config::PreprocessConfig;
use cliper::engine::burn::{ImageEncoder, NativeCpu};
use cliper::preprocess::{Picture, preprocess};
use serde::Serialize;

use crate::bundles::read_bundle;
use crate::files::Failed;
use crate::media::pictures::read_picture;
use crate::packaging::checkpoints::{self, CheckpointActivation};

#[derive(Args)]
pub struct Options {
    /// Pictures
    images: Vec<PathBuf>,
    /// Folder of a bundle (pictures only: it holds no text tower)
    #[arg(long, conflicts_with = "checkpoint", required_unless_present = "checkpoint")]
    bundle: Option<PathBuf>,
    /// A CLIP checkpoint (file, index or folder), or a folder that `cargo pkg import` wrote
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// Of the MLPs, where no file beside the checkpoint says it
    #[arg(long)]
    activation: Option<CheckpointActivation>,
    /// The checkpoint's config.json or open_clip_config.json, where it does not lie beside it
    #[arg(long)]
    config: Option<PathBuf>,
    /// A text; may be given several times
    #[arg(long = "text")]
    texts: Vec<String>,
    /// Print JSON: { images: [{ path, embedding }], texts: [{ text, embedding }] }
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Embedded {
    images: Vec<EmbeddedImage>,
    texts: Vec<EmbeddedText>,
}

#[derive(Serialize)]
struct EmbeddedImage {
    path: String,
    embedding: Vec<f32>,
}

#[derive(Serialize)]
struct EmbeddedText {
    text: String,
    embedding: Vec<f32>,
}

pub fn run(options: &Options) -> Result<()> {
    ensure!(!(options.images.is_empty() && options.texts.is_empty()), "name a picture or give a --text");
    let mut embedded = Embedded { images: Vec::new(), texts: Vec::new() };
    let mut failed = Failed::default();
    if let Some(folder) = &options.bundle {
        ensure!(
            options.texts.is_empty(),
            "a bundle holds no text tower; texts need the checkpoint that it came from: --checkpoint"
        );
        let mut bundle = read_bundle(folder)?;
        let encoder = ImageEncoder::load(&mut bundle.weights, &bundle.manifest.encoder, &Default::default())?;
        embedded.images = embed_images(&options.images, &encoder, &bundle.manifest.preprocess, &mut failed)?;
    } else if let Some(path) = &options.checkpoint {
        let mut checkpoint = checkpoints::open(path, options.activation, options.config.as_deref())?;
        if !options.images.is_empty() {
            let preprocess = checkpoint.preprocess().clone();
            let encoder = checkpoints::image_encoder(&mut checkpoint)?;
            embedded.images = embed_images(&options.images, &encoder, &preprocess, &mut failed)?;
        }
        if !options.texts.is_empty() {
            let tower = checkpoints::texts::<NativeCpu>(&mut checkpoint)?;
            let texts: Vec<&str> = options.texts.iter().map(String::as_str).collect();
            let embeddings = tower.encode(&texts)?;
            let width = embeddings.len() / texts.len();
            embedded.texts = embeddings
                .chunks_exact(width)
                .zip(texts)
                .map(|(embedding, text)| EmbeddedText { text: text.into(), embedding: embedding.to_vec() })
                .collect();
        }
    } else {
        bail!("name a --bundle or a --checkpoint");
    }
    if options.json {
        println!("{}", serde_json::to_string(&embedded)?);
        return failed.check();
    }
    for EmbeddedImage { path, embedding } in &embedded.images {
        println!("{path}: {}", summary(embedding));
    }
    for EmbeddedText { text, embedding } in &embedded.texts {
        println!("\"{text}\": {}", summary(embedding));
    }
    failed.check()
}

fn embed_images(
    paths: &[PathBuf],
    encoder: &ImageEncoder<NativeCpu>,
    config: &PreprocessConfig,
    failed: &mut Failed,
) -> Result<Vec<EmbeddedImage>> {
    let sizes = encoder.config();
    let shape = [1, sizes.channels, sizes.side, sizes.side];
    let read = |path: &PathBuf| {
        let (rgba, width, height) = read_picture(path)?;
        Ok(preprocess(Picture::new(&rgba, width, height)?, sizes, config))
    };
    paths
        .iter()
        .filter_map(|path| Some((path, failed.take(path, read(path))?)))
        .map(|(path, pixels)| {
            let pixels = Tensor::from_data(TensorData::new(pixels, shape), &Default::default());
            let data = encoder.forward(pixels).into_data().convert::<f32>();
            let embedding =
                data.to_vec().map_err(|error| anyhow::anyhow!("the embedding can't be read back ({error:?})"))?;
            Ok(EmbeddedImage { path: path.display().to_string(), embedding })
        })
        .collect()
}

/// The first values and the length, for people.
fn summary(embedding: &[f32]) -> String {
    let length = embedding.iter().map(|value| value * value).sum::<f32>().sqrt();
    let first: Vec<String> = embedding.iter().take(6).map(|value| format!("{value:+.4}")).collect();
    format!("{} ... ({} values, length {length:.4}; all with --json)", first.join(" "), embedding.len())
}
