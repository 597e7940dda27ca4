//! Which answers are worth giving: coverage and accuracy by top score, and the threshold of `uncertain`.

use serde::{Deserialize, Serialize};

use crate::math::best;

/// What remains when answers below a top score are withheld.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Coverage {
    /// The threshold: answers whose top score is lower are withheld.
    pub below: f32,
    /// Share of pictures still answered, 0..1.
    pub coverage: f64,
    /// Share of those answers that are right, 0..1; none where no picture is answered.
    pub accuracy: Option<f64>,
}

/// Coverage and accuracy at each threshold.
///
/// # Shapes
/// - scores: `[pictures][expressions]`, each row adding up to 1
pub fn coverage(scores: &[Vec<f32>], truth: &[usize], thresholds: &[f32]) -> Vec<Coverage> {
    let answers = answers(scores, truth);
    let at = |&below: &f32| {
        let given = answers.iter().filter(|(top, _)| *top >= below);
        let (count, right) =
            given.fold((0usize, 0usize), |(count, right), (_, is_right)| (count + 1, right + usize::from(*is_right)));
        Coverage {
            below,
            coverage: if answers.is_empty() { 0.0 } else { count as f64 / answers.len() as f64 },
            accuracy: (count > 0).then(|| right as f64 / count as f64),
        }
    };
    thresholds.iter().map(at).collect()
}

/// The top score below which an answer is more likely wrong than right; none where every answer is worth giving.
///
/// It is the cut with the most right answers less wrong ones above it. That is where the share of right answers,
/// fitted so that it only grows with the score (isotonic regression), passes one half: no bins, nothing to choose.
pub fn fit_threshold(scores: &[Vec<f32>], truth: &[usize]) -> Option<f32> {
    let mut answers = answers(scores, truth);
    answers.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut gain, mut most, mut kept) = (0i64, 0i64, 0);
    for (index, (top, is_right)) in answers.iter().enumerate() {
        gain += if *is_right { 1 } else { -1 };
        // Equal scores fall on the same side of any cut.
        let ends = answers.get(index + 1).is_none_or(|next| next.0 < *top);
        if ends && gain >= most {
            (most, kept) = (gain, index + 1);
        }
    }
    let withheld = answers.get(kept)?.0;
    let least = kept.checked_sub(1).map_or(1.0, |last| answers[last].0);
    Some((withheld + least) / 2.0)
}

/// Top score of each picture, and whether it is right.
fn answers(scores: &[Vec<f32>], truth: &[usize]) -> Vec<(f32, bool)> {
    let answer = |(scores, &truth): (&Vec<f32>, &usize)| {
        let top = best(scores);
        (scores[top], top == truth)
    };
    scores.iter().zip(truth).map(answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pictures of two expressions by top score and whether it is right.
    fn pictures(answers: &[(f32, bool)]) -> (Vec<Vec<f32>>, Vec<usize>) {
        answers.iter().map(|&(top, right)| (vec![top, 1.0 - top], usize::from(!right))).unzip()
    }

    #[test]
    fn coverage_falls_and_accuracy_follows_the_answers() {
        let (scores, truth) = pictures(&[(0.9, true), (0.8, true), (0.7, false), (0.6, true)]);
        let found = coverage(&scores, &truth, &[0.0, 0.7, 0.75, 0.95]);
        let shares: Vec<_> = found.iter().map(|at| (at.coverage, at.accuracy)).collect();
        assert_eq!(
            shares,
            [(1.0, Some(0.75)), (0.75, Some(2.0 / 3.0)), (0.5, Some(1.0)), (0.0, None)],
            "a score at the threshold is answered"
        );
        assert_eq!(coverage(&[], &[], &[0.5])[0], Coverage { below: 0.5, coverage: 0.0, accuracy: None });
    }

    #[test]
    fn the_threshold_stands_where_answers_become_more_often_wrong_than_right() {
        // Above: 4 right, 1 wrong. Below: 1 right, 3 wrong, however they are mixed.
        let (scores, truth) = pictures(&[
            (0.95, true),
            (0.9, true),
            (0.85, false),
            (0.8, true),
            (0.75, true),
            (0.65, false),
            (0.6, false),
            (0.58, true),
            (0.55, false),
        ]);
        let found = fit_threshold(&scores, &truth).unwrap();
        assert!((found - 0.7).abs() < 1e-6, "{found}");
        let all_right = pictures(&[(0.9, true), (0.6, true)]);
        assert_eq!(fit_threshold(&all_right.0, &all_right.1), None);
        let all_wrong = pictures(&[(0.9, false), (0.6, false)]);
        assert!(fit_threshold(&all_wrong.0, &all_wrong.1).unwrap() > 0.9);
        let tied = pictures(&[(0.9, true), (0.6, true), (0.6, false), (0.6, false)]);
        assert!((fit_threshold(&tied.0, &tied.1).unwrap() - 0.75).abs() < 1e-6);
    }
}
