//! Fixtures from disk and the measure that parity is judged by.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod drawn;
pub mod faces;
pub mod fades;
pub mod shards;
#[cfg(feature = "train")]
pub mod small_run;

use cliper::bundle::BundleReader;
use cliper::engine::cpu::{CpuEngine, CpuOptions};
use cliper::session::Session;
use cliper::tensors::Weights;
use safetensors::SafeTensors;

/// One file of `tests/fixtures/<name>`.
pub fn fixture(name: &str, file: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/{name}/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The seeded weights of a fixture.
pub fn weights(name: &str) -> Weights {
    let mut read = Weights::default();
    read.read_floats(name, &fixture(name, "weights.safetensors")).unwrap();
    read
}

/// A tensor of integers of a fixture's expected values.
pub fn integers(name: &str, tensor: &str) -> (Vec<i32>, [usize; 2]) {
    let bytes = fixture(name, "expected.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let view = file.tensor(tensor).unwrap();
    let values = view.data().chunks_exact(8).map(|eight| i64::from_le_bytes(eight.try_into().unwrap()) as i32);
    let mut shape = view.shape().iter().copied();
    (values.collect(), [shape.next().unwrap(), shape.next().unwrap_or(1)])
}

/// Largest difference over the largest wanted value.
pub fn relative_error(found: &[f32], wanted: &[f32]) -> f32 {
    assert_eq!(found.len(), wanted.len());
    let most = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0f32, f32::max);
    let difference = most(&mut found.iter().zip(wanted).map(|(a, b)| (a - b).abs()));
    difference / most(&mut wanted.iter().map(|value| value.abs()))
}

/// Runs a future that never waits for another thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::yield_now();
    }
}

/// The built-in model on the lean CPU encoder.
pub fn built_in(options: CpuOptions) -> Session<CpuEngine> {
    let read = |file: &str| {
        let path = format!("{}/pkg-build/models/ferplus-small/{file}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let mut reader = BundleReader::new(&String::from_utf8(read("model.json")).unwrap()).unwrap();
    for file in reader.missing().to_vec() {
        reader.add(&file.path, &read(&file.path)).unwrap();
    }
    let mut bundle = reader.finish().unwrap();
    let engine = CpuEngine::from_bundle_with(&mut bundle, options).unwrap();
    block_on(Session::open(engine, bundle)).unwrap()
}
