//! The square around a face, its roll removed, cut out with sub-pixel accuracy for the encoder.

use super::sample::Reduced;
use crate::config::ResizeConfig;
use crate::prediction::{Face, Point};
use crate::preprocess::{Picture, resize_and_crop};

// Where key points lie in FER2013's own squares, as shares of the side: medians over 1,421 training pictures in which
// the short-range detector found a face. A crop with margin 1 puts them there again.
/// Side of the detector's box.
const BOX: f32 = 0.836;
/// Length of (distance of the eyes, distance from their middle to the mouth).
const FEATURES: f32 = 0.529;
/// From the square's middle down to the mean of the box's middle and the features' middle.
const DROP: f32 = 0.082;

/// Least distance of the eyes that says how a face is rolled, as a share of its box: where they fall together (a
/// profile), their line says nothing.
const LEAST_EYES: f32 = 0.05;

/// A square in a picture, perhaps rolled and reaching over the edge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaceCrop {
    /// Its middle, in the picture's pixels.
    pub center: Point,
    /// Its side, in the picture's pixels.
    pub side: f32,
    /// Roll in radians, clockwise on screen: the angle of the line from the right eye to the left.
    pub roll: f32,
}

impl FaceCrop {
    /// The square that frames the face as FER2013 does (hairline to chin, ear to ear), `margin` times as large.
    ///
    /// Size and middle are means of the box's and the features': each alone spreads more.
    pub fn around(face: &Face, margin: f32) -> Self {
        let points = face.key_points;
        let eyes = middle(points.right_eye, points.left_eye);
        let (across, down) = (points.left_eye.x - points.right_eye.x, points.left_eye.y - points.right_eye.y);
        let roll = if across.hypot(down) > LEAST_EYES * face.r#box.width { down.atan2(across) } else { 0.0 };
        let features = across.hypot(down).hypot((points.mouth.x - eyes.x).hypot(points.mouth.y - eyes.y));
        let size = 0.5 * (face.r#box.width.max(face.r#box.height) / BOX + features / FEATURES);
        let middle = middle(face.r#box.center(), middle(eyes, points.mouth));
        let (sin, cos) = roll.sin_cos();
        // The face's own downward direction is (-sin, cos).
        let center = Point { x: middle.x + DROP * size * sin, y: middle.y - DROP * size * cos };
        Self { center, side: margin * size, roll }
    }

    /// Where a place of the unit square (0, 0)..(1, 1) lies in the picture.
    pub fn place(&self, x: f32, y: f32) -> Point {
        let (sin, cos) = self.roll.sin_cos();
        let (x, y) = ((x - 0.5) * self.side, (y - 0.5) * self.side);
        Point { x: self.center.x + x * cos - y * sin, y: self.center.y + x * sin + y * cos }
    }

    /// Where a place of the picture lies in the unit square: [`FaceCrop::place`] backwards.
    pub fn locate(&self, place: Point) -> Point {
        let (sin, cos) = self.roll.sin_cos();
        let (x, y) = (place.x - self.center.x, place.y - self.center.y);
        Point { x: (x * cos + y * sin) / self.side + 0.5, y: (y * cos - x * sin) / self.side + 0.5 }
    }

    /// Share of the square that the picture covers, 0..1, counted on 16 x 16 places.
    pub fn coverage(&self, picture: Picture) -> f32 {
        let count = (0..256)
            .filter(|index| {
                let Point { x, y } = self.place(((index % 16) as f32 + 0.5) / 16.0, ((index / 16) as f32 + 0.5) / 16.0);
                x >= 0.0 && x < picture.width() as f32 && y >= 0.0 && y < picture.height() as f32
            })
            .count();
        count as f32 / 256.0
    }

    /// Cuts the square out: RGBA `[side, side, 4]`. Beyond the picture its edge goes on.
    ///
    /// Enlarging samples the picture once; shrinking samples it at about its own resolution, then goes through the
    /// same antialiased resize as every whole picture.
    ///
    /// - side: the encoder's, pixels; at least 1
    pub fn cut(&self, picture: Picture, side: usize) -> Vec<u8> {
        let side = side.max(1);
        let scale = self.side / side as f32;
        // Float to integer conversion saturates: NaN and below one give no reduction.
        let factor = ((scale / 2.0) as usize).max(1);
        let samples =
            if scale > 1.0 { ((self.side / factor as f32).round() as usize).clamp(side, 4 * side) } else { side };
        let corners = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)].map(|(x, y)| self.place(x, y));
        // Two reduced pixels more, for the cubic.
        let reach = 2.0 * factor as f32;
        let least = |value: fn(&Point) -> f32| corners.iter().map(value).fold(f32::INFINITY, f32::min) - reach;
        let most = |value: fn(&Point) -> f32| corners.iter().map(value).fold(f32::NEG_INFINITY, f32::max) + reach;
        let bounds = [least(|point| point.x), least(|point| point.y), most(|point| point.x), most(|point| point.y)];
        let reduced = Reduced::new(picture, bounds, factor);
        let mut square = Vec::with_capacity(samples * samples * 4);
        for y in 0..samples {
            for x in 0..samples {
                let place = self.place((x as f32 + 0.5) / samples as f32, (y as f32 + 0.5) / samples as f32);
                square.extend(reduced.cubic(place.x, place.y).map(|value| (value + 0.5) as u8));
                square.push(255);
            }
        }
        match Picture::new(&square, samples, samples) {
            Ok(whole) if samples != side => {
                let rgb = resize_and_crop(whole, side, 3, &ResizeConfig::default());
                rgb.chunks_exact(3).flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 255]).collect()
            }
            _ => square,
        }
    }
}

fn middle(a: Point, b: Point) -> Point {
    Point { x: (a.x + b.x) / 2.0, y: (a.y + b.y) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prediction::{FaceBox, KeyPoints};

    /// A face whose FER2013 square has its middle at `center`, rolled.
    fn rolled(center: Point, side: f32, roll: f32) -> Face {
        let square = FaceCrop { center, side, roll };
        let (right_eye, left_eye, mouth) =
            (square.place(0.32, 0.398), square.place(0.68, 0.398), square.place(0.5, 0.78));
        let middle = square.place(0.5, 0.575);
        let width = BOX * side;
        Face {
            r#box: FaceBox { x: middle.x - width / 2.0, y: middle.y - width / 2.0, width, height: width },
            key_points: KeyPoints { right_eye, left_eye, mouth, ..KeyPoints::default() },
            score: 1.0,
        }
    }

    #[test]
    fn the_square_is_found_back_at_every_roll_and_size() {
        for side in [4.0, 48.0, 480.0] {
            for degrees in [-170.0f32, -90.0, -30.0, 0.0, 15.0, 30.0, 120.0] {
                let center = Point { x: 100.25, y: 70.5 };
                let roll = degrees.to_radians();
                let found = FaceCrop::around(&rolled(center, side, roll), 1.0);
                assert!((found.roll - roll).abs() < 1e-4);
                assert!((found.side / side - 1.0).abs() < 0.01, "{}", found.side);
                assert!((found.center.x - center.x).hypot(found.center.y - center.y) < 0.01 * side);
                let place = Point { x: 3.0, y: 4.0 };
                let back = found.locate(place);
                let again = found.place(back.x, back.y);
                assert!((again.x - place.x).hypot(again.y - place.y) < 1e-3);
            }
        }
        let wide = FaceCrop::around(&rolled(Point::default(), 100.0, 0.0), 1.5);
        assert!((wide.side - 150.0).abs() < 1.5);
    }

    #[test]
    fn a_square_of_whole_pixels_is_the_picture_itself() {
        let rgba: Vec<u8> = (0..40 * 30)
            .flat_map(|index| [(index * 7 % 256) as u8, (index * 13 % 251) as u8, (index % 40) as u8, 255])
            .collect();
        let picture = Picture::new(&rgba, 40, 30).unwrap();
        let crop = FaceCrop { center: Point { x: 18.0, y: 14.0 }, side: 16.0, roll: 0.0 };
        let found = crop.cut(picture, 16);
        for y in 0..16 {
            assert_eq!(found[y * 64..][..64], rgba[((y + 6) * 40 + 10) * 4..][..64]);
        }
    }

    #[test]
    fn a_quarter_turn_turns_the_picture() {
        let rgba: Vec<u8> =
            (0..32 * 32).flat_map(|index| [(index % 32 * 8) as u8, (index / 32 * 8) as u8, 9, 255]).collect();
        let picture = Picture::new(&rgba, 32, 32).unwrap();
        let crop = FaceCrop { center: Point { x: 16.0, y: 16.0 }, side: 32.0, roll: std::f32::consts::FRAC_PI_2 };
        let found = crop.cut(picture, 32);
        for (x, y) in [(0, 0), (5, 20), (31, 8)] {
            // The crop's right is the picture's down, its down the picture's left.
            let wanted = &rgba[(x * 32 + 31 - y) * 4..][..3];
            for (found, wanted) in found[(y * 32 + x) * 4..][..3].iter().zip(wanted) {
                assert!(found.abs_diff(*wanted) <= 1);
            }
        }
    }

    #[test]
    fn odd_squares_give_pixels_and_never_panic() {
        let rgba = [200u8, 100, 50, 255].repeat(12);
        let picture = Picture::new(&rgba, 4, 3).unwrap();
        let odd = [0.0, -5.0, 1e-20, 1.0, 1e9, f32::NAN, f32::INFINITY];
        for side in odd {
            for x in odd {
                let found = FaceCrop { center: Point { x, y: 2.0 }, side, roll: x }.cut(picture, 24);
                assert_eq!(found.len(), 24 * 24 * 4);
            }
        }
        let outside = FaceCrop { center: Point { x: 400.0, y: 0.0 }, side: 9.0, roll: 0.3 };
        assert_eq!(outside.coverage(picture), 0.0);
        assert_eq!(outside.cut(picture, 2), [200, 100, 50, 255].repeat(4));
        assert_eq!(FaceCrop { center: Point { x: 0.0, y: 1.5 }, side: 2.0, roll: 0.0 }.coverage(picture), 0.5);
    }
}
