//! Which pictures of a data set train, choose and are held back.

use std::path::Path;

use anyhow::{Result, ensure};
use cliper::model::descriptors::Descriptors;
use cliper::train::Sample;

use super::{CLASSES, DataSet, Example, Part, Square, VOTES};

/// Every twentieth training picture is held back to fit the temperature on.
pub const HELD_BACK: usize = 20;

/// The first `limit` pictures to train on, without those held back, and the ones to choose by.
pub fn pictures(data: &DataSet, square: Square, limit: Option<usize>) -> Result<(Vec<Example>, Vec<Example>)> {
    let (train, report) = data.read(Part::Train, square)?;
    report.print();
    let (valid, report) = data.read(Part::Valid, square)?;
    report.print();
    let mut train = split(train).0;
    train.truncate(limit.unwrap_or(usize::MAX));
    Ok((train, valid))
}

/// What training takes of them.
pub fn samples(examples: Vec<Example>) -> Vec<Sample> {
    examples.into_iter().map(|example| example.sample).collect()
}

/// The names of the classes in their order.
pub fn names() -> impl Iterator<Item = &'static str> {
    VOTES[..CLASSES].iter().copied()
}

/// Refuses descriptors of other expressions than the data's.
pub fn check_names(descriptors: &Descriptors, data: &DataSet, source: &Path) -> Result<()> {
    let names = data.expressions();
    ensure!(
        descriptors.names().eq(names.iter().copied()),
        "{} must describe {}'s {} expressions in their order: {}",
        source.display(),
        data.name(),
        names.len(),
        names.join(" ")
    );
    Ok(())
}

/// Training pictures and the ones held back from training.
pub fn split(examples: Vec<Example>) -> (Vec<Example>, Vec<Example>) {
    let (mut training, mut held_back) = (Vec::new(), Vec::new());
    for (index, example) in examples.into_iter().enumerate() {
        if index % HELD_BACK == 0 { held_back.push(example) } else { training.push(example) }
    }
    (training, held_back)
}
