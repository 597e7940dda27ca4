//! Training on a GPU against the processor: `cargo test --release --features gpu --test gpu`, with any Vulkan, Metal or
//! DirectX 12 driver; a software one will do.

#[path = "../support/mod.rs"]
mod support;

use burn::tensor::{Tensor, TensorData};
use cliper::Result;
use cliper::config::EncoderConfig;
use cliper::engine::burn::ops::TrainingOps;
use cliper::engine::burn::{ImageEncoder, TrainingCpu, TrainingGpu};
use cliper::model::descriptors::Descriptors;
use cliper::tensors::Weights;
use cliper::train::{Sample, TrainConfig, TrainOptimizer, Trainer, autodiff_turn, initial_weights};
use support::relative_error;
use support::small_run::small_run;

/// The losses of every step of two epochs.
fn losses<B: TrainingOps>(
    encoder: &EncoderConfig,
    config: &TrainConfig,
    descriptors: &Descriptors,
    samples: &[Sample],
) -> Result<Vec<f64>> {
    let (encoder, config) = (encoder.clone(), config.clone());
    let mut trainer = Trainer::<B>::new(encoder, config, descriptors, "space", &Default::default())?;
    let mut losses = Vec::new();
    for _ in 0..2 {
        trainer.epoch(samples, |progress| losses.push(progress.loss))?;
    }
    // What would be saved is read back too.
    assert!(trainer.deployed(samples)?.names().count() > 10);
    Ok(losses)
}

#[test]
fn a_run_on_a_gpu_is_the_processors() {
    let (encoder, config, descriptors, samples) = small_run();
    for optimizer in [TrainOptimizer::AdamW, TrainOptimizer::Muon] {
        // One part: the modulating factor counts within a part.
        let config = TrainConfig { optimizer, threads: 1, ..config.clone() };
        let gpu = losses::<TrainingGpu>(&encoder, &config, &descriptors, &samples).unwrap();
        let cpu = losses::<TrainingCpu>(&encoder, &config, &descriptors, &samples).unwrap();
        println!("GPU {gpu:.4?}\nCPU {cpu:.4?}");
        assert_eq!(gpu.len(), cpu.len());
        assert!(gpu.iter().zip(&cpu).all(|(found, wanted)| (found - wanted).abs() < 0.01 * wanted.abs()));
    }
}

/// Embeddings and every gradient of their sum, weighted.
fn pass<B: TrainingOps>(config: &EncoderConfig, batch: usize) -> (Vec<f32>, Weights) {
    let _turn = autodiff_turn();
    let device = Default::default();
    let encoder = ImageEncoder::<B>::load(&mut initial_weights(config, 5).unwrap(), config, &device).unwrap();
    let values = |count: usize, step: usize| -> Vec<f32> {
        (0..count).map(|place| ((place * step % 101) as f32 - 50.0) / 50.0).collect()
    };
    let pixels = TensorData::new(values(batch * config.side * config.side, 7919), [batch, 1, config.side, config.side]);
    let embeddings = encoder.forward(Tensor::from_data(pixels, &device));
    let direction = TensorData::new(values(batch * config.embedding, 6101), [batch, config.embedding]);
    let found = embeddings.to_data().convert::<f32>().to_vec().unwrap();
    let loss = (embeddings * Tensor::from_data(direction, &device)).sum();
    (found, encoder.gradients(&mut loss.backward()).unwrap())
}

#[test]
fn the_small_encoders_gradients_are_the_processors() {
    let config = EncoderConfig::small();
    let (found, gradients) = pass::<TrainingGpu>(&config, 8);
    let (wanted, expected) = pass::<TrainingCpu>(&config, 8);
    let error = relative_error(&found, &wanted);
    println!("embeddings {error:.2e}");
    assert!(error < 1e-4, "{error}");
    for name in expected.names().filter(|name| name.ends_with("weight")) {
        let (found, wanted) = (&gradients.get(name).unwrap().data, &expected.get(name).unwrap().data);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
        let cosine = dot(found, wanted) / (dot(found, found) * dot(wanted, wanted)).sqrt();
        println!("{name} {cosine:.6}");
        // Not by the largest difference: a ReLU at its edge falls on either side.
        assert!(cosine > 0.999, "{name}: {cosine}");
    }
}

#[test]
fn a_whole_batch_fits_or_the_run_says_that_it_does_not() {
    let (_, config, descriptors, squares) = small_run();
    let encoder = EncoderConfig { embedding: 24, ..EncoderConfig::small() };
    let samples: Vec<Sample> = (0..64)
        .map(|index| {
            let square = &squares[index % squares.len()];
            let picture = (0..48 * 48).map(|place| square.picture[place / 96 * 24 + place % 48 / 2]).collect();
            Sample { picture, votes: square.votes.clone(), auxiliary: Vec::new() }
        })
        .collect();
    let config = TrainConfig { batch: 64, rate: 1e-3, threads: 1, ..config };
    match losses::<TrainingGpu>(&encoder, &config, &descriptors, &samples) {
        Ok(losses) => assert!(losses[1] < losses[0], "{losses:?}"),
        // After a buffer that the driver did not give, the backend goes on with wrong values.
        Err(error) => assert!(error.to_string().contains("--batch"), "{error}"),
    }
}
