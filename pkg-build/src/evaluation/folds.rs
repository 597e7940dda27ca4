//! A bundle measured on listed clips and pictures, fold by fold, over the expressions that both know.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use cliper::bundle::Bundle;
use cliper::engine::Engine;
use cliper::engine::cpu::CpuEngine;
use cliper::metrics::{Evaluation, restrict};
use serde::Serialize;

use crate::bundles::read_bundle;
use crate::data::embeddings::embed;
use crate::data::{DataSet, Labelled, Part};
use crate::project;

/// What is measured.
pub struct FoldPlan<'a> {
    pub data: &'a DataSet,
    pub part: Part,
    /// One fold alone, counted from 1.
    pub fold: Option<usize>,
    /// `{fold}` in its path stands for the fold's number: a bundle for each.
    pub bundle: Option<&'a PathBuf>,
    /// The first clips of each fold alone.
    pub limit: Option<usize>,
}

/// The figures of one fold, beside the expressions that bundle and data share.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fold {
    pub fold: usize,
    #[serde(flatten)]
    pub evaluation: Evaluation,
    /// Clips of expressions that the bundle does not know.
    pub left_out: usize,
    /// Clips that can't be read.
    pub damaged: usize,
}

/// The figures over all folds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Folds {
    /// Mean over the folds, 0..1.
    pub war: f64,
    pub uar: f64,
    /// Standard deviation over the folds (of n - 1), where there are several.
    pub war_spread: Option<f64>,
    pub uar_spread: Option<f64>,
    pub folds: Vec<Fold>,
}

/// Measures and prints.
pub fn run(plan: &FoldPlan, json: bool) -> Result<()> {
    let numbers = plan.fold.map_or(1..=plan.data.folds(), |fold| fold..=fold);
    let folds = numbers.map(|fold| measure(plan, fold)).collect::<Result<Vec<_>>>()?;
    let (war, war_spread) = mean_and_spread(folds.iter().map(|fold| fold.evaluation.war));
    let (uar, uar_spread) = mean_and_spread(folds.iter().map(|fold| fold.evaluation.uar));
    let found = Folds { war, uar, war_spread, uar_spread, folds };
    if json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    for fold in &found.folds {
        let Evaluation { war, uar, count, .. } = fold.evaluation;
        println!("fold {}: {count} clips, WAR {:.2} %, UAR {:.2} %", fold.fold, war * 100.0, uar * 100.0);
        fold.evaluation.table().lines().for_each(|line| println!("  {line}"));
    }
    if let (Some(war_spread), Some(uar_spread)) = (war_spread, uar_spread) {
        let [war, war_spread, uar, uar_spread] = [war, war_spread, uar, uar_spread].map(|share| share * 100.0);
        println!(
            "{} folds: WAR {war:.2} % (spread {war_spread:.2}), UAR {uar:.2} % (spread {uar_spread:.2})",
            found.folds.len()
        );
    }
    Ok(())
}

fn measure(plan: &FoldPlan, fold: usize) -> Result<Fold> {
    let named = plan.bundle.map(|path| PathBuf::from(path.to_string_lossy().replace("{fold}", &fold.to_string())));
    let bundle = read_bundle(&project::bundle_folder(named.as_ref())?)?;
    let mut listing = plan.data.list(plan.part, fold)?;
    listing.clips.truncate(plan.limit.unwrap_or(usize::MAX));
    listing.report.print();
    let shared = shared(&bundle, &listing.expressions)?;
    let (clips, others): (Vec<Labelled>, Vec<Labelled>) =
        listing.clips.into_iter().partition(|clip| shared.contains(&clip.expression));
    if !others.is_empty() {
        eprintln!("{} of expressions that the bundle does not know are left out", others.len());
    }
    let embedded = embed(&bundle, &clips, frames(&bundle))?;
    embedded.damaged.iter().take(20).for_each(|reason| eprintln!("  {reason}"));
    let names: Vec<String> = bundle.manifest.expressions.iter().map(|expression| expression.name.clone()).collect();
    let wanted: Vec<String> = shared.iter().map(|&name| name.to_owned()).collect();
    let temperature = bundle.manifest.calibration.temperature;
    let width = bundle.manifest.encoder.embedding;
    let engine = CpuEngine::from_bundle(&mut bundle.clone())?;
    let (mut scores, mut truth) = (Vec::new(), Vec::new());
    for (clip, embeddings) in clips.iter().zip(&embedded.clips) {
        let Some(embeddings) = embeddings else { continue };
        let frames: Vec<Vec<f32>> = embeddings.chunks_exact(width).map(<[f32]>::to_vec).collect();
        // A picture is compared as it is, not as a clip that stands still.
        let seen = if clip.frames.len() == 1 { 1 } else { frames.len() };
        let window: Vec<&Vec<f32>> = frames[..seen].iter().collect();
        let similarities = pollster::block_on(engine.similarities(&window))?;
        let all = bundle.descriptors.scores(&similarities, temperature);
        scores.push(restrict(&all, &names, &wanted));
        truth.push(shared.iter().position(|name| *name == clip.expression).unwrap_or_default());
    }
    ensure!(!scores.is_empty(), "no clip of fold {fold} can be read");
    Ok(Fold {
        fold,
        evaluation: Evaluation::new(wanted, &scores, &truth),
        left_out: others.len(),
        damaged: listing.report.damaged.len() + embedded.damaged.len(),
    })
}

/// Frames of a clip that a bundle looks at: as many as its head has positions, or its window.
pub fn frames(bundle: &Bundle) -> usize {
    bundle.manifest.temporal.as_ref().map_or(bundle.manifest.window, |temporal| temporal.frames)
}

/// The data's expressions that the bundle knows too, in the data's order.
fn shared(bundle: &Bundle, expressions: &[&'static str]) -> Result<Vec<&'static str>> {
    let known = |name: &&str| bundle.manifest.expressions.iter().any(|expression| expression.name == *name);
    let (shared, unknown): (Vec<&str>, Vec<&str>) = expressions.iter().partition(|name| known(name));
    ensure!(
        shared.len() >= 2,
        "the bundle knows fewer than two of the data's expressions ({}); name its expressions so",
        expressions.join(", ")
    );
    let others = bundle.manifest.expressions.iter().map(|expression| expression.name.as_str());
    let others: Vec<&str> = others.filter(|name| !shared.contains(name)).collect();
    if !unknown.is_empty() || !others.is_empty() {
        let list = |names: &[&str]| if names.is_empty() { "none".into() } else { names.join(", ") };
        eprintln!(
            "scored over the {} expressions that bundle and data share; of the data alone: {}; of the bundle alone: {}",
            shared.len(),
            list(&unknown),
            list(&others)
        );
    }
    Ok(shared)
}

fn mean_and_spread(values: impl Iterator<Item = f64> + Clone) -> (f64, Option<f64>) {
    let count = values.clone().count();
    let mean = values.clone().sum::<f64>() / count as f64;
    let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
    (mean, (count > 1).then(|| (squares / (count - 1) as f64).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::mean_and_spread;

    #[test]
    fn one_fold_has_no_spread() {
        assert_eq!(mean_and_spread([0.5].into_iter()), (0.5, None));
        let (mean, spread) = mean_and_spread([0.4, 0.6].into_iter());
        assert_eq!(mean, 0.5);
        assert!((spread.unwrap() - 0.02f64.sqrt()).abs() < 1e-12);
    }
}
