//! Stage 2 of CLIPER: the image encoder alone, against constant descriptor embeddings.

use std::any::TypeId;

use burn::module::{AutodiffModule, Module};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{AdamW, GradientsAccumulator, GradientsParams, Muon, Optimizer};
use burn::record::{BinBytesRecorder, FullPrecisionSettings, Recorder};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::augment::{augment, blend, blend_share};
use super::checkpoint::{EncoderCheckpoint, EpochRecord, RunState};
use super::config::{TrainConfig, TrainOptimizer, TrainPrecision, adamw, muon};
use super::initial::initial_weights;
use super::loss::{class_loss, cliper_loss, logits};
use super::sampling::epoch_order;
use super::schedule::Schedule;
use super::stem::{Stem, StemPass, StemWeights};
use super::teacher::{Teacher, answers, teach};
use super::turn::autodiff_turn;
use crate::config::{EncoderConfig, PreprocessConfig};
use crate::engine::burn::ImageEncoder;
use crate::engine::burn::nn::StemStage;
use crate::engine::burn::ops::TrainingOps;
use crate::engine::burn::{NativeCpu, TrainingCpu};
use crate::error::{Error, ErrorKind, Result};
use crate::model::descriptors::Descriptors;
use crate::preprocess::normalise;
use crate::tensors::{Precision, Weights};

/// A grey picture of the encoder's side with its votes.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// `[side * side]`.
    pub picture: Vec<u8>,
    /// `[classes]`, adding up to 1.
    pub votes: Vec<f32>,
    /// The same by a second set's labels, `[its classes]`; empty where that set does not know the picture.
    pub auxiliary: Vec<f32>,
}

/// Told after every step.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Steps done of `steps`.
    pub step: usize,
    /// Steps of the whole run.
    pub steps: usize,
    /// Samples of this step.
    pub samples: usize,
    /// The step's loss.
    pub loss: f64,
}

/// What the pictures of a part are taught by, one distribution each.
struct Votes {
    own: Vec<Vec<f32>>,
    /// By the second set's labels; zeros where it does not know the picture.
    auxiliary: Vec<Vec<f32>>,
}

type Optimiser<B> = OptimizerAdaptor<AdamW, ImageEncoder<B>, B>;
type MatrixOptimiser<B> = OptimizerAdaptor<Muon<<B as AutodiffBackend>::InnerBackend>, ImageEncoder<B>, B>;

/// Who computes a part of each batch.
struct Thread {
    pool: rayon::ThreadPool,
    room: Room,
}

/// Room for the pass of a stem that is trained outside Burn, and for its teacher's.
struct Room {
    pass: Option<StemPass>,
    teacher: Option<StemPass>,
}

/// A part of a batch, and the encoder that looks at it.
struct Part<'a, B: TrainingOps> {
    indices: &'a [usize],
    /// Of the batch.
    share: f32,
    encoder: ImageEncoder<B>,
}

/// A part's forward pass, before it is differentiated.
struct Forward<B: TrainingOps> {
    value: f64,
    loss: Tensor<B, 1>,
    /// What a stem outside Burn gave, and takes the gradient of.
    map: Option<Tensor<B, 3>>,
}

/// A run between two steps.
pub struct Trainer<B: TrainingOps> {
    encoder: ImageEncoder<B>,
    optimizer: Optimiser<B>,
    /// Of the encoder's matrices, where they have one of their own.
    matrices: Option<MatrixOptimiser<B>>,
    descriptors: Tensor<B, 2>,
    counts: Vec<usize>,
    /// Descriptors of a second set's labels, with how many each label has.
    auxiliary: Option<(Tensor<B, 2>, Vec<usize>)>,
    teacher: Option<Teacher<B::InnerBackend>>,
    averaged: Weights,
    state: EncoderCheckpoint,
    threads: Vec<Thread>,
    /// Where the stem is trained outside Burn.
    stem: Option<Stem>,
    device: B::Device,
    /// Panics before the run.
    #[cfg(feature = "gpu")]
    panics: usize,
}

impl<B: TrainingOps> Trainer<B> {
    /// Starts a run from seeded weights.
    pub fn new(
        encoder: EncoderConfig,
        config: TrainConfig,
        descriptors: &Descriptors,
        backbone: &str,
        device: &B::Device,
    ) -> Result<Self> {
        let weights = initial_weights(&encoder, config.seed)?;
        Self::from_weights(encoder, config, weights, descriptors, backbone, device)
    }

    /// Starts a run from an encoder that was trained before.
    pub fn from_weights(
        encoder: EncoderConfig,
        config: TrainConfig,
        weights: Weights,
        descriptors: &Descriptors,
        backbone: &str,
        device: &B::Device,
    ) -> Result<Self> {
        let state = EncoderCheckpoint {
            encoder,
            config,
            backbone: backbone.into(),
            run: RunState::default(),
            earlier: Vec::new(),
            distilled: None,
            averaged: Vec::new(),
        };
        Self::build(state, weights, descriptors, device)
    }

    /// Goes on from a checkpoint.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTraining`] for records that can't be read, [`ErrorKind::ForeignDescriptors`] for
    /// descriptors of another joint space.
    pub fn resume(
        state: EncoderCheckpoint,
        descriptors: &Descriptors,
        backbone: &str,
        device: &B::Device,
    ) -> Result<Self> {
        if state.backbone != backbone {
            return Err(Error::new(
                ErrorKind::ForeignDescriptors,
                format!(
                    "the run was started against the joint space `{}`, these descriptors are of `{backbone}`; \
                     resume with the same ones",
                    state.backbone
                ),
            ));
        }
        let mut averaged = Weights::default();
        averaged.read("averaged.safetensors", &state.averaged)?;
        let (parameters, optimizer) = (state.run.parameters.clone(), state.run.optimizer.clone());
        let mut trainer = Self::build(state, averaged, descriptors, device)?;
        let recorder = BinBytesRecorder::<FullPrecisionSettings>::default();
        let broken = |error| Error::with_source(ErrorKind::InvalidTraining, "the checkpoint can't be read", error);
        let record = Recorder::<B>::load(&recorder, parameters, device).map_err(broken)?;
        trainer.encoder = trainer.encoder.load_record(record);
        match trainer.matrices.take() {
            None => {
                let record = Recorder::<B>::load(&recorder, optimizer, device).map_err(broken)?;
                trainer.optimizer = trainer.optimizer.load_record(record);
            }
            Some(matrices) => {
                let (rest, record) = Recorder::<B>::load(&recorder, optimizer, device).map_err(broken)?;
                trainer.optimizer = trainer.optimizer.load_record(rest);
                trainer.matrices = Some(matrices.load_record(record));
            }
        }
        Ok(trainer)
    }

    fn build(
        state: EncoderCheckpoint,
        averaged: Weights,
        descriptors: &Descriptors,
        device: &B::Device,
    ) -> Result<Self> {
        let config = &state.config;
        let valid = config.batch > 0
            && config.threads > 0
            && config.epochs > 0
            && config.rate > 0.0
            && config.temperature > 0.0
            && config.schedule != Schedule::Restarts { epochs: 0 }
            && config.auxiliary_weight >= 0.0
            && (0.0..=1.0).contains(&config.teacher_weight)
            && (0.0..=1.0).contains(&config.mixup)
            && (0.0..1.0).contains(&config.averaging)
            && (0.0..=1.0).contains(&config.class_balance);
        if !valid {
            return Err(Error::new(
                ErrorKind::InvalidTraining,
                "training needs at least one epoch, one between restarts, one thread and one sample a batch, a positive \
                 rate and temperature, no negative weight, a teacher's weight, mixup, averaging and class_balance of 0 to 1",
            ));
        }
        config.preprocess.validate(state.encoder.channels)?;
        check_width(descriptors, &state.encoder)?;
        let stem = Self::stem(&state, &averaged)?;
        let part = config.batch.div_ceil(config.threads);
        let threads = (0..config.threads)
            .map(|_| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
                let room = Room { pass: stem.as_ref().map(|stem| stem.pass(part)), teacher: None };
                Ok(Thread { pool, room })
            })
            .collect::<std::result::Result<_, rayon::ThreadPoolBuildError>>()
            .map_err(|error| Error::with_source(ErrorKind::InvalidTraining, "no thread can be started", error))?;
        Ok(Self {
            encoder: ImageEncoder::load(&mut averaged.clone(), &state.encoder, device)?,
            optimizer: adamw(config.weight_decay, config.clipping).init(),
            matrices: (config.optimizer == TrainOptimizer::Muon).then(|| muon(config.weight_decay).init()),
            descriptors: embeddings(descriptors, device),
            counts: counts(descriptors),
            auxiliary: None,
            teacher: None,
            averaged,
            threads,
            stem,
            state,
            device: device.clone(),
            #[cfg(feature = "gpu")]
            panics: crate::engine::burn::device::panics::count(),
        })
    }

    /// The stem that is trained outside Burn, if there is one.
    fn stem(state: &EncoderCheckpoint, weights: &Weights) -> Result<Option<Stem>> {
        if state.config.precision == TrainPrecision::F32 {
            return Ok(None);
        }
        let stem = Stem::detect(&state.encoder);
        let processor = TypeId::of::<B>() == TypeId::of::<TrainingCpu>();
        stem.filter(|_| processor && has_norms(weights)).map(Some).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidTraining,
                "brain floats need a processor with AVX-512 BF16 and a stem of ReLU stages with batch norms (deployed weights \
                 have none) and multiples of 16 channels, whose maps' sides are multiples of 6; train in f32",
            )
        })
    }

    /// Learns a second set's labels too, from samples that have some: their cross-entropy against these descriptors counts
    /// [`TrainConfig::auxiliary_weight`] times.
    ///
    /// # Errors
    /// [`ErrorKind::ForeignDescriptors`] for descriptors of another joint space.
    pub fn learn_auxiliary(mut self, descriptors: &Descriptors) -> Result<Self> {
        check_width(descriptors, &self.state.encoder)?;
        self.auxiliary = Some((embeddings(descriptors, &self.device), counts(descriptors)));
        Ok(self)
    }

    /// Is taught by an encoder that was trained before, too: votes give way to what it says of each changed picture and its
    /// mirror image, by [`TrainConfig::teacher_weight`].
    ///
    /// - weights: as deployed or, faster, with the batch norms they were trained with
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTraining`] for one that sees other pictures or answers in another joint space.
    pub fn learn_from(mut self, weights: Weights, encoder: &EncoderConfig) -> Result<Self> {
        let stem = self.stem.as_ref().and_then(|_| Stem::detect(encoder));
        let teacher = Teacher::load(weights, encoder, stem, &self.device)?;
        teacher.check(&self.state.encoder)?;
        let part = self.state.config.batch.div_ceil(self.threads.len());
        self.threads.iter_mut().for_each(|thread| thread.room.teacher = teacher.pass(part));
        self.teacher = Some(teacher);
        Ok(self)
    }

    /// Trains until the end of the current epoch; order and changes depend on the seed, step and sample only.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTraining`] naming the step when the loss is no number any more; the last checkpoint
    /// stays good.
    pub fn epoch(&mut self, samples: &[Sample], mut progress: impl FnMut(Progress)) -> Result<f64> {
        let TrainConfig { batch, epochs, seed, class_balance, .. } = self.state.config;
        if samples.len() < batch {
            return Err(Error::new(
                ErrorKind::InvalidTraining,
                format!("{} samples do not fill one batch of {batch}", samples.len()),
            ));
        }
        let epoch_steps = samples.len() / batch;
        let steps = epoch_steps * epochs;
        let epoch = self.state.run.step / epoch_steps;
        let labels: Vec<usize> = samples.iter().map(|sample| crate::math::best(&sample.votes)).collect();
        let mut sum = 0.0;
        for indices in order(&labels, class_balance, seed, epoch).chunks_exact(batch) {
            let rate =
                self.state.config.rate * self.state.config.schedule.share(self.state.run.step, steps, epoch_steps);
            let loss = self.step(samples, indices, rate)?;
            self.state.run.step += 1;
            self.average()?;
            sum += loss;
            progress(Progress { step: self.state.run.step, steps, samples: indices.len(), loss });
        }
        // A finite loss says nothing of the step after it: what will be saved is looked at itself.
        let current = self.current()?;
        if self.state.config.averaging == 0.0 {
            self.averaged = current;
        }
        Ok(sum / epoch_steps as f64)
    }

    /// One optimiser step; each part of the batch runs on a thread of its own, which wastes less than splitting
    /// every product.
    fn step(&mut self, samples: &[Sample], indices: &[usize], rate: f64) -> Result<f64> {
        // Burn's autodiff is one for all threads: no backward pass may run beside a forward pass.
        let _turn = autodiff_turn();
        let mut threads = std::mem::take(&mut self.threads);
        let weights = self
            .stem
            .as_ref()
            .map(|stem| stem.weights(self.encoder.stem().iter().filter_map(StemStage::values).collect()));
        let weights = weights.as_ref();
        let parts: Vec<Part<B>> = indices
            .chunks(indices.len().div_ceil(threads.len()))
            .map(|part| Part {
                indices: part,
                share: part.len() as f32 / indices.len() as f32,
                // A fork has leaves of its own: two threads may not share one autodiff graph.
                encoder: self.encoder.clone().fork(&self.device),
            })
            .collect();
        let results = on_threads(&mut threads, parts.iter().collect(), |room, part: &Part<B>| {
            self.forward(part, samples, room, weights)
        })
        .and_then(|passed| {
            on_threads(&mut threads, parts.iter().zip(passed).collect(), |room, (part, passed)| {
                self.gradients(part, passed, room, weights)
            })
        });
        self.threads = threads;
        let results: Vec<(f64, GradientsParams)> = results?;
        self.check_device()?;
        let loss: f64 = results.iter().map(|(loss, _)| loss).sum();
        check_loss(loss, self.state.run.step + 1)?;
        let mut sum = GradientsAccumulator::new();
        for (_, gradients) in results {
            sum.accumulate(&self.encoder, gradients);
        }
        let mut gradients = sum.grads();
        if let Some(optimizer) = &mut self.matrices {
            let mut matrices = GradientsParams::new();
            for id in self.encoder.matrices() {
                if let Some(gradient) = gradients.remove::<B::InnerBackend, 2>(id) {
                    matrices.register(id, gradient);
                }
            }
            self.encoder = optimizer.step(rate, self.encoder.clone(), matrices);
        }
        self.encoder = self.optimizer.step(rate, self.encoder.clone(), gradients);
        Ok(loss)
    }

    fn forward(
        &self,
        part: &Part<B>,
        samples: &[Sample],
        room: &mut Room,
        weights: Option<&StemWeights>,
    ) -> Result<Forward<B>> {
        let &Part { indices: part, share, ref encoder } = part;
        let config = &self.state.config;
        let side = self.state.encoder.side;
        let PreprocessConfig { mean, std, .. } = &config.preprocess;
        let changed: Vec<(Vec<f32>, f32)> = part
            .iter()
            .map(|&index| {
                let mut random =
                    ChaCha8Rng::seed_from_u64(derive_seed(config.seed, self.state.run.step as u64, index as u64));
                let levels = augment(&samples[index].picture, side, &config.augment, &mut random);
                (levels, if config.mixup > 0.0 { blend_share(config.mixup, &mut random) } else { 1.0 })
            })
            .collect();
        // Each with the one behind it: their order is drawn already.
        let next = |place: usize| (place + 1) % part.len();
        let mut pixels = Vec::with_capacity(part.len() * mean.len() * side * side);
        for (place, (levels, share)) in changed.iter().enumerate() {
            let levels = blend(levels, &changed[next(place)].0, *share);
            for (mean, std) in mean.iter().zip(std) {
                pixels.extend(levels.iter().map(|level| (level - mean * 255.0) / (std * 255.0)));
            }
        }
        let blended = |of: &dyn Fn(&Sample) -> Vec<f32>| -> Vec<Vec<f32>> {
            let one = |(place, (_, share)): (usize, &(Vec<f32>, f32))| {
                blend(&of(&samples[part[place]]), &of(&samples[part[next(place)]]), *share)
            };
            changed.iter().enumerate().map(one).collect()
        };
        let labels = self.auxiliary.as_ref().map_or(0, |(_, counts)| counts.len());
        let auxiliary = |sample: &Sample| {
            let mut votes = sample.auxiliary.clone();
            votes.resize(labels, 0.0);
            votes
        };
        let mut votes = Votes { own: blended(&|sample| sample.votes.clone()), auxiliary: blended(&auxiliary) };
        if let Some(teacher) = &self.teacher {
            let embeddings = teacher.embeddings(&mut room.teacher, &pixels, &self.device);
            self.teach(embeddings, &mut votes)?;
        }
        let (embeddings, map) = match room.pass.as_mut().zip(weights) {
            None => {
                let shape = [part.len(), mean.len(), side, side];
                (encoder.forward(Tensor::from_data(TensorData::new(pixels, shape), &self.device)), None)
            }
            Some((pass, weights)) => {
                let map = pass.forward(weights, &pixels);
                let map = super::stem_map::<B>(map, &self.state.encoder, &self.device).require_grad();
                (encoder.forward_map(map.clone()), Some(map))
            }
        };
        let loss = self.loss(embeddings, &votes, share);
        let value = loss.clone().into_scalar();
        Ok(Forward { value: burn::tensor::ElementConversion::elem::<f64>(value), loss, map })
    }

    fn gradients(
        &self,
        part: &Part<B>,
        passed: Forward<B>,
        room: &mut Room,
        weights: Option<&StemWeights>,
    ) -> Result<(f64, GradientsParams)> {
        let Forward { value, loss, map } = passed;
        let mut gradients = loss.backward();
        let gradient = map.and_then(|map| map.grad_remove(&mut gradients)).map(super::read).transpose()?;
        let mut gradients = GradientsParams::from_grads(gradients, &part.encoder);
        if let Some(((pass, weights), gradient)) = room.pass.as_mut().zip(weights).zip(gradient) {
            for (stage, values) in part.encoder.stem().iter().zip(pass.backward(weights, &gradient)) {
                stage.register::<B::InnerBackend>(&mut gradients, values, &self.device);
            }
        }
        Ok((value, gradients))
    }

    /// Moves the votes towards a teacher's answers.
    fn teach(&self, embeddings: Tensor<B::InnerBackend, 2>, votes: &mut Votes) -> Result<()> {
        let TrainConfig { temperature, teacher_weight, .. } = self.state.config;
        let auxiliary =
            self.auxiliary.as_ref().map(|(descriptors, counts)| (&mut votes.auxiliary, descriptors, counts));
        for (votes, descriptors, counts) in
            [Some((&mut votes.own, &self.descriptors, &self.counts)), auxiliary].into_iter().flatten()
        {
            let answers = answers(embeddings.clone(), descriptors.clone().inner(), counts, temperature)?;
            votes.iter_mut().zip(answers).for_each(|(votes, answer)| teach(votes, &answer, teacher_weight));
        }
        Ok(())
    }

    /// The loss of embeddings.
    fn loss(&self, embeddings: Tensor<B, 2>, votes: &Votes, share: f32) -> Tensor<B, 1> {
        let config = &self.state.config;
        let scores = logits(embeddings.clone(), self.descriptors.clone(), config.temperature);
        let class = class_loss(scores.clone(), &votes.own, &self.counts) * config.class_weight;
        let mut loss = cliper_loss(scores, &votes.own, &self.counts).total + class;
        if let Some((descriptors, counts)) = &self.auxiliary {
            let scores = logits(embeddings, descriptors.clone(), config.temperature);
            loss = loss + class_loss(scores, &votes.auxiliary, counts) * config.auxiliary_weight;
        }
        loss * share
    }

    /// Moves the average towards the weights. Every eighth step is enough: the decay follows.
    fn average(&mut self) -> Result<()> {
        const EVERY: usize = 8;
        if self.state.config.averaging == 0.0 || !self.state.run.step.is_multiple_of(EVERY) {
            return Ok(());
        }
        // A young average would remember the initial weights for too long.
        let steps = self.state.run.step as f64;
        let keep = self.state.config.averaging.powi(EVERY as i32).min(steps / (steps + 10.0 * EVERY as f64)) as f32;
        let current = self.current()?;
        self.averaged.blend(&current, keep)
    }

    /// The weights as they are now.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTraining`] naming the step and the tensor when one is no number.
    fn current(&self) -> Result<Weights> {
        let mut current = Weights::default();
        let saved = self.encoder.valid().save(&mut current);
        self.check_device()?;
        saved
            .map(|()| current)
            .map_err(|error| Error::with_source(ErrorKind::InvalidTraining, diverged(self.state.run.step), error))
    }

    /// Refuses what a GPU's backend computed after a panic of its own.
    fn check_device(&self) -> Result<()> {
        #[cfg(feature = "gpu")]
        if crate::engine::burn::device::panics::count() > self.panics {
            return Err(Error::new(
                ErrorKind::InvalidTraining,
                format!(
                    "the GPU's backend failed at step {} (its message stands above); what was saved stays as it was. Where \
                     it could not allocate a buffer, start with a smaller --batch",
                    self.state.run.step + 1
                ),
            ));
        }
        Ok(())
    }

    /// The averaged weights as they are deployed: the ones to validate and to pack. The stem's batch norms take
    /// their statistics from the first of `samples`, unchanged.
    pub fn deployed(&self, samples: &[Sample]) -> Result<Weights> {
        const PICTURES: usize = 512;
        // An encoder without batch norms asks for no statistics.
        let pictures = if has_norms(&self.averaged) { PICTURES } else { 1 };
        let samples = &samples[..samples.len().min(pictures)];
        let EncoderConfig { side, channels, .. } = self.state.encoder;
        let pixels: Vec<f32> =
            samples.iter().flat_map(|sample| plain_pixels(sample, &self.state.config.preprocess)).collect();
        // On the processor: so many pictures at once need larger buffers than some GPU drivers give.
        let device = Default::default();
        let encoder = ImageEncoder::<NativeCpu>::load(&mut self.averaged.clone(), &self.state.encoder, &device)?;
        let mut weights = Weights::default();
        let pixels = TensorData::new(pixels, [samples.len(), channels, side, side]);
        encoder.fold(Tensor::from_data(pixels, &device), &mut weights)?;
        Ok(weights)
    }

    /// Epochs finished.
    pub fn history(&self) -> &[EpochRecord] {
        &self.state.run.history
    }

    /// Adds a finished epoch to the record.
    pub fn record(&mut self, record: EpochRecord) {
        self.state.run.history.push(record);
    }

    /// The encoder that is trained.
    pub fn encoder_config(&self) -> &EncoderConfig {
        &self.state.encoder
    }

    /// How the run is trained.
    pub fn config(&self) -> &TrainConfig {
        &self.state.config
    }

    /// Everything needed to go on.
    pub fn checkpoint(&self) -> Result<EncoderCheckpoint> {
        let recorder = BinBytesRecorder::<FullPrecisionSettings>::default();
        let broken = |error| Error::with_source(ErrorKind::InvalidTraining, "the run can't be recorded", error);
        let mut state = self.state.clone();
        state.run.parameters =
            Recorder::<B>::record(&recorder, self.encoder.clone().into_record(), ()).map_err(broken)?;
        let optimizer = self.optimizer.to_record();
        state.run.optimizer = match &self.matrices {
            None => Recorder::<B>::record(&recorder, optimizer, ()),
            Some(matrices) => Recorder::<B>::record(&recorder, (optimizer, matrices.to_record()), ()),
        }
        .map_err(broken)?;
        state.averaged = self.averaged.write(Precision::F32)?;
        Ok(state)
    }
}

/// Works on one input a thread, all at once.
fn on_threads<I: Send, R: Send>(
    threads: &mut [Thread],
    inputs: Vec<I>,
    work: impl Fn(&mut Room, I) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let work = &work;
    let ended: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = threads
            .iter_mut()
            .zip(inputs)
            .map(|(Thread { pool, room }, input)| scope.spawn(move || pool.install(|| work(room, input))))
            .collect();
        running.into_iter().map(|thread| thread.join()).collect()
    });
    let panicked = |_| Error::new(ErrorKind::InvalidTraining, "a training thread panicked; its message stands above");
    ended.into_iter().map(|result| result.map_err(panicked)?).collect()
}

/// Unit vectors `[descriptors, width]` on a device.
fn embeddings<B: AutodiffBackend>(descriptors: &Descriptors, device: &B::Device) -> Tensor<B, 2> {
    let shape = [descriptors.count(), descriptors.width()];
    Tensor::from_data(TensorData::new(descriptors.embeddings().to_vec(), shape), device)
}

/// Descriptors of each expression.
fn counts(descriptors: &Descriptors) -> Vec<usize> {
    descriptors.expressions().iter().map(|expression| expression.descriptors.len()).collect()
}

fn check_width(descriptors: &Descriptors, encoder: &EncoderConfig) -> Result<()> {
    if descriptors.width() == encoder.embedding {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::ForeignDescriptors,
        format!("the descriptors are {} wide, the encoder's joint space {}", descriptors.width(), encoder.embedding),
    ))
}

/// Whether the stem has its batch norms, which deployed weights do not.
fn has_norms(weights: &Weights) -> bool {
    weights.names().any(|name| name.contains(".norm."))
}

fn diverged(step: usize) -> String {
    format!(
        "the run diverged at step {step} and stops; what was saved stays as it was, so start another with a lower rate"
    )
}

/// Pixels `[channels, side, side]` of an unchanged sample; a colour encoder gets the grey level in every channel.
pub fn plain_pixels(sample: &Sample, preprocess: &PreprocessConfig) -> Vec<f32> {
    let channels = preprocess.mean.len();
    let bytes: Vec<u8> = sample.picture.iter().flat_map(|&level| std::iter::repeat_n(level, channels)).collect();
    normalise(&bytes, preprocess)
}

/// An epoch's samples in order: [`epoch_order`] with what it draws from fixed by seed and epoch.
pub(super) fn order(labels: &[usize], class_balance: f64, seed: u64, epoch: usize) -> Vec<usize> {
    epoch_order(labels, class_balance, &mut ChaCha8Rng::seed_from_u64(derive_seed(seed, epoch as u64, u64::MAX)))
}

/// Refuses a loss that is no number, naming the step.
pub(super) fn check_loss(loss: f64, step: usize) -> Result<()> {
    if loss.is_finite() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidTraining, format!("{}: the loss is no number", diverged(step))))
}

/// One seed from three numbers (SplitMix64's finaliser).
pub(super) fn derive_seed(seed: u64, epoch: u64, index: u64) -> u64 {
    let mut value = seed ^ epoch.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ index.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}
