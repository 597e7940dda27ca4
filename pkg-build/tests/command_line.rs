//! The command line as a user runs it: JSON alone on standard output, sentences on standard error.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn pkg(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cliper-build")).args(arguments).current_dir(root()).output().unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(arguments: &[&str]) -> String {
    let output = pkg(arguments);
    assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!message.contains("panicked"), "{message}");
    message
}

/// A small folder in FER+'s layout; its pictures are the portrait and plain squares.
fn data_set() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let portrait = image::open(root().join("www/demo/portrait.jpg")).unwrap().to_luma8();
    let portrait = image::imageops::resize(&portrait, 48, 48, image::imageops::FilterType::Triangle);
    for part in ["FER2013Train", "FER2013Valid"] {
        let part = folder.path().join(part);
        fs::create_dir_all(&part).unwrap();
        portrait.save(part.join("smile.png")).unwrap();
        image::GrayImage::from_fn(48, 48, |x, y| image::Luma([(x * y % 256) as u8]))
            .save(part.join("pattern.png"))
            .unwrap();
        fs::write(part.join("broken.png"), b"no picture").unwrap();
        let rows = [
            "smile.png,\"(0, 0, 48, 48)\",0,10,0,0,0,0,0,0,0,0",
            "pattern.png,\"(0, 0, 48, 48)\",3,0,0,3,0,0,0,0,2,0",
            "pattern.png,\"(0, 0, 48, 48)\",0,0,0,0,0,0,0,0,9,1",
            "pattern.png,\"(0, 0, 48, 48)\",0,0,0,0,0,0,0,0,0,0",
            "broken.png,\"(0, 0, 48, 48)\",9,0,0,0,0,0,0,0,0,0",
            "missing.png,\"(0, 0, 48, 48)\",9,0,0,0,0,0,0,0,0,0",
            "smile.png,\"(0, 0, 48, 48)\",many,0,0,0,0,0,0,0,0,0",
            "smile.png,1",
        ];
        fs::write(part.join("label.csv"), rows.join("\n")).unwrap();
    }
    folder
}

#[test]
fn classify_prints_predictions_as_json() {
    let found = json(&pkg(&["classify", "www/demo/portrait.jpg", "--json"]));
    let prediction = &found[0]["prediction"];
    assert_eq!(found[0]["path"], "www/demo/portrait.jpg");
    assert_eq!(prediction["top"]["name"], "happiness");
    let expressions = prediction["expressions"].as_array().unwrap();
    assert_eq!(expressions.len(), 8);
    let sum: f64 = expressions.iter().map(|expression| expression["score"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5);
    assert!(expressions.iter().all(|expression| expression["descriptors"].as_array().unwrap().len() == 5));
}

#[test]
fn evaluate_counts_what_it_uses_and_names_what_it_cannot() {
    let folder = data_set();
    let data = format!("ferplus:{}", folder.path().display());
    let output = pkg(&["evaluate", "--data", &data, "--part", "valid", "--json"]);
    let found = json(&output);
    assert_eq!(found["count"], 2);
    assert_eq!(found["confusion"][1][1], 1, "the portrait is recognised as happiness");
    assert_eq!(found["recalls"][1], 1.0);
    // A tie goes to the first, as numpy's argmax has it.
    let neutral: u64 = found["confusion"][0].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(neutral, 1);
    assert!(found["war"].as_f64().unwrap() >= 0.5 && found["uar"].as_f64().unwrap() >= 0.5);
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(notes.contains("8 rows, 2 without a majority"), "{notes}");
    for named in ["4 rows can't be used", "row 5", "row 6", "row 7", "row 8", "`many`", "missing.png"] {
        assert!(notes.contains(named), "{named} is not in:\n{notes}");
    }
    assert!(refused(&["evaluate", "--data", &data, "--unseen"]).contains("also stand in the training part"));
}

#[test]
fn a_run_is_trained_gone_on_with_and_packed() {
    let folder = tempfile::tempdir().unwrap();
    let part = |name: &str| folder.path().join(name).display().to_string();
    support::squares(folder.path(), [("FER2013Train", 48), ("FER2013Valid", 8)]);
    let (data, run, bundle) = (format!("ferplus:{}", folder.path().display()), part("run"), part("bundle"));
    let train = ["train", "--data", &data, "--checkpoint", &run, "--epochs", "2", "--batch", "8"];
    let output = pkg(&train);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let again = String::from_utf8(pkg(&train).stderr).unwrap();
    assert!(again.contains("going on with") && again.contains("after 2 epochs"), "{again}");
    let output = pkg(&["pack", "--checkpoint", &run, "--output", &bundle, "--data", &data, "--name", "rehearsal"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("packed"), "{output:?}");
    let manifest = json(&pkg(&["inspect", &bundle, "--json"]));
    assert_eq!(manifest["name"], "rehearsal");
    assert_eq!(manifest["provenance"]["training"]["epochs"].as_array().unwrap().len(), 2);
    assert!(manifest["provenance"]["command"].as_str().unwrap().contains("--seed 1"));
    fs::write(Path::new(&bundle).join("golden.safetensors"), b"cut").unwrap();
    assert!(refused(&["inspect", &bundle]).contains("golden.safetensors"));
}

#[test]
fn bad_input_is_answered_with_a_sentence() {
    assert!(refused(&["classify", "README.md"]).contains("not a picture"));
    assert!(refused(&["classify", "nowhere.png"]).contains("nowhere.png"));
    assert!(refused(&["classify", "www/demo/portrait.jpg", "--bundle", "tests"]).contains("model.json"));
    assert!(refused(&["evaluate", "--data", "ferplus:tests"]).contains("FER2013Valid"));
    assert!(refused(&["evaluate", "--data", "coco:x"]).contains("ferplus:FOLDER"));
    assert!(
        refused(&["train", "--data", "ferplus:tests", "--checkpoint", "x", "--preset", "huge"]).contains("vit-b-16")
    );
}
