//! Streams and clips side by side: windows of their own, and the faces of a clip.

use crate::support::block_on;
use crate::support::faces::{detector, pasted, picture, session};
use cliper::engine::cpu::CpuEngine;
use cliper::session::{FaceOptions, Streams};
use cliper::{ErrorKind, FaceState, FramePrediction, Prediction};

fn open() -> Streams<CpuEngine> {
    let mut streams = Streams::new(session());
    streams.set_detector(detector());
    streams
}

fn ids(frame: &FramePrediction) -> Vec<u64> {
    frame.faces.iter().map(|face| face.id).collect()
}

#[test]
fn two_streams_answer_as_two_sessions_do() {
    let (face, grey) = (pasted(240, 240, 190, &[(0, 0)]), pasted(240, 240, 190, &[]));
    let alone = |rgba| -> Vec<Prediction> {
        let mut one = open();
        (0..4).map(|at| block_on(one.push(7, picture(rgba), f64::from(at) * 125.0)).unwrap()).collect()
    };
    let mut both = open();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for at in 0..4 {
        let now = f64::from(at) * 125.0;
        first.push(block_on(both.push(0, picture(&face), now)).unwrap());
        second.push(block_on(both.push(1, picture(&grey), now)).unwrap());
    }
    assert_eq!(first, alone(&face));
    assert_eq!(second, alone(&grey));
    assert_ne!(first[3].expressions, second[3].expressions);
    both.end(0);
    assert_eq!(block_on(both.push(0, picture(&face), 500.0)).unwrap().window.filled, 1, "an ended stream begins anew");
    assert_eq!(block_on(both.push(1, picture(&grey), 500.0)).unwrap().window.filled, 5);
    both.reset();
    assert_eq!(block_on(both.push(1, picture(&grey), 625.0)).unwrap().window.filled, 1);
}

#[test]
fn each_stream_follows_its_own_faces() {
    let (one, none) = (pasted(480, 240, 160, &[(10, 10)]), pasted(480, 240, 160, &[]));
    let mut streams = open();
    let options = FaceOptions::default();
    for at in 0..3 {
        let now = f64::from(at) * 125.0;
        assert!(streams.needs_picture(0, now));
        let first = block_on(streams.push_faces(0, Some(picture(&one)), now, options)).unwrap();
        let second = block_on(streams.push_faces(1, Some(picture(&none)), now, options)).unwrap();
        assert_eq!((ids(&first), second.state), (vec![0], FaceState::NoFace));
    }
    // No number is given twice: not beside a stream, and not after it.
    streams.end(0);
    streams.set_next_face(3);
    for (stream, id) in [(1, 3), (2, 4), (0, 5)] {
        let seen = block_on(streams.push_faces(stream, Some(picture(&one)), 1e6, options)).unwrap();
        assert_eq!(ids(&seen), [id], "stream {stream}");
    }
}

#[test]
fn a_clip_follows_its_faces_and_answers_for_each_from_the_frames_that_show_it() {
    // One walks to the right, the other is there from the third frame on.
    let frames: Vec<_> = (0..6)
        .map(|at| match at {
            0 | 1 => pasted(560, 240, 170, &[(10 + 12 * at, 20)]),
            _ => pasted(560, 240, 170, &[(10 + 12 * at, 20), (330, 20)]),
        })
        .collect();
    let mut streams = open();
    let mut passes = 0;
    for (at, rgba) in frames.iter().enumerate() {
        let found = block_on(streams.push_face_clip(3, 6, picture(rgba), FaceOptions::default())).unwrap();
        assert_eq!(ids(&found), if at < 2 { vec![0] } else { vec![0, 1] }, "frame {at}");
        passes += found.faces.len() as u64;
        let options = FaceOptions::default();
        let still = block_on(streams.recognize_faces(picture(rgba), options, Default::default())).unwrap();
        for face in &found.faces {
            // A clip's frame is looked at as a picture is, whatever went before it.
            let same = still.faces.iter().find(|one| one.face.r#box.overlap(&face.face.r#box) > 0.9).unwrap();
            let best = |prediction: &Prediction| prediction.expressions[0].score;
            assert!((best(&same.prediction) - best(&face.prediction)).abs() < 0.02, "frame {at}");
        }
        passes += still.faces.len() as u64;
    }
    let whole = block_on(streams.recognize_face_clip(3)).unwrap();
    let windows: Vec<_> = whole
        .faces
        .iter()
        .map(|face| (face.id, face.prediction.window.filled, face.prediction.window.length))
        .collect();
    assert_eq!(windows, [(0, 6, 6), (1, 4, 6)]);
    assert_eq!(whole.state, FaceState::Recognized);
    assert_eq!(streams.session.counters().passes, passes, "one pass a face and frame");
    let ended = block_on(streams.recognize_face_clip(3));
    assert_eq!(ended.err().unwrap().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_clip_without_faces_is_an_answer_and_a_full_one_takes_no_more() {
    let grey = pasted(240, 240, 160, &[]);
    let mut streams = open();
    let mut push = |clip| block_on(streams.push_face_clip(clip, 1, picture(&grey), FaceOptions::default()));
    assert_eq!(push(0).unwrap().state, FaceState::NoFace);
    assert_eq!(push(0).err().unwrap().kind(), ErrorKind::InvalidArgument);
    let whole = block_on(streams.recognize_face_clip(0)).unwrap();
    assert_eq!((whole.state, whole.faces.len()), (FaceState::NoFace, 0));
    let unknown = block_on(streams.recognize_clip(0));
    assert_eq!(unknown.err().unwrap().kind(), ErrorKind::InvalidArgument);
    let without = block_on(Streams::new(session()).push_face_clip(0, 1, picture(&grey), FaceOptions::default()));
    assert!(without.err().unwrap().to_string().contains("addDetector"));
}

#[test]
fn a_person_s_own_face_is_taken_out_where_it_was_calibrated() {
    let face = pasted(240, 240, 190, &[(0, 0)]);
    let top = |found: &Prediction| found.top.name.clone();
    let calibrated = |share: f32| {
        let mut streams = open();
        let mut now = 0.0;
        let mut look = |streams: &mut Streams<CpuEngine>| {
            now += 125.0;
            block_on(streams.push(0, picture(&face), now)).unwrap()
        };
        let before = look(&mut streams);
        streams.start_calibration().unwrap();
        (0..4).for_each(|_| drop(look(&mut streams)));
        assert_eq!(streams.end_calibration(share).unwrap(), 1);
        let after = look(&mut streams);
        // A sentence's rows and another wording are corrected as well; who starts anew is not.
        streams.session.set_movements(true).unwrap();
        let movements = look(&mut streams).movements.unwrap();
        streams.reset();
        let anew = look(&mut streams);
        (before, after, movements, anew)
    };
    let smile =
        |movements: &[cliper::MovementScore]| movements.iter().find(|it| it.name == "mouthSmile").unwrap().score;
    let (plain, same, smiling, anew) = calibrated(0.0);
    assert_eq!((top(&plain), top(&same), top(&anew)), ("happiness".into(), "happiness".into(), "happiness".into()));
    // Who always smiles is at rest.
    let (_, own, resting, _) = calibrated(1.0);
    assert_eq!(top(&own), "neutral");
    assert!(smile(&resting) < 0.5 * smile(&smiling), "{} {}", smile(&resting), smile(&smiling));
}

#[test]
fn a_calibration_needs_frames_and_a_share() {
    let (face, none) = (pasted(480, 240, 160, &[(10, 10)]), pasted(480, 240, 160, &[]));
    let mut streams = open();
    streams.start_calibration().unwrap();
    // A face that stands still is looked at each time, and who is not there is not known.
    for at in 0..6 {
        let now = f64::from(at) * 125.0;
        block_on(streams.push_faces(0, Some(picture(&face)), now, FaceOptions::default())).unwrap();
        block_on(streams.push_faces(1, Some(picture(&none)), now, FaceOptions::default())).unwrap();
    }
    assert_eq!(streams.end_calibration(1.5).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(streams.end_calibration(0.5).unwrap(), 1);
    streams.start_calibration().unwrap();
    streams.drop_calibration();
    assert_eq!(streams.end_calibration(0.5).unwrap(), 0);
}

#[test]
fn an_expression_is_taught_frame_by_frame() {
    let (shown, rest) = (pasted(240, 240, 190, &[(0, 0)]), pasted(240, 240, 190, &[(20, 30)]));
    let mut streams = open();
    let error = streams.learn(1, "grin", 1).unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidArgument && error.to_string().contains("0 frames"), "{error}");
    for _ in 0..3 {
        assert!(block_on(streams.add_example(1, picture(&shown), false, true)).unwrap());
        assert!(block_on(streams.add_example(1, picture(&rest), true, false)).unwrap());
    }
    let nobody = pasted(240, 240, 190, &[]);
    assert!(!block_on(streams.add_example(1, picture(&nobody), false, true)).unwrap());
    let progress = streams.learn(1, "grin", 200).unwrap();
    assert_eq!((progress.done, progress.total), (200, 300));
    assert_eq!(streams.learn(1, "grin", 200).unwrap().done, 300);
    let taught = streams.finish_lesson(1, "grin").unwrap();
    assert_eq!((taught.frames, taught.neutral), (3, 3));
    assert_eq!(streams.finish_lesson(1, "grin").unwrap_err().kind(), ErrorKind::InvalidArgument);
}
