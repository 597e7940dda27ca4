//! Streams and clips by number: looked at side by side through one session, each with windows of its own.

use std::collections::BTreeMap;

use super::faces::found;
use super::film::Clip;
use super::lessons::Lessons;
use super::person::Person;
use super::{FaceClip, FaceFollower, FaceOptions, Look, Session, Stream};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::face::{FaceDetector, FaceIds};
use crate::prediction::{FramePrediction, PicturePrediction, Prediction};
use crate::preprocess::Picture;

/// A session with all that is open on it. The caller numbers its streams, and its clips apart from them.
pub struct Streams<E: Engine> {
    /// What looks.
    pub session: Session<E>,
    pub(super) detector: Option<FaceDetector>,
    pub(super) lessons: Lessons,
    ids: FaceIds,
    streams: BTreeMap<u32, OpenStream<E::Embedding>>,
    clips: BTreeMap<u32, OpenClip<E>>,
}

/// A stream's window, and its faces once they are asked for.
#[derive(Debug)]
struct OpenStream<T> {
    stream: Stream<T>,
    follower: Option<FaceFollower<T>>,
}

impl<T> Default for OpenStream<T> {
    fn default() -> Self {
        Self { stream: Stream::default(), follower: None }
    }
}

/// A clip is looked at as a whole, or for its faces.
enum OpenClip<E: Engine> {
    Whole(Clip<E>),
    Faces(Box<FaceClip<E>>),
}

impl<E: Engine> Streams<E> {
    /// Nothing is open yet.
    pub fn new(session: Session<E>) -> Self {
        Self {
            session,
            detector: None,
            lessons: Lessons::default(),
            ids: FaceIds::default(),
            streams: BTreeMap::new(),
            clips: BTreeMap::new(),
        }
    }

    /// Takes the face detector, without which faces can't be asked for.
    pub fn set_detector(&mut self, detector: FaceDetector) {
        self.detector = Some(detector);
    }

    /// The first face that a stream follows from now on has this number, unless it was given already: those of a session
    /// that this one takes the place of are not given again.
    pub fn set_next_face(&self, next: u64) {
        self.ids.go_on_from(next);
    }

    /// Adds a frame to a stream's window, which its first frame opens: [`Session::push`].
    pub async fn push(&mut self, stream: u32, picture: Picture<'_>, timestamp: f64) -> Result<Prediction> {
        let open = self.streams.entry(stream).or_default();
        self.session.push(&mut open.stream, picture, timestamp).await
    }

    /// Whether a stream's frame has to be seen to answer for its faces.
    pub fn needs_picture(&mut self, stream: u32, timestamp: f64) -> bool {
        let follower = self.streams.get_mut(&stream).and_then(|open| open.follower.as_mut());
        follower.is_none_or(|follower| follower.needs_picture(timestamp))
    }

    /// Takes a stream's frame for its faces: [`Session::push_faces`].
    pub async fn push_faces(
        &mut self,
        stream: u32,
        picture: Option<Picture<'_>>,
        timestamp: f64,
        options: FaceOptions,
    ) -> Result<FramePrediction> {
        let detector = found(self.detector.as_ref())?;
        let open = self.streams.entry(stream).or_default();
        let follower = open.follower.get_or_insert_with(|| FaceFollower::with_ids(detector.clone(), self.ids.clone()));
        follower.set_options(options)?;
        self.session.push_faces(follower, picture, timestamp).await
    }

    /// One picture's faces, no more than `options` says: [`Session::recognize_faces`].
    pub async fn recognize_faces(
        &mut self,
        picture: Picture<'_>,
        options: FaceOptions,
        look: Look,
    ) -> Result<PicturePrediction> {
        let detector = found(self.detector.as_mut())?;
        options.set_picture(detector)?;
        self.session.recognize_faces(detector, picture, look).await
    }

    /// Adds the next frame to a clip of `length` frames, which its first frame opens, and answers for that frame.
    pub async fn push_clip(&mut self, clip: u32, length: usize, picture: Picture<'_>) -> Result<Prediction> {
        if !self.clips.contains_key(&clip) {
            let begun = self.session.start_clip(length)?;
            self.clips.insert(clip, OpenClip::Whole(begun));
        }
        match self.clips.get_mut(&clip) {
            Some(OpenClip::Whole(begun)) => self.session.push_clip(begun, picture).await,
            _ => Err(no_clip()),
        }
    }

    /// Adds the next frame to a clip whose faces are asked for, and answers for the faces of that frame.
    pub async fn push_face_clip(
        &mut self,
        clip: u32,
        length: usize,
        picture: Picture<'_>,
        options: FaceOptions,
    ) -> Result<FramePrediction> {
        if !self.clips.contains_key(&clip) {
            let begun = self.session.start_face_clip(found(self.detector.as_ref())?, options, length)?;
            self.clips.insert(clip, OpenClip::Faces(Box::new(begun)));
        }
        match self.clips.get_mut(&clip) {
            Some(OpenClip::Faces(begun)) => self.session.push_face_clip(begun, picture).await,
            _ => Err(no_clip()),
        }
    }

    /// A clip's prediction; the clip ends with it.
    pub async fn recognize_clip(&mut self, clip: u32) -> Result<Prediction> {
        match self.clips.remove(&clip) {
            Some(OpenClip::Whole(clip)) => self.session.recognize_clip(&clip).await,
            _ => Err(no_clip()),
        }
    }

    /// The predictions of a clip's faces; the clip ends with it.
    pub async fn recognize_face_clip(&mut self, clip: u32) -> Result<FramePrediction> {
        match self.clips.remove(&clip) {
            Some(OpenClip::Faces(clip)) => self.session.recognize_face_clip(&clip).await,
            _ => Err(no_clip()),
        }
    }

    /// Forgets a clip that was not finished.
    pub fn drop_clip(&mut self, clip: u32) {
        self.clips.remove(&clip);
    }

    /// Everybody that the streams see: whose face fills the picture, and who is followed.
    pub(super) fn persons(&mut self) -> impl Iterator<Item = &mut Person> {
        self.streams.values_mut().flat_map(|open| {
            let followed = open.follower.iter_mut().flat_map(|follower| follower.persons());
            std::iter::once(&mut open.stream.person).chain(followed)
        })
    }

    /// Forgets a stream that has ended.
    pub fn end(&mut self, stream: u32) {
        self.streams.remove(&stream);
    }

    /// Forgets every stream's frames and faces; the faces' numbers go on.
    pub fn reset(&mut self) {
        for open in self.streams.values_mut() {
            open.stream.reset();
            if let Some(follower) = &mut open.follower {
                follower.reset();
            }
        }
    }
}

fn no_clip() -> Error {
    Error::new(ErrorKind::InvalidArgument, "the clip has no frame; give it at least one")
}
