//! The result types: plain data, the contract with JavaScript (camelCase JSON).

use serde::{Deserialize, Serialize};

/// How like one descriptor text the clip is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DescriptorSimilarity {
    /// The descriptor's text, as the bundle carries it.
    pub text: String,
    /// Cosine of the clip's embedding and the descriptor's, -1..1.
    pub similarity: f32,
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
}
