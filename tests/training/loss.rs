//! CLIPER's loss, its modulating factor and its gradients against PyTorch (script in `tests/reference/loss.py`).

use crate::support::small_run::small_run;
use crate::support::{fixture, integers, relative_error, weights};
use burn::tensor::{Tensor, TensorData};
use cliper::config::EncoderConfig;
use cliper::engine::burn::ImageEncoder;
use cliper::engine::burn::nn::StageValues;
use cliper::engine::burn::{NativeCpu, TrainingCpu};
use cliper::engine::cpu::CpuEncoder;
use cliper::math::best;
use cliper::model::descriptors::{Descriptors, Expression};
use cliper::tensors::Weights;
use cliper::train::{
    AugmentConfig, Earlier, Engine, EpochRecord, Sample, Stem, TrainConfig, TrainOptimizer, TrainPrecision, Trainer,
    autodiff_turn, cliper_loss, initial_weights, modulating_factor, plain_pixels,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const COUNTS: [usize; 8] = [5; 8];

fn expected(name: &str) -> Weights {
    let mut read = Weights::default();
    read.read_floats(name, &fixture(name, "expected.safetensors")).unwrap();
    read
}

fn one_hot(labels: &[i32]) -> Vec<Vec<f32>> {
    labels.iter().map(|&label| (0..8).map(|class| f32::from(class == label)).collect()).collect()
}

#[test]
fn loss_and_gradients_equal_pytorch() {
    let _turn = autodiff_turn();
    let expected = expected("loss");
    let value = |name: &str| expected.get(name).unwrap().data.clone();
    let (labels, _) = integers("loss", "labels");
    let hard: Vec<usize> = labels.iter().map(|&label| label as usize).collect();
    let alpha = modulating_factor(&value("s"), &hard, &COUNTS);
    assert!(relative_error(&alpha, &value("alpha")) < 1e-5);

    let soft: Vec<Vec<f32>> = value("votes").chunks(8).map(<[f32]>::to_vec).collect();
    for (votes, total, gradient) in [(one_hot(&labels), "total", "gradient"), (soft, "soft_total", "soft_gradient")] {
        let logits = Tensor::<TrainingCpu, 2>::from_data(TensorData::new(value("s"), [12, 40]), &Default::default())
            .require_grad();
        let loss = cliper_loss(logits.clone(), &votes, &COUNTS);
        let found: Vec<f32> = loss.total.to_data().to_vec().unwrap();
        assert!(relative_error(&found, &value(total)) < 1e-5, "{total}: {found:?}");
        let found: Vec<f32> = logits.grad(&loss.total.backward()).unwrap().into_data().to_vec().unwrap();
        let error = relative_error(&found, &value(gradient));
        println!("{gradient} {error:.2e}");
        assert!(error < 1e-5, "{gradient}: {error}");
    }
}

#[test]
fn encoder_gradients_equal_pytorch() {
    let _turn = autodiff_turn();
    for name in ["stem_vision", "stem_training"] {
        let expected = expected(name);
        let config: EncoderConfig = serde_json::from_slice(&fixture(name, "config.json")).unwrap();
        let device = Default::default();
        let encoder = ImageEncoder::<TrainingCpu>::load(&mut weights(name), &config, &device).unwrap();
        let tensor = |name: &str| expected.get(name).unwrap().clone();
        let pixels = TensorData::new(tensor("pixels").data, [3, 1, 24, 24]);
        let direction = TensorData::new(tensor("direction").data, [3, 24]);
        let embeddings = encoder.forward(Tensor::from_data(pixels, &device));
        let found: Vec<f32> = embeddings.to_data().to_vec().unwrap();
        assert!(relative_error(&found, &tensor("embeddings").data) < 1e-4, "{name}");
        let loss = (embeddings * Tensor::from_data(direction, &device)).sum();
        let gradients = encoder.gradients(&mut loss.backward()).unwrap();
        let mut checked = 0;
        for tensor_name in expected.names().filter_map(|name| name.strip_prefix("gradient.")) {
            let found = &gradients.get(tensor_name).unwrap().data;
            let error = relative_error(found, &tensor(&format!("gradient.{tensor_name}")).data);
            println!("{name} {tensor_name} {error:.2e}");
            assert!(error < 1e-5, "{name} {tensor_name}: {error}");
            checked += 1;
        }
        assert!(checked >= 5);
    }
}

/// Every stride, a width of each number of vectors and more than one block.
fn wide_stem() -> EncoderConfig {
    let stem = [(32, 1), (48, 2), (96, 1), (80, 2), (64, 1)];
    let stem: Vec<_> =
        stem.map(|(channels, stride)| serde_json::json!({ "channels": channels, "stride": stride })).into();
    serde_json::from_value(serde_json::json!({
        "side": 24, "channels": 1, "stem": stem, "patch": 1, "width": 32, "layers": 1, "heads": 2, "activation": "relu",
        "pool": "mean", "embedding": 24
    }))
    .unwrap()
}

/// Cosine, and the ratio of the lengths.
fn likeness(found: &[f32], wanted: &[f32]) -> (f64, f64) {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let lengths = (dot(found, found).sqrt(), dot(wanted, wanted).sqrt());
    (dot(found, wanted) / (lengths.0 * lengths.1), lengths.0 / lengths.1)
}

#[test]
fn the_stem_in_brain_floats_equals_burns() {
    let _turn = autodiff_turn();
    let config = wide_stem();
    let device = Default::default();
    let mut weights = initial_weights(&config, 3).unwrap();
    let encoder = ImageEncoder::<TrainingCpu>::load(&mut weights, &config, &device).unwrap();
    let batch = 5;
    // Smooth pictures: brain floats keep eight bits, and noise would leave nothing but rounding in the differences.
    let pixels: Vec<f32> = (0..batch * 24 * 24)
        .map(|place| {
            let (picture, y, x) = (place / 576, place / 24 % 24, place % 24);
            ((picture + 1) as f32 * 0.13 * x as f32).sin() + ((5 - picture) as f32 * 0.11 * y as f32).cos()
        })
        .collect();

    let mut map = Tensor::<TrainingCpu, 3>::from_data(TensorData::new(pixels.clone(), [batch, 576, 1]), &device);
    for stage in encoder.stem() {
        map = stage.forward(map);
    }
    let wanted_map: Vec<f32> = map.to_data().to_vec().unwrap();
    let direction: Vec<f32> = (0..wanted_map.len()).map(|place| ((place * 7919 % 101) as f32 - 50.0) / 50.0).collect();
    let toward = Tensor::from_data(TensorData::new(direction.clone(), map.dims()), &device);
    // The rest of the encoder takes no part, and gradients of nothing would stop `gradients`.
    let rest = encoder.forward_map(map.clone().detach().require_grad()).sum() * 0.0;
    let gradients = encoder.gradients(&mut ((map * toward).sum() + rest).backward()).unwrap();

    let values: Vec<StageValues> = encoder.stem().iter().map(|stage| stage.values().unwrap()).collect();
    let run = |engine| {
        let stem = Stem::new(&config, engine).unwrap();
        let weights = stem.weights(values.clone());
        let mut pass = stem.pass(batch + 1);
        // A pass before must leave nothing behind.
        pass.forward(&weights, &vec![1.0; (batch + 1) * 576]);
        pass.backward(&weights, &vec![1.0; (batch + 1) * 36 * 64]);
        let map = pass.forward(&weights, &pixels);
        (map, pass.backward(&weights, &direction))
    };
    let (map, found) = run(Engine::PORTABLE);
    let (cosine, ratio) = likeness(&map, &wanted_map);
    println!("map {cosine:.5} {ratio:.4}");
    assert!(cosine > 0.9995 && (ratio - 1.0).abs() < 0.005, "map: {cosine} {ratio}");
    for (index, (stage, found)) in encoder.stem().iter().zip(&found).enumerate() {
        let name = format!("vision_model.embeddings.stem.{index}");
        let mut parameters = Weights::default();
        stage.save(&mut parameters, &name).unwrap();
        for (tensor, found) in
            [("convolution.weight", &found.weight), ("norm.weight", &found.gamma), ("norm.bias", &found.beta)]
        {
            let wanted = &gradients.get(&format!("{name}.{tensor}")).unwrap();
            let found = match wanted.shape.len() {
                4 => outputs_first(found, wanted.shape[0], wanted.shape[1]),
                _ => found.clone(),
            };
            let (cosine, ratio) = likeness(&found, &wanted.data);
            println!("{name}.{tensor} {cosine:.5} {ratio:.4}");
            assert!(cosine > 0.975 && (ratio - 1.0).abs() < 0.1, "{name}.{tensor}: {cosine} {ratio}");
        }
    }
    // The processor's own products, where it has them, make the same sums.
    if let Some(engine) = Engine::detect() {
        let (own_map, own) = run(engine);
        assert!(likeness(&own_map, &map).0 > 0.99999);
        for (own, found) in own.iter().zip(&found) {
            let cosine = likeness(&own.weight, &found.weight).0;
            assert!(cosine > 0.999, "{cosine}");
        }
    }
}

/// `[9, channels, outputs]` -> `[outputs, channels, 9]`.
fn outputs_first(values: &[f32], outputs: usize, channels: usize) -> Vec<f32> {
    (0..values.len())
        .map(|place| {
            let (output, channel, tap) = (place / (9 * channels), place / 9 % channels, place % 9);
            values[(tap * channels + channel) * outputs + output]
        })
        .collect()
}

#[test]
fn folding_puts_the_batch_norms_into_the_convolutions() {
    let name = "stem_training";
    let expected = expected(name);
    let config: EncoderConfig = serde_json::from_slice(&fixture(name, "config.json")).unwrap();
    let device = Default::default();
    let encoder = ImageEncoder::<NativeCpu>::load(&mut weights(name), &config, &device).unwrap();
    let pixels = expected.get("pixels").unwrap();
    let mut deployed = Weights::default();
    let shaped = TensorData::new(pixels.data.clone(), [3, 1, 24, 24]);
    encoder.fold(Tensor::from_data(shaped, &device), &mut deployed).unwrap();
    let mut encoder = CpuEncoder::load(&mut deployed, &config).unwrap();
    deployed.finish().unwrap();
    let wanted = expected.get("embeddings").unwrap();
    for (pixels, wanted) in pixels.data.chunks(24 * 24).zip(wanted.data.chunks(24)) {
        assert!(relative_error(&encoder.encode(pixels), wanted) < 1e-4);
    }
}

#[test]
fn a_run_learns_and_a_resumed_run_is_the_same_run() {
    for optimizer in [TrainOptimizer::AdamW, TrainOptimizer::Muon] {
        learns_and_resumes(optimizer);
    }
}

fn learns_and_resumes(optimizer: TrainOptimizer) {
    let (encoder, config, descriptors, samples) = small_run();
    let config = TrainConfig { optimizer, ..config };
    let device = Default::default();
    let mut whole = Trainer::<TrainingCpu>::new(encoder, config, &descriptors, "space", &device).unwrap();
    let mut losses = Vec::new();
    let mut half = None;
    for epoch in 0..6 {
        if epoch == 3 {
            half = Some(whole.checkpoint().unwrap());
        }
        losses.push(whole.epoch(&samples, |_| ()).unwrap());
    }
    assert!(losses[5] < 0.5 * losses[0], "{losses:?}");
    let half = half.unwrap();
    let mut resumed = Trainer::<TrainingCpu>::resume(half.clone(), &descriptors, "space", &device).unwrap();
    for wanted in &losses[3..] {
        let found = resumed.epoch(&samples, |_| ()).unwrap();
        // The same sums in the same order: only the number of threads could change them.
        assert!((found - wanted).abs() < 1e-6 * wanted.abs().max(1e-3), "{found} {wanted}");
    }
    let error = Trainer::<TrainingCpu>::resume(half, &descriptors, "elsewhere", &device).err().unwrap();
    assert_eq!(error.code(), "foreign-descriptors");
}

/// Each square also counts as light or dark of the left or right side: labels of a second set, which half of them have.
#[test]
fn a_second_sets_labels_are_learned_too_and_blended_pictures_are_still_learned_from() {
    let (encoder, config, descriptors, mut samples) = small_run();
    let device = Default::default();
    let expressions = ["left", "right"].map(|name| Expression {
        name: name.into(),
        descriptors: vec![name.into()],
        ..Default::default()
    });
    let auxiliary = |width: usize| {
        let embeddings = (0..2 * width).map(|index| ((index * 31 % 17) as f32 - 8.0) / 8.0).collect();
        Descriptors::new(expressions.to_vec(), embeddings, width).unwrap()
    };
    let mut random = ChaCha8Rng::seed_from_u64(5);
    for (index, sample) in samples.iter_mut().enumerate() {
        let right = random.random_range(0..2usize);
        for line in sample.picture.chunks_exact_mut(24) {
            line[12 * right..][..12].iter_mut().for_each(|level| *level = level.saturating_add(50));
        }
        if index % 4 < 2 {
            sample.auxiliary = vec![1.0 - right as f32, right as f32];
        }
    }
    // Mirrored, left would be right.
    let augment = AugmentConfig { flip: 0.0, ..config.augment };
    let config = TrainConfig { auxiliary_weight: 4.0, class_weight: 4.0, mixup: 0.2, epochs: 12, augment, ..config };
    let mut trainer = Trainer::<TrainingCpu>::new(encoder.clone(), config.clone(), &descriptors, "space", &device)
        .unwrap()
        .learn_auxiliary(&auxiliary(24))
        .unwrap();
    let losses: Vec<f64> = (0..12).map(|_| trainer.epoch(&samples, |_| ()).unwrap()).collect();
    assert!(losses[11] < 0.7 * losses[0], "{losses:?}");
    let mut deployed = trainer.deployed(&samples).unwrap();
    let mut net = CpuEncoder::load(&mut deployed, &encoder).unwrap();
    let (mut own, mut second) = (0, 0);
    for sample in &samples {
        let embedding = net.encode(&plain_pixels(sample, &config.preprocess));
        let top = |descriptors: &Descriptors| best(&descriptors.scores(&descriptors.similarities(&embedding), 0.05));
        own += usize::from(top(&descriptors) == best(&sample.votes));
        second += usize::from(!sample.auxiliary.is_empty() && top(&auxiliary(24)) == best(&sample.auxiliary));
    }
    println!("own {own} of 32, second {second} of 16, losses {losses:?}");
    assert!(own >= 30 && second >= 14, "own {own} of 32, second {second} of 16");

    let fresh = Trainer::<TrainingCpu>::new(encoder.clone(), config.clone(), &descriptors, "space", &device).unwrap();
    assert_eq!(fresh.learn_auxiliary(&auxiliary(8)).err().unwrap().code(), "foreign-descriptors");
    let wrong = TrainConfig { mixup: 2.0, ..config };
    let error = Trainer::<TrainingCpu>::new(encoder, wrong, &descriptors, "space", &device).err().unwrap();
    assert_eq!(error.code(), "invalid-training");
}

#[test]
fn a_run_keeps_what_held_before_a_change() {
    let (encoder, config, descriptors, samples) = small_run();
    let device = Default::default();
    let mut trainer = Trainer::<TrainingCpu>::new(encoder, config, &descriptors, "space", &device).unwrap();
    trainer.epoch(&samples, |_| ()).unwrap();
    trainer.record(EpochRecord { epoch: 1, loss: 1.0, seconds: 1.0, war: 0.5, uar: 0.5 });
    let mut state = trainer.checkpoint().unwrap();
    state.change(None, None);
    state.change(Some(6), Some(0.0));
    assert_eq!(state.earlier, []);
    state.change(Some(2), Some(0.5));
    assert_eq!(state.earlier, [Earlier { epoch: 1, epochs: 6, class_balance: 0.0 }]);
    let trainer = Trainer::<TrainingCpu>::resume(state, &descriptors, "space", &device).unwrap();
    assert_eq!((trainer.config().epochs, trainer.config().class_balance), (2, 0.5));
    assert_eq!(trainer.checkpoint().unwrap().earlier.len(), 1);
}

#[test]
fn a_run_in_brain_floats_learns_or_says_what_it_needs() {
    let (_, config, _, samples) = small_run();
    let (encoder, descriptors) = (wide_stem(), small_run().2);
    let config = TrainConfig { precision: TrainPrecision::Bf16, ..config };
    let run =
        |encoder| Trainer::<TrainingCpu>::new(encoder, config.clone(), &descriptors, "space", &Default::default());
    match run(encoder.clone()) {
        Ok(mut trainer) => {
            let losses: Vec<f64> = (0..6).map(|_| trainer.epoch(&samples, |_| ()).unwrap()).collect();
            assert!(losses[5] < 0.5 * losses[0], "{losses:?}");
        }
        Err(error) => {
            assert!(Engine::detect().is_none());
            assert!(error.to_string().contains("f32"), "{error}");
        }
    }
    // Sides of 24, 12, 6 and 3: a row of three pixels has no pairs.
    let mut odd = encoder;
    odd.stem[4].stride = 2;
    let error = run(odd).err().unwrap();
    assert_eq!(error.code(), "invalid-training");
    assert!(error.to_string().contains("f32"), "{error}");
}

#[test]
fn a_run_learns_from_a_teacher_what_votes_do_not_say() {
    let (encoder, config, descriptors, samples) = small_run();
    taught(&encoder, &config, &descriptors, &samples);
    // The same with the stems of both outside Burn, where the processor has the products.
    let encoder = wide_stem();
    if Stem::detect(&encoder).is_some() {
        let config = TrainConfig { precision: TrainPrecision::Bf16, class_weight: 4.0, epochs: 12, ..config };
        taught(&encoder, &config, &descriptors, &samples);
    }
}

fn taught(encoder: &EncoderConfig, config: &TrainConfig, descriptors: &Descriptors, samples: &[Sample]) {
    let device = Default::default();
    let begin =
        |config: TrainConfig| Trainer::<TrainingCpu>::new(encoder.clone(), config, descriptors, "space", &device);
    let run = |mut trainer: Trainer<TrainingCpu>, samples: &[Sample]| {
        (0..config.epochs).for_each(|_| assert!(trainer.epoch(samples, |_| ()).is_ok()));
        trainer
    };
    let right = |trainer: &Trainer<TrainingCpu>| {
        let mut net = CpuEncoder::load(&mut trainer.deployed(samples).unwrap(), encoder).unwrap();
        let is_right = |sample: &&Sample| {
            let similarities = descriptors.similarities(&net.encode(&plain_pixels(sample, &config.preprocess)));
            best(&descriptors.scores(&similarities, 0.05)) == best(&sample.votes)
        };
        samples.iter().filter(is_right).count()
    };
    let teacher = run(begin(config.clone()).unwrap(), samples);
    let mut weights = Weights::default();
    weights.read("averaged.safetensors", &teacher.checkpoint().unwrap().averaged).unwrap();
    // Votes that say nothing, and another start.
    let silent: Vec<Sample> = samples.iter().map(|sample| Sample { votes: vec![0.5, 0.5], ..sample.clone() }).collect();
    let config = TrainConfig { teacher_weight: 1.0, seed: 9, ..config.clone() };
    let learned = run(begin(config.clone()).unwrap().learn_from(weights.clone(), encoder).unwrap(), &silent);
    let unlearned = run(begin(config.clone()).unwrap(), &silent);
    println!("teacher {}, taught {}, not taught {} of 32", right(&teacher), right(&learned), right(&unlearned));
    assert!(right(&teacher) >= 30 && right(&learned) >= 30 && right(&unlearned) < 30);

    let other = EncoderConfig { side: 48, ..encoder.clone() };
    let error = begin(config.clone()).unwrap().learn_from(initial_weights(&other, 1).unwrap(), &other).err().unwrap();
    assert!(error.to_string().contains("the teacher sees 48 pixels"), "{error}");
    assert!(begin(TrainConfig { teacher_weight: 1.5, ..config }).is_err());
}

#[test]
fn a_run_that_diverges_stops_with_its_step() {
    let (encoder, config, descriptors, mut samples) = small_run();
    samples[3].votes = vec![f32::NAN, 1.0];
    let mut trainer = Trainer::<TrainingCpu>::new(encoder, config, &descriptors, "space", &Default::default()).unwrap();
    let error = trainer.epoch(&samples, |_| ()).err().unwrap();
    assert_eq!(error.code(), "invalid-training");
    assert!(error.to_string().contains("step"), "{error}");
}
