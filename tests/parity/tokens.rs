//! CLIP's tokenizer against transformers' on texts of many scripts.

use crate::support::fixture;
use cliper::ErrorKind;
use cliper::engine::burn::text::ClipTokenizer;

fn vocabulary() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/pkg-build/vocabulary/bpe_simple_vocab_16e6.txt.gz");
    std::fs::read(path).unwrap()
}

#[test]
fn every_text_has_the_ids_of_transformers() {
    let tokenizer = ClipTokenizer::new(&vocabulary()).unwrap();
    assert_eq!(tokenizer.vocabulary(), 49_408);
    let cases: Vec<(String, Vec<u32>)> = serde_json::from_slice(&fixture("clip_tokens", "cases.json")).unwrap();
    assert!(cases.len() >= 1000);
    let wrong: Vec<_> = cases.iter().filter(|(text, ids)| &tokenizer.encode(text).unwrap() != ids).collect();
    for (text, ids) in wrong.iter().take(10) {
        println!("{text:?}: {ids:?} wanted, {:?} found", tokenizer.encode(text).unwrap());
    }
    println!("{} of {} texts equal", cases.len() - wrong.len(), cases.len());
    assert!(wrong.is_empty(), "{} of {} texts differ", wrong.len(), cases.len());
}

#[test]
fn cliper_s_own_text_has_the_published_ids() {
    let tokenizer = ClipTokenizer::new(&vocabulary()).unwrap();
    let ids = tokenizer.encode("an ID photo of X X X X.").unwrap();
    assert_eq!(ids, [49406, 550, 1014, 1125, 539, 343, 343, 343, 343, 269, 49407]);
    assert_eq!(tokenizer.encode("a photo of a cat").unwrap(), [49406, 320, 1125, 539, 320, 2368, 49407]);
}

#[test]
fn an_id_gives_its_piece() {
    let tokenizer = ClipTokenizer::new(&vocabulary()).unwrap();
    assert_eq!(tokenizer.piece(2368).as_deref(), Some("cat"));
    assert_eq!(tokenizer.piece(49_408), None);
    let bear = tokenizer.encode("é").unwrap();
    assert_eq!(tokenizer.piece(bear[1]).as_deref(), Some("é"));
}

#[test]
fn another_file_is_refused() {
    let cut = "#version\na b\nc d\n";
    for (bytes, word) in [(cut.as_bytes(), "2 merges"), (&b"one\ntwo"[..], "no pair"), (&b"\x1f\x8babc"[..], "")] {
        let error = ClipTokenizer::new(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidText);
        assert!(error.to_string().contains(word), "{error}");
    }
}
