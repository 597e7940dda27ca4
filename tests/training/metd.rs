//! Both training stages of CLIPER against PyTorch (script in `tests/reference/metd.py`), and METD runs as wholes.

use std::cell::Cell;
use std::io::Cursor;
use std::rc::Rc;

use crate::support::{fixture, relative_error, weights};
use burn::module::Param;
use burn::optim::{GradientsParams, Optimizer};
use burn::tensor::{Tensor, TensorData};
use cliper::Result;
use cliper::config::EncoderConfig;
use cliper::engine::burn::ImageEncoder;
use cliper::engine::burn::text::{ClipTextEncoder, TextEncoder};
use cliper::engine::burn::{NativeCpu, TrainingCpu};
use cliper::engine::tokens::TextConfig;
use cliper::import::{Checkpoint, CheckpointHints};
use cliper::model::learned::Learned;
use cliper::tensors::Weights;
use cliper::train::{
    Features, LearnedTokens, Metd, MetdConfig, MetdTrainer, Prompt, Schedule, TextTower, TrainConfig, adamw,
    autodiff_turn, cliper_loss, logits, modulating_factor,
};
use safetensors::SafeTensors;

const COUNTS: [usize; 3] = [2; 3];
const TEMPERATURE: f32 = 0.01;
/// The fixtures' rate and stage 2's weight decay: see the script.
const RATE: f64 = 0.01;
const DECAY: f32 = 0.1;

/// An expected file, with its integers.
struct Expected {
    floats: Weights,
    bytes: Vec<u8>,
}

impl Expected {
    fn read(file: &str) -> Self {
        let bytes = fixture("metd", file);
        let mut floats = Weights::default();
        floats.read_floats(file, &bytes).unwrap();
        Self { floats, bytes }
    }

    fn shape(&self, name: &str) -> Vec<usize> {
        self.floats.get(name).unwrap().shape.clone()
    }

    fn values(&self, name: &str) -> Vec<f32> {
        self.floats.get(name).unwrap().data.clone()
    }

    fn integers(&self, name: &str) -> Vec<u32> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let eights = file.tensor(name).unwrap().data().chunks_exact(8);
        eights.map(|eight| i64::from_le_bytes(eight.try_into().unwrap()) as u32).collect()
    }

    fn labels(&self) -> Vec<usize> {
        self.integers("labels").into_iter().map(|label| label as usize).collect()
    }

    fn votes(&self) -> Vec<Vec<f32>> {
        self.labels().iter().map(|&label| (0..3).map(|class| f32::from(class == label)).collect()).collect()
    }

    fn tensor<const D: usize>(&self, name: &str) -> Tensor<TrainingCpu, D> {
        let shape: [usize; D] = self.shape(name).try_into().unwrap();
        Tensor::from_data(TensorData::new(self.values(name), shape), &Default::default())
    }

    fn prompt(&self) -> Prompt {
        Prompt::new(self.integers("ids"), self.integers("first")[0] as usize, self.shape("tokens")[1]).unwrap()
    }
}

fn clip() -> ClipTextEncoder<TrainingCpu> {
    let name = "clip_hugging_face";
    let files = (1..=3)
        .map(|index| format!("model-0000{index}-of-00003.safetensors"))
        .map(|file| (file.clone(), Cursor::new(fixture(name, &file))))
        .collect();
    let mut hints = CheckpointHints::default();
    hints.add_json("config.json", &fixture(name, "config.json")).unwrap();
    let mut checkpoint = Checkpoint::open(files, &hints).unwrap();
    let config = checkpoint.text().unwrap().clone();
    ClipTextEncoder::load(&mut checkpoint.read_text().unwrap(), &config, &Default::default()).unwrap()
}

fn bert() -> TextEncoder<TrainingCpu> {
    let config: TextConfig = serde_json::from_slice(&fixture("bert", "config.json")).unwrap();
    TextEncoder::load(&mut weights("bert"), &config, &Default::default()).unwrap()
}

fn towers() -> [(&'static str, Box<dyn TextTower<TrainingCpu>>); 2] {
    [("clip", Box::new(clip())), ("bert", Box::new(bert()))]
}

/// Largest difference of two steps, over the largest step, where the gradient is not so small that its own rounding
/// decides the direction of a first AdamW step.
fn step_error(found: &[f32], wanted: &[f32], gradient: &[f32]) -> (f32, usize) {
    let most = |values: &[f32]| values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    let least = 1e-3 * most(gradient);
    let large: Vec<usize> = (0..wanted.len()).filter(|&index| gradient[index].abs() > least).collect();
    let difference = large.iter().map(|&index| (found[index] - wanted[index]).abs()).fold(0.0f32, f32::max);
    (difference / most(wanted), large.len())
}

#[test]
fn stage_1_equals_pytorch() {
    let _turn = autodiff_turn();
    for (name, tower) in towers() {
        let expected = Expected::read(&format!("{name}.safetensors"));
        let metd = Metd::new(tower.as_ref(), &expected.prompt()).unwrap();
        let shape: [usize; 3] = expected.shape("tokens").try_into().unwrap();
        let tokens = LearnedTokens::<TrainingCpu>::new(expected.values("tokens"), shape, &Default::default());

        let embeddings = metd.embed(tokens.values()).unwrap();
        let found: Vec<f32> = embeddings.to_data().to_vec().unwrap();
        let error = relative_error(&found, &expected.values("embeddings"));
        println!("{name} embeddings {error:.2e}");
        assert!(error < 1e-5, "{name}: {error}");

        let scores = logits(expected.tensor("pictures"), embeddings, TEMPERATURE);
        let values: Vec<f32> = scores.to_data().to_vec().unwrap();
        let error = relative_error(&modulating_factor(&values, &expected.labels(), &COUNTS), &expected.values("alpha"));
        println!("{name} alpha {error:.2e}");
        assert!(error < 1e-5, "{name}: {error}");

        let loss = cliper_loss(scores, &expected.votes(), &COUNTS).total;
        let error = relative_error(&loss.to_data().to_vec::<f32>().unwrap(), &expected.values("loss"));
        println!("{name} loss {error:.2e}");
        assert!(error < 1e-5, "{name}: {error}");

        let gradients = loss.backward();
        let found: Vec<f32> = tokens.values().grad(&gradients).unwrap().into_data().to_vec().unwrap();
        let wanted = expected.values("gradient");
        let error = relative_error(&found, &wanted);
        println!("{name} gradient {error:.2e}");
        assert!(error < 1e-5, "{name}: {error}");

        let mut optimizer = adamw(0.0, 0.0).init::<TrainingCpu, LearnedTokens<TrainingCpu>>();
        let gradients = GradientsParams::from_grads(gradients, &tokens);
        let after: Vec<f32> = optimizer.step(RATE, tokens.clone(), gradients).values().into_data().to_vec().unwrap();
        let change: Vec<f32> =
            after.iter().zip(expected.values("tokens")).map(|(after, before)| after - before).collect();
        let (error, compared) = step_error(&change, &expected.values("change"), &wanted);
        println!("{name} step {error:.2e} on {compared} of {}", wanted.len());
        assert!(error < 1e-4 && compared > wanted.len() * 9 / 10, "{name}: {error} on {compared}");
    }
}

#[test]
fn stage_2_equals_pytorch() {
    let _turn = autodiff_turn();
    let expected = Expected::read("image.safetensors");
    let config: EncoderConfig = serde_json::from_slice(&fixture("metd", "config.json")).unwrap();
    let device = Default::default();
    let encoder = ImageEncoder::<TrainingCpu>::load(&mut weights("metd"), &config, &device).unwrap();
    let scores = || logits(encoder.forward(expected.tensor("pixels")), expected.tensor("descriptors"), TEMPERATURE);
    let values: Vec<f32> = scores().to_data().to_vec().unwrap();
    let error = relative_error(&modulating_factor(&values, &expected.labels(), &COUNTS), &expected.values("alpha"));
    assert!(error < 1e-5, "alpha: {error}");
    // One backward pass uses a graph up.
    let loss = || cliper_loss(scores(), &expected.votes(), &COUNTS).total;
    let error = relative_error(&loss().to_data().to_vec::<f32>().unwrap(), &expected.values("loss"));
    println!("image loss {error:.2e}");
    assert!(error < 1e-5, "loss: {error}");

    let found = encoder.gradients(&mut loss().backward()).unwrap();
    let mut optimizer = adamw(DECAY, 0.0).init::<TrainingCpu, ImageEncoder<TrainingCpu>>();
    let gradients = GradientsParams::from_grads(loss().backward(), &encoder);
    let stepped = optimizer.step(RATE, encoder.clone(), gradients);
    let (mut before, mut after) = (Weights::default(), Weights::default());
    encoder.save(&mut before).unwrap();
    stepped.save(&mut after).unwrap();

    let (mut compared, mut all) = (0, 0);
    for (name, _) in config.tensors() {
        let wanted = expected.values(&format!("gradient.{name}"));
        let values = |weights: &Weights| weights.get(&name).unwrap().data.clone();
        // Keys' biases shift all logits of a query alike: their gradient is rounding.
        if name.ends_with("k_proj.bias") {
            let most = wanted.iter().chain(&values(&found)).fold(0.0f32, |most, value| most.max(value.abs()));
            assert!(most < 1e-4, "{name}: {most}");
            continue;
        }
        let error = relative_error(&values(&found), &wanted);
        println!("image {name} gradient {error:.2e}");
        assert!(error < 1e-5, "{name}: {error}");
        let change: Vec<f32> =
            values(&after).iter().zip(values(&before)).map(|(after, before)| after - before).collect();
        let (error, large) = step_error(&change, &expected.values(&format!("change.{name}")), &wanted);
        println!("image {name} step {error:.2e} on {large} of {}", wanted.len());
        assert!(error < 1e-4, "{name}: {error}");
        compared += large;
        all += wanted.len();
    }
    assert!(compared > all * 9 / 10, "{compared} of {all}");
}

#[test]
fn the_nearest_words_equal_pytorch() {
    for (name, tower) in towers() {
        let expected = Expected::read(&format!("{name}.safetensors"));
        let metd = Metd::new(tower.as_ref(), &expected.prompt()).unwrap();
        let [_, learned, width] = expected.shape("tokens").try_into().unwrap();
        let table = metd.token_table().unwrap();
        let word = |id: u32| Some(id.to_string());
        let found = Learned::look_up("{}", &expected.values("tokens"), [learned, width], &table, word);
        let words: Vec<u32> = found.nearest.iter().flatten().flatten().map(|word| word.text.parse().unwrap()).collect();
        assert_eq!(words, expected.integers("nearest"), "{name}");
        let distances: Vec<f32> = found.nearest.iter().flatten().flatten().map(|word| word.distance).collect();
        assert!(relative_error(&distances, &expected.values("distances")) < 1e-5, "{name}");
    }
}

#[test]
fn warm_restarts_equal_pytorch() {
    let wanted = Expected::read("rates.safetensors").values("rates");
    let schedule = Schedule::Restarts { epochs: 10 };
    let found: Vec<f32> = (0..wanted.len()).map(|step| schedule.share(step, wanted.len(), 4) as f32).collect();
    assert!(relative_error(&found, &wanted) < 1e-5);
    assert_eq!((found[0], found[40], found[80]), (1.0, 1.0, 1.0));
}

#[test]
fn the_defaults_are_the_papers() {
    let first = MetdConfig::default();
    assert_eq!((first.epochs, first.batch, first.rate, first.weight_decay), (2, 128, 0.01, 0.0));
    assert_eq!((first.per_expression, first.tokens, first.temperature), (5, 4, 0.01));
    assert_eq!(first.prompt, "an ID photo of {}.");
    let second = TrainConfig::second_stage(cliper::config::PreprocessConfig::clip());
    assert_eq!((second.epochs, second.batch, second.rate, second.weight_decay), (57, 128, 5e-6, 0.1));
    assert_eq!(second.schedule, Schedule::Restarts { epochs: 10 });
    assert_eq!((second.temperature, second.class_weight, second.clipping, second.averaging), (0.01, 0.0, 0.0, 0.0));
    // randn / 1000
    let tokens = LearnedTokens::<NativeCpu>::seeded([35, 4, 512], 1, &Default::default()).values();
    let values: Vec<f32> = tokens.into_data().to_vec().unwrap();
    let squares: f64 = values.iter().map(|&value| f64::from(value).powi(2)).sum();
    assert!(((squares / values.len() as f64).sqrt() * 1000.0 - 1.0).abs() < 0.01);
}

/// A tower that counts its passes, and looks whether its own parameters take part in the gradient.
struct Counted {
    tower: Box<dyn TextTower<TrainingCpu>>,
    passes: Rc<Cell<usize>>,
}

impl TextTower<TrainingCpu> for Counted {
    fn frozen(&self) -> Box<dyn TextTower<TrainingCpu>> {
        Box::new(Self { tower: self.tower.frozen(), passes: self.passes.clone() })
    }

    fn token_table(&self) -> Tensor<TrainingCpu, 2> {
        self.tower.token_table()
    }

    fn encode_words(&self, words: Tensor<TrainingCpu, 3>) -> Result<Tensor<TrainingCpu, 2>> {
        self.passes.set(self.passes.get() + 1);
        self.tower.encode_words(words)
    }
}

/// Pictures in three heaps, as an encoder would embed them; each asked for through `embed`.
fn features(width: usize, embed: impl FnMut(usize) -> Vec<f32>) -> Features {
    let embeddings: Vec<Vec<f32>> = (0..48).map(embed).collect();
    assert!(embeddings.iter().all(|embedding| embedding.len() == width));
    let votes = (0..48).map(|index| (0..3).map(|class| f32::from(class == index % 3)).collect()).collect();
    Features::new(&embeddings, votes).unwrap()
}

fn heaps(width: usize) -> impl FnMut(usize) -> Vec<f32> {
    move |index| {
        (0..width)
            .map(|place| ((place * 3 + index % 3 * 5) as f32 * 0.7).sin() + 0.1 * ((index * place) as f32).cos())
            .collect()
    }
}

fn config() -> MetdConfig {
    MetdConfig { epochs: 8, batch: 8, per_expression: 2, tokens: 3, ..MetdConfig::default() }
}

#[test]
fn metd_learns_while_everything_else_is_frozen_and_a_resumed_run_is_the_same_run() {
    for (name, tower) in towers() {
        let expected = Expected::read(&format!("{name}.safetensors"));
        let width = expected.shape("embeddings")[1];
        let passes = Rc::new(Cell::new(0));
        let tower = Counted { tower, passes: passes.clone() };
        let table = Metd::new(&tower, &expected.prompt()).unwrap().token_table().unwrap();
        let mut encoded = 0;
        let mut embed = heaps(width);
        let features = features(width, |index| {
            encoded += 1;
            embed(index)
        });
        let device = Default::default();
        let start =
            || MetdTrainer::<TrainingCpu>::new(config(), 3, &tower, &expected.prompt(), "space", &device).unwrap();
        let mut whole = start();
        let before = whole.tokens().unwrap();
        assert!(before.iter().all(|value| value.abs() < 0.01));
        let (mut losses, mut half) = (Vec::new(), None);
        for epoch in 0..8 {
            if epoch == 4 {
                half = Some(whole.checkpoint().unwrap());
            }
            losses.push(whole.epoch(&features, |_| ()).unwrap());
        }
        println!("{name} {losses:?}");
        assert!(losses[7] < 0.7 * losses[0], "{name}: {losses:?}");
        // One pass of the tower a step, and not one of the encoder.
        assert_eq!((passes.get(), encoded), (8 * 6, 48));
        assert_ne!(before, whole.tokens().unwrap());
        assert_eq!(table, whole.metd().token_table().unwrap());

        let half = half.unwrap();
        let resume = |backbone| MetdTrainer::resume(half.clone(), &tower, &expected.prompt(), backbone, &device);
        let mut resumed = resume("space").unwrap();
        for wanted in &losses[4..] {
            assert_eq!(resumed.epoch(&features, |_| ()).unwrap(), *wanted);
        }
        assert_eq!(resumed.tokens().unwrap(), whole.tokens().unwrap());
        assert_eq!(resume("elsewhere").err().unwrap().code(), "foreign-descriptors");
    }
}

#[test]
fn no_frozen_parameter_gets_a_gradient() {
    let _turn = autodiff_turn();
    let expected = Expected::read("clip.safetensors");
    let tower = clip();
    let shape: [usize; 3] = expected.shape("tokens").try_into().unwrap();
    let tokens = LearnedTokens::<TrainingCpu>::new(expected.values("tokens"), shape, &Default::default());
    let metd = Metd::new(&tower, &expected.prompt()).unwrap();
    let through_frozen = metd.embed(tokens.values()).unwrap().sum().backward();
    assert_eq!(GradientsParams::from_grads(through_frozen, &tower).len(), 0);
    // The same tower unfrozen would collect them: the count above can be other than 0.
    let words = Param::from_tensor(expected.tensor::<3>("tokens")).val();
    let through_open = tower.encode_words(words).unwrap().sum().backward();
    assert!(GradientsParams::from_grads(through_open, &tower).len() > 20);
}

#[test]
fn prompts_keep_their_learned_tokens_apart() {
    // A tokenizer of single letters between marks.
    let encode = |text: &str| Ok([1].into_iter().chain(text.chars().map(u32::from)).chain([2]).collect::<Vec<u32>>());
    let letters = |text: &str| encode(&text.replace(' ', ""));
    let prompt = Prompt::tokenize("go {}.", 3, letters).unwrap();
    assert_eq!(prompt.places(), 3..6);
    assert_eq!(prompt.ids().len(), 8);
    for (sentence, learned) in [("go", 3), ("{} and {}", 3), ("go {}", 0), ("Xenon {}", 2)] {
        let error = Prompt::tokenize(sentence, learned, letters).unwrap_err();
        assert_eq!(error.code(), "invalid-text", "{sentence}");
    }
    assert!(Prompt::new(vec![1, 2, 3], 2, 2).is_err());
    let foreign = Prompt::new(vec![118, 999, 119], 2, 1).unwrap();
    assert!(Metd::new(&clip(), &foreign).err().unwrap().to_string().contains("token 999"));
}

#[test]
fn settings_that_cannot_be_trained_with_are_refused() {
    let expected = Expected::read("bert.safetensors");
    let (tower, prompt, device) = (bert(), expected.prompt(), Default::default());
    let new = |config| MetdTrainer::<TrainingCpu>::new(config, 3, &tower, &prompt, "space", &device);
    for config in [
        MetdConfig { batch: 0, ..config() },
        MetdConfig { per_expression: 0, ..config() },
        MetdConfig { tokens: 4, ..config() },
        MetdConfig { rate: 0.0, ..config() },
    ] {
        assert_eq!(new(config).err().unwrap().code(), "invalid-training");
    }
    let mut trainer = new(config()).unwrap();
    let narrow = features(5, heaps(5));
    let error = trainer.epoch(&narrow, |_| ()).unwrap_err().to_string();
    assert!(error.contains("32 wide") && error.contains('5'), "{error}");
    let mut broken = Features::new(&vec![vec![1.0; 32]; 8], vec![vec![f32::NAN; 3]; 8]).unwrap();
    assert!(trainer.epoch(&broken, |_| ()).unwrap_err().to_string().contains("step 1"));
    broken = Features::new(&vec![vec![1.0; 32]; 3], vec![vec![1.0, 0.0, 0.0]; 3]).unwrap();
    assert!(trainer.epoch(&broken, |_| ()).unwrap_err().to_string().contains("3 samples"));
    assert!(Features::new(&[vec![1.0], vec![1.0, 2.0]], vec![vec![1.0]; 2]).is_err());
}
