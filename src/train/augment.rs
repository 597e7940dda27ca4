//! Face-true augmentation of a grey square: what a camera and a loose crop do to a face.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::initial::normal;

/// How far each change goes; 0 leaves it out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AugmentConfig {
    /// Share of pictures mirrored.
    pub flip: f32,
    /// Largest roll either way, degrees.
    pub roll: f32,
    /// Largest change of scale either way, share.
    pub scale: f32,
    /// Largest shift either way, share of the side.
    pub shift: f32,
    /// Largest change of contrast and brightness, share.
    pub light: f32,
    /// Largest power of two of the gamma.
    pub gamma: f32,
    /// Largest share of blur by `[1 2 1] / 4` in both directions: 1 is a standard deviation of 0.7 pixels.
    #[serde(default)]
    pub blur: f32,
    /// Largest standard deviation of noise, grey levels.
    pub noise: f32,
    /// Largest side of the cut-out square, share of the side.
    pub cut: f32,
    /// A picture's changes, but its mirroring, are scaled by a number drawn evenly between this and 1, so that some pictures
    /// look as the net will see them; 1 scales none.
    #[serde(default = "one")]
    pub least: f32,
}

/// Runs from before there was a scale.
fn one() -> f32 {
    1.0
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self {
            flip: 0.5,
            roll: 20.0,
            scale: 0.2,
            shift: 0.1,
            light: 0.25,
            gamma: 0.8,
            blur: 1.0,
            noise: 6.0,
            cut: 0.4,
            least: 0.0,
        }
    }
}

/// A changed copy of a grey picture.
///
/// # Shapes
/// - picture, output: `[side * side]`, grey levels 0..255
pub fn augment(picture: &[u8], side: usize, config: &AugmentConfig, random: &mut impl Rng) -> Vec<f32> {
    // Nothing is drawn where nothing is scaled: a run from before goes on as the same run.
    let extent = if config.least < 1.0 { random.random_range(config.least..=1.0) } else { 1.0 };
    let mut within = |most: f32| (random.random::<f32>() * 2.0 - 1.0) * most * extent;
    let (sine, cosine) = within(config.roll).to_radians().sin_cos();
    let zoom = (within(config.scale.ln_1p())).exp();
    let (right, down) = (within(config.shift) * side as f32, within(config.shift) * side as f32);
    let contrast = 1.0 + within(config.light);
    let brightness = within(config.light) * 128.0;
    let gamma = within(config.gamma).exp2();
    let noise = within(config.noise).abs();
    let mirror = if random.random::<f32>() < config.flip { -1.0 } else { 1.0 };
    let middle = (side as f32 - 1.0) / 2.0;
    let curve: [f32; 256] = std::array::from_fn(|level| {
        let level = (level as f32 / 255.0).powf(gamma) * 255.0;
        ((level - 128.0) * contrast + 128.0 + brightness).clamp(0.0, 255.0)
    });
    let last = side as f32 - 1.001;
    let mut output = Vec::with_capacity(side * side);
    for row in 0..side {
        for column in 0..side {
            let (x, y) = ((column as f32 - middle) * mirror * zoom, (row as f32 - middle) * zoom);
            // Beyond the edge the border pixel goes on, as it does in a crop with margin.
            let u = (cosine * x - sine * y + middle + right).clamp(0.0, last);
            let v = (sine * x + cosine * y + middle + down).clamp(0.0, last);
            let (left, top) = (u as usize, v as usize);
            let (fx, fy) = (u - left as f32, v - top as f32);
            let at = |dy: usize, dx: usize| curve[picture[(top + dy) * side + left + dx] as usize];
            let upper = at(0, 0) * (1.0 - fx) + at(0, 1) * fx;
            let lower = at(1, 0) * (1.0 - fx) + at(1, 1) * fx;
            output.push(upper * (1.0 - fy) + lower * fy);
        }
    }
    let strength = random.random::<f32>() * config.blur * extent;
    // Half of the pictures stay sharp.
    if strength > 0.0 && random.random::<bool>() {
        soften(&mut output, side, strength);
    }
    if noise > 0.5 {
        output.iter_mut().for_each(|value| *value = (*value + normal(random) * noise).clamp(0.0, 255.0));
    }
    let cut = (random.random::<f32>() * config.cut * extent * side as f32) as usize;
    if cut > 1 {
        let (top, left) = (random.random_range(0..=side - cut), random.random_range(0..=side - cut));
        for line in output.chunks_exact_mut(side).skip(top).take(cut) {
            line[left..left + cut].fill(128.0);
        }
    }
    output
}

/// `share` of one row and the rest of another, value by value (mixup, Zhang et al. 2018).
pub fn blend(one: &[f32], other: &[f32], share: f32) -> Vec<f32> {
    one.iter().zip(other).map(|(one, other)| share * one + (1.0 - share) * other).collect()
}

/// A share of 0.5 to 1 for [`blend`], the larger part of a number from Beta(mixup, mixup), by Jöhnk's method.
///
/// - mixup: above 0, at most 1
pub fn blend_share(mixup: f32, random: &mut impl Rng) -> f32 {
    loop {
        let [one, other] = [random.random::<f32>(), random.random::<f32>()].map(|value| value.powf(1.0 / mixup));
        let sum = one + other;
        // Both may be too small for a number where the mix is.
        if sum > 0.0 && sum <= 1.0 {
            return one.max(other) / sum;
        }
    }
}

/// Mixes `strength` of a `[1 2 1] / 4` blur into a square, lines first and then columns.
fn soften(square: &mut [f32], side: usize, strength: f32) {
    for (across, along) in [(side, 1), (1, side)] {
        for line in 0..side {
            let mut before = square[line * across];
            for place in 0..side {
                let at = line * across + place * along;
                let value = square[at];
                let after = if place + 1 < side { square[at + along] } else { value };
                square[at] = value + strength * (0.25 * (before + 2.0 * value + after) - value);
                before = value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn a_blend_is_mostly_one_of_the_two_and_its_shares_are_betas() {
        assert_eq!(blend(&[100.0, 0.0], &[0.0, 1.0], 0.75), [75.0, 0.25]);
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for mixup in [0.05, 0.2, 1.0] {
            let shares: Vec<f32> = (0..4000).map(|_| blend_share(mixup, &mut random)).collect();
            assert!(shares.iter().all(|share| (0.5..=1.0).contains(share)));
            // Beta(a, a) has the variance 1 / (8a + 4) about a half, which folding it there leaves alone.
            let variance = shares.iter().map(|share| (share - 0.5).powi(2)).sum::<f32>() / 4000.0;
            assert!((variance - 1.0 / (8.0 * mixup + 4.0)).abs() < 0.01, "{mixup}: {variance}");
        }
    }
}
