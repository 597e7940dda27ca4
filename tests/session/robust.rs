//! What is answered where a face is hard to see, or is none: made of the portrait, and drawn. The table of docs/limits.md is what this
//! prints: name, answer, the detector's score, the roll in degrees.

use crate::support::block_on;
use crate::support::faces::{detector, picture, session};
use cliper::engine::cpu::CpuEngine;
use cliper::face::FaceCrop;
use cliper::session::{FaceFollower, Look, Session};
use cliper::{FaceBox, FacePrediction, Point};
use image::imageops::{FilterType, blur, overlay, resize};
use image::{Pixel, Rgba, RgbaImage};

const SIDE: u32 = 480;
const GREY: Rgba<u8> = Rgba([120, 125, 130, 255]);

fn portrait() -> RgbaImage {
    let path = format!("{}/www/demo/portrait.jpg", env!("CARGO_MANIFEST_DIR"));
    let portrait = image::open(path).unwrap().to_rgba8();
    resize(&portrait, SIDE, SIDE, FilterType::CatmullRom)
}

/// The portrait as a disc, this share of the picture wide, before grey: without a corner that turns with it.
fn disc(share: f32) -> RgbaImage {
    let side = (share * SIDE as f32) as u32;
    let mut face = resize(&portrait(), side, side, FilterType::Triangle);
    let middle = (side as f32 - 1.0) / 2.0;
    for (x, y, pixel) in face.enumerate_pixels_mut() {
        let from_edge = middle - (x as f32 - middle).hypot(y as f32 - middle);
        pixel[3] = (from_edge * 16.0).clamp(0.0, 255.0) as u8;
    }
    let mut picture = RgbaImage::from_pixel(SIDE, SIDE, GREY);
    let edge = i64::from((SIDE - side) / 2);
    overlay(&mut picture, &face, edge, edge);
    picture
}

/// Turned clockwise around its middle.
fn turned(rgba: &RgbaImage, degrees: f32) -> RgbaImage {
    let middle = SIDE as f32 / 2.0;
    let crop = FaceCrop { center: Point { x: middle, y: middle }, side: SIDE as f32, roll: -degrees.to_radians() };
    RgbaImage::from_raw(SIDE, SIDE, crop.cut(picture(rgba), SIDE as usize)).unwrap()
}

/// Each grey level by itself.
fn toned(rgba: &RgbaImage, tone: impl Fn(f32) -> f32) -> RgbaImage {
    let mut toned = rgba.clone();
    toned.pixels_mut().for_each(|pixel| pixel.apply_without_alpha(|level| tone(f32::from(level)) as u8));
    toned
}

fn grey(rgba: &RgbaImage) -> RgbaImage {
    let mut grey = rgba.clone();
    grey.pixels_mut().for_each(|pixel| *pixel = pixel.to_luma().to_rgba());
    grey
}

/// Drawn over a picture, where `inside` holds of the place in shares of the side.
fn painted(rgba: &RgbaImage, colour: [u8; 3], inside: impl Fn(f32, f32) -> bool) -> RgbaImage {
    let mut painted = rgba.clone();
    for (x, y, pixel) in painted.enumerate_pixels_mut() {
        if inside(x as f32 / SIDE as f32, y as f32 / SIDE as f32) {
            *pixel = Rgba([colour[0], colour[1], colour[2], 255]);
        }
    }
    painted
}

/// A picture by a grey level of each place in shares of the side.
fn shaded(level: impl Fn(f32, f32) -> f32) -> RgbaImage {
    RgbaImage::from_fn(SIDE, SIDE, |x, y| {
        let level = level(x as f32 / SIDE as f32, y as f32 / SIDE as f32).clamp(0.0, 255.0) as u8;
        Rgba([level, level, level, 255])
    })
}

fn ellipse(x: f32, y: f32, center: [f32; 2], radii: [f32; 2]) -> f32 {
    ((x - center[0]) / radii[0]).hypot((y - center[1]) / radii[1])
}

/// A head as a child draws it; `bend` lifts the mouth's corners, or lets them hang.
fn smiley(bend: f32) -> RgbaImage {
    let paper = RgbaImage::from_pixel(SIDE, SIDE, Rgba([250, 250, 246, 255]));
    let head = painted(&paper, [250, 210, 60], |x, y| ellipse(x, y, [0.5, 0.5], [0.36, 0.36]) < 1.0);
    painted(&head, [40, 30, 20], |x, y| {
        let is_eye = [0.38, 0.62].iter().any(|&middle| ellipse(x, y, [middle, 0.4], [0.035, 0.06]) < 1.0);
        let mouth = 0.64 + bend * (0.5 - ((x - 0.5) / 0.16).powi(2));
        is_eye || ((x - 0.5).abs() < 0.16 && (y - mouth).abs() < 0.015)
    })
}

/// A face of lines alone.
fn lines() -> RgbaImage {
    shaded(|x, y| {
        let near = |distance: f32, width: f32| distance.abs() < width;
        let is_head = near(ellipse(x, y, [0.5, 0.5], [0.27, 0.36]) - 1.0, 0.015);
        let is_eye = [0.4, 0.6].iter().any(|&middle| {
            near(ellipse(x, y, [middle, 0.43], [0.06, 0.03]) - 1.0, 0.1)
                || ellipse(x, y, [middle, 0.43], [0.02, 0.02]) < 1.0
        });
        let is_brow = [0.4, 0.6].iter().any(|&middle| near(x - middle, 0.07) && near(y - 0.365, 0.006));
        let is_nose = near(x - 0.5 + 0.1 * (y - 0.45), 0.005) && (0.45..0.58).contains(&y);
        let is_mouth = near(x - 0.5, 0.1) && near(y - 0.69, 0.006);
        if is_head || is_eye || is_brow || is_nose || is_mouth { 30.0 } else { 245.0 }
    })
}

/// A bust: an egg of stone, lit from above, with sockets, a nose and lips.
fn bust() -> RgbaImage {
    let dent = |x: f32, y: f32, center: [f32; 2], radii: [f32; 2]| (-ellipse(x, y, center, radii).powi(2)).exp();
    shaded(|x, y| {
        let inside = 1.0 - ellipse(x, y, [0.5, 0.48], [0.27, 0.36]).powi(2);
        if inside < 0.0 {
            return 70.0;
        }
        let sockets = dent(x, y, [0.39, 0.43], [0.06, 0.035]) + dent(x, y, [0.61, 0.43], [0.06, 0.035]);
        let nose = dent(x, y, [0.5, 0.53], [0.025, 0.1]) - dent(x, y, [0.5, 0.6], [0.05, 0.015]);
        let lips = dent(x, y, [0.5, 0.68], [0.09, 0.012]);
        110.0 + 95.0 * inside.sqrt() - 60.0 * (y - 0.4) - 85.0 * sockets + 30.0 * nose - 55.0 * lips
    })
}

/// Numbers that look random, the same in every run.
fn noise(seed: u32) -> impl Fn(u32, u32) -> f32 {
    move |x, y| {
        let mut value = x.wrapping_mul(0x9e37_79b9) ^ y.wrapping_mul(0x85eb_ca6b) ^ seed.wrapping_mul(0xc2b2_ae35);
        for _ in 0..3 {
            value = (value ^ (value >> 15)).wrapping_mul(0x2c1b_3c6d);
        }
        (value >> 8) as f32 / (1 << 24) as f32
    }
}

/// Noise of blobs this many pixels wide, as bark, stone or leaves have.
fn blobs(width: u32, seed: u32) -> RgbaImage {
    let random = noise(seed);
    let small = RgbaImage::from_fn(SIDE / width, SIDE / width, |x, y| {
        let level = (random(x, y) * 255.0) as u8;
        Rgba([level, level, level, 255])
    });
    resize(&small, SIDE, SIDE, FilterType::CatmullRom)
}

/// A page of strokes as words lie on it.
fn page() -> RgbaImage {
    let random = noise(5);
    shaded(|x, y| {
        let (row, column) = ((y * 24.0) as u32, (x * 64.0) as u32);
        let (up, along) = ((y * 24.0).fract(), (x * 64.0).fract());
        let is_ink = (0.25..0.7).contains(&up) && random(column, row) > 0.2 && (0.15..0.75).contains(&along);
        let is_stroke = random(column * 5 + (up * 5.0) as u32, row * 3 + (along * 3.0) as u32) > 0.45;
        if is_ink && is_stroke && (0.08..0.92).contains(&x) { 25.0 } else { 250.0 }
    })
}

/// Two holes and a slot, which people see faces in.
fn socket() -> RgbaImage {
    let plate = shaded(|x, y| if (x - 0.5).abs().max((y - 0.5).abs()) < 0.3 { 225.0 } else { 150.0 });
    painted(&plate, [30, 30, 30], |x, y| {
        let is_hole = [0.42, 0.58].iter().any(|&middle| ellipse(x, y, [middle, 0.44], [0.025, 0.05]) < 1.0);
        is_hole || ellipse(x, y, [0.5, 0.6], [0.04, 0.04]) < 1.0
    })
}

/// The portrait's edges, as a pencil draws them.
fn sketch() -> RgbaImage {
    let grey = blur(&grey(&portrait()), 2.0);
    let soft = blur(&grey, 6.0);
    let mut sketch = grey.clone();
    for (pixel, soft) in sketch.pixels_mut().zip(soft.pixels()) {
        let level = (255.0 + 6.0 * (f32::from(pixel[0]) - f32::from(soft[0]))).clamp(0.0, 255.0) as u8;
        *pixel = Rgba([level, level, level, 255]);
    }
    sketch
}

struct Looker {
    session: Session<CpuEngine>,
}

impl Looker {
    fn new() -> Self {
        Self { session: session() }
    }

    /// At most one face, whatever is shown: nothing passes for a second one. Prints a row of the table.
    fn face(&mut self, name: &str, rgba: &RgbaImage) -> Option<FacePrediction> {
        let found = block_on(self.session.recognize_faces(&mut detector(), picture(rgba), Look::default())).unwrap();
        let told = found.faces.first().map_or("no face".to_string(), |FacePrediction { face, prediction }| {
            let uncertain = if prediction.uncertain { ", uncertain" } else { "" };
            let roll = FaceCrop::around(face, 1.0).roll.to_degrees();
            format!("{} {:.2}{uncertain} | {:.2} | {roll:.0}", prediction.top.name, prediction.top.score, face.score)
        });
        println!("| {name} | {told} |");
        assert!(found.faces.len() <= 1, "{name}: {} faces", found.faces.len());
        found.faces.into_iter().next()
    }

    /// The portrait smiles: another answer about it must not be a sure one.
    fn smiles(&mut self, name: &str, rgba: &RgbaImage) -> Option<FacePrediction> {
        let face = self.face(name, rgba);
        let is_right = |FacePrediction { prediction, .. }: &FacePrediction| {
            prediction.uncertain || prediction.top.name == "happiness"
        };
        assert!(face.iter().all(is_right), "{name}: {:?}", face.map(|face| face.prediction.top));
        face
    }
}

#[test]
fn a_turned_face_is_found_upright_or_not_at_all() {
    let mut looker = Looker::new();
    for (name, rgba, misses) in [("photo", portrait(), 4), ("disc 0.6", disc(0.6), 0), ("disc 0.35", disc(0.35), 0)] {
        let mut missed = 0;
        for degrees in (-165..=180).step_by(15) {
            let name = format!("{name}, turned {degrees}");
            match looker.smiles(&name, &turned(&rgba, degrees as f32)) {
                Some(FacePrediction { face, prediction }) => {
                    assert!(!prediction.uncertain, "{name}");
                    let off = FaceCrop::around(&face, 1.0).roll.to_degrees() - degrees as f32;
                    assert!(((off + 540.0).rem_euclid(360.0) - 180.0).abs() < 45.0, "{name}: rolled by {off} more");
                }
                None => missed += 1,
            }
        }
        assert!(missed <= misses, "{name}: {missed} were not found");
    }
}

#[test]
fn a_stream_sees_a_face_upside_down_as_it_is() {
    let mut session = session();
    let mut follower = FaceFollower::new(detector());
    for (time, degrees) in [(0.0, 180.0), (2000.0, 150.0), (4000.0, -135.0)] {
        let rgba = turned(&disc(0.6), degrees);
        let seen = block_on(session.push_faces(&mut follower, Some(picture(&rgba)), time)).unwrap();
        let [face] = &seen.faces[..] else { panic!("{degrees}: {} faces", seen.faces.len()) };
        assert_eq!(face.prediction.top.name, "happiness", "{degrees}");
    }
}

#[test]
fn what_light_leaves_of_a_face_is_not_answered_surely_and_wrongly() {
    let mut looker = Looker::new();
    let photo = portrait();
    for share in [2.0, 4.0, 8.0, 16.0, 32.0, 64.0] {
        looker.smiles(&format!("in 1/{share} of its light"), &toned(&photo, |level| level / share));
    }
    for gain in [1.5, 2.0, 3.0, 5.0] {
        looker.smiles(&format!("in {gain} times its light"), &toned(&photo, |level| (level * gain).min(255.0)));
    }
    looker.smiles("stone: grey, blurred", &toned(&blur(&grey(&photo), 4.0), |level| 90.0 + level / 2.0));
    looker.smiles("stone: blurred more", &toned(&blur(&grey(&photo), 9.0), |level| 90.0 + level / 2.0));
}

#[test]
fn half_a_face_and_a_drawn_one_are_at_most_one() {
    let mut looker = Looker::new();
    let photo = portrait();
    let FaceBox { x, y, width, height } = looker.face("upright", &photo).unwrap().face.r#box;
    let place = |value: f32, from: f32, length: f32| (value * SIDE as f32 - from) / length;
    for (name, part) in [
        ("mouth", (|x, y| (0.2..0.8).contains(&x) && (0.6..0.95).contains(&y)) as fn(f32, f32) -> bool),
        ("eyes", |x, y| (0.05..0.95).contains(&x) && (0.1..0.4).contains(&y)),
        ("left half", |x, _| x < 0.5),
        ("right half", |x, _| x > 0.5),
        ("upper half", |_, y| y < 0.5),
        ("lower half", |_, y| y > 0.5),
    ] {
        let covered = painted(&photo, [60, 62, 70], |across, down| {
            let (x, y) = (place(across, x, width), place(down, y, height));
            (-0.3..1.3).contains(&x) && (-0.3..1.3).contains(&y) && part(x, y)
        });
        looker.face(&format!("{name} covered"), &covered);
    }
    looker.face("drawing: a smiling disc", &smiley(0.12));
    looker.face("drawing: a level one", &smiley(0.0));
    looker.face("drawing: a hanging one", &smiley(-0.12));
    looker.face("drawing: lines, level", &lines());
    looker.face("drawing: the photo's edges", &sketch());
    looker.face(
        "drawing: the photo in two greys",
        &toned(&grey(&photo), |level| if level > 110.0 { 230.0 } else { 30.0 }),
    );
    looker.face("stone: a bust, level", &bust());
}

#[test]
fn what_is_no_face_is_not_answered_surely() {
    let mut looker = Looker::new();
    let stripes = |x: f32, _: f32| if (x * 24.0).fract() < 0.5 { 40.0 } else { 220.0 };
    let checks = |x: f32, y: f32| if ((x * 12.0) as u32 + (y * 12.0) as u32).is_multiple_of(2) { 40.0 } else { 220.0 };
    let mut pictures = vec![
        ("grey".to_string(), shaded(|_, _| 128.0)),
        ("black".into(), shaded(|_, _| 0.0)),
        ("white".into(), shaded(|_, _| 255.0)),
        ("a gradient".into(), shaded(|x, y| 255.0 * (x + y) / 2.0)),
        ("stripes".into(), shaded(stripes)),
        ("checks".into(), shaded(checks)),
        ("a page".into(), page()),
        ("a socket".into(), socket()),
    ];
    // Of five widths, 20 of each, blobs of 30 pixels alone pass for faces: 4.
    for (width, seeds) in [(1, 3), (4, 3), (12, 3), (30, 20), (60, 3)] {
        pictures.extend((0..seeds).map(|seed| (format!("blobs of {width} pixels, {seed}"), blobs(width, seed))));
    }
    for (name, rgba) in &pictures {
        let face = looker.face(&format!("no face: {name}"), rgba);
        assert!(face.is_none_or(|face| face.prediction.uncertain), "{name}");
    }
}
