//! What a model is worth on labelled pictures: figures, calibration, coverage, and what made perturbations cost.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Result, ensure};
use cliper::bundle::{Bundle, Calibration};
use cliper::config::{EncoderConfig, PreprocessConfig};
use cliper::engine::cpu::CpuEncoder;
use cliper::math::{best, mean};
use cliper::metrics::{Coverage, Evaluation, coverage, fit_threshold, restrict};
use cliper::model::descriptors::Descriptors;
use cliper::model::face_spread::FaceSpread;
use cliper::model::movement_set::MovementSet;
use cliper::preprocess::mirror;
use cliper::tensors::Weights;
use cliper::train::{Sample, fit_face_spread};
use serde::{Deserialize, Serialize};

use crate::data::face_shapes::ShapeTable;
use crate::data::split::split;
use crate::data::{DataSet, Example, Majority, Part, Square};
use crate::evaluation::encode::{embeddings, temperature};
use crate::evaluation::explain::{self, Explained, MovementFigures, Understood};
use crate::evaluation::fidelity::Look;
use crate::evaluation::locality::Locality;
use crate::evaluation::perturbations;

/// Validation pictures that rounded weights are compared on.
const LOOKS: usize = 128;
/// Faces of an expression that its spread is fitted on, and fewest.
const MOST_SPREAD: usize = 300;
const LEAST_SPREAD: usize = 20;
/// Points of a descriptor's strength.
pub const QUANTILES: usize = 17;
/// Thresholds of the coverage curve, beside the model's own.
const THRESHOLDS: [f32; 10] = [0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99];

/// The parts of a model that answers depend on.
#[derive(Clone, Copy)]
pub struct Model<'a> {
    pub encoder: &'a EncoderConfig,
    pub preprocess: &'a PreprocessConfig,
    pub weights: &'a Weights,
    pub descriptors: &'a Descriptors,
    /// Where it answers with movements too.
    pub movements: Option<&'a MovementSet>,
    /// Answer from each picture and its mirror image, as [`cliper::session::Session::recognize_with`] does.
    pub mirror: bool,
}

/// Everything measured on one part of a data set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    #[serde(flatten)]
    pub evaluation: Evaluation,
    /// The model's threshold of `uncertain`.
    pub uncertain_below: Option<f32>,
    /// Rows of the set that can't be used, of which nothing is measured.
    #[serde(default)]
    pub damaged: usize,
    /// What remains when answers below a top score are withheld; the model's own threshold is among them.
    pub coverage: Vec<Coverage>,
    /// The pictures of which one expression has the most votes, where votes tie on others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untied: Option<Evaluation>,
    /// The pictures that more than half of the taggers agree on, where that isn't all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreed: Option<Evaluation>,
    /// The same pictures without those that also stand in the training part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deduplicated: Option<Evaluation>,
    /// The same pictures, each with its mirror image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirrored: Option<Evaluation>,
    /// Whether the descriptors follow what the faces do, where their shapes were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanations: Option<Explained>,
    /// How movements agree with MediaPipe's face shapes, where they were measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub movements: Vec<MovementFigures>,
    /// Sentences in anybody's words, where they were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentences: Option<Understood>,
    /// Where evidence lies, where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locality: Option<Locality>,
    /// What changed copies of the pictures cost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub perturbations: Vec<Varied>,
}

/// What one perturbation costs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Varied {
    pub name: String,
    pub war: f64,
    pub uar: f64,
    /// WAR of the unchanged pictures less this one, in points of a hundred.
    pub lost_points: f64,
}

impl<'a> From<&'a Bundle> for Model<'a> {
    fn from(bundle: &'a Bundle) -> Self {
        Self {
            encoder: &bundle.manifest.encoder,
            preprocess: &bundle.manifest.preprocess,
            weights: &bundle.weights,
            descriptors: &bundle.descriptors,
            movements: bundle.movements.as_ref(),
            mirror: false,
        }
    }
}

impl Model<'_> {
    fn similarities(&self, examples: &[Example]) -> Result<Vec<Vec<f32>>> {
        self.answered(examples, self.compare(&self.embeddings(examples)?))
    }

    /// Similarities as the model answers from them: with those of the mirror images, or as they are.
    fn answered(&self, examples: &[Example], plain: Vec<Vec<f32>>) -> Result<Vec<Vec<f32>>> {
        if self.mirror { self.with_mirrored(examples, &plain) } else { Ok(plain) }
    }

    /// The means of similarities and those of the mirror images.
    fn with_mirrored(&self, examples: &[Example], plain: &[Vec<f32>]) -> Result<Vec<Vec<f32>>> {
        let mirrored = self.compare(&self.encode(examples, |pixels| mirror(&pixels, self.encoder.side))?);
        Ok(plain.iter().zip(mirrored).map(|(one, other)| mean(&[one.clone(), other])).collect())
    }

    fn encode(&self, examples: &[Example], change: impl Fn(Vec<f32>) -> Vec<f32> + Sync) -> Result<Vec<Vec<f32>>> {
        let load = || Ok(CpuEncoder::load(&mut self.weights.clone(), self.encoder)?);
        embeddings(load, |example| change(example.pixels(self.preprocess)), examples)
    }

    fn compare(&self, embeddings: &[Vec<f32>]) -> Vec<Vec<f32>> {
        embeddings.iter().map(|embedding| self.descriptors.similarities(embedding)).collect()
    }

    /// A unit vector for each example.
    pub fn embeddings(&self, examples: &[Example]) -> Result<Vec<Vec<f32>>> {
        self.encode(examples, |pixels| pixels)
    }

    /// How faces' embeddings are spread, by the first faces of each expression; none where one of them has too few.
    pub fn face_spread(&self, examples: &[Example]) -> Result<Option<FaceSpread>> {
        let of =
            |label: usize| examples.iter().filter(move |example| example.label == label).take(MOST_SPREAD).cloned();
        let mut groups = Vec::new();
        for label in 0..self.descriptors.expressions().len() {
            let some: Vec<Example> = of(label).collect();
            if some.len() < LEAST_SPREAD {
                return Ok(None);
            }
            groups.push(self.embeddings(&some)?);
        }
        Ok(Some(fit_face_spread(&groups)?))
    }

    /// The model's expressions.
    pub fn expressions(&self) -> Vec<String> {
        self.descriptors.names().map(String::from).collect()
    }

    /// Scores of the data's expressions, each row adding up to 1.
    fn scores(&self, similarities: &[Vec<f32>], wanted: &[String], temperature: f32) -> Vec<Vec<f32>> {
        let names = self.expressions();
        let score = |row: &Vec<f32>| restrict(&self.descriptors.scores(row, temperature), &names, wanted);
        similarities.iter().map(score).collect()
    }

    /// Temperature and threshold, fitted on similarities with pictures that training did not see. Their labels must count as
    /// the model's expressions do.
    fn calibrate(&self, rows: &[Vec<f32>], held_back: &[Example]) -> Calibration {
        let temperature = temperature(self.descriptors, rows, held_back, 0.001);
        let scores: Vec<Vec<f32>> = rows.iter().map(|row| self.descriptors.scores(row, temperature)).collect();
        let uncertain_below = fit_threshold(&scores, &labels(held_back));
        Calibration { temperature, error: None, uncertain_below }
    }

    /// Evenly spaced quantiles of each descriptor's similarities, `[descriptors * QUANTILES]`.
    fn quantiles(&self, rows: &[Vec<f32>]) -> Vec<f32> {
        let of = |descriptor: usize| {
            let mut column: Vec<f32> = rows.iter().map(|row| row[descriptor]).collect();
            column.sort_by(f32::total_cmp);
            let last = column.len() - 1;
            (0..QUANTILES).map(move |point| column[point * last / (QUANTILES - 1)])
        };
        (0..self.descriptors.count()).flat_map(of).collect()
    }

    /// Figures of one part of a data set, of explanations too where its face shapes are given.
    pub fn measure(
        &self,
        examples: &[Example],
        expressions: &[&str],
        calibration: &Calibration,
        shapes: Option<&ShapeTable>,
    ) -> Result<Measured> {
        let embeddings = self.embeddings(examples)?;
        let similarities = self.answered(examples, self.compare(&embeddings))?;
        let mut measured = self.figures(&similarities, examples, expressions, calibration);
        if let Some(shapes) = shapes {
            self.explain(&mut measured, &embeddings, &similarities, examples, expressions, shapes)?;
        }
        Ok(measured)
    }

    /// Adds what face shapes say of the descriptors and of the movements.
    fn explain(
        &self,
        measured: &mut Measured,
        embeddings: &[Vec<f32>],
        similarities: &[Vec<f32>],
        examples: &[Example],
        expressions: &[&str],
        shapes: &ShapeTable,
    ) -> Result<()> {
        measured.explanations = Some(explain::measure(self.descriptors, similarities, examples, expressions, shapes)?);
        if let Some(set) = self.movements {
            measured.movements = explain::agree(set, embeddings, examples, shapes)?;
        }
        Ok(())
    }

    /// The same, with the figures of its mirrored pictures and of those that don't also stand in the training part.
    fn measure_all(
        &self,
        data: &DataSet,
        examples: &[Example],
        calibration: &Calibration,
        shapes: Option<&ShapeTable>,
    ) -> Result<Measured> {
        let expressions = data.expressions();
        let embeddings = self.embeddings(examples)?;
        let plain = self.compare(&embeddings);
        let mut measured = self.figures(&plain, examples, expressions, calibration);
        if let Some(shapes) = shapes {
            self.explain(&mut measured, &embeddings, &plain, examples, expressions, shapes)?;
        }
        let mirrored = self.with_mirrored(examples, &plain)?;
        measured.mirrored = Some(self.figures(&mirrored, examples, expressions, calibration).evaluation);
        let seen = find_seen(data, examples, Square::of(self.encoder, self.preprocess))?;
        let deduplicated = plain.into_iter().zip(examples).zip(seen).filter(|(_, seen)| !seen);
        let (rows, deduplicated): (Vec<_>, Vec<_>) =
            deduplicated.map(|((row, example), _)| (row, example.clone())).unzip();
        ensure_deduplicated(deduplicated.len(), examples.len())?;
        measured.deduplicated = Some(self.figures(&rows, &deduplicated, expressions, calibration).evaluation);
        Ok(measured)
    }

    fn figures(
        &self,
        similarities: &[Vec<f32>],
        examples: &[Example],
        expressions: &[&str],
        calibration: &Calibration,
    ) -> Measured {
        let wanted: Vec<String> = expressions.iter().map(|&name| name.into()).collect();
        let truth = labels(examples);
        let scores = self.scores(similarities, &wanted, calibration.temperature);
        let mut thresholds: Vec<f32> = THRESHOLDS.into_iter().chain(calibration.uncertain_below).collect();
        thresholds.sort_by(f32::total_cmp);
        let only = |keeps: fn(&Example) -> bool| {
            let kept = examples.iter().zip(&scores).filter(|(example, _)| keeps(example));
            let (truth, scores): (Vec<_>, Vec<_>) =
                kept.map(|(example, scores)| (example.label, scores.clone())).unzip();
            (truth.len() < examples.len()).then(|| Evaluation::new(wanted.clone(), &scores, &truth))
        };
        Measured {
            untied: only(|example| example.majority > Majority::Tied),
            agreed: only(|example| example.majority == Majority::Half),
            evaluation: Evaluation::new(wanted.clone(), &scores, &truth),
            damaged: 0,
            uncertain_below: calibration.uncertain_below,
            coverage: coverage(&scores, &truth, &thresholds),
            deduplicated: None,
            mirrored: None,
            explanations: None,
            movements: Vec::new(),
            sentences: None,
            locality: None,
            perturbations: Vec::new(),
        }
    }

    /// Says which of the data's expressions the model can't answer.
    pub fn report_unknown(&self, expressions: &[&str]) {
        let names = self.expressions();
        let unknown: Vec<&str> =
            expressions.iter().copied().filter(|&name| !names.iter().any(|own| own == name)).collect();
        if !unknown.is_empty() {
            eprintln!("the model does not know {}: pictures of it count as wrong", unknown.join(", "));
        }
    }

    /// What each made perturbation of the pictures costs, beside `plain`, the figures of the pictures as they are.
    pub fn vary(&self, examples: &[Example], plain: &Evaluation, calibration: &Calibration) -> Result<Vec<Varied>> {
        let side = self.encoder.side;
        let truth = labels(examples);
        let measure = |perturbation: &perturbations::Perturbation| {
            let changed = |(index, example): (usize, &Example)| {
                let mut example = example.clone();
                example.sample.picture = perturbation.apply(&example.sample.picture, side, index as u64)?;
                Ok(example)
            };
            let changed = examples.iter().enumerate().map(changed).collect::<Result<Vec<_>>>()?;
            let scores = self.scores(&self.similarities(&changed)?, &plain.expressions, calibration.temperature);
            let found = Evaluation::new(plain.expressions.clone(), &scores, &truth);
            eprintln!("{}: WAR {:.2} %", perturbation.name, found.war * 100.0);
            let lost_points = (plain.war - found.war) * 100.0;
            Ok(Varied { name: perturbation.name.into(), war: found.war, uar: found.uar, lost_points })
        };
        perturbations::ALL.iter().map(measure).collect()
    }
}

/// Figures of another data set's validation part.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CardData {
    #[serde(flatten)]
    pub measured: Measured,
    /// Where it was answered in that set's own labels: fitted on held-back pictures that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
}

/// What was fitted, and what was measured with it.
pub struct Figures {
    pub calibration: Calibration,
    /// Of each descriptor's similarities with the held-back pictures, evenly spaced: [`QUANTILES`] a descriptor.
    pub quantiles: Vec<f32>,
    /// How the faces that it learned from are spread; none where one of the expressions has too few.
    pub face_spread: Option<FaceSpread>,
    /// How frequent each expression is among the held-back pictures, which are a fair sample of the training part.
    pub shares: Vec<f32>,
    /// Of the validation part.
    pub validation: Measured,
    /// Of other data sets' validation parts, by name.
    pub card_data: BTreeMap<String, CardData>,
    /// Some of the validation pictures, to compare rounded weights on.
    pub looks: Vec<Look>,
}

impl Figures {
    /// Fits temperature and threshold on held-back training pictures, then measures the validation parts with them.
    ///
    /// - labels: descriptors of another data set's labels, which the encoder learned too
    /// - shapes: of the faces of `data`, to measure explanations by
    pub fn measure(
        model: &Model,
        labels: Option<&Descriptors>,
        data: &DataSet,
        card_data: &[DataSet],
        shapes: Option<&ShapeTable>,
    ) -> Result<Self> {
        let square = Square::of(model.encoder, model.preprocess);
        ensure!(
            model.descriptors.names().eq(data.expressions().iter().copied()),
            "the model scores {}, the labels of {} are {}: give --data the set it was trained on, and others by --card-data",
            model.expressions().join(" "),
            data.name(),
            data.expressions().join(" ")
        );
        let (train, _) = data.read(Part::Train, square)?;
        let (learned_from, held_back) = split(train);
        let face_spread = model.face_spread(&learned_from)?;
        let rows = model.similarities(&held_back)?;
        let mut calibration = model.calibrate(&rows, &held_back);
        let (examples, report) = data.read(Part::Valid, square)?;
        report.print();
        let mut validation = model.measure_all(data, &examples, &calibration, shapes)?;
        calibration.error = Some(validation.evaluation.calibration_error as f32);
        validation.perturbations = model.vary(&examples, &validation.evaluation, &calibration)?;
        let looks = some_looks(&examples, model.preprocess);
        let measure_other = |data: &DataSet| {
            let (examples, report) = data.read(Part::Valid, square)?;
            report.print();
            let figures = match labels.filter(|labels| labels.names().eq(data.expressions().iter().copied())) {
                None => {
                    model.report_unknown(data.expressions());
                    CardData { measured: model.measure_all(data, &examples, &calibration, None)?, calibration: None }
                }
                Some(labels) => {
                    let model = Model { descriptors: labels, ..*model };
                    let held_back = labelled(data, &held_back, square)?;
                    let mut calibration = model.calibrate(&model.similarities(&held_back)?, &held_back);
                    let measured = model.measure_all(data, &examples, &calibration, None)?;
                    calibration.error = Some(measured.evaluation.calibration_error as f32);
                    CardData { measured, calibration: Some(calibration) }
                }
            };
            Ok((data.name().to_string(), figures))
        };
        let card_data = card_data.iter().map(measure_other).collect::<Result<_>>()?;
        let shares = shares(&self::labels(&held_back), model.descriptors.expressions().len());
        let quantiles = model.quantiles(&rows);
        Ok(Self { calibration, quantiles, face_spread, shares, validation, card_data, looks })
    }
}

/// How frequent each label is; one that was not seen counts as seen once.
fn shares(labels: &[usize], count: usize) -> Vec<f32> {
    let mut seen = vec![0; count];
    labels.iter().for_each(|&label| seen[label] += 1);
    let seen = seen.into_iter().map(|seen| seen.max(1) as f32);
    let all: f32 = seen.clone().sum();
    seen.map(|seen| seen / all).collect()
}

/// The pictures that stand in another set's training part too, with that set's labels.
fn labelled(data: &DataSet, examples: &[Example], square: Square) -> Result<Vec<Example>> {
    let mut samples: Vec<Sample> = examples.iter().map(|example| example.sample.clone()).collect();
    let count = data.label(&mut samples, square)?;
    ensure!(count > 0, "none of the held-back pictures stands in {} too: its labels can't be calibrated", data.name());
    let known = samples.into_iter().zip(examples).filter(|(sample, _)| !sample.auxiliary.is_empty());
    let example = |(sample, example): (Sample, &Example)| Example {
        label: best(&sample.auxiliary),
        sample,
        majority: Majority::Half,
        votes: None,
        picture: example.picture.clone(),
    };
    Ok(known.map(example).collect())
}

/// At most [`LOOKS`] of the pictures, evenly spread.
pub fn some_looks(examples: &[Example], preprocess: &PreprocessConfig) -> Vec<Look> {
    let step = examples.len().div_ceil(LOOKS).max(1);
    let look = |(index, example): (usize, &Example)| Look {
        name: format!("validation picture {index}"),
        pixels: example.pixels(preprocess),
    };
    examples.iter().enumerate().step_by(step).map(look).collect()
}

/// The examples that do not also stand, pixel for pixel, in the training part.
pub fn leave_out_seen(data: &DataSet, examples: Vec<Example>, square: Square) -> Result<Vec<Example>> {
    let (seen, all) = (find_seen(data, &examples, square)?, examples.len());
    let deduplicated =
        examples.into_iter().zip(seen).filter(|(_, seen)| !seen).map(|(example, _)| example).collect::<Vec<_>>();
    ensure_deduplicated(deduplicated.len(), all)?;
    Ok(deduplicated)
}

/// Refuses to measure nothing.
fn ensure_deduplicated(deduplicated: usize, all: usize) -> Result<()> {
    eprintln!("{} pictures that also stand in the training part left out", all - deduplicated);
    ensure!(deduplicated > 0, "no picture is left: all of them also stand in the training part");
    Ok(())
}

/// Which examples also stand, pixel for pixel, in the training part.
pub fn find_seen(data: &DataSet, examples: &[Example], square: Square) -> Result<Vec<bool>> {
    let (train, _) = data.read(Part::Train, square)?;
    let pictures: HashSet<&[u8]> = train.iter().map(|example| example.sample.picture.as_slice()).collect();
    Ok(examples.iter().map(|example| pictures.contains(example.sample.picture.as_slice())).collect())
}

fn labels(examples: &[Example]) -> Vec<usize> {
    examples.iter().map(|example| example.label).collect()
}
