//! Descriptors as a file of texts writes them: a text, or a text with the movements that it names.

use cliper::model::descriptors::Expression;
use cliper::movements::Movements;
use serde::{Deserialize, Deserializer};

/// One expression of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    name: String,
    descriptors: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a descriptor is a text, or { \"text\": \"...\", \"movements\": { \"jawOpen\": 1 } }")]
enum Descriptor {
    Plain(String),
    Annotated(Annotated),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Annotated {
    text: String,
    #[serde(default)]
    movements: Movements,
}

/// Reads a list of expressions.
pub fn expressions<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<Expression>, D::Error> {
    let expression = |Listed { name, descriptors }: Listed| {
        let (descriptors, movements): (Vec<_>, Vec<_>) = descriptors
            .into_iter()
            .map(|descriptor| match descriptor {
                Descriptor::Plain(text) => (text, Movements::new()),
                Descriptor::Annotated(Annotated { text, movements }) => (text, movements),
            })
            .unzip();
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
    fn other_forms_are_refused_with_the_one_expected() {
        for descriptor in [
            "1",
            r#"{ "movements": {} }"#,
            r#"{ "text": "a", "moves": {} }"#,
            r#"{ "text": "a", "movements": { "jawOpen": "much" } }"#,
        ] {
            let json = format!(r#"[{{ "name": "one", "descriptors": [{descriptor}] }}]"#);
            let error = read(&json).err().unwrap().to_string();
            assert!(error.contains("a descriptor is a text, or {"), "{error}");
        }
    }
}
