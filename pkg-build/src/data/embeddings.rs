//! Clips -> the embeddings of their sampled frames: the encoder runs once a frame, on all cores, damaged ones are named.

use std::path::PathBuf;

use anyhow::{Context, Result};
use cliper::bundle::Bundle;
use cliper::engine::cpu::CpuEncoder;
use cliper::preprocess::{Picture, preprocess};
use cliper::session::film::sample;
use indicatif::{ProgressBar, ProgressStyle};

use crate::data::Labelled;
use crate::media::pictures::read_picture;

/// The embeddings of clips, and which of them could not be read.
#[derive(Debug, Default)]
pub struct Embedded {
    /// `[frames * embedding]` of each clip, none where one of its frames is damaged.
    pub clips: Vec<Option<Vec<f32>>>,
    /// What was wrong with the others.
    pub damaged: Vec<String>,
}

/// Encodes `frames` frames of each clip, chosen as [`sample`] does.
pub fn embed(bundle: &Bundle, clips: &[Labelled], frames: usize) -> Result<Embedded> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} clips, {per_sec}, {eta} to go")?;
    let bar = ProgressBar::new(clips.len() as u64).with_style(style);
    let parts = std::thread::scope(|scope| {
        let threads: Vec<_> = clips
            .chunks(clips.len().div_ceil(cores).max(1))
            .map(|part| {
                let bar = &bar;
                scope.spawn(move || -> Result<Vec<Result<Vec<f32>>>> {
                    let mut encoder = CpuEncoder::load(&mut bundle.weights.clone(), &bundle.manifest.encoder)?;
                    let mut all = Vec::with_capacity(part.len());
                    for clip in part {
                        all.push(encode(&mut encoder, bundle, &clip.frames, frames));
                        bar.inc(1);
                    }
                    Ok(all)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
    });
    bar.finish_and_clear();
    let mut embedded = Embedded::default();
    for part in parts {
        for clip in part.map_err(|_| anyhow::anyhow!("an encoding thread panicked; its message stands above"))?? {
            if let Err(error) = &clip {
                embedded.damaged.push(format!("{error:#}"));
            }
            embedded.clips.push(clip.ok());
        }
    }
    Ok(embedded)
}

fn encode(encoder: &mut CpuEncoder, bundle: &Bundle, files: &[PathBuf], frames: usize) -> Result<Vec<f32>> {
    let mut embeddings: Vec<f32> = Vec::new();
    let width = bundle.manifest.encoder.embedding;
    let mut before = None;
    for index in sample(files.len(), frames) {
        // A short clip's last frame fills it up: it is encoded once.
        if before == Some(index) {
            embeddings.extend_from_within(embeddings.len() - width..);
            continue;
        }
        before = Some(index);
        let (rgba, width, height) = read_picture(&files[index])?;
        let picture =
            Picture::new(&rgba, width, height).with_context(|| format!("{} can't be used", files[index].display()))?;
        embeddings.extend(encoder.encode(&preprocess(picture, &bundle.manifest.encoder, &bundle.manifest.preprocess)));
    }
    Ok(embeddings)
}
