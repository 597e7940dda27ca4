//! Both stages of CLIPER as commands: learned descriptors, then the image encoder, then a bundle.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{checkpoint_with_vocabulary, pkg, read_json, refuse, squares, succeed, text};
use cliper::tensors::Weights;
use serde_json::Value;

fn built_in() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/ferplus-small")
}

/// Runs a command that must succeed, and gives what it said on standard error.
fn said(arguments: &[&str]) -> String {
    let output = pkg(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

fn encoder(bundle: &Path) -> Weights {
    let mut weights = Weights::default();
    let name = "encoder-00001-of-00001.safetensors";
    weights.read(name, &fs::read(bundle.join(name)).unwrap()).unwrap();
    weights.metadata.clear();
    weights
}

#[test]
fn a_clip_checkpoint_is_trained_in_two_stages_and_packed() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let [file, backbone, first, second] = ["model.safetensors", "backbone", "first", "second"].map(place);
    fs::write(&file, checkpoint_with_vocabulary()).unwrap();
    succeed(&["import", text(&file), "--activation", "gelu", "--output", text(&backbone), "--licence", "ours"]);
    let data = squares(folder.path(), [("FER2013Train", 48), ("FER2013Valid", 8)]);
    let train = |stage: &str, from: &Path, run: &Path, more: &[&str]| {
        let fixed = ["train", stage, "--data", &data, "--from", text(from), "--checkpoint", text(run)];
        said(&[&fixed[..], &["--batch", "8"], more].concat())
    };

    // Every twentieth picture is held back: 45 are left to train on. Each goes through the encoder once.
    let sizes = ["--per-expression", "2", "--tokens", "2"];
    let notes = train("metd", &backbone, &first, &sizes);
    assert!(notes.contains("the encoder ran 45 times") && notes.contains("the encoder ran 8 times"), "{notes}");
    assert!(notes.contains("epoch 2/2"), "{notes}");
    let again = train("metd", &backbone, &first, &sizes);
    assert!(again.contains("after 2 epochs") && !again.contains("the encoder ran"), "{again}");
    let longer = train("metd", &backbone, &first, &["--epochs", "3"]);
    assert!(longer.contains("after 2 epochs") && longer.contains("epoch 3/3"), "{longer}");

    let notes = train("image", &first, &second, &["--epochs", "2", "--rate", "0.0001", "--threads", "1"]);
    assert!(notes.contains("as started: validation WAR") && notes.contains("epoch 2/2"), "{notes}");
    let again = train("image", &first, &second, &[]);
    assert!(again.contains("after 2 epochs"), "{again}");
    let state = read_json(&second.join("state.json"));
    assert_eq!(state["config"]["schedule"]["restarts"]["epochs"], 10);
    let number = |name: &str| state["config"][name].as_f64().unwrap();
    assert_eq!((number("weightDecay"), number("clipping"), number("averaging")), (0.1, 0.0, 0.0));

    // Stage 1 leaves the encoder as it is, stage 2 the descriptors.
    let bundles = [&first, &second].map(|run| {
        let bundle = run.with_extension("bundle");
        succeed(&["pack", "--checkpoint", text(run), "--data", &data, "--output", text(&bundle), "--name", "learned"]);
        bundle
    });
    let mut imported = Weights::default();
    let path = backbone.join(read_json(&backbone.join("backbone.json"))["files"][0]["path"].as_str().unwrap());
    imported.read("backbone", &fs::read(path).unwrap()).unwrap();
    let [before, after] = bundles.each_ref().map(|bundle| encoder(bundle));
    assert!(before.names().all(|name| before.get(name) == imported.get(name)));
    assert!(before.names().any(|name| before.get(name) != after.get(name)));
    let descriptors = bundles.each_ref().map(|bundle| {
        let mut weights = Weights::default();
        weights.read("descriptors", &fs::read(bundle.join("descriptors.safetensors")).unwrap()).unwrap();
        weights.take("embeddings", &[16, 16]).unwrap()
    });
    // Every reading brings them to unit length, which may move the last bit.
    assert!(descriptors[0].iter().zip(&descriptors[1]).all(|(first, second)| (first - second).abs() < 1e-6));

    // Every text is its tokens' nearest words, and those stand in the manifest.
    let manifest = read_json(&bundles[1].join("model.json"));
    assert_eq!(
        (manifest["licence"].as_str(), manifest["learned"]["prompt"].as_str()),
        (Some("ours"), Some("an ID photo of {}."))
    );
    let nearest = manifest["learned"]["nearest"].as_array().unwrap();
    assert_eq!(nearest.len(), 16);
    let texts: Vec<&str> = manifest["expressions"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|expression| expression["descriptors"].as_array().unwrap())
        .map(|text| text.as_str().unwrap())
        .collect();
    for (tokens, text) in nearest.iter().zip(&texts) {
        let tokens = tokens.as_array().unwrap();
        assert_eq!(tokens.len(), 2);
        let distances = |token: &Value| -> Vec<f64> {
            token.as_array().unwrap().iter().map(|word| word["distance"].as_f64().unwrap()).collect()
        };
        assert!(tokens.iter().all(|token| distances(token).len() == 5 && distances(token).is_sorted()));
        let words: Vec<&str> = tokens.iter().map(|token| token[0]["text"].as_str().unwrap()).collect();
        assert!(text.starts_with(&words.join(" ")), "{text}: {words:?}");
    }
    let shown = succeed(&["inspect", text(&bundles[1])]);
    assert!(shown.contains("nearest words of each token") && shown.contains(texts[3]), "{shown}");
    assert!(shown.contains("no clinical claim"), "{shown}");

    // Where it comes from, back to the import.
    let provenance = &manifest["provenance"];
    assert_eq!(provenance["training"]["stage"], "image");
    assert!(
        provenance["command"]
            .as_str()
            .unwrap()
            .contains("train image --data ferplus:FOLDER --checkpoint RUN --from START")
    );
    let stage_1 = &provenance["start"]["provenance"];
    assert_eq!(stage_1["training"]["config"]["perExpression"], 2);
    assert!(stage_1["start"]["provenance"]["imported"].is_object(), "{provenance}");

    // What the page does with it, natively.
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/preprocess/face-160x200.png");
    let printed = succeed(&["classify", "--bundle", text(&bundles[1]), "--json", text(&picture)]);
    let printed: Value = serde_json::from_str(&printed).unwrap();
    let answered = printed[0]["prediction"]["expressions"].as_array().unwrap();
    assert!(answered.iter().all(|expression| expression["descriptors"].as_array().unwrap().len() == 2));
}

#[test]
fn a_linear_head_learns_other_labels_from_the_frozen_encoder() {
    let folder = tempfile::tempdir().unwrap();
    let data = squares(folder.path(), [("FER2013Train", 48), ("FER2013Valid", 8)]);
    // So few pictures are one step an epoch: it takes more of them for the head to settle.
    let found: Value =
        serde_json::from_str(&succeed(&["linear-probe", "--data", &data, "--epochs", "200", "--json"])).unwrap();
    // Bright squares were voted happy, dark ones neutral: no face, but a line tells their embeddings apart.
    assert_eq!((found["count"].as_u64(), found["war"].as_f64()), (Some(8), Some(1.0)), "{found}");
    assert_eq!(found["expressions"].as_array().unwrap().len(), 8);
    assert!(refuse(&["linear-probe", "--data", &data, "--epochs", "0"]).contains("--epochs"));
    assert!(refuse(&["linear-probe", "--data", "rafdb:nowhere"]).contains("linear-probe reads ferplus and fer2013"));
}

#[test]
fn the_built_in_model_is_a_start_for_both_stages() {
    let folder = tempfile::tempdir().unwrap();
    let data = squares(folder.path(), [("FER2013Train", 24), ("FER2013Valid", 8)]);
    let (run, start) = (folder.path().join("run"), built_in());
    let fixed = ["--data", &data, "--from", text(&start), "--checkpoint", text(&run), "--batch", "8"];
    // Its text tower is known; the learned descriptors are of its joint space.
    // Its stem has no batch norms any more.
    let brain_floats = [&["train", "image"], &fixed[..], &["--precision", "bf16"]].concat();
    assert!(refuse(&brain_floats).contains("train in f32"));
    said(&[&["train", "metd"], &fixed[..], &["--per-expression", "1", "--tokens", "1", "--epochs", "1"]].concat());
    let mut learned = Weights::default();
    learned.read("learned", &fs::read(run.join("descriptors.safetensors")).unwrap()).unwrap();
    assert_eq!(learned.get("embeddings").unwrap().shape, [8, 384]);
    assert_eq!(learned.metadata["backbone"], read_json(&start.join("model.json"))["backbone"].as_str().unwrap());

    let error = refuse(&[&["train", "image"], &fixed[..], &["--epochs", "1"]].concat());
    assert!(error.contains("holds a run of `train metd`"), "{error}");
    fs::remove_dir_all(&run).unwrap();
    // Against the bundle's own texts.
    said(&[&["train", "image"], &fixed[..], &["--epochs", "1", "--threads", "1"]].concat());
    let mut own = Weights::default();
    own.read("own", &fs::read(run.join("descriptors.safetensors")).unwrap()).unwrap();
    assert_eq!(own.get("embeddings").unwrap().shape, [40, 384]);
    assert!(!own.metadata.contains_key("learned"));
}

#[test]
fn wrong_combinations_are_answered_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let data = squares(folder.path(), [("FER2013Train", 24), ("FER2013Valid", 8)]);
    let (run, start) = (folder.path().join("run"), built_in());
    let fixed = ["--data", &data, "--checkpoint", text(&run)];
    let from = ["--from", text(&start)];
    let (metd, image) = (["train", "metd"], ["train", "image"]);
    for (arguments, sentence) in [
        (metd.to_vec(), "--from"),
        ([&metd[..], &from, &["--preset", "small"]].concat(), "'--preset'"),
        ([&metd[..], &from, &["--descriptors", "x"]].concat(), "'--descriptors'"),
        ([&metd[..], &from, &["--restarts", "3"]].concat(), "'--restarts'"),
        ([&metd[..], &from, &["--prompt", "no place"]].concat(), "must hold {} once"),
        ([&metd[..], &from, &["--tokens", "0"]].concat(), "0 learned tokens"),
        ([&metd[..], &from, &["--per-expression", "0"]].concat(), "one descriptor"),
        ([&image[..], &["--tokens", "4"]].concat(), "'--tokens'"),
        ([&image[..], &from, &["--preset", "vit-b-32"]].concat(), "can be widened to"),
        ([&image[..], &["--from", text(folder.path())]].concat(), "nothing to start from"),
        (vec!["train", "text"], "unrecognized subcommand"),
    ] {
        let error = refuse(&[&arguments[..], &fixed].concat());
        assert!(error.contains(sentence) && !error.contains("panicked"), "{arguments:?}: {error}");
    }
    assert!(!run.exists(), "nothing half-written is left behind");
    let error = refuse(&["train", "image", "--data", &data, "--checkpoint", text(folder.path())]);
    assert!(error.contains("holds no state.json") && folder.path().join("FER2013Train").is_dir(), "{error}");

    // An imported checkpoint has no descriptors yet.
    let (file, backbone) = (folder.path().join("model.safetensors"), folder.path().join("backbone"));
    fs::write(&file, checkpoint_with_vocabulary()).unwrap();
    succeed(&["import", text(&file), "--activation", "gelu", "--output", text(&backbone)]);
    let error = refuse(&[&image[..], &fixed, &["--from", text(&backbone)]].concat());
    assert!(error.contains("cargo pkg describe --checkpoint") && error.contains("train metd"), "{error}");
    // And the built-in texts are of another joint space.
    let texts = Path::new(env!("CARGO_MANIFEST_DIR")).join("descriptors/ferplus.safetensors");
    let error = refuse(&[&image[..], &fixed, &["--from", text(&backbone), "--descriptors", text(&texts)]].concat());
    assert!(error.contains("joint space"), "{error}");
    // A tower of another joint space.
    let error = refuse(&[&metd[..], &fixed, &from, &["--text-encoder", text(&backbone)]].concat());
    assert!(error.contains("name the one that it was trained with"), "{error}");
    assert!(!run.exists());
}
