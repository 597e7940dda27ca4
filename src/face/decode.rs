//! Raw anchors -> faces: boxes and key points in the input's square, scores, weighted suppression of doubles.

use super::config::{ANCHOR_VALUES, DetectorConfig};
use super::network::Raw;
use crate::prediction::{Face, FaceBox, KeyPoints, Point};

/// Raw scores are cut here before the sigmoid (`score_clipping_thresh` of MediaPipe's face_detection.pbtxt).
const MOST_RAW_SCORE: f32 = 100.0;

/// Middle of each anchor in pixels of the input, in the network's order: head by head, row by row.
pub fn anchors(config: &DetectorConfig) -> Vec<Point> {
    let mut anchors = Vec::new();
    for head in &config.heads {
        let grid = config.grid(head.block + 1);
        let cell = config.side as f32 / grid as f32;
        for place in 0..grid * grid {
            let (x, y) = ((place % grid) as f32, (place / grid) as f32);
            let middle = Point { x: (x + 0.5) * cell, y: (y + 0.5) * cell };
            anchors.extend(std::iter::repeat_n(middle, head.anchors));
        }
    }
    anchors
}

/// Faces whose score reaches `least`, in pixels of the input, the surest first; numbers that are not finite and
/// empty boxes are left out.
pub fn decode(raw: &Raw, anchors: &[Point], least: f32) -> Vec<Face> {
    let mut faces: Vec<Face> = raw
        .scores
        .iter()
        .zip(raw.boxes.chunks_exact(ANCHOR_VALUES))
        .zip(anchors)
        .filter_map(|((&score, values), anchor)| {
            let score = 1.0 / (1.0 + (-score.clamp(-MOST_RAW_SCORE, MOST_RAW_SCORE)).exp());
            let usable = values.iter().all(|value| value.is_finite()) && values[2] > 0.0 && values[3] > 0.0;
            // Written so that NaN fails as well.
            (usable && score >= least).then(|| {
                let point = |index: usize| Point { x: values[index] + anchor.x, y: values[index + 1] + anchor.y };
                let (center, width, height) = (point(0), values[2], values[3]);
                Face {
                    r#box: FaceBox { x: center.x - width / 2.0, y: center.y - height / 2.0, width, height },
                    key_points: KeyPoints::from_array([4, 6, 8, 10, 12, 14].map(point)),
                    score,
                }
            })
        })
        .collect();
    faces.sort_by(|a, b| b.score.total_cmp(&a.score));
    faces
}

/// Faces that overlap the surest one by more than `limit` melt into it, weighted by their scores, and so on down;
/// at most `most` are given. BlazeFace blends instead of dropping because the best anchor jumps from frame to frame.
///
/// - faces: the surest first
pub fn suppress(mut faces: Vec<Face>, limit: f32, most: usize) -> Vec<Face> {
    let mut kept = Vec::new();
    while kept.len() < most && !faces.is_empty() {
        let best = faces[0];
        let mut near = vec![best];
        let mut rest = Vec::new();
        for face in faces.drain(..).skip(1) {
            if best.r#box.overlap(&face.r#box) > limit { near.push(face) } else { rest.push(face) }
        }
        kept.push(blend(&near, best.score));
        faces = rest;
    }
    kept
}

/// The mean of faces, weighted by their scores.
fn blend(faces: &[Face], score: f32) -> Face {
    let total: f32 = faces.iter().map(|face| face.score).sum();
    let mut sums = [0.0f32; ANCHOR_VALUES];
    for face in faces {
        for (sum, value) in sums.iter_mut().zip(to_values(face)) {
            *sum += value * face.score / total;
        }
    }
    from_values(&sums, score)
}

/// A face's numbers: its box, then its key points.
pub(super) fn to_values(face: &Face) -> [f32; ANCHOR_VALUES] {
    let FaceBox { x, y, width, height } = face.r#box;
    let mut values = [0.0; ANCHOR_VALUES];
    values[..4].copy_from_slice(&[x, y, width, height]);
    for (pair, point) in values[4..].chunks_exact_mut(2).zip(face.key_points.to_array()) {
        pair.copy_from_slice(&[point.x, point.y]);
    }
    values
}

/// The face of these numbers.
pub(super) fn from_values(values: &[f32; ANCHOR_VALUES], score: f32) -> Face {
    let [x, y, width, height, ..] = *values;
    let point = |index: usize| Point { x: values[index], y: values[index + 1] };
    Face {
        r#box: FaceBox { x, y, width, height },
        key_points: KeyPoints::from_array([4, 6, 8, 10, 12, 14].map(point)),
        score,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(x: f32, score: f32) -> Face {
        let mut values = [x; ANCHOR_VALUES];
        values[1] = 0.0;
        (values[2], values[3]) = (10.0, 10.0);
        from_values(&values, score)
    }

    #[test]
    fn the_short_range_model_has_896_anchors_from_corner_to_corner() {
        let anchors = anchors(&DetectorConfig::short_range());
        assert_eq!(anchors.len(), 896);
        assert_eq!(anchors[0], Point { x: 4.0, y: 4.0 });
        assert_eq!(anchors[511], Point { x: 124.0, y: 124.0 });
        assert_eq!(anchors[512], Point { x: 8.0, y: 8.0 });
        assert_eq!(anchors[518], Point { x: 24.0, y: 8.0 });
    }

    #[test]
    fn doubles_melt_by_score_and_strangers_stay() {
        let found = suppress(vec![face(0.0, 0.75), face(4.0, 0.25), face(40.0, 0.2)], 0.3, 10);
        assert_eq!(found.len(), 2);
        assert!((found[0].r#box.x - 1.0).abs() < 1e-6);
        assert_eq!(found[0].score, 0.75);
        assert!((found[1].key_points.left_ear.x - 40.0).abs() < 1e-5);
        assert_eq!(suppress(vec![face(0.0, 0.9), face(40.0, 0.8)], 0.3, 1).len(), 1);
    }

    #[test]
    fn numbers_that_are_not_finite_are_no_face() {
        let anchors = [Point::default(); 4];
        let mut boxes = vec![1.0; 4 * ANCHOR_VALUES];
        boxes[5] = f32::NAN;
        boxes[ANCHOR_VALUES + 2] = -1.0;
        let raw = Raw { scores: vec![5.0, 5.0, f32::NAN, 1e30], boxes };
        let found = decode(&raw, &anchors, 0.5);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].score, 1.0);
    }
}
