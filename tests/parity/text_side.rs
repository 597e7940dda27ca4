//! The built-in model's text side against PyTorch, and sentences that it can't take.

use cliper::ErrorKind;
use cliper::engine::cpu::text::TextSide;
use serde::Deserialize;

use crate::support::fixture;

#[derive(Deserialize)]
struct Expected {
    sentences: Vec<String>,
    embeddings: Vec<Vec<f32>>,
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/pkg-build/models/ferplus-small/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn built_in() -> TextSide {
    TextSide::load(&file("text.json"), &file("text.safetensors"), 384).unwrap()
}

/// Every value within 2e-6 of a unit vector: f32 sums in another order.
#[test]
fn sentences_are_where_pytorch_puts_them() {
    let Expected { sentences, embeddings } = serde_json::from_slice(&fixture("text_side", "embeddings.json")).unwrap();
    let texts: Vec<&str> = sentences.iter().map(String::as_str).collect();
    let found = built_in().embed(&texts).unwrap();
    for ((found, wanted), text) in found.iter().zip(&embeddings).zip(&texts) {
        let most = found.embedding().iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
        assert!(most < 2e-6, "{text}: {most:e}");
        assert_eq!(found.text(), *text);
    }
}

#[test]
fn many_sentences_at_once_are_each_as_it_is_alone() {
    let side = built_in();
    let texts: Vec<String> = (0..500).map(|index| format!("{} lips, brow number {index}", index % 7)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let all = side.embed(&texts).unwrap();
    assert_eq!(all.len(), 500);
    for index in [0, 31, 32, 499] {
        let alone = side.embed(&texts[index..=index]).unwrap();
        let pairs = alone[0].embedding().iter().zip(all[index].embedding());
        assert!(pairs.map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max) < 2e-6, "{index}");
    }
}

#[test]
fn a_sentence_that_cannot_be_read_is_refused_with_what_to_do() {
    let side = built_in();
    let long = "open mouth ".repeat(1000);
    for (text, part) in [("", "no words"), (long.as_str(), "shorten it"), ("口を開けている", "English only")] {
        let error = side.embed(&["lips parted", text]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidText);
        assert!(error.to_string().contains(part), "{error}");
        assert!(error.to_string().len() < 25_000);
    }
    assert!(side.looks_foreign("hochgezogene Augenbrauen und zusammengepresste Lippen"));
    for text in ["lips parted a little", "crow's feet beside narrowed eyes", "the zygomatic muscles pull"] {
        assert!(!side.looks_foreign(text), "{text}");
    }
}

#[test]
fn a_text_side_of_another_width_or_damaged_is_refused() {
    let load =
        |description: &[u8], weights: &[u8], width| TextSide::load(description, weights, width).err().unwrap().kind();
    let (description, weights) = (file("text.json"), file("text.safetensors"));
    assert_eq!(load(b"{}", &weights, 384), ErrorKind::InvalidText);
    assert_eq!(load(&description, &weights[..1000], 384), ErrorKind::InvalidWeights);
    assert_eq!(load(&description, &weights, 512), ErrorKind::InvalidWeights);
}
