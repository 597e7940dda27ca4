//! Pixels of any size, and whole sessions: any calls in any order with any values.

use std::sync::LazyLock;

use cliper::bundle::{Bundle, BundleReader};
use cliper::config::{
    CropRounding, EncoderConfig, Interpolation, PreprocessConfig, ResizeConfig, ResizeMode, StemStage,
};
use cliper::engine::cpu::CpuEngine;
use cliper::face::{DetectorBlock, DetectorConfig, DetectorHead, DetectorStem, FaceCrop, FaceDetector, Network};
use cliper::model::face_spread::FaceSpread;
use cliper::model::movement_set::MovementSet;
use cliper::model::own_words::OwnDescriptor;
use cliper::model::sentence::Sentence;
use cliper::model::teaching::TaughtExpression;
use cliper::preprocess::{Picture, mirror, preprocess};
use cliper::session::{AskedEvidence, FaceOptions, Look, Session, Streams};
use cliper::tensors::{Values, Weights};
use cliper::{Face, FaceBox, KeyPoints, Point};

use super::input::{Input, check, now};

/// Most pixels of a made picture.
const MOST_PIXELS: usize = 1 << 11;

/// A picture of any shape: the bytes are repeated until they fill it.
fn picture(input: &mut Input) -> (Vec<u8>, usize, usize) {
    let (width, height) = (input.short() + 1, input.short() + 1);
    let width = width.min(MOST_PIXELS);
    let height = height.min(MOST_PIXELS / width).max(1);
    let bytes = usize::from(input.byte());
    let bytes = input.take(bytes);
    let rgba = bytes.iter().chain([&200, &7]).copied().cycle().take(4 * width * height).collect();
    (rgba, width, height)
}

fn face(input: &mut Input) -> Face {
    let [x, y, width, height] = std::array::from_fn(|_| input.float());
    let points = std::array::from_fn(|_| Point { x: input.float(), y: input.float() });
    Face { r#box: FaceBox { x, y, width, height }, key_points: KeyPoints::from_array(points), score: input.float() }
}

pub fn pixels(data: &[u8]) -> bool {
    let mut input = Input(data);
    let channels = if input.flag() { 3 } else { 1 };
    let side = usize::from(input.byte() % 64) + 1;
    let statistics = |input: &mut Input| input.floats(channels);
    let resize = ResizeConfig {
        mode: [ResizeMode::Shortest, ResizeMode::Longest, ResizeMode::Squash][usize::from(input.byte() % 3)],
        edge: input.flag().then(|| input.short()),
        interpolation: if input.flag() { Interpolation::Bicubic } else { Interpolation::Bilinear },
        crop: if input.flag() { CropRounding::HalfToEven } else { CropRounding::Down },
        fill: std::array::from_fn(|_| input.byte()),
    };
    let config = PreprocessConfig { mean: statistics(&mut input), std: statistics(&mut input), resize };
    let stem = if input.flag() { vec![StemStage { channels: 4, stride: 2 }] } else { Vec::new() };
    let encoder = EncoderConfig { side, channels, stem, patch: 1, ..EncoderConfig::vit_b_32() };
    // As they come: mostly no picture at all.
    let (width, height) = (input.word() as usize, input.word() as usize);
    let mut read = Picture::new(input.0, width, height).is_ok();
    let (rgba, width, height) = picture(&mut input);
    let picture = Picture::new(&rgba, width, height).expect("a picture has four bytes a pixel");
    if config.validate(channels).is_ok() && encoder.validate().is_ok() {
        let pixels = preprocess(picture, &encoder, &config);
        assert_eq!(pixels.len(), channels * side * side);
        assert_eq!(mirror(&mirror(&pixels, side), side).len(), pixels.len());
        read = true;
    }
    let crop = FaceCrop::around(&face(&mut input), input.float());
    assert_eq!(crop.cut(picture, side).len(), 4 * side * side);
    assert!((0.0..=1.0).contains(&crop.coverage(picture)));
    read
}

/// A small model of the fixtures with all that a session may have.
static BUNDLE: LazyLock<Bundle> = LazyLock::new(|| {
    let manifest = include_str!("../../fixtures/evidence/model.json");
    let files: [(&str, &[u8]); 3] = [
        ("encoder.safetensors", include_bytes!("../../fixtures/evidence/encoder.safetensors")),
        ("descriptors.safetensors", include_bytes!("../../fixtures/evidence/descriptors.safetensors")),
        ("golden.safetensors", include_bytes!("../../fixtures/evidence/golden.safetensors")),
    ];
    // One of them is how a face at rest looks.
    let mut reader = BundleReader::new(&manifest.replace("\"one\"", "\"neutral\"")).expect("a fixture");
    files.iter().for_each(|(path, bytes)| reader.add(path, bytes).expect("a fixture"));
    let mut bundle = reader.finish().expect("a fixture");
    let width = bundle.descriptors.width();
    let drawn = |count: usize| -> Vec<f32> { (0..count).map(|at| (at * 7919 % 31) as f32 / 16.0 - 0.9).collect() };
    let spread = FaceSpread::new(drawn(3 * width), drawn(2 * width), 0.1, width);
    bundle.face_spread = Some(spread.expect("numbers"));
    let mut weights = Weights::default();
    let mut add = |name: &str, shape: [usize; 2], data: Vec<f32>| {
        weights.insert(name, Values { shape: shape.to_vec(), data }).expect("another name");
    };
    add("embeddings", [1, width], drawn(width));
    add("knots", [1, 2], vec![-1.0, 1.0]);
    add("scores", [1, 2], vec![0.0, 1.0]);
    bundle.movements = Some(MovementSet::take(&["jawOpen".into()], &mut weights, width).expect("a movement"));
    bundle.manifest.shares = vec![0.5, 0.3, 0.2];
    bundle
});

/// A detector that sees faces everywhere.
static DETECTOR: LazyLock<FaceDetector> = LazyLock::new(|| {
    FaceDetector::new(Network::load(&mut detector_weights(), &detector_config()).expect("all tensors"))
});

/// How it is built.
pub fn detector_config() -> DetectorConfig {
    let block = |channels, stride| DetectorBlock { channels, stride };
    DetectorConfig {
        side: 16,
        stem: DetectorStem { channels: 8, kernel: 3, stride: 2 },
        blocks: vec![block(8, 1), block(16, 2)],
        heads: vec![DetectorHead { block: 0, anchors: 1 }, DetectorHead { block: 1, anchors: 2 }],
    }
}

/// The tensors of the detector above.
pub fn detector_weights() -> Weights {
    let mut weights = Weights::default();
    let mut add = |name: &str, shape: &[usize]| {
        for (part, shape) in [("weight", shape), ("bias", &shape[..1])] {
            let count: usize = shape.iter().product();
            let data = (0..count).map(|at| ((at * 7919 + name.len()) % 31) as f32 / 31.0 - 0.45).collect();
            let name = format!("{name}.{part}");
            weights.insert(&name, Values { shape: shape.to_vec(), data }).expect("another name");
        }
    };
    add("stem", &[8, 3, 3, 3]);
    for (index, [from, to]) in [[8, 8], [8, 16]].into_iter().enumerate() {
        add(&format!("blocks.{index}.pointwise"), &[to, from]);
    }
    for (index, [anchors, channels]) in [[1, 8], [2, 16]].into_iter().enumerate() {
        add(&format!("heads.{index}.score"), &[anchors, channels]);
        add(&format!("heads.{index}.box"), &[anchors * 16, channels]);
    }
    for index in 0..2 {
        let name = format!("blocks.{index}.depthwise");
        weights
            .insert(&format!("{name}.weight"), Values { shape: vec![3, 3, 8], data: vec![0.1; 72] })
            .expect("another");
        weights.insert(&format!("{name}.bias"), Values { shape: vec![8], data: vec![0.01; 8] }).expect("another");
    }
    weights
}

fn options(input: &mut Input) -> FaceOptions {
    if input.flag() {
        return FaceOptions::default();
    }
    FaceOptions {
        max_faces: input.short(),
        detect_interval: input.word(),
        lost_timeout: input.double(),
        min_score: input.float(),
        zoom: usize::from(input.byte() % 6),
        rate: input.double(),
        max_per_frame: input.short(),
        min_change: input.float(),
    }
}

fn look(input: &mut Input) -> Look {
    let evidence = [None, Some(AskedEvidence::Best), Some(AskedEvidence::Occlusion)][usize::from(input.byte() % 3)];
    Look { mirrored: input.flag(), evidence }
}

fn sentence(input: &mut Input) -> Option<Sentence> {
    let width = BUNDLE.descriptors.width() + usize::from(input.byte() == 1);
    Sentence::new(&input.text(), input.floats(width), input.float(), input.float()).ok()
}

fn descriptor(input: &mut Input, taught: Option<&TaughtExpression>) -> Option<OwnDescriptor> {
    match input.byte() % 4 {
        0 => Some(OwnDescriptor::Known("text 0 of two".into())),
        1 => Some(OwnDescriptor::Known(input.text())),
        // The door that a session has for sentences.
        2 => sentence(input)
            .filter(|sentence| sentence.embedding().len() == BUNDLE.descriptors.width())
            .map(OwnDescriptor::Sentence),
        _ => Some(OwnDescriptor::Taught(taught?.descriptors[0].clone())),
    }
}

/// A session's calls, each by a byte, with what follows it as its values.
pub fn session(data: &[u8]) -> bool {
    const MOST_CALLS: usize = 10;
    let mut bundle = BUNDLE.clone();
    let engine = CpuEngine::from_bundle(&mut bundle).expect("the fixture's tensors");
    let session = now(Session::open(engine, bundle)).expect("the fixture's golden picture");
    let mut streams = Streams::new(session);
    streams.set_detector(DETECTOR.clone());
    let (mut input, mut taught, mut taught_once, mut done) = (Input(data), None, false, 0);
    for _ in 0..MOST_CALLS {
        if input.is_empty() {
            break;
        }
        let call = input.byte() % 22;
        let number = u32::from(input.byte() % 3);
        let (rgba, width, height) = match call {
            0..=7 => picture(&mut input),
            _ => (vec![0; 4], 1, 1),
        };
        let picture = Picture::new(&rgba, width, height).expect("a picture");
        let passed = match call {
            0 => {
                let look = look(&mut input);
                now(streams.session.recognize_with(picture, look)).map(|found| check(&found))
            }
            1 => {
                let time = input.double();
                now(streams.push(number, picture, time)).map(|found| check(&found))
            }
            2 => {
                let (time, options) = (input.double(), options(&mut input));
                let seen = streams.needs_picture(number, time) || input.flag();
                now(streams.push_faces(number, seen.then_some(picture), time, options))
                    .map(|found| found.faces.iter().for_each(|face| check(&face.prediction)))
            }
            3 => {
                let (options, look) = (options(&mut input), look(&mut input));
                now(streams.recognize_faces(picture, options, look))
                    .map(|found| found.faces.iter().for_each(|face| check(&face.prediction)))
            }
            4 => now(streams.push_clip(number, input.short(), picture)).map(|found| check(&found)),
            5 => {
                let (length, options) = (input.short(), options(&mut input));
                now(streams.push_face_clip(number, length, picture, options))
                    .map(|found| found.faces.iter().for_each(|face| check(&face.prediction)))
            }
            6 | 7 => now(streams.add_example(number, picture, call == 6, input.byte() == 1)).map(drop),
            8 => now(streams.recognize_clip(number)).map(|found| check(&found)),
            9 => now(streams.recognize_face_clip(number)).map(drop),
            10 => streams.session.set_window(input.short()),
            11 => streams.session.set_movements(input.flag()),
            12 => {
                let count = input.byte() % 3;
                let sentences = (0..count).filter_map(|_| sentence(&mut input)).collect();
                streams.session.set_sentences(sentences)
            }
            13 => {
                let count = input.byte() % 4;
                let mut expression = |_| {
                    let (name, count) = (input.text(), input.byte() % 4);
                    (name, (0..count).filter_map(|_| descriptor(&mut input, taught.as_ref())).collect())
                };
                let asked: Vec<_> = (0..count).map(&mut expression).collect();
                streams.session.set_expressions((count > 0).then_some(asked.as_slice()))
            }
            14 => streams.session.set_balance(input.float()),
            15 => {
                let count = input.short() % (2 * 24 * 24 + 2);
                let value = input.float();
                now(streams.session.encode_pixels(&vec![value; count])).map(drop)
            }
            16 => streams.start_calibration(),
            17 => streams.end_calibration(input.float()).map(drop),
            // One is enough: drawn faces take most of a session's time.
            18 if !std::mem::replace(&mut taught_once, true) => {
                // A lesson's frames, so that few bytes make one.
                for neutral in [true, false].repeat(3) {
                    let _ = now(streams.add_example(number, picture, neutral, false));
                }
                streams.learn(number, &input.text(), usize::from(input.byte() % 4)).map(drop)
            }
            19 => streams.finish_lesson(number, &input.text()).map(|found| taught = Some(found)),
            20 => {
                let reset = [Streams::reset, Streams::drop_calibration][usize::from(input.byte() % 2)];
                reset(&mut streams);
                Ok(())
            }
            _ => {
                let forget = [Streams::end, Streams::drop_clip, Streams::drop_lesson][usize::from(input.byte() % 3)];
                forget(&mut streams, number);
                Ok(())
            }
        };
        done += usize::from(passed.is_ok());
    }
    done > 0
}
