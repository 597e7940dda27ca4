//! What a bundle says of how it was made: the training command, and settings as a person would write them.

use anyhow::Result;
use clap::Args;
use cliper::config::{EncoderConfig, PRESETS};
use serde::Serialize;

use super::options::{ImageOptions, MetdOptions, TemporalOptions};

/// The command that trains with these settings again, made of those that `cargo pkg train` has an option for.
///
/// - stage: the sub-command
/// - options: what stands before them
pub fn command(stage: &str, options: &str, settings: &impl Serialize) -> Result<String> {
    let train = clap::Command::new("train");
    let train = match stage {
        "metd" => MetdOptions::augment_args(train),
        "image" => ImageOptions::augment_args(train),
        _ => TemporalOptions::augment_args(train),
    };
    let mut command = format!("cargo pkg train {stage} --data ferplus:FOLDER --checkpoint RUN{options}");
    if let serde_json::Value::Object(settings) = plain(settings)? {
        for (name, value) in &settings {
            let option = kebab(name);
            if !train.get_arguments().any(|argument| argument.get_long() == Some(&option)) {
                continue;
            }
            match value {
                serde_json::Value::Bool(true) => command += &format!(" --{option}"),
                serde_json::Value::Number(number) => command += &format!(" --{option} {number}"),
                serde_json::Value::String(text) if text.contains(' ') => command += &format!(" --{option} '{text}'"),
                serde_json::Value::String(text) => command += &format!(" --{option} {text}"),
                _ => {}
            }
        }
    }
    Ok(command)
}

/// The preset that an encoder is, where it is one.
pub fn preset(encoder: &EncoderConfig) -> Option<&'static str> {
    let is_it = |name: &&str| EncoderConfig::preset(name).is_ok_and(|preset| preset == *encoder);
    PRESETS.iter().copied().find(is_it)
}

/// The option of a setting: `weightDecay` is `weight-decay`.
fn kebab(name: &str) -> String {
    name.chars().fold(String::new(), |mut option, letter| {
        if letter.is_ascii_uppercase() {
            option.push('-');
        }
        option.push(letter.to_ascii_lowercase());
        option
    })
}

/// As JSON with the digits that a person would write: `to_value` alone makes 0.05000000074505806 of an f32.
pub fn plain(value: &impl Serialize) -> Result<serde_json::Value> {
    Ok(serde_json::from_str(&serde_json::to_string(value)?)?)
}
