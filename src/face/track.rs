//! Who is who from frame to frame: stable ids, a grace period, and faces smoothed without lag.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::config::ANCHOR_VALUES;
use super::decode::{from_values, to_values};
use crate::prediction::Face;

/// A face is the track's when their boxes overlap this much ...
const LEAST_OVERLAP: f32 = 0.2;
/// ... or their key points lie within this share of the face's side: a fast, small face overlaps nothing.
const MOST_DISTANCE: f32 = 0.5;
/// A movement by more than this share of the side against what was expected is a jump: nothing of the past is kept.
const JUMP: f32 = 0.5;
/// A difference of this share of the side is movement and no jitter: it is followed at once.
const MOVEMENT: f32 = 0.1;
/// Jitter is averaged over about this time, milliseconds.
const JITTER_TIME: f64 = 80.0;
/// How far ahead a movement is drawn out, milliseconds.
const HORIZON: f64 = 150.0;
/// Most of a difference taken at once; one would throw away what was expected.
const MOST_GAIN: f32 = 0.8;
/// A stream slower than this many frames a grace period is given as many frames' time, so that its faces keep their ids.
const LOST_FRAMES: f64 = 2.0;
/// How often the grace period fits into the time that a stream's second frame may take: nothing is known of its pace.
const FIRST_LOST: f64 = 4.0;

/// How faces are followed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrackConfig {
    /// The detector runs on every such frame, on each one while a face is lost, and where frames come so slowly that a
    /// movement can't be drawn out (150 ms); 0 counts as 1.
    pub detect_interval: u32,
    /// How long a lost face keeps its id, milliseconds; two frames at least.
    pub lost_timeout: f64,
    /// Most faces followed.
    pub max_faces: usize,
}

impl Default for TrackConfig {
    fn default() -> Self {
        Self { detect_interval: 3, lost_timeout: 500.0, max_faces: 8 }
    }
}

/// One person's face in this frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Track {
    /// The same number as long as the face is followed; never given twice.
    pub id: u64,
    /// Where it is: smoothed, and drawn out where the detector did not run.
    pub face: Face,
    /// Whether the detector found it when it last ran; otherwise it is lost, and drawn out for the grace period.
    pub is_seen: bool,
}

/// Numbers faces. Clones count on together: trackers that share them give no number twice.
#[derive(Debug, Clone, Default)]
pub struct FaceIds(Arc<AtomicU64>);

impl FaceIds {
    /// The next face has this number, unless it was given already.
    pub fn go_on_from(&self, next: u64) {
        self.0.fetch_max(next, Ordering::Relaxed);
    }

    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Follows faces over the frames of a stream.
#[derive(Debug, Default)]
pub struct Tracker {
    config: TrackConfig,
    tracks: Vec<Followed>,
    ids: FaceIds,
    /// Frames since the detector ran; none before its first run.
    waited: Option<u32>,
    detected_at: f64,
    last: Option<f64>,
    /// Mean time from frame to frame; none before the second.
    interval: Option<f64>,
}

#[derive(Debug, Clone, Copy)]
struct Followed {
    id: u64,
    motion: Motion,
    score: f32,
    seen_at: f64,
    is_seen: bool,
}

impl Tracker {
    /// Follows nobody yet.
    pub fn new(config: TrackConfig) -> Self {
        Self::with_ids(config, FaceIds::default())
    }

    /// Follows nobody yet; new faces are numbered on from `ids`.
    pub fn with_ids(config: TrackConfig, ids: FaceIds) -> Self {
        Self { config, ids, ..Self::default() }
    }

    /// Whether the detector should run on the next frame.
    pub fn needs_detection(&self) -> bool {
        let due = self.waited.is_none_or(|waited| waited.saturating_add(1) >= self.config.detect_interval);
        let late = self.last.is_some_and(|last| last - self.detected_at >= HORIZON);
        due || late || self.tracks.iter().any(|track| !track.is_seen)
    }

    /// How faces are followed from now on; those followed stay.
    pub fn set_config(&mut self, config: TrackConfig) {
        self.config = config;
        self.tracks.truncate(config.max_faces);
    }

    /// Goes to a frame's time: going back, or a gap longer than the grace period, forgets everybody, and the detector
    /// is then due. [`Tracker::update`] does this too; before it, [`Tracker::needs_detection`] knows the frame's time.
    ///
    /// - timestamp: as for [`Tracker::update`]
    pub fn advance(&mut self, timestamp: f64) {
        let Some(last) = self.last else {
            self.last = Some(if timestamp.is_finite() { timestamp } else { 0.0 });
            return;
        };
        let now = if timestamp.is_finite() { timestamp } else { last };
        let before = self.tracks.len();
        if now < last {
            self.tracks.clear();
            self.interval = None;
            self.detected_at = f64::NEG_INFINITY;
        } else if now > last {
            let TrackConfig { lost_timeout, .. } = self.config;
            let lost_timeout =
                lost_timeout.max(self.interval.map_or(FIRST_LOST * lost_timeout, |interval| LOST_FRAMES * interval));
            self.tracks.retain(|track| now - track.seen_at <= lost_timeout);
            self.interval = Some(self.interval.map_or(now - last, |interval| (interval + now - last) / 2.0));
        }
        if before > 0 && self.tracks.is_empty() {
            self.waited = None;
        }
        self.last = Some(now);
    }

    /// Takes a frame and gives every face that is followed, the longest followed first.
    ///
    /// - timestamp: media time in milliseconds. Going back, or a gap longer than the grace period, forgets everybody;
    ///   what is no number counts as the last time.
    /// - faces: what the detector found, the surest first; `None` where it did not run
    pub fn update(&mut self, timestamp: f64, faces: Option<&[Face]>) -> Vec<Track> {
        self.advance(timestamp);
        let now = self.last.unwrap_or_default();
        match faces {
            Some(faces) => {
                self.waited = Some(0);
                self.detected_at = now;
                self.assign(faces, now);
            }
            None => self.waited = self.waited.map(|waited| waited.saturating_add(1)),
        }
        self.tracks
            .iter()
            .map(|track| Track {
                id: track.id,
                face: from_values(&track.motion.expected(now), track.score),
                is_seen: track.is_seen,
            })
            .collect()
    }

    /// Forgets everybody; ids go on.
    pub fn reset(&mut self) {
        self.tracks.clear();
        self.waited = None;
        self.interval = None;
        self.last = None;
    }

    fn assign(&mut self, faces: &[Face], now: f64) {
        let expected: Vec<Face> =
            self.tracks.iter().map(|track| from_values(&track.motion.expected(now), track.score)).collect();
        let matches = matching(&expected, faces);
        for (track, found) in self.tracks.iter_mut().zip(&matches) {
            track.is_seen = found.is_some();
            if let Some(face) = found.map(|index| &faces[index]) {
                track.motion = track.motion.corrected(to_values(face), now);
                track.score = face.score;
                track.seen_at = now;
            }
        }
        for (index, face) in faces.iter().enumerate() {
            if self.tracks.len() < self.config.max_faces && !matches.contains(&Some(index)) {
                let motion = Motion::resting(to_values(face), now);
                let id = self.ids.next();
                self.tracks.push(Followed { id, motion, score: face.score, seen_at: now, is_seen: true });
            }
        }
    }
}

/// For each track the index of its face, no face twice: the likest pair first, then the likest of the rest.
fn matching(tracks: &[Face], faces: &[Face]) -> Vec<Option<usize>> {
    let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
    for (index, track) in tracks.iter().enumerate() {
        for (place, face) in faces.iter().enumerate() {
            let overlap = track.r#box.overlap(&face.r#box);
            let distance = distance(track, face);
            if overlap >= LEAST_OVERLAP || distance <= MOST_DISTANCE {
                pairs.push((overlap - distance, index, place));
            }
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut matches = vec![None; tracks.len()];
    let mut taken = vec![false; faces.len()];
    for (_, index, place) in pairs {
        if matches[index].is_none() && !taken[place] {
            matches[index] = Some(place);
            taken[place] = true;
        }
    }
    matches
}

/// Mean distance of the key points over the larger face's side.
fn distance(a: &Face, b: &Face) -> f32 {
    let pairs = a.key_points.to_array().into_iter().zip(b.key_points.to_array());
    let sum: f32 = pairs.map(|(a, b)| (a.x - b.x).hypot(a.y - b.y)).sum();
    let side = a.r#box.width.max(b.r#box.width).max(f32::MIN_POSITIVE);
    sum / 6.0 / side
}

/// A face's numbers and how fast each changes: an alpha-beta filter, which follows a steady movement without lag.
#[derive(Debug, Clone, Copy)]
struct Motion {
    values: [f32; ANCHOR_VALUES],
    /// Pixels a millisecond.
    speeds: [f32; ANCHOR_VALUES],
    at: f64,
}

impl Motion {
    fn resting(values: [f32; ANCHOR_VALUES], at: f64) -> Self {
        Self { values, speeds: [0.0; ANCHOR_VALUES], at }
    }

    /// The numbers at a time, if nothing changes its course.
    fn expected(&self, now: f64) -> [f32; ANCHOR_VALUES] {
        let ahead = (now - self.at).clamp(0.0, HORIZON) as f32;
        let mut values = self.values;
        for (value, speed) in values.iter_mut().zip(self.speeds) {
            *value += speed * ahead;
        }
        // A face that shrinks does not turn inside out.
        for (length, known) in values[2..4].iter_mut().zip(&self.values[2..4]) {
            *length = length.max(0.5 * known);
        }
        values
    }

    /// The motion once the face was found here.
    fn corrected(&self, found: [f32; ANCHOR_VALUES], now: f64) -> Self {
        let expected = self.expected(now);
        let passed = now - self.at;
        let side = found[2].max(found[3]).max(f32::MIN_POSITIVE);
        let middle = |values: &[f32; ANCHOR_VALUES]| (values[0] + values[2] / 2.0, values[1] + values[3] / 2.0);
        let ((x, y), (found_x, found_y)) = (middle(&expected), middle(&found));
        let difference = ((found_x - x).hypot(found_y - y) + (found[2] - expected[2]).abs()) / side;
        if difference > JUMP || passed <= 0.0 {
            return Self::resting(found, now);
        }
        let calm = 1.0 - (-passed / JITTER_TIME).exp() as f32;
        let gain = (calm + (1.0 - calm) * (difference / MOVEMENT).min(1.0)).min(MOST_GAIN);
        // Benedict and Bordner 1962: the share for the speed that settles fastest for this share of the place.
        let speed_gain = gain * gain / (2.0 - gain);
        let (mut values, mut speeds) = (expected, self.speeds);
        for (((value, speed), expected), found) in values.iter_mut().zip(&mut speeds).zip(expected).zip(found) {
            *value += gain * (found - expected);
            *speed += speed_gain * (found - expected) / passed as f32;
        }
        Self { values, speeds, at: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(x: f32, y: f32, side: f32) -> Face {
        let mut values = [0.0; ANCHOR_VALUES];
        values[..4].copy_from_slice(&[x, y, side, side]);
        for (index, pair) in values[4..].chunks_exact_mut(2).enumerate() {
            pair.copy_from_slice(&[x + side * (0.2 + 0.1 * index as f32), y + side * 0.4]);
        }
        from_values(&values, 0.9)
    }

    fn ids(tracks: &[Track]) -> Vec<u64> {
        tracks.iter().map(|track| track.id).collect()
    }

    const FRAME: f64 = 1000.0 / 30.0;

    #[test]
    fn two_people_who_pass_each_other_keep_their_ids() {
        let mut tracker = Tracker::new(TrackConfig::default());
        for frame in 0..60 {
            let walk = frame as f32 * 6.0;
            // One above the other by half a face; the detector's order swaps half way.
            let mut faces = vec![face(20.0 + walk, 100.0, 60.0), face(380.0 - walk, 140.0, 60.0)];
            if frame > 30 {
                faces.swap(0, 1);
            }
            let tracks = tracker.update(f64::from(frame) * FRAME, Some(&faces));
            assert_eq!(ids(&tracks), [0, 1], "frame {frame}");
            assert!((tracks[0].face.r#box.x - (20.0 + walk)).abs() < 12.0);
        }
    }

    #[test]
    fn a_lost_face_keeps_its_id_for_the_grace_period_only() {
        let mut tracker = Tracker::new(TrackConfig { lost_timeout: 300.0, ..TrackConfig::default() });
        assert!(tracker.needs_detection());
        let one = [face(50.0, 50.0, 80.0)];
        tracker.update(0.0, Some(&one));
        assert!(!tracker.needs_detection());
        let lost = tracker.update(100.0, Some(&[]));
        assert!(!lost[0].is_seen);
        assert!(tracker.needs_detection(), "a lost face is looked for on every frame");
        assert_eq!(ids(&tracker.update(250.0, Some(&one))), [0]);
        assert!(tracker.update(600.0, Some(&[])).is_empty());
        assert_eq!(ids(&tracker.update(640.0, Some(&one))), [1]);
        assert_eq!(ids(&tracker.update(2000.0, Some(&one))), [2], "a gap forgets everybody");
        assert_eq!(ids(&tracker.update(10.0, Some(&one))), [3], "so does a time that goes back");
        assert_eq!(ids(&tracker.update(f64::NAN, Some(&one))), [3]);
        tracker.reset();
        assert_eq!(ids(&tracker.update(0.0, Some(&one))), [4]);
    }

    #[test]
    fn a_slow_stream_keeps_its_ids_and_looks_at_every_frame() {
        for interval in [200.0, 700.0, 900.0] {
            let mut tracker = Tracker::new(TrackConfig::default());
            // Nothing says that a stream's clock begins at zero.
            for frame in 0..10 {
                let now = 5e6 + f64::from(frame) * interval;
                tracker.advance(now);
                assert!(tracker.needs_detection(), "{interval} {frame}");
                assert_eq!(ids(&tracker.update(now, Some(&[face(0.0, 0.0, 50.0)]))), [0], "{interval} {frame}");
            }
            let later = 5e6 + 100.0 * interval;
            tracker.advance(later);
            assert!(tracker.needs_detection());
            assert!(tracker.update(later, None).is_empty(), "a gap is a gap on a slow stream too");
        }
    }

    #[test]
    fn fewer_faces_are_followed_from_now_on() {
        let mut tracker = Tracker::new(TrackConfig::default());
        let faces: Vec<Face> = (0..5).map(|index| face(index as f32 * 100.0, 0.0, 40.0)).collect();
        assert_eq!(tracker.update(0.0, Some(&faces)).len(), 5);
        tracker.set_config(TrackConfig { max_faces: 2, ..TrackConfig::default() });
        assert_eq!(ids(&tracker.update(33.0, Some(&faces))), [0, 1]);
    }

    #[test]
    fn the_detector_is_asked_for_on_every_nth_frame() {
        for every in [0, 1, 3, 5] {
            let mut tracker = Tracker::new(TrackConfig { detect_interval: every, ..TrackConfig::default() });
            let mut runs = 0;
            for frame in 0..30 {
                let wanted = tracker.needs_detection();
                runs += u32::from(wanted);
                let faces = [face(10.0, 10.0, 50.0)];
                let tracks = tracker.update(f64::from(frame) * FRAME, wanted.then_some(&faces[..]));
                assert_eq!(tracks.len(), 1);
            }
            assert_eq!(runs, 30 / every.max(1));
        }
    }

    #[test]
    fn a_steady_movement_is_followed_without_lag_between_detections_too() {
        let mut tracker = Tracker::new(TrackConfig::default());
        let mut worst = 0.0f32;
        for frame in 0..60 {
            // Half its side a second.
            let x = frame as f32 * 100.0 * 0.5 / 30.0;
            let faces = [face(x, 0.0, 100.0)];
            let wanted = tracker.needs_detection();
            let found = tracker.update(f64::from(frame) * FRAME, wanted.then_some(&faces[..]))[0].face.r#box.x;
            if frame > 20 {
                worst = worst.max((found - x).abs());
            }
        }
        println!("worst lag {worst:.3} % of the side");
        assert!(worst < 0.5, "{worst}");
    }

    #[test]
    fn jitter_is_halved_and_a_jump_is_taken_at_once() {
        let mut tracker = Tracker::new(TrackConfig { detect_interval: 1, ..TrackConfig::default() });
        let mut sum = (0.0f32, 0.0f32);
        let mut state = 1u32;
        for frame in 0..400 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (state >> 8) as f32 / (1u32 << 24) as f32 * 2.0 - 1.0;
            let found = tracker.update(f64::from(frame) * FRAME, Some(&[face(noise, 0.0, 100.0)]))[0].face.r#box.x;
            sum.0 += noise * noise;
            sum.1 += found * found;
        }
        let left = (sum.1 / sum.0).sqrt();
        println!("jitter left {left:.2}");
        assert!(left < 0.65, "{left}");
        // Too far to be the same movement, near enough to be the same face.
        let tracks = tracker.update(400.0 * FRAME, Some(&[face(60.0, 0.0, 100.0)]));
        assert_eq!((ids(&tracks), tracks[0].face.r#box.x), (vec![0], 60.0));
    }

    #[test]
    fn thirty_faces_fill_the_budget_and_no_more() {
        let mut tracker = Tracker::new(TrackConfig::default());
        let faces: Vec<Face> =
            (0..30).map(|index| face((index % 6) as f32 * 50.0, (index / 6) as f32 * 50.0, 40.0)).collect();
        for frame in 0..10 {
            let tracks = tracker.update(f64::from(frame) * FRAME, Some(&faces));
            assert_eq!(ids(&tracks), (0..8).collect::<Vec<u64>>());
        }
    }
}
