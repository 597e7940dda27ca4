//! `cargo pkg train metd --shapes`: a bundle's descriptors learn to follow the movements that they name, for its frozen
//! encoder; movements as answers of their own come out of the same run. Resumable.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use burn::tensor::{Tensor, TensorData};
use cliper::config::TokenPool;
use cliper::engine::burn::{ImageEncoder, NativeCpu, TrainingCpu};
use cliper::math::dot;
use cliper::metrics::isotonic_curve;
use cliper::model::descriptors::Descriptors;
use cliper::movements::{MOVEMENTS, movement};
use cliper::tensors::{BACKBONE, Precision, Values, Weights};
use cliper::train::{EpochRecord, HalfMoments, OffsetConfig, OffsetTrainer, Progress, RunState, ShapedFace};

use crate::bundles::{read_bundle_in, write_descriptors};
use crate::data::face_shapes::ShapeTable;
use crate::data::split::{names, split};
use crate::data::{Example, Part, Square};
use crate::evaluation::encode::{evaluation, temperature};
use crate::evaluation::explain;
use crate::files;
use crate::training::fit::{self, Measured, fit};
use crate::training::initial_model::InitialModel;
use crate::training::metd::{encode, same};
use crate::training::options::MetdOptions;
use crate::training::run_folder::{self, OffsetState, TrainingStage};
use crate::training::settings::TrainedOn;

/// An expression with fewer clear faces than this takes those too that a fifth of the taggers see it in.
const FEW: usize = 600;
const SOME: f32 = 0.2;
/// Faces that say well enough what each half of the picture brings, and how many are encoded at once.
const LOCAL_FACES: usize = 4000;
const BATCH: usize = 64;
/// Points of a movement's curve.
const POINTS: usize = 9;

pub fn run(options: &MetdOptions, shapes: &Path) -> Result<()> {
    let folder = options.common.checkpoint.as_path();
    let from = options.from.as_path();
    let shapes = ShapeTable::read(shapes)?;
    let start = InitialModel::read(from)?;
    let mut described = match &start.descriptors {
        Some((descriptors, _)) => descriptors.clone(),
        None => {
            anyhow::bail!("{} has no descriptors that could follow movements; pack it with some first", from.display())
        }
    };
    explain::annotate(&mut described, options.movements.as_deref())?;
    explain::check(&described)?;
    let state = run_folder::read_offsets(folder)?;
    if state.is_some() {
        ensure!(
            same(&run_folder::read_weights(folder)?, &start.weights),
            "{} learns for another encoder than {} is; resume with the --from it was started with, or name a new folder",
            folder.display(),
            from.display()
        );
    }
    let config = match &state {
        Some(state) => {
            options.check_offsets(&state.config)?;
            state.config.clone()
        }
        None => options.offsets(),
    };
    let run = state.as_ref().map_or_else(RunState::default, |state| state.run.clone());
    if fit::say_if_done(folder, &run.history, config.epochs) {
        return Ok(());
    }

    let square = Square::of(&start.encoder, &start.preprocess);
    let (train, report) = options.common.data.read(Part::Train, square)?;
    report.print();
    let (train, held_back) = split(train);
    let (valid, report) = options.common.data.read(Part::Valid, square)?;
    report.print();
    let embeddings = encode(&start, &train)?;
    let held_back = (encode(&start, &held_back)?, held_back);
    let choosing = encode(&start, &valid)?;
    let told: Vec<(Vec<f32>, Option<usize>)> = embeddings.into_iter().zip(own_expressions(&train)).collect();
    let shaped: Vec<ShapedFace> = explain::shaped(&told, &train, &shapes)
        .map(|((embedding, expression), example, shapes)| ShapedFace {
            embedding,
            expression: *expression,
            is_clear: explain::is_clear(example),
            shapes,
        })
        .collect();
    eprintln!("{} of {} training pictures have a face with shapes", shaped.len(), train.len());
    let trained_on = options.common.trained_on(shaped.len());
    trained_on.check(folder)?;
    let device = Default::default();
    let mut trainer = OffsetTrainer::<TrainingCpu>::new(config.clone(), &described, &shaped, &device)?;
    if !trainer.keeps_scores() {
        eprintln!(
            "this encoder's embeddings fill the joint space: class scores will change a little; measure them again"
        );
    }
    if config.elsewhere > 0.0 && start.encoder.pool == TokenPool::Mean {
        trainer.keep_local(&half_moments(&start, &train)?);
    }
    if state.is_some() {
        eprintln!("going on with {} after {} epochs", folder.display(), run.history.len());
        trainer.resume(run.step, run.parameters.clone(), run.optimizer.clone())?;
    }
    fit(&mut OffsetRun {
        folder,
        from,
        start,
        shapes,
        described,
        config,
        run,
        trainer,
        held_back,
        choosing,
        valid,
        learned: None,
        trained_on,
    })
}

struct OffsetRun<'a> {
    folder: &'a Path,
    from: &'a Path,
    start: InitialModel,
    shapes: ShapeTable,
    described: Descriptors,
    config: OffsetConfig,
    run: RunState,
    trainer: OffsetTrainer<TrainingCpu>,
    held_back: (Vec<Vec<f32>>, Vec<Example>),
    choosing: Vec<Vec<f32>>,
    valid: Vec<Example>,
    /// Of the newest epoch, from its measure on.
    learned: Option<Learned>,
    trained_on: TrainedOn,
}

/// What an epoch leaves: the descriptors, and the temperature that fits them.
struct Learned {
    descriptors: Descriptors,
    temperature: f32,
}

impl fit::Run for OffsetRun<'_> {
    /// Every epoch's: the last is the model, since class scores stay as they are.
    type Best = ();

    fn epochs(&self) -> usize {
        self.config.epochs
    }

    fn history(&self) -> &[EpochRecord] {
        &self.run.history
    }

    fn size(&self) -> (usize, &'static str) {
        (self.config.steps, "steps")
    }

    fn train(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<f64> {
        Ok(self.trainer.epoch(progress)?)
    }

    fn measure(&mut self) -> Result<Measured<()>> {
        let learned = self.learned()?;
        let Learned { descriptors, temperature } = &learned;
        let similarities = compare(descriptors, &self.choosing);
        let evaluation = evaluation(descriptors, &similarities, &self.valid, *temperature);
        let expressions: Vec<&str> = names().collect();
        let explained = explain::measure(descriptors, &similarities, &self.valid, &expressions, &self.shapes)?.figures;
        let note = format!(
            "AUC {}, most frequent best {}, correlation {}, ",
            explain::figure(explained.auc),
            explain::figure(explained.largest_most_frequent),
            explain::figure(explained.correlation)
        );
        self.learned = Some(learned);
        Ok(Measured { evaluation, note, best: () })
    }

    fn record(&mut self, record: EpochRecord) -> Result<()> {
        self.run.history.push(record);
        (self.run.step, self.run.parameters, self.run.optimizer) = self.trainer.records()?;
        Ok(())
    }

    fn save(&mut self, _: Option<()>) -> Result<()> {
        let Learned { descriptors, temperature } =
            self.learned.take().context("an epoch is measured before it is saved")?;
        let Self { start, trainer, run, trained_on, .. } = &*self;
        let movements = movements(trainer, start, &self.held_back.0, &self.held_back.1, &self.shapes)?;
        run_folder::write(self.folder, |new| {
            new.origin(&start.origin)?;
            new.trained_on(trained_on)?;
            new.weights((run.history.len() == 1).then_some(&start.weights))?;
            write_descriptors(&new.descriptors(), &descriptors, &start.backbone, None)?;
            files::write(&new.movements(), &movements)?;
            files::write(&new.moments(), &moments(trainer, start)?)?;
            if let Some(labels) = start.labels.first() {
                let set = read_bundle_in(self.from, labels)?;
                write_descriptors(&new.auxiliary(), &set.descriptors, &start.backbone, None)?;
            }
            new.offsets(&OffsetState {
                stage: TrainingStage::Metd,
                encoder: start.encoder.clone(),
                preprocess: start.preprocess.clone(),
                backbone: start.backbone.clone(),
                temperature,
                config: self.config.clone(),
                run: run.clone(),
            })
        })
    }
}

impl OffsetRun<'_> {
    fn learned(&self) -> Result<Learned> {
        let (expressions, width) = (self.described.expressions().to_vec(), self.described.width());
        let descriptors = Descriptors::new(expressions, self.trainer.embeddings()?, width)?;
        let similarities = compare(&descriptors, &self.held_back.0);
        let temperature = temperature(&descriptors, &similarities, &self.held_back.1, 0.0005);
        Ok(Learned { descriptors, temperature })
    }
}

fn compare(descriptors: &Descriptors, faces: &[Vec<f32>]) -> Vec<Vec<f32>> {
    faces.iter().map(|face| descriptors.similarities(face)).collect()
}

/// Of some training faces, evenly picked: second moments of few directions need no more.
fn half_moments(start: &InitialModel, train: &[Example]) -> Result<HalfMoments> {
    let device = Default::default();
    let encoder = ImageEncoder::<NativeCpu>::load(&mut start.weights.clone(), &start.encoder, &device)?;
    let mut moments = HalfMoments::new(start.encoder.embedding);
    let some: Vec<&Example> = train.iter().step_by((train.len() / LOCAL_FACES).max(1)).collect();
    for faces in some.chunks(BATCH) {
        let pixels: Vec<f32> = faces.iter().flat_map(|face| face.pixels(&start.preprocess)).collect();
        let (rows, shape) = encoder.arrange(pixels);
        let (_, patches) = encoder.forward_patches(Tensor::from_data(TensorData::new(rows, shape), &device))?;
        let patches = patches.into_data().into_vec::<f32>().map_err(|error| anyhow!("{error:?}"))?;
        moments.add(&patches, start.encoder.grid());
    }
    Ok(moments)
}

/// The expression that each face counts as an own one of.
fn own_expressions(examples: &[Example]) -> Vec<Option<usize>> {
    let mut own: Vec<Option<usize>> = examples.iter().map(|it| explain::is_clear(it).then_some(it.label)).collect();
    for class in 0..names().count() {
        if own.iter().filter(|&&expression| expression == Some(class)).count() < FEW {
            for (expression, example) in own.iter_mut().zip(examples) {
                if example.sample.votes[class] >= SOME {
                    *expression = Some(class);
                }
            }
        }
    }
    own
}

/// The bundle's file of movements: directions from the training faces, curves from the held-back ones.
fn movements(
    trainer: &OffsetTrainer<TrainingCpu>,
    start: &InitialModel,
    embeddings: &[Vec<f32>],
    examples: &[Example],
    shapes: &ShapeTable,
) -> Result<Vec<u8>> {
    let width = start.encoder.embedding;
    let faces: Vec<_> = explain::shaped(embeddings, examples, shapes).collect();
    ensure!(
        faces.len() >= 2 * POINTS,
        "only {} held-back faces have shapes: too few to calibrate movements",
        faces.len()
    );
    let (mut knots, mut scores) = (Vec::new(), Vec::new());
    for (name, direction) in MOVEMENTS.iter().zip(trainer.directions().chunks_exact(width)) {
        let pairs = faces.iter().map(|(embedding, _, shapes)| {
            (dot(direction, embedding), movement(name, shapes).unwrap_or_default().clamp(0.0, 1.0))
        });
        let curve = isotonic_curve(pairs.collect(), POINTS);
        knots.extend(curve.iter().map(|point| point.0));
        scores.extend(curve.iter().map(|point| point.1));
    }
    let mut weights = Weights::default();
    let mut add = |name: &str, columns: usize, data: Vec<f32>| {
        weights.insert(name, Values { shape: vec![MOVEMENTS.len(), columns], data })
    };
    add("embeddings", width, trainer.directions().to_vec())?;
    add("knots", POINTS, knots)?;
    add("scores", POINTS, scores)?;
    weights.metadata.insert(BACKBONE.into(), start.backbone.clone());
    weights.metadata.insert(run_folder::NAMES.into(), serde_json::to_string(&MOVEMENTS[..])?);
    Ok(weights.write(Precision::F32)?)
}

/// What `pkg-build/text-side/train.py` learns from.
fn moments(trainer: &OffsetTrainer<TrainingCpu>, start: &InitialModel) -> Result<Vec<u8>> {
    let mut weights = trainer.moments().clone();
    weights.metadata.insert(BACKBONE.into(), start.backbone.clone());
    weights.metadata.insert(run_folder::NAMES.into(), serde_json::to_string(&MOVEMENTS[..])?);
    Ok(weights.write(Precision::F32)?)
}
