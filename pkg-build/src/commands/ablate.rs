//! `cargo pkg ablate`: what each part of CLIPER's training is worth, on one encoder, with the same seeds for every method.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use cliper::engine::burn::TrainingCpu;
use cliper::metrics::Evaluation;
use cliper::model::descriptors::Descriptors;
use cliper::tensors::sha256;
use cliper::train::{EpochRecord, Features, LinearHead, MetdConfig, MetdTrainer, Sample, TrainConfig, Trainer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::data::split::{check_names, names, pictures, samples};
use crate::data::{DataSet, Example, Square};
use crate::evaluation::encode::evaluation;
use crate::files;
use crate::project;
use crate::training::fit::chosen;
use crate::training::initial_model::InitialModel;
use crate::training::provenance::plain;
use crate::training::tower::Tower;
use crate::training::{encoder, metd};

/// A text that no encoder here was trained against.
const UNSEEN: &str = "a photo of a face that shows {}";
/// The linear head's own settings: it is cheap, so it gets what it needs to settle.
const LINEAR: (usize, f64) = (20, 0.01);

#[derive(Args)]
pub struct Options {
    /// ferplus:FOLDER, with FER2013Train and FER2013Valid
    #[arg(long)]
    data: DataSet,
    /// The bundle whose encoder every method starts from; the built-in one by default
    #[arg(long)]
    from: Option<PathBuf>,
    /// The text tower of its joint space, where it is not all-MiniLM-L6-v2
    #[arg(long)]
    text_encoder: Option<PathBuf>,
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 3])]
    seeds: Vec<u64>,
    /// Train on the first N pictures only
    #[arg(long)]
    limit: Option<usize>,
    /// Choose and measure on the first N validation pictures only
    #[arg(long)]
    valid_limit: Option<usize>,
    /// Of the image encoder's stage
    #[arg(long, default_value_t = 2)]
    epochs: usize,
    /// Of the image encoder's stage; CLIPER's is for an encoder 80 times the size of the built-in one
    #[arg(long, default_value_t = TrainConfig::second_stage(cliper::config::PreprocessConfig::clip()).rate)]
    rate: f64,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Where the results go, as .json and .md; what is there of the same settings is kept and gone on with
    #[arg(long, default_value = "tests/bench/records/ablation")]
    output: PathBuf,
}

/// The figures of one method with one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    method: String,
    /// None where nothing is drawn.
    seed: Option<u64>,
    war: f64,
    uar: f64,
    /// The epoch that was chosen; none where nothing was trained.
    epoch: Option<usize>,
}

/// All figures with the settings they belong to.
#[derive(Serialize, Deserialize)]
struct Results {
    settings: Value,
    outcomes: Vec<Outcome>,
}

/// The methods in the table's order: a name and what it says.
const METHODS: [(&str, &str); 8] = [
    ("texts", "the texts it was trained against"),
    ("unseen", "unseen texts, one for each expression: zero-shot in the texts"),
    ("linear", "linear head on the frozen encoder"),
    ("fine-tune", "full fine-tune with those texts"),
    ("metd-1", "METD K = 1, M = 4, stage 1 alone (encoder frozen)"),
    ("two-stage-1", "METD K = 1, M = 4, both stages"),
    ("metd-5", "METD K = 5, M = 4, stage 1 alone (encoder frozen)"),
    ("two-stage-5", "METD K = 5, M = 4, both stages"),
];

pub fn run(options: &Options) -> Result<()> {
    let from = project::bundle_folder(options.from.as_ref())?;
    let start = InitialModel::read(&from)?;
    let (texts, _) = start.descriptors.clone().context("the encoder of --from has no descriptors; name a bundle")?;
    check_names(&texts, &options.data, &from)?;
    let tower = Tower::of(&start.backbone, options.text_encoder.as_deref(), &from)?;
    let (train, mut valid) = pictures(&options.data, Square::of(&start.encoder, &start.preprocess), options.limit)?;
    valid.truncate(options.valid_limit.unwrap_or(usize::MAX));
    let settings = json!({
        "start": { "name": start.origin.name, "manifest": sha256(&files::read(&from.join("model.json"))?) },
        "seeds": options.seeds,
        "trainingPictures": train.len(),
        "validationPictures": valid.len(),
        "epochs": options.epochs,
        "rate": options.rate,
        "threads": options.threads,
        "linear": { "epochs": LINEAR.0, "rate": LINEAR.1 },
        "metd": plain(&MetdConfig::default())?,
        "unseen": UNSEEN,
    });
    let json = options.output.with_extension("json");
    let kept = json.is_file().then(|| files::read(&json)).transpose()?;
    let kept = kept.and_then(|bytes| serde_json::from_slice::<Results>(&bytes).ok());
    let results = kept.filter(|kept| kept.settings == settings).unwrap_or(Results { settings, outcomes: Vec::new() });
    let votes = train.iter().map(|example| example.sample.votes.clone()).collect();
    let choosing = metd::encode(&start, &valid)?;
    let training = Features::new(&metd::encode(&start, &train)?, votes)?;
    let choices = Features::new(&choosing, valid.iter().map(|example| example.sample.votes.clone()).collect())?;
    let samples = samples(train);
    let mut ablation = Ablation { options, start, texts, tower, valid, choosing, choices, training, samples, results };
    ablation.fixed()?;
    for &seed in &options.seeds {
        ablation.linear(seed)?;
        ablation.fine_tune(seed)?;
        for descriptors in [1, 5] {
            ablation.two_stages(seed, descriptors)?;
        }
    }
    print!("{}", ablation.results.table()?);
    Ok(())
}

struct Ablation<'a> {
    options: &'a Options,
    start: InitialModel,
    texts: Descriptors,
    tower: Tower,
    valid: Vec<Example>,
    choosing: Vec<Vec<f32>>,
    choices: Features,
    training: Features,
    samples: Vec<Sample>,
    results: Results,
}

impl Ablation<'_> {
    /// Texts as they are: nothing is trained.
    fn fixed(&mut self) -> Result<()> {
        let sentences: Vec<String> = names().map(|name| UNSEEN.replace("{}", name)).collect();
        let encoded = self.tower.encode(&sentences.iter().map(String::as_str).collect::<Vec<_>>())?;
        let unseen = metd::describe(sentences, encoded)?;
        for (method, descriptors) in [("texts", self.texts.clone()), ("unseen", unseen)] {
            let rows: Vec<Vec<f32>> = self.choosing.iter().map(|picture| descriptors.similarities(picture)).collect();
            let found = evaluation(&descriptors, &rows, &self.valid, 0.01);
            self.add(Outcome { method: method.into(), seed: None, war: found.war, uar: found.uar, epoch: None })?;
        }
        Ok(())
    }

    fn linear(&mut self, seed: u64) -> Result<()> {
        if self.results.has("linear", seed) {
            return Ok(());
        }
        let clock = Instant::now();
        let device = Default::default();
        let mut head = LinearHead::<TrainingCpu>::new(self.training.width(), names().count(), seed, &device);
        let truth: Vec<usize> = self.valid.iter().map(|example| example.label).collect();
        let mut history = Vec::new();
        for epoch in 1..=LINEAR.0 {
            let loss = head.epoch(&self.training, MetdConfig::default().batch, LINEAR.1);
            let found = Evaluation::new(names().map(String::from).collect(), &head.scores(&self.choices)?, &truth);
            let seconds = clock.elapsed().as_secs_f64();
            history.push(EpochRecord { epoch, loss, seconds, war: found.war, uar: found.uar });
        }
        self.add_best("linear", seed, &history)
    }

    fn fine_tune(&mut self, seed: u64) -> Result<()> {
        if self.results.has("fine-tune", seed) {
            return Ok(());
        }
        let history = self.second_stage(seed, &self.texts)?;
        self.add_best("fine-tune", seed, &history)
    }

    fn two_stages(&mut self, seed: u64, descriptors: usize) -> Result<()> {
        let [first, second] = ["metd", "two-stage"].map(|method| format!("{method}-{descriptors}"));
        if self.results.has(&second, seed) {
            return Ok(());
        }
        let config = MetdConfig { per_expression: descriptors, seed, ..MetdConfig::default() };
        let prompt = self.tower.prompt(&config.prompt, config.tokens)?;
        let (tower, backbone) = (self.tower.encoder(), &self.start.backbone);
        let mut trainer = MetdTrainer::new(config, names().count(), tower, &prompt, backbone, &Default::default())?;
        let mut best = Vec::new();
        metd::train(&mut trainer, &self.training, &self.choosing, &self.valid, |_, embeddings| {
            best = embeddings.unwrap_or(std::mem::take(&mut best));
            Ok(())
        })?;
        let places = (0..names().count() * descriptors).map(|place| place.to_string()).collect();
        let learned = metd::describe(places, best)?;
        let history = trainer.history().to_vec();
        self.add_best(&first, seed, &history)?;
        let history = self.second_stage(seed, &learned)?;
        self.add_best(&second, seed, &history)
    }

    fn second_stage(&self, seed: u64, descriptors: &Descriptors) -> Result<Vec<EpochRecord>> {
        let InitialModel { encoder, preprocess, weights, backbone, .. } = &self.start;
        let config = TrainConfig {
            epochs: self.options.epochs,
            rate: self.options.rate,
            threads: self.options.threads,
            seed,
            ..TrainConfig::second_stage(preprocess.clone())
        };
        let device = Default::default();
        let mut trainer = Trainer::<TrainingCpu>::from_weights(
            encoder.clone(),
            config,
            weights.clone(),
            descriptors,
            backbone,
            &device,
        )?;
        encoder::train(&mut trainer, &self.samples, &self.valid, descriptors, |_, _| Ok(()))?;
        Ok(trainer.history().to_vec())
    }

    fn add_best(&mut self, method: &str, seed: u64, history: &[EpochRecord]) -> Result<()> {
        let best = chosen(history).context("no epoch was trained")?;
        let (war, uar, epoch) = (best.war, best.uar, Some(best.epoch));
        self.add(Outcome { method: method.into(), seed: Some(seed), war, uar, epoch })
    }

    /// Adds an outcome and writes all of them: a run that is stopped goes on behind the last one.
    fn add(&mut self, outcome: Outcome) -> Result<()> {
        let seed = outcome.seed.map_or(String::new(), |seed| format!(", seed {seed}"));
        eprintln!("{}{seed}: WAR {:.2} % UAR {:.2} %", outcome.method, outcome.war * 100.0, outcome.uar * 100.0);
        self.results.outcomes.retain(|other| (&other.method, other.seed) != (&outcome.method, outcome.seed));
        self.results.outcomes.push(outcome);
        let record = self.options.output.with_extension("json");
        files::write(&record, (serde_json::to_string_pretty(&self.results)? + "\n").as_bytes())?;
        files::write(&project::report_of(&record), self.results.table()?.as_bytes())
    }
}

impl Results {
    fn has(&self, method: &str, seed: u64) -> bool {
        self.outcomes.iter().any(|outcome| outcome.method == method && outcome.seed == Some(seed))
    }

    /// The page for people.
    fn table(&self) -> Result<String> {
        let settings = &self.settings;
        let seeds: Vec<String> = settings["seeds"].as_array().into_iter().flatten().map(Value::to_string).collect();
        let mut page = format!(
            "# What each part of the training is worth\n\n\
             Written by `cargo pkg ablate --data ferplus:FOLDER --limit {} --valid-limit {} --epochs {} --rate {} --seeds \
             {}`; settings and every seed's figures: `ablation.json`.\n\n\
             Every method starts from the encoder of `{}` and is trained on the first pictures of FER+'s training part ({}); \
             figures are of the first of its validation part ({}), on which the epoch was chosen too. Mean and standard \
             deviation over the seeds. TrainingStage 1: {} passes at rate {}. Image encoder: rate {}, weight decay 0.1, passes: {}. \
             CLIPER's loss at temperature 0.01 in all but the linear head (cross-entropy, {} passes at rate {}).\n\n\
             | method | WAR | UAR | seeds |\n|---|---|---|---|\n",
            settings["trainingPictures"],
            settings["validationPictures"],
            settings["epochs"],
            settings["rate"],
            seeds.join(","),
            settings["start"]["name"].as_str().unwrap_or_default(),
            settings["trainingPictures"],
            settings["validationPictures"],
            settings["metd"]["epochs"],
            settings["metd"]["rate"],
            settings["rate"],
            settings["epochs"],
            settings["linear"]["epochs"],
            settings["linear"]["rate"],
        );
        for (method, text) in METHODS {
            let of: Vec<&Outcome> = self.outcomes.iter().filter(|outcome| outcome.method == method).collect();
            if of.is_empty() {
                continue;
            }
            let figure = |value: fn(&Outcome) -> f64| {
                let (mean, spread) = mean_and_spread(&of.iter().map(|&outcome| value(outcome)).collect::<Vec<_>>());
                spread.map_or(format!("{:.2} %", mean * 100.0), |spread| {
                    format!("{:.2} ± {:.2} %", mean * 100.0, spread * 100.0)
                })
            };
            let (war, uar, count) = (figure(|outcome| outcome.war), figure(|outcome| outcome.uar), of.len());
            writeln!(page, "| {text} | {war} | {uar} | {count} |")?;
        }
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let steps = number(&settings["trainingPictures"]) / number(&settings["metd"]["batch"]).max(1);
        let steps = steps * number(&settings["metd"]["epochs"]);
        let _ = write!(
            page,
            "\n## What it says and what not\n\n- TrainingStage 1 had {steps} steps; RAF-DB's 12,271 pictures give it 190. With few \
             pictures its descriptors are hardly trained.\n"
        );
        page += "\
            - The start is no general-purpose encoder: it was trained on these faces, against these texts, and its epoch was \
            chosen on this validation part. So the first row is the finished model, not a zero-shot one; the unseen texts \
            come nearer to that, but the encoder knows the faces.\n\
            - Fine-tuning has little left to win from such a start; the table shows whether learned descriptors lose \
            anything against written ones, and what freezing costs. It can't repeat the paper's gain over CLIP.\n\
            - No pretrained CLIP was at hand. With one, the same command answers the paper's question: `cargo pkg import`, \
            `describe` and `pack`, then `cargo pkg ablate --from BUNDLE --text-encoder IMPORTED`.\n";
        ensure!(!self.outcomes.is_empty(), "no outcome yet");
        Ok(page)
    }
}

/// Mean, and from two values on the standard deviation of a sample.
fn mean_and_spread(values: &[f64]) -> (f64, Option<f64>) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_mean_and_spread_over_seeds() {
        let outcome =
            |method: &str, seed, war| Outcome { method: method.into(), seed, war, uar: war / 2.0, epoch: None };
        let outcomes = vec![
            outcome("linear", Some(1), 0.50),
            outcome("linear", Some(2), 0.52),
            outcome("linear", Some(3), 0.54),
            outcome("texts", None, 0.7),
        ];
        let results = Results { settings: json!({ "seeds": [1, 2, 3] }), outcomes };
        let table = results.table().unwrap();
        assert!(
            table.contains("| linear head on the frozen encoder | 52.00 ± 2.00 % | 26.00 ± 1.00 % | 3 |"),
            "{table}"
        );
        assert!(table.contains("| the texts it was trained against | 70.00 % | 35.00 % | 1 |"), "{table}");
        assert!(results.has("linear", 2) && !results.has("linear", 4) && !results.has("texts", 1));
    }
}
