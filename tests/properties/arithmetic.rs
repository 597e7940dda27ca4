//! Scores, pooling, preprocessing and crops, on any numbers.

use cliper::config::{EncoderConfig, PreprocessConfig, TokenPool};
use cliper::face::FaceCrop;
use cliper::math::{cosine, dot, unit};
use cliper::model::descriptors::{Descriptors, Expression};
use cliper::model::rows::Rows;
use cliper::preprocess::{Picture, mirror, preprocess, resize_and_crop};
use cliper::{Face, FaceBox, KeyPoints, Point, WindowState};
use proptest::collection::vec;
use proptest::prelude::*;

const WIDTH: usize = 6;

fn descriptors(counts: &[usize], values: &[f32]) -> Descriptors {
    let mut texts = 0..;
    let expression = |(index, &count): (usize, &usize)| Expression {
        name: format!("expression {index}"),
        descriptors: texts.by_ref().take(count).map(|text| format!("text {text}")).collect(),
        ..Default::default()
    };
    let expressions: Vec<Expression> = counts.iter().enumerate().map(expression).collect();
    let rows: usize = counts.iter().sum();
    let embeddings = values.chunks_exact(WIDTH).take(rows).flat_map(unit).collect();
    Descriptors::new(expressions, embeddings, WIDTH).unwrap()
}

/// Vectors that have a direction.
fn vectors(count: usize) -> impl Strategy<Value = Vec<f32>> {
    vec(-1.0f32..1.0, count * WIDTH).prop_filter("a vector of nothing has no direction", |values| {
        values.chunks_exact(WIDTH).all(|vector| dot(vector, vector) > 1e-3)
    })
}

proptest! {
    #[test]
    fn scores_are_probabilities_in_the_order_of_mean_similarities(
        counts in vec(1usize..5, 2..6),
        rows in vectors(30),
        face in vectors(1),
        temperature in 0.002f32..2.0,
    ) {
        let descriptors = descriptors(&counts, &rows);
        let similarities = descriptors.similarities(&unit(&face));
        prop_assert!(similarities.iter().all(|value| value.abs() <= 1.0 + 1e-5));
        let scores = descriptors.scores(&similarities, temperature);
        prop_assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-4, "{scores:?}");
        prop_assert!(scores.iter().all(|score| (0.0..=1.0 + 1e-5).contains(score)));
        let mut rest = similarities.as_slice();
        let means: Vec<f32> = counts
            .iter()
            .map(|&count| {
                let (own, others) = rest.split_at(count);
                rest = others;
                own.iter().sum::<f32>() / count as f32
            })
            .collect();
        for (a, b) in (0..means.len()).flat_map(|a| (0..a).map(move |b| (a, b))) {
            if means[a] > means[b] + 1e-5 {
                prop_assert!(scores[a] >= scores[b], "{means:?} {scores:?}");
            }
        }
        let found = descriptors.predict(&similarities, temperature, None, WindowState { filled: 1, length: 1 });
        let most = scores.iter().copied().fold(0.0, f32::max);
        prop_assert_eq!(found.top.score, most);
        for expression in &found.expressions {
            prop_assert!(expression.descriptors.is_sorted_by(|a, b| a.similarity >= b.similarity));
        }
    }

    #[test]
    fn a_window_s_similarities_do_not_depend_on_its_order(frames in vectors(5), rows in vectors(4), turn in 0usize..5) {
        let rows = Rows::new(rows, WIDTH);
        let frames: Vec<Vec<f32>> = frames.chunks_exact(WIDTH).map(<[f32]>::to_vec).collect();
        let mut turned = frames.clone();
        turned.rotate_left(turn);
        turned.swap(0, turn);
        let of = |frames: &[Vec<f32>]| rows.pooled_similarities(&frames.iter().collect::<Vec<_>>());
        let sum: Vec<f32> = (0..WIDTH).map(|at| frames.iter().map(|frame| frame[at]).sum()).collect();
        // A window whose frames cancel out has no direction that rounding would keep.
        prop_assume!(dot(&sum, &sum) > 1e-2);
        for (a, b) in of(&frames).iter().zip(of(&turned)) {
            prop_assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }

    #[test]
    fn preprocessed_pixels_are_finite_and_within_what_bytes_allow(
        (width, height, rgba) in (1usize..40, 1usize..40).prop_flat_map(|(width, height)| {
            (Just(width), Just(height), vec(any::<u8>(), 4 * width * height))
        }),
        channels in prop_oneof![Just(1usize), Just(3)],
    ) {
        let picture = Picture::new(&rgba, width, height).unwrap();
        let (side, config) = (16, PreprocessConfig::with_statistics(vec![0.4; channels], vec![0.25; channels]));
        let bytes = resize_and_crop(picture, side, channels, &config.resize);
        prop_assert_eq!(bytes.len(), channels * side * side);
        let encoder = EncoderConfig {
            side,
            channels,
            patch: 8,
            width: 8,
            layers: 1,
            heads: 1,
            embedding: 8,
            pool: TokenPool::Mean,
            ..EncoderConfig::vit_b_32()
        };
        let pixels = preprocess(picture, &encoder, &config);
        let (least, most) = ((0.0 - 0.4) / 0.25 - 1e-4, (1.0 - 0.4) / 0.25 + 1e-4);
        prop_assert!(pixels.iter().all(|value| (least..=most).contains(value)));
        prop_assert_eq!(mirror(&mirror(&pixels, side), side), pixels);
    }

    #[test]
    fn a_crop_around_any_face_has_the_side_that_was_asked_for(
        (x, y) in (-1e4f32..1e4, -1e4f32..1e4),
        (width, height) in (0.0f32..5e3, 0.0f32..5e3),
        points in vec(-1e4f32..1e4, 12),
        margin in 0.5f32..4.0,
    ) {
        let points = std::array::from_fn(|index| Point { x: points[2 * index], y: points[2 * index + 1] });
        let face = Face { r#box: FaceBox { x, y, width, height }, key_points: KeyPoints::from_array(points), score: 0.9 };
        let rgba = [90u8; 4 * 12 * 8];
        let crop = FaceCrop::around(&face, margin).cut(Picture::new(&rgba, 12, 8).unwrap(), 24);
        prop_assert_eq!(crop.len(), 4 * 24 * 24);
    }

    #[test]
    fn what_is_no_picture_is_refused(width in 0usize..9, height in 0usize..9, bytes in 0usize..400) {
        let fits = width > 0 && height > 0 && bytes == 4 * width * height;
        prop_assert_eq!(Picture::new(&vec![0; bytes], width, height).is_ok(), fits);
    }

    #[test]
    fn cosines_stay_within_one(a in vectors(1), b in vectors(1), scale in 1e-3f32..1e3) {
        let scaled: Vec<f32> = a.iter().map(|value| scale * value).collect();
        prop_assert!(cosine(&a, &b).abs() <= 1.0 + 1e-6);
        prop_assert!((cosine(&scaled, &b) - cosine(&a, &b)).abs() < 1e-5);
        prop_assert!((dot(&unit(&scaled), &unit(&a)) - 1.0).abs() < 1e-5);
    }
}
