//! `cargo pkg classify`: pictures and clips -> predictions, as JSON, as CSV or as a table.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};

use anyhow::{Result, anyhow, ensure};
use clap::Args;
use cliper::bundle::Manifest;
use cliper::engine::cpu::CpuEngine;
use cliper::face::{DetectorOptions, FaceDetector};
use cliper::model::sentence::Sentence;
use cliper::preprocess::Picture;
use cliper::session::{AskedEvidence, Look, Session};
use cliper::{DescriptorSimilarity, FaceState, PicturePrediction, Prediction};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::bundles::{open_session, read_bundle, read_bundle_in, read_text_side};
use crate::data::clips::{self, ClipFaces, ClipPrediction, Cut, Moment};
use crate::evaluation::locality::EvidenceChoice;
use crate::files::Failed;
use crate::media::pictures::read_picture;
use crate::packaging::detector;
use crate::project;

#[derive(Args)]
pub struct Options {
    /// Pictures of a face, cropped to it, or clips: folders of frames, animated GIFs and, with ffmpeg on the PATH, films;
    /// any of them with --face
    #[arg(required = true)]
    pictures: Vec<PathBuf>,
    /// Folder of a bundle; the built-in one by default
    #[arg(long)]
    bundle: Option<PathBuf>,
    /// Answer in a label set that the bundle has learned, e.g. FER2013
    #[arg(long)]
    labels: Option<String>,
    /// Find the faces first, and look at the upright square around each
    #[arg(long)]
    face: bool,
    /// With --face: 2 and more find smaller faces, in more time
    #[arg(long, default_value_t = 1, requires = "face")]
    zoom: usize,
    /// Of a picture: look at its mirror image too, in twice the encoder's time; most models are right more often so
    #[arg(long)]
    mirror: bool,
    /// Of a picture, with --json: where on it each similarity comes from; `--evidence=occlusion` covers a cell after the
    /// other, which any encoder allows and takes 37 times as long
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "best")]
    evidence: Option<EvidenceChoice>,
    /// Say what the parts of the face seem to do: apparent movements, 0..1
    #[arg(long)]
    movements: bool,
    /// A sentence in your own words to compare the face with, such as 'lips parted a little'; may come several times
    #[arg(long = "text", value_name = "SENTENCE")]
    texts: Vec<String>,
    /// Of a clip: leave out what lies before, seconds
    #[arg(long, default_value_t = 0.0)]
    from: f64,
    /// Of a clip: leave out what lies at or after, seconds; the end by default
    #[arg(long)]
    to: Option<f64>,
    /// Of a clip: frames to look at, evenly spread; the bundle's own number by default
    #[arg(long)]
    frames: Option<usize>,
    /// Of a clip that is a folder: its frames a second
    #[arg(long, default_value_t = 25.0)]
    rate: f64,
    /// Files to look at at once, each by a model of its own; as many as there are cores where there are many files
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Print JSON, each answer as it comes: an array of { path, prediction }, with --face of { path, state, faces }; clips, and with --face each of
    /// their faces, have a timeline of { time, top, scores } too
    #[arg(long)]
    json: bool,
    /// Of clips: print the time-lines as CSV: path, with --face the face, time, one column an expression
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

#[derive(Serialize)]
struct Classified {
    path: String,
    #[serde(flatten)]
    answer: Answer,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Whole { prediction: Prediction },
    Faces(PicturePrediction),
    Clip(ClipPrediction),
    ClipFaces(ClipFaces),
}

pub fn run(options: &Options) -> Result<()> {
    let evidence = options.evidence.map(AskedEvidence::from);
    ensure!(evidence.is_none() || options.json, "--evidence is a grid for each descriptor; add --json to print it");
    let look = Look { mirrored: options.mirror, evidence };
    for path in &options.pictures {
        if clips::is_clip(path) {
            ensure!(!options.mirror, "--mirror is for pictures; {} is a clip", path.display());
            ensure!(evidence.is_none(), "--evidence is for pictures; {} is a clip", path.display());
        } else {
            ensure!(!options.csv, "--csv prints the time-lines of clips; {} is none", path.display());
        }
    }
    let session = open(options.bundle.as_ref(), options.labels.as_deref())?;
    let names: Vec<String> = session.manifest().expressions.iter().map(|expression| expression.name.clone()).collect();
    let sentences = sentences(options, session.manifest())?;
    let first = Looker::new(session, options, look, sentences)?;
    let mut printer = Printer::new(options, &names)?;
    let mut failed = Failed::default();
    answer_all(first, options, |path, answer| match failed.take(path, answer) {
        Some(answer) => printer.print(Classified { path: path.display().to_string(), answer }),
        None => Ok(()),
    })?;
    printer.finish()?;
    failed.check()
}

/// Gives every file's answer in order as it comes, by as many lookers at once as there are jobs.
fn answer_all(
    first: Looker,
    options: &Options,
    mut give: impl FnMut(&Path, Result<Answer>) -> Result<()>,
) -> Result<()> {
    let files = &options.pictures;
    let jobs = jobs(options, first.session.manifest());
    let bar = progress(files.len())?;
    let next = AtomicUsize::new(0);
    let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|index| *index < files.len());
    let (look, sentences) = (first.look, first.sentences.clone());
    // A session stays in its thread.
    let open =
        || Looker::new(open(options.bundle.as_ref(), options.labels.as_deref())?, options, look, sentences.clone());
    let (sender, receiver) = mpsc::channel();
    let work = |sender: Sender<(usize, Result<Answer>)>| -> Result<()> {
        let mut looker = open()?;
        while let Some(index) = take() {
            // Where nobody listens any more the work is over.
            if sender.send((index, looker.answer(&files[index]))).is_err() {
                break;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let (work, senders) = (&work, vec![sender; jobs - 1]);
        let threads: Vec<_> = senders.into_iter().map(|sender| scope.spawn(move || work(sender))).collect();
        let (mut first, mut early, mut given) = (first, BTreeMap::new(), 0);
        let mut give_what_is_next = |index: usize, answer: Result<Answer>| -> Result<()> {
            early.insert(index, answer);
            while let Some(answer) = early.remove(&given) {
                bar.inc(1);
                bar.suspend(|| give(&files[given], answer))?;
                given += 1;
            }
            Ok(())
        };
        while let Some(index) = take() {
            give_what_is_next(index, first.answer(&files[index]))?;
            receiver.try_iter().try_for_each(|(index, answer)| give_what_is_next(index, answer))?;
        }
        receiver.iter().try_for_each(|(index, answer)| give_what_is_next(index, answer))?;
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a job panicked; its message stands above"))??;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    bar.finish_and_clear();
    Ok(())
}

/// As many jobs as were asked for, or as pay: opening a model takes as long as a few pictures, and each job holds one.
fn jobs(options: &Options, manifest: &Manifest) -> usize {
    const FILES_FOR_ONE: usize = 16;
    const MOST_BYTES: u64 = 1 << 30;
    let files = options.pictures.len();
    let bytes: u64 = manifest.needed_files().map(|file| file.bytes).sum();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let pay = cores.min(files.div_ceil(FILES_FOR_ONE)).min((MOST_BYTES / bytes.max(1)) as usize);
    options.jobs.map_or(pay, usize::from).clamp(1, files)
}

/// What answers for one file after the other.
struct Looker<'a> {
    options: &'a Options,
    look: Look,
    sentences: Vec<Sentence>,
    session: Session<CpuEngine>,
    detector: Option<FaceDetector>,
}

impl<'a> Looker<'a> {
    fn new(
        mut session: Session<CpuEngine>,
        options: &'a Options,
        look: Look,
        sentences: Vec<Sentence>,
    ) -> Result<Self> {
        session.set_movements(options.movements)?;
        session.set_sentences(sentences.clone())?;
        let detector = options.face.then(|| open_detector(options.zoom)).transpose()?;
        Ok(Self { options, look, sentences, session, detector })
    }

    fn answer(&mut self, path: &Path) -> Result<Answer> {
        if clips::is_clip(path) {
            return clip(&mut self.session, self.detector.as_ref(), path, self.options);
        }
        let (rgba, width, height) = read_picture(path)?;
        let picture = Picture::new(&rgba, width, height)?;
        Ok(match &mut self.detector {
            Some(detector) => {
                Answer::Faces(pollster::block_on(self.session.recognize_faces(detector, picture, self.look))?)
            }
            None => Answer::Whole { prediction: pollster::block_on(self.session.recognize_with(picture, self.look))? },
        })
    }
}

/// Prints each answer as it comes.
enum Printer {
    Text,
    /// Whether anything stands in the array yet.
    Json {
        has_any: bool,
    },
    Csv(Box<csv::Writer<std::io::Stdout>>),
}

impl Printer {
    fn new(options: &Options, names: &[String]) -> Result<Self> {
        if options.csv {
            let mut table = csv::Writer::from_writer(std::io::stdout());
            // Faces of a clip are rows of their own.
            let columns: &[&str] = if options.face { &["path", "face", "time"] } else { &["path", "time"] };
            table.write_record(columns.iter().copied().chain(names.iter().map(String::as_str)))?;
            return Ok(Self::Csv(Box::new(table)));
        }
        Ok(if options.json { Self::Json { has_any: false } } else { Self::Text })
    }

    fn print(&mut self, classified: Classified) -> Result<()> {
        match self {
            Self::Text => print_text(&classified),
            Self::Json { has_any } => {
                let start = if std::mem::replace(has_any, true) { ",\n" } else { "[\n" };
                let text = serde_json::to_string_pretty(&classified)?.replace('\n', "\n  ");
                print!("{start}  {text}");
                std::io::stdout().flush()?;
            }
            Self::Csv(table) => print_rows(table, &classified)?,
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        match self {
            Self::Text => {}
            Self::Json { has_any } => println!("{}", if has_any { "\n]" } else { "[]" }),
            Self::Csv(mut table) => table.flush()?,
        }
        Ok(())
    }
}

/// For people.
fn print_text(Classified { path, answer }: &Classified) {
    match answer {
        Answer::Clip(ClipPrediction { prediction, timeline }) => {
            print(path, prediction);
            print_timeline(timeline);
        }
        Answer::ClipFaces(ClipFaces { state: FaceState::NoFace, .. }) => println!("{path}: no face"),
        Answer::ClipFaces(ClipFaces { faces, .. }) => {
            for face in faces {
                print(&format!("{path}, face {}, seen {} times", face.id, face.timeline.len()), &face.prediction);
                print_timeline(&face.timeline);
            }
        }
        Answer::Whole { prediction } => print(path, prediction),
        Answer::Faces(PicturePrediction { state: FaceState::NoFace, .. }) => println!("{path}: no face"),
        Answer::Faces(PicturePrediction { faces, .. }) => {
            for found in faces {
                let place = found.face.r#box;
                let [x, y, width, height] = [place.x, place.y, place.width, place.height].map(f32::round);
                print(&format!("{path}, face at {x}, {y}, {width} x {height}"), &found.prediction);
            }
        }
    }
}

/// How far many pictures are; nothing for a few, and nothing where nobody watches.
fn progress(count: usize) -> Result<ProgressBar> {
    const MANY: usize = 10;
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} pictures, {eta} to go")?;
    Ok(if count < MANY { ProgressBar::hidden() } else { ProgressBar::new(count as u64).with_style(style) })
}

fn print_timeline(timeline: &[Moment]) {
    for moment in timeline {
        let most = moment.scores.iter().copied().fold(0.0, f32::max);
        println!("  {:7.2} s  {:10} {:5.1} %", moment.time, moment.top, most * 100.0);
    }
}

/// A clip's answer, with its progress on standard error.
fn clip(
    session: &mut Session<CpuEngine>,
    detector: Option<&FaceDetector>,
    path: &Path,
    options: &Options,
) -> Result<Answer> {
    let Options { from, to, frames, rate, zoom, .. } = *options;
    // Several bars at once would overwrite each other.
    let bar = if jobs(options, session.manifest()) > 1 { ProgressBar::hidden() } else { ProgressBar::new(0) };
    let bar = bar.with_style(ProgressStyle::with_template("{bar:30} {pos}/{len} frames")?);
    let cut = Cut { from, to, frames, rate };
    let progress = |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    };
    let found = match detector {
        None => clips::recognize(session, path, &cut, progress).map(Answer::Clip),
        Some(detector) => clips::recognize_faces(session, detector, zoom, path, &cut, progress).map(Answer::ClipFaces),
    };
    bar.finish_and_clear();
    found
}

/// The time-line of a clip, or of each of its faces.
fn print_rows(table: &mut csv::Writer<std::io::Stdout>, Classified { path, answer }: &Classified) -> Result<()> {
    let timelines: Vec<(Option<u64>, &[Moment])> = match answer {
        Answer::Clip(clip) => vec![(None, &clip.timeline)],
        Answer::ClipFaces(clip) => clip.faces.iter().map(|face| (Some(face.id), &face.timeline[..])).collect(),
        _ => Vec::new(),
    };
    for (face, moment) in timelines.iter().flat_map(|(face, timeline)| timeline.iter().map(move |it| (face, it))) {
        let mut row = vec![path.clone()];
        row.extend(face.map(|face| face.to_string()));
        row.push(format!("{:.3}", moment.time));
        row.extend(moment.scores.iter().map(|score| format!("{score:.5}")));
        table.write_record(row)?;
    }
    Ok(table.flush()?)
}

fn open_detector(zoom: usize) -> Result<FaceDetector> {
    let mut detector = detector::built_in()?;
    detector.set_options(DetectorOptions { zoom, ..DetectorOptions::default() })?;
    Ok(detector)
}

fn print(name: &str, prediction: &Prediction) {
    let doubt = if prediction.uncertain { ", uncertain" } else { "" };
    println!("{name}: {} ({:.1} %{doubt})", prediction.top.name, prediction.top.score * 100.0);
    for expression in &prediction.expressions {
        let best = expression.descriptors.first();
        let why = best.map_or(String::new(), |best| format!("{} {}", shown(best), best.text));
        println!("  {:10} {:5.1} %  {why}", expression.name, expression.score * 100.0);
    }
    for text in prediction.texts.iter().flatten() {
        println!("  {} {}", shown(text), text.text);
    }
    for movement in prediction.movements.iter().flatten() {
        println!("  {:18} {:.2}", movement.name, movement.score);
    }
}

/// A strength for people, or the similarity where a bundle has none.
fn shown(found: &DescriptorSimilarity) -> String {
    match found.strength {
        Some(strength) => format!("{:3.0} %", strength * 100.0),
        None => format!("{:+.3}", found.similarity),
    }
}

/// The sentences that were asked about, through the bundle's own text side.
fn sentences(options: &Options, manifest: &Manifest) -> Result<Vec<Sentence>> {
    if options.texts.is_empty() {
        return Ok(Vec::new());
    }
    let folder = project::bundle_folder(options.bundle.as_ref())?;
    let side = read_text_side(&folder, manifest)?;
    for text in options.texts.iter().filter(|text| side.looks_foreign(text)) {
        eprintln!(
            "\"{text}\" does not look like English, the only language that the text side reads: its strength may mean nothing"
        );
    }
    Ok(side.embed(&options.texts.iter().map(String::as_str).collect::<Vec<_>>())?)
}

/// A session of a bundle on the lean CPU encoder.
///
/// - labels: the label set to answer in; the bundle's own expressions without one
pub fn open(bundle: Option<&PathBuf>, labels: Option<&str>) -> Result<Session<CpuEngine>> {
    let folder = project::bundle_folder(bundle)?;
    open_session(match labels {
        Some(labels) => read_bundle_in(&folder, labels)?,
        None => read_bundle(&folder)?,
    })
}
