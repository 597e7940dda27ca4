//! A bundle with a temporal head: its checks, its session, its clips. The fixture is read by the browser tests too.

use crate::support::fades::{FRAMES, Portrait};
use crate::support::{block_on, fixture, weights};
use cliper::bundle::{
    Aggregation, Bundle, BundleReader, Calibration, FORMAT, FileEntry, GOLDEN_SIDE, Manifest, Role, VERSION,
    golden_picture,
};
use cliper::config::{EncoderConfig, PreprocessConfig, TemporalConfig};
use cliper::engine::Engine;
use cliper::engine::burn::{Cliper, NativeCpu, TrainingCpu};
use cliper::engine::cpu::{CpuEncoder, CpuEngine};
use cliper::model::descriptors::{Descriptors, Expression};
use cliper::preprocess::{Picture, preprocess};
use cliper::session::{Session, Stream};
use cliper::tensors::{BACKBONE, Precision, Values, Weights, sha256};
use cliper::train::{ClipSample, TemporalTrainConfig, TemporalTrainer};
use cliper::{ErrorKind, Prediction};

const NAME: &str = "temporal_bundle";
const SPACE: &str = "made for a test";
const WIDTH: usize = 24;

fn manifest() -> Manifest {
    Manifest::parse(&String::from_utf8(fixture(NAME, "model.json")).unwrap()).unwrap()
}

fn read_with(manifest: &Manifest, change: impl Fn(&FileEntry, Vec<u8>) -> Option<Vec<u8>>) -> cliper::Result<Bundle> {
    let mut manifest = manifest.clone();
    let mut files = Vec::new();
    for file in &mut manifest.files {
        if let Some(bytes) = change(file, fixture(NAME, &file.path)) {
            (file.bytes, file.sha256) = (bytes.len() as u64, sha256(&bytes));
            files.push((file.path.clone(), bytes));
        }
    }
    let mut reader = BundleReader::new(&manifest.to_json())?;
    files.iter().try_for_each(|(path, bytes)| reader.add(path, bytes))?;
    reader.finish()
}

fn bundle() -> Bundle {
    read_with(&manifest(), |_, bytes| Some(bytes)).unwrap()
}

fn open() -> Session<CpuEngine> {
    let mut bundle = bundle();
    let engine = CpuEngine::from_bundle(&mut bundle).unwrap();
    block_on(Session::open(engine, bundle)).unwrap()
}

/// A fade's frames through a session's clip.
fn recognize<E: Engine>(session: &mut Session<E>, is_onset: bool) -> Prediction {
    let portrait = Portrait::read();
    let mut clip = session.start_clip(FRAMES).unwrap();
    for time in 0..FRAMES {
        let rgba = portrait.fade(if is_onset { time } else { FRAMES - 1 - time }, 128.0, 1.0);
        block_on(session.push_clip(&mut clip, portrait.picture(&rgba))).unwrap();
    }
    block_on(session.recognize_clip(&clip)).unwrap()
}

#[test]
fn a_clip_is_told_from_its_own_frames_backward_on_both_engines() {
    let mut cpu = open();
    let mut bundle = bundle();
    let engine = Cliper::<NativeCpu>::from_bundle(&mut bundle, &Default::default()).unwrap();
    let mut burn = block_on(Session::open(engine, bundle)).unwrap();
    for (is_onset, name) in [(true, "onset"), (false, "offset")] {
        let (one, other) = (recognize(&mut cpu, is_onset), recognize(&mut burn, is_onset));
        assert_eq!(one.top.name, name);
        assert_eq!((one.window.filled, one.window.length), (FRAMES, FRAMES));
        for (one, other) in one.expressions.iter().zip(&other.expressions) {
            assert!((one.score - other.score).abs() < 1e-3, "{} {}", one.score, other.score);
        }
    }
    // One pass a frame; a read-back for each frame's own answer and one for the clip.
    let counters = cpu.counters();
    assert_eq!((counters.passes, counters.read_bytes), (2 * FRAMES as u64, 2 * (FRAMES as u64 + 1) * 4 * 4));
}

#[test]
fn without_its_head_the_same_bundle_gives_both_one_answer() {
    let mut plain = manifest();
    plain.temporal = None;
    plain.files.retain(|file| file.role != Role::Temporal);
    let mut bundle = read_with(&plain, |_, bytes| Some(bytes)).unwrap();
    let engine = CpuEngine::from_bundle(&mut bundle).unwrap();
    let mut session = block_on(Session::open(engine, bundle)).unwrap();
    let (onset, offset) = (recognize(&mut session, true), recognize(&mut session, false));
    for (one, other) in onset.expressions.iter().zip(&offset.expressions) {
        assert!((one.score - other.score).abs() < 1e-3, "{} {}", one.score, other.score);
    }
}

#[test]
fn a_stream_sees_the_order_too_with_one_pass_a_frame() {
    let mut session = open();
    let portrait = Portrait::read();
    let mut stream = Stream::default();
    let mut push = |time: usize, at: f64| {
        let rgba = portrait.fade(time, 128.0, 1.0);
        block_on(session.push(&mut stream, portrait.picture(&rgba), at)).unwrap()
    };
    let mut last = None;
    // Out, then in: the window holds the newest eight.
    for at in 0..2 * FRAMES {
        last = Some(push(if at < FRAMES { FRAMES - 1 - at } else { at - FRAMES }, at as f64 * 125.0));
    }
    assert_eq!(last.unwrap().top.name, "onset");
    // A window of one is the picture as it is.
    let first = push(3, -1.0);
    assert_eq!(first.window.filled, 1);
    let rgba = portrait.fade(3, 128.0, 1.0);
    let alone = block_on(session.recognize(portrait.picture(&rgba))).unwrap();
    assert_eq!(first.expressions, alone.expressions);
    assert_eq!(session.counters().passes, 2 * FRAMES as u64 + 2);
}

#[test]
fn clips_and_windows_longer_than_the_head_are_refused() {
    let mut session = open();
    for length in [0, FRAMES + 1] {
        assert_eq!(session.start_clip(length).err().unwrap().kind(), ErrorKind::InvalidArgument);
        assert!(session.set_window(length).err().unwrap().to_string().contains("1 to 8"));
    }
    let empty = session.start_clip(2).unwrap();
    assert!(block_on(session.recognize_clip(&empty)).err().unwrap().to_string().contains("no frame"));
    let picture = vec![128; 40 * 40 * 4];
    let picture = Picture::new(&picture, 40, 40).unwrap();
    let mut full = session.start_clip(1).unwrap();
    block_on(session.push_clip(&mut full, picture)).unwrap();
    assert_eq!(block_on(session.push_clip(&mut full, picture)).err().unwrap().kind(), ErrorKind::InvalidArgument);
    // A clip with fewer frames than it was started for repeats its last one.
    let mut short = session.start_clip(4).unwrap();
    block_on(session.push_clip(&mut short, picture)).unwrap();
    let found = block_on(session.recognize_clip(&short)).unwrap();
    assert_eq!((found.window.filled, found.window.length), (1, 4));
}

#[test]
fn a_damaged_head_is_refused_by_kind() {
    let change = |change: &dyn Fn(&mut Manifest)| {
        let mut changed = manifest();
        change(&mut changed);
        read_with(&changed, |_, bytes| Some(bytes)).err().unwrap()
    };
    assert_eq!(change(&|manifest| manifest.window = 9).kind(), ErrorKind::InvalidBundle);
    assert_eq!(
        change(&|manifest| manifest.files.retain(|file| file.role != Role::Temporal)).kind(),
        ErrorKind::InvalidBundle
    );
    let frames = |frames| move |manifest: &mut Manifest| manifest.temporal.as_mut().unwrap().frames = frames;
    assert_eq!(change(&frames(0)).kind(), ErrorKind::InvalidConfig);
    let misshapen = change(&frames(9));
    assert_eq!(misshapen.kind(), ErrorKind::InvalidWeights);
    assert!(misshapen.to_string().contains("temporal.position_embedding.weight"), "{misshapen}");

    let with_tensor = |change: &dyn Fn(&mut Weights)| {
        read_with(&manifest(), |file, bytes| {
            if file.role != Role::Temporal {
                return Some(bytes);
            }
            let mut read = Weights::default();
            read.read(&file.path, &bytes).unwrap();
            change(&mut read);
            Some(read.write(Precision::F16).unwrap())
        })
        .and_then(|mut bundle| {
            let engine = CpuEngine::from_bundle(&mut bundle)?;
            block_on(Session::open(engine, bundle)).map(drop)
        })
        .err()
        .unwrap()
    };
    let extra = with_tensor(&|read| read.insert("more", Values { shape: vec![1], data: vec![0.0] }).unwrap());
    assert!(extra.kind() == ErrorKind::InvalidWeights && extra.to_string().contains("`more`"), "{extra}");
    let wrong = with_tensor(&|read| {
        let golden = read.take("golden.similarities", &[4]).unwrap();
        read.insert(
            "golden.similarities",
            Values { shape: vec![4], data: golden.iter().map(|value| -value).collect() },
        )
        .unwrap();
    });
    assert!(wrong.kind() == ErrorKind::DeviceWrong && wrong.to_string().contains("temporal head"), "{wrong}");
    let missing = read_with(&manifest(), |file, bytes| (file.role != Role::Temporal).then_some(bytes));
    assert_eq!(missing.err().unwrap().kind(), ErrorKind::MissingFile);
}

/// Writes the fixture: the stem fixture's encoder with a head trained on fades.
/// `cargo test --release --workspace --test temporal_bundle -- --ignored write`
#[test]
#[ignore = "writes tests/fixtures/temporal_bundle"]
fn write_the_fixture() {
    let encoder: EncoderConfig = serde_json::from_slice(&fixture("stem_vision", "config.json")).unwrap();
    let preprocessing = PreprocessConfig::ferplus();
    let expressions = ["onset", "offset"].map(|name| Expression {
        name: name.into(),
        descriptors: (0..2).map(|index| format!("text {index} of {name}")).collect(),
        ..Default::default()
    });
    let embeddings: Vec<f32> = (0..4 * WIDTH).map(|index| ((index * 13 % 29) as f32 - 14.0) / 10.0).collect();
    let descriptors = Descriptors::new(expressions.to_vec(), embeddings, WIDTH).unwrap();
    let tied = |mut weights: Weights| {
        weights.metadata = [(BACKBONE.to_string(), SPACE.to_string())].into();
        weights
    };
    let encoder_bytes = tied(weights("stem_vision")).write(Precision::F16).unwrap();
    let mut rounded = Weights::default();
    rounded.read("encoder", &encoder_bytes).unwrap();
    let mut cpu = CpuEncoder::load(&mut rounded.clone(), &encoder).unwrap();

    let portrait = Portrait::read();
    let mut samples = Vec::new();
    for clip in 0..40 {
        let (grey, strength) = (100.0 + (clip * 7 % 57) as f32, 0.7 + (clip * 11 % 31) as f32 / 100.0);
        let mut encode = |time| {
            let rgba = portrait.fade(time, grey, strength);
            cpu.encode(&preprocess(portrait.picture(&rgba), &encoder, &preprocessing))
        };
        let frames: Vec<Vec<f32>> = (0..FRAMES).map(&mut encode).collect();
        samples.push(ClipSample { frames: frames.concat(), votes: vec![1.0, 0.0] });
        samples
            .push(ClipSample { frames: frames.into_iter().rev().collect::<Vec<_>>().concat(), votes: vec![0.0, 1.0] });
    }
    let head = TemporalConfig { frames: FRAMES, layers: 1, heads: 2, head_width: 16, hidden: 48 };
    let config =
        TemporalTrainConfig { epochs: 60, batch: 16, rate: 5e-3, shorten: 0.0, ..TemporalTrainConfig::default() };
    let device = Default::default();
    let mut trainer =
        TemporalTrainer::<TrainingCpu>::new(head.clone(), config, &descriptors, &samples, &device).unwrap();
    for _ in 0..60 {
        println!("{}", trainer.epoch(&samples, |_| ()).unwrap());
    }
    let mut temporal = Weights::default();
    temporal.read("head", &tied(trainer.weights().unwrap()).write(Precision::F16).unwrap()).unwrap();

    let picture = golden_picture();
    let pixels = preprocess(Picture::new(&picture, GOLDEN_SIDE, GOLDEN_SIDE).unwrap(), &encoder, &preprocessing);
    let golden = cpu.encode(&pixels);
    let one = |name: &str, shape: Vec<usize>, data: Vec<f32>| {
        let mut weights = Weights::default();
        weights.insert(name, Values { shape, data }).unwrap();
        tied(weights)
    };
    let file = |path: &str, role, bytes: &[u8]| FileEntry {
        path: path.into(),
        role,
        bytes: bytes.len() as u64,
        sha256: sha256(bytes),
    };
    let mut manifest = Manifest {
        format: FORMAT.into(),
        version: VERSION,
        name: SPACE.into(),
        encoder,
        preprocess: preprocessing,
        temporal: Some(head),
        expressions: expressions.to_vec(),
        learned: None,
        labels: Vec::new(),
        movements: None,
        text: None,
        aggregation: Aggregation::Mean,
        shares: Vec::new(),
        calibration: Calibration { temperature: 0.05, error: None, uncertain_below: None },
        window: FRAMES,
        face_margin: 1.0,
        backbone: SPACE.into(),
        licence: "none".into(),
        provenance: serde_json::Value::Null,
        files: Vec::new(),
    };
    let whole = Bundle {
        face_spread: None,
        movements: None,
        manifest: manifest.clone(),
        weights: rounded,
        descriptors: descriptors.clone(),
        temporal: temporal.clone(),
        golden: golden.clone(),
        golden_window: None,
    };
    let mut engine = Cliper::<NativeCpu>::from_bundle(&mut whole.clone(), &device).unwrap();
    let frame = block_on(Engine::encode(&mut engine, pixels)).unwrap();
    let similarities = block_on(engine.similarities(&[&frame, &frame])).unwrap();
    temporal.insert("golden.similarities", Values { shape: vec![4], data: similarities }).unwrap();
    let files = [
        ("encoder.safetensors", Role::Weights, encoder_bytes),
        (
            "descriptors.safetensors",
            Role::Descriptors,
            one("embeddings", vec![4, WIDTH], descriptors.embeddings().to_vec()).write(Precision::F32).unwrap(),
        ),
        ("temporal.safetensors", Role::Temporal, temporal.write(Precision::F16).unwrap()),
        ("golden.safetensors", Role::Golden, one("embedding", vec![WIDTH], golden).write(Precision::F32).unwrap()),
    ];
    manifest.files = files.iter().map(|(path, role, bytes)| file(path, *role, bytes)).collect();
    let folder = format!("{}/tests/fixtures/{NAME}", env!("CARGO_MANIFEST_DIR"));
    std::fs::create_dir_all(&folder).unwrap();
    files.iter().for_each(|(path, _, bytes)| std::fs::write(format!("{folder}/{path}"), bytes).unwrap());
    std::fs::write(format!("{folder}/model.json"), manifest.to_json()).unwrap();
    let note = "Written by `cargo test --release --workspace --test temporal_bundle -- --ignored write`; do not edit by \
                hand.\n\nThe seeded encoder of `stem_vision` with a small temporal head, trained to tell a portrait that \
                fades in (`onset`) from one that fades out (`offset`).\n";
    std::fs::write(format!("{folder}/README.md"), note).unwrap();
}
