//! Descriptors that follow face shapes: on drawn faces whose embeddings say what their shapes are.

use cliper::engine::burn::TrainingCpu;
use cliper::model::descriptors::{Descriptors, Expression};
use cliper::movements::{Movements, SHAPES};
use cliper::train::{HalfMoments, OffsetConfig, OffsetTrainer, ShapedFace};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const WIDTH: usize = 12;
/// Axis of the embedding along which each of these shapes moves.
const MOVED: [(&str, usize); 3] = [("jawOpen", 2), ("browInnerUp", 3), ("mouthPucker", 4)];

struct Faces {
    embeddings: Vec<Vec<f32>>,
    shapes: Vec<[f32; SHAPES.len()]>,
}

/// Two expressions, told apart along the first axis; the last axis is free of pictures.
fn faces(count: usize) -> Faces {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let (mut embeddings, mut shapes) = (Vec::new(), Vec::new());
    for index in 0..count {
        let mut shape = [0.0; SHAPES.len()];
        let mut face: Vec<f32> = (0..WIDTH).map(|_| 0.1 * (random.random::<f32>() - 0.5)).collect();
        face[0] += if index % 2 == 0 { 0.6 } else { -0.6 };
        face[1] += 0.5;
        face[WIDTH - 1] = 0.0;
        for (name, axis) in MOVED {
            let value: f32 = random.random();
            shape[SHAPES.iter().position(|shape| *shape == name).unwrap()] = value;
            face[axis] += 0.4 * (value - 0.5);
        }
        let length = face.iter().map(|value| value * value).sum::<f32>().sqrt();
        embeddings.push(face.iter().map(|value| value / length).collect());
        shapes.push(shape);
    }
    Faces { embeddings, shapes }
}

fn descriptors() -> Descriptors {
    let expression = |name: &str| {
        let says = |movement: &str, weight: f32| Movements::from([(movement.to_string(), weight)]);
        Expression {
            name: name.into(),
            descriptors: ["jaw", "brow", "kiss"].map(|part| format!("{part} of {name}")).to_vec(),
            movements: vec![says("jawOpen", 1.0), says("browInnerUp", 1.0), says("mouthPucker", -1.0)],
        }
    };
    let mut rows = Vec::new();
    for (side, index) in [1.0f32, -1.0].into_iter().flat_map(|side| (0..3).map(move |index| (side, index))) {
        let mut row = [0.05; WIDTH];
        (row[0], row[1], row[5 + index]) = (side, 0.3, 0.2);
        let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
        rows.extend(row.iter().map(|value| value / length));
    }
    Descriptors::new(["glad", "sad"].map(expression).to_vec(), rows, WIDTH).unwrap()
}

fn trainer(faces: &Faces, config: &OffsetConfig) -> OffsetTrainer<TrainingCpu> {
    trainer_of(faces, config, &descriptors(), |_| true)
}

/// Faces of one expression and the other by turns, of which some are clear.
fn trainer_of(
    faces: &Faces,
    config: &OffsetConfig,
    descriptors: &Descriptors,
    is_clear: impl Fn(usize) -> bool,
) -> OffsetTrainer<TrainingCpu> {
    let face = |(index, (embedding, shapes))| {
        let (expression, is_clear) = (Some(index % 2), is_clear(index));
        ShapedFace { embedding, expression, is_clear, shapes }
    };
    let shaped: Vec<ShapedFace> =
        faces.embeddings.iter().map(Vec::as_slice).zip(&faces.shapes).enumerate().map(face).collect();
    OffsetTrainer::new(config.clone(), descriptors, &shaped, &Default::default()).unwrap()
}

fn learned(trainer: &OffsetTrainer<TrainingCpu>) -> Descriptors {
    Descriptors::new(descriptors().expressions().to_vec(), trainer.embeddings().unwrap(), WIDTH).unwrap()
}

fn correlation(a: &[f32], b: &[f32]) -> f32 {
    let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
    let (of_a, of_b) = (mean(a), mean(b));
    let sum = |f: &dyn Fn(f32, f32) -> f32| a.iter().zip(b).map(|(x, y)| f(x - of_a, y - of_b)).sum::<f32>();
    sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
}

#[test]
fn descriptors_follow_their_movements_and_class_scores_stay() {
    let faces = faces(400);
    let config = OffsetConfig { epochs: 1, steps: 60, ..OffsetConfig::default() };
    let mut trainer = trainer(&faces, &config);
    assert!(trainer.keeps_scores());
    let loss = trainer.epoch(|_| ()).unwrap();
    assert!(loss.is_finite());
    let (before, after) = (descriptors(), learned(&trainer));
    let rows: Vec<Vec<f32>> = faces.embeddings.iter().map(|face| after.similarities(face)).collect();
    let shape = |name: &str| {
        let place = SHAPES.iter().position(|shape| *shape == name).unwrap();
        faces.shapes.iter().map(|shapes| shapes[place]).collect::<Vec<f32>>()
    };
    for (place, (name, _)) in MOVED.into_iter().enumerate() {
        for first in [0, 3] {
            let own: Vec<f32> =
                rows.iter().map(|row| row[first + place] - row[first..first + 3].iter().sum::<f32>() / 3.0).collect();
            let sign = if name == "mouthPucker" { -1.0 } else { 1.0 };
            let found = sign * correlation(&own, &shape(name));
            assert!(found > 0.7, "{name}: {found}");
        }
    }
    // An expression's mean similarity is what it was but for one factor, which the temperature takes.
    let means = |descriptors: &Descriptors| -> Vec<f32> {
        let mean = |row: &Vec<f32>| row[..3].iter().sum::<f32>() - row[3..].iter().sum::<f32>();
        faces.embeddings.iter().map(|face| mean(&descriptors.similarities(face))).collect()
    };
    let (before, after) = (means(&before), means(&after));
    let factor = after[0] / before[0];
    assert!(before.iter().zip(&after).all(|(before, after)| (before * factor - after).abs() < 1e-4), "{factor}");
}

#[test]
fn a_run_that_is_gone_on_with_learns_what_an_unbroken_one_does() {
    let faces = faces(100);
    let config = OffsetConfig { epochs: 2, steps: 10, ..OffsetConfig::default() };
    let mut unbroken = trainer(&faces, &config);
    unbroken.epoch(|_| ()).unwrap();
    let (step, parameters, optimizer) = unbroken.records().unwrap();
    unbroken.epoch(|_| ()).unwrap();
    let mut resumed = trainer(&faces, &config);
    resumed.resume(step, parameters, optimizer).unwrap();
    let mut steps = Vec::new();
    resumed.epoch(|progress| steps.push((progress.step, progress.steps))).unwrap();
    assert_eq!(steps.first(), Some(&(11, 20)));
    assert_eq!(resumed.embeddings().unwrap(), unbroken.embeddings().unwrap());
}

#[test]
fn a_run_from_descriptors_with_offsets_begins_as_one_from_their_texts() {
    let faces = faces(100);
    let config = OffsetConfig { epochs: 1, steps: 20, ..OffsetConfig::default() };
    let mut first = trainer(&faces, &config);
    let start = first.embeddings().unwrap();
    first.epoch(|_| ()).unwrap();
    let second = trainer_of(&faces, &config, &learned(&first), |_| true).embeddings().unwrap();
    let furthest = start.iter().zip(&second).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
    assert!(furthest < 1e-4, "{furthest}");
}

/// Clear faces open the jaw wider than others of their expression: counted over all, each descriptor comes first about as often.
#[test]
fn turns_are_counted_on_clear_faces() {
    let mut faces = faces(800);
    let is_clear = |index: usize| index % 8 < 2;
    for (index, face) in faces.embeddings.iter_mut().enumerate() {
        face[2] += if is_clear(index) { 0.3 } else { -0.1 };
        let length = face.iter().map(|value| value * value).sum::<f32>().sqrt();
        face.iter_mut().for_each(|value| *value /= length);
    }
    // How often the jaw's descriptor is first on the clear faces of the first expression.
    let share = |is_told_clear: &dyn Fn(usize) -> bool| {
        let config = OffsetConfig { epochs: 1, steps: 300, ..OffsetConfig::default() };
        let mut trainer = trainer_of(&faces, &config, &descriptors(), is_told_clear);
        trainer.epoch(|_| ()).unwrap();
        let learned = learned(&trainer);
        let clear: Vec<_> =
            faces.embeddings.iter().enumerate().filter(|(index, _)| is_clear(*index) && index % 2 == 0).collect();
        let first = clear.iter().filter(|(_, face)| {
            let row = learned.similarities(face);
            row[0] >= row[1].max(row[2])
        });
        first.count() as f32 / clear.len() as f32
    };
    let (counted, uncounted) = (share(&is_clear), share(&|_| true));
    let limit = OffsetConfig::default().largest_share;
    assert!(counted < limit && limit < uncounted, "counted on clear faces {counted}, on all {uncounted}");
}

/// The jaw's axis has a twin that moves alike, in the upper half of the picture alone: a local descriptor takes less from it.
#[test]
fn evidence_is_kept_to_the_half_that_is_named() {
    let (side, jaw, twin) = (2, 2, 6);
    let mut faces = faces(400);
    for face in &mut faces.embeddings {
        face[twin] += face[jaw];
        let length = face.iter().map(|value| value * value).sum::<f32>().sqrt();
        face.iter_mut().for_each(|value| *value /= length);
    }
    // Two upper patches, two lower ones; their sum over 4 is the embedding.
    let patches = |face: &[f32]| -> Vec<f32> {
        let patch = |is_upper: bool| {
            (0..WIDTH).map(move |axis| match axis {
                axis if axis == twin => face[axis] * if is_upper { 2.0 } else { 0.0 },
                axis if axis == jaw => face[axis] * if is_upper { 0.0 } else { 2.0 },
                axis => face[axis],
            })
        };
        [true, true, false, false].into_iter().flat_map(patch).collect()
    };
    let mut moments = HalfMoments::new(WIDTH);
    faces.embeddings.iter().for_each(|face| moments.add(&patches(face), side));
    // Of the first descriptor, less its expression's mean: what the upper half brings beside the spread over faces.
    let strayed = |elsewhere: f32| {
        let config = OffsetConfig { epochs: 1, steps: 200, elsewhere, ..OffsetConfig::default() };
        let mut trainer = trainer(&faces, &config);
        trainer.keep_local(&moments);
        trainer.epoch(|_| ()).unwrap();
        let rows = trainer.embeddings().unwrap();
        let offset: Vec<f32> = (0..WIDTH)
            .map(|axis| rows[axis] - (rows[axis] + rows[WIDTH + axis] + rows[2 * WIDTH + axis]) / 3.0)
            .collect();
        let dot = |values: &[f32]| values.iter().zip(&offset).map(|(a, b)| a * b).sum::<f32>();
        let upper = |face: &Vec<f32>| {
            patches(face)[..2 * WIDTH].chunks_exact(WIDTH).map(|patch| (dot(patch) / 4.0).powi(2)).sum::<f32>()
        };
        let whole: Vec<f32> = faces.embeddings.iter().map(|face| dot(face)).collect();
        let mean = whole.iter().sum::<f32>() / whole.len() as f32;
        faces.embeddings.iter().map(upper).sum::<f32>() / whole.iter().map(|value| (value - mean).powi(2)).sum::<f32>()
    };
    let (free, local) = (strayed(0.0), strayed(50.0));
    assert!(local < 0.8 * free, "free {free}, local {local}");
}

#[test]
fn what_cannot_be_learned_from_is_refused() {
    let few = faces(8);
    let shaped: Vec<ShapedFace> = few
        .embeddings
        .iter()
        .zip(&few.shapes)
        .map(|(embedding, shapes)| ShapedFace { embedding, expression: Some(0), is_clear: true, shapes })
        .collect();
    let refused = |config: OffsetConfig, descriptors: &Descriptors, faces: &[ShapedFace]| {
        let made = OffsetTrainer::<TrainingCpu>::new(config, descriptors, faces, &Default::default());
        made.err().unwrap().to_string()
    };
    let config = OffsetConfig::default();
    assert!(refused(config.clone(), &descriptors(), &shaped).contains("too few"));
    assert!(
        refused(OffsetConfig { steps: 0, ..config.clone() }, &descriptors(), &shaped).contains("at least one epoch")
    );
    let many = faces(100);
    let of_one: Vec<ShapedFace> = many
        .embeddings
        .iter()
        .zip(&many.shapes)
        .map(|(embedding, shapes)| ShapedFace { embedding, expression: Some(0), is_clear: true, shapes })
        .collect();
    assert!(refused(config.clone(), &descriptors(), &of_one).contains("look like sad"));
    let mut silent = descriptors();
    silent.annotate(|_| None).unwrap();
    assert!(refused(config, &silent, &of_one).contains("names a movement"));
}
