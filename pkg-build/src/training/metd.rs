//! `cargo pkg train metd`: descriptors are learned for a frozen encoder, resumable, chosen on the validation part.

use std::time::Instant;

use anyhow::{Result, ensure};
use cliper::engine::burn::TrainingCpu;
use cliper::engine::cpu::CpuEncoder;
use cliper::model::descriptors::{Descriptors, Expression};
use cliper::model::learned::Learned;
use cliper::tensors::Weights;
use cliper::train::{EpochRecord, Features, MetdTrainer, Progress};
use indicatif::{ProgressBar, ProgressStyle};

use crate::bundles::write_descriptors;
use crate::data::split::names;
use crate::data::{Example, Square};
use crate::evaluation::encode::{embeddings, evaluation};
use crate::training::fit::{self, Measured, fit};
use crate::training::initial_model::InitialModel;
use crate::training::options::MetdOptions;
use crate::training::run_folder::{self, MetdState, TrainingStage};
use crate::training::tower::Tower;

pub fn run(options: &MetdOptions) -> Result<()> {
    let folder = options.common.checkpoint.as_path();
    ensure!(
        run_folder::read_offsets(folder)?.is_none(),
        "{} follows face shapes; go on with it by the same --shapes FILE, or name a new folder",
        folder.display()
    );
    let from = options.from.as_path();
    let start = InitialModel::read(from)?;
    let tower = Tower::of(&start.backbone, options.text_encoder.as_deref(), from)?;
    let device = Default::default();
    let mut trainer = if folder.join(run_folder::STATE).is_file() {
        let mut state = run_folder::read_metd(folder)?.checkpoint;
        options.check(&state.config)?;
        ensure!(
            same(&run_folder::read_weights(folder)?, &start.weights),
            "{} learns for another encoder than {} is; resume with the --from it was started with, or name a new folder",
            folder.display(),
            from.display()
        );
        state.config.epochs = options.common.epochs.unwrap_or(state.config.epochs);
        eprintln!("going on with {} after {} epochs", folder.display(), state.run.history.len());
        let prompt = tower.prompt(&state.config.prompt, state.config.tokens)?;
        MetdTrainer::<TrainingCpu>::resume(state, tower.encoder(), &prompt, &start.backbone, &device)?
    } else {
        let config = options.config();
        let prompt = tower.prompt(&config.prompt, config.tokens)?;
        MetdTrainer::new(config, names().count(), tower.encoder(), &prompt, &start.backbone, &device)?
    };
    if fit::say_if_done(folder, trainer.history(), trainer.config().epochs) {
        return Ok(());
    }
    let (pictures, valid) = options.common.pictures(Square::of(&start.encoder, &start.preprocess))?;
    let trained_on = options.common.trained_on(pictures.len());
    trained_on.check(folder)?;
    let training = features(&start, &pictures)?;
    let choosing = encode(&start, &valid)?;
    train(&mut trainer, &training, &choosing, &valid, |trainer, best| {
        run_folder::write(folder, |new| {
            new.origin(&start.origin)?;
            new.trained_on(&trained_on)?;
            // The encoder stays as it was; only the first state has to write it.
            new.weights((trainer.history().len() == 1).then_some(&start.weights))?;
            match best {
                Some(embeddings) => {
                    let learned = explain(trainer, &tower)?;
                    let descriptors = describe(learned.texts(), embeddings)?;
                    write_descriptors(&new.descriptors(), &descriptors, &start.backbone, Some(&learned))?;
                }
                None => new.keep(run_folder::DESCRIPTORS)?,
            }
            new.metd(&MetdState {
                stage: TrainingStage::Metd,
                encoder: start.encoder.clone(),
                preprocess: start.preprocess.clone(),
                checkpoint: trainer.checkpoint()?,
            })
        })
    })
}

/// Trains to the end. After every epoch the descriptors are measured on the embeddings of the pictures to choose by;
/// `save` gets those of the best epoch so far.
pub fn train(
    trainer: &mut MetdTrainer<TrainingCpu>,
    training: &Features,
    choosing: &[Vec<f32>],
    valid: &[Example],
    save: impl FnMut(&MetdTrainer<TrainingCpu>, Option<Vec<f32>>) -> Result<()>,
) -> Result<()> {
    fit(&mut MetdRun { trainer, training, choosing, valid, save })
}

struct MetdRun<'a, S> {
    trainer: &'a mut MetdTrainer<TrainingCpu>,
    training: &'a Features,
    choosing: &'a [Vec<f32>],
    valid: &'a [Example],
    save: S,
}

impl<S: FnMut(&MetdTrainer<TrainingCpu>, Option<Vec<f32>>) -> Result<()>> fit::Run for MetdRun<'_, S> {
    type Best = Vec<f32>;

    fn epochs(&self) -> usize {
        self.trainer.config().epochs
    }

    fn history(&self) -> &[EpochRecord] {
        self.trainer.history()
    }

    fn size(&self) -> (usize, &'static str) {
        let batch = self.trainer.config().batch;
        (self.training.count() / batch * batch, "pictures")
    }

    fn train(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<f64> {
        Ok(self.trainer.epoch(self.training, progress)?)
    }

    fn measure(&mut self) -> Result<Measured<Vec<f32>>> {
        let best = self.trainer.embeddings()?;
        let places = (0..names().count() * self.trainer.config().per_expression).map(|place| place.to_string());
        let descriptors = describe(places.collect(), best.clone())?;
        let similarities: Vec<Vec<f32>> =
            self.choosing.iter().map(|picture| descriptors.similarities(picture)).collect();
        let evaluation = evaluation(&descriptors, &similarities, self.valid, self.trainer.config().temperature);
        Ok(Measured { evaluation, note: String::new(), best })
    }

    fn record(&mut self, record: EpochRecord) -> Result<()> {
        self.trainer.record(record);
        Ok(())
    }

    fn save(&mut self, best: Option<Vec<f32>>) -> Result<()> {
        (self.save)(self.trainer, best)
    }
}

/// The training pictures as METD takes them.
pub fn features(start: &InitialModel, examples: &[Example]) -> Result<Features> {
    let votes = examples.iter().map(|example| example.sample.votes.clone()).collect();
    Ok(Features::new(&encode(start, examples)?, votes)?)
}

/// A unit vector for each picture by the frozen encoder, which runs once a picture however many epochs follow.
pub fn encode(start: &InitialModel, examples: &[Example]) -> Result<Vec<Vec<f32>>> {
    let clock = Instant::now();
    let bar = ProgressBar::new(examples.len() as u64)
        .with_style(ProgressStyle::with_template("encoding {bar:30} {pos}/{len} pictures, {eta} to go")?);
    let load = || Ok(CpuEncoder::load(&mut start.weights.clone(), &start.encoder)?);
    let pixels = |example: &Example| {
        bar.inc(1);
        example.pixels(&start.preprocess)
    };
    let embeddings = embeddings(load, pixels, examples)?;
    bar.finish_and_clear();
    eprintln!("the encoder ran {} times, in {:.0} s", bar.position(), clock.elapsed().as_secs_f64());
    Ok(embeddings)
}

/// Whether two encoders are one, whatever number format they are stored in.
pub fn same(one: &Weights, other: &Weights) -> bool {
    one.names().eq(other.names()) && one.names().all(|name| one.get(name) == other.get(name))
}

/// The nearest words of every learned token.
fn explain(trainer: &MetdTrainer<TrainingCpu>, tower: &Tower) -> Result<Learned> {
    let config = trainer.config();
    let tokens = trainer.tokens()?;
    let width = tokens.len() / (names().count() * config.per_expression * config.tokens);
    let table = trainer.metd().token_table()?;
    Ok(Learned::look_up(&config.prompt, &tokens, [config.tokens, width], &table, |id| tower.word(id)))
}

/// Descriptors with these texts, as many for each expression.
pub fn describe(texts: Vec<String>, embeddings: Vec<f32>) -> Result<Descriptors> {
    let (classes, count) = (names().count(), texts.len());
    let of = |(name, texts): (&str, &[String])| Expression {
        name: name.into(),
        descriptors: texts.to_vec(),
        movements: Vec::new(),
    };
    let expressions = names().zip(texts.chunks(count / classes)).map(of).collect();
    let width = embeddings.len() / count;
    Ok(Descriptors::new(expressions, embeddings, width)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packaging::sentence_encoder;
    use crate::project;

    /// CLIPER's prompt through both real tokenizers; CLIP's ids are the paper's.
    #[test]
    fn the_prompt_is_cut_as_the_paper_cuts_it() {
        let sentence = Tower::of(sentence_encoder::SENTENCE_ENCODER, None, &project::root().unwrap()).unwrap();
        let prompt = sentence.prompt("an ID photo of {}.", 4).unwrap();
        assert_eq!((prompt.ids().len(), prompt.places()), (11, 5..9));
        let words: Vec<_> = prompt.ids().iter().map(|&id| sentence.word(id)).collect();
        assert_eq!(words[0], None);
        assert_eq!(words[1..5].iter().flatten().cloned().collect::<Vec<_>>().join(" "), "an id photo of");
        assert_eq!(words[9].as_deref(), Some("."));

        let clip = crate::packaging::checkpoints::tokenizer().unwrap();
        let prompt = cliper::train::Prompt::tokenize("an ID photo of {}.", 4, |text| clip.encode(text)).unwrap();
        assert_eq!(prompt.ids(), [49406, 550, 1014, 1125, 539, 343, 343, 343, 343, 269, 49407]);
        assert_eq!(prompt.places(), 5..9);
    }

    #[test]
    fn a_tower_of_another_joint_space_is_refused() {
        let root = project::root().unwrap();
        let error = Tower::of("elsewhere", None, &root).err().unwrap().to_string();
        assert!(error.contains("--text-encoder"), "{error}");
        let folder = sentence_encoder::fetch().unwrap();
        let error = Tower::of("elsewhere", Some(&folder), &root).err().unwrap().to_string();
        assert!(error.contains("joint space `elsewhere`") || error.contains("of `elsewhere`"), "{error}");
    }
}
