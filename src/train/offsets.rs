//! Stage 1 against face shapes: descriptors learn to follow the movements that they name, while class scores stay as they are.
//!
//! What is learned is an offset for each descriptor of the text's own embedding. An expression's offsets add up to nothing, so
//! the mean of its similarities, which is its score, does not change; room for unit length is taken in a direction in which no
//! picture's embedding lies. The similarities shrink by one factor, and the temperature with them.
//!
//! The loss needs the faces' moments alone, but for a sample of each expression's own faces a step:
//! - follow: `(1 - r)^2`, `r` the correlation of a descriptor's similarity, less its expression's mean, with how much the faces
//!   do what it names, over all faces and over those of its expression. What a similarity gets from the half of the face that it
//!   names nothing in counts as spread that follows nothing, so that evidence comes from where the movement is;
//! - apart: how far the mean correlation between an expression's descriptors is above a limit;
//! - turns: how far the share of its expression's clear faces on which a descriptor comes first is above one limit or below
//!   another;
//! - even: offsets of one mean over those faces and one spread over all of its expression's own; length.

use burn::module::{Module, Param};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{Adam, AdamConfig, GradientsParams, Optimizer};
use burn::record::{BinBytesRecorder, FullPrecisionSettings, Recorder};
use burn::tensor::activation::{relu, softmax};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{ElementConversion, Tensor, TensorData};
use nalgebra::{DMatrix, DVector, SymmetricEigen};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::read;
use super::trainer::{Progress, check_loss};
use super::turn::autodiff_turn;
use crate::error::{Error, ErrorKind, Result};
use crate::model::descriptors::Descriptors;
use crate::movements::{Half, MOVEMENTS, Movements, SHAPES, half, wanted};
use crate::tensors::{Values, Weights};

/// How offsets are learned. The defaults are the built-in model's, chosen on FER+ validation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OffsetConfig {
    /// Epochs, each of [`OffsetConfig::steps`].
    pub epochs: usize,
    /// Steps of an epoch.
    pub steps: usize,
    /// Highest learning rate, of one cosine.
    pub rate: f64,
    /// Weight of following movements over an expression's own faces, beside over all faces.
    pub own: f32,
    /// Weight of one mean and one spread.
    pub even: f32,
    /// Weight of the offsets' squared length.
    pub length: f32,
    /// The mean correlation between an expression's descriptors that costs nothing.
    pub correlation: f32,
    /// The largest share of its expression's faces that a descriptor may come first on.
    pub largest_share: f32,
    /// The least.
    pub least_share: f32,
    /// Weight of what a descriptor of one half of the face gets from the other half.
    #[serde(default)]
    pub elsewhere: f32,
    /// How soft the choice of the first is, in spreads of the similarities.
    pub softness: f32,
    /// Of the samples of faces.
    pub seed: u64,
}

impl Default for OffsetConfig {
    fn default() -> Self {
        Self {
            epochs: 5,
            steps: 500,
            rate: 3e-3,
            own: 0.3,
            even: 0.03,
            length: 5e-4,
            correlation: 0.5,
            largest_share: 0.5,
            least_share: 0.05,
            elsewhere: 0.0,
            softness: 0.16,
            seed: 1,
        }
    }
}

/// A face that offsets are learned from.
#[derive(Debug, Clone, Copy)]
pub struct ShapedFace<'a> {
    /// Its embedding, unit length.
    pub embedding: &'a [f32],
    /// The expression that its taggers agree on; none where they don't.
    pub expression: Option<usize>,
    /// Whether they agree well: how often each descriptor comes first is counted on such faces, where there are enough.
    pub is_clear: bool,
    /// Its face shapes in the order of [`SHAPES`].
    pub shapes: &'a [f32; SHAPES.len()],
}

/// What the two halves of the picture bring into similarities: the second moments of the patches' parts of the embedding
/// (a patch's embedding over their number and the embedding's length; [`crate::evidence`]), summed over a half, as a mean over faces.
#[derive(Debug, Clone)]
pub struct HalfMoments {
    upper: DMatrix<f64>,
    lower: DMatrix<f64>,
    faces: usize,
}

impl HalfMoments {
    /// Of no face yet.
    pub fn new(width: usize) -> Self {
        Self { upper: DMatrix::zeros(width, width), lower: DMatrix::zeros(width, width), faces: 0 }
    }

    /// Adds faces.
    ///
    /// # Shapes
    /// - patches: `[faces, side, side, width]`, the rows of the grid from above
    pub fn add(&mut self, patches: &[f32], side: usize) {
        let width = self.upper.nrows();
        for face in patches.chunks_exact(side * side * width) {
            let parts = DMatrix::from_row_iterator(side * side, width, face.iter().map(|&value| f64::from(value)));
            let parts = &parts / parts.row_sum().norm().max(1e-12);
            let half = side / 2 * side;
            let (upper, lower) = (parts.rows(0, half), parts.rows(side * side - half, half));
            self.upper += upper.transpose() * upper;
            self.lower += lower.transpose() * lower;
            self.faces += 1;
        }
    }
}

/// Eigenvalues below this share of the largest are no spread but rounding.
const RANK: f64 = 1e-6;
/// Added to each direction's variance before it is evened out, so that the faintest directions are not blown up.
const FLOOR: f64 = 1e-5;
/// Ridge of the movements' own directions, in evened coordinates.
const RIDGE: f64 = 1e-3;
/// Faces of an expression that a step looks at.
const SAMPLE: usize = 512;
/// Clear faces of an expression that are enough to count on.
const ENOUGH: usize = 60;
/// Faces of an expression that say well enough how often a descriptor comes first.
const MANY: f32 = 2000.0;
/// How long the longest of the expressions' means is beside the offsets, in the faces' directions, whatever descriptors came
/// in: those that have offsets already have shorter ones. About that of the built-in model's texts.
const CENTER: f64 = 0.7;
/// How long the longest descriptor is before room for unit length is added.
const LONGEST: f64 = 0.98;

#[derive(Module, Debug)]
struct Offsets<B: Backend> {
    values: Param<Tensor<B, 2>>,
}

/// What descriptors of one half of the face get from the other: of each half its moments, and 1 for the descriptors that name
/// movements in the other half alone, `[descriptors, 1]`.
type Elsewhere<B> = [(Tensor<B, 2>, Tensor<B, 2>); 2];

/// One expression's own faces.
struct Own<B: Backend> {
    first: usize,
    count: usize,
    /// Those on which it is counted how often a descriptor comes first, `[faces][axes]`.
    counted: Vec<Vec<f32>>,
    spread: Tensor<B, 2>,
    targets: Tensor<B, 2>,
    mean: Tensor<B, 2>,
    /// The mean descriptor, `[1, axes]`.
    center: Tensor<B, 2>,
}

/// A run that learns offsets, between two steps.
pub struct OffsetTrainer<B: AutodiffBackend> {
    config: OffsetConfig,
    offsets: Offsets<B>,
    optimizer: OptimizerAdaptor<Adam, Offsets<B>, B>,
    step: usize,
    own: Vec<Own<B>>,
    spread: Tensor<B, 2>,
    targets: Tensor<B, 2>,
    /// 1 over the number of descriptors that name a movement, 0 for the others, `[descriptors, 1]`.
    annotated: Tensor<B, 2>,
    elsewhere: Option<Elsewhere<B>>,
    centering: Tensor<B, 2>,
    lengths: Tensor<B, 2>,
    said: Vec<Movements>,
    basis: DMatrix<f64>,
    centers: DMatrix<f64>,
    free: Option<DVector<f64>>,
    directions: Vec<f32>,
    moments: Weights,
    device: B::Device,
}

impl<B: AutodiffBackend> OffsetTrainer<B> {
    /// Starts a run from offsets that each follow their own movements, as far as a linear map can say.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTraining`] for descriptors that name no movement, too few faces, and settings that can't be trained
    /// with.
    pub fn new(
        config: OffsetConfig,
        descriptors: &Descriptors,
        faces: &[ShapedFace],
        device: &B::Device,
    ) -> Result<Self> {
        let refuse = |why: String| Err(Error::new(ErrorKind::InvalidTraining, why));
        let width = descriptors.width();
        if config.epochs == 0 || config.steps == 0 || config.rate <= 0.0 || config.softness <= 0.0 {
            return refuse(
                "offsets need at least one epoch of one step, a positive rate and a positive softness".into(),
            );
        }
        if faces.len() < 2 * width || faces.iter().any(|face| face.embedding.len() != width) {
            return refuse(format!(
                "{} faces with face shapes are too few to tell {width} directions apart; give at least {}, embedded by the \
                 model itself",
                faces.len(),
                2 * width
            ));
        }
        let said: Vec<Movements> = descriptors
            .expressions()
            .iter()
            .flat_map(|expression| {
                (0..expression.descriptors.len())
                    .map(|index| expression.movements.get(index).cloned().unwrap_or_default())
            })
            .collect();
        let named = said.iter().filter(|movements| !movements.is_empty()).count();
        if named == 0 {
            return refuse("no descriptor names a movement to follow; give them `movements`".into());
        }

        // Coordinates in which the faces' spread is even.
        let rows = matrix(faces.iter().map(|face| face.embedding), width);
        let moments = &rows.transpose() * &rows / faces.len() as f64;
        let free = free_direction(&moments);
        let mean: DVector<f64> = rows.row_mean().transpose();
        let covariance = &moments - &mean * mean.transpose();
        let eigen = SymmetricEigen::new(covariance.clone());
        let most = eigen.eigenvalues.max();
        let kept: Vec<usize> = (0..width).filter(|&axis| eigen.eigenvalues[axis] > most * RANK).collect();
        let axes = eigen.eigenvectors.select_columns(&kept);
        let scales =
            DVector::from_iterator(kept.len(), kept.iter().map(|&axis| (eigen.eigenvalues[axis] + FLOOR).sqrt()));
        let basis = &axes * DMatrix::from_diagonal(&scales.map(|scale| 1.0 / scale));
        let centered = DMatrix::from_fn(rows.nrows(), width, |row, column| rows[(row, column)] - mean[column]);
        let even = &centered * &basis;
        let spread = &even.transpose() * &even / faces.len() as f64;
        // Where similarities are compared with one another, what the mean brings counts too.
        let whole = &rows * &basis;

        let shapes: Vec<_> = faces.iter().map(|face| face.shapes).collect();
        let targets = correlate(&even, said.iter().map(|movements| wanted(movements, &shapes)));
        let single = |name: &&str| wanted(&Movements::from([(name.to_string(), 1.0)]), &shapes);
        let ridge = &spread + DMatrix::identity(kept.len(), kept.len()) * RIDGE;
        let Some(solver) = ridge.cholesky() else {
            return refuse("the faces' embeddings do not differ; give faces of different people".into());
        };
        let moments = face_moments(&rows, &mean, &covariance, MOVEMENTS.iter().map(single))?;
        let directions = &basis * solver.solve(&correlate(&even, MOVEMENTS.iter().map(single)).transpose());
        let directions = directions.column_iter().flat_map(|column| {
            let length = column.norm().max(1e-12);
            column.iter().map(|value| (value / length) as f32).collect::<Vec<_>>()
        });

        let tensor = |values: &DMatrix<f64>| to_tensor::<B>(values, device);
        let centers = centers(descriptors, &axes);
        let (mut own, mut first) = (Vec::new(), 0);
        for (index, expression) in descriptors.expressions().iter().enumerate() {
            let count = expression.descriptors.len();
            let picked: Vec<usize> = (0..faces.len()).filter(|&face| faces[face].expression == Some(index)).collect();
            if picked.len() < 2 * count {
                return refuse(format!(
                    "only {} faces of the training part look like {}; at least {} are needed",
                    picked.len(),
                    expression.name,
                    2 * count
                ));
            }
            let mine = even.select_rows(&picked);
            let middle = mine.row_mean();
            let around = DMatrix::from_fn(mine.nrows(), mine.ncols(), |row, axis| mine[(row, axis)] - middle[axis]);
            let clear: Vec<usize> = picked.iter().copied().filter(|&face| faces[face].is_clear).collect();
            let counted = if clear.len() < ENOUGH { &picked } else { &clear };
            let whole = whole.select_rows(counted);
            let shapes: Vec<_> = picked.iter().map(|&face| faces[face].shapes).collect();
            let targets = correlate(&around, said[first..first + count].iter().map(|said| wanted(said, &shapes)));
            let center = centers.row(index) * &axes * DMatrix::from_diagonal(&scales);
            own.push(Own {
                first,
                count,
                counted: whole.row_iter().map(|row| row.iter().map(|&value| value as f32).collect()).collect(),
                spread: tensor(&(&around.transpose() * &around / picked.len() as f64)),
                targets: tensor(&targets),
                mean: tensor(&DMatrix::from_row_slice(1, kept.len(), whole.row_mean().as_slice())),
                center: tensor(&DMatrix::from_row_slice(1, kept.len(), center.transpose().as_slice())),
            });
            first += count;
        }

        let start = solver.solve(&targets.transpose()).transpose();
        let lengths = (&start * &spread).component_mul(&start).column_sum();
        let start = DMatrix::from_fn(start.nrows(), start.ncols(), |row, axis| {
            0.08 * start[(row, axis)] / lengths[row].sqrt().max(1e-6)
        });
        let mut centering = DMatrix::identity(first, first);
        for Own { first, count, .. } in &own {
            centering.view_mut((*first, *first), (*count, *count)).add_scalar_mut(-1.0 / *count as f64);
        }
        let share = |movements: &Movements| if movements.is_empty() { 0.0 } else { 1.0 / named as f64 };
        Ok(Self {
            offsets: Offsets { values: Param::from_tensor(tensor(&start)) },
            optimizer: AdamConfig::new().init(),
            step: 0,
            spread: tensor(&spread),
            targets: tensor(&targets),
            annotated: tensor(&DMatrix::from_iterator(first, 1, said.iter().map(share))),
            elsewhere: None,
            centering: tensor(&centering),
            lengths: tensor(&(basis.transpose() * &basis)),
            directions: directions.collect(),
            moments,
            config,
            own,
            said,
            basis,
            centers,
            free,
            device: device.clone(),
        })
    }

    /// Keeps descriptors of the brows and eyes, and those of the mouth and jaw, to their half of the picture.
    pub fn keep_local(&mut self, moments: &HalfMoments) {
        let pair = |moments_of: &DMatrix<f64>, named: Half| {
            let moved = self.basis.transpose() * (moments_of / moments.faces.max(1) as f64) * &self.basis;
            let those = self.said.iter().map(|said| f64::from(u8::from(half(said) == Some(named))));
            let those = DMatrix::from_iterator(self.said.len(), 1, those);
            (to_tensor(&moved, &self.device), to_tensor(&those, &self.device))
        };
        self.elsewhere = Some([pair(&moments.upper, Half::Lower), pair(&moments.lower, Half::Upper)]);
    }

    /// Goes on where a run stopped.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTraining`] for records that can't be read.
    pub fn resume(&mut self, step: usize, parameters: Vec<u8>, optimizer: Vec<u8>) -> Result<()> {
        let recorder = BinBytesRecorder::<FullPrecisionSettings>::default();
        let broken = |error| Error::with_source(ErrorKind::InvalidTraining, "the checkpoint can't be read", error);
        let parameters = Recorder::<B>::load(&recorder, parameters, &self.device).map_err(broken)?;
        let optimizer = Recorder::<B>::load(&recorder, optimizer, &self.device).map_err(broken)?;
        self.offsets = self.offsets.clone().load_record(parameters);
        self.optimizer = self.optimizer.clone().load_record(optimizer);
        self.step = step;
        Ok(())
    }

    /// Trains for one epoch and gives its mean loss; what a step looks at depends on the seed and the step alone.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTraining`] naming the step when the loss is no number any more.
    pub fn epoch(&mut self, mut progress: impl FnMut(Progress)) -> Result<f64> {
        let OffsetConfig { epochs, steps, .. } = self.config;
        let mut sum = 0.0;
        for _ in 0..steps {
            let loss = self.step()?;
            sum += loss;
            progress(Progress { step: self.step, steps: epochs * steps, samples: 1, loss });
        }
        Ok(sum / steps as f64)
    }

    fn step(&mut self) -> Result<f64> {
        let OffsetConfig { epochs, steps, rate, .. } = self.config;
        let _turn = autodiff_turn();
        let share = self.step as f64 / (epochs * steps) as f64;
        let loss = self.loss();
        let value: f64 = loss.clone().into_scalar().elem();
        check_loss(value, self.step + 1)?;
        let gradients = GradientsParams::from_grads(loss.backward(), &self.offsets);
        let rate = rate * (0.5 + 0.5 * (std::f64::consts::PI * share.min(1.0)).cos());
        self.offsets = self.optimizer.step(rate, self.offsets.clone(), gradients);
        self.step += 1;
        Ok(value)
    }

    fn loss(&self) -> Tensor<B, 1> {
        let config = &self.config;
        let offsets = self.centering.clone().matmul(self.offsets.values.val());
        let variance = |rows: &Tensor<B, 2>, spread: &Tensor<B, 2>| {
            (rows.clone().matmul(spread.clone()) * rows.clone()).sum_dim(1).add_scalar(1e-12)
        };
        let missed = |rows: &Tensor<B, 2>, targets: &Tensor<B, 2>, variance: Tensor<B, 2>| {
            let followed = (rows.clone() * targets.clone()).sum_dim(1) / variance.sqrt();
            (followed.neg() + 1.0).powf_scalar(2.0)
        };
        // The spread of what comes from elsewhere.
        let strayed = match &self.elsewhere {
            Some(halves) => halves.iter().fold(offsets.zeros_like().sum_dim(1), |sum, (moments, those)| {
                sum + variance(&offsets, moments) * those.clone() * config.elsewhere
            }),
            None => offsets.zeros_like().sum_dim(1),
        };
        let all = missed(&offsets, &self.targets, variance(&offsets, &self.spread) + strayed.clone());
        let length = variance(&offsets, &self.lengths).mean();
        let mut loss = (all * self.annotated.clone()).sum() + length * config.length;
        let mut random = ChaCha8Rng::seed_from_u64(config.seed.wrapping_add(self.step as u64));
        let expressions = self.own.len() as f32;
        for own in &self.own {
            let rows = offsets.clone().narrow(0, own.first, own.count);
            let annotated = self.annotated.clone().narrow(0, own.first, own.count);
            let inner = variance(&rows, &own.spread);
            let strayed = strayed.clone().narrow(0, own.first, own.count);
            loss = loss + (missed(&rows, &own.targets, inner.clone() + strayed) * annotated).sum() * config.own;

            // The descriptors' correlations with one another.
            let whole = rows.clone() + own.center.clone();
            let shared = whole.clone().matmul(self.spread.clone()).matmul(whole.clone().transpose());
            let spread = variance(&whole, &self.spread).sqrt();
            let correlations = (shared / spread.clone().matmul(spread.transpose())).sum();
            let pairs = (own.count * (own.count - 1)).max(1) as f32;
            let correlation = correlations.sub_scalar(own.count as f32).div_scalar(pairs);
            loss = loss + relu(correlation.sub_scalar(config.correlation)) / expressions;

            // One mean over the expression's clear faces, one spread over all of its own.
            let deviation = inner.sqrt();
            let usual = deviation.clone().mean().reshape([1, 1]);
            let shift = rows.clone().matmul(own.mean.clone().transpose()) / usual.clone();
            let uneven = (deviation / usual).log().powf_scalar(2.0).mean() * 0.1 + shift.powf_scalar(2.0).mean();
            loss = loss + uneven * (config.even / expressions);

            // How often each comes first.
            let sample: Vec<f32> = (0..own.counted.len().min(SAMPLE))
                .flat_map(|_| own.counted[random.random_range(0..own.counted.len())].iter().copied())
                .collect();
            let [_, axes] = rows.dims();
            let shape = [sample.len() / axes, axes];
            let sample = Tensor::<B, 2>::from_data(TensorData::new(sample, shape), &self.device);
            let similarities = sample.matmul(rows.transpose());
            let mean = similarities.clone().mean().reshape([1, 1]);
            let scale = (similarities.clone() - mean).powf_scalar(2.0).mean().sqrt().detach().reshape([1, 1]);
            let shares = softmax(similarities / (scale * config.softness), 1).mean_dim(0);
            // Few faces say little of how often: there the limit is nearer to even.
            let even = 1.0 / own.count as f32;
            let trust = (own.counted.len() as f32 / MANY).min(1.0);
            let limit = even + (config.largest_share - even) * (0.5 + 0.5 * trust);
            let over = relu(shares.clone().sub_scalar(limit)).sum();
            let under = relu(shares.neg().add_scalar(config.least_share)).sum();
            loss = loss + (over + under) * 0.25;
        }
        loss
    }

    /// The descriptors as they stand, `[descriptors * width]`, unit length.
    pub fn embeddings(&self) -> Result<Vec<f32>> {
        let offsets: Vec<f32> = read(self.centering.clone().matmul(self.offsets.values.val()))?;
        let count = offsets.len() / self.basis.ncols();
        let offsets =
            DMatrix::from_row_iterator(count, self.basis.ncols(), offsets.iter().map(|&value| f64::from(value)));
        let mut rows = offsets * self.basis.transpose();
        for (index, own) in self.own.iter().enumerate() {
            for descriptor in own.first..own.first + own.count {
                let mut row = rows.row_mut(descriptor);
                row += self.centers.row(index);
            }
        }
        let longest = rows.row_iter().map(|row| row.norm()).fold(1e-12, f64::max);
        if let Some(free) = &self.free {
            rows *= LONGEST / longest;
            for mut row in rows.row_iter_mut() {
                let room = (1.0 - row.norm_squared()).max(0.0).sqrt();
                row += free.transpose() * room;
            }
        }
        let unit = rows.row_iter().flat_map(|row| {
            let length = row.norm().max(1e-12);
            row.iter().map(|value| (value / length) as f32).collect::<Vec<_>>()
        });
        Ok(unit.collect())
    }

    /// Whether class scores are kept to the bit but for rounding: the joint space has a direction in which no picture lies.
    pub fn keeps_scores(&self) -> bool {
        self.free.is_some()
    }

    /// The direction of each of [`MOVEMENTS`] in the joint space, unit length, `[movements * width]`: by ridge regression of the
    /// faces' ranks on their embeddings.
    pub fn directions(&self) -> &[f32] {
        &self.directions
    }

    /// How embeddings and the movements' ranks go together over the faces, for whatever learns to say movements in this space:
    /// `mean` `[width]` and `covariance` `[width, width]` of the embeddings, `ranks` `[movements, movements]`, the covariance of
    /// the ranks as shares of the faces' count, and `targets` `[movements, width]`, of ranks and embeddings.
    pub fn moments(&self) -> &Weights {
        &self.moments
    }

    /// How the run is trained.
    pub fn config(&self) -> &OffsetConfig {
        &self.config
    }

    /// Steps done, and what is needed to go on: parameters and optimiser.
    pub fn records(&self) -> Result<(usize, Vec<u8>, Vec<u8>)> {
        let recorder = BinBytesRecorder::<FullPrecisionSettings>::default();
        let broken = |error| Error::with_source(ErrorKind::InvalidTraining, "the run can't be recorded", error);
        let parameters = Recorder::<B>::record(&recorder, self.offsets.clone().into_record(), ()).map_err(broken)?;
        let optimizer = Recorder::<B>::record(&recorder, self.optimizer.to_record(), ()).map_err(broken)?;
        Ok((self.step, parameters, optimizer))
    }
}

/// The mean descriptor of each expression within these axes, `[expressions, width]`, the longest of [`CENTER`].
fn centers(descriptors: &Descriptors, axes: &DMatrix<f64>) -> DMatrix<f64> {
    let width = descriptors.width();
    let mut texts = descriptors.embeddings().chunks_exact(width);
    let means: Vec<_> = descriptors
        .expressions()
        .iter()
        .map(|expression| matrix(texts.by_ref().take(expression.descriptors.len()), width).row_mean())
        .collect();
    let centers = DMatrix::from_rows(&means) * axes * axes.transpose();
    let longest = centers.row_iter().map(|center| center.norm()).fold(1e-12, f64::max);
    centers * (CENTER / longest)
}

/// Rows as a matrix.
fn matrix<'a>(rows: impl Iterator<Item = &'a [f32]>, width: usize) -> DMatrix<f64> {
    let values: Vec<f64> = rows.flatten().map(|&value| f64::from(value)).collect();
    DMatrix::from_row_slice(values.len() / width, width, &values)
}

fn face_moments(
    rows: &DMatrix<f64>,
    mean: &DVector<f64>,
    covariance: &DMatrix<f64>,
    ranks: impl Iterator<Item = Vec<f64>>,
) -> Result<Weights> {
    let count = rows.nrows() as f64;
    let centered = |values: Vec<f64>| {
        let middle = values.iter().sum::<f64>() / count;
        DVector::from_iterator(values.len(), values.into_iter().map(|value| value - middle))
    };
    let ranks = DMatrix::from_columns(&ranks.map(centered).collect::<Vec<_>>());
    let mut moments = Weights::default();
    let mut add = |name: &str, values: DMatrix<f64>| {
        let data = values.transpose().iter().map(|&value| value as f32).collect();
        moments.insert(name, Values { shape: vec![values.nrows(), values.ncols()], data })
    };
    add("covariance", covariance.clone())?;
    // The ranks' own mean is nothing, so the embeddings' needs no taking away.
    add("targets", ranks.transpose() * rows / count)?;
    add("ranks", ranks.transpose() * &ranks / count)?;
    let data = mean.iter().map(|&value| value as f32).collect();
    moments.insert("mean", Values { shape: vec![mean.len()], data })?;
    Ok(moments)
}

/// A direction in which no picture's embedding lies, where there is one.
fn free_direction(moments: &DMatrix<f64>) -> Option<DVector<f64>> {
    let eigen = SymmetricEigen::new(moments.clone());
    let (axis, least) = eigen.eigenvalues.argmin();
    (least < 1e-9 * eigen.eigenvalues.max()).then(|| eigen.eigenvectors.column(axis).into_owned())
}

/// The covariance of rows, whose mean is nothing, with each target brought to a spread of 1, `[targets, axes]`.
fn correlate(rows: &DMatrix<f64>, targets: impl Iterator<Item = Vec<f64>>) -> DMatrix<f64> {
    let row = |target: Vec<f64>| {
        let mean = target.iter().sum::<f64>() / target.len() as f64;
        let spread = (target.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / target.len() as f64).sqrt();
        let target = DVector::from_iterator(target.len(), target.iter().map(|value| (value - mean) / spread.max(1e-9)));
        (rows.transpose() * target / rows.nrows() as f64).transpose()
    };
    DMatrix::from_rows(&targets.map(row).collect::<Vec<_>>())
}

fn to_tensor<B: Backend>(values: &DMatrix<f64>, device: &B::Device) -> Tensor<B, 2> {
    // Column by column of the transpose is row by row.
    let data: Vec<f32> = values.transpose().iter().map(|&value| value as f32).collect();
    Tensor::from_data(TensorData::new(data, [values.nrows(), values.ncols()]), device)
}
