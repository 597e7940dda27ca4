//! Words and what was taught: descriptors in a page's own words, tokenizers, text sides.

use cliper::WindowState;
use cliper::engine::cpu::text::TextSide;
use cliper::engine::tokens::TextTokenizer;
use cliper::model::descriptors::{Descriptors, Expression};
use cliper::model::own_words::{OwnDescriptor, in_own_words};
use cliper::model::sentence::Sentence;
use cliper::model::teaching::TaughtExpression;
use serde::Deserialize;

use super::input::{Input, check};

const WIDTH: usize = 2;
const BACKBONE: &str = "space";

#[derive(Deserialize)]
#[serde(untagged)]
enum Asked {
    Taught(TaughtExpression),
    Sentence { text: String, embedding: Vec<f32>, mean: f32, deviation: f32 },
    Known { text: String },
}

/// Expressions as a page asks for them, `[[name, [descriptor]]]`: those of a bundle, sentences, and taught ones.
pub fn descriptors(data: &[u8]) -> bool {
    let Ok(asked) = serde_json::from_slice::<Vec<(String, Vec<Asked>)>>(data) else { return false };
    let mut own = Vec::new();
    for (name, asked) in asked {
        let mut descriptors = Vec::new();
        for asked in asked {
            match asked {
                Asked::Taught(taught) => {
                    if taught.check(BACKBONE, WIDTH).is_err() {
                        return false;
                    }
                    assert!(taught.descriptors.iter().all(|it| it.deviation > 0.0 && it.embedding.len() == WIDTH));
                    descriptors.extend(taught.descriptors.into_iter().map(OwnDescriptor::Taught));
                }
                Asked::Sentence { text, embedding, mean, deviation } => {
                    // A session's own door.
                    if embedding.len() != WIDTH {
                        return false;
                    }
                    let Ok(sentence) = Sentence::new(&text, embedding, mean, deviation) else { return false };
                    descriptors.push(OwnDescriptor::Sentence(sentence));
                }
                Asked::Known { text } => descriptors.push(OwnDescriptor::Known(text)),
            }
        }
        own.push((name, descriptors));
    }
    let Ok(made) = in_own_words(&bundle(data.len().is_multiple_of(2)), &own) else { return false };
    for face in [[0.8, 0.6], [-1.0, 0.0]] {
        check(&made.predict(&made.similarities(&face), 0.05, None, WindowState { filled: 1, length: 1 }));
    }
    true
}

/// A bundle's own, with or without what its strengths are made by.
fn bundle(with_quantiles: bool) -> Descriptors {
    let expression = |name: &str, texts: [&str; 2]| Expression {
        name: name.into(),
        descriptors: texts.map(String::from).to_vec(),
        ..Default::default()
    };
    let expressions = vec![expression("joy", ["smile", "grin"]), expression("calm", ["level", "slack"])];
    let plain = Descriptors::new(expressions, vec![1.0, 0.0, 0.8, 0.6, 0.0, 1.0, 0.6, 0.8], WIDTH).expect("a bundle's");
    let quantiles = vec![0.0, 0.2, 0.4, 0.0, 0.2, 0.4, 0.1, 0.2, 0.3, 0.1, 0.2, 0.3];
    if with_quantiles { plain.with_quantiles(quantiles).expect("a bundle's") } else { plain }
}

/// A text with its length before it, then the tokenizer.
pub fn tokenizer(data: &[u8]) -> bool {
    let (text, json) = Input::split(data);
    let Ok(tokenizer) = TextTokenizer::new(json, 64) else { return false };
    let text = String::from_utf8_lossy(text);
    match tokenizer.tokens(&text) {
        Ok(ids) => {
            assert!(ids.len() <= tokenizer.longest());
            ids.into_iter().for_each(|id| drop(tokenizer.word(id)));
            true
        }
        Err(_) => false,
    }
}

/// A text side's description with its length before it, then its weights.
pub fn text_side(data: &[u8]) -> bool {
    let (description, weights) = Input::split(data);
    let Ok(side) = TextSide::load(description, weights, 4) else { return false };
    let texts = ["the brows are raised", "a", ""];
    for text in texts {
        side.looks_foreign(text);
        for sentence in side.embed(&[text]).into_iter().flatten() {
            assert!(sentence.embedding().iter().all(|value| value.is_finite()) && sentence.embedding().len() == 4);
            assert!(sentence.spread()[1] > 0.0);
        }
    }
    true
}
