//! An encoder that was trained, with a wider stem that computes the same: a larger net need not start from nothing.
//!
//! Net2Net (Chen et al. 2016, arXiv 1511.05641): a new channel is a copy of an old one, and what reads both is split
//! between them.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::initial::normal;
use crate::config::{EncoderConfig, StemStage};
use crate::error::{Error, ErrorKind, Result};
use crate::tensors::{Values, Weights};

/// What a copy's own weights differ by from the original's, beside their deviation: without it the two would stay alike.
const NOISE: f32 = 0.1;

/// A map's channels: which old one each is, and the share of it that what follows reads from here.
#[derive(Debug, Clone)]
struct Channels {
    from: Vec<usize>,
    shares: Vec<f32>,
}

/// Weights of `to` that compute what `weights` of `from` do, but for noise in the copied channels.
///
/// # Errors
/// [`ErrorKind::InvalidTraining`] where `to` differs in more than its stem's channels, or has fewer of them.
pub fn widen(weights: &Weights, from: &EncoderConfig, to: &EncoderConfig, seed: u64) -> Result<Weights> {
    widen_with(weights, from, to, seed, NOISE)
}

fn widen_with(weights: &Weights, from: &EncoderConfig, to: &EncoderConfig, seed: u64, noise: f32) -> Result<Weights> {
    check(from, to)?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut weights = weights.clone();
    let mut wider = Weights::default();
    let mut before = Channels::kept(from.channels);
    for (index, (old, new)) in from.stem.iter().zip(&to.stem).enumerate() {
        let name = format!("vision_model.embeddings.stem.{index}");
        let after = Channels::draw(old.channels, new.channels, &mut random);
        let convolution = format!("{name}.convolution.weight");
        let shape = [old.channels, before.old(), 3, 3];
        let mut values = spread(&weights.take(&convolution, &shape)?, &after, &before);
        disturb(&mut values, &after, noise, &mut random);
        wider.insert(&convolution, Values { shape: vec![new.channels, before.from.len(), 3, 3], data: values })?;
        for part in ["convolution.bias", "norm.weight", "norm.bias"].map(|part| format!("{name}.{part}")) {
            if weights.get(&part).is_some() {
                let old = weights.take(&part, &[old.channels])?;
                let data = after.from.iter().map(|&channel| old[channel]).collect();
                wider.insert(&part, Values { shape: vec![new.channels], data })?;
            }
        }
        before = after;
    }
    let name = "vision_model.embeddings.patch_embedding.weight";
    let old = weights.take(name, &[from.width, before.old(), from.patch, from.patch])?;
    let data = spread(&old, &Channels::kept(from.width), &before);
    wider.insert(name, Values { shape: vec![to.width, before.from.len(), to.patch, to.patch], data })?;
    wider.append(weights)?;
    Ok(wider)
}

fn check(from: &EncoderConfig, to: &EncoderConfig) -> Result<()> {
    to.validate()?;
    let grows = |(old, new): (&StemStage, &StemStage)| old.stride == new.stride && old.channels <= new.channels;
    let alike = EncoderConfig { stem: from.stem.clone(), ..to.clone() } == *from;
    if alike && from.stem.len() == to.stem.len() && from.stem.iter().zip(&to.stem).all(grows) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidTraining,
        "an encoder can be widened to one of as many stages with the same strides, no fewer channels each, and everything \
         else alike",
    ))
}

impl Channels {
    /// As they were.
    fn kept(count: usize) -> Self {
        Self { from: (0..count).collect(), shares: vec![1.0; count] }
    }

    /// The old ones and copies of some of them, each of the old ones copied as often as another or once more.
    fn draw(old: usize, new: usize, random: &mut impl Rng) -> Self {
        let mut from: Vec<usize> = (0..old).collect();
        let mut left = Vec::new();
        while from.len() < new {
            if left.is_empty() {
                left = (0..old).collect();
            }
            from.push(left.swap_remove(random.random_range(0..left.len())));
        }
        let mut shares: Vec<f32> = from.iter().map(|_| random.random_range(0.5..1.0)).collect();
        let mut totals = vec![0.0; old];
        from.iter().zip(&shares).for_each(|(&channel, share)| totals[channel] += share);
        from.iter().zip(&mut shares).for_each(|(&channel, share)| *share /= totals[channel]);
        Self { from, shares }
    }

    /// How many there were.
    fn old(&self) -> usize {
        self.from.iter().max().map_or(0, |most| most + 1)
    }
}

/// `[outputs, inputs, ...]` for more of both.
fn spread(values: &[f32], outputs: &Channels, inputs: &Channels) -> Vec<f32> {
    let area = values.len() / (outputs.old() * inputs.old());
    let mut wider = Vec::with_capacity(outputs.from.len() * inputs.from.len() * area);
    for &output in &outputs.from {
        for (&input, share) in inputs.from.iter().zip(&inputs.shares) {
            let start = (output * inputs.old() + input) * area;
            wider.extend(values[start..start + area].iter().map(|value| value * share));
        }
    }
    wider
}

/// Adds noise to the rows of copies, which stand behind the old ones.
fn disturb(values: &mut [f32], outputs: &Channels, noise: f32, random: &mut impl Rng) {
    let length = values.len() / outputs.from.len();
    for row in values.chunks_exact_mut(length).skip(outputs.old()) {
        let deviation = (row.iter().map(|value| value * value).sum::<f32>() / length as f32).sqrt();
        row.iter_mut().for_each(|value| *value += noise * deviation * normal(random));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::cpu::CpuEncoder;
    use crate::train::initial_weights;

    fn small(stem: &[(usize, usize)]) -> EncoderConfig {
        let stem = stem.iter().map(|&(channels, stride)| StemStage { channels, stride }).collect();
        EncoderConfig { side: 12, stem, width: 16, heads: 2, embedding: 8, ..EncoderConfig::small() }
    }

    fn encode(weights: &Weights, config: &EncoderConfig) -> Vec<f32> {
        let deployed = config.tensors().into_iter().map(|(name, _)| (name.clone(), weights.get(&name).unwrap()));
        let mut alone = Weights::default();
        deployed.for_each(|(name, values)| alone.insert(&name, values).unwrap());
        let pixels: Vec<f32> = (0..144).map(|place| ((place * 31 % 17) as f32 - 8.0) / 8.0).collect();
        CpuEncoder::load(&mut alone, config).unwrap().encode(&pixels)
    }

    fn difference(a: &[f32], b: &[f32]) -> f32 {
        let largest = |values: &[f32]| values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        largest(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>()) / largest(a)
    }

    #[test]
    fn a_wider_stem_computes_the_same_but_for_the_noise() {
        let (from, to) = (small(&[(8, 1), (12, 2), (16, 2)]), small(&[(8, 1), (20, 2), (40, 2)]));
        let weights = initial_weights(&from, 3).unwrap();
        let before = encode(&weights, &from);
        let exact = widen_with(&weights, &from, &to, 1, 0.0).unwrap();
        assert!(difference(&before, &encode(&exact, &to)) < 1e-5);
        let noisy = widen(&weights, &from, &to, 1).unwrap();
        let off = difference(&before, &encode(&noisy, &to));
        assert!(off > 1e-4 && off < 0.5, "{off}");
        // What training needs is there too.
        assert!(to.training_tensors().iter().all(|(name, shape)| noisy.get(name).unwrap().shape == *shape));
    }

    #[test]
    fn only_more_channels_are_taken() {
        let from = small(&[(8, 1), (12, 2), (16, 2)]);
        let weights = initial_weights(&from, 3).unwrap();
        for stem in [&[(8, 1), (8, 2), (16, 2)][..], &[(8, 1), (12, 1), (16, 2)], &[(8, 1), (12, 2)]] {
            let error = widen(&weights, &from, &small(stem), 1).err().unwrap();
            assert!(error.to_string().contains("no fewer channels"), "{error}");
        }
        let deeper = EncoderConfig { layers: 2, ..from.clone() };
        assert!(widen(&weights, &from, &deeper, 1).is_err());
    }
}
