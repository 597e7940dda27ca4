//! A picture whose pixels are read part by part is the picture itself, and no part is large.

use std::cell::Cell;

use cliper::Point;
use cliper::config::{EncoderConfig, PreprocessConfig};
use cliper::face::FaceCrop;
use cliper::preprocess::{Picture, ReadPixels, preprocess};
use proptest::prelude::*;

/// Pixels elsewhere, with the most that was read at once.
#[derive(Debug)]
struct Lent<'a> {
    rgba: &'a [u8],
    width: usize,
    most: Cell<usize>,
}

impl ReadPixels for Lent<'_> {
    fn read(&self, left: usize, top: usize, width: usize, height: usize, rgba: &mut Vec<u8>) {
        rgba.clear();
        for row in self.rgba.chunks_exact(self.width * 4).skip(top).take(height) {
            rgba.extend(&row[left * 4..][..width * 4]);
        }
        assert_eq!(rgba.len(), width * height * 4, "a part lies in the picture");
        self.most.set(self.most.get().max(width * height));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_looks_at_it(
        width in 1usize..700,
        height in 1usize..1500,
        seed in any::<u8>(),
        (x, y, side, roll) in (-100.0f32..800.0, -100.0f32..1600.0, 1.0f32..2000.0, -3.0f32..3.0),
    ) {
        let byte = |index: usize| (index.wrapping_mul(2_654_435_761) >> 7) as u8 ^ seed;
        let rgba: Vec<u8> = (0..width * height * 4).map(byte).collect();
        let here = Picture::new(&rgba, width, height).unwrap();
        let lent = Lent { rgba: &rgba, width, most: Cell::new(0) };
        let elsewhere = Picture::elsewhere(&lent, width, height).unwrap();
        let (encoder, config) = (EncoderConfig::vit_b_32(), PreprocessConfig::clip());
        let small = EncoderConfig { side: 32, ..encoder };
        prop_assert_eq!(preprocess(here, &small, &config), preprocess(elsewhere, &small, &config));
        let crop = FaceCrop { center: Point { x, y }, side, roll };
        prop_assert_eq!(crop.cut(here, 48), crop.cut(elsewhere, 48));
        prop_assert!(lent.most.get() <= 1 << 18, "{} pixels at once", lent.most.get());
    }
}
