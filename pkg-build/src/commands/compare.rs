//! `cargo pkg compare`: the expression nets that pages use today and ours on the same pictures, in one page.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;
use cliper::metrics::{Evaluation, restrict};
use serde::{Deserialize, Serialize};

use crate::bundles::read_bundle;
use crate::data::{DataSet, Example, Majority, Part, Square};
use crate::evaluation::measure::find_seen;
use crate::files;
use crate::{build, project};

/// What npm installs, into a folder that is never shipped. human and face-api carry this TensorFlow.js without its wasm.
const PACKAGES: [&str; 3] =
    ["@vladmandic/human@3.3.6", "@vladmandic/face-api@1.7.15", "@tensorflow/tfjs-backend-wasm@4.22.0"];

/// Side of FER2013's pictures, which every net gets as they are: each resizes for itself.
const SIDE: usize = 48;

#[derive(Args)]
pub struct Options {
    /// ferplus:FOLDER or fer2013:FILE, whose validation part is compared on; may come several times
    #[arg(long, required = true)]
    data: Vec<DataSet>,
    /// Folder of a bundle; the built-in one by default
    #[arg(long)]
    bundle: Option<PathBuf>,
    /// Compare on the first N pictures only: a rehearsal
    #[arg(long)]
    limit: Option<usize>,
    /// Use the library and the wasm files that were built last
    #[arg(long)]
    no_build: bool,
    /// Where the record goes; its table lies beside it as .md
    #[arg(long, default_value = "tests/bench/records/compare.json")]
    output: PathBuf,
}

/// What the page answered.
#[derive(Deserialize)]
struct Answered {
    browser: String,
    tfjs: String,
    nets: Vec<Net>,
}

#[derive(Deserialize)]
struct Net {
    name: String,
    version: String,
    bytes: u64,
    /// One a data set.
    answers: Vec<Answers>,
}

#[derive(Deserialize)]
struct Answers {
    /// Ours may answer each data set in its own.
    expressions: Vec<String>,
    /// `[pictures][expressions]`.
    scores: Vec<Vec<f32>>,
    /// Of each picture, milliseconds.
    ms: Vec<f64>,
}

/// What is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    command: String,
    browser: String,
    tfjs: String,
    processor: String,
    nets: Vec<Compared>,
    /// How often the two data sets' labels name the same expression for one picture: what a perfect answer to the
    /// first scores on the second. None where only one was given.
    agreement: Option<Agreement>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Agreement {
    between: [String; 2],
    /// Pictures that both label.
    count: usize,
    /// Share of them, 0..1.
    share: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Compared {
    name: String,
    version: String,
    model_bytes: u64,
    median_ms: f64,
    data: Vec<Figures>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    name: String,
    all: Evaluation,
    /// Without the pictures that also stand in the training part.
    deduplicated: Evaluation,
    /// Those that more than half of the taggers agree on; all of them where a set gives labels instead of votes.
    agreed: Evaluation,
}

/// The pictures of one data set, with what is known of them.
struct Set {
    name: String,
    expressions: Vec<String>,
    truth: Vec<usize>,
    seen: Vec<bool>,
    agreed: Vec<bool>,
}

pub fn run(options: &Options) -> Result<()> {
    let root = project::root()?;
    let bundle = project::bundle_folder(options.bundle.as_ref())?;
    read_bundle(&bundle)?;
    let pictures = tempfile::tempdir()?;
    let mut sets = Vec::new();
    let mut labelled = Vec::new();
    let mut request = Vec::new();
    for (index, data) in options.data.iter().enumerate() {
        let (mut examples, report) = data.read(Part::Valid, Square::plain(SIDE))?;
        report.print();
        examples.truncate(options.limit.unwrap_or(usize::MAX));
        let seen = find_seen(data, &examples, Square::plain(SIDE))?;
        let file = format!("{index}.bin");
        let levels: Vec<u8> = examples.iter().flat_map(|example| example.sample.picture.iter().copied()).collect();
        files::write(&pictures.path().join(&file), &levels)?;
        request.push(serde_json::json!({ "name": file, "count": examples.len(), "set": data.name() }));
        sets.push(Set::new(data, &examples, seen));
        labelled.push(examples);
    }
    let agreement = match (&sets[..], &labelled[..]) {
        ([a, b], [first, second]) => agree([a, b], [first, second]),
        _ => None,
    };
    let request = serde_json::json!({ "side": SIDE, "sets": request });
    files::write(&pictures.path().join("request.json"), request.to_string().as_bytes())?;
    let npm = install()?;
    if !options.no_build {
        build::run()?;
    }
    let answered = ask(&root, pictures.path(), &npm, &bundle)?;
    let record = Record {
        command: command(options),
        browser: answered.browser,
        tfjs: answered.tfjs,
        processor: project::processor(),
        nets: answered.nets.into_iter().map(|net| compare(net, &sets)).collect::<Result<_>>()?,
        agreement,
    };
    let output = root.join(&options.output);
    files::write(&output, (serde_json::to_string_pretty(&record)? + "\n").as_bytes())?;
    let table = table(&record);
    files::write(&project::report_of(&output), table.as_bytes())?;
    print!("{table}");
    Ok(())
}

/// Fetches the nets by npm, once; gives the folder that holds them.
fn install() -> Result<PathBuf> {
    project::check_node()?;
    let folder = project::target_dir()?.join("compare");
    std::fs::create_dir_all(&folder).with_context(|| format!("{} can't be made", folder.display()))?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--legacy-peer-deps"]);
    // npm's own lines must not stand among ours.
    npm.args(PACKAGES).arg("--prefix").arg(&folder).stdout(Stdio::null());
    let status = npm.status().context("npm could not be started")?;
    ensure!(status.success(), "npm could not fetch {}; its output above says why", PACKAGES.join(", "));
    Ok(folder.join("node_modules"))
}

fn ask(root: &Path, pictures: &Path, npm: &Path, bundle: &Path) -> Result<Answered> {
    let page = Command::new("node")
        .arg("tests/bench/scripts/compare.mjs")
        .args([pictures, npm, &bundle.canonicalize()?])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("node could not be started")?;
    ensure!(page.status.success(), "tests/bench/scripts/compare.mjs failed; its output above says why");
    serde_json::from_slice(&page.stdout).context("tests/bench/scripts/compare.mjs printed no answers")
}

impl Set {
    fn new(data: &DataSet, examples: &[Example], seen: Vec<bool>) -> Self {
        Self {
            name: data.name().into(),
            expressions: data.expressions().iter().map(|&name| name.into()).collect(),
            truth: examples.iter().map(|example| example.label).collect(),
            seen,
            agreed: examples.iter().map(|example| example.majority == Majority::Half).collect(),
        }
    }

    /// Figures of all pictures, of those that are not also training pictures and of those that taggers agree on.
    fn figures(&self, names: &[String], scores: &[Vec<f32>]) -> Result<Figures> {
        ensure!(
            scores.len() == self.truth.len() && scores.iter().all(|row| row.len() == names.len()),
            "the page answered {} of {} pictures of {}",
            scores.len(),
            self.truth.len(),
            self.name
        );
        let scores: Vec<Vec<f32>> = scores.iter().map(|row| restrict(row, names, &self.expressions)).collect();
        let evaluation = |keep: &dyn Fn(usize) -> bool| {
            let kept: Vec<usize> = (0..scores.len()).filter(|&index| keep(index)).collect();
            let scores: Vec<Vec<f32>> = kept.iter().map(|&index| scores[index].clone()).collect();
            let truth: Vec<usize> = kept.iter().map(|&index| self.truth[index]).collect();
            Evaluation::new(self.expressions.clone(), &scores, &truth)
        };
        Ok(Figures {
            name: self.name.clone(),
            all: evaluation(&|_| true),
            deduplicated: evaluation(&|index| !self.seen[index]),
            agreed: evaluation(&|index| self.agreed[index]),
        })
    }
}

fn compare(net: Net, sets: &[Set]) -> Result<Compared> {
    let mut ms: Vec<f64> = net.answers.iter().flat_map(|answers| answers.ms.iter().copied()).collect();
    ms.sort_by(f64::total_cmp);
    let figures = |(set, answers): (&Set, &Answers)| set.figures(&answers.expressions, &answers.scores);
    Ok(Compared {
        median_ms: ms.get(ms.len() / 2).copied().unwrap_or_default(),
        data: sets.iter().zip(&net.answers).map(figures).collect::<Result<_>>()?,
        name: net.name,
        version: net.version,
        model_bytes: net.bytes,
    })
}

/// How often two data sets' labels name the same expression for the same pixels.
fn agree([a, b]: [&Set; 2], [first, second]: [&[Example]; 2]) -> Option<Agreement> {
    let name = |set: &Set, example: &Example| set.expressions[example.label].clone();
    let known: HashMap<&[u8], String> =
        first.iter().map(|example| (example.sample.picture.as_slice(), name(a, example))).collect();
    let found: Vec<bool> = second
        .iter()
        .filter_map(|example| Some(*known.get(example.sample.picture.as_slice())? == name(b, example)))
        .collect();
    let agreeing = found.iter().filter(|&&same| same).count();
    (!found.is_empty()).then(|| Agreement {
        between: [a.name.clone(), b.name.clone()],
        count: found.len(),
        share: agreeing as f64 / found.len() as f64,
    })
}

/// What to type for the same record.
fn command(options: &Options) -> String {
    let mut command = String::from("cargo pkg compare");
    for data in &options.data {
        command += " --data ";
        command += data.form();
    }
    if let Some(limit) = options.limit {
        let _ = write!(command, " --limit {limit}");
    }
    command
}

/// The record for people, as Markdown.
fn table(record: &Record) -> String {
    let mut text = format!(
        "# Expression nets of pages, compared\n\n\
         The validation pictures, whole, given straight to each net with the net's own resizing and statistics; one \
         page, one thread each on wasm, by turns, one picture at a time. Made by `{}` ({}, TensorFlow.js {}, {}; shared \
         cores: ratios count). \"Deduplicated\" leaves out pictures that also stand in the training part; \"agreed\" are those that \
         more than half of the taggers agree on, single votes aside, as FER+'s own scripts have it. human and face-api \
         know no contempt: its pictures count as wrong for them. Ours answers a data set in its own labels where it \
         has learned them.\n\n\
         | net | version | model, bytes | ms a picture, median |\n|---|---|---|---|\n",
        record.command, record.browser, record.tfjs, record.processor
    );
    for net in &record.nets {
        let _ = writeln!(text, "| {} | {} | {} | {:.1} |", net.name, net.version, net.model_bytes, net.median_ms);
    }
    let sets = record.nets.first().map_or(0, |net| net.data.len());
    for set in 0..sets {
        let data = &record.nets[0].data[set];
        let _ = write!(
            text,
            "\n## {}, {} expressions, {} pictures ({} deduplicated, {} agreed)\n\n\
             | net | WAR | UAR | WAR, deduplicated | UAR, deduplicated | WAR, agreed | UAR, agreed |\n|---|---|---|---|---|---|---|\n",
            data.name,
            data.all.expressions.len(),
            data.all.count,
            data.deduplicated.count,
            data.agreed.count
        );
        for net in &record.nets {
            let Figures { all, deduplicated, agreed, .. } = &net.data[set];
            let shares =
                [all, deduplicated, agreed].map(|of| format!(" {:.2} % | {:.2} % |", of.war * 100.0, of.uar * 100.0));
            let _ = writeln!(text, "| {} |{}", net.name, shares.concat());
        }
    }
    if let Some(Agreement { between: [a, b], count, share }) = &record.agreement {
        let _ = write!(
            text,
            "\nThe labels of {a} and {b} name the same expression for {:.2} % of the {count} pictures that both label: so \
             much would a net score on {b} that always gives {a}'s answer.\n",
            share * 100.0
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_scored_by_the_name_of_the_expression_and_without_seen_pictures() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_string()).collect::<Vec<_>>();
        let set = Set {
            name: "faces".into(),
            expressions: names(&["neutral", "contempt", "anger"]),
            truth: vec![0, 1, 2, 2],
            seen: vec![true, false, false, false],
            agreed: vec![true, true, false, true],
        };
        // The net has its own order and knows no contempt.
        let scores = [[0.1, 0.8, 0.1], [0.0, 0.9, 0.1], [0.7, 0.2, 0.1], [0.3, 0.4, 0.3]].map(Vec::from).to_vec();
        let net = Net {
            name: "net".into(),
            version: "1".into(),
            bytes: 10,
            answers: vec![Answers {
                expressions: names(&["anger", "neutral", "joy"]),
                scores,
                ms: vec![3.0, 1.0, 2.0, 9.0],
            }],
        };
        let found = compare(net, &[set]).unwrap();
        let Figures { all, deduplicated, agreed, .. } = &found.data[0];
        assert_eq!(all.confusion, vec![vec![1, 0, 0], vec![1, 0, 0], vec![1, 0, 1]]);
        assert_eq!((all.war, deduplicated.war, deduplicated.count), (0.5, 1.0 / 3.0, 3));
        assert_eq!((agreed.war, agreed.count), (1.0 / 3.0, 3));
        assert_eq!(found.median_ms, 3.0);
        let record = Record {
            command: "cargo pkg compare".into(),
            browser: "browser".into(),
            tfjs: "4".into(),
            processor: "processor".into(),
            nets: vec![found],
            agreement: None,
        };
        let table = table(&record);
        assert!(table.contains("| net | 1 | 10 | 3.0 |"), "{table}");
        assert!(table.contains("| net | 50.00 % | 50.00 % | 33.33 % | 25.00 % | 33.33 % | 33.33 % |"), "{table}");
    }

    #[test]
    fn labels_of_the_same_pixels_are_held_against_each_other() {
        let set = |name: &str, expressions: [&str; 2]| Set {
            name: name.into(),
            expressions: expressions.map(String::from).to_vec(),
            truth: Vec::new(),
            seen: Vec::new(),
            agreed: Vec::new(),
        };
        let (a, b) = (set("a", ["anger", "fear"]), set("b", ["fear", "anger"]));
        let examples = |labels: &[(u8, usize)]| -> Vec<Example> {
            let sample =
                |level: u8| cliper::train::Sample { picture: vec![level; 4], votes: Vec::new(), auxiliary: Vec::new() };
            labels
                .iter()
                .map(|&(level, label)| Example {
                    sample: sample(level),
                    label,
                    majority: Majority::Half,
                    votes: None,
                    picture: level.to_string(),
                })
                .collect()
        };
        let (first, second) = (examples(&[(1, 0), (2, 1), (3, 0)]), examples(&[(2, 0), (1, 0), (9, 1), (3, 1)]));
        let found = agree([&a, &b], [&first, &second]).unwrap();
        assert_eq!((found.count, found.share), (3, 2.0 / 3.0));
        assert!(agree([&a, &b], [&first, &[]]).is_none());
    }

    #[test]
    fn missing_answers_are_refused() {
        let set = Set {
            name: "faces".into(),
            expressions: vec!["a".into()],
            truth: vec![0, 0],
            seen: vec![false; 2],
            agreed: vec![true; 2],
        };
        assert!(set.figures(&["a".into()], &[vec![1.0]]).err().unwrap().to_string().contains("1 of 2"));
    }
}
