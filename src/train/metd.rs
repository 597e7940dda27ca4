//! Stage 1 of CLIPER: METD, learned token embeddings in a prompt, through a frozen text tower.

use burn::module::{Module, Param};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{AdamW, GradientsParams, Optimizer};
use burn::record::{BinBytesRecorder, FullPrecisionSettings, Recorder};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{ElementConversion, Int, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::checkpoint::{EpochRecord, RunState};
use super::config::adamw;
use super::features::Features;
use super::initial::normal;
use super::loss::{cliper_loss, logits, unit};
use super::prompt::{PROMPT, Prompt, TextTower};
use super::read;
use super::trainer::{Progress, check_loss, order};
use super::turn::autodiff_turn;
use crate::error::{Error, ErrorKind, Result};

/// How METD is trained: CLIPER's numbers by default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetdConfig {
    /// Passes over the data.
    pub epochs: usize,
    /// Samples of a step.
    pub batch: usize,
    /// Learning rate, the same at every step.
    pub rate: f64,
    /// AdamW's weight decay.
    pub weight_decay: f32,
    /// Similarities are divided by this.
    pub temperature: f32,
    /// Descriptors of each expression.
    pub per_expression: usize,
    /// Learned tokens of each descriptor.
    pub tokens: usize,
    /// The prompt, with `{}` in the place of the learned tokens.
    pub prompt: String,
    /// Of initial tokens and order.
    pub seed: u64,
}

impl Default for MetdConfig {
    fn default() -> Self {
        Self {
            epochs: 2,
            batch: 128,
            rate: 0.01,
            weight_decay: 0.0,
            temperature: 0.01,
            per_expression: 5,
            tokens: 4,
            prompt: PROMPT.into(),
            seed: 1,
        }
    }
}

/// The learned token embeddings.
#[derive(Module, Debug)]
pub struct LearnedTokens<B: Backend> {
    tokens: Param<Tensor<B, 3>>,
}

impl<B: Backend> LearnedTokens<B> {
    /// From values.
    ///
    /// # Shapes
    /// - values: `[descriptors, learned tokens, width]`
    pub fn new(values: Vec<f32>, shape: [usize; 3], device: &B::Device) -> Self {
        Self { tokens: Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), device)) }
    }

    /// Normal values over 1000.
    pub fn seeded(shape: [usize; 3], seed: u64, device: &B::Device) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let values = (0..shape.iter().product()).map(|_| normal(&mut random) / 1000.0).collect();
        Self::new(values, shape, device)
    }

    /// `[descriptors, learned tokens, width]`.
    pub fn values(&self) -> Tensor<B, 3> {
        self.tokens.val()
    }
}

/// A prompt and the frozen text tower that it goes through.
pub struct Metd<B: Backend> {
    tower: Box<dyn TextTower<B>>,
    before: Tensor<B, 2>,
    after: Tensor<B, 2>,
}

impl<B: Backend> Metd<B> {
    /// Freezes the tower.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidText`] for a prompt with an id that the tower has not.
    pub fn new(tower: &dyn TextTower<B>, prompt: &Prompt) -> Result<Self> {
        let tower = tower.frozen();
        let table = tower.token_table();
        let [vocabulary, _] = table.dims();
        if let Some(id) = prompt.ids().iter().find(|&&id| id as usize >= vocabulary) {
            return Err(Error::new(
                ErrorKind::InvalidText,
                format!("token {id} of the prompt is none of the tower's {vocabulary}"),
            ));
        }
        let rows = |ids: &[u32]| {
            let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
            let count = ids.len();
            let ids = Tensor::<B, 1, Int>::from_data(TensorData::new(ids, [count]), &table.device());
            table.clone().select(0, ids)
        };
        let places = prompt.places();
        let (before, after) = (rows(&prompt.ids()[..places.start]), rows(&prompt.ids()[places.end..]));
        Ok(Self { tower, before, after })
    }

    /// The descriptors' embeddings.
    ///
    /// # Shapes
    /// - tokens: `[descriptors, learned tokens, width]`
    /// - output: `[descriptors, embedding]`, unit length
    pub fn embed(&self, tokens: Tensor<B, 3>) -> Result<Tensor<B, 2>> {
        let [descriptors, _, width] = tokens.dims();
        let spread = |rows: &Tensor<B, 2>| {
            let [count, _] = rows.dims();
            rows.clone().unsqueeze_dim::<3>(0).expand([descriptors, count, width])
        };
        let words = Tensor::cat(vec![spread(&self.before), tokens, spread(&self.after)], 1);
        Ok(unit(self.tower.encode_words(words)?))
    }

    /// The embeddings of the tower's vocabulary, `[vocabulary * width]`.
    pub fn token_table(&self) -> Result<Vec<f32>> {
        read(self.tower.token_table())
    }

    fn width(&self) -> usize {
        self.before.dims()[1]
    }
}

/// A METD run on disk-shaped bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetdCheckpoint {
    /// How it is trained.
    pub config: MetdConfig,
    /// Expressions that are described.
    pub classes: usize,
    /// Name of the joint space.
    pub backbone: String,
    /// How far it is.
    #[serde(flatten)]
    pub run: RunState,
}

/// A METD run between two steps.
pub struct MetdTrainer<B: AutodiffBackend> {
    metd: Metd<B>,
    tokens: LearnedTokens<B>,
    optimizer: OptimizerAdaptor<AdamW, LearnedTokens<B>, B>,
    state: MetdCheckpoint,
    device: B::Device,
}

impl<B: AutodiffBackend> MetdTrainer<B> {
    /// Starts a run from seeded tokens.
    ///
    /// - backbone: name of the joint space that the tower and the encoder share
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTraining`] for settings that can't be trained with.
    pub fn new(
        config: MetdConfig,
        classes: usize,
        tower: &dyn TextTower<B>,
        prompt: &Prompt,
        backbone: &str,
        device: &B::Device,
    ) -> Result<Self> {
        let state = MetdCheckpoint { config, classes, backbone: backbone.into(), run: RunState::default() };
        Self::build(state, tower, prompt, device)
    }

    /// Goes on from a checkpoint.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTraining`] for records that can't be read, [`ErrorKind::ForeignDescriptors`] for a tower of
    /// another joint space.
    pub fn resume(
        state: MetdCheckpoint,
        tower: &dyn TextTower<B>,
        prompt: &Prompt,
        backbone: &str,
        device: &B::Device,
    ) -> Result<Self> {
        if state.backbone != backbone {
            return Err(Error::new(
                ErrorKind::ForeignDescriptors,
                format!("the run was started in the joint space `{}`, this tower is of `{backbone}`", state.backbone),
            ));
        }
        let recorder = BinBytesRecorder::<FullPrecisionSettings>::default();
        let broken = |error| Error::with_source(ErrorKind::InvalidTraining, "the checkpoint can't be read", error);
        let parameters = Recorder::<B>::load(&recorder, state.run.parameters.clone(), device).map_err(broken)?;
        let optimizer = Recorder::<B>::load(&recorder, state.run.optimizer.clone(), device).map_err(broken)?;
        let mut trainer = Self::build(state, tower, prompt, device)?;
        trainer.tokens = trainer.tokens.load_record(parameters);
        trainer.optimizer = trainer.optimizer.load_record(optimizer);
        Ok(trainer)
    }

    fn build(state: MetdCheckpoint, tower: &dyn TextTower<B>, prompt: &Prompt, device: &B::Device) -> Result<Self> {
        let MetdConfig { epochs, batch, rate, weight_decay, temperature, per_expression, tokens, seed, .. } =
            state.config;
        let valid =
            epochs > 0 && batch > 0 && per_expression > 0 && rate > 0.0 && temperature > 0.0 && weight_decay >= 0.0;
        if !valid || state.classes < 2 || tokens != prompt.places().len() {
            return Err(Error::new(
                ErrorKind::InvalidTraining,
                "METD needs at least two expressions, one descriptor, token, epoch and sample a batch, a prompt with as \
                 many learned tokens, and a positive rate and temperature",
            ));
        }
        let metd = Metd::new(tower, prompt)?;
        let shape = [state.classes * per_expression, tokens, metd.width()];
        Ok(Self {
            tokens: LearnedTokens::seeded(shape, seed, device),
            metd,
            optimizer: adamw(weight_decay, 0.0).init(),
            state,
            device: device.clone(),
        })
    }

    /// Trains until the end of the current epoch; the order depends on the seed and the epoch only.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTraining`] naming the step when the loss is no number any more, and for features of
    /// another width than the tower's.
    pub fn epoch(&mut self, features: &Features, mut progress: impl FnMut(Progress)) -> Result<f64> {
        let MetdConfig { epochs, batch, seed, .. } = self.state.config;
        if features.count() < batch {
            return Err(Error::new(
                ErrorKind::InvalidTraining,
                format!("{} samples do not fill one batch of {batch}", features.count()),
            ));
        }
        let epoch_steps = features.count() / batch;
        let mut sum = 0.0;
        let order = order(&features.labels(), 0.0, seed, self.state.run.step / epoch_steps);
        for indices in order.chunks_exact(batch) {
            let loss = self.step(features, indices)?;
            sum += loss;
            let (step, steps) = (self.state.run.step, epoch_steps * epochs);
            progress(Progress { step, steps, samples: indices.len(), loss });
        }
        Ok(sum / epoch_steps as f64)
    }

    fn step(&mut self, features: &Features, indices: &[usize]) -> Result<f64> {
        let MetdConfig { rate, temperature, per_expression, .. } = self.state.config;
        let _turn = autodiff_turn();
        let (pictures, votes) = features.batch::<B>(indices, &self.device);
        let embeddings = self.metd.embed(self.tokens.values())?;
        let (found, expected) = (embeddings.dims()[1], features.width());
        if found != expected {
            return Err(Error::new(
                ErrorKind::InvalidTraining,
                format!("the text tower's joint space is {found} wide, the pictures' embeddings {expected}"),
            ));
        }
        let counts = vec![per_expression; self.state.classes];
        let total = cliper_loss(logits(pictures, embeddings, temperature), &votes, &counts).total;
        let loss: f64 = total.clone().into_scalar().elem();
        check_loss(loss, self.state.run.step + 1)?;
        let gradients = GradientsParams::from_grads(total.backward(), &self.tokens);
        self.tokens = self.optimizer.step(rate, self.tokens.clone(), gradients);
        self.state.run.step += 1;
        Ok(loss)
    }

    /// The descriptors as they stand, `[classes * descriptors * embedding]`, unit length.
    pub fn embeddings(&self) -> Result<Vec<f32>> {
        read(self.metd.embed(self.tokens.values())?)
    }

    /// The learned tokens, `[classes * descriptors * tokens * width]`.
    pub fn tokens(&self) -> Result<Vec<f32>> {
        read(self.tokens.values())
    }

    /// The text tower with its prompt.
    pub fn metd(&self) -> &Metd<B> {
        &self.metd
    }

    /// How the run is trained.
    pub fn config(&self) -> &MetdConfig {
        &self.state.config
    }

    /// Epochs finished.
    pub fn history(&self) -> &[EpochRecord] {
        &self.state.run.history
    }

    /// Adds a finished epoch to the record.
    pub fn record(&mut self, record: EpochRecord) {
        self.state.run.history.push(record);
    }

    /// Everything needed to go on.
    pub fn checkpoint(&self) -> Result<MetdCheckpoint> {
        let recorder = BinBytesRecorder::<FullPrecisionSettings>::default();
        let broken = |error| Error::with_source(ErrorKind::InvalidTraining, "the run can't be recorded", error);
        let mut state = self.state.clone();
        state.run.parameters =
            Recorder::<B>::record(&recorder, self.tokens.clone().into_record(), ()).map_err(broken)?;
        state.run.optimizer = Recorder::<B>::record(&recorder, self.optimizer.to_record(), ()).map_err(broken)?;
        Ok(state)
    }
}
