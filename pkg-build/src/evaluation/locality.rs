//! Where on the face the evidence for descriptors lies, beside the half that they name movements in.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use cliper::engine::cpu::CpuEngine;
use cliper::model::descriptors::Expression;
use cliper::movements::{Half, half};
use cliper::preprocess::Picture;
use cliper::session::{AskedEvidence, Look, Session};
use serde::{Deserialize, Serialize};

use crate::data::Example;
use crate::evaluation::encode::on_all_cores;
use crate::evaluation::explain::is_clear;

/// The words of [`AskedEvidence`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum EvidenceChoice {
    /// An exact sum over patches, or by occlusion where the encoder has a class token
    Best,
    /// By occlusion with any encoder
    Occlusion,
}

impl From<EvidenceChoice> for AskedEvidence {
    fn from(choice: EvidenceChoice) -> Self {
        match choice {
            EvidenceChoice::Best => Self::Best,
            EvidenceChoice::Occlusion => Self::Occlusion,
        }
    }
}

/// Most pictures that are covered cell by cell: each costs 37 passes.
const MOST_COVERED: usize = 256;

/// How much of the positive evidence's variance over faces lies where the movements are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Locality {
    /// Pictures looked at.
    pub pictures: usize,
    /// Of descriptors that name movements of the mouth and jaw alone: the share in the lower half, 0..1, as a mean.
    pub mouth: Option<f64>,
    /// Of descriptors that name movements of the brows alone: the share in the upper half.
    pub brows: Option<f64>,
    /// Of descriptors that name movements of the brows and eyes alone: the same.
    pub brows_and_eyes: Option<f64>,
    /// Each of these descriptors by its text.
    pub descriptors: Vec<DescriptorLocality>,
}

/// One descriptor's share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DescriptorLocality {
    pub text: String,
    pub half: Half,
    /// In its half, 0..1.
    pub share: f64,
}

/// Sums and sums of squares of each cell's positive evidence, `[descriptors, side, side]`.
#[derive(Default)]
struct Sums {
    pictures: usize,
    side: usize,
    values: Vec<[f64; 2]>,
}

/// Measures it over the pictures that enough taggers agree on, as a session answers with evidence, on all cores.
///
/// - open: makes a session of the bundle
pub fn measure(
    open: impl Fn() -> Result<Session<CpuEngine>> + Sync,
    expressions: &[Expression],
    choice: EvidenceChoice,
    examples: &[Example],
) -> Result<Locality> {
    let most = if choice == EvidenceChoice::Occlusion { MOST_COVERED } else { usize::MAX };
    let clear: Vec<&Example> = examples.iter().filter(|example| is_clear(example)).collect();
    let examples: Vec<&Example> = clear.iter().step_by(clear.len().div_ceil(most).max(1)).copied().collect();
    ensure!(!examples.is_empty(), "evidence is measured on at least one picture");
    let places: HashMap<&str, usize> =
        expressions.iter().flat_map(|it| &it.descriptors).enumerate().map(|(at, text)| (text.as_str(), at)).collect();
    let parts = on_all_cores(&examples, |part| {
        let (mut session, mut sums) = (open()?, Sums::default());
        for example in part {
            add(&mut sums, &mut session, choice.into(), example, &places)?;
        }
        Ok(sums)
    })?;
    let mut all = Sums::default();
    for part in parts {
        all.side = part.side;
        all.pictures += part.pictures;
        all.values.resize(part.values.len(), [0.0; 2]);
        for (sum, more) in all.values.iter_mut().zip(part.values) {
            *sum = [sum[0] + more[0], sum[1] + more[1]];
        }
    }
    Ok(all.shares(expressions))
}

fn add(
    sums: &mut Sums,
    session: &mut Session<CpuEngine>,
    asked: AskedEvidence,
    example: &Example,
    places: &HashMap<&str, usize>,
) -> Result<()> {
    let grey = &example.sample.picture;
    let side = session.manifest().encoder.side;
    let rgba: Vec<u8> = grey.iter().flat_map(|&level| [level, level, level, 255]).collect();
    let look = Look { mirrored: false, evidence: Some(asked) };
    let prediction = pollster::block_on(session.recognize_with(Picture::new(&rgba, side, side)?, look))?;
    sums.pictures += 1;
    for descriptor in prediction.expressions.iter().flat_map(|expression| &expression.descriptors) {
        let (Some(evidence), Some(&place)) = (&descriptor.evidence, places.get(&*descriptor.text)) else {
            continue;
        };
        let cells = evidence.values.len();
        sums.side = evidence.side;
        sums.values.resize(places.len() * cells, [0.0; 2]);
        for (sum, &value) in sums.values[place * cells..].iter_mut().zip(&evidence.values) {
            let positive = f64::from(value.max(0.0));
            *sum = [sum[0] + positive, sum[1] + positive * positive];
        }
    }
    Ok(())
}

impl Sums {
    fn shares(&self, expressions: &[Expression]) -> Locality {
        let (cells, count) = (self.side * self.side, self.pictures as f64);
        let variance = |[sum, squares]: &[f64; 2]| (squares / count - (sum / count).powi(2)).max(0.0);
        let texts = expressions.iter().flat_map(|expression| {
            let movements = (0..expression.descriptors.len()).map(|at| expression.movements.get(at));
            expression.descriptors.iter().zip(movements)
        });
        let (mut descriptors, mut are_brows) = (Vec::new(), Vec::new());
        for (place, (text, movements)) in texts.enumerate() {
            let Some((half, movements)) = movements.and_then(|movements| Some((half(movements)?, movements))) else {
                continue;
            };
            let grid: Vec<f64> = self.values[place * cells..(place + 1) * cells].iter().map(variance).collect();
            let rows = self.side / 2 * self.side;
            let part = match half {
                Half::Upper => &grid[..rows],
                Half::Lower => &grid[cells - rows..],
            };
            let share = part.iter().sum::<f64>() / grid.iter().sum::<f64>().max(f64::MIN_POSITIVE);
            descriptors.push(DescriptorLocality { text: text.clone(), half, share });
            are_brows.push(movements.keys().all(|name| name.starts_with("brow")));
        }
        let mean = |wanted: &dyn Fn(Half, bool) -> bool| {
            let shares: Vec<f64> = descriptors
                .iter()
                .zip(&are_brows)
                .filter(|(it, is_brow)| wanted(it.half, **is_brow))
                .map(|(it, _)| it.share)
                .collect();
            (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
        };
        Locality {
            pictures: self.pictures,
            mouth: mean(&|half, _| half == Half::Lower),
            brows: mean(&|_, is_brow| is_brow),
            brows_and_eyes: mean(&|half, _| half == Half::Upper),
            descriptors,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cliper::movements::Movements;

    #[test]
    fn a_share_is_the_variance_in_the_named_half() {
        let movements = [("jawOpen", 1.0), ("browDown", 1.0), ("eyeWide", 1.0)];
        let mut movements: Vec<Movements> =
            movements.map(|(name, weight)| Movements::from([(name.to_string(), weight)])).to_vec();
        movements.push(Movements::from([("jawOpen".into(), 1.0), ("browDown".into(), 1.0)]));
        let expression = Expression {
            name: "surprise".into(),
            descriptors: ["jaw", "brow", "eye", "both"].map(String::from).to_vec(),
            movements,
        };
        // Two pictures; each cell's values 0 and a: variance a * a / 4.
        let cell = |value: f64| [value, value * value];
        let grid = [cell(1.0), cell(0.0), cell(2.0), cell(0.0)];
        let sums = Sums { pictures: 2, side: 2, values: grid.repeat(4) };
        let found = sums.shares(&[expression]);
        assert_eq!(found.mouth, Some(0.8));
        assert!((found.brows.unwrap() - 0.2).abs() < 1e-12 && (found.brows_and_eyes.unwrap() - 0.2).abs() < 1e-12);
        assert_eq!(found.descriptors.len(), 3, "one of both halves has none");
    }
}
