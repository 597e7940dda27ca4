//! What loading takes at its peak, counted by the allocator: a model is never twice in memory.

#[path = "../support/mod.rs"]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use cliper::bundle::BundleReader;
use cliper::config::{Activation, EncoderConfig};
use cliper::engine::cpu::{Arithmetic, CpuEncoder, CpuOptions, CpuPacking, ThreadPool};
use cliper::import::{Checkpoint, CheckpointHints};
use cliper::tensors::{Precision, TensorWriter, Weights};
use support::shards::{sharded, tensor};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);
/// One test counts at a time.
static TURN: Mutex<()> = Mutex::new(());

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs and gives the result, the bytes at the peak and the bytes that stayed, both above what was there before.
fn counted<T>(run: impl FnOnce() -> T) -> (T, usize, usize) {
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let result = run();
    (result, MOST.load(Ordering::Relaxed) - before, NOW.load(Ordering::Relaxed) - before)
}

fn config() -> EncoderConfig {
    EncoderConfig { side: 64, width: 256, layers: 6, heads: 4, ..EncoderConfig::vit_b_16() }
}

#[test]
fn a_bundle_is_loaded_within_1_3_of_its_weights() {
    let _turn = TURN.lock().unwrap();
    for (precision, arithmetic) in [
        (Precision::F32, Arithmetic::F32),
        (Precision::F16, Arithmetic::F32),
        (Precision::Int8, Arithmetic::F32),
        (Precision::Int8, Arithmetic::Int8),
    ] {
        let (manifest, files) = sharded(&config(), precision);
        let (manifest, stored) = (manifest.to_json(), files.iter().map(|(_, bytes)| bytes.len()).sum::<usize>());
        let (encoder, most, stays) = counted(|| {
            let mut reader = BundleReader::new(&manifest).unwrap();
            for (path, bytes) in &files {
                // A file's bytes are there only while it is read.
                reader.add(path, &bytes.clone()).unwrap();
            }
            let options = CpuOptions { arithmetic, ..CpuOptions::default() };
            CpuEncoder::load_with(&mut reader.finish().unwrap().weights, &config(), options).unwrap()
        });
        println!("{precision:?} for {arithmetic:?}: {stored} bytes of files, {stays} of encoder, {most} at most");
        assert!(most * 10 <= stays * 13, "{precision:?} for {arithmetic:?}: {most} at most, {stays} in the end");
        assert!(arithmetic == Arithmetic::F32 || stays * 10 <= stored * 12, "8-bit weights stay so: {stays}");
        drop(encoder);
    }
}

#[test]
fn packed_as_it_comes_a_model_takes_no_more_than_itself_and_a_block() {
    let _turn = TURN.lock().unwrap();
    for precision in [Precision::F16, Precision::Int8] {
        let config = EncoderConfig { layers: 12, ..config() };
        let (manifest, files) = sharded(&config, precision);
        let manifest = manifest.to_json();
        let (_, most, stays) = counted(|| {
            let mut reader = BundleReader::new(&manifest).unwrap();
            let mut packing = CpuPacking::new(&config, None).unwrap();
            for (path, bytes) in &files {
                reader.add(path, &bytes.clone()).unwrap();
                packing.advance(reader.weights()).unwrap();
            }
            packing.finish(&mut reader.finish().unwrap().weights, ThreadPool::single()).unwrap()
        });
        let block = stays / config.layers;
        println!("{precision:?}: {stays} of encoder, {most} at most, {block} a block");
        assert!(most <= stays + 2 * block, "{precision:?}: {most} at most, {stays} in the end, {block} a block");
    }
}

#[test]
fn until_they_are_taken_weights_are_as_large_as_their_files() {
    let _turn = TURN.lock().unwrap();
    for precision in [Precision::F32, Precision::F16, Precision::Int8] {
        let (_, files) = sharded(&config(), precision);
        let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        let (weights, _, stays) = counted(|| {
            let mut weights = Weights::default();
            files.iter().for_each(|(path, bytes)| weights.read(path, bytes).unwrap());
            weights
        });
        assert!(stays * 10 <= bytes * 11, "{precision:?}: {stays} for {bytes}");
        drop(weights);
    }
}

#[test]
fn a_checkpoint_is_rewritten_with_one_tensor_in_memory() {
    let _turn = TURN.lock().unwrap();
    let tensors = config().tensors();
    let folder = std::env::temp_dir().join(format!("cliper-memory-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("model.safetensors");
    let mut writer =
        TensorWriter::new(std::fs::File::create(&path).unwrap(), tensors.clone(), &Default::default(), Precision::F32)
            .unwrap();
    tensors.iter().for_each(|(_, shape)| writer.push(&tensor(shape)).unwrap());
    writer.finish().unwrap();
    let largest = tensors.iter().map(|(_, shape)| 4 * shape.iter().product::<usize>()).max().unwrap();
    let (_, most, _) = counted(|| {
        let files = vec![("model.safetensors".to_string(), std::fs::File::open(&path).unwrap())];
        let mut checkpoint = Checkpoint::open(files, &CheckpointHints::with_activation(Activation::Gelu)).unwrap();
        let mut writer =
            TensorWriter::new(std::io::sink(), tensors.clone(), &Default::default(), Precision::F16).unwrap();
        for (name, _) in &tensors {
            writer.push(&checkpoint.read(name).unwrap()).unwrap();
        }
        writer.finish().unwrap();
    });
    std::fs::remove_dir_all(&folder).unwrap();
    println!("{most} at most, the largest tensor has {largest}");
    // The values, and pieces of bytes and of the list of tensors.
    assert!(most <= largest + (1 << 20), "{most}");
}
