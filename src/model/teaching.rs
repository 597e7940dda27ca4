//! Teaching: an expression learned from a few frames of a face that shows it, beside the same face at rest.
//!
//! METD's first stage with the encoder frozen: of the new expression's logit, direction and height are learned by
//! cross-entropy against the model's own expressions. Those never change, so all that the loss asks of a face is the largest of
//! their logits together. What keeps them is faces that are drawn ([`FaceSpread`]): some of anybody, some of this person.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};

use super::descriptors::Descriptors;
use super::face_spread::FaceSpread;
use super::sentence::is_spread;
use crate::error::{Error, ErrorKind, Result};
use crate::math::{dot, log_sum_exp, mean, unit};

/// The `format` field of a taught expression.
pub const FORMAT: &str = "cliper-expression";
/// Of the format.
pub const VERSION: u32 = 1;
/// Fewest frames of each kind.
pub const LEAST_FRAMES: usize = 3;
/// Steps of a lesson: the loss is level by then.
pub const STEPS: usize = 300;

/// Drawn faces of each expression that are learned from: half of anybody, half of this person.
const DRAWN: usize = 512;
/// Drawn faces of each expression that the height is set on.
const HELD_BACK: usize = 1000;
/// Most of an expression's faces that may be taken for the new one.
const MOST_TAKEN: f32 = 0.005;
/// Adam's. These numbers were chosen on an eye that was painted shut in the demo's portrait, and on what FER+ validation faces
/// lost by it: 1 point of the mean recall.
pub(crate) const RATE: f32 = 0.1;
pub(crate) const BETAS: [f32; 2] = [0.9, 0.99];
pub(crate) const EPSILON: f32 = 1e-8;
/// Of half the squared length of what is learned.
pub(crate) const DECAY: f32 = 0.0003;
/// Weight of the neutral frames beside those of the expression; drawn faces have 1.
const NEUTRAL_WEIGHT: f32 = 0.5;
/// Largest slope and offset of a taught descriptor: larger ones make logits that are no numbers.
const LARGEST: f32 = 1e6;
/// The constant that the height is learned on: it must go further than a direction's parts.
const HEIGHT: f32 = 10.0;
/// Length of the first direction, in logits between the mean frame of the expression and the mean neutral one.
const FIRST_LOGITS: f32 = 8.0;

/// A face's embeddings while it shows the expression, and at rest.
#[derive(Debug, Clone, Default)]
pub struct Lesson {
    shown: Vec<Vec<f32>>,
    neutral: Vec<Vec<f32>>,
}

impl Lesson {
    /// Adds a frame's embedding, of any length.
    pub fn add(&mut self, embedding: &[f32], is_neutral: bool) {
        let kind = if is_neutral { &mut self.neutral } else { &mut self.shown };
        kind.push(unit(embedding));
    }
}

/// A descriptor that was learned from frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaughtDescriptor {
    /// What stands for it in answers.
    pub text: String,
    /// Unit vector `[embedding]`.
    pub embedding: Vec<f32>,
    /// Scores take `slope * similarity + offset`.
    pub slope: f32,
    /// See `slope`.
    pub offset: f32,
    /// Mean of the similarities that faces have with it.
    pub mean: f32,
    /// Their deviation.
    pub deviation: f32,
}

/// An expression that somebody taught: a small file of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaughtExpression {
    /// Always [`FORMAT`].
    pub format: String,
    /// Of the format.
    pub version: u32,
    /// The expression's name.
    pub name: String,
    /// The joint space that it was learned in, a bundle's.
    pub backbone: String,
    /// Frames that show it.
    pub frames: usize,
    /// Neutral frames.
    pub neutral: usize,
    /// Share of the frames that the expression wins, 0..1.
    pub recognized: f32,
    /// Largest share of drawn faces of one of the model's expressions that it takes, 0..1.
    pub taken: f32,
    /// What it is recognised by.
    pub descriptors: Vec<TaughtDescriptor>,
}

impl TaughtExpression {
    /// Says what can't be used with a bundle of this joint space, `width` wide.
    ///
    /// # Errors
    /// [`ErrorKind::UnsupportedBundle`] for another format, [`ErrorKind::ForeignDescriptors`] for another joint space,
    /// [`ErrorKind::InvalidBundle`] for values that are none.
    pub fn check(&self, backbone: &str, width: usize) -> Result<()> {
        let fail = |kind, why: String| Err(Error::new(kind, why));
        let name = &self.name;
        if self.format != FORMAT || self.version != VERSION {
            let why = format!(
                "the expression has the format `{}` {}, this cliper reads `{FORMAT}` {VERSION}; teach it again",
                self.format, self.version
            );
            return fail(ErrorKind::UnsupportedBundle, why);
        }
        if self.backbone != backbone || self.descriptors.iter().any(|it| it.embedding.len() != width) {
            let why = format!(
                "`{name}` was taught to another model (its joint space is `{}`, this one's `{backbone}`); teach it to this one",
                self.backbone
            );
            return fail(ErrorKind::ForeignDescriptors, why);
        }
        let is_sound = |it: &TaughtDescriptor| {
            it.embedding.iter().all(|value| value.is_finite())
                && it.slope.abs() <= LARGEST
                && it.offset.abs() <= LARGEST
                && is_spread(it.mean, it.deviation)
        };
        if self.descriptors.is_empty() || !self.descriptors.iter().all(is_sound) {
            return fail(
                ErrorKind::InvalidBundle,
                format!("`{name}` has no descriptor that says anything; teach it again"),
            );
        }
        Ok(())
    }
}

/// A lesson under way.
#[derive(Debug, Clone)]
pub struct Learner {
    lesson: Lesson,
    spread: FaceSpread,
    /// Faces, whitened, with [`HEIGHT`] behind: `[faces, width + 1]`.
    pub(crate) faces: Vec<Vec<f32>>,
    /// Of each face 1 where it shows the expression, otherwise 0.
    pub(crate) targets: Vec<f32>,
    pub(crate) weights: Vec<f32>,
    /// Of each face, the logit that the model's own expressions have together.
    pub(crate) others: Vec<f32>,
    /// Drawn faces that are not learned from, by expression: whitened, and the others' logit.
    held_back: Vec<Vec<(Vec<f32>, f32)>>,
    pub(crate) parameters: Vec<f32>,
    momentum: Vec<f32>,
    variance: Vec<f32>,
    done: usize,
}

impl Learner {
    /// Prepares a lesson.
    ///
    /// - name: of the expression; one of the model's own is learned anew
    /// - descriptors: the model's own, and their temperature
    /// - neutral: which of the model's expressions a face at rest has
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for fewer than [`LEAST_FRAMES`] frames of either kind.
    pub fn new(
        lesson: Lesson,
        name: &str,
        spread: FaceSpread,
        descriptors: &Descriptors,
        temperature: f32,
        neutral: usize,
    ) -> Result<Self> {
        for (frames, what) in [(&lesson.shown, "that show it"), (&lesson.neutral, "of the same face at rest")] {
            if frames.len() < LEAST_FRAMES {
                return Err(Error::new(
                    ErrorKind::InvalidArgument,
                    format!(
                        "`{name}` can't be learned from {} frames {what}; give at least {LEAST_FRAMES}, 5 to 20 are better",
                        frames.len()
                    ),
                ));
            }
        }
        let own = descriptors.names().position(|own| own == name);
        let logit = |face: &[f32]| {
            let mut logits = descriptors.logits(&descriptors.similarities(face), temperature);
            own.into_iter().for_each(|own| logits[own] = f32::NEG_INFINITY);
            log_sum_exp(&logits)
        };
        let whiten = |face: &[f32]| {
            let mut whitened = spread.whiten(face);
            whitened.push(HEIGHT);
            whitened
        };
        let rest = mean(&lesson.neutral);
        let person: Vec<f32> = rest.iter().zip(spread.mean(neutral)).map(|(own, usual)| own - usual).collect();
        let anybody = vec![0.0; person.len()];
        // One seed: the same frames teach the same.
        let mut random = SmallRng::seed_from_u64(1);
        let kept: Vec<usize> = (0..spread.expressions()).filter(|index| Some(*index) != own).collect();
        let mut draw = |expression: usize, count: usize| -> Vec<Vec<f32>> {
            let shift = |index: usize| if index.is_multiple_of(2) { &anybody } else { &person };
            (0..count).map(|index| spread.draw(&mut random, expression, shift(index))).collect()
        };
        let drawn: Vec<Vec<f32>> = kept.iter().flat_map(|&expression| draw(expression, DRAWN)).collect();
        let held_back = kept.iter().map(|&expression| draw(expression, HELD_BACK)).collect::<Vec<_>>();
        let held_back =
            held_back.iter().map(|faces| faces.iter().map(|face| (whiten(face), logit(face))).collect()).collect();

        let kinds = [(&lesson.shown, 1.0, 1.0), (&lesson.neutral, 0.0, NEUTRAL_WEIGHT), (&drawn, 0.0, 1.0)];
        let (mut faces, mut targets, mut weights, mut others) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (kind, target, weight) in kinds {
            for face in kind {
                faces.push(whiten(face));
                others.push(logit(face));
                targets.push(target);
                weights.push(weight / kind.len() as f32);
            }
        }
        // Fisher's direction: from the face at rest to the one that shows it, where faces differ as much everywhere.
        let [shown, rest] = [mean(&lesson.shown), rest].map(|frames| spread.whiten(&frames));
        let mut parameters: Vec<f32> = shown.iter().zip(&rest).map(|(shown, rest)| shown - rest).collect();
        let length = dot(&parameters, &parameters).max(1e-12);
        parameters.iter_mut().for_each(|value| *value *= FIRST_LOGITS / length);
        let usual: f32 = others[..lesson.shown.len()].iter().sum::<f32>() / lesson.shown.len() as f32;
        parameters.push((usual - dot(&parameters, &shown)) / HEIGHT);
        let zeros = vec![0.0; parameters.len()];
        Ok(Self {
            lesson,
            spread,
            faces,
            targets,
            weights,
            others,
            held_back,
            parameters,
            momentum: zeros.clone(),
            variance: zeros,
            done: 0,
        })
    }

    /// Steps done.
    pub fn done(&self) -> usize {
        self.done
    }

    /// The logit above all others' together.
    fn margin(parameters: &[f32], face: &[f32], others: f32) -> f32 {
        dot(parameters, face) - others
    }

    /// The loss and its gradient by the parameters.
    fn gradient(&self) -> (f32, Vec<f32>) {
        let mut gradient: Vec<f32> = self.parameters.iter().map(|value| DECAY * value).collect();
        let mut loss = DECAY / 2.0 * dot(&self.parameters, &self.parameters);
        for (index, face) in self.faces.iter().enumerate() {
            let margin = Self::margin(&self.parameters, face, self.others[index]);
            let (target, weight) = (self.targets[index], self.weights[index]);
            // The logarithm of 1 + exp(margin), where neither overflows.
            let softplus = margin.max(0.0) + (-margin.abs()).exp().ln_1p();
            loss += weight * (softplus - target * margin);
            let slope = weight * (1.0 / (1.0 + (-margin).exp()) - target);
            gradient.iter_mut().zip(face).for_each(|(sum, value)| *sum += slope * value);
        }
        (loss, gradient)
    }

    /// Takes a step, and gives the loss before it.
    pub fn step(&mut self) -> f32 {
        let (loss, gradient) = self.gradient();
        self.done += 1;
        let [first, second] = BETAS.map(|beta| 1.0 - beta.powi(self.done as i32));
        let moments = self.momentum.iter_mut().zip(&mut self.variance);
        for ((parameter, slope), (momentum, variance)) in self.parameters.iter_mut().zip(gradient).zip(moments) {
            *momentum = BETAS[0] * *momentum + (1.0 - BETAS[0]) * slope;
            *variance = BETAS[1] * *variance + (1.0 - BETAS[1]) * slope * slope;
            *parameter -= RATE * (*momentum / first) / ((*variance / second).sqrt() + EPSILON);
        }
        loss
    }

    /// What was learned. The height is set so that of no expression more than one in two hundred drawn faces is taken.
    ///
    /// - text: what stands for the descriptor in answers
    /// - shares: how frequent each of the model's expressions is
    pub fn finish(self, name: &str, text: &str, backbone: &str, temperature: f32, shares: &[f32]) -> TaughtExpression {
        let mut parameters = self.parameters;
        let margins = |parameters: &[f32], faces: &[(Vec<f32>, f32)]| -> Vec<f32> {
            faces.iter().map(|(face, others)| Self::margin(parameters, face, *others)).collect()
        };
        let excess = self.held_back.iter().map(|faces| {
            let mut margins = margins(&parameters, faces);
            margins.sort_by(f32::total_cmp);
            margins[((1.0 - MOST_TAKEN) * margins.len() as f32) as usize]
        });
        let excess = excess.fold(0.0f32, f32::max);
        let width = parameters.len() - 1;
        parameters[width] -= excess / HEIGHT;
        let share = |margins: Vec<f32>| {
            margins.iter().filter(|margin| **margin > 0.0).count() as f32 / margins.len().max(1) as f32
        };
        let shown = self.lesson.shown.len();
        let recognized = share(
            self.faces
                .iter()
                .zip(&self.others)
                .take(shown)
                .map(|(face, others)| Self::margin(&parameters, face, *others))
                .collect(),
        );
        let taken = self.held_back.iter().map(|faces| share(margins(&parameters, faces))).fold(0.0, f32::max);
        // Of a whitened face the same as of the plain one: the map is its own transpose.
        let direction = self.spread.whiten(&parameters[..width]);
        let length = dot(&direction, &direction).sqrt().max(1e-12);
        let embedding = unit(&direction);
        let [mean, deviation] = self.spread.similarities(&embedding, shares);
        TaughtExpression {
            format: FORMAT.into(),
            version: VERSION,
            name: name.into(),
            backbone: backbone.into(),
            frames: shown,
            neutral: self.lesson.neutral.len(),
            recognized,
            taken,
            descriptors: vec![TaughtDescriptor {
                text: text.into(),
                embedding,
                slope: length * temperature,
                offset: parameters[width] * HEIGHT * temperature,
                mean,
                deviation,
            }],
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::descriptors::Expression;

    const WIDTH: usize = 12;
    const TEMPERATURE: f32 = 0.02;
    const NAMES: [&str; 3] = ["neutral", "glad", "cross"];

    /// Expressions along the first axes; people differ along the fourth.
    fn spread() -> FaceSpread {
        let mean = |index: usize| {
            let mut mean = [0.1; WIDTH];
            mean[index] = 1.0;
            unit(&mean)
        };
        let mut axis = vec![0.0; WIDTH];
        axis[3] = 0.3;
        FaceSpread::new((0..3).flat_map(mean).collect(), axis, 0.03, WIDTH).unwrap()
    }

    fn descriptors() -> Descriptors {
        let expressions = NAMES.map(|name| Expression {
            name: name.into(),
            descriptors: vec![format!("a {name} face")],
            ..Default::default()
        });
        let rows = (0..3).flat_map(|index| spread().mean(index).to_vec()).collect();
        Descriptors::new(expressions.to_vec(), rows, WIDTH).unwrap()
    }

    /// Frames of one person, at rest or with what nobody else does: along the eighth axis.
    fn frames(count: usize, does_it: bool, seed: u64) -> Vec<Vec<f32>> {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut shift = vec![0.0; WIDTH];
        shift[5] = 0.15;
        shift[8] = if does_it { 0.25 } else { 0.0 };
        (0..count).map(|_| spread().draw(&mut random, 0, &shift)).collect()
    }

    /// A lesson that has not begun.
    pub(crate) fn learner() -> Learner {
        let mut lesson = Lesson::default();
        frames(10, true, 1).iter().for_each(|frame| lesson.add(frame, false));
        frames(10, false, 2).iter().for_each(|frame| lesson.add(frame, true));
        Learner::new(lesson, "wink", spread(), &descriptors(), TEMPERATURE, 0).unwrap()
    }

    #[test]
    fn a_taught_expression_wins_its_own_frames_and_leaves_the_others_theirs() {
        let mut learner = learner();
        let first = learner.step();
        while learner.done() < STEPS {
            learner.step();
        }
        let last = learner.gradient().0;
        assert!(last < first, "{first} {last}");
        let taught = learner.finish("wink", "as shown", "space", TEMPERATURE, &[]);
        assert_eq!((taught.frames, taught.neutral, taught.recognized), (10, 10, 1.0));
        assert!(taught.taken <= 0.006, "{}", taught.taken);
        taught.check("space", WIDTH).unwrap();

        // As scores take it: above all of the model's own.
        let [TaughtDescriptor { embedding, slope, offset, .. }] = &taught.descriptors[..] else { panic!() };
        let own = descriptors();
        let wins = |face: &[f32]| {
            let most = own.logits(&own.similarities(face), TEMPERATURE).into_iter().fold(f32::NEG_INFINITY, f32::max);
            (slope * dot(embedding, face) + offset) / TEMPERATURE > most
        };
        let won = |faces: &[Vec<f32>]| faces.iter().filter(|face| wins(face)).count() as f32 / faces.len() as f32;
        // Others than those it learned from.
        assert!(won(&frames(100, true, 3)) > 0.95);
        assert!(won(&frames(100, false, 4)) < 0.02);
        let mut random = SmallRng::seed_from_u64(5);
        for (expression, name) in NAMES.iter().enumerate() {
            let faces: Vec<_> = (0..500).map(|_| spread().draw(&mut random, expression, &[0.0; WIDTH])).collect();
            assert!(won(&faces) <= 0.02, "{name}: {}", won(&faces));
        }
    }

    #[test]
    fn an_expression_of_the_model_s_own_is_learned_against_the_others() {
        let (shown, rest) = (frames(5, true, 1), frames(5, false, 2));
        let mut lesson = Lesson::default();
        shown.iter().for_each(|frame| lesson.add(frame, false));
        rest.iter().for_each(|frame| lesson.add(frame, true));
        let learner = Learner::new(lesson, "glad", spread(), &descriptors(), TEMPERATURE, 0).unwrap();
        assert_eq!(learner.held_back.len(), 2);
    }

    #[test]
    fn too_few_frames_and_foreign_expressions_are_refused() {
        let mut lesson = Lesson::default();
        frames(5, true, 1).iter().for_each(|frame| lesson.add(frame, false));
        let error = Learner::new(lesson, "wink", spread(), &descriptors(), TEMPERATURE, 0).unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidArgument && error.to_string().contains("at rest"), "{error}");
        let taught = learner().finish("wink", "as shown", "space", TEMPERATURE, &[]);
        assert_eq!(taught.check("other", WIDTH).unwrap_err().kind(), ErrorKind::ForeignDescriptors);
        assert_eq!(taught.check("space", WIDTH + 1).unwrap_err().kind(), ErrorKind::ForeignDescriptors);
        let newer = TaughtExpression { version: 2, ..taught.clone() };
        assert_eq!(newer.check("space", WIDTH).unwrap_err().kind(), ErrorKind::UnsupportedBundle);
        let empty = TaughtExpression { descriptors: Vec::new(), ..taught };
        assert_eq!(empty.check("space", WIDTH).unwrap_err().kind(), ErrorKind::InvalidBundle);
    }
}
