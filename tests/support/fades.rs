//! Made clips that need the order of their frames: the portrait fades in out of grey, or out into it.

use cliper::preprocess::Picture;

/// Frames of a fade.
pub const FRAMES: usize = 8;

/// The portrait, RGBA.
pub struct Portrait {
    rgba: Vec<u8>,
    width: usize,
    height: usize,
}

impl Portrait {
    pub fn read() -> Self {
        let path = format!("{}/www/demo/portrait.jpg", env!("CARGO_MANIFEST_DIR"));
        let picture = image::open(path).unwrap().to_rgba8();
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        Self { rgba: picture.into_raw(), width, height }
    }

    /// Frame `time` of a fade in; a fade out has them backward.
    ///
    /// - grey: what it fades from, 0 to 255
    /// - strength: how much of the portrait is there in the end, 0 to 1
    pub fn fade(&self, time: usize, grey: f32, strength: f32) -> Vec<u8> {
        let share = strength * time as f32 / (FRAMES - 1) as f32;
        let level = |value: u8| (grey + share * (f32::from(value) - grey)).round() as u8;
        self.rgba.iter().enumerate().map(|(index, &value)| if index % 4 == 3 { 255 } else { level(value) }).collect()
    }

    /// A frame as a picture.
    pub fn picture<'a>(&self, rgba: &'a [u8]) -> Picture<'a> {
        Picture::new(rgba, self.width, self.height).unwrap()
    }
}
