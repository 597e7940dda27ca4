//! A large photo is answered as the small picture of which it is made, and its faces lie where they are in the photo.

use crate::support::block_on;
use crate::support::faces::{detector, picture, session};
use cliper::FacePrediction;
use cliper::session::Look;
use image::RgbaImage;
use image::imageops::{FilterType, resize};

/// The portrait in the corner of a grey picture, a part of its width wide.
fn small(share: f32) -> RgbaImage {
    let path = format!("{}/www/demo/portrait.jpg", env!("CARGO_MANIFEST_DIR"));
    let side = (share * 500.0) as u32;
    let face = resize(&image::open(path).unwrap().to_rgba8(), side, side, FilterType::Triangle);
    let mut rgba = RgbaImage::from_pixel(500, 375, image::Rgba([120, 125, 130, 255]));
    image::imageops::overlay(&mut rgba, &face, 40, 20);
    rgba
}

fn faces(rgba: &RgbaImage) -> Vec<FacePrediction> {
    block_on(session().recognize_faces(&mut detector(), picture(rgba), Look::default())).unwrap().faces
}

#[test]
fn whatever_part_of_it_a_face_is() {
    for share in [0.7, 0.35] {
        let small = small(share);
        let expected = faces(&small);
        // 5 squares of pixels are averaged of one, 10 of the other, which are no whole ones of the picture.
        for enlarged in [6, 12] {
            let large =
                RgbaImage::from_fn(500 * enlarged, 375 * enlarged, |x, y| *small.get_pixel(x / enlarged, y / enlarged));
            let found = faces(&large);
            assert_eq!((found.len(), expected.len()), (1, 1), "{share} {enlarged}");
            let (found, expected) = (&found[0], &expected[0]);
            let scale = enlarged as f32;
            println!(
                "{share} of the width, {enlarged} times: {} {:.4} beside {:.4}, {:?} beside {:?}",
                found.prediction.top.name,
                found.prediction.top.score,
                expected.prediction.top.score,
                found.face.r#box,
                expected.face.r#box
            );
            assert_eq!(found.prediction.top.name, expected.prediction.top.name);
            assert!((found.prediction.top.score - expected.prediction.top.score).abs() < 0.02);
            let most = 0.03 * expected.face.r#box.width * scale;
            let places = |face: &cliper::Face| {
                let corners = [face.r#box.x, face.r#box.y, face.r#box.width, face.r#box.height];
                corners
                    .into_iter()
                    .chain(face.key_points.to_array().into_iter().flat_map(|point| [point.x, point.y]))
                    .collect::<Vec<_>>()
            };
            for (found, expected) in places(&found.face).into_iter().zip(places(&expected.face)) {
                assert!((found - scale * expected).abs() < most, "{found} beside {}", scale * expected);
            }
        }
    }
}
