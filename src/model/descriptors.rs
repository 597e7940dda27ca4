//! Expression text descriptors: names, texts, unit embeddings, and the score made of their similarities.

use std::sync::Arc;

use super::movement_set::place;
use super::rows::similarities;
use crate::error::{Error, ErrorKind, Result};
use crate::math::log_sum_exp;
use crate::movements::{Movements, check_movements};
use crate::prediction::{DescriptorSimilarity, ExpressionScore, Prediction, TopExpression, WindowState};
use serde::{Deserialize, Serialize};

/// One expression and the texts that describe it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expression {
    /// The expression's name.
    pub name: String,
    /// Its descriptors' texts, at least one.
    pub descriptors: Vec<String>,
    /// What each of them says of movements, in their order; empty where nobody annotated them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub movements: Vec<Movements>,
}

/// Every expression's descriptors with their embeddings, one unit vector a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Descriptors {
    expressions: Vec<Expression>,
    /// Every descriptor's text, shared with each answer that names it.
    texts: Vec<Arc<str>>,
    embeddings: Vec<f32>,
    width: usize,
    /// Empty where strengths were not fitted.
    quantiles: Vec<f32>,
    /// What scores make of each similarity, `slope * similarity + offset`; empty where they take it as it is.
    scales: Vec<[f32; 2]>,
    /// How many descriptors of each expression belong together; empty where all do. Groups are expressions that were made one:
    /// their probabilities add up.
    groups: Vec<Vec<usize>>,
    /// Added to each expression's logit; empty for nothing.
    shifts: Vec<f32>,
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
        let texts = expressions.iter().flat_map(|it| &it.descriptors).map(|text| text.as_str().into()).collect();
        let (quantiles, scales, groups, shifts) = Default::default();
        Ok(Self { expressions, texts, embeddings, width, quantiles, scales, groups, shifts })
    }

    /// Adds what similarities are made strengths by: evenly spaced quantiles of each descriptor's similarities with faces
    /// that training did not see, from the least to the largest.
    ///
    /// # Shapes
    /// - quantiles: `[descriptors, points]`
    ///
    /// # Errors
    /// [`ErrorKind::InvalidBundle`] for fewer than two points a descriptor, and points that fall.
    pub fn with_quantiles(mut self, quantiles: Vec<f32>) -> Result<Self> {
        let points = quantiles.len() / self.count();
        let even = points >= 2 && quantiles.len() == points * self.count();
        if !even || quantiles.chunks_exact(points).any(|row| !row.is_sorted()) {
            return Err(invalid(format!(
                "{} quantiles are none of {} descriptors: at least 2 for each, and none below the one before",
                quantiles.len(),
                self.count()
            )));
        }
        self.quantiles = quantiles;
        Ok(self)
    }

    /// Lets scores take `slope * similarity + offset` of each descriptor, and keeps the groups of each expression's descriptors
    /// apart, in order, so that their probabilities add up.
    pub(crate) fn with_scales(mut self, scales: Vec<[f32; 2]>, groups: Vec<Vec<usize>>) -> Self {
        assert!(scales.len() == self.count() && groups.iter().flatten().sum::<usize>() == self.count());
        (self.scales, self.groups) = (scales, groups);
        self
    }

    /// Takes the share that each expression has among training faces out of the scores, to this power: rare expressions are
    /// found more often, frequent ones less. 0 takes out nothing.
    ///
    /// # Shapes
    /// - shares: `[expressions]`, above 0
    pub fn with_balance(mut self, shares: &[f32], balance: f32) -> Self {
        self.shifts = shares.iter().map(|share| -balance * share.ln()).collect();
        self
    }

    /// What [`Descriptors::with_quantiles`] added, `[descriptors, points]`; empty where nothing was.
    pub fn quantiles(&self) -> &[f32] {
        &self.quantiles
    }

    /// The share of faces that are less like a descriptor than this similarity, 0..1; none without quantiles.
    pub fn strength(&self, descriptor: usize, similarity: f32) -> Option<f32> {
        let points = self.quantiles.len() / self.count();
        let row = self.quantiles.get(descriptor * points..(descriptor + 1) * points).filter(|row| !row.is_empty())?;
        let (before, share) = place(row, similarity);
        Some((before as f32 + share) / (points - 1) as f32)
    }

    /// The expressions in order.
    pub fn expressions(&self) -> &[Expression] {
        &self.expressions
    }

    /// Gives every descriptor the movements that `of` knows of its text; none where it knows none.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidBundle`] for a movement that nobody measures.
    pub fn annotate(&mut self, of: impl Fn(&str) -> Option<Movements>) -> Result<()> {
        for expression in &mut self.expressions {
            let movements = expression.descriptors.iter().map(|text| of(text).unwrap_or_default());
            expression.movements = movements.collect();
            if expression.movements.iter().all(Movements::is_empty) {
                expression.movements.clear();
            }
        }
        check_texts(&self.expressions)
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
    pub fn similarities(&self, unit: &[f32]) -> Vec<f32> {
        similarities(&self.embeddings, unit)
    }

    /// One logit an expression: the mean of `similarity / temperature` over its descriptors.
    pub(crate) fn logits(&self, similarities: &[f32], temperature: f32) -> Vec<f32> {
        let mut places = similarities.iter().enumerate();
        let mut mean = |count: usize| {
            let own = places.by_ref().take(count);
            own.map(|(place, similarity)| self.scaled(place, *similarity)).sum::<f32>() / count as f32 / temperature
        };
        let logit = |(index, expression): (usize, &Expression)| {
            let logit = match self.groups.get(index).map(Vec::as_slice) {
                Some(groups @ [_, _, ..]) => log_sum_exp(&groups.iter().map(|&count| mean(count)).collect::<Vec<_>>()),
                _ => mean(expression.descriptors.len()),
            };
            logit + self.shifts.get(index).copied().unwrap_or(0.0)
        };
        self.expressions.iter().enumerate().map(logit).collect()
    }

    /// One score an expression: softmax over the logits.
    pub fn scores(&self, similarities: &[f32], temperature: f32) -> Vec<f32> {
        let mut logits = self.logits(similarities, temperature);
        let all = log_sum_exp(&logits);
        logits.iter_mut().for_each(|logit| *logit = (*logit - all).exp());
        logits
    }

    /// What scores make of a descriptor's similarity.
    fn scaled(&self, descriptor: usize, similarity: f32) -> f32 {
        self.scales.get(descriptor).map_or(similarity, |[slope, offset]| slope * similarity + offset)
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
        let mut all = self.texts.iter().zip(similarities).enumerate();
        let expressions: Vec<ExpressionScore> = self
            .expressions
            .iter()
            .zip(scores)
            .map(|(expression, score)| {
                let own = all.by_ref().take(expression.descriptors.len()).enumerate();
                let mut descriptors: Vec<_> = own
                    .map(|(place, (descriptor, (text, &similarity)))| DescriptorSimilarity {
                        text: text.clone(),
                        place,
                        similarity,
                        strength: self.strength(descriptor, similarity),
                        evidence: None,
                    })
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
        Prediction { top, expressions, window, uncertain, movements: None, texts: None }
    }
}

/// Descriptor texts of all expressions together.
pub fn count_texts(expressions: &[Expression]) -> usize {
    expressions.iter().map(|expression| expression.descriptors.len()).sum()
}

/// Whether any descriptor names a movement.
pub fn has_movements(expressions: &[Expression]) -> bool {
    expressions.iter().flat_map(|expression| &expression.movements).any(|movements| !movements.is_empty())
}

/// Says which text, name or movement can't stand.
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
        let (count, annotated) = (expression.descriptors.len(), expression.movements.len());
        if ![0, count].contains(&annotated) {
            return Err(invalid(format!(
                "`{name}` has {count} descriptors, but {annotated} of movements; give each its own"
            )));
        }
        for (text, movements) in expression.descriptors.iter().zip(&expression.movements) {
            check_movements(movements, text)?;
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
