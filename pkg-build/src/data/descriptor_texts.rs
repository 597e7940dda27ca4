//! Descriptors as a file of texts writes them: a text, or a text with the movements that it names.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use cliper::model::descriptors::{Expression, check_texts};
use cliper::movements::Movements;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::files;

/// One expression of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    name: String,
    descriptors: Vec<Descriptor>,
}

/// A descriptor's text and movements.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Annotated {
    text: String,
    #[serde(default)]
    movements: Movements,
}

/// The same, or a text alone. Read by hand: serde's own choice between forms would not say in which line it failed.
struct Descriptor(Annotated);

impl<'de> Deserialize<'de> for Descriptor {
    fn deserialize<D: Deserializer<'de>>(source: D) -> std::result::Result<Self, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = Descriptor;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or { \"text\": \"...\", \"movements\": { \"jawOpen\": 1 } }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Descriptor, E> {
                Ok(Descriptor(Annotated { text: text.into(), movements: Movements::new() }))
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> std::result::Result<Descriptor, A::Error> {
                Annotated::deserialize(MapAccessDeserializer::new(fields)).map(Descriptor)
            }
        }
        source.deserialize_any(Forms)
    }
}

/// Reads a list of expressions.
pub fn expressions<'de, D: Deserializer<'de>>(source: D) -> std::result::Result<Vec<Expression>, D::Error> {
    let expression = |Listed { name, descriptors }: Listed| {
        let (descriptors, movements): (Vec<_>, Vec<_>) =
            descriptors.into_iter().map(|Descriptor(Annotated { text, movements })| (text, movements)).unzip();
        let any = movements.iter().any(|movements: &Movements| !movements.is_empty());
        Expression { name, descriptors, movements: if any { movements } else { Vec::new() } }
    };
    Ok(Vec::<Listed>::deserialize(source)?.into_iter().map(expression).collect())
}

/// A list of expressions with descriptors.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    /// Where the texts come from, for people.
    #[serde(default, rename = "source")]
    _source: Option<String>,
    #[serde(deserialize_with = "expressions")]
    pub expressions: Vec<Expression>,
}

/// The movements that a list of expressions names, by descriptor.
pub fn movements(path: &Path) -> Result<HashMap<String, Movements>> {
    let expressions = read_texts(path)?.0.expressions.into_iter();
    Ok(expressions.flat_map(|it| it.descriptors.into_iter().zip(it.movements)).collect())
}

/// Reads a list of expressions with descriptors, and the line of each text.
pub fn read_texts(path: &Path) -> Result<(Texts, Vec<usize>)> {
    let json = files::read_text(path)?;
    let file = path.display();
    let texts: Texts = serde_json::from_str(&json).with_context(|| {
        format!("{file} is no list of expressions; {{\"expressions\": [{{\"name\", \"descriptors\": [texts]}}]}} was expected")
    })?;
    let lines = text_lines(json.as_bytes());
    let mut known: Vec<(&str, usize)> = Vec::new();
    let all =
        texts.expressions.iter().flat_map(|it| it.descriptors.iter().map(|text| (it.name.as_str(), text.as_str())));
    for ((name, text), &line) in all.zip(&lines) {
        if text.trim().is_empty() {
            bail!("{file}, line {line}: a descriptor of `{name}` is empty; a text was expected");
        }
        if let Some((_, other)) = known.iter().find(|(known, _)| *known == text) {
            bail!("{file}, line {line}: the descriptor \"{text}\" stands in line {other} already; each may come once");
        }
        known.push((text, line));
    }
    check_texts(&texts.expressions).with_context(|| file.to_string())?;
    Ok((texts, lines))
}

/// The line of each descriptor: each text four brackets deep, or the value of a `text` five deep, in a file of that form.
fn text_lines(json: &[u8]) -> Vec<usize> {
    let (mut line, mut depth, mut is_text, mut is_escaped, mut lines) = (1, 0usize, false, false, Vec::new());
    let (mut begin, mut before) = (0, &json[..0]);
    for (place, &byte) in json.iter().enumerate() {
        match byte {
            b'\n' => line += 1,
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => {
                is_text = !is_text;
                let is_descriptor = depth == 4 || (depth == 5 && before == b"text");
                if is_text && is_descriptor {
                    lines.push(line);
                }
                if is_text {
                    begin = place + 1;
                } else {
                    // A descriptor is no name of a field, whatever it says.
                    before = if is_descriptor { &json[..0] } else { &json[begin..place] };
                }
            }
            b'{' | b'[' if !is_text => depth += 1,
            b'}' | b']' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> serde_json::Result<Vec<Expression>> {
        expressions(&mut serde_json::Deserializer::from_str(json))
    }

    #[test]
    fn texts_stand_with_and_without_movements() {
        let json = r#"[
            { "name": "one", "descriptors": ["a", "b"] },
            { "name": "two", "descriptors": ["c", { "text": "d", "movements": { "jawOpen": 1 } }, { "text": "e" }] }
        ]"#;
        let found = read(json).unwrap();
        assert_eq!((found[0].descriptors.len(), found[0].movements.len()), (2, 0));
        let named = Movements::from([("jawOpen".to_string(), 1.0)]);
        assert_eq!(found[1].descriptors, ["c", "d", "e"]);
        assert_eq!(found[1].movements, [Movements::new(), named, Movements::new()]);
    }

    #[test]
    fn other_forms_are_refused_with_their_line_and_what_was_expected() {
        for (descriptor, said) in [
            ("1", "expected a text, or {"),
            (r#"{ "movements": {} }"#, "missing field `text`"),
            (r#"{ "text": "a", "moves": {} }"#, "unknown field `moves`"),
            (r#"{ "text": "a", "movements": { "jawOpen": "much" } }"#, "\"much\""),
        ] {
            let json = format!("[{{ \"name\": \"one\", \"descriptors\": [\n{descriptor}\n] }}]");
            let error = read(&json).err().unwrap().to_string();
            assert!(error.contains(said) && error.contains("line 2"), "{error}");
        }
    }

    #[test]
    fn each_text_has_its_line_with_movements_and_without() {
        let json = br#"{ "source": "lines \"of\" texts",
            "expressions": [
                { "name": "one", "descriptors": [
                    "a", "text",
                    { "movements": { "text": 1 },
                      "text": "text" },
                    { "text": "b",
                      "movements": {} }, "c" ] } ] }"#;
        assert_eq!(text_lines(json), [4, 4, 6, 7, 8]);
    }
}
