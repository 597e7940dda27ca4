//! `cargo pkg evaluate`: a bundle against a labelled data set.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use cliper::bundle::Bundle;
use cliper::metrics::Evaluation;

use crate::bundles::{open_session, read_bundle_for, read_text_side};
use crate::data::face_shapes::ShapeTable;
use crate::data::{DataSet, Part, Square};
use crate::evaluation::explain::{self, MovementFigures};
use crate::evaluation::folds::{self, FoldPlan};
use crate::evaluation::locality::{self, EvidenceChoice, Locality};
use crate::evaluation::measure::{Measured, Model, leave_out_seen};
use crate::project;

#[derive(Args)]
pub struct Options {
    /// ferplus:FOLDER; fer2013:FILE, the challenge's table with its own seven labels; also rafdb, affectnet7, affectnet8,
    /// dfew, ferv39k, mafw and afew, each as FOLDER in its own layout
    #[arg(long)]
    data: DataSet,
    /// Of a set with several folds, this one alone, counted from 1; all of them by default
    #[arg(long)]
    fold: Option<usize>,
    /// Which part
    #[arg(long, value_enum, default_value = "valid")]
    part: Part,
    /// Folder of a bundle; the built-in one by default. `{fold}` in it stands for the fold's number
    #[arg(long)]
    bundle: Option<PathBuf>,
    /// Leave out pictures that also stand, pixel for pixel, in the training part
    #[arg(long)]
    deduplicated: bool,
    /// Look at each picture's mirror image too
    #[arg(long)]
    mirror: bool,
    /// Leave the share that each expression has among the training faces out of the scores, to this power, 0 to 1: more of it
    /// finds rare expressions more often, and frequent ones less
    #[arg(long, default_value_t = 0.0)]
    balance: f32,
    /// Measure the first N pictures only
    #[arg(long)]
    limit: Option<usize>,
    /// Measure changed copies too: scale, shift, roll, light, blur, noise, JPEG
    #[arg(long)]
    perturbations: bool,
    /// Measure whether descriptors follow what faces do, as --shapes says; needs descriptors that name movements
    #[arg(long)]
    explanations: bool,
    /// Face shapes of the pictures, which `cargo pkg shapes` wrote
    #[arg(long, requires = "explanations")]
    shapes: Option<PathBuf>,
    /// Descriptor texts with movements, JSON, for a bundle whose descriptors carry none
    #[arg(long)]
    movements: Option<PathBuf>,
    /// Sentences with the movements that they name, JSON lines, such as pkg-build/text-side/unseen.jsonl: measures whether
    /// similarities with them follow what faces do
    #[arg(long, requires = "explanations")]
    sentences: Option<PathBuf>,
    /// Measure where evidence lies, beside the half of the face that descriptors name movements in: best (the exact sum over
    /// patches where the encoder has one), or occlusion, 37 passes a picture on up to 256 of them
    #[arg(long, value_enum)]
    evidence: Option<EvidenceChoice>,
    /// Print JSON: war, uar, count, expressions, confusion, recalls, calibrationError, untied, agreed, uncertainBelow,
    /// coverage, damaged, explanations, movements, sentences, locality, perturbations; of listed sets war, uar, warSpread, uarSpread and folds, each with leftOut and damaged
    #[arg(long)]
    json: bool,
}

pub fn run(options: &Options) -> Result<()> {
    if !options.data.is_in_memory() {
        let Options { data, part, fold, bundle, limit, .. } = options;
        ensure!(
            !options.deduplicated
                && !options.perturbations
                && !options.mirror
                && !options.explanations
                && options.evidence.is_none()
                && options.balance == 0.0,
            "--deduplicated, --perturbations, --mirror, --explanations, --evidence and --balance are for ferplus and fer2013 only"
        );
        let plan = FoldPlan { data, part: *part, fold: *fold, bundle: bundle.as_ref(), limit: *limit };
        return folds::run(&plan, options.json);
    }
    ensure!(options.fold.is_none(), "{} has no folds", options.data.name());
    let folder = project::bundle_folder(options.bundle.as_ref())?;
    let mut bundle = read_bundle_for(&folder, &options.data)?;
    let shapes = if options.explanations { Some(shapes(options, &mut bundle)?) } else { None };
    bundle.manifest.check_balance(options.balance)?;
    if options.balance > 0.0 {
        bundle.descriptors = bundle.descriptors.with_balance(&bundle.manifest.shares, options.balance);
    }
    let calibration = &bundle.manifest.calibration;
    let square = Square::of(&bundle.manifest.encoder, &bundle.manifest.preprocess);
    let (mut examples, report) = options.data.read(options.part, square)?;
    report.print();
    report.check_damage()?;
    if options.deduplicated {
        examples = leave_out_seen(&options.data, examples, square)?;
    }
    examples.truncate(options.limit.unwrap_or(usize::MAX));
    ensure!(!examples.is_empty(), "--limit 0 leaves no picture");
    let start = Instant::now();
    let model = Model { mirror: options.mirror, ..Model::from(&bundle) };
    model.report_unknown(options.data.expressions());
    let mut found = model.measure(&examples, options.data.expressions(), calibration, shapes.as_ref())?;
    found.damaged = report.damaged.len();
    eprintln!("{:.2} ms a picture over all cores", start.elapsed().as_secs_f64() * 1e3 / examples.len() as f64);
    if options.perturbations {
        found.perturbations = model.vary(&examples, &found.evaluation, calibration)?;
    }
    if let (Some(shapes), Some(path)) = (&shapes, &options.sentences) {
        let said = explain::read_sentences(path)?;
        let texts: Vec<&str> = said.iter().map(|said| said.text.as_str()).collect();
        let sentences = read_text_side(&folder, &bundle.manifest)?.embed(&texts)?;
        found.sentences =
            Some(explain::understand(&said, &sentences, &model.embeddings(&examples)?, &examples, shapes)?);
    }
    if let Some(asked) = options.evidence {
        explain::annotate(&mut bundle.descriptors, options.movements.as_deref())?;
        explain::check(&bundle.descriptors)?;
        let open = || open_session(read_bundle_for(&folder, &options.data)?);
        found.locality = Some(locality::measure(open, bundle.descriptors.expressions(), asked, &examples)?);
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        print(&found);
    }
    Ok(())
}

/// The face shapes that explanations are measured by, once the bundle's descriptors name movements.
fn shapes(options: &Options, bundle: &mut Bundle) -> Result<ShapeTable> {
    explain::annotate(&mut bundle.descriptors, options.movements.as_deref())?;
    explain::check(&bundle.descriptors)?;
    let form = options.data.form();
    let path = options.shapes.as_ref().with_context(|| {
        format!(
            "--explanations needs what the faces do: make it with `cargo pkg shapes --data {form} --output FILE`, and \
             name it with --shapes FILE"
        )
    })?;
    ShapeTable::read(path)
}

fn print(found: &Measured) {
    let Measured { evaluation, .. } = found;
    println!("{} pictures: WAR {:.2} %, UAR {:.2} %", evaluation.count, evaluation.war * 100.0, evaluation.uar * 100.0);
    let some = [
        (&found.untied, "of which one expression has the most votes"),
        (&found.agreed, "that more than half of the taggers agree on (FER+'s own majority)"),
    ];
    for (evaluation, which) in some {
        if let Some(Evaluation { count, war, uar, .. }) = evaluation {
            println!("{count} pictures {which}: WAR {:.2} %, UAR {:.2} %", war * 100.0, uar * 100.0);
        }
    }
    println!("calibration error {:.2} %", evaluation.calibration_error * 100.0);
    print!("{}", evaluation.table());
    println!("answered where the top score is at least ...");
    for at in &found.coverage {
        let accuracy = at.accuracy.map_or("-".into(), |accuracy| format!("{:.1} % right", accuracy * 100.0));
        let own = if found.uncertain_below == Some(at.below) { "  (below: uncertain)" } else { "" };
        println!("  {:.3}: {:5.1} % answered, {accuracy}{own}", at.below, at.coverage * 100.0);
    }
    if let Some(explanations) = &found.explanations {
        print!("{}", explanations.table());
    }
    if !found.movements.is_empty() {
        println!("movements beside MediaPipe's face shapes: AUC, correlation, calibration error");
        for MovementFigures { name, auc, correlation, calibration_error } in &found.movements {
            println!(
                "  {name:18} {:>6} {:>6} {calibration_error:.3}",
                explain::figure(*auc),
                explain::figure(*correlation)
            );
        }
    }
    if let Some(sentences) = &found.sentences {
        println!("{} sentences on {} faces: mean AUC {:.3}", sentences.sentences, sentences.faces, sentences.auc);
        for (name, auc) in &sentences.movements {
            println!("  {name:18} {auc:.3}");
        }
    }
    if let Some(Locality { pictures, mouth, brows, brows_and_eyes, descriptors }) = &found.locality {
        println!("positive evidence's variance over {pictures} faces, in the half of the face that is named:");
        for (which, share) in [("mouth, jaw", mouth), ("brows", brows), ("brows, eyes", brows_and_eyes)] {
            println!("  {which:12} {}", explain::figure(*share));
        }
        for it in descriptors {
            println!("  {:.3} {:?}: {}", it.share, it.half, it.text);
        }
    }
    for varied in &found.perturbations {
        println!("{:24} WAR {:.2} %, {:+.2} points", varied.name, varied.war * 100.0, -varied.lost_points);
    }
}
