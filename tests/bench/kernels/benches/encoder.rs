//! Two blocks of each encoder, and the built-in one whole: multiply-adds a second by arithmetic and threads.

#[path = "../../../support/drawn.rs"]
mod model;

use cliper::config::EncoderConfig;
use cliper::engine::cpu::{Arithmetic, CpuEncoder, CpuOptions, ThreadPool};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::{drawn, picture};

fn encoders(criterion: &mut Criterion) {
    let block = |config: EncoderConfig| EncoderConfig { layers: 2, ..config };
    let shapes = [
        ("built-in", EncoderConfig::small()),
        ("two blocks of ViT-B/32", block(EncoderConfig::vit_b_32())),
        ("two blocks of ViT-B/16", block(EncoderConfig::vit_b_16())),
    ];
    for (name, config) in shapes {
        let weights = drawn(&config);
        let pixels = picture(&config);
        let mut embedding = vec![0.0; config.embedding];
        let mut group = criterion.benchmark_group(name);
        for (arithmetic, threads) in
            [(Arithmetic::F32, 1), (Arithmetic::Int8, 1), (Arithmetic::F32, 2), (Arithmetic::Int8, 2)]
        {
            let options = CpuOptions { arithmetic, pool: ThreadPool::of_threads(threads) };
            let label = options.to_string();
            let mut encoder = CpuEncoder::load_with(&mut weights.clone(), &config, options).expect("drawn weights fit");
            encoder.encode_into(&pixels, &mut embedding);
            group.throughput(Throughput::Elements(encoder.work().multiply_adds));
            group.bench_function(label, |bench| bench.iter(|| encoder.encode_into(&pixels, &mut embedding)));
        }
        group.finish();
    }
}

criterion_group!(benches, encoders);
criterion_main!(benches);
