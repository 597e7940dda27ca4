//! What predictions are worth: confusion, WAR, UAR, calibration.

use serde::{Deserialize, Serialize};

use crate::math::best;

/// Figures of one evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evaluation {
    /// Share of right answers, 0..1.
    pub war: f64,
    /// Mean of the recalls of the classes that occur, 0..1.
    pub uar: f64,
    /// Pictures.
    pub count: usize,
    /// Names of rows and columns.
    pub expressions: Vec<String>,
    /// `confusion[true][predicted]`, counts.
    pub confusion: Vec<Vec<u32>>,
    /// Recall of each class, none where it does not occur.
    pub recalls: Vec<Option<f64>>,
    /// Expected calibration error of the top score, 15 bins, 0..1.
    pub calibration_error: f64,
}

impl Evaluation {
    /// From one row of scores and one true class a picture.
    ///
    /// # Shapes
    /// - scores: `[pictures][expressions]`, each row adding up to 1
    pub fn new(expressions: Vec<String>, scores: &[Vec<f32>], truth: &[usize]) -> Self {
        let classes = expressions.len();
        let mut confusion = vec![vec![0u32; classes]; classes];
        for (scores, &truth) in scores.iter().zip(truth) {
            confusion[truth][best(scores)] += 1;
        }
        let recalls: Vec<Option<f64>> = confusion
            .iter()
            .enumerate()
            .map(|(class, row)| {
                let count: u32 = row.iter().sum();
                (count > 0).then(|| f64::from(row[class]) / f64::from(count))
            })
            .collect();
        let right: u32 = (0..classes).map(|class| confusion[class][class]).sum();
        let known: Vec<f64> = recalls.iter().copied().flatten().collect();
        let ratio = |sum: f64, count: usize| if count == 0 { 0.0 } else { sum / count as f64 };
        Self {
            war: ratio(f64::from(right), truth.len()),
            uar: ratio(known.iter().sum(), known.len()),
            count: truth.len(),
            expressions,
            confusion,
            recalls,
            calibration_error: calibration_error(scores, truth),
        }
    }
}

impl Evaluation {
    /// The recalls and the confusion as lines for people: one expression each, counts of the predicted ones in order.
    pub fn table(&self) -> String {
        let mut table = String::new();
        for ((name, recall), row) in self.expressions.iter().zip(&self.recalls).zip(&self.confusion) {
            let recall = recall.map_or("   -  ".into(), |recall| format!("{:5.1} %", recall * 100.0));
            let row: Vec<String> = row.iter().map(|count| format!("{count:5}")).collect();
            table += &format!("{name:14} {recall} {}\n", row.concat());
        }
        table
    }
}

/// The scores of the `wanted` expressions alone, adding up to 1 again: what a model answers to a data set that knows
/// other expressions. One that the model does not know gets 0, so its pictures count as wrong.
pub fn restrict(scores: &[f32], names: &[String], wanted: &[String]) -> Vec<f32> {
    let score = |wanted: &String| names.iter().position(|name| name == wanted).map_or(0.0, |place| scores[place]);
    let mut kept: Vec<f32> = wanted.iter().map(score).collect();
    let sum: f32 = kept.iter().sum();
    kept.iter_mut().for_each(|score| *score /= sum.max(f32::MIN_POSITIVE));
    kept
}

/// Mean gap between the top score and the share of right answers over 15 equal bins, weighted by their pictures.
pub fn calibration_error(scores: &[Vec<f32>], truth: &[usize]) -> f64 {
    const BINS: usize = 15;
    let mut bins = [(0.0f64, 0.0f64); BINS];
    for (scores, &truth) in scores.iter().zip(truth) {
        let top = best(scores);
        let bin = ((f64::from(scores[top]) * BINS as f64) as usize).min(BINS - 1);
        bins[bin].0 += f64::from(scores[top]);
        bins[bin].1 += f64::from(u8::from(top == truth));
    }
    let gap: f64 = bins.iter().map(|(score, right)| (score - right).abs()).sum();
    if truth.is_empty() { 0.0 } else { gap / truth.len() as f64 }
}

/// The temperature between `least` and `most` with the lowest mean negative log score of the truth, by golden
/// section over its logarithm.
///
/// - loss: mean negative log score at a temperature
pub fn fit_temperature(least: f32, most: f32, loss: impl Fn(f32) -> f64) -> f32 {
    const SHARE: f32 = 0.618_034;
    let (mut low, mut high) = (least.ln(), most.ln());
    for _ in 0..40 {
        let (left, right) = (high - SHARE * (high - low), low + SHARE * (high - low));
        if loss(left.exp()) < loss(right.exp()) { high = right } else { low = left }
    }
    ((low + high) / 2.0).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_small_table() {
        let names = ["a", "b", "c"].map(String::from).to_vec();
        let scores = vec![vec![0.8, 0.1, 0.1], vec![0.3, 0.6, 0.1], vec![0.9, 0.05, 0.05], vec![0.2, 0.7, 0.1]];
        let found = Evaluation::new(names, &scores, &[0, 0, 0, 1]);
        assert_eq!(found.confusion, vec![vec![2, 1, 0], vec![0, 1, 0], vec![0, 0, 0]]);
        assert_eq!(found.war, 0.75);
        assert!((found.uar - (2.0 / 3.0 + 1.0) / 2.0).abs() < 1e-12);
        assert_eq!(found.recalls[2], None);
        // Bins: 0.8 right, 0.6 wrong, 0.9 right, 0.7 right -> gaps .2 + .6 + .1 + .3 over 4.
        assert!((found.calibration_error - 0.3).abs() < 1e-6);
    }

    #[test]
    fn another_set_of_expressions_is_answered_by_name() {
        let [model, data] = [["a", "b", "c"], ["c", "x", "a"]].map(|names| names.map(String::from));
        assert_eq!(restrict(&[0.2, 0.5, 0.3], &model, &data), [0.6, 0.0, 0.4]);
        assert_eq!(restrict(&[0.0, 1.0, 0.0], &model, &data), [0.0; 3]);
    }

    #[test]
    fn the_temperature_that_fits_is_found() {
        let found = fit_temperature(0.001, 1.0, |t| f64::from((t / 0.02).ln().powi(2)));
        assert!((found - 0.02).abs() < 1e-5);
    }
}
