//! Pictures -> embeddings, similarities and figures, on all cores.

use anyhow::Result;
use cliper::engine::cpu::CpuEncoder;
use cliper::metrics::{Evaluation, fit_temperature};
use cliper::model::descriptors::Descriptors;

use crate::data::Example;

/// Cosines with every descriptor for each example, on all cores.
pub fn similarities(
    load: impl Fn() -> Result<CpuEncoder> + Sync,
    pixels: impl Fn(&Example) -> Vec<f32> + Sync,
    descriptors: &Descriptors,
    examples: &[Example],
) -> Result<Vec<Vec<f32>>> {
    let embeddings = embeddings(load, pixels, examples)?;
    Ok(embeddings.iter().map(|embedding| descriptors.similarities(embedding)).collect())
}

/// A unit vector for each example, on all cores; the encoder runs once an example.
pub fn embeddings(
    load: impl Fn() -> Result<CpuEncoder> + Sync,
    pixels: impl Fn(&Example) -> Vec<f32> + Sync,
    examples: &[Example],
) -> Result<Vec<Vec<f32>>> {
    let parts = on_all_cores(examples, |part| {
        let mut encoder = load()?;
        let embed = |example: &Example| {
            let mut embedding = encoder.encode(&pixels(example));
            let length = embedding.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-12);
            embedding.iter_mut().for_each(|value| *value /= length);
            embedding
        };
        Ok(part.iter().map(embed).collect::<Vec<_>>())
    })?;
    Ok(parts.into_iter().flatten().collect())
}

/// What `run` makes of each core's part of some items, in their order.
pub fn on_all_cores<T: Sync, R: Send>(items: &[T], run: impl Fn(&[T]) -> Result<R> + Sync) -> Result<Vec<R>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let run = &run;
    let parts = std::thread::scope(|scope| {
        let threads: Vec<_> =
            items.chunks(items.len().div_ceil(cores).max(1)).map(|part| scope.spawn(move || run(part))).collect();
        threads.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
    });
    let finished = |part: std::thread::Result<Result<R>>| {
        part.map_err(|_| anyhow::anyhow!("an evaluation thread panicked; its message stands above"))?
    };
    parts.into_iter().map(finished).collect()
}

/// The temperature, `least` to 1, at which the pictures' labels are most probable.
pub fn temperature(descriptors: &Descriptors, rows: &[Vec<f32>], examples: &[Example], least: f32) -> f32 {
    fit_temperature(least, 1.0, |temperature| {
        let loss = |(row, example): (&Vec<f32>, &Example)| {
            -f64::from(descriptors.scores(row, temperature)[example.label].max(1e-12).ln())
        };
        rows.iter().zip(examples).map(loss).sum::<f64>() / examples.len() as f64
    })
}

/// The figures of similarities at a temperature.
pub fn evaluation(
    descriptors: &Descriptors,
    similarities: &[Vec<f32>],
    examples: &[Example],
    temperature: f32,
) -> Evaluation {
    let names = descriptors.names().map(String::from).collect();
    let scores: Vec<Vec<f32>> = similarities.iter().map(|row| descriptors.scores(row, temperature)).collect();
    let truth: Vec<usize> = examples.iter().map(|example| example.label).collect();
    Evaluation::new(names, &scores, &truth)
}
