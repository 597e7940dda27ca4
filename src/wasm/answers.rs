//! Answers as they cross to JavaScript: numbers in the order of texts that it has already.

use js_sys::Float32Array;
use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::{JsResult, plain};
use crate::prediction::{
    DescriptorSimilarity, ExpressionScore, Face, FaceState, FramePrediction, MovementScore, Prediction, TopExpression,
    TrackState, TrackedFace, WindowState,
};

/// A prediction without its texts, which are the most of it and change only with `setExpressions`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CompactPrediction<'a> {
    top: &'a TopExpression,
    /// `[expressions]` scores, then `[descriptors]` similarities, then `[descriptors]` strengths if any has one.
    #[serde(with = "serde_wasm_bindgen::preserve")]
    values: Float32Array,
    /// In full, where the descriptors carry evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    expressions: Option<&'a [ExpressionScore]>,
    window: WindowState,
    uncertain: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    movements: Option<&'a [MovementScore]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    texts: Option<&'a [DescriptorSimilarity]>,
}

impl<'a> From<&'a Prediction> for CompactPrediction<'a> {
    fn from(Prediction { top, expressions, window, uncertain, movements, texts }: &'a Prediction) -> Self {
        let has_evidence = expressions.iter().flat_map(|it| &it.descriptors).any(|it| it.evidence.is_some());
        Self {
            top,
            values: Float32Array::from(values(expressions).as_slice()),
            expressions: has_evidence.then_some(expressions),
            window: *window,
            uncertain: *uncertain,
            movements: movements.as_deref(),
            texts: texts.as_deref(),
        }
    }
}

/// Descriptors in the bundle's order, not by similarity; no number stands for no strength.
fn values(expressions: &[ExpressionScore]) -> Vec<f32> {
    let all = || expressions.iter().flat_map(|it| &it.descriptors);
    let count = all().count();
    let mut values: Vec<f32> = expressions.iter().map(|it| it.score).collect();
    let similarities = values.len();
    let strengths = similarities + count;
    let has_strengths = all().any(|it| it.strength.is_some());
    values.resize(if has_strengths { strengths + count } else { strengths }, f32::NAN);
    let mut first = 0;
    for ExpressionScore { descriptors, .. } in expressions {
        for it in descriptors {
            values[similarities + first + it.place] = it.similarity;
            if let Some(strength) = it.strength {
                values[strengths + first + it.place] = strength;
            }
        }
        first += descriptors.len();
    }
    values
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CompactFace<'a> {
    id: u64,
    state: TrackState,
    #[serde(flatten)]
    face: Face,
    #[serde(flatten)]
    prediction: CompactPrediction<'a>,
}

impl<'a> From<&'a TrackedFace> for CompactFace<'a> {
    fn from(TrackedFace { id, state, face, prediction }: &'a TrackedFace) -> Self {
        Self { id: *id, state: *state, face: *face, prediction: prediction.into() }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CompactFrame<'a> {
    state: FaceState,
    faces: Vec<CompactFace<'a>>,
    waiting: usize,
}

/// A prediction for the page, which adds the texts.
pub(super) fn prediction(prediction: &Prediction) -> JsResult<JsValue> {
    plain(&CompactPrediction::from(prediction))
}

/// A frame's faces for the page, which adds the texts.
pub(super) fn frame(FramePrediction { state, faces, waiting }: &FramePrediction) -> JsResult<JsValue> {
    plain(&CompactFrame { state: *state, faces: faces.iter().map(CompactFace::from).collect(), waiting: *waiting })
}
