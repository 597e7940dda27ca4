//! The lean CPU encoder: 8-bit products against f32, teams, work and allocations.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use crate::support::drawn::{drawn, picture};
use crate::support::{fixture, relative_error, weights};
use cliper::config::{Activation, EncoderConfig, TokenPool};
use cliper::engine::cpu::{Arithmetic, CpuEncoder, CpuOptions, ThreadPool};
use cliper::math::cosine;
use cliper::tensors::{Precision, Weights};

/// Counts what this thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: it only counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Six blocks of width 256 on 50 tokens: deep enough that errors add up, small enough to be quick.
fn middle() -> EncoderConfig {
    EncoderConfig { layers: 6, side: 224, patch: 32, ..EncoderConfig::tiny_clip_8m_16() }
}

fn with(arithmetic: Arithmetic, threads: usize) -> CpuOptions {
    CpuOptions { arithmetic, pool: ThreadPool::of_threads(threads) }
}

fn embed(weights: &Weights, config: &EncoderConfig, options: CpuOptions, pixels: &[f32]) -> Vec<f32> {
    CpuEncoder::load_with(&mut weights.clone(), config, options).unwrap().encode(pixels)
}

#[test]
fn eight_bits_keep_the_embedding() {
    let pooled = EncoderConfig { pool: TokenPool::Mean, activation: Activation::Gelu, ..middle() };
    for config in [middle(), pooled] {
        let weights = drawn(&config);
        let pixels = picture(&config);
        let full = embed(&weights, &config, with(Arithmetic::F32, 1), &pixels);
        let bytes = embed(&weights, &config, with(Arithmetic::Int8, 1), &pixels);
        let found = cosine(&full, &bytes);
        println!("cosine {found}");
        assert!(found >= 0.9995, "{found}");
        // It must be another arithmetic, not the same one by mistake.
        assert!(relative_error(&bytes, &full) > 1e-4);
    }
}

#[test]
fn a_bundle_of_eight_bits_is_computed_with_its_own_values() {
    let config = middle();
    let mut stored = Weights::default();
    stored.read("stored", &drawn(&config).write(Precision::Int8).unwrap()).unwrap();
    assert!(stored.has_int8());
    let mut expanded = Weights::default();
    for (name, _) in config.tensors() {
        expanded.insert(&name, stored.get(&name).unwrap()).unwrap();
    }
    assert!(!expanded.has_int8());
    let pixels = picture(&config);
    // Rounding what is rounded changes nothing.
    let as_stored = embed(&stored, &config, with(Arithmetic::Int8, 1), &pixels);
    let rounded_here = embed(&expanded, &config, with(Arithmetic::Int8, 1), &pixels);
    let found = cosine(&rounded_here, &as_stored);
    assert!(found > 0.999_99, "{found}");
}

#[test]
fn the_built_in_model_keeps_its_golden_embedding_in_eight_bits() {
    let golden = |arithmetic| crate::support::built_in(with(arithmetic, 1)).golden_cosine();
    let (full, bytes) = (golden(Arithmetic::F32), golden(Arithmetic::Int8));
    println!("f32 {full} int8 {bytes}");
    assert!(full > 0.999_999 && bytes > 0.9995, "{full} {bytes}");
}

#[test]
fn teams_compute_the_same() {
    let config = middle();
    let weights = drawn(&config);
    let pixels = picture(&config);
    for arithmetic in [Arithmetic::F32, Arithmetic::Int8] {
        let alone = embed(&weights, &config, with(arithmetic, 1), &pixels);
        for threads in [2, 3] {
            assert_eq!(alone, embed(&weights, &config, with(arithmetic, threads), &pixels), "{threads}");
        }
    }
}

#[test]
fn eight_bits_equal_pytorch_within_their_rounding() {
    for name in ["clip_vision", "clip_vision_gelu", "stem_vision"] {
        let config: EncoderConfig = serde_json::from_slice(&fixture(name, "config.json")).unwrap();
        let mut expected = Weights::default();
        expected.read_floats(name, &fixture(name, "expected.safetensors")).unwrap();
        let (pixels, wanted) = (expected.get("pixels").unwrap(), expected.get("embeddings").unwrap());
        let one = pixels.data.len() / pixels.shape[0];
        let mut encoder = CpuEncoder::load_with(&mut weights(name), &config, with(Arithmetic::Int8, 1)).unwrap();
        for (pixels, wanted) in pixels.data.chunks(one).zip(wanted.data.chunks(wanted.shape[1])) {
            let found = cosine(&encoder.encode(pixels), wanted);
            println!("{name} {found}");
            // Widths of 32 and 64 average fewer roundings than a real encoder's.
            assert!(found > 0.999, "{name}: {found}");
        }
    }
}

#[test]
fn a_warm_pass_allocates_nothing() {
    let config = middle();
    let pixels = picture(&config);
    for (arithmetic, threads) in [(Arithmetic::F32, 1), (Arithmetic::Int8, 1), (Arithmetic::F32, 2)] {
        let mut encoder = CpuEncoder::load_with(&mut drawn(&config), &config, with(arithmetic, threads)).unwrap();
        let mut embedding = vec![0.0; config.embedding];
        encoder.encode_into(&pixels, &mut embedding);
        let before = ALLOCATIONS.with(Cell::get);
        encoder.encode_into(&pixels, &mut embedding);
        assert_eq!(ALLOCATIONS.with(Cell::get), before, "{arithmetic:?} {threads}");
    }
}

/// Multiplications and additions that Winograd's points spare in stages of stride 1: on a map of 24 x 24 there are 36 tiles
/// of 36 products for 9 a pixel, on one of 12 x 12 36 tiles of 16.
fn spared_by_points(config: &EncoderConfig) -> usize {
    let (mut side, mut channels, mut spared) = (config.side, config.channels, 0);
    for stage in &config.stem {
        let products = match (stage.stride, side) {
            (1, 24) => 36 * 36,
            (1, 12) => 36 * 16,
            _ => 9 * side.div_ceil(stage.stride).pow(2),
        };
        side = side.div_ceil(stage.stride);
        spared += (9 * side * side - products) * channels * stage.channels;
        channels = stage.channels;
    }
    spared
}

#[test]
fn a_pass_does_the_work_that_the_config_says_and_no_more() {
    for config in [EncoderConfig::small(), middle()] {
        let mut encoder = CpuEncoder::load(&mut drawn(&config), &config).unwrap();
        let pixels = picture(&config);
        encoder.encode(&pixels);
        let once = encoder.work();
        assert_eq!(once.passes, 1);
        // The class token alone leaves the last block: its attention, output and MLP are one row's.
        let (width, tokens) = (config.width, config.tokens());
        let spared = match config.pool {
            TokenPool::Class => (tokens - 1) * (9 * width * width + 2 * tokens * width),
            TokenPool::Mean => 0,
        } + spared_by_points(&config);
        assert_eq!(2 * (once.multiply_adds + spared as u64), config.flops());
        encoder.encode(&pixels);
        assert_eq!((encoder.work().passes, encoder.work().multiply_adds), (2, 2 * once.multiply_adds));
    }
}
