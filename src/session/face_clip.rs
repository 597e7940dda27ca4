//! The faces of a clip: found in every frame, followed from one to the next, each a clip of its own.

use std::collections::BTreeMap;

use super::face_cut::FaceCut;
use super::{FaceOptions, RATE, Session};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::face::{FaceDetector, Tracker};
use crate::prediction::{Face, FaceState, FramePrediction, TrackState, TrackedFace, WindowState};
use crate::preprocess::Picture;

/// A clip's frames lie as far apart as its length makes them. They are followed as if they were a stream's looks: what
/// keeps an id is how many frames a face is out of sight.
const STEP: f64 = 1000.0 / RATE;

/// The faces of a clip that were seen so far.
#[derive(Debug)]
pub struct FaceClip<E: Engine> {
    detector: FaceDetector,
    tracker: Tracker,
    faces: BTreeMap<u64, ClipFace<E::Embedding>>,
    frames: usize,
    length: usize,
}

/// One person's frames, and where the face was last.
#[derive(Debug)]
struct ClipFace<T> {
    embeddings: Vec<T>,
    place: Face,
    /// How clearly it was seen where it was seen best, 0..1.
    clarity: f32,
}

impl<E: Engine> Session<E> {
    /// Starts a clip of `length` frames whose faces are answered for by themselves. Every face is looked at in every
    /// frame: of the options, those that save a stream's work say nothing here.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for options or a length outside their ranges.
    pub fn start_face_clip(&self, detector: &FaceDetector, options: FaceOptions, length: usize) -> Result<FaceClip<E>> {
        self.check_length(length)?;
        options.check()?;
        let mut detector = detector.clone();
        detector.set_options(options.detector())?;
        let tracker = Tracker::new(options.track());
        Ok(FaceClip { detector, tracker, faces: BTreeMap::new(), frames: 0, length })
    }

    /// Takes the next frame, and gives every face in it with its prediction from this frame alone.
    pub async fn push_face_clip(&mut self, clip: &mut FaceClip<E>, picture: Picture<'_>) -> Result<FramePrediction> {
        if clip.frames == clip.length {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("the clip has its {} frames already; sample that many, or start a longer clip", clip.length),
            ));
        }
        let found = clip.detector.detect(picture);
        let tracks = clip.tracker.update(clip.frames as f64 * STEP, Some(&found));
        clip.frames += 1;
        let (mut seen, mut pixels) = (Vec::new(), Vec::new());
        for track in tracks.iter().filter(|track| track.is_seen) {
            // The tracker smooths for the eye; what is cut out is where the face is now.
            let cut = FaceCut::new(picture, &clip.detector.refine(picture, &track.face), &self.manifest);
            pixels.push(cut.pixels(&self.manifest)?);
            seen.push((track.id, cut.face, cut.clarity));
        }
        let embeddings = self.encode_each(pixels).await?;
        let windows: Vec<Vec<&E::Embedding>> = embeddings.iter().map(|embedding| vec![embedding]).collect();
        let faces = self.predict_faces(&seen, &windows, 1).await?;
        for ((id, place, clarity), embedding) in seen.into_iter().zip(embeddings) {
            let first = || ClipFace { embeddings: Vec::new(), place, clarity: 0.0 };
            let face = clip.faces.entry(id).or_insert_with(first);
            face.place = place;
            face.clarity = face.clarity.max(clarity);
            face.embeddings.push(embedding);
        }
        Ok(frame(faces))
    }

    /// Every face of the clip with its prediction from all frames that show it, the longest seen first.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a clip without a frame.
    pub async fn recognize_face_clip(&mut self, clip: &FaceClip<E>) -> Result<FramePrediction> {
        if clip.frames == 0 {
            return Err(Error::new(ErrorKind::InvalidArgument, "the clip has no frame; give it at least one"));
        }
        let places: Vec<(u64, Face, f32)> =
            clip.faces.iter().map(|(&id, face)| (id, face.place, face.clarity)).collect();
        let windows: Vec<Vec<&E::Embedding>> =
            clip.faces.values().map(|face| face.embeddings.iter().collect()).collect();
        let mut faces = self.predict_faces(&places, &windows, clip.length).await?;
        faces.sort_by_key(|face| (std::cmp::Reverse(face.prediction.window.filled), face.id));
        Ok(frame(faces))
    }

    /// Each face with the prediction from its window, with one read-back for all of them.
    async fn predict_faces(
        &mut self,
        places: &[(u64, Face, f32)],
        windows: &[Vec<&E::Embedding>],
        length: usize,
    ) -> Result<Vec<TrackedFace>> {
        if windows.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.engine.similarities_of_all(windows).await?;
        self.counters.read_bytes += found.iter().map(|row| 4 * row.len() as u64).sum::<u64>();
        places
            .iter()
            .zip(windows)
            .zip(&found)
            .map(|((&(id, face, clarity), window), similarities)| {
                let prediction = self.explain(similarities, WindowState { filled: window.len(), length })?;
                let prediction = prediction.doubted(clarity, self.manifest.calibration.uncertain_below);
                Ok(TrackedFace { id, state: TrackState::Recognized, face, prediction })
            })
            .collect()
    }
}

fn frame(faces: Vec<TrackedFace>) -> FramePrediction {
    let state = if faces.is_empty() { FaceState::NoFace } else { FaceState::Recognized };
    FramePrediction { state, faces, waiting: 0 }
}
