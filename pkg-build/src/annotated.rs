//! Descriptors as a file of texts writes them: a text, or a text with the movements that it names.

use std::fmt;

use cliper::model::descriptors::Expression;
use cliper::movements::Movements;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

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
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = Descriptor;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or { \"text\": \"...\", \"movements\": { \"jawOpen\": 1 } }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Descriptor, E> {
                Ok(Descriptor(Annotated { text: text.into(), movements: Movements::new() }))
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Descriptor, A::Error> {
                Annotated::deserialize(MapAccessDeserializer::new(fields)).map(Descriptor)
            }
        }
        source.deserialize_any(Forms)
    }
}

/// Reads a list of expressions.
pub fn expressions<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<Expression>, D::Error> {
    let expression = |Listed { name, descriptors }: Listed| {
        let (descriptors, movements): (Vec<_>, Vec<_>) =
            descriptors.into_iter().map(|Descriptor(Annotated { text, movements })| (text, movements)).unzip();
        let any = movements.iter().any(|movements: &Movements| !movements.is_empty());
        Expression { name, descriptors, movements: if any { movements } else { Vec::new() } }
    };
    Ok(Vec::<Listed>::deserialize(source)?.into_iter().map(expression).collect())
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
}
