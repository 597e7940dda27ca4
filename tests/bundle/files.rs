//! Bundles: the round trip, every kind of damage, and the contract with JavaScript.

use crate::support::{block_on, fixture, weights};
use cliper::bundle::{
    Aggregation, Bundle, BundleReader, Calibration, FORMAT, FileEntry, LabelSet, Manifest, Role, VERSION,
};
use cliper::config::{EncoderConfig, PreprocessConfig};
use cliper::engine::Engine;
use cliper::engine::cpu::{CpuEncoder, CpuEngine};
use cliper::math::cosine;
use cliper::model::descriptors::Expression;
use cliper::movements::Movements;
use cliper::preprocess::Picture;
use cliper::session::{Look, Session, Stream};
use cliper::tensors::{BACKBONE, Int8Rows, Precision, Storage, Stored, Values, Weights, sha256};
use cliper::{ErrorKind, Prediction};

const SPACE: &str = "space";

/// A bundle of the stem fixture in memory: manifest and files.
struct Packed {
    manifest: Manifest,
    files: Vec<(String, Vec<u8>)>,
}

impl Packed {
    fn new() -> Self {
        Self::with(SPACE, |_| ())
    }

    fn with(descriptors_space: &str, change: impl FnOnce(&mut Weights)) -> Self {
        let encoder: EncoderConfig = serde_json::from_slice(&fixture("stem_vision", "config.json")).unwrap();
        let expressions = ["one", "two", "three"].map(|name| Expression {
            name: name.into(),
            descriptors: (0..2).map(|index| format!("text {index} of {name}")).collect(),
            ..Default::default()
        });
        let mut encoder_weights = weights("stem_vision");
        let golden = {
            let preprocess = PreprocessConfig::ferplus();
            let picture = cliper::bundle::golden_picture();
            let side = cliper::bundle::GOLDEN_SIDE;
            let pixels =
                cliper::preprocess::preprocess(Picture::new(&picture, side, side).unwrap(), &encoder, &preprocess);
            CpuEncoder::load(&mut encoder_weights.clone(), &encoder).unwrap().encode(&pixels)
        };
        change(&mut encoder_weights);
        let tensor = |name: &str, shape: Vec<usize>, data: Vec<f32>, space: &str| {
            let mut weights = Weights::default();
            weights.insert(name, Values { shape, data }).unwrap();
            weights.metadata.insert(BACKBONE.into(), space.into());
            weights
        };
        encoder_weights.metadata.insert(BACKBONE.into(), SPACE.into());
        let embeddings: Vec<f32> = (0..6 * 24).map(|index| ((index * 13 % 29) as f32 - 14.0) / 10.0).collect();
        let files = [
            ("encoder.safetensors", Role::Weights, encoder_weights, Precision::F16),
            (
                "descriptors.safetensors",
                Role::Descriptors,
                tensor("embeddings", vec![6, 24], embeddings, descriptors_space),
                Precision::F32,
            ),
            ("golden.safetensors", Role::Golden, tensor("embedding", vec![24], golden, SPACE), Precision::F32),
        ]
        .map(|(path, role, weights, precision)| (path.to_string(), role, weights.write(precision).unwrap()));
        let entries = files
            .iter()
            .map(|(path, role, bytes)| FileEntry {
                path: path.clone(),
                role: *role,
                bytes: bytes.len() as u64,
                sha256: sha256(bytes),
            })
            .collect();
        let manifest = Manifest {
            format: FORMAT.into(),
            version: VERSION,
            name: "made for a test".into(),
            encoder,
            preprocess: PreprocessConfig::ferplus(),
            temporal: None,
            expressions: expressions.to_vec(),
            learned: None,
            labels: Vec::new(),
            movements: None,
            text: None,
            aggregation: Aggregation::Mean,
            shares: Vec::new(),
            calibration: Calibration { temperature: 0.05, error: None, uncertain_below: None },
            window: 4,
            face_margin: 1.0,
            backbone: SPACE.into(),
            licence: "none".into(),
            provenance: serde_json::Value::Null,
            files: entries,
        };
        Self { manifest, files: files.map(|(path, _, bytes)| (path, bytes)).to_vec() }
    }

    fn read(&self) -> cliper::Result<Bundle> {
        let mut reader = BundleReader::new(&self.manifest.to_json())?;
        for (path, bytes) in &self.files {
            reader.add(path, bytes)?;
        }
        reader.finish()
    }

    fn open(&self) -> Session<CpuEngine> {
        let mut bundle = self.read().unwrap();
        let engine = CpuEngine::from_bundle(&mut bundle).unwrap();
        block_on(Session::open(engine, bundle)).unwrap()
    }
}

fn kind(result: cliper::Result<Bundle>) -> ErrorKind {
    result.err().unwrap().kind()
}

fn picture(seed: usize) -> Vec<u8> {
    (0..30 * 40 * 4).map(|index| ((index * 37 + seed * 101) % 251) as u8).collect()
}

#[test]
fn round_trip_keeps_every_field_and_f16_tensor() {
    let packed = Packed::new();
    let bundle = packed.read().unwrap();
    assert_eq!(bundle.manifest, packed.manifest);
    let original = weights("stem_vision");
    for name in original.names() {
        let (a, b) = (original.get(name).unwrap(), bundle.weights.get(name).unwrap());
        for (a, b) in a.data.iter().zip(&b.data) {
            assert_eq!(half::f16::from_f32(*a).to_f32(), *b, "{name}");
        }
    }
    for embedding in bundle.descriptors.embeddings().chunks(24) {
        assert!((embedding.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-5);
    }
}

#[test]
fn matrices_are_stored_in_8_bits_and_the_rest_in_f16() {
    let original = weights("stem_vision");
    let bytes = original.write(Precision::Int8).unwrap();
    assert!(bytes.len() < original.write(Precision::F16).unwrap().len());
    let mut read = Weights::default();
    read.read("int8", &bytes).unwrap();
    assert!(read.names().eq(original.names()), "scales are no tensors of their own");
    let mut matrices = 0;
    for name in original.names() {
        let Values { shape, data } = original.get(name).unwrap();
        match read.clone().take_stored(name, &shape).unwrap() {
            Stored::Int8(Int8Rows { values, scales }) => {
                let is_stage = name.contains("stem") && shape.len() == 4 && shape[1] % 8 == 0;
                assert!(is_stage || !name.contains("embedding") && !name.contains("norm"), "{name}");
                let inputs: usize = shape[1..].iter().product();
                matrices += 1;
                for ((row, rounded), scale) in data.chunks(inputs).zip(values.chunks(inputs)).zip(&scales) {
                    let largest = row.iter().fold(0.0f32, |most, value| most.max(value.abs()));
                    assert_eq!(largest / 127.0, *scale, "{name}");
                    for (value, rounded) in row.iter().zip(rounded) {
                        // A kernel's values may be rounded the other way.
                        let most = if is_stage { 1.0 } else { 0.5001 };
                        assert!((value - f32::from(*rounded) * scale).abs() <= most * scale, "{name}");
                    }
                }
            }
            Stored::F16(values) => {
                assert!(data.iter().zip(&values).all(|(a, b)| half::f16::from_f32(*a) == *b), "{name}");
            }
            Stored::F32(_) => panic!("{name} is stored in f32"),
        }
    }
    // Queries, keys, values, output and two products of the MLP a block, the projection, and the stem's stages of whole vectors.
    let config: EncoderConfig = serde_json::from_slice(&fixture("stem_vision", "config.json")).unwrap();
    let inputs = std::iter::once(config.channels).chain(config.stem.iter().map(|stage| stage.channels));
    let stages = inputs.take(config.stem.len()).filter(|channels| channels % 8 == 0).count();
    assert!(stages > 0);
    assert_eq!(matrices, 6 * config.layers + 1 + stages);

    let pixels = {
        let mut expected = Weights::default();
        expected.read_floats("expected", &fixture("stem_vision", "expected.safetensors")).unwrap();
        expected.get("pixels").unwrap()
    };
    let mut exact = CpuEncoder::load(&mut original.clone(), &config).unwrap();
    let mut rounded = CpuEncoder::load(&mut read, &config).unwrap();
    read.finish().unwrap();
    for pixels in pixels.data.chunks(pixels.data.len() / pixels.shape[0]) {
        let cosine = cosine(&exact.encode(pixels), &rounded.encode(pixels));
        println!("int8 {cosine:.6}");
        assert!((0.995..0.999_999_9).contains(&cosine), "{cosine}");
    }
}

#[test]
fn rounding_to_8_bits_keeps_zeros_and_the_largest() {
    let given = [0.0, 0.0, -2.0, 1.0, 1e-42, 0.0, 3.0, -3.0];
    let rows = Int8Rows::round(&given, &[4, 2], Storage::LEVELS);
    assert_eq!(rows.values, [0, 0, -127, 64, 0, 0, 127, -127]);
    assert!(rows.scales.iter().all(|scale| scale.is_finite()) && rows.scales[0] == 0.0);
    let values = Stored::Int8(rows).into_f32();
    assert!(values[0] == 0.0 && (values[2] + 2.0).abs() < 1e-6 && (values[7] + 3.0).abs() < 1e-6);
    // In fewer levels too.
    let rows = Int8Rows::round(&given, &[4, 2], 63);
    assert_eq!(rows.values, [0, 0, -31, 16, 0, 0, 31, -31]);
    let values = Stored::Int8(rows).into_f32();
    assert!((values[2] + 2.0).abs() < 1e-6 && (values[3] - 1.0).abs() < 1.0 / 31.0 && (values[7] + 3.0).abs() < 1e-6);
}

#[test]
fn a_kernels_rounding_errors_add_up_to_nothing() {
    // Values of 0.4 and 0.6 steps, and the row's largest.
    let [low, high, largest] = [0.4, 0.6, 31.0];
    let row = [low, low, low, low, largest, 0.0, high, high, high, 0.0, 0.0, low];
    let [plain, even] = [[1, 12, 1, 1], [1, 3, 2, 2]].map(|shape| Int8Rows::round(&row, &shape, 63).values);
    assert_eq!(plain, [0, 0, 0, 0, 31, 0, 1, 1, 1, 0, 0, 0]);
    let sums: Vec<i32> = even.chunks(4).map(|kernel| kernel.iter().map(|&value| i32::from(value)).sum()).collect();
    // Of 1.6, 32.2 and 1.0 steps.
    assert_eq!(sums, [2, 32, 1]);
    assert!(even.iter().zip(row).all(|(&value, exact)| (f32::from(value) - exact).abs() < 1.0));
}

#[test]
fn broken_8_bit_tensors_are_named() {
    let mut weights = Weights::default();
    weights.insert("layer.weight", Values { shape: vec![2, 3], data: vec![1.0, -1.0, 0.5, 2.0, 0.1, 0.2] }).unwrap();
    let bytes = weights.write(Precision::Int8).unwrap();
    let read = |bytes: &[u8]| Weights::default().read("shard", bytes);
    read(&bytes).unwrap();
    let refused = |bytes: &[u8]| {
        let error = read(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidWeights);
        error.to_string()
    };
    let renamed = |from: &str, to: &str| {
        let text = bytes.iter().map(|&byte| char::from(byte)).collect::<String>().replacen(from, to, 1);
        text.chars().map(|letter| letter as u8).collect::<Vec<u8>>()
    };
    let text = refused(&renamed("layer.weight.scales", "layer.weight.scalez"));
    assert!(text.contains("`layer.weight`") && text.contains("`layer.weight.scales`, F32 [2]"), "{text}");
    let text = refused(&renamed("[2]", "[1]"));
    assert!(text.contains("shard"), "{text}");
    // The two scales stand before the six values, at the end of the file.
    let mut changed = bytes.clone();
    let end = changed.len();
    changed[end - 14..end - 10].copy_from_slice(&f32::NAN.to_le_bytes());
    let text = refused(&changed);
    assert!(text.contains("`layer.weight.scales`") && text.contains("not finite at position 0"), "{text}");
    let mut changed = bytes.clone();
    changed[end - 2] = 0x80;
    let text = refused(&changed);
    assert!(text.contains("`layer.weight`") && text.contains("-128 at position 4"), "{text}");
    let text = refused(&bytes[..end - 1]);
    assert!(text.contains("cut off"), "{text}");
}

#[test]
fn damaged_bundles_are_refused_by_kind() {
    let change = |change: &dyn Fn(&mut Packed)| {
        let mut packed = Packed::new();
        change(&mut packed);
        kind(packed.read())
    };
    assert_eq!(change(&|packed| packed.files[0].1.truncate(9000)), ErrorKind::DamagedFile, "truncated");
    assert_eq!(change(&|packed| packed.files[0].1[5000] ^= 1), ErrorKind::DamagedFile, "one bit");
    assert_eq!(change(&|packed| drop(packed.files.pop())), ErrorKind::MissingFile, "missing");
    assert_eq!(change(&|packed| packed.files[0].0 = "other".into()), ErrorKind::MissingFile, "renamed");
    assert_eq!(change(&|packed| packed.manifest.version = VERSION + 1), ErrorKind::UnsupportedBundle, "future version");
    assert_eq!(change(&|packed| packed.manifest.format = "onnx".into()), ErrorKind::InvalidBundle, "format");
    assert_eq!(change(&|packed| packed.manifest.window = 0), ErrorKind::InvalidBundle, "window");
    assert_eq!(change(&|packed| packed.manifest.encoder.heads = 5), ErrorKind::InvalidConfig, "heads");
    assert_eq!(change(&|packed| packed.manifest.encoder.width = 64), ErrorKind::InvalidWeights, "width");
    assert_eq!(change(&|packed| packed.manifest.files[0].path = "../x".into()), ErrorKind::InvalidBundle, "path");
    assert_eq!(change(&|packed| packed.manifest.calibration.temperature = 0.0), ErrorKind::InvalidBundle);
    let above = |packed: &mut Packed| packed.manifest.calibration.uncertain_below = Some(1.5);
    assert_eq!(change(&above), ErrorKind::InvalidBundle, "uncertainBelow");
    let same = |packed: &mut Packed| packed.manifest.expressions[1].descriptors[0] = "text 0 of one".into();
    assert_eq!(change(&same), ErrorKind::InvalidBundle, "one text twice");
    assert_eq!(kind(Packed::with("another space", |_| ()).read()), ErrorKind::ForeignDescriptors);
    assert_eq!(BundleReader::new("{").err().unwrap().kind(), ErrorKind::InvalidBundle);
    assert_eq!(BundleReader::new("[]").err().unwrap().kind(), ErrorKind::InvalidBundle);
}

#[test]
fn wrong_tensors_are_named() {
    let refused = |change: fn(&mut Weights)| {
        let packed = Packed::with(SPACE, change);
        let built = packed.read().and_then(|mut bundle| CpuEngine::from_bundle(&mut bundle).map(drop));
        let error = built.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidWeights);
        error.to_string()
    };
    let missing = refused(|weights| drop(weights.take("visual_projection.weight", &[24, 32]).unwrap()));
    assert!(missing.contains("visual_projection.weight") && missing.contains("[24, 32]"), "{missing}");
    let misshapen = refused(|weights| {
        let data = weights.take("visual_projection.weight", &[24, 32]).unwrap();
        weights.insert("visual_projection.weight", Values { shape: vec![32, 24], data }).unwrap();
    });
    assert!(misshapen.contains("visual_projection.weight") && misshapen.contains("[32, 24]"), "{misshapen}");
    assert!(misshapen.contains("[24, 32] was expected"), "{misshapen}");
    let extra = refused(|weights| weights.insert("extra", Values { shape: vec![1], data: vec![1.0] }).unwrap());
    assert!(extra.contains("extra"), "{extra}");
    let mut found = Weights::default();
    let error = found.insert("x", Values { shape: vec![2], data: vec![1.0, f32::NAN] }).err().unwrap();
    assert!(error.to_string().contains("`x`") && error.to_string().contains("position 1"));
    // NaN in f16, as a shard stores it: the value is not looked at again when it is taken.
    found.insert("y", Values { shape: vec![2], data: vec![1.0, 2.0] }).unwrap();
    let mut bytes = found.write(Precision::F16).unwrap();
    let end = bytes.len();
    bytes[end - 2..].copy_from_slice(&half::f16::NAN.to_le_bytes());
    let text = Weights::default().read("shard", &bytes).unwrap_err().to_string();
    assert!(text.contains("`y`") && text.contains("position 1") && text.contains("numbers were expected"), "{text}");
    let twice = found.append(found.clone()).unwrap_err().to_string();
    assert!(twice.contains("`y` comes twice"), "{twice}");
}

#[test]
fn a_device_that_computes_wrong_values_is_refused() {
    struct Broken(CpuEngine);
    impl Engine for Broken {
        type Embedding = Vec<f32>;
        fn set_rows(&mut self, rows: Vec<f32>) {
            self.0.set_rows(rows);
        }
        async fn encode(&mut self, pixels: Vec<f32>) -> cliper::Result<Vec<f32>> {
            let mut embedding = self.0.encode(pixels).await?;
            embedding.rotate_left(1);
            Ok(embedding)
        }
        async fn similarities(&self, frames: &[&Vec<f32>]) -> cliper::Result<Vec<f32>> {
            self.0.similarities(frames).await
        }
        async fn read(&self, embedding: &Vec<f32>) -> cliper::Result<Vec<f32>> {
            Ok(embedding.clone())
        }
    }
    let mut bundle = Packed::new().read().unwrap();
    let engine = Broken(CpuEngine::from_bundle(&mut bundle).unwrap());
    let error = block_on(Session::open(engine, bundle)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::DeviceWrong);
}

#[test]
fn one_pass_a_frame_whatever_the_window() {
    let mut session = Packed::new().open();
    let mut stream = Stream::default();
    for frame in 0..6 {
        let bytes = picture(frame);
        let prediction =
            block_on(session.push(&mut stream, Picture::new(&bytes, 40, 30).unwrap(), frame as f64 * 40.0)).unwrap();
        assert_eq!((prediction.window.filled, prediction.window.length), ((frame + 1).min(4), 4));
    }
    let counters = session.counters();
    assert_eq!(counters.passes, 6);
    assert_eq!(counters.uploaded_bytes, 6 * 24 * 24 * 4);
    assert_eq!(counters.read_bytes, 6 * 6 * 4);
}

#[test]
fn the_window_is_the_mean_of_its_frames() {
    let mut session = Packed::new().open();
    let frames: Vec<Vec<u8>> = (0..2).map(picture).collect();
    let mut sum = vec![0.0f32; 24];
    for frame in &frames {
        let embedding = block_on(session.embed(Picture::new(frame, 40, 30).unwrap())).unwrap();
        sum.iter_mut().zip(embedding).for_each(|(sum, value)| *sum += value);
    }
    let length = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
    sum.iter_mut().for_each(|value| *value /= length);
    let wanted = Packed::new().read().unwrap().descriptors.similarities(&sum);
    let mut stream = Stream::default();
    let mut push = |session: &mut Session<CpuEngine>, frame: &[u8], time: f64| {
        block_on(session.push(&mut stream, Picture::new(frame, 40, 30).unwrap(), time)).unwrap()
    };
    push(&mut session, &frames[0], 0.0);
    let found = push(&mut session, &frames[1], 40.0);
    let best = found.expressions[0].descriptors[0].similarity;
    assert!((best - wanted[0].max(wanted[1])).abs() < 1e-5);
    let alone = block_on(session.recognize(Picture::new(&frames[1], 40, 30).unwrap())).unwrap();
    assert_eq!((alone.window.filled, alone.window.length), (1, 1));
    // A time that was answered already is answered the same, without a pass.
    let passes = session.counters().passes;
    assert_eq!(push(&mut session, &frames[0], 40.0), found);
    assert_eq!(session.counters().passes, passes);
    assert_eq!(session.counters().repeated_frames, 1);
    // A gap as long as the window starts a new one; time that goes back does too.
    assert_eq!(push(&mut session, &frames[0], 600.0).window.filled, 1);
    assert_eq!(push(&mut session, &frames[0], 10.0).window.filled, 1);
    session.set_window(1).unwrap();
    assert_eq!(push(&mut session, &frames[1], 50.0).expressions, alone.expressions);
    assert_eq!(session.set_window(0).err().unwrap().kind(), ErrorKind::InvalidArgument);
    let late = block_on(session.push(&mut stream, Picture::new(&frames[1], 40, 30).unwrap(), f64::NAN));
    assert_eq!(late.err().unwrap().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_prediction_is_uncertain_below_the_threshold_and_never_without_one() {
    let bytes = picture(3);
    let predict = |below: Option<f32>| {
        let mut packed = Packed::new();
        packed.manifest.calibration.uncertain_below = below;
        block_on(packed.open().recognize(Picture::new(&bytes, 40, 30).unwrap())).unwrap()
    };
    let plain = predict(None);
    assert!(!plain.uncertain);
    assert!(!predict(Some(plain.top.score)).uncertain, "the threshold itself is certain");
    let doubted = predict(Some(plain.top.score + 1e-4));
    assert!(doubted.uncertain);
    assert_eq!((doubted.top, doubted.expressions), (plain.top, plain.expressions), "the scores stay");
}

#[test]
fn bad_pictures_are_refused() {
    for (bytes, width, height) in [(0, 0, 0), (0, 0, 5), (16, 1, 1), (3, 1, 1), (0, 20_000, 20_000), (4, usize::MAX, 2)]
    {
        let error = Picture::new(&vec![0; bytes], width, height).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidImage, "{width} x {height}");
    }
    let mut session = Packed::new().open();
    for (width, height) in [(1, 1), (1, 300), (300, 1), (20_000, 2)] {
        let bytes = vec![128; width * height * 4];
        let prediction = block_on(session.recognize(Picture::new(&bytes, width, height).unwrap())).unwrap();
        let sum: f32 = prediction.expressions.iter().map(|expression| expression.score).sum();
        assert!((sum - 1.0).abs() < 1e-5);
    }
}

#[test]
fn a_picture_and_its_mirror_image_are_answered_alike_in_two_passes() {
    let mut session = Packed::new().open();
    let pixels = picture(3);
    let mirrored: Vec<u8> =
        pixels.chunks(40 * 4).flat_map(|line| line.chunks(4).rev().flatten().copied().collect::<Vec<_>>()).collect();
    let [left, right] = [&pixels, &mirrored].map(|pixels| Picture::new(pixels, 40, 30).unwrap());
    let scores = |prediction: Prediction| -> Vec<f32> {
        let mut found: Vec<_> = prediction.expressions.into_iter().flat_map(|one| one.descriptors).collect();
        found.sort_by(|a, b| a.text.cmp(&b.text));
        found.into_iter().map(|descriptor| descriptor.similarity).collect()
    };
    let alone = [left, right].map(|picture| scores(block_on(session.recognize(picture)).unwrap()));
    let passes = session.counters().passes;
    let both = [left, right].map(|picture| {
        scores(block_on(session.recognize_with(picture, Look { mirrored: true, ..Look::default() })).unwrap())
    });
    assert_eq!(session.counters().passes - passes, 4);
    assert_ne!(alone[0], alone[1]);
    for (place, &similarity) in both[0].iter().enumerate() {
        // Resizing rounds a picture and its mirror image alike only up to a grey level.
        assert!((similarity - both[1][place]).abs() < 2e-3, "{similarity} {}", both[1][place]);
        assert!((similarity - (alone[0][place] + alone[1][place]) / 2.0).abs() < 2e-3);
    }
}

/// A bundle with a label set beside its own expressions.
fn labelled() -> Packed {
    let mut packed = Packed::new();
    let mut weights = Weights::default();
    let embeddings = (0..2 * 24).map(|index| ((index * 17 % 23) as f32 - 11.0) / 10.0).collect();
    weights.insert("embeddings", Values { shape: vec![2, 24], data: embeddings }).unwrap();
    weights.metadata.insert(BACKBONE.into(), SPACE.into());
    let (path, bytes) = ("labels-other.safetensors".to_string(), weights.write(Precision::F32).unwrap());
    packed.manifest.files.push(FileEntry {
        path: path.clone(),
        role: Role::Labels,
        bytes: bytes.len() as u64,
        sha256: sha256(&bytes),
    });
    packed.manifest.labels.push(LabelSet {
        name: "Other".into(),
        path: path.clone(),
        expressions: ["left", "right"]
            .map(|name| Expression {
                name: name.into(),
                descriptors: vec![format!("a {name} one")],
                ..Default::default()
            })
            .to_vec(),
        calibration: Calibration { temperature: 0.1, error: None, uncertain_below: Some(0.6) },
    });
    packed.files.push((path, bytes));
    packed
}

#[test]
fn descriptors_carry_the_movements_that_they_name() {
    let mut packed = Packed::new();
    let named = Movements::from([("jawOpen".to_string(), 1.0), ("mouthSmile".to_string(), -0.5)]);
    packed.manifest.expressions[1].movements = vec![Movements::new(), named.clone()];
    assert_eq!(packed.manifest.oldest_version(Precision::F16), 4);
    let bundle = packed.read().unwrap();
    let movements = |index: usize| bundle.descriptors.expressions()[index].movements.clone();
    assert_eq!((movements(0), movements(1)), (vec![], vec![Movements::new(), named.clone()]));
    let refused = |movements: Vec<Movements>| {
        let mut packed = Packed::new();
        packed.manifest.expressions[1].movements = movements;
        let error = packed.read().err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidBundle);
        error.to_string()
    };
    assert!(refused(vec![named.clone()]).contains("2 descriptors, but 1 of movements"));
    let unknown = refused(vec![named, Movements::from([("earWiggle".to_string(), 1.0)])]);
    assert!(unknown.contains("`earWiggle`") && unknown.contains("jawOpen, mouthClose"), "{unknown}");
    // A label set's count as well.
    let mut packed = labelled();
    packed.manifest.labels[0].expressions[0].movements = vec![Movements::from([("jawOpen".to_string(), 1.0)])];
    assert_eq!(packed.manifest.oldest_version(Precision::F16), 4);
}

#[test]
fn a_bundle_answers_in_its_own_expressions_or_in_a_label_set() {
    let packed = labelled();
    assert_eq!(packed.manifest.oldest_version(Precision::F16), 3);
    assert_eq!(Packed::new().manifest.oldest_version(Precision::F16), 1);
    assert_eq!(Packed::new().manifest.oldest_version(Precision::Int8), 2);
    let read = |labels: Option<&str>| {
        let mut manifest = Manifest::parse(&packed.manifest.to_json())?;
        if let Some(labels) = labels {
            manifest.answer_in(labels)?;
        }
        let mut reader = BundleReader::of(manifest);
        for file in reader.missing().to_vec() {
            let (_, bytes) = packed.files.iter().find(|(path, _)| *path == file.path).unwrap();
            reader.add(&file.path, bytes)?;
        }
        reader.finish()
    };
    // Nothing of the labels is read by who does not ask for them.
    let own = read(None).unwrap();
    assert!(own.descriptors.names().eq(["one", "two", "three"]));
    let mut other = read(Some("Other")).unwrap();
    assert!(other.descriptors.names().eq(["left", "right"]) && other.descriptors.count() == 2);
    assert_eq!(other.manifest.calibration.temperature, 0.1);
    let engine = CpuEngine::from_bundle(&mut other).unwrap();
    let mut session = block_on(Session::open(engine, other)).unwrap();
    let pixels = picture(1);
    let answer = block_on(session.recognize(Picture::new(&pixels, 40, 30).unwrap())).unwrap();
    assert_eq!(answer.expressions.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["left", "right"]);

    let refused = |manifest: &Manifest, labels: &str| {
        let error = manifest.clone().answer_in(labels).err().unwrap();
        assert_eq!(error.code(), "invalid-argument");
        error.to_string()
    };
    assert!(refused(&packed.manifest, "FER").contains("only `Other`"));
    assert!(refused(&Packed::new().manifest, "Other").contains("leave `labels` out"));
    let wrong = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = packed.manifest.clone();
        change(&mut manifest);
        manifest.validate().err().unwrap().to_string()
    };
    assert!(wrong(&|manifest| manifest.labels[0].path = "elsewhere".into()).contains("`elsewhere`"));
    assert!(wrong(&|manifest| manifest.labels[0].calibration.temperature = 0.0).contains("temperature"));
    assert!(wrong(&|manifest| manifest.labels[0].expressions.truncate(1)).contains("expressions"));
    assert!(wrong(&|manifest| manifest.labels.push(manifest.labels[0].clone())).contains("twice"));
}

#[test]
fn the_contract_is_what_typescript_reads() {
    let path = format!("{}/tests/contract/prediction.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let prediction: Prediction = serde_json::from_str(&text).unwrap();
    let again: serde_json::Value = serde_json::to_value(&prediction).unwrap();
    let wanted: serde_json::Value = serde_json::from_str(&text).unwrap();
    let names = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&again), names(&wanted));
    assert_eq!(names(&again["expressions"][0]), names(&wanted["expressions"][0]));
    assert_eq!(again["top"]["name"], wanted["top"]["name"]);
    assert_eq!(again["uncertain"], wanted["uncertain"]);
    let path = format!("{}/tests/contract/error-codes.json", env!("CARGO_MANIFEST_DIR"));
    let listed = std::fs::read_to_string(path).unwrap();
    for kind in ErrorKind::ALL {
        assert!(listed.contains(&format!("\"{}\"", kind.code())), "{} is not in error-codes.json", kind.code());
    }
    for (index, kind) in ErrorKind::ALL.iter().enumerate() {
        assert!(kind.code().chars().all(|letter| letter.is_ascii_lowercase() || letter == '-'));
        assert!(ErrorKind::ALL[..index].iter().all(|other| other.code() != kind.code()));
    }
}
