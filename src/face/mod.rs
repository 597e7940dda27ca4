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
pub use sample::Shrunk;
pub use track::{FaceIds, Track, TrackConfig, Tracker};

use crate::error::{Error, ErrorKind, Result};
use crate::prediction::{Face, FaceBox, KeyPoints, Point};
use crate::preprocess::Picture;
use crate::tensors::{Weights, sha256};
use sample::{Letterbox, Region};

/// A face of so small a part of a picture's longer side is found without zoom, or about.
const LEAST: usize = 6;

/// A second look takes in this many sides of the box: the face then fills as much as it did where the detector is
/// surest.
const NEAR: f32 = 2.5;

/// From this score on a face is one, and upright: of the portrait turned, what passed for a face upside down had less, and the portrait
/// itself more, up to a quarter turn, in an eighth of its light and in grey blurred stone (tests/session/robust.rs).
pub const SURE: f32 = 0.8;
/// So much surer is a face that lies turned when it is turned upright: 0.11 at least. Upright ones win 0.06 at most by being turned.
const SURER: f32 = 0.1;
/// A face of the first score may be anything, one of the second is likely one: noise and stripes passed for faces at up to 0.55.
const GUESS: f32 = 0.5;
const LIKELY: f32 = 0.6;

/// A face as it was seen from near.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Where it is.
    pub face: Face,
    /// Whether it is one at all: 1 is sure, 0 a guess.
    pub certainty: f32,
}

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

    /// Pixels along the longer side of a picture in which every face that is found is at least `side` wide.
    pub fn longest(&self, side: usize) -> usize {
        LEAST * self.options.zoom * side
    }

    /// Faces of a picture of any size in its own pixels, the surest first. None is an answer, not an error.
    pub fn detect(&mut self, picture: Picture) -> Vec<Face> {
        let whole = Region::whole(picture);
        let mut faces = self.look(picture, whole, 0);
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
                    faces.extend(self.look(picture, Region { left, top, side }, 0));
                }
            }
        }
        faces.sort_by(|a, b| b.score.total_cmp(&a.score));
        decode::suppress(faces, self.options.overlap, self.options.max_faces)
    }

    /// The same face, looked at again from near: a small face's key points are else off by a tenth of its side. What is then no
    /// sure face is looked at turned as well: one that lies on its side or hangs upside down is found so, and not the face that its
    /// chin and neck make. Keeps the score of an upright one, and gives the face as it is where nothing surer is found.
    pub fn refine(&mut self, picture: Picture, face: &Face) -> Seen {
        let FaceBox { width, height, .. } = face.r#box;
        let center = face.r#box.center();
        let side = (NEAR * width.max(height)).max(1.0);
        let region = Region { left: center.x - side / 2.0, top: center.y - side / 2.0, side };
        let near = self.nearest(picture, region, 0, face);
        let surest = near.map_or(0.0, |near| near.score).max(face.score);
        if surest < SURE {
            let turned = (1..4).filter_map(|quarters| self.nearest(picture, region, quarters, face));
            let turned = turned.max_by(|a, b| a.score.total_cmp(&b.score));
            if let Some(turned) = turned.filter(|turned| turned.score >= SURE && turned.score > surest + SURER) {
                return Seen { face: turned, certainty: 1.0 };
            }
        }
        let is_confirmed = near.is_some() || face.score >= SURE;
        let certainty = if is_confirmed { ((surest - GUESS) / (LIKELY - GUESS)).clamp(0.0, 1.0) } else { 0.0 };
        Seen { face: near.map_or(*face, |near| Face { score: face.score, ..near }), certainty }
    }

    /// What overlaps a face most in a region that is turned clockwise by quarters.
    fn nearest(&mut self, picture: Picture, region: Region, quarters: usize, face: &Face) -> Option<Face> {
        let found = self.look(picture, region, quarters);
        let faces = decode::suppress(found, self.options.overlap, self.options.max_faces);
        let overlap = |near: &Face| near.r#box.overlap(&face.r#box);
        let near = faces.into_iter().max_by(|a, b| overlap(a).total_cmp(&overlap(b)));
        near.filter(|near| overlap(near) > self.options.overlap)
    }

    /// What the network sees in a region that is turned clockwise by quarters, doubles included, the surest first.
    fn look(&mut self, picture: Picture, region: Region, quarters: usize) -> Vec<Face> {
        let side = self.network.config().side;
        let Letterbox { pixels, scale, left, top } = Letterbox::new(picture, region, side).turned(quarters);
        let raw = self.network.forward(&pixels);
        let mut faces = decode::decode(&raw, &self.anchors, self.options.min_score);
        for face in &mut faces {
            let back = |point: Point| {
                let turned_back = |Point { x, y }: Point| Point { x: y, y: side as f32 - x };
                let Point { x, y } = (0..quarters).fold(point, |point, _| turned_back(point));
                Point { x: x * scale + left, y: y * scale + top }
            };
            let FaceBox { width, height, .. } = face.r#box;
            let (width, height) = if quarters.is_multiple_of(2) { (width, height) } else { (height, width) };
            let (width, height) = (width * scale, height * scale);
            let Point { x, y } = back(face.r#box.center());
            face.r#box = FaceBox { x: x - width / 2.0, y: y - height / 2.0, width, height };
            face.key_points = KeyPoints::from_array(face.key_points.to_array().map(back));
        }
        faces
    }
}
