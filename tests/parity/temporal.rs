//! The temporal head against PyTorch (script in `tests/reference/temporal.py`), in a bundle, and in a session.

use crate::support::{fixture, integers, relative_error, weights};
use burn::tensor::{Tensor, TensorData};
use cliper::ErrorKind;
use cliper::config::TemporalConfig;
use cliper::engine::burn::{NativeCpu, TemporalHead};
use cliper::engine::cpu::CpuTemporalHead;
use cliper::import::{read_temporal, temporal_head};
use cliper::session::film::sample;
use cliper::tensors::{Values, Weights};

/// f32 sums in another order than PyTorch's.
const TOLERANCE: f32 = 1e-4;
const HEADS: Option<usize> = Some(3);

fn config() -> TemporalConfig {
    serde_json::from_slice(&fixture("temporal", "config.json")).unwrap()
}

fn head() -> (Weights, usize) {
    let (found, width, head) = temporal_head(&weights("temporal"), HEADS).unwrap();
    assert_eq!(found, config());
    (head, width)
}

fn expected(name: &str) -> Values {
    let mut read = Weights::default();
    read.read_floats("temporal", &fixture("temporal", "expected.safetensors")).unwrap();
    read.get(name).unwrap()
}

fn burn_head() -> TemporalHead<NativeCpu> {
    let (mut head, width) = head();
    let loaded = TemporalHead::load(&mut head, &config(), width, &Default::default()).unwrap();
    head.finish().unwrap();
    loaded
}

fn tensor(values: Values) -> Tensor<NativeCpu, 3> {
    let shape: [usize; 3] = values.shape.try_into().unwrap();
    Tensor::from_data(TensorData::new(values.data, shape), &Default::default())
}

fn filled() -> Vec<usize> {
    integers("temporal", "filled").0.iter().map(|&count| count as usize).collect()
}

#[test]
fn burn_head_equals_pytorch_full_and_masked() {
    let head = burn_head();
    let frames = tensor(expected("frames"));
    let full: Vec<f32> = head.forward(frames.clone()).into_data().to_vec().unwrap();
    let masked: Vec<f32> = head.forward_masked(frames.clone(), &filled()).into_data().to_vec().unwrap();
    for (name, found) in [("full", &full), ("masked", &masked)] {
        let error = relative_error(found, &expected(name).data);
        println!("temporal burn {name} {error:.2e}");
        assert!(error < TOLERANCE, "{name}: {error}");
    }
    // Frames left out and frames masked are the same to the head.
    let width = expected("frames").shape[2];
    for (row, &count) in filled().iter().enumerate() {
        let newest = frames.clone().narrow(0, row, 1).narrow(1, 6 - count, count);
        let found: Vec<f32> = head.forward(newest).into_data().to_vec().unwrap();
        assert!(relative_error(&found, &expected("masked").data[row * width..][..width]) < TOLERANCE);
    }
}

#[test]
fn cpu_head_equals_pytorch_full_and_unfilled() {
    let (mut weights, width) = head();
    let head = CpuTemporalHead::load(&mut weights, &config(), width).unwrap();
    weights.finish().unwrap();
    let frames = expected("frames");
    for (name, filled) in [("full", vec![6; 4]), ("masked", filled())] {
        for (row, &count) in filled.iter().enumerate() {
            let window: Vec<&[f32]> = frames.data[row * 6 * width..][..6 * width].chunks_exact(width).collect();
            let found = head.forward(&window[6 - count..]);
            let error = relative_error(&found, &expected(name).data[row * width..][..width]);
            println!("temporal cpu {name} {count} frames {error:.2e}");
            assert!(error < TOLERANCE, "{name} {count}: {error}");
        }
    }
}

#[test]
fn saving_gives_back_the_tensors_that_were_loaded() {
    let (original, width) = head();
    let mut saved = Weights::default();
    burn_head().save(&mut saved).unwrap();
    assert!(original.names().eq(saved.names()));
    original.names().for_each(|name| assert_eq!(original.get(name), saved.get(name), "{name}"));
    assert_eq!(config().tensors(width).len(), original.names().count());
    // Our own names are read as well.
    let (again, _, _) = temporal_head(&saved, HEADS).unwrap();
    assert_eq!(again, config());
    assert_eq!(TemporalConfig::default().parameters(512), 2_110_464);
}

#[test]
fn checkpoints_with_other_prefixes_are_read_and_wrong_ones_are_named() {
    let renamed = |rename: &dyn Fn(&str) -> String| {
        let original = weights("temporal");
        let mut renamed = Weights::default();
        original.names().for_each(|name| renamed.insert(&rename(name), original.get(name).unwrap()).unwrap());
        renamed
    };
    let (head, _) = head();
    let same = |checkpoint: &Weights| {
        let (_, _, found) = temporal_head(checkpoint, HEADS).unwrap();
        head.names().for_each(|name| assert_eq!(head.get(name), found.get(name), "{name}"));
    };
    let mut whole = renamed(&|name| format!("module.{name}"));
    whole.insert("module.image_encoder.proj", Values { shape: vec![1], data: vec![0.0] }).unwrap();
    same(&whole);
    same(&renamed(&|name| name.replace("temporal_net.", "").replace("temporal_transformer", "transformer")));
    same(&renamed(&|name| {
        name.replace("pos_embedding", "position_embedding").replace("fn.fn.", "fn.").replace("fn.norm", "norm")
    }));

    // As `torch.save` writes a whole model's state dict.
    let archive = fixture("temporal", "model.pth");
    let read = read_temporal("model.pth", std::io::Cursor::new(&archive)).unwrap();
    assert!(read.names().all(|name| name.contains("temporal_net.")));
    same(&read);
    assert!(read_temporal("cut.pth", std::io::Cursor::new(&archive[..2000])).is_err());

    let refused = |change: &dyn Fn(&mut Weights)| {
        let mut checkpoint = weights("temporal");
        change(&mut checkpoint);
        let error = temporal_head(&checkpoint, HEADS).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidWeights);
        error.to_string()
    };
    let missing = refused(&|found| drop(found.take("temporal_net.cls_token", &[1, 1, 40]).unwrap()));
    assert!(missing.contains("class_embedding") && missing.contains("class token"), "{missing}");
    let extra = refused(&|found| {
        found.insert("temporal_net.head.weight", Values { shape: vec![1], data: vec![0.0] }).unwrap();
    });
    assert!(extra.contains("temporal_net.head.weight"), "{extra}");
    let misshapen = refused(&|found| {
        let name = "temporal_net.temporal_transformer.layers.1.1.fn.fn.net.3.bias";
        found.take(name, &[40]).unwrap();
        found.insert(name, Values { shape: vec![39], data: vec![0.0; 39] }).unwrap();
    });
    assert!(misshapen.contains("[39]") && misshapen.contains("[40]"), "{misshapen}");
    // 48 queries are no heads of 64.
    assert_eq!(temporal_head(&weights("temporal"), None).err().unwrap().kind(), ErrorKind::InvalidWeights);
}

#[test]
fn a_clip_is_sampled_as_the_reference_samples() {
    let cases: Vec<(usize, usize, Vec<usize>)> = serde_json::from_slice(&fixture("temporal", "samples.json")).unwrap();
    assert!(cases.len() >= 10);
    for (count, frames, indices) in cases {
        assert_eq!(sample(count, frames), indices, "{count} frames, {frames} wanted");
    }
    assert!(sample(0, 16).is_empty());
}

#[cfg(feature = "train")]
mod training {
    use cliper::config::TemporalConfig;
    use cliper::engine::burn::TrainingCpu;
    use cliper::engine::cpu::CpuTemporalHead;
    use cliper::math::best;
    use cliper::metrics::Evaluation;
    use cliper::model::descriptors::{Descriptors, Expression};
    use cliper::train::{ClipSample, TemporalTrainConfig, TemporalTrainer, initial_temporal_weights};

    const WIDTH: usize = 24;
    const FRAMES: usize = 6;

    fn small() -> TemporalConfig {
        TemporalConfig { frames: FRAMES, layers: 1, heads: 2, head_width: 16, hidden: 48 }
    }

    fn descriptors() -> Descriptors {
        let expressions = ["onset", "offset"].map(|name| Expression {
            name: name.into(),
            descriptors: (0..2).map(|index| format!("text {index} of {name}")).collect(),
            ..Default::default()
        });
        Descriptors::new(expressions.to_vec(), (0..4 * WIDTH).map(|index| noise(index, 5)).collect(), WIDTH).unwrap()
    }

    /// Numbers of -1 to 1 from integer arithmetic.
    fn noise(index: usize, seed: usize) -> f32 {
        let mixed = (index * 7919 + seed * 104_729 + 12_345).wrapping_mul(2_654_435_761) >> 7;
        (mixed % 2001) as f32 / 1000.0 - 1.0
    }

    /// A change from one direction to another and the same frames backward: two clips with one mean.
    fn clips(seeds: std::ops::Range<usize>) -> Vec<ClipSample> {
        let pair = |seed: usize| {
            let frame = move |time: usize| {
                let share = time as f32 / (FRAMES - 1) as f32;
                (0..WIDTH).map(move |index| {
                    (1.0 - share) * noise(index, 1)
                        + share * noise(index, 2)
                        + 0.2 * noise(index + time * WIDTH, seed + 9)
                })
            };
            [
                ClipSample { frames: (0..FRAMES).flat_map(frame).collect(), votes: vec![1.0, 0.0] },
                ClipSample { frames: (0..FRAMES).rev().flat_map(frame).collect(), votes: vec![0.0, 1.0] },
            ]
        };
        seeds.flat_map(pair).collect()
    }

    fn accuracy(samples: &[ClipSample], pool: impl Fn(&[&[f32]]) -> Vec<f32>) -> f64 {
        let descriptors = descriptors();
        let scores: Vec<Vec<f32>> = samples
            .iter()
            .map(|sample| {
                let frames: Vec<&[f32]> = sample.frames.chunks_exact(WIDTH).collect();
                descriptors.scores(&descriptors.similarities(&pool(&frames)), 0.05)
            })
            .collect();
        let truth: Vec<usize> = samples.iter().map(|sample| best(&sample.votes)).collect();
        Evaluation::new(vec!["onset".into(), "offset".into()], &scores, &truth).war
    }

    fn mean(frames: &[&[f32]]) -> Vec<f32> {
        let sum: Vec<f32> = (0..WIDTH).map(|index| frames.iter().map(|frame| frame[index]).sum()).collect();
        let length = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
        sum.iter().map(|value| value / length).collect()
    }

    #[test]
    fn a_head_learns_the_order_that_the_mean_can_not_see() {
        let (train, valid) = (clips(0..40), clips(40..60));
        let config = TemporalTrainConfig { epochs: 24, batch: 16, rate: 5e-3, ..TemporalTrainConfig::default() };
        let device = Default::default();
        let mut trainer =
            TemporalTrainer::<TrainingCpu>::new(small(), config, &descriptors(), &train, &device).unwrap();
        let mut steps = 0;
        for epoch in 0..24 {
            trainer.epoch(&train, |progress| steps = progress.step).unwrap();
            if epoch == 3 {
                // As a run that was stopped and gone on with.
                trainer = TemporalTrainer::resume(trainer.checkpoint().unwrap(), &descriptors(), &device).unwrap();
            }
        }
        assert_eq!(steps, 24 * 80 / 16);
        let head = CpuTemporalHead::load(&mut trainer.weights().unwrap(), &small(), WIDTH).unwrap();
        let (found, without) = (accuracy(&valid, |frames| head.forward(frames)), accuracy(&valid, mean));
        println!("head {found}, mean {without}");
        // Each pair has one mean: whatever it answers, one of the two is wrong (but for rounding in the sums).
        assert!((without - 0.5).abs() < 0.05, "{without}");
        assert!(found > 0.95, "{found}");
    }

    #[test]
    fn a_head_begins_close_to_the_mean() {
        let samples = clips(0..4);
        let mut weights = initial_temporal_weights(&small(), WIDTH, 0.5, 3).unwrap();
        let head = CpuTemporalHead::load(&mut weights, &small(), WIDTH).unwrap();
        for sample in &samples {
            let frames: Vec<&[f32]> = sample.frames.chunks_exact(WIDTH).collect();
            let cosine = cliper::math::cosine(&head.forward(&frames), &mean(&frames));
            println!("{cosine}");
            assert!(cosine > 0.9, "{cosine}");
        }
    }

    #[test]
    fn unusable_clips_and_settings_are_refused() {
        let device = Default::default();
        let new = |config| TemporalTrainer::<TrainingCpu>::new(small(), config, &descriptors(), &[], &device);
        assert!(new(TemporalTrainConfig { rate: 0.0, ..Default::default() }).is_err());
        let mut trainer = new(TemporalTrainConfig::default()).unwrap();
        assert!(trainer.epoch(&[], |_| ()).is_err());
        let short = ClipSample { frames: vec![0.0; WIDTH], votes: vec![1.0, 0.0] };
        assert!(trainer.epoch(&[short], |_| ()).err().unwrap().to_string().contains("6 frames"));
    }
}

/// Milliseconds of the encoder and of the head for windows of 1, 16 and 64 frames, at the built-in model's sizes.
/// `cargo test --release --workspace --test temporal -- --ignored --nocapture`
#[cfg(feature = "train")]
#[test]
#[ignore = "times; run it on a quiet machine"]
fn cost_against_the_number_of_frames() {
    use cliper::config::EncoderConfig;
    use cliper::engine::cpu::CpuEncoder;
    use cliper::train::{initial_temporal_weights, initial_weights};

    let median = |run: &mut dyn FnMut()| {
        let mut times: Vec<f64> = (0..30)
            .map(|_| {
                let start = std::time::Instant::now();
                run();
                start.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        times[15]
    };
    let encoder = EncoderConfig::small();
    let pixels = vec![0.5; encoder.channels * encoder.side * encoder.side];
    let width = encoder.embedding;
    let mut cpu = CpuEncoder::load(&mut initial_weights(&encoder, 1).unwrap(), &encoder).unwrap();
    println!("one encoder pass {:.2} ms", median(&mut || drop(cpu.encode(&pixels))));
    for frames in [1, 16, 64] {
        let config = TemporalConfig { frames, ..TemporalConfig::default() };
        let mut weights = initial_temporal_weights(&config, width, 1.0, 1).unwrap();
        let burn = TemporalHead::<NativeCpu>::load(&mut weights.clone(), &config, width, &Default::default()).unwrap();
        let head = CpuTemporalHead::load(&mut weights, &config, width).unwrap();
        let values: Vec<f32> = (0..frames * width).map(|index| (index * 37 % 101) as f32 / 50.0 - 1.0).collect();
        let window: Vec<&[f32]> = values.chunks_exact(width).collect();
        let tensor = Tensor::from_data(TensorData::new(values.clone(), [1, frames, width]), &Default::default());
        let mean = median(&mut || {
            let sum: Vec<f32> = (0..width).map(|index| window.iter().map(|frame| frame[index]).sum::<f32>()).collect();
            assert!(sum[0].is_finite());
        });
        let lean = median(&mut || drop(head.forward(&window)));
        let burn = median(&mut || drop(burn.forward(tensor.clone()).into_data()));
        println!("{frames} frames: mean {mean:.3} ms, head {lean:.2} ms lean, {burn:.2} ms Burn flex");
    }
}
