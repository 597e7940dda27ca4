//! Faces: where they are in a picture, who is who from frame to frame, and the upright square around each.
//!
//! The detector is BlazeFace (Bazarevsky et al. 2019, arXiv:1907.05047) in plain Rust: it takes a few milliseconds on
//! a CPU, so that it needs no device, and natively and in a browser the same crop is cut.

mod config;
mod crop;
mod decode;
mod network;
mod sample;
mod track;

pub use config::{
    ANCHOR_VALUES, DetectorBlock, DetectorConfig, DetectorHead, DetectorManifest, DetectorStem, FORMAT, VERSION,
};
pub use crop::FaceCrop;
pub use network::{Network, Raw};
pub use track::{FaceIds, Track, TrackConfig, Tracker};

use crate::error::{Error, ErrorKind, Result};
use crate::prediction::{Face, FaceBox, KeyPoints, Point};
use crate::preprocess::Picture;
use crate::tensors::{Weights, sha256};
use sample::{Letterbox, Region};

/// A second look takes in this many sides of the box: the face then fills as much as it did where the detector is
/// surest.
const NEAR: f32 = 2.5;

/// What counts as a face.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DetectorOptions {
    /// Least score, 0..1. MediaPipe's default.
    pub min_score: f32,
    /// Boxes that overlap more than this are one face (`min_suppression_threshold` of MediaPipe's short range).
    pub overlap: f32,
    /// Most faces given.
    pub max_faces: usize,
    /// 1 looks at the whole picture once, which finds faces from about a sixth of its longer side. 2 looks also at
    /// overlapping squares half as wide, 3 at thirds too, for groups and large photos: 10 and 35 times the work at most.
    pub zoom: usize,
}

/// Most of [`DetectorOptions::zoom`].
pub const MOST_ZOOM: usize = 4;

impl Default for DetectorOptions {
    fn default() -> Self {
        Self { min_score: 0.5, overlap: 0.3, max_faces: 32, zoom: 1 }
    }
}

/// Finds faces in pictures.
#[derive(Debug, Clone)]
pub struct FaceDetector {
    network: Network,
    anchors: Vec<Point>,
    options: DetectorOptions,
}

impl FaceDetector {
    /// From the text of its model.json and the bytes of the file of weights that it names.
    ///
    /// # Errors
    /// [`ErrorKind::DamagedFile`] for other bytes than were written, and those of [`DetectorManifest::parse`] and
    /// [`Network::load`].
    pub fn read(manifest: &str, weights: &[u8]) -> Result<Self> {
        let manifest = DetectorManifest::parse(manifest)?;
        let path = &manifest.weights.path;
        if weights.len() as u64 != manifest.weights.bytes || sha256(weights) != manifest.weights.sha256 {
            return Err(Error::new(
                ErrorKind::DamagedFile,
                format!("`{path}` of the face detector is not the file that was written; fetch it again"),
            ));
        }
        let mut read = Weights::default();
        read.read(path, weights)?;
        let network = Network::load(&mut read, &manifest.detector)?;
        read.finish()?;
        Ok(Self::new(network))
    }

    /// Around a network.
    pub fn new(network: Network) -> Self {
        let anchors = decode::anchors(network.config());
        Self { network, anchors, options: DetectorOptions::default() }
    }

    /// Says what counts as a face from now on.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for shares outside 0..1.
    pub fn set_options(&mut self, options: DetectorOptions) -> Result<()> {
        for (name, value) in [("min score", options.min_score), ("overlap", options.overlap)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::new(
                    ErrorKind::InvalidArgument,
                    format!("the {name} of faces is {value}; it must be 0 to 1"),
                ));
            }
        }
        if !(1..=MOST_ZOOM).contains(&options.zoom) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("the zoom for faces is {}; it must be 1 to {MOST_ZOOM}", options.zoom),
            ));
        }
        self.options = options;
        Ok(())
    }

    /// Faces of a picture of any size in its own pixels, the surest first. None is an answer, not an error.
    pub fn detect(&mut self, picture: Picture) -> Vec<Face> {
        let whole = Region::whole(picture);
        let mut faces = self.look(picture, whole);
        for zoom in 2..=self.options.zoom {
            let side = whole.side / zoom as f32;
            // Half a square on: what one cuts through, the next one holds.
            let starts = |length: usize| {
                let steps = ((length as f32 / side - 1.0).max(0.0) * 2.0).ceil() as usize;
                let step = (length as f32 - side) / steps.max(1) as f32;
                (0..=steps).map(move |index| index as f32 * step)
            };
            for top in starts(picture.height()) {
                for left in starts(picture.width()) {
                    faces.extend(self.look(picture, Region { left, top, side }));
                }
            }
        }
        faces.sort_by(|a, b| b.score.total_cmp(&a.score));
        decode::suppress(faces, self.options.overlap, self.options.max_faces)
    }

    /// The same face, looked at again from near: a small face's key points are else off by a tenth of its side.
    /// Keeps the score, and gives the face as it is where nothing is found there.
    pub fn refine(&mut self, picture: Picture, face: &Face) -> Face {
        let FaceBox { width, height, .. } = face.r#box;
        let center = face.r#box.center();
        let side = (NEAR * width.max(height)).max(1.0);
        let region = Region { left: center.x - side / 2.0, top: center.y - side / 2.0, side };
        let faces = decode::suppress(self.look(picture, region), self.options.overlap, self.options.max_faces);
        let near =
            faces.into_iter().max_by(|a, b| a.r#box.overlap(&face.r#box).total_cmp(&b.r#box.overlap(&face.r#box)));
        match near {
            Some(near) if near.r#box.overlap(&face.r#box) > self.options.overlap => Face { score: face.score, ..near },
            _ => *face,
        }
    }

    /// What the network sees in a region, doubles included, the surest first.
    fn look(&mut self, picture: Picture, region: Region) -> Vec<Face> {
        let Letterbox { pixels, scale, left, top } = Letterbox::new(picture, region, self.network.config().side);
        let raw = self.network.forward(&pixels);
        let mut faces = decode::decode(&raw, &self.anchors, self.options.min_score);
        for face in &mut faces {
            let FaceBox { x, y, width, height } = face.r#box;
            face.r#box =
                FaceBox { x: x * scale + left, y: y * scale + top, width: width * scale, height: height * scale };
            let move_back = |point: Point| Point { x: point.x * scale + left, y: point.y * scale + top };
            face.key_points = KeyPoints::from_array(face.key_points.to_array().map(move_back));
        }
        faces
    }
}
