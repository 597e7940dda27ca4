//! Movements and sentences beside the expressions: there where they were asked for, gone where they were not.

use cliper::ErrorKind;
use cliper::engine::cpu::CpuOptions;
use cliper::model::sentence::Sentence;
use cliper::preprocess::Picture;

use crate::support::{block_on, built_in};

/// The direction of the built-in model's first descriptor, said as a sentence.
fn sentence(width: usize) -> Sentence {
    let mut embedding = vec![0.0; width];
    embedding[0] = 1.0;
    Sentence::new("along the first axis", embedding, 0.0, 0.1).unwrap()
}

#[test]
fn movements_and_sentences_come_when_asked_and_leave_the_rest_alone() {
    let mut session = built_in(CpuOptions::default());
    let rgba: Vec<u8> = (0..48 * 48).flat_map(|index| [(index % 251) as u8; 4]).collect();
    let picture = Picture::new(&rgba, 48, 48).unwrap();
    let plain = block_on(session.recognize(picture)).unwrap();
    assert!(plain.movements.is_none() && plain.texts.is_none());
    let all = plain.expressions.iter().flat_map(|expression| &expression.descriptors);
    assert!(all.clone().all(|descriptor| descriptor.strength.is_some_and(|strength| (0.0..=1.0).contains(&strength))));
    assert_eq!(all.count(), 40);

    session.set_movements(true).unwrap();
    session.set_sentences(vec![sentence(384), sentence(384)]).unwrap();
    let asked = block_on(session.recognize(picture)).unwrap();
    let movements = asked.movements.clone().unwrap();
    assert!(movements.len() == 33 && movements.iter().all(|movement| (0.0..=1.0).contains(&movement.score)));
    let texts = asked.texts.clone().unwrap();
    let embedding = block_on(session.embed(picture)).unwrap();
    let length = embedding.iter().map(|value| value * value).sum::<f32>().sqrt();
    assert_eq!(texts.len(), 2);
    assert!(texts.iter().all(|text| (text.similarity - embedding[0] / length).abs() < 1e-6 && text.strength.is_some()));
    assert_eq!((asked.top, asked.expressions), (plain.top.clone(), plain.expressions.clone()), "the answer stays");

    let foreign = session.set_sentences(vec![sentence(12)]).unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::ForeignDescriptors);
    let after = block_on(session.recognize(picture)).unwrap();
    assert_eq!(after.texts, Some(texts), "an error loses nothing");
    session.set_movements(false).unwrap();
    session.set_sentences(Vec::new()).unwrap();
    assert_eq!(block_on(session.recognize(picture)).unwrap(), plain);
}
