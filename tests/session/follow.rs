//! The faces of a stream: windows by time, one pass a face and frame, budgets, skipping, and frames that go wrong.
//! What is done is counted, never timed.

use crate::support::faces::{detector, pasted, picture, session};
use crate::support::{block_on, fixture};
use cliper::engine::cpu::CpuEngine;
use cliper::session::{Counters, FaceFollower, FaceOptions, Look, Session};
use cliper::{ErrorKind, FaceState, FramePrediction, TrackState, TrackedFace};
use image::{Rgba, RgbaImage};

type Embedding = <CpuEngine as cliper::engine::Engine>::Embedding;

/// One stream.
struct Stream {
    session: Session<CpuEngine>,
    follower: FaceFollower<Embedding>,
}

impl Stream {
    fn new(options: FaceOptions) -> Self {
        let mut follower = FaceFollower::new(detector());
        follower.set_options(options).unwrap();
        Self { session: session(), follower }
    }

    fn push(&mut self, rgba: &RgbaImage, timestamp: f64) -> FramePrediction {
        block_on(self.session.push_faces(&mut self.follower, Some(picture(rgba)), timestamp)).unwrap()
    }

    /// As the page does it: without the pixels where they need not be seen.
    fn push_frugally(&mut self, rgba: &RgbaImage, timestamp: f64) -> (FramePrediction, bool) {
        let needed = self.follower.needs_picture(timestamp);
        let picture = needed.then(|| picture(rgba));
        (block_on(self.session.push_faces(&mut self.follower, picture, timestamp)).unwrap(), needed)
    }

    fn counters(&self) -> Counters {
        self.session.counters()
    }

    /// Looks at faces so far, encoded or not.
    fn looks(&self) -> u64 {
        self.counters().passes + self.counters().skipped_passes
    }
}

fn ids(frame: &FramePrediction) -> Vec<u64> {
    frame.faces.iter().map(|face| face.id).collect()
}

fn two_faces() -> RgbaImage {
    pasted(480, 240, 160, &[(10, 10), (250, 20)])
}

/// The frames of the test camera's clip: the portrait moved, zoomed and faded.
fn clip() -> Vec<RgbaImage> {
    let bytes = fixture(".", "portrait.mjpeg");
    let starts: Vec<usize> =
        (0..bytes.len() - 2).filter(|&at| bytes[at..].starts_with(&[0xff, 0xd8, 0xff])).chain([bytes.len()]).collect();
    starts.windows(2).map(|ends| image::load_from_memory(&bytes[ends[0]..ends[1]]).unwrap().to_rgba8()).collect()
}

#[test]
fn a_still_face_is_encoded_once_and_its_window_still_fills() {
    let mut stream = Stream::new(FaceOptions::default());
    let rgba = two_faces();
    let whole = block_on(stream.session.recognize_faces(&mut detector(), picture(&rgba), Look::default())).unwrap();
    let passes = stream.counters().passes;
    let mut states = Vec::new();
    for frame in 0..90 {
        let found = stream.push(&rgba, f64::from(frame) * 1000.0 / 30.0);
        assert_eq!(ids(&found), [0, 1], "frame {frame}");
        assert_eq!(found.waiting, 0);
        states.push(found.state);
        for (face, alone) in found.faces.iter().zip(&whole.faces) {
            assert_eq!(face.prediction.top.name, alone.prediction.top.name);
        }
    }
    // 16 looks at 8 a second.
    let warm = states.iter().position(|state| *state == FaceState::Recognized).unwrap();
    assert!((54..=58).contains(&warm), "{warm}");
    assert!(states[..warm].iter().all(|state| *state == FaceState::WarmingUp));
    assert!(states[warm..].iter().all(|state| *state == FaceState::Recognized));
    assert_eq!(stream.counters().passes - passes, 2, "one for each face");
    assert!((46..=50).contains(&stream.counters().skipped_passes), "{:?}", stream.counters());
    assert_eq!(stream.counters().detections, 30, "on every third frame");
}

#[test]
fn one_pass_a_face_and_look_whatever_the_window() {
    let options = FaceOptions { min_change: 0.0, ..FaceOptions::default() };
    let rgba = two_faces();
    let passes = [1, 16, 64].map(|length| {
        let mut stream = Stream::new(options);
        stream.session.set_window(length).unwrap();
        for frame in 0..45 {
            let found = stream.push(&rgba, f64::from(frame) * 1000.0 / 30.0);
            let looks = stream.counters().passes.div_ceil(2) as usize;
            assert!(found.faces.iter().all(|face| face.prediction.window.filled == looks.min(length)));
            assert!(found.faces.iter().all(|face| face.prediction.window.length == length));
        }
        assert_eq!(stream.counters().skipped_passes, 0);
        stream.counters().passes
    });
    assert_eq!(passes, [24; 3], "two faces, 1.5 seconds, 8 looks a second");
}

#[test]
fn slow_and_fast_cameras_see_the_same_seconds() {
    for rate in [5.0, 12.0, 30.0, 60.0] {
        let mut stream = Stream::new(FaceOptions { min_change: 0.0, ..FaceOptions::default() });
        let rgba = two_faces();
        let mut warm_at = None;
        let mut filled = 0;
        for frame in 0..(rate * 3.0) as u32 {
            let now = f64::from(frame) * 1000.0 / rate;
            let found = stream.push(&rgba, now);
            if found.state == FaceState::Recognized {
                warm_at.get_or_insert(now);
            }
            filled = found.faces[0].prediction.window.filled;
        }
        let warm_at = warm_at.unwrap();
        println!("{rate} frames a second: warm after {warm_at:.0} ms, {filled} looks in the window");
        assert!((1800.0..=2050.0).contains(&warm_at), "{rate}: {warm_at}");
        assert!(filled as f64 >= 2.0 * rate.min(8.0) - 3.0, "{rate}: {filled}");
    }
}

#[test]
fn a_budget_is_kept_and_everyone_gets_a_turn() {
    let places: Vec<(i64, i64)> = (0..8).map(|index| (index % 4 * 155, index / 4 * 160)).collect();
    let rgba = pasted(620, 320, 120, &places);
    let options = FaceOptions { max_per_frame: 2, min_change: 0.0, max_faces: 8, ..FaceOptions::default() };
    let mut stream = Stream::new(options);
    let mut waiting = Vec::new();
    let mut filled = Vec::new();
    for frame in 0..60 {
        let before = stream.looks();
        let found = stream.push(&rgba, f64::from(frame) * 1000.0 / 30.0);
        assert!(stream.looks() - before <= 2, "frame {frame}");
        assert_eq!(found.faces.len() + found.waiting, 8, "frame {frame}");
        waiting.push(found.waiting);
        filled = found.faces.iter().map(|face| face.prediction.window.filled).collect();
    }
    assert_eq!(waiting[..5], [6, 4, 2, 0, 0]);
    assert!(filled.iter().max().unwrap() - filled.iter().min().unwrap() <= 1, "{filled:?}");
    assert!(stream.counters().deferred_faces >= 12, "{:?}", stream.counters());
}

#[test]
fn repeated_frames_are_answered_without_work_and_going_back_starts_over() {
    let mut stream = Stream::new(FaceOptions::default());
    let rgba = two_faces();
    let first = stream.push(&rgba, 1000.0);
    let counted = stream.counters();
    assert_eq!(stream.push(&rgba, 1000.0), first);
    assert_eq!(stream.counters(), Counters { repeated_frames: 1, ..counted });
    assert_eq!(ids(&stream.push(&rgba, 1033.0)), [0, 1]);
    let back = stream.push(&rgba, 500.0);
    assert_eq!((ids(&back), back.state), (vec![2, 3], FaceState::WarmingUp));
    assert_eq!(back.faces[0].prediction.window.filled, 1);
    let gap = stream.push(&rgba, 60_000.0);
    assert_eq!(ids(&gap), [4, 5], "a gap forgets");
    for timestamp in [f64::NAN, f64::INFINITY] {
        let refused = block_on(stream.session.push_faces(&mut stream.follower, Some(picture(&rgba)), timestamp));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    assert_eq!(ids(&stream.push(&rgba, 60_033.0)), [4, 5], "and an error loses nothing");
    stream.follower.reset();
    assert_eq!(ids(&stream.push(&rgba, 60_066.0)), [6, 7]);
}

#[test]
fn faces_that_go_are_lost_then_forgotten_and_come_back_as_themselves() {
    let mut stream = Stream::new(FaceOptions::default());
    let (both, empty) = (two_faces(), RgbaImage::from_pixel(480, 240, Rgba([120, 125, 130, 255])));
    stream.push(&both, 0.0);
    let lost = stream.push(&empty, 200.0);
    assert_eq!(lost.state, FaceState::WarmingUp);
    assert!(lost.faces.iter().all(|face| face.state == TrackState::Lost));
    let passes = stream.counters().passes;
    stream.push(&empty, 330.0);
    assert_eq!(stream.counters().passes, passes, "nobody there to encode");
    assert_eq!(ids(&stream.push(&both, 400.0)), [0, 1]);
    stream.push(&empty, 600.0);
    let gone = stream.push(&empty, 1000.0);
    assert_eq!((gone.state, gone.faces.len(), gone.waiting), (FaceState::NoFace, 0, 0));
}

#[test]
fn frames_that_need_no_pixels_are_answered_without_them() {
    let mut stream = Stream::new(FaceOptions::default());
    let rgba = two_faces();
    let mut seen = 0;
    for frame in 0..90 {
        let (found, needed) = stream.push_frugally(&rgba, f64::from(frame) * 1000.0 / 30.0);
        seen += u32::from(needed);
        assert_eq!(ids(&found), [0, 1], "frame {frame}");
    }
    println!("{seen} of 90 frames had to be seen");
    assert!((30..=50).contains(&seen), "{seen}");
    assert_eq!(stream.counters().detections, 30);
    assert!((48..=52).contains(&stream.looks()), "{}", stream.looks());
    assert!(!stream.follower.needs_picture(89.0 * 1000.0 / 30.0), "answered already");
}

#[test]
fn odd_frames_have_defined_answers() {
    let grey = |width, height| RgbaImage::from_pixel(width, height, Rgba([90, 90, 90, 255]));
    let places: Vec<(i64, i64)> = (0..30).map(|index| (index % 6 * 100 + 10, index / 6 * 96 + 4)).collect();
    let frames = [
        ("nothing", grey(640, 480), FaceOptions::default()),
        ("one pixel", grey(1, 1), FaceOptions::default()),
        ("half a face", pasted(320, 240, 160, &[(-100, 20)]), FaceOptions::default()),
        ("a face of 12 pixels", pasted(24, 24, 12, &[(5, 5)]), FaceOptions::default()),
        ("a far face of 12 pixels", pasted(640, 480, 12, &[(300, 200)]), FaceOptions::default()),
        ("30 faces", pasted(620, 490, 72, &places), FaceOptions { zoom: 2, ..FaceOptions::default() }),
    ];
    for (name, rgba, options) in frames {
        let mut stream = Stream::new(options);
        for frame in 0..10 {
            let FramePrediction { state, faces, waiting } = stream.push(&rgba, f64::from(frame) * 33.0);
            assert!(faces.len() + waiting <= 8, "{name}");
            assert_eq!(state == FaceState::NoFace, faces.is_empty() && waiting == 0, "{name}");
            for face in &faces {
                let total: f32 = face.prediction.expressions.iter().map(|expression| expression.score).sum();
                assert!((total - 1.0).abs() < 1e-3, "{name}: {total}");
            }
            if frame == 9 {
                println!("{name}: {state:?}, {} faces", faces.len());
                match name {
                    "nothing" | "one pixel" | "a far face of 12 pixels" => {
                        assert_eq!(state, FaceState::NoFace, "{name}")
                    }
                    "a face of 12 pixels" => assert_eq!(faces.len(), 1),
                    "30 faces" => assert_eq!(faces.len(), 8),
                    _ => {}
                }
            }
        }
    }
}

/// A person who sits before a camera for a frame: the head sways by two pixels, and the sensor's noise never rests.
fn sway(frame: usize, face: &RgbaImage, state: &mut u32) -> RgbaImage {
    let turn = frame as f32 / 30.0 * std::f32::consts::TAU;
    let mut rgba = RgbaImage::from_pixel(480, 360, Rgba([120, 125, 130, 255]));
    let place = (120 + (2.0 * turn.sin()).round() as i64, 60 + (2.0 * turn).cos().round() as i64);
    image::imageops::overlay(&mut rgba, face, place.0, place.1);
    let mut draw = || {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (*state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    for pixel in rgba.pixels_mut() {
        // Four draws make about a normal spread of three grey levels.
        let shift = (draw() + draw() + draw() + draw()) * 3.0 * 3f32.sqrt();
        pixel.0[..3].iter_mut().for_each(|value| *value = (f32::from(*value) + shift).clamp(0.0, 255.0) as u8);
    }
    rgba
}

fn calm() -> Vec<RgbaImage> {
    let face = pasted(225, 225, 180, &[(0, 0)]);
    let mut state = 1;
    (0..30).map(|frame| sway(frame, &face, &mut state)).collect()
}

/// Eight seconds of a clip of 30 frames, 15 a second: every answer, and what was done for them.
fn answers(frames: &[RgbaImage], min_change: f32) -> (Vec<FramePrediction>, Counters) {
    let mut stream = Stream::new(FaceOptions { min_change, ..FaceOptions::default() });
    let answers =
        (0..120).map(|frame| stream.push(&frames[frame % frames.len()], frame as f64 * 1000.0 / 15.0)).collect();
    (answers, stream.counters())
}

#[test]
fn a_pass_is_skipped_only_where_the_answer_stays() {
    let default = FaceOptions::default().min_change;
    for (name, frames, least_share) in [("calm", calm(), 0.5), ("moving, zooming and fading", clip(), 0.0)] {
        assert_eq!(frames.len(), 30);
        let (full, counted) = answers(&frames, 0.0);
        assert_eq!(counted.skipped_passes, 0);
        let (frugal, counters) = answers(&frames, default);
        let pairs: Vec<_> =
            full.iter().zip(&frugal).filter_map(|(a, b)| Some((a.faces.first()?, b.faces.first()?))).collect();
        let same = pairs.iter().filter(|(a, b)| a.prediction.top.name == b.prediction.top.name).count();
        let apart = |(a, b): &(&TrackedFace, &TrackedFace)| {
            let pairs = a.prediction.expressions.iter().zip(&b.prediction.expressions);
            pairs.map(|(a, b)| (a.score - b.score).abs()).fold(0.0, f32::max)
        };
        let apart = pairs.iter().map(apart).fold(0.0, f32::max);
        let share = counters.skipped_passes as f64 / (counters.passes + counters.skipped_passes) as f64;
        println!("{name}: {:.0} % of the passes skipped, scores within {apart:.3}", share * 100.0);
        assert_eq!((same, pairs.len()), (120, 120), "{name}");
        assert!(apart < 0.05 && share >= least_share, "{name}: {apart} {share}");
    }
}

#[test]
fn the_contract_is_what_typescript_reads() {
    let path = format!("{}/tests/contract/faces.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let frame: FramePrediction = serde_json::from_str(&text).unwrap();
    assert_eq!((frame.state, frame.faces[0].state), (FaceState::WarmingUp, TrackState::WarmingUp));
    // Nothing of the example is lost on the way, and nothing is added.
    let wanted: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_value(&frame).unwrap(), wanted);
    let states = [FaceState::Recognized, FaceState::WarmingUp, FaceState::NoFace];
    let words = states.map(|state| serde_json::to_value(state).unwrap());
    assert_eq!(words, ["recognized", "warming-up", "no-face"]);
}

#[test]
fn options_outside_their_ranges_are_refused_and_change_nothing() {
    let default = FaceOptions::default();
    let wrong = [
        FaceOptions { max_faces: 0, ..default },
        FaceOptions { detect_interval: 0, ..default },
        FaceOptions { max_per_frame: 0, ..default },
        FaceOptions { rate: 0.0, ..default },
        FaceOptions { rate: f64::NAN, ..default },
        FaceOptions { rate: f64::INFINITY, ..default },
        FaceOptions { lost_timeout: -1.0, ..default },
        FaceOptions { min_change: f32::NAN, ..default },
        FaceOptions { min_score: 2.0, ..default },
        FaceOptions { zoom: 9, ..default },
    ];
    let mut follower: FaceFollower<Embedding> = FaceFollower::new(detector());
    for options in wrong {
        assert_eq!(follower.set_options(options).unwrap_err().kind(), ErrorKind::InvalidArgument, "{options:?}");
    }
    follower.set_options(default).unwrap();
    let text = serde_json::to_string(&default).unwrap();
    assert_eq!(serde_json::from_str::<FaceOptions>(&text).unwrap(), default);
    assert_eq!(serde_json::from_str::<FaceOptions>("{}").unwrap(), default);
    assert!(serde_json::from_str::<FaceOptions>(r#"{ "minchange": 1 }"#).is_err(), "a misspelt name is no default");
}

/// `FERPLUS=FOLDER cargo test --release --workspace --test follow -- --ignored --nocapture`: made clips of validation
/// pictures, each face fading into the next one, for the record and for the choice of `min_change`.
#[test]
#[ignore = "needs FER+"]
fn skipping_on_ferplus() {
    const HOLD: usize = 12;
    const FADE: usize = 8;
    let folder =
        std::path::PathBuf::from(std::env::var("FERPLUS").expect("FERPLUS names FER+'s folder")).join("FER2013Valid");
    let votes = std::fs::read_to_string(folder.join("label.csv")).unwrap();
    let names =
        ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF"];
    let mut detector = detector();
    let faces: Vec<(RgbaImage, &str)> = votes
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.split_once(',')?;
            let votes: Vec<u32> = rest.rsplit(',').take(10).map(|vote| vote.trim().parse().unwrap()).collect();
            let most = *votes.iter().max()?;
            let best = votes.iter().rev().position(|vote| *vote == most)?;
            let is_clear = best < 8 && votes.iter().filter(|vote| **vote == most).count() == 1;
            let face = image::open(folder.join(name)).ok().filter(|_| is_clear)?.to_rgba8();
            let face = image::imageops::resize(&face, 220, 220, image::imageops::FilterType::CatmullRom);
            (detector.detect(picture(&sway(0, &face, &mut 1))).len() == 1).then_some((face, names[best]))
        })
        .take(240)
        .collect();
    println!("{} faces that the detector finds", faces.len());
    let clips: Vec<Vec<RgbaImage>> = faces
        .chunks_exact(2)
        .map(|pair| {
            let mut state = 1;
            let frame = |index: usize| {
                let part = (index.saturating_sub(HOLD) as f32 / FADE as f32).min(1.0);
                let mut face = pair[0].0.clone();
                for (pixel, other) in face.pixels_mut().zip(pair[1].0.pixels()) {
                    for (value, other) in pixel.0.iter_mut().zip(other.0) {
                        *value = (f32::from(*value) * (1.0 - part) + f32::from(other) * part).round() as u8;
                    }
                }
                sway(index, &face, &mut state)
            };
            (0..2 * HOLD + FADE).map(frame).collect()
        })
        .collect();
    let run = |min_change: f32| {
        let mut tops: Vec<(String, f32)> = Vec::new();
        let (mut right, mut passes, mut skipped) = (0, 0, 0);
        let mut stream = Stream::new(FaceOptions { min_change, ..FaceOptions::default() });
        stream.session.set_window(2).unwrap();
        for (clip, pair) in clips.iter().zip(faces.chunks_exact(2)) {
            stream.follower.reset();
            let before = stream.counters();
            for (index, rgba) in clip.iter().enumerate() {
                let found = stream.push(rgba, index as f64 * 1000.0 / 15.0);
                let top = found.faces.first().map(|face| face.prediction.top.clone());
                let (name, score) = top.map_or((String::new(), 0.0), |top| (top.name, top.score));
                let is_end = [HOLD, clip.len()].iter().position(|end| index + 1 == *end);
                right += usize::from(is_end.is_some_and(|end| pair[end].1 == name));
                tops.push((name, score));
            }
            passes += stream.counters().passes - before.passes;
            skipped += stream.counters().skipped_passes - before.skipped_passes;
        }
        (tops, right, passes, skipped)
    };
    let (full, ..) = run(0.0);
    for min_change in [0.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 24.0] {
        let (tops, right, passes, skipped) = run(min_change);
        let same = full.iter().zip(&tops).filter(|(a, b)| a.0 == b.0).count() as f64 / full.len() as f64;
        let apart = full.iter().zip(&tops).map(|(a, b)| (a.1 - b.1).abs()).sum::<f32>() / full.len() as f32;
        println!(
            "least change {min_change}: {:.1} % right of {}, {:.0} % of the passes skipped, {:.1} % of the tops the same, top scores {apart:.3} apart",
            100.0 * right as f64 / (2 * clips.len()) as f64,
            2 * clips.len(),
            100.0 * skipped as f64 / (passes + skipped) as f64,
            100.0 * same
        );
    }
}
