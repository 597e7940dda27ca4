//! Whether a model's descriptors follow what faces do: figures on a data set with its face shapes, and how they are shown.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use cliper::math::dot;
use cliper::metrics::{Explanations, LEAST_OWN, LEAST_SHARE, MeasuredFace, correlation, outer_thirds_auc};
use cliper::model::descriptors::{Descriptors, has_movements};
use cliper::model::movement_set::MovementSet;
use cliper::model::rows::similarities;
use cliper::model::sentence::Sentence;
use cliper::movements::{Movements, check_movements, movement, wanted};
use serde::{Deserialize, Serialize};

use crate::data::face_shapes::{FaceShapes, ShapeTable};
use crate::data::{Example, descriptor_texts};
use crate::files;

/// Votes that a face's expression needs, where a set has votes: what taggers disagree on explains nothing.
const LEAST_VOTES: u8 = 5;

/// Whether enough taggers see the same expression in a face.
pub fn is_clear(example: &Example) -> bool {
    example.votes.is_none_or(|votes| votes >= LEAST_VOTES)
}

/// The faces of which the table has shapes, each with whatever stands for it.
pub fn shaped<'a, T>(
    each: &'a [T],
    examples: &'a [Example],
    shapes: &'a ShapeTable,
) -> impl Iterator<Item = (&'a T, &'a Example, &'a FaceShapes)> {
    each.iter().zip(examples).filter_map(|(one, example)| Some((one, example, shapes.get(&example.picture).flatten()?)))
}

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
    let faces: Vec<MeasuredFace> = examples
        .iter()
        .zip(similarities)
        .zip(&rows)
        .filter(|((example, _), _)| is_clear(example))
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

/// How a movement that a model answers with agrees with MediaPipe's face shape of that name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MovementFigures {
    pub name: String,
    /// AUC of the score for the third of the faces that do it most against the third that do it least.
    pub auc: Option<f64>,
    /// Correlation of score and face shape.
    pub correlation: Option<f64>,
    /// Calibration error: mean over ten bins of equal count of the difference of mean score and mean face shape.
    pub calibration_error: f64,
}

/// Measures a model's movements.
///
/// - embeddings: of the examples, unit length
pub fn agree(
    set: &MovementSet,
    embeddings: &[Vec<f32>],
    examples: &[Example],
    shapes: &ShapeTable,
) -> Result<Vec<MovementFigures>> {
    const BINS: usize = 10;
    let faces: Vec<_> = shaped(embeddings, examples, shapes).collect();
    ensure!(faces.len() >= BINS, "only {} faces have shapes: movements can't be measured", faces.len());
    let scores: Vec<_> =
        faces.iter().map(|(embedding, ..)| set.scores(&similarities(set.embeddings(), embedding))).collect();
    let figures = |(index, name): (usize, &String)| {
        let mut pairs: Vec<(f64, f64)> = scores
            .iter()
            .zip(&faces)
            .map(|(scores, (.., shapes))| {
                (f64::from(scores[index].score), f64::from(movement(name, shapes).unwrap_or_default()))
            })
            .collect();
        let (found, truth): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
        pairs.sort_by(|one, other| one.0.total_cmp(&other.0));
        let bins = pairs.chunks(pairs.len().div_ceil(BINS));
        let gap = |bin: &[(f64, f64)]| (bin.iter().map(|pair| pair.0 - pair.1).sum::<f64>()).abs() / pairs.len() as f64;
        MovementFigures {
            name: name.clone(),
            auc: outer_thirds_auc(&found, &truth),
            correlation: correlation(&found, &truth),
            calibration_error: bins.map(gap).sum(),
        }
    };
    Ok(set.names().iter().enumerate().map(figures).collect())
}

/// How well similarities with sentences follow what the sentences say, on faces with shapes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Understood {
    /// Sentences with a figure.
    pub sentences: usize,
    /// Faces.
    pub faces: usize,
    /// Mean over the sentences of the AUC of the similarity for the third of the faces that do most what it says against the
    /// third that do least.
    pub auc: f64,
    /// The same over the sentences in which a movement has the largest weight, by movement.
    pub movements: BTreeMap<String, f64>,
    /// Each sentence's.
    pub each: Vec<(String, f64)>,
}

/// One sentence of a file, JSON lines.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    pub text: String,
    pub movements: Movements,
}

/// Reads sentences with the movements that they name, a JSON object a line.
pub fn read_sentences(path: &Path) -> Result<Vec<Said>> {
    let text = files::read_text(path)?;
    let read = |(index, line): (usize, &str)| -> Result<Said> {
        let place = || format!("{}, line {}", path.display(), index + 1);
        let said: Said = serde_json::from_str(line).with_context(place)?;
        check_movements(&said.movements, &said.text).with_context(place)?;
        Ok(said)
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(read).collect()
}

/// Measures sentences.
///
/// - embeddings: of the examples, unit length
pub fn understand(
    said: &[Said],
    sentences: &[Sentence],
    embeddings: &[Vec<f32>],
    examples: &[Example],
    shapes: &ShapeTable,
) -> Result<Understood> {
    let faces: Vec<_> = shaped(embeddings, examples, shapes).filter(|(_, example, _)| is_clear(example)).collect();
    let rows: Vec<_> = faces.iter().map(|(.., shapes)| *shapes).collect();
    let (mut each, mut by_movement) = (Vec::new(), BTreeMap::<String, Vec<f64>>::new());
    for (said, sentence) in said.iter().zip(sentences) {
        let similarities: Vec<f64> =
            faces.iter().map(|(embedding, ..)| f64::from(dot(sentence.embedding(), embedding))).collect();
        let Some(auc) = outer_thirds_auc(&similarities, &wanted(&said.movements, &rows)) else { continue };
        each.push((said.text.clone(), auc));
        let most = said.movements.values().fold(0.0f32, |most, weight| most.max(weight.abs()));
        for (name, _) in said.movements.iter().filter(|(_, weight)| weight.abs() == most) {
            by_movement.entry(name.clone()).or_default().push(auc);
        }
    }
    ensure!(!each.is_empty(), "no sentence names a movement that these {} faces differ in", faces.len());
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let all: Vec<f64> = each.iter().map(|(_, auc)| *auc).collect();
    Ok(Understood {
        sentences: each.len(),
        faces: faces.len(),
        auc: mean(&all),
        movements: by_movement.iter().map(|(name, values)| (name.clone(), mean(values))).collect(),
        each,
    })
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

/// A figure for people, or a dash where there is none.
pub fn figure(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{value:.3}"))
}
