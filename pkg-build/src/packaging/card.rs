//! The model card: what a model was made from, what it can do, and what it must not be used for.

use std::fmt::Write;

use cliper::bundle::Manifest;
use cliper::config::TemporalConfig;
use cliper::metrics::Evaluation;
use cliper::model::descriptors::count_texts;
use serde_json::Value;

use crate::evaluation::explain::figure;
use crate::evaluation::measure::{CardData, Figures, Measured};

/// Terms of the built-in weights.
pub const LICENCE: &str = "MIT OR Apache-2.0 for the weights; see the card for the terms of the data behind them";

/// What the built-in model was trained on.
pub const DATA: &str = "FER2013 pictures (ICML 2013 challenge, gathered from the web; nobody holds a licence to pass \
them on, and no picture is in this bundle) with FER+ votes (Barsoum et al. 2016, MIT)";

const PROTOCOL: &str = "\
FER+, 8 classes: a picture counts as what most of its ten taggers voted for; pictures without votes, and those whose
majority is `unknown` or `NF`, are left out. Training sees the votes' distribution. Every twentieth training picture is
held back: temperature and threshold are fitted on them. FER+'s own scripts measure on fewer pictures, those with more than
half of the votes for one expression, single votes aside: so does a row below. WAR is the share of right answers, UAR the
mean of the recalls.
";

const LIMITS: &str = "\
- The scores name an *apparent* expression: what a face looks like to FER+'s ten taggers, not what a person feels.
- Trained on 48-pixel grey faces from the web, cropped tightly. Live faces were not measured: no labelled ones could be
  had; the perturbations above are made from the same pictures.
- Not measured: differences by skin tone, age, gender or culture. The data carries no such labels.
- The descriptors explain which text the model compares a face with; they are no clinical claim.
";

const LAW: &str = "\
- Law: the EU's AI Act, Art. 5(1)(f), bans inferring emotions at work and in education. Do not use it there.
";

/// A temporal head's part of a card: what it is, what it learned from, and what it is worth beside the mean over time.
pub fn head(config: &TemporalConfig, validation: Option<&Value>, training: Option<&Value>) -> String {
    let mut part = format!(
        "\n## Temporal head\n\nA transformer over time: {} frames, {} layers. Everything above is of the encoder alone.\n\n",
        config.frames, config.layers
    );
    let number = |value: &Value| value.as_f64().map_or("-".to_string(), |share| format!("{:.2} %", 100.0 * share));
    match training {
        Some(training) => {
            let data = &training["data"];
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), String::from);
            let _ = write!(part, "Trained on {} clips of {}", text(&data["count"]), text(&data["data"]));
            if !data["fold"].is_null() {
                let _ = write!(part, ", fold {}", text(&data["fold"]));
            }
            if !data["limit"].is_null() {
                let _ = write!(part, ", the first {} alone (`--limit`)", text(&data["limit"]));
            }
            let config = &training["config"];
            let _ = writeln!(
                part,
                ": {} epochs, batches of {}, rate {}, seed {}. That set's own terms hold for what was learned from it.",
                config["epochs"], config["batch"], config["rate"], config["seed"]
            );
        }
        None => part += "Imported: what it learned from is for its maker to say.\n",
    }
    match validation {
        Some(validation) => {
            let _ = writeln!(
                part,
                "\n| validation clips | WAR | UAR |\n|---|---|---|\n| with the head | {} | {} |\n| mean over time | {} | {} |",
                number(&validation["head"]["war"]),
                number(&validation["head"]["uar"]),
                number(&validation["mean"]["war"]),
                number(&validation["mean"]["uar"])
            );
        }
        None => part += "\nNot measured: measure it on clips of your own before you rely on it.\n",
    }
    part
}

/// The card of a bundle whose weights nobody trained on faces.
pub fn zero_shot(manifest: &Manifest) -> String {
    let encoder = &manifest.encoder;
    format!(
        "# {}\n\nA CLIP image encoder of {} parameters ({:.1} GFLOP a picture, {} x {} pixels), as imported, scored \
         against {} text descriptors of {} apparent expressions. Zero-shot: nothing in it was trained or fitted on \
         faces.\n\n\
         ## Terms\n\nWeights: {}.\n\n\
         ## What to expect\n\n\
         Little. The published zero-shot accuracy of CLIP ViT-B/16 is 40.16 % on RAF-DB (7 expressions), where CLIPER \
         trained on its faces reaches 91.61 %; on FERV39k it is 16.20 % (WAR) against 51.34 %. This bundle was not \
         measured, and its temperature {} was not fitted: its scores are no probabilities. Measure it on your own \
         pictures before you rely on it.\n\n\
         ## Limits\n\n\
         - The scores name an *apparent* expression: what a face looks like, not what a person feels.\n\
         - Not measured: differences by skin tone, age, gender or culture.\n\
         - The descriptors explain which text the model compares a face with; they are no clinical claim.\n\
         - OpenAI's model card calls any deployed use of its CLIP weights out of scope; read that of yours.\n\
         {LAW}",
        manifest.name,
        encoder.parameters(),
        encoder.flops() as f64 / 1e9,
        encoder.side,
        encoder.side,
        count_texts(&manifest.expressions),
        manifest.expressions.len(),
        manifest.licence.trim_end_matches('.'),
        manifest.calibration.temperature
    )
}

/// The card of a trained model, as Markdown.
///
/// - measured: figures of FER+'s validation part and of other data sets, where it was measured
pub fn text(manifest: &Manifest, measured: Option<&Figures>) -> String {
    let encoder = &manifest.encoder;
    let mut card = format!(
        "# {}\n\nAn image encoder of {} parameters ({:.3} GFLOP a picture, {} x {} pixels) that is scored against {} \
         text descriptors of {} apparent expressions.\n\n## Data and terms\n\n{}.\nWeights: {}.\n\n",
        manifest.name,
        encoder.parameters(),
        encoder.flops() as f64 / 1e9,
        encoder.side,
        encoder.side,
        count_texts(&manifest.expressions),
        manifest.expressions.len(),
        DATA,
        manifest.licence.trim_end_matches('.')
    );
    for teacher in teachers(&manifest.provenance) {
        let _ = write!(card, "Taught by {teacher}.\n\n");
    }
    if let Some(learned) = &manifest.learned {
        let _ = write!(
            card,
            "## Descriptors\n\nLearned (METD): token embeddings in the prompt \"{}\", through the frozen text tower. The text \
             of each is the nearest word of the vocabulary to each of its tokens: a hint at what was learned, no clinical \
             claim.\n\n",
            learned.prompt
        );
    }
    match measured {
        Some(measured) => {
            card += &figures(manifest, &measured.validation);
            for (name, data) in &measured.card_data {
                card += &other_labels(name, data);
            }
        }
        None => {
            card +=
                "## Measured\n\nNothing yet, and the temperature was not fitted: the scores are no probabilities.\n\n"
        }
    }
    if let Some(command) = manifest.provenance["command"].as_str() {
        let seed = &manifest.provenance["training"]["config"]["seed"];
        let _ = write!(card, "## Training\n\n`{command}`\n\n");
        card += &earlier(&manifest.provenance);
        for run in starts(&manifest.provenance) {
            let (name, before) = (&run["start"]["name"], &run["start"]["provenance"]["command"]);
            if let (Some(name), Some(before)) = (name.as_str(), before.as_str()) {
                let _ = write!(card, "START is {name}, which came about by:\n\n`{before}`\n\n");
                card += &earlier(&run["start"]["provenance"]);
            }
        }
        let _ = write!(card, "Seed {seed}; every other setting stands in model.json.\n\n");
    }
    card += "## Limits\n\n";
    if let Some(measured) = measured {
        let worst = worst(&measured.validation.evaluation);
        let _ = writeln!(
            card,
            "- Recognised worst: {worst}. Disgust, fear and contempt are rare in the data (191, 652 and 165 training \
             pictures)."
        );
    }
    card + LIMITS + LAW
}

fn figures(manifest: &Manifest, measured: &Measured) -> String {
    let Measured { evaluation, perturbations, coverage, uncertain_below, .. } = measured;
    let chosen = match &manifest.provenance["training"]["teachers"] {
        Value::Null => "The epoch was chosen by WAR",
        _ => "The last epoch's weights are the model; its settings were chosen",
    };
    let mut text = format!(
        "## Protocol\n\n{PROTOCOL}{chosen} on the validation part, so its figures flatter a little; the test part was never \
         read.\n\n## Measured on FER+ validation\n\n\
         | | pictures | WAR | UAR | calibration error (15 bins) |\n|---|---|---|---|---|\n{}",
        row("all", evaluation)
    );
    text += &others(measured);
    text += "\n| expression | pictures | recall |\n|---|---|---|\n";
    for ((name, recall), confused) in evaluation.expressions.iter().zip(&evaluation.recalls).zip(&evaluation.confusion)
    {
        let recall = recall.map_or("-".into(), |recall| format!("{:.1} %", recall * 100.0));
        let _ = writeln!(text, "| {name} | {} | {recall} |", confused.iter().sum::<u32>());
    }
    let _ = write!(
        text,
        "\nReproduce: `cargo pkg evaluate --data ferplus:FOLDER --perturbations`, and with `--deduplicated` and `--mirror`.\n\n\
         ## Calibration, and when to doubt\n\n\
         Scores are a softmax at temperature {:.4}. ",
        manifest.calibration.temperature
    );
    text += &match uncertain_below {
        Some(below) => format!(
            "A prediction whose top score is below {below:.3} is `uncertain`: on the held-back pictures, answers below \
             it were more often wrong than right.\n"
        ),
        None => "No threshold of `uncertain` is set: no answers were more often wrong than right.\n".into(),
    };
    text += "\n| answered where the top score is at least | share answered | of these right |\n|---|---|---|\n";
    for at in coverage {
        let accuracy = at.accuracy.map_or("-".into(), |accuracy| format!("{:.1} %", accuracy * 100.0));
        let own = if *uncertain_below == Some(at.below) { " (the threshold)" } else { "" };
        let _ = writeln!(text, "| {:.3}{own} | {:.1} % | {accuracy} |", at.below, at.coverage * 100.0);
    }
    if let Some(explanations) = &measured.explanations {
        text += "\n";
        text += explanations.card().trim_end();
        text += "\n";
    }
    if !measured.movements.is_empty() {
        text += "\n## Movements\n\nApparent movements beside the expressions (`movements: true`), by MediaPipe's face shapes of the same \
                 pictures; no action units: nobody who codes faces labelled them. AUC: the third that does it most against the third \
                 that does it least.\n\n| movement | AUC | correlation | calibration error (10 bins) |\n|---|---|---|---|\n";
        for found in &measured.movements {
            let (auc, correlation) = (figure(found.auc), figure(found.correlation));
            let _ = writeln!(text, "| {} | {auc} | {correlation} | {:.3} |", found.name, found.calibration_error);
        }
    }
    if !perturbations.is_empty() {
        text += "\n## What changed pictures cost\n\nThe same pictures, changed one way each.\n\n\
                 | perturbation | WAR | UAR | points of WAR lost |\n|---|---|---|---|\n";
        for varied in perturbations {
            let (war, uar) = (varied.war * 100.0, varied.uar * 100.0);
            let _ = writeln!(text, "| {} | {war:.2} % | {uar:.2} % | {:.2} |", varied.name, varied.lost_points);
        }
    }
    text + "\n"
}

/// The nets that taught the model, or what it started from, each once, where `pkg-build/training-gpu` trained it.
fn teachers(provenance: &Value) -> Vec<&str> {
    let mut all: Vec<&str> = Vec::new();
    for run in runs(provenance) {
        let own = run["training"]["teachers"].as_array().into_iter().flatten().filter_map(Value::as_str);
        own.for_each(|teacher| {
            if !all.contains(&teacher) {
                all.push(teacher)
            }
        });
    }
    all
}

/// A run, and those that it goes back to.
fn runs(provenance: &Value) -> impl Iterator<Item = &Value> {
    std::iter::successors(Some(provenance), |run| run["start"].get("provenance"))
}

/// The runs whose starts a card names: up to the one that made the encoder. Where that one began stands in model.json.
fn starts(provenance: &Value) -> impl Iterator<Item = &Value> {
    let before = runs(provenance).skip(1).take_while(|run| run["training"]["stage"] == "metd");
    std::iter::once(provenance).chain(before)
}

/// What held before a run's settings.
fn earlier(provenance: &Value) -> String {
    let line = |held: &Value| {
        let [epoch, epochs, balance] = ["epoch", "epochs", "classBalance"].map(|name| &held[name]);
        format!(
            "Up to epoch {epoch} it ran with `--epochs {epochs} --class-balance {balance}`, and was gone on with from there.\n\n"
        )
    };
    provenance["training"]["earlier"].as_array().into_iter().flatten().map(line).collect()
}

fn row(name: &str, evaluation: &Evaluation) -> String {
    format!(
        "| {name} | {} | {:.2} % | {:.2} % | {:.2} % |\n",
        evaluation.count,
        evaluation.war * 100.0,
        evaluation.uar * 100.0,
        evaluation.calibration_error * 100.0
    )
}

/// Rows of the same pictures in other ways.
fn others(measured: &Measured) -> String {
    [
        (&measured.untied, "those of which one expression has the most votes"),
        (&measured.agreed, "those that more than half of the taggers agree on"),
        (&measured.deduplicated, "without those that also stand in the training part"),
        (&measured.mirrored, "all, each with its mirror image (`mirror: true`)"),
    ]
    .into_iter()
    .filter_map(|(evaluation, name)| evaluation.as_ref().map(|evaluation| row(name, evaluation)))
    .collect()
}

fn other_labels(name: &str, data: &CardData) -> String {
    let Measured { evaluation, .. } = &data.measured;
    let how = match &data.calibration {
        Some(calibration) => format!(
            "Answered in these labels (`labels: '{name}'` in a page), which the encoder learned too: against descriptors of their \
             own, at temperature {:.4}",
            calibration.temperature
        ),
        None => "Only these are scored; the model was trained on FER+ votes, not on these labels".into(),
    };
    format!(
        "## Measured on {name} validation, with its own labels\n\n\
         Its {} expressions: {}. {how}.\n\n\
         | | pictures | WAR | UAR | calibration error (15 bins) |\n|---|---|---|---|---|\n{}{}\n",
        evaluation.expressions.len(),
        evaluation.expressions.join(", "),
        row("all", evaluation),
        others(&data.measured)
    )
}

/// The three lowest recalls, lowest first.
fn worst(evaluation: &Evaluation) -> String {
    let known = evaluation.expressions.iter().zip(&evaluation.recalls);
    let mut known: Vec<(&String, f64)> = known.filter_map(|(name, recall)| Some((name, (*recall)?))).collect();
    known.sort_by(|a, b| a.1.total_cmp(&b.1));
    let shown = known.iter().take(3).map(|(name, recall)| format!("{name} ({:.1} %)", recall * 100.0));
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::{starts, teachers};
    use serde_json::json;

    #[test]
    fn a_teacher_of_two_runs_is_named_once() {
        let first = json!({ "training": { "teachers": ["one", "two"] } });
        let second = json!({ "training": { "teachers": ["two", "three"] }, "start": { "provenance": first } });
        assert_eq!(teachers(&second), ["two", "three", "one"]);
        assert!(teachers(&json!({ "training": {} })).is_empty());
    }

    #[test]
    fn starts_are_named_up_to_the_run_that_made_the_encoder() {
        let start = |name: &str, before| json!({ "name": name, "provenance": before });
        let seeded = json!({ "training": { "stage": "image" }, "command": "first" });
        let encoder = json!({ "training": { "stage": "image" }, "start": start("seeded weights", seeded) });
        let described = json!({ "training": { "stage": "metd" }, "start": start("an encoder", encoder) });
        let again = json!({ "training": { "stage": "metd" }, "start": start("a model", described) });
        let names = |run| starts(run).map(|run| run["start"]["name"].clone()).collect::<Vec<_>>();
        assert_eq!(names(&again), ["a model", "an encoder"]);
        assert_eq!(names(&again["start"]["provenance"]["start"]["provenance"]), ["seeded weights"]);
    }
}
