//! Clips on disk: frame folders, animated GIFs and films -> sampled frames, their time-line and the clip's prediction.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use cliper::engine::cpu::CpuEngine;
use cliper::face::FaceDetector;
use cliper::preprocess::Picture;
use cliper::session::{FaceOptions, Session};
use cliper::{Face, FaceState, Prediction, TrackedFace};
use image::AnimationDecoder;
use image::codecs::gif::GifDecoder;
use serde::Serialize;
use tempfile::TempDir;

use crate::media::films;
use crate::media::pictures::{picture_files, read_picture};

/// Most faces that are followed at once.
const MOST_FACES: usize = 32;

/// Which frames of a clip are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// Seconds.
    pub from: f64,
    /// Seconds; the end by default.
    pub to: Option<f64>,
    /// As many as these; the bundle's own by default.
    pub frames: Option<usize>,
    /// Frames a second of a folder, whose files carry no times.
    pub rate: f64,
}

/// What a clip seems to express, and how that came.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClipPrediction {
    /// From all sampled frames together.
    pub prediction: Prediction,
    /// Each sampled frame by itself, in order.
    pub timeline: Vec<Moment>,
}

/// The faces of a clip.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClipFaces {
    /// Whether any frame shows one.
    pub state: FaceState,
    /// Those seen in the most frames first.
    pub faces: Vec<ClipFace>,
    /// Sampled frames without a face.
    pub faceless: usize,
}

/// One face of a clip.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClipFace {
    /// The same number as long as the face is followed.
    pub id: u64,
    /// Where it was last: its fields stand beside the others.
    #[serde(flatten)]
    pub face: Face,
    /// From all frames that show it.
    pub prediction: Prediction,
    /// Each of them by itself, in order.
    pub timeline: Vec<Moment>,
}

/// One frame of a time-line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Moment {
    /// Seconds from the clip's beginning.
    pub time: f64,
    /// The frame's top expression.
    pub top: String,
    /// Every expression's score in the bundle's order.
    pub scores: Vec<f32>,
}

impl Moment {
    fn new(time: f64, found: Prediction) -> Self {
        let scores = found.expressions.iter().map(|expression| expression.score).collect();
        Self { time, top: found.top.name, scores }
    }
}

/// A clip's frames, read when they are needed.
enum Frames {
    Files(Vec<PathBuf>),
    /// RGBA, width and height: a GIF's frames build on each other, so all are decoded.
    Decoded(Vec<(Vec<u8>, usize, usize)>),
    /// Taken apart by ffmpeg once the frames are chosen.
    Film(PathBuf),
}

/// The frames of a clip that are looked at.
struct Chosen {
    frames: Frames,
    /// Of each, its place among the frames.
    places: Vec<usize>,
    /// Where a film's pictures lie until they were looked at.
    _kept: Option<TempDir>,
}

impl Frames {
    fn choose(self, chosen: &[usize]) -> Result<Chosen> {
        Ok(match self {
            Self::Film(film) => {
                let (folder, files) = films::pictures(&film, chosen)?;
                Chosen { places: (0..files.len()).collect(), frames: Self::Files(files), _kept: Some(folder) }
            }
            frames => Chosen { frames, places: chosen.to_vec(), _kept: None },
        })
    }
}

impl Chosen {
    /// RGBA, width and height.
    fn read(&self, index: usize) -> Result<(Cow<'_, [u8]>, usize, usize)> {
        Ok(match &self.frames {
            Frames::Files(files) => {
                let (rgba, width, height) = read_picture(&files[self.places[index]])?;
                (rgba.into(), width, height)
            }
            Frames::Decoded(frames) => {
                let (rgba, width, height) = &frames[self.places[index]];
                (rgba.into(), *width, *height)
            }
            Frames::Film(film) => bail!("{} was not taken apart", film.display()),
        })
    }
}

/// Whether a path is a clip: a folder, a film, or a GIF with more than one frame.
pub fn is_clip(path: &Path) -> bool {
    path.is_dir() || films::is_film(path) || is_gif(path) && animation(path, 2).is_ok_and(|frames| frames.len() > 1)
}

/// The frames of a part of a clip, opened and chosen.
struct Sampled {
    chosen: Chosen,
    /// Of each, seconds from the clip's beginning.
    times: Vec<f64>,
    /// As many as were wanted; a short clip has fewer.
    length: usize,
}

impl Sampled {
    fn open(session: &Session<CpuEngine>, path: &Path, cut: &Cut) -> Result<Self> {
        let (frames, times, end) = open(path, cut.rate)?;
        let to = cut.to.unwrap_or(f64::INFINITY);
        ensure!(cut.from >= 0.0 && to > cut.from, "the clip's part from {} to {to} seconds is empty", cut.from);
        ensure!(cut.from < end, "{} ends at {end:.2} seconds: nothing lies from {} on", path.display(), cut.from);
        let manifest = session.manifest();
        let own = manifest.temporal.as_ref().map_or(manifest.window, |temporal| temporal.frames);
        let length = cut.frames.unwrap_or(own);
        session.start_clip(length)?;
        let places = choose(&times, cut.from, to.min(end), length);
        let times = places.iter().map(|&place| times[place]).collect();
        Ok(Self { chosen: frames.choose(&places)?, times, length })
    }
}

/// Recognises a clip; `progress` is told the frames done and their number.
pub fn recognize(
    session: &mut Session<CpuEngine>,
    path: &Path,
    cut: &Cut,
    mut progress: impl FnMut(usize, usize),
) -> Result<ClipPrediction> {
    let Sampled { chosen, times, length } = Sampled::open(session, path, cut)?;
    let mut clip = session.start_clip(length)?;
    let mut timeline = Vec::new();
    for (index, &time) in times.iter().enumerate() {
        let (rgba, width, height) = chosen.read(index)?;
        let found = pollster::block_on(session.push_clip(&mut clip, Picture::new(&rgba, width, height)?))?;
        timeline.push(Moment::new(time, found));
        progress(index + 1, times.len());
    }
    Ok(ClipPrediction { prediction: pollster::block_on(session.recognize_clip(&clip))?, timeline })
}

/// Finds the faces of a clip, follows each from frame to frame and answers for it by itself, the longest seen first.
///
/// - zoom: of the detector
pub fn recognize_faces(
    session: &mut Session<CpuEngine>,
    detector: &FaceDetector,
    zoom: usize,
    path: &Path,
    cut: &Cut,
    mut progress: impl FnMut(usize, usize),
) -> Result<ClipFaces> {
    let Sampled { chosen, times, length } = Sampled::open(session, path, cut)?;
    let options = FaceOptions { max_faces: MOST_FACES, zoom, ..FaceOptions::default() };
    let mut clip = session.start_face_clip(detector, options, length)?;
    let mut timelines: BTreeMap<u64, Vec<Moment>> = BTreeMap::new();
    let mut faceless = 0;
    for (index, &time) in times.iter().enumerate() {
        let (rgba, width, height) = chosen.read(index)?;
        let picture = Picture::new(&rgba, width, height)?;
        let frame = pollster::block_on(session.push_face_clip(&mut clip, picture))?;
        faceless += usize::from(frame.state == FaceState::NoFace);
        for seen in frame.faces {
            timelines.entry(seen.id).or_default().push(Moment::new(time, seen.prediction));
        }
        progress(index + 1, times.len());
    }
    let whole = pollster::block_on(session.recognize_face_clip(&clip))?;
    let face = |TrackedFace { id, face, prediction, .. }| ClipFace {
        id,
        face,
        prediction,
        timeline: timelines.remove(&id).unwrap_or_default(),
    };
    Ok(ClipFaces { state: whole.state, faces: whole.faces.into_iter().map(face).collect(), faceless })
}

/// The frames shown in the middle of each of `length` equal parts of the time, none of them twice. At a constant rate
/// these are the frames that [`cliper::session::film::sample`] chooses.
fn choose(times: &[f64], from: f64, to: f64, length: usize) -> Vec<usize> {
    let shown = |part: usize| {
        // A hair later: a frame's time may be a rounding error above the moment that it begins at.
        let moment = from + (to - from) * (part as f64 + 0.5) / length as f64 + 1e-9;
        times.partition_point(|&time| time <= moment).saturating_sub(1)
    };
    let mut chosen: Vec<usize> = (0..length).map(shown).collect();
    chosen.dedup();
    chosen
}

/// The frames of a clip, each one's time in seconds, and the time when the last one ends.
fn open(path: &Path, rate: f64) -> Result<(Frames, Vec<f64>, f64)> {
    ensure!(rate.is_finite() && rate > 0.0, "a clip of {rate} frames a second can't be timed; give a rate above 0");
    if path.is_dir() {
        let files = picture_files(path)?;
        let times = (0..files.len()).map(|index| index as f64 / rate).collect();
        let end = files.len() as f64 / rate;
        return Ok((Frames::Files(files), times, end));
    }
    if !is_gif(path) {
        let times = films::times(path)?;
        // The last frame is shown as long as the others on average.
        let last = times[times.len() - 1];
        let end = last + if times.len() > 1 { last / (times.len() - 1) as f64 } else { 1.0 / rate };
        return Ok((Frames::Film(path.to_owned()), times, end));
    }
    let frames = animation(path, usize::MAX)?;
    let mut time = 0.0;
    let mut times = Vec::with_capacity(frames.len());
    let mut decoded = Vec::with_capacity(frames.len());
    for frame in frames {
        let (milliseconds, parts) = frame.delay().numer_denom_ms();
        times.push(time);
        // Browsers show frames of less than 20 ms for 100 ms.
        let delay = f64::from(milliseconds) / f64::from(parts.max(1)) / 1000.0;
        time += if delay < 0.02 { 0.1 } else { delay };
        let picture = frame.into_buffer();
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        decoded.push((picture.into_raw(), width, height));
    }
    ensure!(!decoded.is_empty(), "{} has no frame", path.display());
    Ok((Frames::Decoded(decoded), times, time))
}

fn is_gif(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gif"))
}

/// The first frames of a GIF.
fn animation(path: &Path, most: usize) -> Result<Vec<image::Frame>> {
    let file = File::open(path).with_context(|| format!("{} can't be read", path.display()))?;
    let decoder = GifDecoder::new(BufReader::new(file)).with_context(|| format!("{} is no GIF", path.display()))?;
    let frames = decoder.into_frames().take(most).collect::<image::ImageResult<Vec<_>>>();
    frames.with_context(|| format!("{} is a damaged GIF", path.display()))
}

#[cfg(test)]
mod tests {
    use super::choose;
    use cliper::session::film::sample;

    #[test]
    fn a_constant_rate_is_sampled_as_data_sets_are() {
        for (count, length) in [(1, 1), (1, 16), (5, 16), (16, 16), (17, 16), (31, 16), (100, 16), (999, 16), (64, 1)] {
            for rate in [5.0, 24.0, 25.0, 29.97, 60.0] {
                let times: Vec<f64> = (0..count).map(|index| index as f64 / rate).collect();
                let mut wanted = sample(count, length);
                wanted.dedup();
                assert_eq!(
                    choose(&times, 0.0, count as f64 / rate, length),
                    wanted,
                    "{count} at {rate}, {length} wanted"
                );
            }
        }
    }

    #[test]
    fn a_variable_rate_is_sampled_by_time() {
        // The second frame stands for most of the time.
        assert_eq!(choose(&[0.0, 0.1, 0.9, 0.95], 0.0, 1.0, 4), [1]);
        assert_eq!(choose(&[0.0, 0.1, 0.9, 0.95], 0.5, 1.0, 4), [1, 2]);
    }
}
