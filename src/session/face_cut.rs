//! A face as the encoder gets it: cut out of its picture, upright, with how clearly it was seen.

use super::clarity::clarity;
use crate::bundle::Manifest;
use crate::error::Result;
use crate::face::{FaceCrop, Seen};
use crate::prediction::Face;
use crate::preprocess::{Picture, preprocess};

/// A face cut out.
#[derive(Debug)]
pub(super) struct FaceCut {
    /// Where it is in its picture.
    pub face: Face,
    /// How clearly it was seen, 0..1.
    pub clarity: f32,
    /// RGBA `[side, side, 4]`.
    pub rgba: Vec<u8>,
    /// The encoder's.
    pub side: usize,
}

impl FaceCut {
    pub fn new(picture: Picture, seen: &Seen, manifest: &Manifest) -> Self {
        let side = manifest.encoder.side;
        let rgba = FaceCrop::around(&seen.face, manifest.face_margin).cut(picture, side);
        Self { face: seen.face, clarity: clarity(seen, &rgba), rgba, side }
    }

    pub fn picture(&self) -> Result<Picture<'_>> {
        Picture::new(&self.rgba, self.side, self.side)
    }

    /// `[channels, side, side]`, normalised.
    pub fn pixels(&self, manifest: &Manifest) -> Result<Vec<f32>> {
        Ok(preprocess(self.picture()?, &manifest.encoder, &manifest.preprocess))
    }
}
