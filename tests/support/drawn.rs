//! A model with drawn weights, and a picture for it: for what needs no trained one.

use cliper::config::EncoderConfig;
use cliper::tensors::{Values, Weights};

/// A model of a config with drawn weights: matrices that keep the variance, so that every block counts.
pub fn drawn(config: &EncoderConfig) -> Weights {
    let mut state = 7u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    let mut weights = Weights::default();
    for (name, shape) in config.tensors() {
        let count = shape.iter().product();
        let inputs: usize = shape[1..].iter().product();
        let is_norm_weight = name.contains("norm") && name.ends_with("weight");
        let size = if shape.len() == 1 { 0.1 } else { (3.0 / inputs as f32).sqrt() };
        let data = (0..count).map(|_| f32::from(u8::from(is_norm_weight)) + size * random()).collect();
        weights.insert(&name, Values { shape, data }).unwrap();
    }
    weights
}

/// A picture in the encoder's range.
pub fn picture(config: &EncoderConfig) -> Vec<f32> {
    let count = config.channels * config.side * config.side;
    (0..count).map(|index| ((index * 7919 % 1013) as f32 / 506.5 - 1.0) * 1.5).collect()
}
