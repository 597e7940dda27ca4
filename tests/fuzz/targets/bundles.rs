//! Files that a page or an importer reads: manifests, tensors, bundles, detectors, checkpoints.

use std::io::Cursor;

use cliper::bundle::{BundleReader, GOLDEN_SIDE, Manifest, golden_picture};
use cliper::config::{Activation, EncoderConfig};
use cliper::engine::Engine;
use cliper::engine::cpu::CpuEngine;
use cliper::face::{DetectorManifest, FaceDetector};
use cliper::import::{Checkpoint, CheckpointHints, read_temporal, temporal_head};
use cliper::preprocess::{Picture, preprocess};
use cliper::session::Session;
use cliper::tensors::{Precision, Weights, sha256};
use cliper::{Error, WindowState};
use serde_json::{Value, json};

use super::input::{Input, check, now};

/// What a pass may cost in a target: larger models are read and not run.
const MOST_SIDE: usize = 64;
const MOST_WORK: usize = 1 << 22;

/// Says what must hold of every error, too.
fn told<T>(outcome: Result<T, Error>) -> Option<T> {
    if let Err(error) = &outcome {
        assert!(!error.to_string().is_empty() && !error.code().is_empty());
    }
    outcome.ok()
}

pub fn manifest(data: &[u8]) -> bool {
    let Some(manifest) = told(Manifest::parse(&String::from_utf8_lossy(data))) else { return false };
    let again = Manifest::parse(&manifest.to_json()).expect("what was read is written so that it is read again");
    assert_eq!(again, manifest);
    for labels in &manifest.labels {
        let mut other = manifest.clone();
        if told(other.answer_in(&labels.name)).is_some() {
            other.validate().expect("labels that were checked are a model's");
        }
    }
    assert!(manifest.needed_files().all(|file| !file.path.contains(['/', '\\'])));
    true
}

pub fn weights(data: &[u8]) -> bool {
    let mut floats = Weights::default();
    let _ = told(floats.read_floats("a", data));
    let mut weights = Weights::default();
    if told(weights.read("a", data)).is_none() {
        return false;
    }
    let names: Vec<String> = weights.names().map(String::from).collect();
    let count: usize = names.iter().filter_map(|name| weights.get(name)).map(|values| values.data.len()).sum();
    assert!(count <= data.len(), "{count} numbers of {} bytes", data.len());
    for precision in [Precision::F32, Precision::F16, Precision::Int8] {
        if let Some(written) = told(weights.write(precision)) {
            Weights::default().read("b", &written).expect("what was written can be read");
        }
    }
    true
}

/// A manifest with its length before it, then the files in its order. What it says of their lengths is made true.
pub fn bundle(data: &[u8]) -> bool {
    let (text, files) = Input::split(data);
    let Ok(mut manifest @ Value::Object(_)) = serde_json::from_slice(text) else { return false };
    let (mut rest, mut given) = (Input(files), Vec::new());
    for file in manifest["files"].as_array_mut().into_iter().flatten() {
        let bytes = rest.take(file["bytes"].as_u64().unwrap_or(0) as usize);
        let path = file["path"].as_str().map(String::from);
        if let (Some(entry), Some(path)) = (file.as_object_mut(), path) {
            entry.insert("bytes".into(), json!(bytes.len()));
            given.push((path, bytes));
        }
    }
    let Some(mut reader) = told(BundleReader::new(&manifest.to_string())) else { return false };
    for (path, bytes) in given {
        let Some(file) = reader.missing().iter().find(|file| file.path == path) else { continue };
        let hash = file.sha256.clone();
        if told(reader.add_hashed(&path, bytes, &hash)).is_none() {
            return false;
        }
    }
    let Some(bundle) = told(reader.finish()) else { return false };
    let config = &bundle.manifest.encoder;
    let frames = bundle.manifest.temporal.as_ref().map_or(0, |temporal| temporal.frames * temporal.hidden);
    if config.side > MOST_SIDE || work(config) > MOST_WORK || frames > MOST_WORK {
        return true;
    }
    let (mut loaded, descriptors) = (bundle.clone(), bundle.descriptors.clone());
    let Some(mut engine) = told(CpuEngine::from_bundle(&mut loaded)) else { return false };
    let picture = golden_picture();
    let picture = Picture::new(&picture, GOLDEN_SIDE, GOLDEN_SIDE).expect("the golden picture is one");
    let pixels = preprocess(picture, config, &bundle.manifest.preprocess);
    let Some(frame) = told(now(engine.encode(pixels))) else { return false };
    if let Some(similarities) = told(now(engine.similarities(&[&frame, &frame])))
        && similarities.iter().all(|value| value.is_finite())
    {
        let temperature = bundle.manifest.calibration.temperature;
        check(&descriptors.predict(&similarities, temperature, None, WindowState { filled: 2, length: 2 }));
    }
    // Whose answer is not the golden one is refused.
    if let Some(mut session) = told(now(Session::open(engine, bundle))) {
        check(&now(session.recognize(picture)).expect("a model that passed its self-test answers"));
    }
    true
}

/// Values of all maps and tokens of a pass.
fn work(config: &EncoderConfig) -> usize {
    let maps = config.stem_sides().into_iter().zip(&config.stem).map(|(side, stage)| side * side * stage.channels);
    let tokens = config.tokens();
    maps.sum::<usize>() + config.layers * tokens * (4 * config.width + config.heads * tokens)
}

/// A detector's description with its length before it, then its weights. What it says of them is made true.
pub fn detector(data: &[u8]) -> bool {
    let (text, weights) = Input::split(data);
    let Ok(mut manifest @ Value::Object(_)) = serde_json::from_slice(text) else { return false };
    if let Some(file) = manifest["weights"].as_object_mut() {
        file.insert("bytes".into(), json!(weights.len()));
        file.insert("sha256".into(), json!(sha256(weights)));
    }
    let text = manifest.to_string();
    let Some(mut detector) = told(FaceDetector::read(&text, weights)) else { return false };
    let config = DetectorManifest::parse(&text).expect("it was read").detector;
    if config.side > MOST_SIDE || config.blocks.iter().any(|block| block.channels > 64) {
        return true;
    }
    let rgba: Vec<u8> = (0..4 * 24 * 20).map(|index| (index * 37 % 251) as u8).collect();
    let picture = Picture::new(&rgba, 24, 20).expect("a picture");
    for face in detector.detect(picture) {
        assert!((0.0..=1.0).contains(&face.score), "{face:?}");
        detector.refine(picture, &face);
    }
    true
}

pub fn checkpoint(data: &[u8]) -> bool {
    let mut hints = CheckpointHints::with_activation(Activation::QuickGelu);
    // Towers may then be narrower than a head of CLIP's.
    let heads = br#"{"vision_config":{"num_attention_heads":1},"text_config":{"num_attention_heads":1}}"#;
    hints.add_json("config.json", heads).expect("heads alone are a configuration");
    let file = || vec![("model".to_string(), Cursor::new(data))];
    let _ = told(Checkpoint::recognise(file()));
    let mut taken = false;
    if let Some(mut checkpoint) = told(Checkpoint::open(file(), &hints)) {
        taken |= told(checkpoint.read_encoder()).is_some();
        let _ = told(checkpoint.read_text());
    }
    if let Some(weights) = told(read_temporal("model", Cursor::new(data))) {
        let _ = told(temporal_head(&weights, None));
        taken = true;
    }
    taken
}

/// JSON beside a checkpoint, which is another one by the first byte.
pub fn configuration(data: &[u8]) -> bool {
    let (first, json) = data.split_first().unwrap_or((&0, &[]));
    let files: [(&str, &[u8]); 2] = [
        ("model.safetensors", include_bytes!("../../fixtures/clip_archive/hugging_face.safetensors")),
        ("model.safetensors", include_bytes!("../../fixtures/clip_archive/open_clip.safetensors")),
    ];
    let (name, file) = files[usize::from(first % 2)];
    let mut hints = CheckpointHints::default();
    let named =
        if first & 2 == 0 { hints.add_json("config.json", json) } else { hints.prefer_json("config.json", json) };
    if told(named).is_none() {
        return false;
    }
    let opened = Checkpoint::open(vec![(name.to_string(), Cursor::new(file))], &hints);
    let Some(checkpoint) = told(opened) else { return false };
    let rgba = [90; 4 * 7 * 5];
    let picture = Picture::new(&rgba, 7, 5).expect("a picture");
    let pixels = preprocess(picture, checkpoint.encoder(), checkpoint.preprocess());
    assert_eq!(pixels.len(), checkpoint.encoder().channels * checkpoint.encoder().side.pow(2));
    true
}
