//! Files that somebody damaged or made: an error or a model, never a panic, and never more memory than the file explains.

use std::io::Cursor;

use cliper::bundle::{BundleReader, Manifest};
use cliper::face::FaceDetector;
use cliper::import::{Checkpoint, CheckpointHints, read_temporal};
use cliper::model::teaching::TaughtExpression;
use cliper::tensors::Weights;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{faces, fixture};

/// One change to a file's bytes; places are shares of its length, so that they suit any file.
#[derive(Debug, Clone)]
enum Edit {
    Set(f64, u8),
    /// A number of eight bytes, as offsets and lengths are written.
    Number(f64, u64),
    Insert(f64, Vec<u8>),
    Remove(f64, usize),
    Cut(f64),
    /// Part of the file again, somewhere else.
    Copy(f64, f64, usize),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    // Headers are where readers decide: half of the places lie in the first hundredth of the file.
    let place = || prop_oneof![0.0..1.0f64, 0.0..0.01f64];
    let number = prop_oneof![any::<u64>(), 0..4096u64, Just(u64::MAX), Just(1 << 40), Just(u64::from(u32::MAX))];
    let edit = prop_oneof![
        4 => (place(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        2 => (place(), number).prop_map(|(at, number)| Edit::Number(at, number)),
        2 => (place(), vec(any::<u8>(), 1..12)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        1 => (place(), 1..64usize).prop_map(|(at, count)| Edit::Remove(at, count)),
        1 => place().prop_map(Edit::Cut),
        1 => (place(), place(), 1..64usize).prop_map(|(from, to, count)| Edit::Copy(from, to, count)),
    ];
    vec(edit, 1..6)
}

fn damaged(file: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for edit in edits {
        let place = |at: &f64| ((at * bytes.len() as f64) as usize).min(bytes.len().saturating_sub(1));
        match edit {
            _ if bytes.is_empty() => {}
            Edit::Set(at, byte) => {
                let at = place(at);
                bytes[at] = *byte;
            }
            Edit::Number(at, number) => {
                let at = place(at);
                let end = (at + 8).min(bytes.len());
                bytes[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
            }
            Edit::Insert(at, more) => {
                let at = place(at);
                bytes.splice(at..at, more.iter().copied());
            }
            Edit::Remove(at, count) => {
                let at = place(at);
                let end = (at + count).min(bytes.len());
                bytes.drain(at..end);
            }
            Edit::Cut(at) => {
                let at = place(at);
                bytes.truncate(at);
            }
            Edit::Copy(from, to, count) => {
                let (from, to) = (place(from), place(to));
                let part = bytes[from..(from + count).min(bytes.len())].to_vec();
                bytes.splice(to..to, part);
            }
        }
    }
    bytes
}

fn read(path: &str) -> Vec<u8> {
    let (name, file) = path.split_once('/').unwrap();
    fixture(name, file)
}

/// Every file of the fixtures that somebody could hand over, read as the importer reads it.
fn checkpoints() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let files = [
        "clip_archive/pytorch_model.bin",
        "clip_archive/old.bin",
        "clip_archive/list.pt",
        "clip_archive/scripted.pt",
        "clip_archive/whole.pt",
        "clip_archive/hugging_face.safetensors",
        "clip_wrapped/nested.pt",
    ];
    proptest::sample::select(files.to_vec()).prop_map(|name| (name, read(name)))
}

fn hints() -> CheckpointHints {
    CheckpointHints::with_activation(cliper::config::Activation::QuickGelu)
}

proptest! {
    #[test]
    fn a_manifest(edits in edits()) {
        let text = String::from_utf8_lossy(&damaged(&read("temporal_bundle/model.json"), &edits)).into_owned();
        if let Ok(manifest) = Manifest::parse(&text) {
            prop_assert!(Manifest::parse(&manifest.to_json()).is_ok());
        }
    }

    #[test]
    fn a_file_of_tensors(edits in edits(), name in proptest::sample::select(vec!["temporal_bundle/descriptors.safetensors", "temporal_bundle/temporal.safetensors", "evidence/encoder-int8.safetensors"])) {
        let bytes = damaged(&read(name), &edits);
        let mut weights = Weights::default();
        if weights.read(name, &bytes).is_ok() {
            // No more numbers than the file has bytes.
            let names: Vec<String> = weights.names().map(String::from).collect();
            let values: usize = names.iter().filter_map(|name| weights.get(name)).map(|values| values.data.len()).sum();
            prop_assert!(values <= bytes.len());
        }
    }

    #[test]
    fn a_bundle_s_file(edits in edits(), index in 0usize..4) {
        let manifest = String::from_utf8(read("temporal_bundle/model.json")).unwrap();
        let mut reader = BundleReader::new(&manifest).unwrap();
        let file = reader.missing()[index % reader.missing().len()].path.clone();
        let whole = read(&format!("temporal_bundle/{file}"));
        let bytes = damaged(&whole, &edits);
        // Nothing but the packed bytes is taken, and after a refusal the right ones are.
        prop_assert_eq!(reader.add(&file, &bytes).is_ok(), bytes == whole);
        if bytes != whole {
            reader.add(&file, &whole).unwrap();
        }
    }

    #[test]
    fn a_checkpoint((name, file) in checkpoints(), edits in edits()) {
        let bytes = damaged(&file, &edits);
        if let Ok(mut checkpoint) = Checkpoint::open(vec![(name.to_string(), Cursor::new(bytes))], &hints()) {
            let _ = checkpoint.read_encoder();
            let _ = checkpoint.read_text();
        }
    }

    #[test]
    fn a_temporal_head(edits in edits()) {
        let _ = read_temporal("model.pth", Cursor::new(damaged(&read("temporal/model.pth"), &edits)));
    }

    #[test]
    fn a_configuration(edits in edits(), name in proptest::sample::select(vec!["clip_hugging_face/config.json", "clip_open_clip/open_clip_config.json", "clip_archive/config.json"])) {
        let mut hints = hints();
        let file = name.rsplit('/').next().unwrap();
        let _ = hints.add_json(file, &damaged(&read(name), &edits));
    }

    #[test]
    fn a_detector(edits in edits(), damages_weights in any::<bool>()) {
        let (manifest, weights) = (faces::manifest(), faces::model("detector.safetensors"));
        let (manifest, weights) = match damages_weights {
            true => (manifest, damaged(&weights, &edits)),
            false => (String::from_utf8_lossy(&damaged(manifest.as_bytes(), &edits)).into_owned(), weights),
        };
        let _ = FaceDetector::read(&manifest, &weights);
    }

    #[test]
    fn a_taught_expression(edits in edits()) {
        let file = br#"{"format":"cliper-expression","version":1,"name":"wink","backbone":"space","frames":5,"neutral":5,"recognized":1.0,"taken":0.0,"descriptors":[{"text":"as shown","embedding":[0.6,0.8],"slope":1.5,"offset":-0.2,"mean":0.1,"deviation":0.2}]}"#;
        if let Ok(taught) = serde_json::from_slice::<TaughtExpression>(&damaged(file, &edits))
            && taught.check("space", 2).is_ok()
        {
            prop_assert!(taught.descriptors.iter().all(|it| it.deviation > 0.0 && it.embedding.len() == 2));
        }
    }
}
