//! Whether descriptors follow what faces do: areas under the ROC curve, most frequent best ones, correlations.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::math::best;
use crate::model::descriptors::{Expression, count_texts, has_movements};
use crate::movements::{Movements, SHAPES, ranks, wanted};

/// An expression's own faces are measured apart only where there are as many.
pub const LEAST_OWN: usize = 60;
/// Shares of the most frequent best descriptor are compared only where there are as many faces.
pub const LEAST_SHARE: usize = 30;

/// What explanations are worth on faces whose movements are known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanations {
    /// Faces that were measured.
    pub faces: usize,
    /// Mean of the descriptors' [`DescriptorFigures::auc`].
    pub auc: Option<f64>,
    /// Mean of their [`DescriptorFigures::own_auc`].
    pub own_auc: Option<f64>,
    /// Mean of [`MostFrequent::share`] over the expressions with at least [`LEAST_SHARE`] faces.
    pub most_frequent: Option<f64>,
    /// The largest of these shares.
    pub largest_most_frequent: Option<f64>,
    /// Mean over the expressions of [`ExpressionFigures::correlation`].
    pub correlation: Option<f64>,
    /// In the order of the model.
    pub expressions: Vec<ExpressionFigures>,
}

/// Figures of one expression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpressionFigures {
    /// The expression's.
    pub name: String,
    /// Faces that look so.
    pub faces: usize,
    /// Mean over its descriptors.
    pub auc: Option<f64>,
    /// Mean over its descriptors.
    pub own_auc: Option<f64>,
    /// The descriptor that is the best most often on its own faces; none where there is no face.
    pub most_frequent: Option<MostFrequent>,
    /// Mean correlation of the similarities over the pairs of its descriptors, over all faces.
    pub correlation: Option<f64>,
    /// In the order of the model.
    pub descriptors: Vec<DescriptorFigures>,
}

/// A descriptor that is the best of its expression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MostFrequent {
    /// Its text.
    pub text: String,
    /// On how many of the expression's faces.
    pub count: usize,
    /// The same as a share, 0..1.
    pub share: f64,
}

/// Figures of one descriptor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DescriptorFigures {
    /// Its text.
    pub text: String,
    /// What it names and denies.
    #[serde(default, skip_serializing_if = "Movements::is_empty")]
    pub movements: Movements,
    /// Area under the ROC curve of its similarity less the mean of its expression's, for the third of the faces that do most
    /// what it says against the third that do least: 0.5 is chance. None where it names nothing.
    pub auc: Option<f64>,
    /// The same over the faces of its expression alone, where there are at least [`LEAST_OWN`].
    pub own_auc: Option<f64>,
}

/// A face that explanations are measured on.
#[derive(Debug, Clone, Copy)]
pub struct MeasuredFace<'a> {
    /// Cosine with each descriptor of all expressions in order.
    pub similarities: &'a [f32],
    /// Index of the expression that it looks like; none where the model has no such expression.
    pub expression: Option<usize>,
    /// Its face shapes in the order of [`SHAPES`].
    pub shapes: &'a [f32; SHAPES.len()],
}

impl Explanations {
    /// Measures descriptors on faces.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] where no descriptor names a movement, or for no faces.
    pub fn new(expressions: &[Expression], faces: &[MeasuredFace]) -> Result<Self> {
        let refuse = |why: &str| Err(Error::new(ErrorKind::InvalidArgument, why));
        if !has_movements(expressions) {
            return refuse(
                "no descriptor names a movement, so nothing says what it should follow; give them `movements`",
            );
        }
        let count = count_texts(expressions);
        if faces.is_empty() || faces.iter().any(|face| face.similarities.len() != count) {
            return refuse("explanations need at least one face, each with one similarity for every descriptor");
        }
        let mut first = 0;
        let expressions: Vec<_> = expressions
            .iter()
            .enumerate()
            .map(|(index, expression)| {
                first += expression.descriptors.len();
                figures(expression, index, first - expression.descriptors.len(), faces)
            })
            .collect();
        let descriptors = || expressions.iter().flat_map(|expression| &expression.descriptors);
        let shares = || {
            let many = expressions.iter().filter(|expression| expression.faces >= LEAST_SHARE);
            many.filter_map(|expression| expression.most_frequent.as_ref().map(|most| most.share))
        };
        Ok(Self {
            faces: faces.len(),
            auc: mean(descriptors().filter_map(|figures| figures.auc)),
            own_auc: mean(descriptors().filter_map(|figures| figures.own_auc)),
            most_frequent: mean(shares()),
            largest_most_frequent: shares().max_by(f64::total_cmp),
            correlation: mean(expressions.iter().filter_map(|expression| expression.correlation)),
            expressions,
        })
    }
}

/// Figures of the expression `index`, whose descriptors begin at `first`.
fn figures(expression: &Expression, index: usize, first: usize, faces: &[MeasuredFace]) -> ExpressionFigures {
    let texts = &expression.descriptors;
    let of = |face: &MeasuredFace| -> Vec<f32> { face.similarities[first..first + texts.len()].to_vec() };
    let similarities: Vec<Vec<f32>> = faces.iter().map(of).collect();
    let own: Vec<usize> = (0..faces.len()).filter(|&face| faces[face].expression == Some(index)).collect();
    let all: Vec<usize> = (0..faces.len()).collect();
    let descriptors: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(descriptor, text)| {
            let movements = expression.movements.get(descriptor).cloned().unwrap_or_default();
            let auc = |chosen: &[usize]| {
                let shapes: Vec<_> = chosen.iter().map(|&face| faces[face].shapes).collect();
                let above = |&face: &usize| {
                    let row = &similarities[face];
                    f64::from(row[descriptor])
                        - row.iter().map(|&value| f64::from(value)).sum::<f64>() / row.len() as f64
                };
                let above: Vec<f64> = chosen.iter().map(above).collect();
                (!movements.is_empty()).then(|| outer_thirds_auc(&above, &wanted(&movements, &shapes))).flatten()
            };
            let own_auc = if own.len() >= LEAST_OWN { auc(&own) } else { None };
            DescriptorFigures { text: text.clone(), auc: auc(&all), own_auc, movements }
        })
        .collect();
    let mut counts = vec![0; texts.len()];
    own.iter().for_each(|&face| counts[best(&similarities[face])] += 1);
    let most_frequent = counts.iter().enumerate().max_by_key(|&(_, count)| *count).filter(|_| !own.is_empty()).map(
        |(descriptor, &count)| MostFrequent {
            text: texts[descriptor].clone(),
            count,
            share: count as f64 / own.len() as f64,
        },
    );
    let column =
        |descriptor: usize| -> Vec<f64> { similarities.iter().map(|row| f64::from(row[descriptor])).collect() };
    let columns: Vec<Vec<f64>> = (0..texts.len()).map(column).collect();
    let pairs = (0..texts.len()).flat_map(|one| (0..one).map(move |other| (one, other)));
    ExpressionFigures {
        name: expression.name.clone(),
        faces: own.len(),
        auc: mean(descriptors.iter().filter_map(|figures| figures.auc)),
        own_auc: mean(descriptors.iter().filter_map(|figures| figures.own_auc)),
        most_frequent,
        correlation: mean(pairs.filter_map(|(one, other)| correlation(&columns[one], &columns[other]))),
        descriptors,
    }
}

/// The area under the ROC curve of values for the faces in the upper third of `wanted` against those in the lower; none
/// where the thirds can't be told apart.
pub fn outer_thirds_auc(values: &[f64], wanted: &[f64]) -> Option<f64> {
    let mut sorted = wanted.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (quantile(&sorted, 1.0 / 3.0)?, quantile(&sorted, 2.0 / 3.0)?);
    let with = |keeps: &dyn Fn(f64) -> bool| -> Vec<f64> {
        values.iter().zip(wanted).filter(|(_, wanted)| keeps(**wanted)).map(|(value, _)| *value).collect()
    };
    if low < high { auc(&with(&|wanted| wanted >= high), &with(&|wanted| wanted <= low)) } else { None }
}

/// The share of pairs in which the first has the higher value, equal ones counted half; none where a side is empty.
pub fn auc(positive: &[f64], negative: &[f64]) -> Option<f64> {
    let (more, fewer) = (positive.len() as f64, negative.len() as f64);
    let all: Vec<f64> = positive.iter().chain(negative).copied().collect();
    let sum: f64 = ranks(&all)[..positive.len()].iter().sum();
    (more > 0.0 && fewer > 0.0).then(|| (sum - more * (more + 1.0) / 2.0) / (more * fewer))
}

/// Pearson's correlation; none where one side does not vary.
pub fn correlation(one: &[f64], other: &[f64]) -> Option<f64> {
    let (first, second) = (mean(one.iter().copied())?, mean(other.iter().copied())?);
    let (mut both, mut left, mut right) = (0.0, 0.0, 0.0);
    for (one, other) in one.iter().zip(other) {
        let (one, other) = (one - first, other - second);
        (both, left, right) = (both + one * other, left + one * one, right + other * other);
    }
    let scale = (left * right).sqrt();
    (scale > 0.0).then(|| both / scale)
}

/// Between the two nearest of sorted values, in proportion.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * sorted.len().checked_sub(1)? as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(low + (high - low) * place.fract())
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0usize, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_count_pairs_and_halve_equal_ones() {
        assert_eq!(auc(&[3.0, 4.0], &[1.0, 2.0]), Some(1.0));
        assert_eq!(auc(&[1.0, 2.0], &[3.0, 4.0]), Some(0.0));
        // 2 beats 1, equals 2; 3 beats both.
        assert_eq!(auc(&[2.0, 3.0], &[1.0, 2.0]), Some(3.5 / 4.0));
        assert_eq!(auc(&[1.0; 3], &[1.0; 5]), Some(0.5));
        assert_eq!(auc(&[], &[1.0]), None);
    }

    #[test]
    fn the_middle_third_does_not_count() {
        // Thirds of 0..7 end at 2 and 4; 3 in the middle has a value that would spoil the area.
        let wanted = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(outer_thirds_auc(&[1.0, 2.0, 3.0, -9.0, 4.0, 5.0, 6.0], &wanted), Some(1.0));
        assert_eq!(outer_thirds_auc(&[6.0, 5.0, 4.0, 9.0, 3.0, 2.0, 1.0], &wanted), Some(0.0));
        assert_eq!(outer_thirds_auc(&[1.0, 2.0, 3.0], &[1.0; 3]), None);
        assert_eq!(outer_thirds_auc(&[], &[]), None);
    }

    #[test]
    fn correlations_of_known_rows() {
        let close = |found: Option<f64>, expected: f64| assert!((found.unwrap() - expected).abs() < 1e-12, "{found:?}");
        close(correlation(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]), 1.0);
        close(correlation(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), -1.0);
        close(correlation(&[1.0, 2.0, 3.0, 4.0], &[1.0, -1.0, -1.0, 1.0]), 0.0);
        close(correlation(&[1.0, 2.0, 4.0], &[1.0, 3.0, 2.0]), 1.0 / (28.0f64 / 3.0).sqrt());
        assert_eq!(correlation(&[1.0, 1.0], &[1.0, 2.0]), None);
    }

    fn face(jaw: f32, pucker: f32) -> [f32; SHAPES.len()] {
        let mut shapes = [0.0; SHAPES.len()];
        for (name, value) in [("jawOpen", jaw), ("mouthPucker", pucker)] {
            shapes[SHAPES.iter().position(|&shape| shape == name).unwrap()] = value;
        }
        shapes
    }

    fn expression(name: &str, movements: &[(&str, f32)]) -> Expression {
        let texts = movements.iter().map(|(movement, _)| format!("{name} {movement}")).collect();
        let map = |&(name, weight): &(&str, f32)| match name {
            "" => Movements::new(),
            _ => Movements::from([(name.to_string(), weight)]),
        };
        Expression { name: name.into(), descriptors: texts, movements: movements.iter().map(map).collect() }
    }

    #[test]
    fn descriptors_that_follow_and_those_that_do_not_are_told_apart() {
        let mut expressions = [
            expression("open", &[("jawOpen", 1.0), ("jawOpen", -1.0)]),
            expression("other", &[("", 0.0), ("mouthPucker", 1.0)]),
        ];
        expressions[0].descriptors[1] = "open denied".into();
        let shapes: Vec<_> = (0..90).map(|index| face(index as f32, (index * 37 % 90) as f32)).collect();
        // The first follows the jaw; its neighbour is the same turned over: both are right by what they name. The last one
        // does not care.
        let row = |index: usize| [index as f32 - 0.5, 0.5 - index as f32, 1.0, (index % 2) as f32];
        let rows: Vec<[f32; 4]> = (0..90).map(row).collect();
        let faces: Vec<_> = rows
            .iter()
            .zip(&shapes)
            .enumerate()
            .map(|(index, (row, shapes))| MeasuredFace {
                similarities: row,
                expression: [Some(0), Some(0), Some(1), None][index % 4],
                shapes,
            })
            .collect();
        let found = Explanations::new(&expressions, &faces).unwrap();
        assert_eq!((found.faces, found.expressions[0].faces, found.expressions[1].faces), (90, 46, 22));
        let [open, other] = &found.expressions[..] else { panic!("{found:?}") };
        assert_eq!((open.descriptors[0].auc, open.descriptors[1].auc), (Some(1.0), Some(1.0)));
        assert_eq!(open.auc, Some(1.0));
        // 46 faces are too few for figures of their own.
        assert_eq!(open.own_auc, None);
        let most = open.most_frequent.as_ref().unwrap();
        assert_eq!((most.text.as_str(), most.count, most.share), ("open jawOpen", 45, 45.0 / 46.0));
        assert!((open.correlation.unwrap() + 1.0).abs() < 1e-12);
        assert_eq!(other.descriptors[0].auc, None);
        assert!((other.descriptors[1].auc.unwrap() - 0.5).abs() < 0.1);
        // One of the pair never varies.
        assert_eq!(other.correlation, None);
        // 22 faces are too few to count towards the mean.
        assert_eq!((found.most_frequent, found.largest_most_frequent), (Some(45.0 / 46.0), Some(45.0 / 46.0)));
        assert!((found.auc.unwrap() - (2.0 + other.descriptors[1].auc.unwrap()) / 3.0).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        let silent = [expression("one", &[("", 0.0)]), expression("two", &[("", 0.0)])];
        assert!(Explanations::new(&silent, &[]).err().unwrap().to_string().contains("`movements`"));
        let spoken = [expression("one", &[("jawOpen", 1.0)]), expression("two", &[("", 0.0)])];
        assert!(Explanations::new(&spoken, &[]).err().unwrap().to_string().contains("at least one face"));
        let shapes = face(0.0, 0.0);
        let short = MeasuredFace { similarities: &[0.5], expression: None, shapes: &shapes };
        assert!(Explanations::new(&spoken, &[short]).is_err());
    }
}
