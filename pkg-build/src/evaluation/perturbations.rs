//! Made perturbations of labelled pictures: what a live face does that a data set's crop does not.

use anyhow::{Context, Result};
use cliper::Point;
use cliper::face::FaceCrop;
use cliper::preprocess::{Picture, grey};
use cliper::train::normal;
use image::GrayImage;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// One way to change a picture.
pub struct Perturbation {
    /// For tables.
    pub name: &'static str,
    change: Change,
}

#[derive(Clone, Copy)]
enum Change {
    /// Size and place of the face in the picture, and its roll: share, shares of the side, degrees clockwise.
    Place { scale: f32, right: f32, down: f32, roll: f32 },
    /// Levels to this power, black and white kept.
    Gamma(f32),
    /// Light falls from the left: this share of it reaches the right edge.
    Side(f32),
    /// Standard deviation in pixels of a 48-pixel picture.
    Blur(f32),
    /// Standard deviation in grey levels.
    Noise(f32),
    /// Quality of a JPEG round trip.
    Jpeg(u8),
}

/// Every perturbation that is measured.
pub const ALL: [Perturbation; 14] = [
    place("face 20 % smaller", 0.8, 0.0, 0.0, 0.0),
    place("face 20 % larger", 1.2, 0.0, 0.0, 0.0),
    place("10 % to the left", 1.0, -0.1, 0.0, 0.0),
    place("10 % to the right", 1.0, 0.1, 0.0, 0.0),
    place("10 % up", 1.0, 0.0, -0.1, 0.0),
    place("10 % down", 1.0, 0.0, 0.1, 0.0),
    place("rolled 20 degrees left", 1.0, 0.0, 0.0, -20.0),
    place("rolled 20 degrees right", 1.0, 0.0, 0.0, 20.0),
    Perturbation { name: "gamma 0.5", change: Change::Gamma(0.5) },
    Perturbation { name: "gamma 2", change: Change::Gamma(2.0) },
    Perturbation { name: "lit from one side", change: Change::Side(0.3) },
    Perturbation { name: "blurred, 1 pixel", change: Change::Blur(1.0) },
    Perturbation { name: "noise, 10 levels", change: Change::Noise(10.0) },
    Perturbation { name: "JPEG, quality 30", change: Change::Jpeg(30) },
];

const fn place(name: &'static str, scale: f32, right: f32, down: f32, roll: f32) -> Perturbation {
    Perturbation { name, change: Change::Place { scale, right, down, roll } }
}

impl Perturbation {
    /// A changed copy of a grey picture.
    ///
    /// # Shapes
    /// - picture, output: `[side * side]`
    /// - seed: of the noise; the picture's number, so that every run makes the same
    pub fn apply(&self, picture: &[u8], side: usize, seed: u64) -> Result<Vec<u8>> {
        let levels = |change: &dyn Fn(f32) -> f32| -> Vec<u8> {
            picture.iter().map(|&level| round(change(f32::from(level) / 255.0) * 255.0)).collect()
        };
        let image = || {
            GrayImage::from_raw(side as u32, side as u32, picture.to_vec())
                .context("the picture does not fill its side")
        };
        Ok(match self.change {
            Change::Place { scale, right, down, roll } => {
                let rgba: Vec<u8> = picture.iter().flat_map(|&level| [level, level, level, 255]).collect();
                let length = side as f32;
                // The face goes right when the square goes left, and turns right when the square turns left; the
                // shift is the face's in the changed picture, hence the turn and the scale.
                let (sin, cos) = roll.to_radians().sin_cos();
                let (x, y) = (right * length / scale, down * length / scale);
                let center = Point { x: length / 2.0 - (x * cos + y * sin), y: length / 2.0 - (y * cos - x * sin) };
                let crop = FaceCrop { center, side: length / scale, roll: -roll.to_radians() };
                crop.cut(Picture::new(&rgba, side, side)?, side).chunks_exact(4).map(grey).collect()
            }
            Change::Gamma(power) => levels(&|level| level.powf(power)),
            Change::Side(least) => {
                let light = |column: usize| 1.0 - (1.0 - least) * (column as f32 + 0.5) / side as f32;
                let lit = |(index, &level): (usize, &u8)| round(f32::from(level) * light(index % side));
                picture.iter().enumerate().map(lit).collect()
            }
            Change::Blur(deviation) => image::imageops::blur(&image()?, deviation * side as f32 / 48.0).into_raw(),
            Change::Noise(deviation) => {
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                picture.iter().map(|&level| round(f32::from(level) + normal(&mut random) * deviation)).collect()
            }
            Change::Jpeg(quality) => {
                let mut bytes = Vec::new();
                image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(&image()?)?;
                image::load_from_memory(&bytes)?.into_luma8().into_raw()
            }
        })
    }
}

fn round(level: f32) -> u8 {
    (level + 0.5).clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 48;

    /// Dark, with one bright square of 4 pixels whose middle lies at (x, y).
    fn spot(x: usize, y: usize) -> Vec<u8> {
        let near = |a: usize, b: usize| a + 2 >= b && a < b + 2;
        (0..SIDE * SIDE).map(|index| if near(index % SIDE, x) && near(index / SIDE, y) { 220 } else { 20 }).collect()
    }

    /// Middle of the brightness above the dark.
    fn middle(picture: &[u8]) -> (f32, f32) {
        let (mut sum, mut x, mut y) = (0.0, 0.0, 0.0);
        for (index, &level) in picture.iter().enumerate() {
            let weight = f32::from(level) - 20.0;
            sum += weight;
            x += weight * ((index % SIDE) as f32 + 0.5);
            y += weight * ((index / SIDE) as f32 + 0.5);
        }
        (x / sum, y / sum)
    }

    fn named(name: &str) -> &'static Perturbation {
        static EVERY: [Perturbation; 14] = ALL;
        EVERY.iter().find(|perturbation| perturbation.name == name).unwrap()
    }

    #[test]
    fn places_move_the_face_as_they_say() {
        let moved = |name: &str, x: usize, y: usize| middle(&named(name).apply(&spot(x, y), SIDE, 0).unwrap());
        let near = |found: (f32, f32), x: f32, y: f32| {
            assert!((found.0 - x).abs() < 0.3 && (found.1 - y).abs() < 0.3, "{found:?} instead of {x}, {y}");
        };
        near(moved("10 % to the right", 24, 24), 28.8, 24.0);
        near(moved("10 % to the left", 24, 24), 19.2, 24.0);
        near(moved("10 % up", 24, 24), 24.0, 19.2);
        near(moved("10 % down", 24, 24), 24.0, 28.8);
        near(moved("face 20 % smaller", 34, 24), 32.0, 24.0);
        near(moved("face 20 % larger", 34, 24), 36.0, 24.0);
        // Clockwise on screen: what lies above the middle goes right.
        let (sin, cos) = 20f32.to_radians().sin_cos();
        near(moved("rolled 20 degrees right", 24, 12), 24.0 + 12.0 * sin, 24.0 - 12.0 * cos);
        near(moved("rolled 20 degrees left", 24, 12), 24.0 - 12.0 * sin, 24.0 - 12.0 * cos);
    }

    #[test]
    fn light_and_losses_do_what_they_say() {
        let ramp: Vec<u8> = (0..SIDE * SIDE).map(|index| (index % SIDE * 5 + 10) as u8).collect();
        let change = |name: &str| named(name).apply(&ramp, SIDE, 7).unwrap();
        let level = |picture: &[u8], column: usize| f32::from(picture[SIDE * 20 + column]) / 255.0;
        assert!((level(&change("gamma 2"), 20) - level(&ramp, 20).powi(2)).abs() < 0.01);
        assert!((level(&change("gamma 0.5"), 20) - level(&ramp, 20).sqrt()).abs() < 0.01);
        assert!((level(&change("lit from one side"), 47) - level(&ramp, 47) * 0.307).abs() < 0.01);
        assert_eq!(change("noise, 10 levels"), change("noise, 10 levels"));
        assert_ne!(change("noise, 10 levels"), named("noise, 10 levels").apply(&ramp, SIDE, 8).unwrap());
        let spread = |name: &str, picture: &[u8]| {
            let changed = named(name).apply(picture, SIDE, 1).unwrap();
            let squares = changed.iter().zip(picture).map(|(a, b)| (f32::from(*a) - f32::from(*b)).powi(2));
            (squares.sum::<f32>() / picture.len() as f32).sqrt()
        };
        let flat = vec![128; SIDE * SIDE];
        assert!((spread("noise, 10 levels", &flat) - 10.0).abs() < 0.5);
        assert!(spread("blurred, 1 pixel", &flat) < 1.0 && spread("blurred, 1 pixel", &spot(24, 24)) > 5.0);
        let lost = spread("JPEG, quality 30", &spot(21, 21));
        assert!(lost > 1.0 && lost < 30.0, "{lost}");
        for perturbation in ALL {
            assert_eq!(perturbation.apply(&ramp, SIDE, 0).unwrap().len(), ramp.len(), "{}", perturbation.name);
        }
    }
}
