//! The result types: plain data, the contract with JavaScript (camelCase JSON).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How like one descriptor or sentence the clip is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DescriptorSimilarity {
    /// The text: a descriptor's as the bundle carries it, a sentence's as it was given.
    pub text: Arc<str>,
    /// A descriptor's place among its expression's, as the bundle lists them; 0 of a sentence. Its text stands for it in JSON.
    #[serde(skip)]
    pub place: usize,
    /// Cosine of the clip's embedding and the descriptor's, -1..1.
    pub similarity: f32,
    /// Where that similarity stands among faces that training did not see, 0..1: 0.8 is above that of four faces in
    /// five. None where the bundle does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<f32>,
    /// Where on the picture the similarity comes from; only of a still picture, and only where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// How far one part of a face seems to have moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MovementScore {
    /// The movement: ARKit's name of a face shape, without a side where both are meant.
    pub name: String,
    /// The face shape's value that faces like this have on average, 0..1.
    pub score: f32,
}

/// Where on a picture a similarity comes from: a grid over the square that the encoder saw.
///
/// That square is what [`crate::preprocess::preprocess`] makes: the picture's centre square, or of a face the upright
/// square around it. The grid says what the encoder's comparison rests on, not where a face moves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Cells of a row, and rows.
    pub side: usize,
    /// What a value is.
    pub method: EvidenceMethod,
    /// `[side, side]`, rows from the upper left, in units of the similarity; below 0 where a cell speaks against.
    pub values: Vec<f32>,
}

/// What a value of [`Evidence`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EvidenceMethod {
    /// The cell's part of the similarity: all cells add up to it, to 1e-5. A patch has seen its surroundings too.
    Sum,
    /// What the similarity loses where the cell is covered in grey. The cells add up to nothing in particular.
    Occlusion,
}

/// One expression's score with the descriptors that explain it, best first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpressionScore {
    /// The expression's name.
    pub name: String,
    /// Probability, 0..1; all expressions' scores add up to 1.
    pub score: f32,
    /// Every descriptor of the expression, the most similar first.
    pub descriptors: Vec<DescriptorSimilarity>,
}

/// The expression with the highest score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopExpression {
    /// The expression's name.
    pub name: String,
    /// Its probability, 0..1.
    pub score: f32,
}

/// How full the window of frames behind a prediction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowState {
    /// Frames in the window now.
    pub filled: usize,
    /// Frames that it holds when full.
    pub length: usize,
}

/// An apparent expression, with everything that explains it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prediction {
    /// The most probable expression.
    pub top: TopExpression,
    /// Every expression, in the bundle's order.
    pub expressions: Vec<ExpressionScore>,
    /// The window the prediction was made from; one picture is a window of one.
    pub window: WindowState,
    /// Whether the top score is below the bundle's threshold, so that the top expression is more likely wrong than
    /// right; never where the bundle has none.
    pub uncertain: bool,
    /// Apparent movements, in the bundle's order, where they were asked for and the bundle has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub movements: Option<Vec<MovementScore>>,
    /// Sentences that were asked about, in their order; none where there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<Vec<DescriptorSimilarity>>,
}

/// A place in a picture: pixels from its left upper corner, parts of a pixel included; may lie outside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// To the right.
    pub x: f32,
    /// Downward.
    pub y: f32,
}

/// An upright rectangle around a face, in the picture's pixels; it may reach over the picture's edge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaceBox {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// From the left to the right edge.
    pub width: f32,
    /// From the upper to the lower edge.
    pub height: f32,
}

impl FaceBox {
    /// The middle.
    pub fn center(&self) -> Point {
        Point { x: self.x + self.width / 2.0, y: self.y + self.height / 2.0 }
    }

    /// Shared area over joint area with another box, 0..1; 0 where either is empty.
    pub fn overlap(&self, other: &Self) -> f32 {
        let across = (self.x + self.width).min(other.x + other.width) - self.x.max(other.x);
        let down = (self.y + self.height).min(other.y + other.height) - self.y.max(other.y);
        let shared = across.max(0.0) * down.max(0.0);
        let joint = self.width * self.height + other.width * other.height - shared;
        if shared > 0.0 && joint > 0.0 { shared / joint } else { 0.0 }
    }
}

/// Where the parts of a face lie. Right and left are the person's own: a frontal face has its right eye on the
/// picture's left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyPoints {
    /// Middle of the right eye.
    pub right_eye: Point,
    /// Middle of the left eye.
    pub left_eye: Point,
    /// Tip of the nose.
    pub nose: Point,
    /// Middle of the mouth.
    pub mouth: Point,
    /// Right ear, where it meets the cheek.
    pub right_ear: Point,
    /// Left ear, where it meets the cheek.
    pub left_ear: Point,
}

impl KeyPoints {
    /// All six, in the order of the fields.
    pub fn to_array(self) -> [Point; 6] {
        [self.right_eye, self.left_eye, self.nose, self.mouth, self.right_ear, self.left_ear]
    }

    /// From the order of [`KeyPoints::to_array`].
    pub fn from_array([right_eye, left_eye, nose, mouth, right_ear, left_ear]: [Point; 6]) -> Self {
        Self { right_eye, left_eye, nose, mouth, right_ear, left_ear }
    }
}

/// A face found in a picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Face {
    /// From the brows to the chin, about square.
    pub r#box: FaceBox,
    /// Eyes, nose, mouth and ears.
    pub key_points: KeyPoints,
    /// How sure the detector is, 0..1.
    pub score: f32,
}

/// One face of a picture and what it seems to express.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FacePrediction {
    /// The face: its fields stand beside `prediction`.
    #[serde(flatten)]
    pub face: Face,
    /// Its apparent expression.
    pub prediction: Prediction,
}

/// Whether a picture shows faces; that it shows none is an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaceState {
    /// At least one face was found and recognised.
    Recognized,
    /// In a stream: faces are there, but no window covers its seconds yet.
    WarmingUp,
    /// No face was found.
    NoFace,
}

/// A picture's faces with their predictions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PicturePrediction {
    /// Whether there are any.
    pub state: FaceState,
    /// The surest face first; empty where the state is [`FaceState::NoFace`].
    pub faces: Vec<FacePrediction>,
}

/// What is known of one face of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrackState {
    /// Its window covers its seconds.
    Recognized,
    /// Its window covers part of its seconds so far.
    WarmingUp,
    /// It is not seen now; place and prediction are its last ones, for a grace period.
    Lost,
}

/// One face of a stream's frame and what it seems to express.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrackedFace {
    /// The same number as long as the face is followed; never given twice.
    pub id: u64,
    /// What is known of it.
    pub state: TrackState,
    /// Where it is: the fields stand beside the others.
    #[serde(flatten)]
    pub face: Face,
    /// Its apparent expression over its own window: the fields stand beside the others.
    #[serde(flatten)]
    pub prediction: Prediction,
}

/// The faces of a stream's frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FramePrediction {
    /// Whether there are any, and whether a window covers its seconds.
    pub state: FaceState,
    /// The longest followed first; empty where the state is [`FaceState::NoFace`].
    pub faces: Vec<TrackedFace>,
    /// Faces that were found and wait for their first look.
    pub waiting: usize,
}

impl From<PicturePrediction> for FramePrediction {
    /// One picture's faces in a frame's form: the window of a picture is always full.
    fn from(PicturePrediction { state, faces }: PicturePrediction) -> Self {
        let tracked = |(id, FacePrediction { face, prediction }): (usize, FacePrediction)| TrackedFace {
            id: id as u64,
            state: TrackState::Recognized,
            face,
            prediction,
        };
        Self { state, faces: faces.into_iter().enumerate().map(tracked).collect(), waiting: 0 }
    }
}
