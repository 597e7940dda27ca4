//! Where on a picture a similarity comes from: sums, mirror images, occlusion, engines against each other, refusals.
//! The fixture is read by the browser tests too.

use cliper::bundle::{
    Aggregation, Bundle, BundleReader, Calibration, FORMAT, FileEntry, GOLDEN_SIDE, Manifest, Role, VERSION,
    golden_picture,
};
use cliper::config::{Activation, EncoderConfig, PreprocessConfig, StemStage, TokenPool};
use cliper::engine::Engine;
#[cfg(feature = "flex")]
use cliper::engine::burn::Cliper;
#[cfg(feature = "flex")]
use cliper::engine::burn::NativeCpu;
use cliper::engine::cpu::{Arithmetic, CpuEncoder, CpuEngine, CpuOptions, ThreadPool};
use cliper::evidence::{cover, mirror_grid};
use cliper::face::FaceCrop;
use cliper::math::cosine;
use cliper::model::descriptors::Expression;
use cliper::model::rows::Rows;
use cliper::preprocess::{Picture, mirror, preprocess};
use cliper::session::{AskedEvidence, Look, Session};
use cliper::tensors::{BACKBONE, Precision, Values, Weights, sha256};
use cliper::{DescriptorSimilarity, ErrorKind, Evidence, EvidenceMethod, Prediction};

use crate::support::{block_on, built_in, drawn, faces, fixture};

const NAME: &str = "evidence";
const SPACE: &str = "made for a test";
const BUILT_IN: &str = "../../pkg-build/models/ferplus-small";

const EXACT: Look = Look { mirrored: false, evidence: Some(AskedEvidence::Best) };
const COVERED: Look = Look { mirrored: false, evidence: Some(AskedEvidence::Occlusion) };

/// A bundle of a folder under `tests/fixtures`.
fn read(folder: &str) -> Bundle {
    let mut reader = BundleReader::new(&String::from_utf8(fixture(folder, "model.json")).unwrap()).unwrap();
    for file in reader.missing().to_vec() {
        reader.add(&file.path, &fixture(folder, &file.path)).unwrap();
    }
    reader.finish().unwrap()
}

fn cpu(folder: &str) -> Session<CpuEngine> {
    let mut bundle = read(folder);
    // In f32, as Burn computes: the built-in model is stored in 8 bits.
    let engine = CpuEngine::from_bundle_with(&mut bundle, CpuOptions::default()).unwrap();
    block_on(Session::open(engine, bundle)).unwrap()
}

#[cfg(feature = "flex")]
fn burn(folder: &str) -> Session<Cliper<NativeCpu>> {
    let mut bundle = read(folder);
    let engine = Cliper::from_bundle(&mut bundle, &Default::default()).unwrap();
    block_on(Session::open(engine, bundle)).unwrap()
}

/// A picture of 48 x 48 that the built-in model sees as it is.
fn square(seed: usize) -> Vec<u8> {
    (0..48 * 48).flat_map(|place| [(place * 37 + place / 48 * seed * 11) as u8, (place / 7) as u8, 90, 255]).collect()
}

/// Its mirror image.
fn turned(rgba: &[u8]) -> Vec<u8> {
    rgba.chunks(48 * 4).flat_map(|line| line.chunks(4).rev().flatten().copied().collect::<Vec<_>>()).collect()
}

fn look<E: Engine>(session: &mut Session<E>, rgba: &[u8], look: Look) -> Prediction {
    let side = (rgba.len() / 4).isqrt();
    block_on(session.recognize_with(Picture::new(rgba, side, side).unwrap(), look)).unwrap()
}

/// Every descriptor with its evidence, in the order of the texts.
fn grids(prediction: &Prediction) -> Vec<(&DescriptorSimilarity, &Evidence)> {
    let mut found: Vec<_> = prediction
        .expressions
        .iter()
        .flat_map(|one| &one.descriptors)
        .map(|one| (one, one.evidence.as_ref().unwrap()))
        .collect();
    found.sort_by(|a, b| a.0.text.cmp(&b.0.text));
    found
}

fn without_evidence(mut prediction: Prediction) -> Prediction {
    prediction.expressions.iter_mut().flat_map(|one| &mut one.descriptors).for_each(|one| one.evidence = None);
    prediction
}

/// The largest differences of two predictions' similarities and of their grids' values.
fn differences(one: &Prediction, other: &Prediction) -> (f32, f32) {
    let (one, other) = (grids(one), grids(other));
    assert_eq!(one.len(), other.len());
    let (mut similarities, mut values) = (0.0f32, 0.0f32);
    for ((one, own), (other, others)) in one.into_iter().zip(other) {
        assert_eq!((&one.text, own.side, own.method), (&other.text, others.side, others.method));
        similarities = similarities.max((one.similarity - other.similarity).abs());
        let pairs = own.values.iter().zip(&others.values);
        values = pairs.map(|(a, b)| (a - b).abs()).fold(values, f32::max);
    }
    (similarities, values)
}

/// How far the grids' sums lie from their similarities, at most; each grid must be one of 6 x 6 that differs by place.
fn worst_sum(prediction: &Prediction) -> f32 {
    let mut worst = 0.0f32;
    for (descriptor, evidence) in grids(prediction) {
        assert_eq!((evidence.side, evidence.method, evidence.values.len()), (6, EvidenceMethod::Sum, 36));
        let mean = descriptor.similarity / 36.0;
        let most = evidence.values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        assert!(evidence.values.iter().any(|value| (value - mean).abs() > 0.01 * most), "{}", descriptor.text);
        worst = worst.max((evidence.values.iter().sum::<f32>() - descriptor.similarity).abs());
    }
    worst
}

#[test]
fn the_grids_add_up_to_what_a_plain_look_says_in_one_pass() {
    for arithmetic in [Arithmetic::F32, Arithmetic::Int8] {
        for threads in [1, 2] {
            let mut session = built_in(CpuOptions { arithmetic, pool: ThreadPool::of_threads(threads) });
            let (_, portrait) = faces::scenes().swap_remove(12);
            let portrait = image::imageops::crop_imm(&portrait, 40, 0, 240, 240).to_image().into_raw();
            for rgba in [square(3), vec![0; 48 * 48 * 4], portrait] {
                let plain = look(&mut session, &rgba, Look::default());
                let before = session.counters();
                let found = look(&mut session, &rgba, EXACT);
                let after = session.counters();
                let worst = worst_sum(&found);
                println!("{arithmetic:?} {worst:.1e}");
                assert!(worst < 1e-5, "{worst}");
                assert_eq!(without_evidence(found), plain, "the answer stays");
                assert_eq!(after.passes - before.passes, 1);
                assert_eq!(after.uploaded_bytes - before.uploaded_bytes, 4 * 48 * 48);
                assert_eq!(after.read_bytes - before.read_bytes, 4 * (36 * 384 + 40));
            }
        }
    }
}

#[test]
fn a_picture_and_its_mirror_image_have_one_grid_turned_back() {
    let mut session = built_in(CpuOptions::default());
    let (rgba, image) = (square(5), turned(&square(5)));
    for evidence in [AskedEvidence::Best, AskedEvidence::Occlusion] {
        let both = Look { mirrored: true, evidence: Some(evidence) };
        let before = session.counters().passes;
        let found = look(&mut session, &rgba, both);
        let passes = session.counters().passes - before;
        let turned_back = look(&mut session, &image, both);
        let alone = [&rgba, &image].map(|rgba| look(&mut session, rgba, Look { mirrored: false, ..both }));
        let plain = look(&mut session, &rgba, Look { evidence: None, ..both });
        for (index, (descriptor, evidence)) in grids(&found).into_iter().enumerate() {
            let [left, right] = [&alone[0], &alone[1]].map(|alone| &grids(alone)[index].1.values);
            let (turned, right) = (&grids(&turned_back)[index].1.values, mirror_grid(right, 6));
            for (place, value) in evidence.values.iter().enumerate() {
                assert!((value - (left[place] + right[place]) / 2.0).abs() < 1e-6, "{}", descriptor.text);
                assert!((value - mirror_grid(turned, 6)[place]).abs() < 1e-6, "{}", descriptor.text);
            }
        }
        assert_eq!(without_evidence(found.clone()).top.name, plain.top.name);
        match evidence {
            AskedEvidence::Best => {
                assert!(worst_sum(&found) < 1e-5);
                assert_eq!(passes, 2);
            }
            AskedEvidence::Occlusion => assert_eq!(passes, 74),
        }
    }
}

#[cfg(feature = "flex")]
#[test]
fn burn_gives_the_grids_of_the_cpu() {
    for folder in [BUILT_IN, NAME] {
        let (mut one, mut other) = (cpu(folder), burn(folder));
        for rgba in [square(3), golden_picture()] {
            for mirrored in [false, true] {
                let look_at = Look { mirrored, ..EXACT };
                let (one, other) = (look(&mut one, &rgba, look_at), look(&mut other, &rgba, look_at));
                let found = differences(&one, &other);
                println!("{folder} {:.1e} {:.1e}", found.0, found.1);
                assert!(found.0 < 1e-5 && found.1 < 1e-5 && worst_sum(&other) < 1e-5, "{found:?}");
            }
        }
        assert_eq!(one.counters().passes, other.counters().passes);
        assert_eq!(one.counters().read_bytes, other.counters().read_bytes);
    }
}

#[test]
fn occlusion_is_what_covering_a_cell_costs() {
    let mut session = built_in(CpuOptions::default());
    let rgba = square(2);
    let plain = look(&mut session, &rgba, Look::default());
    let before = session.counters();
    let found = look(&mut session, &rgba, COVERED);
    let after = session.counters();
    assert_eq!(after.passes - before.passes, 37);
    assert_eq!(after.uploaded_bytes - before.uploaded_bytes, 37 * 4 * 48 * 48);
    assert_eq!(after.read_bytes - before.read_bytes, 37 * 4 * 40);
    assert_eq!(without_evidence(found.clone()), plain, "the answer stays");

    let manifest = session.manifest().clone();
    let pixels = preprocess(Picture::new(&rgba, 48, 48).unwrap(), &manifest.encoder, &manifest.preprocess);
    let descriptors = read(BUILT_IN).descriptors;
    let texts: Vec<String> =
        manifest.expressions.iter().flat_map(|expression| expression.descriptors.clone()).collect();
    for cell in [0, 7, 35] {
        let covered = block_on(session.encode_pixels(&cover(&pixels, 48, cell))).unwrap();
        let covered =
            Rows::new(descriptors.embeddings().to_vec(), descriptors.width()).pooled_similarities(&[&covered]);
        for (descriptor, evidence) in grids(&found) {
            assert_eq!((evidence.side, evidence.method), (6, EvidenceMethod::Occlusion));
            let place = texts.iter().position(|text| **text == *descriptor.text).unwrap();
            let wanted = descriptor.similarity - covered[place];
            assert!((evidence.values[cell] - wanted).abs() < 1e-6, "{cell} {}", descriptor.text);
        }
    }
    // It says something else than the sum.
    assert!(differences_of_values(&found, &look(&mut session, &rgba, EXACT)) > 1e-3);
}

fn differences_of_values(one: &Prediction, other: &Prediction) -> f32 {
    let pairs = grids(one).into_iter().zip(grids(other));
    pairs.flat_map(|(a, b)| a.1.values.iter().zip(&b.1.values)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn an_encoder_with_a_class_token_is_asked_by_occlusion() {
    let folder = "temporal_bundle";
    let mut one = cpu(folder);
    let rgba = golden_picture();
    let before = one.counters();
    let found = look(&mut one, &rgba, EXACT);
    assert_eq!(one.counters().passes - before.passes, 37);
    for (_, evidence) in grids(&found) {
        assert_eq!((evidence.side, evidence.method, evidence.values.len()), (6, EvidenceMethod::Occlusion, 36));
        assert!(evidence.values.iter().any(|value| value.abs() > 1e-4));
    }

    let mut engine = CpuEngine::from_bundle(&mut read(folder)).unwrap();
    is_refused(&block_on(engine.encode_patches(vec![0.0; 24 * 24])).unwrap_err());
}

fn is_refused(error: &cliper::Error) {
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("class token") && error.to_string().contains("occlusion"), "{error}");
}

#[cfg(feature = "flex")]
#[test]
fn burn_covers_as_the_cpu_does() {
    let folder = "temporal_bundle";
    let rgba = golden_picture();
    let found = differences(&look(&mut cpu(folder), &rgba, EXACT), &look(&mut burn(folder), &rgba, COVERED));
    assert!(found.0 < 1e-5 && found.1 < 1e-5, "{found:?}");
    let mut engine = Cliper::<NativeCpu>::from_bundle(&mut read(folder), &Default::default()).unwrap();
    is_refused(&block_on(engine.encode_patches(vec![0.0; 24 * 24])).map(drop).unwrap_err());
}

/// An engine of somebody else's, which knows nothing of patches.
struct Other(CpuEngine);

impl Engine for Other {
    type Embedding = Vec<f32>;

    fn set_rows(&mut self, rows: Vec<f32>) {
        self.0.set_rows(rows);
    }

    async fn encode(&mut self, pixels: Vec<f32>) -> cliper::Result<Vec<f32>> {
        self.0.encode(pixels).await
    }

    async fn similarities(&self, frames: &[&Vec<f32>]) -> cliper::Result<Vec<f32>> {
        self.0.similarities(frames).await
    }

    async fn read(&self, embedding: &Vec<f32>) -> cliper::Result<Vec<f32>> {
        Ok(embedding.clone())
    }
}

#[test]
fn an_engine_without_patches_says_so_and_can_be_asked_by_occlusion() {
    let mut bundle = read(NAME);
    let engine = Other(CpuEngine::from_bundle(&mut bundle).unwrap());
    let mut session = block_on(Session::open(engine, bundle)).unwrap();
    let rgba = golden_picture();
    let picture = Picture::new(&rgba, GOLDEN_SIDE, GOLDEN_SIDE).unwrap();
    let error = block_on(session.recognize_with(picture, EXACT)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("occlusion"), "{error}");
    let found = differences(&look(&mut session, &rgba, COVERED), &look(&mut cpu(NAME), &rgba, COVERED));
    assert_eq!(found, (0.0, 0.0));
}

#[test]
fn each_face_has_evidence_of_its_own() {
    let mut session = built_in(CpuOptions::default());
    let mut detector = faces::detector();
    let rgba = faces::pasted(480, 240, 160, &[(10, 10), (250, 20)]);
    let picture = faces::picture(&rgba);
    let before = session.counters().passes;
    let found = block_on(session.recognize_faces(&mut detector, picture, EXACT)).unwrap();
    assert_eq!((found.faces.len(), session.counters().passes - before), (2, 2));
    let margin = session.manifest().face_margin;
    for face in &found.faces {
        assert!(worst_sum(&face.prediction) < 1e-5);
        let crop = FaceCrop::around(&face.face, margin).cut(picture, 48);
        assert_eq!(look(&mut session, &crop, EXACT), face.prediction);
    }
    assert!(differences_of_values(&found.faces[0].prediction, &found.faces[1].prediction) > 0.0);
}

#[test]
fn the_patches_embeddings_have_the_embedding_as_their_mean() {
    let config = EncoderConfig { pool: TokenPool::Mean, activation: Activation::Gelu, ..encoder() };
    let mut encoder = CpuEncoder::load(&mut drawn::drawn(&config), &config).unwrap();
    let pixels = drawn::picture(&config);
    let wanted = encoder.encode(&pixels);
    let (embedding, patches) = encoder.encode_patches(&pixels).unwrap();
    assert_eq!(embedding, wanted);
    let mean = cliper::evidence::mean_row(&patches, config.embedding);
    assert!(crate::support::relative_error(&mean, &embedding) < 1e-5 && cosine(&mean, &embedding) > 0.999_999_9);
    assert_eq!(encoder.work().passes, 2);
    // The mirror image is another picture.
    assert_ne!(encoder.encode_patches(&mirror(&pixels, config.side)).unwrap().1, patches);
}

#[test]
fn words_for_evidence_are_two() {
    assert_eq!(AskedEvidence::parse("best").unwrap(), AskedEvidence::Best);
    assert_eq!(AskedEvidence::parse("occlusion").unwrap(), AskedEvidence::Occlusion);
    let error = AskedEvidence::parse("sum").unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidArgument && error.to_string().contains("`sum`"), "{error}");
}

#[test]
fn the_contract_is_what_typescript_reads() {
    let path = format!("{}/tests/contract/evidence.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let read: Vec<DescriptorSimilarity> = serde_json::from_str(&text).unwrap();
    // Nothing of the example is lost on the way, and nothing is added: no evidence is no field.
    let wanted: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), wanted);
    let methods: Vec<_> = read.iter().map(|one| one.evidence.as_ref().map(|evidence| evidence.method)).collect();
    assert_eq!(methods, [Some(EvidenceMethod::Sum), Some(EvidenceMethod::Occlusion)]);
    let plain = DescriptorSimilarity { evidence: None, ..read[0].clone() };
    assert!(!serde_json::to_string(&plain).unwrap().contains("evidence"));
}

/// What the fixture's reference says of the golden picture, look after look.
#[derive(serde::Serialize, serde::Deserialize)]
struct Expected {
    alone: Prediction,
    mirrored: Prediction,
    occlusion: Prediction,
}

fn expected<E: Engine>(session: &mut Session<E>) -> Expected {
    let rgba = golden_picture();
    Expected {
        alone: look(session, &rgba, EXACT),
        mirrored: look(session, &rgba, Look { mirrored: true, ..EXACT }),
        occlusion: look(session, &rgba, COVERED),
    }
}

#[test]
fn the_fixture_is_what_the_engines_say() {
    let wanted: Expected = serde_json::from_slice(&fixture(NAME, "expected.json")).unwrap();
    let found = [
        expected(&mut cpu(NAME)),
        #[cfg(feature = "flex")]
        expected(&mut burn(NAME)),
    ];
    for found in found {
        for (found, wanted) in
            [(&found.alone, &wanted.alone), (&found.mirrored, &wanted.mirrored), (&found.occlusion, &wanted.occlusion)]
        {
            let found = differences(found, wanted);
            assert!(found.0 < 1e-5 && found.1 < 1e-5, "{found:?}");
        }
    }
}

/// The fixture's encoder: mean-pooled, with the built-in one's grid of 6 x 6.
fn encoder() -> EncoderConfig {
    let stem = [(8, 2), (12, 1)].map(|(channels, stride)| StemStage { channels, stride }).to_vec();
    EncoderConfig { side: 24, stem, patch: 2, width: 32, layers: 1, heads: 4, embedding: 24, ..EncoderConfig::small() }
}

/// Writes the fixture: a drawn encoder in f16 and in 8 bits, and what Burn says of the golden picture.
/// `cargo test --release --workspace --test evidence -- --ignored write`
#[cfg(feature = "flex")]
#[test]
#[ignore = "writes tests/fixtures/evidence"]
fn write_the_fixture() {
    let encoder = encoder();
    let expressions = ["one", "two", "three"].map(|name| Expression {
        name: name.into(),
        descriptors: (0..2).map(|index| format!("text {index} of {name}")).collect(),
        movements: Vec::new(),
    });
    let tied = |mut weights: Weights| {
        weights.metadata = [(BACKBONE.to_string(), SPACE.to_string())].into();
        weights
    };
    let one = |name: &str, shape: Vec<usize>, data: Vec<f32>| {
        let mut weights = Weights::default();
        weights.insert(name, Values { shape, data }).unwrap();
        tied(weights).write(Precision::F32).unwrap()
    };
    let drawn = tied(drawn::drawn(&encoder));
    let stored = drawn.write(Precision::F16).unwrap();
    let mut rounded = Weights::default();
    rounded.read("encoder", &stored).unwrap();
    let picture = golden_picture();
    let picture = Picture::new(&picture, GOLDEN_SIDE, GOLDEN_SIDE).unwrap();
    let pixels = preprocess(picture, &encoder, &PreprocessConfig::ferplus());
    let golden = CpuEncoder::load(&mut rounded, &encoder).unwrap().encode(&pixels);
    let width = encoder.embedding;
    let embeddings = (0..6 * width).map(|index| ((index * 13 % 29) as f32 - 14.0) / 10.0).collect();
    let files = [
        ("encoder.safetensors", Role::Weights, stored),
        ("descriptors.safetensors", Role::Descriptors, one("embeddings", vec![6, width], embeddings)),
        ("golden.safetensors", Role::Golden, one("embedding", vec![width], golden)),
    ];
    let entry = |(path, role, bytes): &(&str, Role, Vec<u8>)| FileEntry {
        path: (*path).into(),
        role: *role,
        bytes: bytes.len() as u64,
        sha256: sha256(bytes),
    };
    let manifest = Manifest {
        format: FORMAT.into(),
        version: VERSION,
        name: SPACE.into(),
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
        files: files.iter().map(entry).collect(),
    };
    let folder = format!("{}/tests/fixtures/{NAME}", env!("CARGO_MANIFEST_DIR"));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(format!("{folder}/{name}"), bytes).unwrap();
    files.iter().for_each(|(path, _, bytes)| write(path, bytes));
    write("encoder-int8.safetensors", &drawn.write(Precision::Int8).unwrap());
    write("model.json", manifest.to_json().as_bytes());
    write("expected.json", &serde_json::to_vec(&expected(&mut burn(NAME))).unwrap());
    let note = "Written by `cargo test --release --workspace --test evidence -- --ignored write`; do not edit by hand.\n\n\
        A drawn encoder that takes its patches' mean, in f16 and in 8 bits (`encoder-int8.safetensors`, which no manifest \
        names), and what Burn says of the golden picture with evidence: alone, with its mirror image, by occlusion.\n";
    write("README.md", note.as_bytes());
}
