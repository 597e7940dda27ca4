//! Whether a model's descriptors follow what faces do: figures on a data set with its face shapes, and how they are shown.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Result, ensure};
use cliper::metrics::{Explanations, LEAST_OWN, LEAST_SHARE, MeasuredFace};
use cliper::model::descriptors::{Descriptors, has_movements};
use serde::{Deserialize, Serialize};

use crate::data::face_shapes::ShapeTable;
use crate::data::{Example, descriptor_texts};

/// Votes that a face's expression needs, where a set has votes: what taggers disagree on explains nothing.
const LEAST_VOTES: u8 = 5;

/// Explanations of a data set's faces.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// Pictures of the set.
    pub pictures: usize,
    /// Of them, those that the table of face shapes has.
    pub with_shapes: usize,
    /// Of those, the ones in which a face was found.
    pub found: usize,
    #[serde(flatten)]
    pub figures: Explanations,
}

/// Refuses a model whose descriptors name nothing that could be measured.
pub fn check(descriptors: &Descriptors) -> Result<()> {
    ensure!(
        has_movements(descriptors.expressions()),
        "the descriptors of this model name no movements: annotate their texts as pkg-build/descriptors/ferplus.json \
         does, and name that file with --movements"
    );
    Ok(())
}

/// Gives descriptors the movements that a file of texts knows of them; without a file, leaves them as they are.
pub fn annotate(descriptors: &mut Descriptors, texts: Option<&Path>) -> Result<()> {
    if let Some(path) = texts {
        let known = descriptor_texts::movements(path)?;
        descriptors.annotate(|text| known.get(text).cloned())?;
        ensure!(
            has_movements(descriptors.expressions()),
            "{} names the movements of none of the model's descriptors; their texts must be the same",
            path.display()
        );
    }
    Ok(())
}

/// Measures explanations.
///
/// - names: the expressions that the examples' labels count
pub fn measure(
    descriptors: &Descriptors,
    similarities: &[Vec<f32>],
    examples: &[Example],
    names: &[&str],
    shapes: &ShapeTable,
) -> Result<Explained> {
    check(descriptors)?;
    let rows: Vec<_> = examples.iter().map(|example| shapes.get(&example.picture)).collect();
    let (pictures, with_shapes) = (examples.len(), rows.iter().flatten().count());
    let found = rows.iter().flatten().flatten().count();
    let file = shapes.path.display();
    ensure!(
        2 * with_shapes >= pictures,
        "{file} has rows of {with_shapes} of the {pictures} pictures only; make those of this set: cargo pkg shapes \
         --data SET --output {file}"
    );
    if examples.iter().any(|example| example.votes.is_none()) {
        eprintln!("the set has labels and no votes: explanations are measured on all of its faces");
    }
    let own: Vec<Option<usize>> = names.iter().map(|name| descriptors.names().position(|own| own == *name)).collect();
    let clear = |example: &Example| example.votes.is_none_or(|votes| votes >= LEAST_VOTES);
    let faces: Vec<MeasuredFace> = examples
        .iter()
        .zip(similarities)
        .zip(&rows)
        .filter(|((example, _), _)| clear(example))
        .filter_map(|((example, similarities), row)| {
            Some(MeasuredFace { similarities, expression: own[example.label], shapes: (*row)?? })
        })
        .collect();
    eprintln!(
        "{file} has rows of {with_shapes} of {pictures} pictures, {found} with a face; explanations are measured on {}",
        faces.len()
    );
    ensure!(
        !faces.is_empty(),
        "no face is left to measure explanations on: at least {LEAST_VOTES} votes must agree on one"
    );
    let figures = Explanations::new(descriptors.expressions(), &faces)?;
    Ok(Explained { pictures, with_shapes, found, figures })
}

impl Explained {
    /// The figures as lines for people.
    pub fn table(&self) -> String {
        let Explanations { faces, expressions, .. } = &self.figures;
        let mut table = format!("explanations on {faces} faces, by the movements that descriptors name\n");
        let _ = writeln!(table, "{:14} {:>6} {:>7} {:>7} {:>8} {:>8}", "", "faces", "AUC", "own", "most", "correl.");
        for it in expressions {
            let most = it.most_frequent.as_ref();
            let _ = writeln!(
                table,
                "{:14} {:6} {:>7} {:>7} {:>8} {:>8}  {}",
                it.name,
                it.faces,
                figure(it.auc),
                figure(it.own_auc),
                figure(most.map(|most| most.share)),
                figure(it.correlation),
                most.map_or("", |most| &most.text)
            );
        }
        let Explanations { auc, own_auc, most_frequent, correlation, .. } = &self.figures;
        let means = [auc, own_auc, most_frequent, correlation].map(|value| figure(*value));
        let _ = writeln!(
            table,
            "{:21} {:>7} {:>7} {:>8} {:>8}  largest share {}",
            "mean",
            means[0],
            means[1],
            means[2],
            means[3],
            figure(self.figures.largest_most_frequent)
        );
        for it in expressions.iter().flat_map(|expression| &expression.descriptors) {
            let _ = writeln!(table, "{:>7} {:>7}  {}", figure(it.auc), figure(it.own_auc), it.text);
        }
        table
    }

    /// The section of a model card.
    pub fn card(&self) -> String {
        let Explanations { faces, auc, own_auc, most_frequent, largest_most_frequent, correlation, expressions } =
            &self.figures;
        let mut text = format!(
            "## Whether the descriptors follow what faces do\n\n\
             Measured on {faces} of the faces, those with at least {LEAST_VOTES} votes for one expression and with shapes \
             by MediaPipe's face landmarker (found in {} of {} pictures), which nobody checked by eye. AUC: how well a \
             descriptor's similarity, less the mean of its expression's, tells the third of the faces that do most what \
             it names from the third that do least (0.5 is chance, 1 is best); own: among the faces of its expression \
             alone, where there are {LEAST_OWN}. Most frequent: the share of an expression's faces on which one and the \
             same descriptor comes first; the mean is over expressions with {LEAST_SHARE} faces. Correlation: of the \
             similarities of an expression's descriptors, pair by pair.\n\n\
             | expression | faces | AUC | AUC, own | most frequent | correlation |\n|---|---|---|---|---|---|\n",
            self.found, self.with_shapes
        );
        for it in expressions {
            let share = figure(it.most_frequent.as_ref().map(|most| most.share));
            let [auc, own, correlation] = [it.auc, it.own_auc, it.correlation].map(figure);
            let _ = writeln!(text, "| {} | {} | {auc} | {own} | {share} | {correlation} |", it.name, it.faces);
        }
        let [auc, own, share, largest, correlation] =
            [auc, own_auc, most_frequent, largest_most_frequent, correlation].map(|value| figure(*value));
        let _ = write!(
            text,
            "| mean | {faces} | {auc} | {own} | {share}, at most {largest} | {correlation} |\n\n\
             | descriptor | AUC | AUC, own |\n|---|---|---|\n"
        );
        for it in expressions.iter().flat_map(|expression| &expression.descriptors) {
            let _ = writeln!(text, "| {} | {} | {} |", it.text, figure(it.auc), figure(it.own_auc));
        }
        text + "\n"
    }
}

fn figure(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{value:.3}"))
}
