//! The command line as a user runs it: JSON alone on standard output, sentences on standard error.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::support;

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

fn succeeded(arguments: &[&str]) {
    let output = pkg(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
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
fn classify_says_where_a_similarity_comes_from() {
    let descriptors = |arguments: &[&str]| -> Vec<Value> {
        let found = json(&pkg(&[&["classify", "www/demo/portrait.jpg", "--json"], arguments].concat()));
        let prediction = match &found[0]["faces"] {
            Value::Array(faces) => &faces[0]["prediction"],
            _ => &found[0]["prediction"],
        };
        let expressions = prediction["expressions"].as_array().unwrap();
        expressions.iter().flat_map(|one| one["descriptors"].as_array().unwrap().clone()).collect()
    };
    assert!(descriptors(&[]).iter().all(|one| one.get("evidence").is_none()));
    for arguments in [&["--evidence"][..], &["--evidence", "--face", "--mirror"], &["--evidence=occlusion"]] {
        let is_sum = arguments[0] == "--evidence";
        for one in descriptors(arguments) {
            let evidence = &one["evidence"];
            assert_eq!(
                (&evidence["side"], &evidence["method"]),
                (&6.into(), &if is_sum { "sum" } else { "occlusion" }.into())
            );
            let values = evidence["values"].as_array().unwrap();
            assert_eq!(values.len(), 36);
            let sum: f64 = values.iter().map(|value| value.as_f64().unwrap()).sum();
            assert!(!is_sum || (sum - one["similarity"].as_f64().unwrap()).abs() < 1e-5);
        }
    }
    assert!(refused(&["classify", "www/demo/portrait.jpg", "--evidence"]).contains("add --json"));
    assert!(refused(&["classify", "www/demo/portrait.jpg", "--evidence=sum", "--json"]).contains("occlusion"));
    let clip = tempfile::tempdir().unwrap();
    let path = clip.path().display().to_string();
    let refusal = refused(&["classify", &path, "--evidence", "--json"]);
    assert!(refusal.contains("is a clip") && refusal.contains(&path), "{refusal}");
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
    assert_eq!((&found["untied"]["count"], &found["untied"]["war"]), (&1.into(), &1.0.into()));
    // By FER+'s own rule a tie is no majority.
    assert_eq!((&found["agreed"]["count"], &found["agreed"]["war"]), (&1.into(), &1.0.into()));
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(notes.contains("8 rows, 2 without a majority"), "{notes}");
    for named in ["4 rows can't be used", "row 5", "row 6", "row 7", "row 8", "`many`", "missing.png"] {
        assert!(notes.contains(named), "{named} is not in:\n{notes}");
    }
    assert!(refused(&["evaluate", "--data", &data, "--deduplicated"]).contains("also stand in the training part"));
}

/// Pictures of a rehearsal.
const SQUARES: [(&str, usize); 2] = [("FER2013Train", 48), ("FER2013Valid", 8)];

/// Every file of a folder with its bytes.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().to_string_lossy().into(), fs::read(&path).unwrap())).collect()
}

#[test]
fn a_run_is_trained_gone_on_with_and_packed() {
    let folder = tempfile::tempdir().unwrap();
    let part = |name: &str| folder.path().join(name).display().to_string();
    let data = support::squares(folder.path(), SQUARES);
    let (run, bundle) = (part("run"), part("bundle"));
    let train = ["train", "image", "--data", &data, "--checkpoint", &run, "--epochs", "2", "--batch", "8"];
    let output = pkg(&train);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let again = String::from_utf8(pkg(&train).stderr).unwrap();
    assert!(again.contains("going on with") && again.contains("after 2 epochs"), "{again}");
    let (table, labels) = (part("fer2013.csv"), part("fer2013.csv"));
    fs::write(table, fer2013(&[(3, "PublicTest"), (6, "PublicTest"), (0, "Training")])).unwrap();
    let also = format!("fer2013:{labels}");
    let pack = ["pack", "--checkpoint", &run, "--output", &bundle, "--data", &data, "--card-data", &also];
    let output = pkg(&[&pack[..], &["--name", "rehearsal"]].concat());
    assert!(String::from_utf8_lossy(&output.stderr).contains("packed"), "{output:?}");
    let manifest = json(&pkg(&["inspect", &bundle, "--json"]));
    assert_eq!(manifest["name"], "rehearsal");
    let provenance = &manifest["provenance"];
    assert_eq!(provenance["training"]["epochs"].as_array().unwrap().len(), 2);
    let command = provenance["command"].as_str().unwrap();
    for setting in ["--preset small", "--epochs 2", "--batch 8", "--seed 1", "--weight-decay 0.05"] {
        assert!(command.contains(setting), "{setting} is not in {command}");
    }
    assert_eq!(provenance["cardData"]["FER2013"]["count"], 2);
    assert_eq!(provenance["validation"]["deduplicated"]["count"], 8);
    assert_eq!(provenance["validation"]["perturbations"].as_array().unwrap().len(), 14);
    let card = String::from_utf8(pkg(&["inspect", &bundle]).stdout).unwrap();
    for heading in ["Data and terms", "Protocol", "Calibration", "changed pictures", "FER2013", "Training", "Limits"] {
        assert!(card.lines().any(|line| line.starts_with("## ") && line.contains(heading)), "{heading}:\n{card}");
    }
    for said in [command, "| happiness | 4 |", "rolled 20 degrees left", "AI Act", "skin tone", "| JPEG, quality 30 |"]
    {
        assert!(card.contains(said), "{said} is not in:\n{card}");
    }
    // What the card says is what anyone measures from the bundle.
    let found = json(&pkg(&["evaluate", "--bundle", &bundle, "--data", &data, "--json", "--perturbations"]));
    for field in ["war", "uar", "confusion", "calibrationError", "coverage", "uncertainBelow", "perturbations"] {
        assert_eq!(found[field], provenance["validation"][field], "{field}");
    }
    assert_eq!(found["uncertainBelow"], manifest["calibration"].get("uncertainBelow").cloned().unwrap_or_default());
    fs::write(Path::new(&bundle).join("golden.safetensors"), b"cut").unwrap();
    assert!(refused(&["inspect", &bundle]).contains("golden.safetensors"));
}

#[test]
fn a_run_is_taught_by_another() {
    let folder = tempfile::tempdir().unwrap();
    let part = |name: &str| folder.path().join(name).display().to_string();
    let data = support::squares(folder.path(), SQUARES);
    let (first, run, wide, bundle) = (part("first"), part("run"), part("wide"), part("bundle"));
    let train = ["train", "image", "--data", &data, "--batch", "8"];
    succeeded(&[&train[..], &["--checkpoint", &first, "--epochs", "1"]].concat());
    succeeded(&[&train[..], &["--checkpoint", &run, "--epochs", "1", "--teacher", &first]].concat());
    for (arguments, said) in [
        (vec!["--checkpoint", &run, "--epochs", "2"], "name it again, with --teacher"),
        (vec!["--checkpoint", &first, "--epochs", "2", "--teacher", &run], "begun without --teacher"),
        (vec!["--checkpoint", &bundle, "--teacher", &bundle], "nothing to start from"),
        (vec!["--checkpoint", &bundle, "--teacher-weight", "0.5"], "--teacher"),
    ] {
        let message = refused(&[&train[..], &arguments].concat());
        assert!(message.contains(said), "{message}");
    }
    // A larger net starts from the smaller one, and is taught by it.
    let wide = ["--from", &first, "--preset", "wide", "--teacher", &first, "--epochs", "1", "--checkpoint", &wide];
    let output = pkg(&[&train[..], &wide].concat());
    let notes = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && notes.contains("0.483 GFLOP"), "{notes}");
    succeeded(&[&train[..], &["--checkpoint", &run, "--epochs", "2", "--teacher", &first]].concat());
    succeeded(&["pack", "--checkpoint", &run, "--output", &bundle]);
    let manifest = json(&pkg(&["inspect", &bundle, "--json"]));
    let command = manifest["provenance"]["command"].as_str().unwrap();
    for setting in ["--teacher RUN", "--teacher-weight 0.7"] {
        assert!(command.contains(setting), "{setting} is not in {command}");
    }
}

#[test]
fn a_distilled_run_is_packed_with_its_teachers_and_not_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let part = |name: &str| folder.path().join(name).display().to_string();
    let data = support::squares(folder.path(), SQUARES);
    let (run, distilled, next, bundle) = (part("run"), part("distilled"), part("next"), part("bundle"));
    let train = ["train", "image", "--data", &data, "--batch", "8"];
    succeeded(&[&train[..], &["--checkpoint", &run, "--epochs", "1"]].concat());
    // As `pkg-build/training-gpu` writes one: weights, descriptors, state.json, and what it started from.
    let [from, to] = [&run, &distilled].map(Path::new);
    fs::create_dir_all(to.join("start")).unwrap();
    for name in ["averaged.safetensors", "best.safetensors", "descriptors.safetensors"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
    fs::copy(from.join("state.json"), to.join("start/state.json")).unwrap();
    let mut state: Value = serde_json::from_slice(&fs::read(from.join("state.json")).unwrap()).unwrap();
    state["distilled"] =
        serde_json::json!({ "command": "python distil.py", "teachers": ["a net of faces (its terms)"] });
    let epochs = state["history"].as_array_mut().unwrap();
    epochs[0]["war"] = 1.0.into();
    epochs.push(serde_json::json!({ "epoch": 2, "loss": 1.0, "seconds": 1.0, "war": 0.5, "uar": 0.5 }));
    fs::write(to.join("state.json"), state.to_string()).unwrap();
    let message = refused(&[&train[..], &["--checkpoint", &distilled, "--epochs", "3"]].concat());
    assert!(message.contains("was distilled") && message.contains("--from"), "{message}");
    succeeded(&["pack", "--checkpoint", &distilled, "--output", &bundle, "--data", &data]);
    let provenance = json(&pkg(&["inspect", &bundle, "--json"]))["provenance"].clone();
    assert_eq!(provenance["command"], "python distil.py");
    // The last epoch's weights are the model, whatever the validation part said before.
    assert_eq!(provenance["training"]["chosen"], 2);
    let before = provenance["start"]["provenance"]["command"].as_str().unwrap();
    assert!(before.starts_with("cargo pkg train") && before.contains("--epochs 1"), "{before}");
    let card = String::from_utf8(pkg(&["inspect", &bundle]).stdout).unwrap();
    for said in ["Taught by a net of faces (its terms).", "`python distil.py`", before, "The last epoch's weights"] {
        assert!(card.contains(said), "{said} is not in:\n{card}");
    }
    succeeded(&[&train[..], &["--checkpoint", &next, "--from", &distilled, "--epochs", "1"]].concat());
    let origin: Value = serde_json::from_slice(&fs::read(Path::new(&next).join("origin.json")).unwrap()).unwrap();
    assert_eq!(origin["name"], "seeded weights, trained, distilled");
    // What is trained on from there still says whom it owes.
    let bundle = part("further");
    succeeded(&["pack", "--checkpoint", &next, "--output", &bundle]);
    let card = String::from_utf8(pkg(&["inspect", &bundle]).stdout).unwrap();
    for said in ["Taught by a net of faces (its terms).", "`python distil.py`"] {
        assert!(card.contains(said), "{said} is not in:\n{card}");
    }
}

#[test]
fn a_second_sets_labels_are_learned_packed_and_answered_in() {
    let folder = tempfile::tempdir().unwrap();
    let part = |name: &str| folder.path().join(name).display().to_string();
    let data = support::squares(folder.path(), SQUARES);
    let (first, run, bundle, smaller) = (part("first"), part("run"), part("bundle"), part("smaller"));
    // The same pictures but two; of the first, a copy with another label too. Dark ones are anger (0), bright ones fear (2).
    let row = |set: &str, index: usize, label: usize, usage: &str| {
        let picture = image::open(folder.path().join(set).join(format!("{index}.png"))).unwrap().into_luma8();
        let levels: Vec<String> = picture.pixels().map(|pixel| pixel.0[0].to_string()).collect();
        format!("{label},{},{usage}\n", levels.join(" "))
    };
    let label = |index: usize| if index % 2 == 1 { 0 } else { 2 };
    let mut table = String::from("emotion,pixels,Usage\n") + &row("FER2013Train", 0, 5, "Training");
    (0..38).for_each(|index| table += &row("FER2013Train", index, label(index), "Training"));
    (0..8).for_each(|index| table += &row("FER2013Valid", index, label(index), "PublicTest"));
    fs::write(part("fer2013.csv"), table).unwrap();
    let also = format!("fer2013:{}", part("fer2013.csv"));

    let train = |arguments: &[&str]| {
        let all = [
            "train",
            "image",
            "--data",
            &data,
            "--epochs",
            "1",
            "--batch",
            "8",
            "--rate",
            "3e-3",
            "--class-weight",
            "4",
        ];
        pkg(&[&all[..], arguments].concat())
    };
    assert!(train(&["--checkpoint", &first]).status.success());
    let second = ["--checkpoint", &run, "--from", &first, "--auxiliary", &also, "--mixup", "0.2"];
    let output = train(&second);
    let notes = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && notes.contains("43 of the training pictures have a label of FER2013"),
        "{notes}"
    );
    // Settings that are not named are those of the run that it starts from, and its batch norms are still there.
    let settings =
        |run: &str| -> Value { serde_json::from_slice(&fs::read(Path::new(run).join("state.json")).unwrap()).unwrap() };
    let (before, after) = (settings(&first), settings(&run));
    for name in ["precision", "optimizer", "averaging", "temperature", "clipping"] {
        assert_eq!(after["config"][name], before["config"][name], "{name}");
    }
    assert_eq!(
        (after["config"]["auxiliaryWeight"].as_f64(), before["config"].get("auxiliaryWeight")),
        (Some(4.0), None)
    );
    for (arguments, said) in [
        (vec!["--checkpoint", &run, "--epochs", "2"], "name the set again, with --auxiliary"),
        (vec!["--checkpoint", &first, "--auxiliary", &also, "--epochs", "2"], "begun without --auxiliary"),
    ] {
        let message = refused(&[&["train", "image", "--data", &data][..], &arguments].concat());
        assert!(message.contains(said), "{message}");
    }
    let foreign = "pkg-build/descriptors/ferplus.safetensors";
    let fresh = part("fresh");
    let message = refused(&[
        "train",
        "image",
        "--data",
        &data,
        "--checkpoint",
        &fresh,
        "--auxiliary",
        &also,
        "--auxiliary-descriptors",
        foreign,
    ]);
    assert!(message.contains("FER2013's 7 expressions"), "{message}");

    let pack = ["pack", "--checkpoint", &run, "--output", &bundle, "--data", &data];
    let without = pkg(&pack);
    assert!(String::from_utf8_lossy(&without.stderr).contains("labels of the run's second set are left out"));
    assert_eq!(json(&pkg(&["inspect", &bundle, "--json"]))["version"], 4);
    let output = pkg(&[&pack[..], &["--card-data", &also]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let manifest = json(&pkg(&["inspect", &bundle, "--json"]));
    assert_eq!((manifest["version"].as_u64(), manifest["labels"][0]["name"].as_str()), (Some(4), Some("FER2013")));
    assert_eq!(manifest["labels"][0]["expressions"].as_array().unwrap().len(), 7);
    let command = manifest["provenance"]["command"].as_str().unwrap();
    for setting in
        ["train image --data", "--from START", "--auxiliary fer2013:FILE", "--auxiliary-weight 4", "--mixup 0.2"]
    {
        assert!(command.contains(setting), "{setting} is not in {command}");
    }
    let card = String::from_utf8(pkg(&["inspect", &bundle]).stdout).unwrap();
    let start = settings(&first);
    let begun = manifest["provenance"]["start"]["provenance"]["command"].as_str().unwrap();
    assert!(card.contains(begun) && begun.contains("--epochs 1") && start["config"]["epochs"] == 1, "{card}");
    assert!(card.contains("`labels: 'FER2013'`"), "{card}");

    // What the card says is what anyone measures from the bundle, stored in any precision.
    let evaluate = |bundle: &str, data: &str| json(&pkg(&["evaluate", "--bundle", bundle, "--data", data, "--json"]));
    let found = evaluate(&bundle, &also);
    let said = &manifest["provenance"]["cardData"]["FER2013"];
    for field in ["war", "confusion", "coverage", "uncertainBelow"] {
        assert_eq!(found[field], said[field], "{field}");
    }
    // Read back, the descriptors' lengths are 1 in the last digit but one.
    let error = |figures: &Value| figures["calibrationError"].as_f64().unwrap();
    assert!((error(&found) - error(said)).abs() < 1e-6, "{} {}", error(&found), error(said));
    assert_eq!(found["count"], 8);
    let classify = ["classify", "www/demo/portrait.jpg", "--bundle", &bundle, "--mirror", "--json", "--labels"];
    let answer = json(&pkg(&[&classify[..], &["FER2013"]].concat()));
    assert_eq!(answer[0]["prediction"]["expressions"].as_array().unwrap().len(), 7);
    assert!(refused(&[&classify[..], &["FER"]].concat()).contains("only `FER2013`"));
    let again = ["pack", "--checkpoint", &bundle, "--output", &smaller, "--precision", "f32"];
    assert!(pkg(&again).status.success());
    assert_eq!(evaluate(&smaller, &also)["confusion"], found["confusion"]);
    assert_eq!(evaluate(&smaller, &data)["expressions"].as_array().unwrap().len(), 8);
}

#[test]
fn a_diverging_run_names_the_step_and_keeps_what_was_saved() {
    let folder = tempfile::tempdir().unwrap();
    let data = support::squares(folder.path(), SQUARES);
    let run = folder.path().join("run");
    let name = run.display().to_string();
    let train = |epochs| ["train", "image", "--data", &data, "--checkpoint", &name, "--epochs", epochs, "--batch", "8"];
    assert!(pkg(&train("1")).status.success());
    // Goes on into a second epoch, at a rate that no float survives.
    let state = run.join("state.json");
    let mut settings: Value = serde_json::from_slice(&fs::read(&state).unwrap()).unwrap();
    settings["config"]["rate"] = 1e36.into();
    fs::write(&state, settings.to_string()).unwrap();
    let before = contents(&run);
    let message = refused(&train("2"));
    assert!(message.contains("diverged at step") && message.contains("lower rate"), "{message}");
    assert_eq!(contents(&run), before);
    assert!(
        refused(&["train", "image", "--data", &data, "--checkpoint", folder.path().to_str().unwrap()])
            .contains("state.json")
    );
}

/// A full disk, as far as one process can have its own: writes beyond `kilobytes` of a file fail.
#[cfg(unix)]
#[test]
fn a_full_disk_loses_nothing_that_was_saved() {
    let folder = tempfile::tempdir().unwrap();
    let data = support::squares(folder.path(), SQUARES);
    let [run, bundle] = ["run", "bundle"].map(|name| folder.path().join(name));
    let [run_name, bundle_name] = [&run, &bundle].map(|path| path.display().to_string());
    let full = |arguments: &[&str]| {
        // Ignored, the signal becomes the error that a full disk gives.
        let limited = ["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_cliper-build")];
        let output = Command::new("bash").args(limited).args(arguments).current_dir(root()).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let train =
        |epochs| ["train", "image", "--data", &data, "--checkpoint", &run_name, "--epochs", epochs, "--batch", "8"];
    let message = full(&train("1"));
    assert!(message.contains("can't be written"), "{message}");
    assert!(!run.exists(), "a run that could not be saved leaves nothing");
    assert!(pkg(&train("1")).status.success());
    let pack = ["pack", "--checkpoint", &run_name, "--output", &bundle_name];
    assert!(pkg(&pack).status.success());
    let saved = [contents(&run), contents(&bundle)];
    for arguments in [&train("2")[..], &pack[..]] {
        let message = full(arguments);
        assert!(message.contains("can't be written"), "{message}");
    }
    assert_eq!([contents(&run), contents(&bundle)], saved);
    // With room again it goes on.
    let output = pkg(&train("2"));
    assert!(
        output.status.success() && String::from_utf8_lossy(&output.stderr).contains("after 1 epochs"),
        "{output:?}"
    );
    assert_ne!(contents(&run), saved[0]);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 4, "{left:?}");
}

/// FER2013's table with one picture a row, of one shade each.
fn fer2013(rows: &[(usize, &str)]) -> String {
    let row = |(index, (label, usage)): (usize, &(usize, &str))| {
        format!("{label},{},{usage}\n", vec![(index * 20 + 30).to_string(); 48 * 48].join(" "))
    };
    String::from("emotion,pixels,Usage\n") + &rows.iter().enumerate().map(row).collect::<String>()
}

#[test]
fn fer2013_is_scored_with_its_own_seven_labels() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("fer2013.csv");
    let mut rows = fer2013(&[(3, "PublicTest"), (0, "Training"), (4, "PrivateTest"), (6, "PublicTest")]);
    rows += "7,1 2 3,PublicTest\n2,1 2 3,PublicTest\n2,1 2 300,PublicTest\n1,5,Elsewhere\n3\n";
    fs::write(&table, rows).unwrap();
    let data = format!("fer2013:{}", table.display());
    let output = pkg(&["evaluate", "--data", &data, "--json"]);
    let found = json(&output);
    assert_eq!(found["count"], 2);
    let names = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear"];
    assert_eq!(found["expressions"], serde_json::json!(names));
    let counts: Vec<u64> = found["confusion"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum())
        .collect();
    assert_eq!(counts, [1, 1, 0, 0, 0, 0, 0]);
    let notes = String::from_utf8(output.stderr).unwrap();
    for named in ["5 rows can't be used", "row 5", "`7`", "3 pixels", "`300`", "`Elsewhere`", "too few"] {
        assert!(notes.contains(named), "{named} is not in:\n{notes}");
    }
    assert_eq!(json(&pkg(&["evaluate", "--data", &data, "--part", "test", "--json"]))["count"], 1);
    let run = folder.path().join("run").display().to_string();
    assert!(refused(&["train", "image", "--data", &data, "--checkpoint", &run]).contains("no FER+ votes"));
    fs::write(&table, "a,b\n1,2\n").unwrap();
    assert!(refused(&["evaluate", "--data", &data]).contains("emotion, pixels and Usage"));
}

#[test]
fn bad_input_is_answered_with_a_sentence() {
    assert!(refused(&["classify", "README.md"]).contains("not a picture"));
    assert!(refused(&["classify", "nowhere.png"]).contains("nowhere.png"));
    assert!(refused(&["classify", "www/demo/portrait.jpg", "--bundle", "tests"]).contains("model.json"));
    assert!(refused(&["evaluate", "--data", "ferplus:tests"]).contains("FER2013Valid"));
    assert!(refused(&["evaluate", "--data", "coco:x"]).contains("ferplus:FOLDER"));
    assert!(
        refused(&["train", "image", "--data", "ferplus:tests", "--checkpoint", "x", "--preset", "huge"])
            .contains("vit-b-16")
    );
}
