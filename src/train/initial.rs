//! Seeded initial weights of an encoder, with CLIP's standard deviations.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::config::EncoderConfig;
use crate::error::Result;
use crate::tensors::{Values, Weights};

/// Weights that training starts from: norms at 1 and 0, biases at 0, the rest normal with the standard deviations of
/// CLIP's `initialize_parameters`; convolutions by their fan-in (He).
pub fn initial_weights(config: &EncoderConfig, seed: u64) -> Result<Weights> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut weights = Weights::default();
    let width = (config.width as f32).powf(-0.5);
    let deep = width * (2.0 * config.layers as f32).powf(-0.5);
    for (name, shape) in config.tensors().into_iter().chain(config.training_tensors()) {
        let count: usize = shape.iter().product();
        let inputs: usize = shape[1..].iter().product();
        let deviation = match name.as_str() {
            name if name.contains("norm") && name.ends_with("weight") => None,
            name if name.ends_with("bias") => Some(0.0),
            name if name.contains("stem") => Some((2.0 / inputs as f32).sqrt()),
            name if name.contains("patch_embedding") => Some((inputs as f32).powf(-0.5)),
            name if name.contains("position_embedding") => Some(0.01),
            name if name.contains("out_proj") || name.contains("fc2") => Some(deep),
            name if name.contains("fc1") => Some((2.0 * config.width as f32).powf(-0.5)),
            // The projection's scale drops out of the cosines, but a step moves a long row by a smaller angle.
            "visual_projection.weight" => Some(8.0 * width),
            _ => Some(width),
        };
        let data = match deviation {
            None => vec![1.0; count],
            Some(deviation) => (0..count).map(|_| normal(&mut random) * deviation).collect(),
        };
        weights.insert(&name, Values { shape, data })?;
    }
    Ok(weights)
}

/// A standard normal number by Box and Muller's method.
pub fn normal(random: &mut impl Rng) -> f32 {
    let (a, b) = (random.random::<f32>().max(1e-12), random.random::<f32>());
    (-2.0 * a.ln()).sqrt() * (std::f32::consts::TAU * b).cos()
}
