//! Expression text descriptors: names, texts, unit embeddings, and the score made of their similarities.

use crate::error::{Error, ErrorKind, Result};
use crate::prediction::{DescriptorSimilarity, ExpressionScore, Prediction, TopExpression, WindowState};
use serde::{Deserialize, Serialize};

/// One expression and the texts that describe it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expression {
    /// The expression's name.
    pub name: String,
    /// Its descriptors' texts, at least one.
    pub descriptors: Vec<String>,
}

/// Every expression's descriptors with their embeddings, one unit vector a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Descriptors {
    expressions: Vec<Expression>,
    embeddings: Vec<f32>,
    width: usize,
}

impl Descriptors {
    /// Checks the texts and brings each embedding to unit length.
    ///
    /// # Shapes
    /// - embeddings: `[descriptors of all expressions in order, width]`
    ///
    /// # Errors
    /// [`ErrorKind::InvalidBundle`] for fewer than two expressions, empty or repeated names or texts, and
    /// embeddings of another count or of length zero.
    pub fn new(expressions: Vec<Expression>, mut embeddings: Vec<f32>, width: usize) -> Result<Self> {
        check_texts(&expressions)?;
        let count = count_texts(&expressions);
        if width == 0 || embeddings.len() != count * width {
            return Err(invalid(format!(
                "{count} descriptors need {count} x {width} values, but their embeddings have {}",
                embeddings.len()
            )));
        }
        for (index, embedding) in embeddings.chunks_exact_mut(width).enumerate() {
            let length = embedding.iter().map(|value| value * value).sum::<f32>().sqrt();
            if !(length.is_finite() && length > 1e-6) {
                return Err(invalid(format!("the embedding of descriptor {index} has length {length}")));
            }
            embedding.iter_mut().for_each(|value| *value /= length);
        }
        Ok(Self { expressions, embeddings, width })
    }

    /// The expressions in order.
    pub fn expressions(&self) -> &[Expression] {
        &self.expressions
    }

    /// The expressions' names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.expressions.iter().map(|expression| expression.name.as_str())
    }

    /// Unit vectors `[descriptors, width]`.
    pub fn embeddings(&self) -> &[f32] {
        &self.embeddings
    }

    /// Width of the joint space.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Descriptors of all expressions together.
    pub fn count(&self) -> usize {
        self.embeddings.len() / self.width
    }

    /// Cosine of each descriptor with a unit vector.
    pub fn similarities(&self, clip: &[f32]) -> Vec<f32> {
        self.embeddings
            .chunks_exact(self.width)
            .map(|embedding| embedding.iter().zip(clip).map(|(a, b)| a * b).sum())
            .collect()
    }

    /// The same for a window of frames, each `[width]`: their mean, brought to unit length.
    pub fn pooled_similarities(&self, frames: &[&Vec<f32>]) -> Vec<f32> {
        let mut clip = vec![0.0; self.width];
        for frame in frames {
            clip.iter_mut().zip(*frame).for_each(|(sum, value)| *sum += value);
        }
        let length = clip.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-12);
        clip.iter_mut().for_each(|value| *value /= length);
        self.similarities(&clip)
    }

    /// One score an expression: softmax over the means of `similarity / temperature`.
    pub fn scores(&self, similarities: &[f32], temperature: f32) -> Vec<f32> {
        let mut rest = similarities;
        let mut logits: Vec<f32> = self
            .expressions
            .iter()
            .map(|expression| {
                let (own, others) = rest.split_at(expression.descriptors.len());
                rest = others;
                own.iter().sum::<f32>() / own.len() as f32 / temperature
            })
            .collect();
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        logits.iter_mut().for_each(|logit| *logit = (*logit - most).exp());
        let sum: f32 = logits.iter().sum();
        logits.iter_mut().for_each(|logit| *logit /= sum);
        logits
    }

    /// The prediction that similarities `[descriptors]` make.
    ///
    /// - uncertain_below: the top score under which it is `uncertain`
    pub fn predict(
        &self,
        similarities: &[f32],
        temperature: f32,
        uncertain_below: Option<f32>,
        window: WindowState,
    ) -> Prediction {
        let scores = self.scores(similarities, temperature);
        let mut rest = similarities;
        let expressions: Vec<ExpressionScore> = self
            .expressions
            .iter()
            .zip(scores)
            .map(|(expression, score)| {
                let (own, others) = rest.split_at(expression.descriptors.len());
                rest = others;
                let mut descriptors: Vec<_> = expression
                    .descriptors
                    .iter()
                    .zip(own)
                    .map(|(text, &similarity)| DescriptorSimilarity { text: text.clone(), similarity, evidence: None })
                    .collect();
                descriptors.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
                ExpressionScore { name: expression.name.clone(), score, descriptors }
            })
            .collect();
        let top = expressions
            .iter()
            .max_by(|a, b| a.score.total_cmp(&b.score))
            .map(|best| TopExpression { name: best.name.clone(), score: best.score })
            .unwrap_or(TopExpression { name: String::new(), score: 0.0 });
        let uncertain = uncertain_below.is_some_and(|below| top.score < below);
        Prediction { top, expressions, window, uncertain }
    }
}

/// Descriptor texts of all expressions together.
pub fn count_texts(expressions: &[Expression]) -> usize {
    expressions.iter().map(|expression| expression.descriptors.len()).sum()
}

/// Says which text or name can't stand.
pub fn check_texts(expressions: &[Expression]) -> Result<()> {
    if expressions.len() < 2 {
        return Err(invalid(format!("{} expressions can't be told apart; at least 2 are needed", expressions.len())));
    }
    let mut names = std::collections::BTreeSet::new();
    let mut texts = std::collections::BTreeMap::new();
    for expression in expressions {
        let name = expression.name.as_str();
        if name.trim().is_empty() || !names.insert(name) {
            return Err(invalid(format!("the expression name `{name}` is empty or comes twice")));
        }
        if expression.descriptors.is_empty() {
            return Err(invalid(format!("`{name}` has no descriptor; give it at least one text")));
        }
        for (index, text) in expression.descriptors.iter().enumerate() {
            if text.trim().is_empty() {
                return Err(invalid(format!("descriptor {index} of `{name}` is empty")));
            }
            if let Some(other) = texts.insert(text.as_str(), name) {
                return Err(invalid(format!("the descriptor \"{text}\" of `{name}` also stands under `{other}`")));
            }
        }
    }
    Ok(())
}

fn invalid(why: String) -> Error {
    Error::new(ErrorKind::InvalidBundle, why)
}
