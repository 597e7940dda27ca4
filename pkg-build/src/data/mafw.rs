//! MAFW: `set_K/{train,test}.txt` with lines `00025.mp4 anger`, frames in `data/{faces,frames}/00025`; five folds.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{Listing, Part, clip, expression, first_of, list_lines, no_part};

const EXPRESSIONS: [&str; 11] = [
    "happiness",
    "sadness",
    "neutral",
    "anger",
    "surprise",
    "disgust",
    "fear",
    "contempt",
    "anxiety",
    "helplessness",
    "disappointment",
];

pub fn list(folder: &Path, part: Part, fold: usize) -> Result<Listing> {
    let part = match part {
        Part::Train => "train",
        Part::Test => "test",
        Part::Valid => return no_part("MAFW", "train and test"),
    };
    let name = format!("set_{fold}/{part}.txt");
    let below = ["", "single/", "Train & Test Set/single/no_caption/"].map(|above| format!("{above}{name}"));
    let table = first_of(folder, &below, &name)?;
    let places = ["data/faces", "faces", "data/frames", "frames"].map(String::from);
    let clips = first_of(folder, &places, "folder of frames (extract them from the .mp4 files)")?;
    list_lines(&table, &EXPRESSIONS, |line| {
        let (video, word) = line.split_once(char::is_whitespace).context("no `video expression`")?;
        let found = expression(word).with_context(|| format!("`{}` is no expression", word.trim()))?;
        ensure!(EXPRESSIONS.contains(&found), "`{found}` is none of MAFW's expressions");
        let stem = video.rsplit_once('.').map_or(video, |(stem, _)| stem);
        clip(&clips.join(stem), found).map(Some)
    })
}
