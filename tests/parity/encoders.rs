//! Parity with PyTorch, transformers and Pillow on seeded fixtures (scripts in `tests/reference`).

use crate::support::{fixture, relative_error, weights};
use burn::tensor::{Int, Tensor, TensorData};
use cliper::config::{EncoderConfig, ResizeConfig};
use cliper::engine::burn::text::TextEncoder;
use cliper::engine::burn::{ImageEncoder, NativeCpu};
use cliper::engine::cpu::CpuEncoder;
use cliper::engine::tokens::TextConfig;
use cliper::preprocess::{Picture, resize_and_crop};
use cliper::tensors::{Values, Weights};

/// f32 sums in another order than PyTorch's.
const TOLERANCE: f32 = 1e-4;

const VISION: [&str; 3] = ["clip_vision", "clip_vision_gelu", "stem_vision"];

fn config(name: &str) -> EncoderConfig {
    serde_json::from_slice(&fixture(name, "config.json")).unwrap()
}

fn expected(name: &str) -> Weights {
    let mut read = Weights::default();
    read.read_floats(name, &fixture(name, "expected.safetensors")).unwrap();
    read
}

fn pixels(values: &Values) -> Tensor<NativeCpu, 4> {
    let shape: [usize; 4] = values.shape.clone().try_into().unwrap();
    Tensor::from_data(TensorData::new(values.data.clone(), shape), &Default::default())
}

#[test]
fn burn_encoder_equals_pytorch() {
    for name in VISION {
        let expected = expected(name);
        let mut weights = weights(name);
        let encoder = ImageEncoder::<NativeCpu>::load(&mut weights, &config(name), &Default::default()).unwrap();
        weights.finish().unwrap();
        let found = encoder.forward(pixels(&expected.get("pixels").unwrap()));
        let found: Vec<f32> = found.into_data().to_vec().unwrap();
        let error = relative_error(&found, &expected.get("embeddings").unwrap().data);
        println!("{name} burn {error:.2e}");
        assert!(error < TOLERANCE, "{name}: {error}");
    }
}

#[test]
fn cpu_encoder_equals_pytorch() {
    for name in VISION {
        let expected = expected(name);
        let mut weights = weights(name);
        let mut encoder = CpuEncoder::load(&mut weights, &config(name)).unwrap();
        weights.finish().unwrap();
        let (pixels, wanted) = (expected.get("pixels").unwrap(), expected.get("embeddings").unwrap());
        let (one, width) = (pixels.data.len() / pixels.shape[0], wanted.shape[1]);
        for (pixels, wanted) in pixels.data.chunks(one).zip(wanted.data.chunks(width)) {
            let error = relative_error(&encoder.encode(pixels), wanted);
            println!("{name} cpu {error:.2e}");
            assert!(error < TOLERANCE, "{name}: {error}");
        }
    }
}

#[test]
fn saving_gives_back_the_tensors_that_were_loaded() {
    for name in VISION {
        let mut taken = weights(name);
        let encoder = ImageEncoder::<NativeCpu>::load(&mut taken, &config(name), &Default::default()).unwrap();
        let mut saved = Weights::default();
        encoder.save(&mut saved).unwrap();
        let original = weights(name);
        assert!(original.names().eq(saved.names()), "{name}");
        for tensor in original.names() {
            assert_eq!(original.get(tensor), saved.get(tensor), "{name} {tensor}");
        }
        let shapes: Vec<_> = config(name).tensors();
        assert_eq!(shapes.len(), original.names().count());
        for (tensor, shape) in shapes {
            assert_eq!(original.get(&tensor).unwrap().shape, shape, "{tensor}");
        }
    }
}

#[test]
fn text_tower_equals_transformers() {
    let config: TextConfig = serde_json::from_slice(&fixture("bert", "config.json")).unwrap();
    let mut read = weights("bert");
    let encoder = TextEncoder::<NativeCpu>::load(&mut read, &config, &Default::default()).unwrap();
    let (ids, [batch, tokens]) = crate::support::integers("bert", "ids");
    let (mask, _) = crate::support::integers("bert", "mask");
    let mask: Vec<f32> = mask.iter().map(|&value| value as f32).collect();
    let ids = Tensor::<NativeCpu, 2, Int>::from_data(TensorData::new(ids, [batch, tokens]), &Default::default());
    let mask = Tensor::from_data(TensorData::new(mask, [batch, tokens]), &Default::default());
    let found: Vec<f32> = encoder.forward(ids, mask).into_data().to_vec().unwrap();
    let error = relative_error(&found, &expected("bert").get("embedding").unwrap().data);
    println!("bert {error:.2e}");
    assert!(error < TOLERANCE, "{error}");
}

#[test]
fn preprocessing_equals_pillow() {
    #[derive(serde::Deserialize)]
    struct Case {
        input: String,
        side: usize,
        grey: bool,
        expected: String,
    }
    let cases: Vec<Case> = serde_json::from_slice(&fixture("preprocess", "cases.json")).unwrap();
    assert!(cases.len() >= 5);
    for case in cases {
        let picture = image::load_from_memory(&fixture("preprocess", &case.input)).unwrap().to_rgba8();
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let picture = Picture::new(&picture, width, height).unwrap();
        let found = resize_and_crop(picture, case.side, if case.grey { 1 } else { 3 }, &ResizeConfig::default());
        let wanted = image::load_from_memory(&fixture("preprocess", &case.expected)).unwrap();
        let wanted = if case.grey { wanted.to_luma8().into_raw() } else { wanted.to_rgb8().into_raw() };
        let differences: Vec<u8> = found.iter().zip(&wanted).map(|(a, b)| a.abs_diff(*b)).collect();
        assert_eq!(found.len(), wanted.len(), "{}", case.expected);
        let mean = differences.iter().map(|&value| f64::from(value)).sum::<f64>() / differences.len() as f64;
        let most = differences.iter().max().unwrap();
        println!("{} most {most} mean {mean:.4}", case.expected);
        // One grey level: Pillow's weights are 22-bit integers, ours f32, so a sum near .5 may round the other way.
        assert!(*most <= 1 && mean <= 0.2, "{}: most {most}, mean {mean}", case.expected);
    }
}

#[test]
fn presets_have_the_published_sizes() {
    // Vision parameters and GFLOP an image of OpenAI's and TinyCLIP's models; theirs count a little more than products.
    for (name, parameters, gigaflops) in [
        ("vit-b-16", 86_192_640, 35.1),
        ("vit-b-32", 87_849_216, 8.8),
        ("tiny-clip-39m-16", 38_587_392, 16.0),
        ("tiny-clip-40m-32", 39_691_776, 4.0),
        ("tiny-clip-8m-16", 8_276_992, 3.6),
    ] {
        let config = EncoderConfig::preset(name).unwrap();
        config.validate().unwrap();
        assert_eq!(config.parameters(), parameters, "{name}");
        let found = config.flops() as f64 / 1e9;
        assert!((found / gigaflops - 1.0).abs() < 0.03, "{name}: {found}");
    }
    let small = EncoderConfig::small();
    small.validate().unwrap();
    assert!(small.flops() < 500_000_000);
}
