//! A bundle's text side as JavaScript sees it, in a file of its own: fetched when somebody brings words.

use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::{JsResult, plain, thrown};
use crate::engine::cpu::text::TextSide as Inner;

/// A sentence in the bundle's joint space, as a session takes it.
#[derive(Serialize)]
struct Embedded<'a> {
    text: &'a str,
    embedding: &'a [f32],
    mean: f32,
    deviation: f32,
    /// Its words may not be English.
    foreign: bool,
}

/// Sentences in anybody's words -> the joint space that the bundle's faces lie in.
#[wasm_bindgen]
pub struct TextSide {
    inner: Inner,
}

#[wasm_bindgen]
impl TextSide {
    /// From the bytes of the two files that the bundle lists for it.
    ///
    /// - width: of the joint space
    #[wasm_bindgen(constructor)]
    pub fn new(description: &[u8], weights: &[u8], width: usize) -> JsResult<TextSide> {
        Ok(Self { inner: Inner::load(description, weights, width).map_err(thrown)? })
    }

    /// `[{ text, embedding, mean, deviation, foreign }]`, in the sentences' order.
    pub fn embed(&self, texts: Vec<String>) -> JsResult<JsValue> {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let sentences = self.inner.embed(&texts).map_err(thrown)?;
        let embedded = sentences.iter().map(|sentence| {
            let ([mean, deviation], text) = (sentence.spread(), sentence.text());
            let foreign = self.inner.looks_foreign(text);
            Embedded { text, embedding: sentence.embedding(), mean, deviation, foreign }
        });
        plain(&embedded.collect::<Vec<_>>())
    }
}
