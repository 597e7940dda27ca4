//! The faces of a stream: found now and then, followed in between, each encoded at its own pace into its own window.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::change_detector::ChangeDetector;
use super::face_cut::FaceCut;
use super::person::Person;
use super::window::Window;
use super::{RATE, Session};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::face::{DetectorOptions, FaceDetector, FaceIds, SURE, Seen, Track, TrackConfig, Tracker};
use crate::prediction::{FaceState, FramePrediction, Prediction, TrackState, TrackedFace, WindowState};
use crate::preprocess::Picture;

/// A face whose box is smaller than this share of the frame's longer side is found anew from near before it is cut out:
/// its crop is else rolled by up to 16 degrees (tests/bench/reports/faces.md). So is one that is no sure face.
const SMALL: f32 = 0.22;
/// Milliseconds that a frame may come before its time: cameras are no clocks.
const EARLY: f64 = 4.0;

/// How a stream's faces are found, followed and encoded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct FaceOptions {
    /// Most faces followed, at least 1.
    pub max_faces: usize,
    /// The detector runs on every such frame, and on each one while a face is lost; at least 1.
    pub detect_interval: u32,
    /// How long a lost face keeps its id, milliseconds.
    pub lost_timeout: f64,
    /// Least score of the detector that counts as a face, 0..1.
    pub min_score: f32,
    /// [`DetectorOptions::zoom`].
    pub zoom: usize,
    /// Looks at each face a second. The window covers as many seconds as these looks take to fill it.
    pub rate: f64,
    /// Most faces looked at in one frame, at least 1; the others come in the next frames, the longest waiting first.
    pub max_per_frame: usize,
    /// A crop in which no part changed by this many grey levels since it was encoded is not encoded again; 0 encodes
    /// every one.
    pub min_change: f32,
}

impl Default for FaceOptions {
    fn default() -> Self {
        let TrackConfig { detect_interval, lost_timeout, max_faces } = TrackConfig::default();
        let DetectorOptions { min_score, zoom, .. } = DetectorOptions::default();
        // The change is chosen on FER+ validation (tests/bench/reports/faces.md): accuracy stays, 99.5 % of the tops stay, and half
        // of a calm face's passes are saved.
        Self {
            max_faces,
            detect_interval,
            lost_timeout,
            min_score,
            zoom,
            rate: RATE,
            max_per_frame: 4,
            min_change: 10.0,
        }
    }
}

impl FaceOptions {
    /// Says what can't be followed; the detector's own options are checked by [`FaceDetector::set_options`].
    pub(super) fn check(&self) -> Result<()> {
        let fail = |why: String| Err(Error::new(ErrorKind::InvalidArgument, why));
        if self.max_faces == 0 || self.max_per_frame == 0 || self.detect_interval == 0 {
            return fail(format!(
                "at most {} faces, {} in a frame, found on every {}th frame can't be followed; each is at least 1",
                self.max_faces, self.max_per_frame, self.detect_interval
            ));
        }
        // Written so that NaN fails as well.
        if !(self.rate > 0.0 && self.rate <= 1000.0) {
            return fail(format!(
                "{} looks at a face a second can't be taken; give more than 0, at most 1000",
                self.rate
            ));
        }
        if !(self.lost_timeout >= 0.0 && self.min_change >= 0.0) {
            return fail(format!(
                "a lost timeout of {} ms and a min change of {} can't be kept; give numbers that are not negative",
                self.lost_timeout, self.min_change
            ));
        }
        Ok(())
    }

    pub(super) fn detector(&self) -> DetectorOptions {
        let default = DetectorOptions::default();
        // More faces are seen than followed: a followed one may be less sure than a newcomer.
        let max_faces = default.max_faces.max(self.max_faces);
        DetectorOptions { min_score: self.min_score, zoom: self.zoom, max_faces, ..default }
    }

    /// Prepares a detector for a single picture, of which no more faces are given than are followed.
    pub(super) fn set_picture(&self, detector: &mut FaceDetector) -> Result<()> {
        self.check()?;
        detector.set_options(DetectorOptions { max_faces: self.max_faces, ..self.detector() })
    }

    pub(super) fn track(&self) -> TrackConfig {
        TrackConfig {
            detect_interval: self.detect_interval,
            lost_timeout: self.lost_timeout,
            max_faces: self.max_faces,
        }
    }
}

/// Follows the faces of one stream; [`Session::push_faces`] gives it the frames.
#[derive(Debug)]
pub struct FaceFollower<T> {
    detector: FaceDetector,
    options: FaceOptions,
    tracker: Tracker,
    followed: BTreeMap<u64, Followed<T>>,
    last: Option<(f64, FramePrediction)>,
    /// What the session was asked to say when it answered last.
    wording: u64,
}

/// One face's window, and when it is looked at.
#[derive(Debug)]
struct Followed<T> {
    window: Window<T>,
    person: Person,
    encoded: Option<ChangeDetector>,
    /// How clearly it was seen last, 0..1.
    clarity: f32,
    due: f64,
    looked_at: f64,
    prediction: Option<Prediction>,
}

impl<T> FaceFollower<T> {
    /// Follows nobody yet.
    pub fn new(detector: FaceDetector) -> Self {
        Self::with_ids(detector, FaceIds::default())
    }

    /// Follows nobody yet; its faces are numbered on from `ids`, so that no other follower of theirs gives the same.
    pub fn with_ids(detector: FaceDetector, ids: FaceIds) -> Self {
        let options = FaceOptions::default();
        let tracker = Tracker::with_ids(options.track(), ids);
        Self { detector, options, tracker, followed: BTreeMap::new(), last: None, wording: 0 }
    }

    /// How faces are followed from now on; those followed stay.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for values outside their ranges; nothing changes then.
    pub fn set_options(&mut self, options: FaceOptions) -> Result<()> {
        options.check()?;
        self.detector.set_options(options.detector())?;
        self.tracker.set_config(options.track());
        self.options = options;
        Ok(())
    }

    /// The detector for a single picture, which gives no more faces than are followed.
    pub fn detector(&mut self) -> Result<&mut FaceDetector> {
        self.options.set_picture(&mut self.detector)?;
        Ok(&mut self.detector)
    }

    /// Whether the frame of this time has to be seen. One that need not be is answered without its pixels.
    pub fn needs_picture(&mut self, timestamp: f64) -> bool {
        if self.is_repeated(timestamp) {
            return false;
        }
        self.tracker.advance(timestamp);
        self.tracker.needs_detection() || self.followed.values().any(|face| face.is_due(timestamp))
    }

    /// Everybody who is followed.
    pub(super) fn persons(&mut self) -> impl Iterator<Item = &mut Person> {
        self.followed.values_mut().map(|face| &mut face.person)
    }

    /// Forgets everybody; ids go on.
    pub fn reset(&mut self) {
        self.tracker.reset();
        self.followed.clear();
        self.last = None;
    }

    fn is_repeated(&self, timestamp: f64) -> bool {
        self.last.as_ref().is_some_and(|(last, _)| *last == timestamp)
    }

    /// The faces whose turn it is, the longest waiting first, and how many have to wait for the next frame.
    fn turns(&self, tracks: &[Track], now: f64) -> (Vec<Track>, usize) {
        let looked_at = |track: &Track| self.followed.get(&track.id).map_or(f64::NEG_INFINITY, |face| face.looked_at);
        let is_due = |track: &Track| track.is_seen && self.followed.get(&track.id).is_some_and(|face| face.is_due(now));
        let mut due: Vec<Track> = tracks.iter().filter(|track| is_due(track)).copied().collect();
        due.sort_by(|a, b| looked_at(a).total_cmp(&looked_at(b)).then(a.id.cmp(&b.id)));
        let waiting = due.len().saturating_sub(self.options.max_per_frame);
        due.truncate(self.options.max_per_frame);
        (due, waiting)
    }
}

impl<T> Followed<T> {
    fn new(now: f64) -> Self {
        Self {
            window: Window::default(),
            person: Person::default(),
            encoded: None,
            clarity: 1.0,
            due: now,
            looked_at: f64::NEG_INFINITY,
            prediction: None,
        }
    }

    fn is_due(&self, now: f64) -> bool {
        self.due <= now + EARLY
    }

    /// Keeps the beat where frames come in time, and begins it anew where they don't.
    fn look(&mut self, now: f64, slot: f64) {
        self.looked_at = now;
        self.due = if now - self.due < slot { self.due + slot } else { now + slot };
    }
}

impl<E: Engine> Session<E> {
    /// Takes a frame of a stream and gives every face that is followed with the prediction from its own window.
    ///
    /// Each face is encoded at most once a frame, whatever the window's length; one that hardly changed is not encoded
    /// again. A time that was answered already is answered the same; going back, or a gap, forgets everybody.
    ///
    /// - picture: `None` where [`FaceFollower::needs_picture`] said that the frame need not be seen
    /// - timestamp: media time in milliseconds
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a timestamp that is not finite; those of the engine.
    pub async fn push_faces(
        &mut self,
        follower: &mut FaceFollower<E::Embedding>,
        picture: Option<Picture<'_>>,
        timestamp: f64,
    ) -> Result<FramePrediction> {
        check_time(timestamp)?;
        let is_reworded = std::mem::replace(&mut follower.wording, self.wording) != self.wording;
        if let Some((_, answer)) = follower.last.as_ref().filter(|_| follower.is_repeated(timestamp) && !is_reworded) {
            self.counters.repeated_frames += 1;
            return Ok(answer.clone());
        }
        let tracks = self.follow(follower, picture, timestamp)?;
        follower.followed.retain(|id, _| tracks.iter().any(|track| track.id == *id));
        for track in &tracks {
            follower.followed.entry(track.id).or_insert_with(|| Followed::new(timestamp));
        }
        if let Some(picture) = picture {
            let (due, waiting) = follower.turns(&tracks, timestamp);
            self.counters.deferred_faces += waiting as u64;
            let changed = self.look(follower, picture, &due, timestamp).await?;
            if !is_reworded {
                self.predict_windows(follower, &changed).await?;
            }
        }
        if is_reworded {
            let everyone: Vec<u64> =
                follower.followed.iter().filter(|(_, face)| face.encoded.is_some()).map(|(id, _)| *id).collect();
            self.predict_windows(follower, &everyone).await?;
        }
        let answer = self.describe(follower, &tracks);
        follower.last = Some((timestamp, answer.clone()));
        Ok(answer)
    }

    /// Where the faces are: found where the detector is due, else drawn out.
    fn follow(
        &mut self,
        follower: &mut FaceFollower<E::Embedding>,
        picture: Option<Picture<'_>>,
        timestamp: f64,
    ) -> Result<Vec<Track>> {
        let FaceFollower { detector, tracker, options, .. } = follower;
        detector.set_options(options.detector())?;
        tracker.advance(timestamp);
        let found = picture.filter(|_| tracker.needs_detection()).map(|picture| {
            self.counters.detections += 1;
            detector.detect(picture)
        });
        Ok(tracker.update(timestamp, found.as_deref()))
    }

    /// Cuts the faces whose turn it is out, encodes those that changed, all at once, and names those whose window is
    /// another one now.
    async fn look(
        &mut self,
        follower: &mut FaceFollower<E::Embedding>,
        picture: Picture<'_>,
        due: &[Track],
        now: f64,
    ) -> Result<Vec<u64>> {
        let FaceFollower { detector, followed, options: FaceOptions { rate, min_change, .. }, .. } = follower;
        let (rate, small) = (*rate, SMALL * picture.width().max(picture.height()) as f32);
        let (limits, slot) = (self.limits(rate), 1000.0 / rate);
        let mut changed = Vec::new();
        let mut encoded = Vec::new();
        let mut pictures = Vec::new();
        for track in due {
            let Some(face) = followed.get_mut(&track.id) else { continue };
            face.look(now, slot);
            let is_small = track.face.r#box.width.max(track.face.r#box.height) < small;
            let seen = match is_small || track.face.score < SURE {
                true => detector.refine(picture, &track.face),
                false => Seen { face: track.face, certainty: 1.0 },
            };
            let cut = FaceCut::new(picture, &seen, &self.manifest);
            face.clarity = cut.clarity;
            let brightness = ChangeDetector::new(&cut.rgba, cut.side);
            let is_still = |encoded: &ChangeDetector| encoded.difference(&brightness) < *min_change;
            if !self.is_calibrating && face.encoded.as_ref().is_some_and(is_still) {
                self.counters.skipped_passes += 1;
                if face.window.repeat(now, limits) {
                    changed.push(track.id);
                }
            } else {
                pictures.push(cut.pixels(&self.manifest)?);
                encoded.push((track.id, brightness));
            }
        }
        for ((id, brightness), embedding) in encoded.into_iter().zip(self.encode_each(pictures).await?) {
            if let Some(face) = followed.get_mut(&id) {
                self.meet(&mut face.person, &embedding).await?;
                face.encoded = Some(brightness);
                face.window.push(now, embedding, limits);
                changed.push(id);
            }
        }
        Ok(changed)
    }

    /// Predicts from the windows of these faces, with one read-back for all of them.
    async fn predict_windows(&mut self, follower: &mut FaceFollower<E::Embedding>, changed: &[u64]) -> Result<()> {
        let windows: Vec<Vec<&E::Embedding>> = changed
            .iter()
            .filter_map(|id| follower.followed.get(id))
            .map(|face| face.window.frames().collect())
            .collect();
        if windows.is_empty() {
            return Ok(());
        }
        let lengths: Vec<usize> = windows.iter().map(Vec::len).collect();
        let similarities = self.engine.similarities_of_all(&windows).await?;
        for ((id, filled), mut similarities) in changed.iter().zip(lengths).zip(similarities) {
            self.counters.read_bytes += 4 * similarities.len() as u64;
            if let Some(face) = follower.followed.get_mut(id) {
                self.correct(&mut face.person, &mut similarities);
                let prediction = self.explain(&similarities, WindowState { filled, length: self.length })?;
                face.prediction = Some(prediction.doubted(face.clarity, self.manifest.calibration.uncertain_below));
            }
        }
        Ok(())
    }

    fn describe(&self, follower: &FaceFollower<E::Embedding>, tracks: &[Track]) -> FramePrediction {
        let limits = self.limits(follower.options.rate);
        let faces: Vec<TrackedFace> = tracks
            .iter()
            .filter_map(|track| {
                let face = follower.followed.get(&track.id)?;
                let state = match (track.is_seen, face.window.is_warm(limits)) {
                    (false, _) => TrackState::Lost,
                    (true, false) => TrackState::WarmingUp,
                    (true, true) => TrackState::Recognized,
                };
                Some(TrackedFace { id: track.id, state, face: track.face, prediction: face.prediction.clone()? })
            })
            .collect();
        let state = match faces.iter().any(|face| face.state == TrackState::Recognized) {
            true => FaceState::Recognized,
            false if tracks.is_empty() => FaceState::NoFace,
            false => FaceState::WarmingUp,
        };
        FramePrediction { state, waiting: tracks.len() - faces.len(), faces }
    }

    pub(super) async fn encode_each(&mut self, pictures: Vec<Vec<f32>>) -> Result<Vec<E::Embedding>> {
        self.counters.passes += pictures.len() as u64;
        self.counters.uploaded_bytes += pictures.iter().map(|pixels| 4 * pixels.len() as u64).sum::<u64>();
        if pictures.is_empty() { Ok(Vec::new()) } else { self.engine.encode_each(pictures).await }
    }
}

/// The detector, where its files were given.
pub(super) fn found<T>(detector: Option<T>) -> Result<T> {
    detector.ok_or_else(|| {
        Error::new(ErrorKind::InvalidArgument, "there is no face detector yet; give its files to addDetector first")
    })
}

/// A frame's time has to be a number.
pub(super) fn check_time(timestamp: f64) -> Result<()> {
    if timestamp.is_finite() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidArgument,
        "the timestamp is not a finite number; pass the frame's media time in milliseconds",
    ))
}
