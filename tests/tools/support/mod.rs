//! What the tests of several commands share: running them, a small checkpoint and a small data set.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use cliper::config::{Activation, ClipTextConfig, EncoderConfig, TokenPool};
use cliper::tensors::{Precision, TensorWriter, Values};
use serde_json::Value;

/// Runs `cargo pkg`.
pub fn pkg(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cliper-build")).args(arguments).output().unwrap()
}

/// Runs a command that must succeed, and gives its standard output.
pub fn succeed(arguments: &[&str]) -> String {
    let output = pkg(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must fail, and gives its standard error.
pub fn refuse(arguments: &[&str]) -> String {
    let output = pkg(arguments);
    assert!(!output.status.success(), "{arguments:?} was not refused");
    String::from_utf8(output.stderr).unwrap()
}

/// A JSON file.
pub fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A small CLIP with the real vocabulary, drawn by a formula.
pub fn checkpoint_with_vocabulary() -> Vec<u8> {
    checkpoint_where(|_, _| ())
}

/// The same with tensors changed.
pub fn checkpoint_where(change: impl Fn(&str, &mut Values)) -> Vec<u8> {
    let activation = Activation::Gelu;
    let encoder = EncoderConfig {
        side: 32,
        channels: 3,
        stem: Vec::new(),
        patch: 16,
        width: 64,
        layers: 1,
        heads: 1,
        activation,
        pool: TokenPool::Class,
        embedding: 16,
    };
    let text =
        ClipTextConfig { context: 77, vocabulary: 49_408, width: 64, layers: 1, heads: 1, activation, embedding: 16 };
    let tensors: Vec<_> = encoder.tensors().into_iter().chain(text.tensors()).collect();
    let mut writer = TensorWriter::new(Vec::new(), tensors.clone(), &BTreeMap::new(), Precision::F16).unwrap();
    let mut state = 1u32;
    for (name, shape) in tensors {
        let scale = if name.ends_with("bias") { 0.1 } else { 0.3 };
        let centre = if name.contains("norm") && name.ends_with("weight") { 1.0 } else { 0.0 };
        let data = (0..shape.iter().product())
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                centre + scale * ((state >> 8) as f32 / (1 << 23) as f32 - 1.0)
            })
            .collect();
        let mut values = Values { shape, data };
        change(&name, &mut values);
        writer.push(&values).unwrap();
    }
    writer.finish().unwrap()
}

/// A data set of dark and bright squares in FER+'s layout, which a rehearsal can learn: bright ones are happiness. Gives
/// its name for the command line.
pub fn squares(folder: &Path, parts: [(&str, usize); 2]) -> String {
    for (set, count) in parts {
        let set = folder.join(set);
        fs::create_dir_all(&set).unwrap();
        let mut rows = String::new();
        for index in 0..count {
            let dark = index % 2;
            let name = format!("{index}.png");
            // No validation picture also stands in the training part.
            let shade = (set.ends_with("FER2013Valid") as usize) + 200 - 150 * dark;
            image::GrayImage::from_fn(48, 48, |x, y| image::Luma([(shade + ((x * y) as usize + index) % 40) as u8]))
                .save(set.join(&name))
                .unwrap();
            rows += &format!("{name},\"(0, 0, 48, 48)\",{},{},0,0,0,0,0,0,0,0\n", 10 * dark, 10 - 10 * dark);
        }
        fs::write(set.join("label.csv"), rows).unwrap();
    }
    format!("ferplus:{}", folder.display())
}
