//! `cargo pkg import`, `embed`, `describe` and `pack` as commands, on checkpoints that the reference libraries saved.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use cliper::bundle::Weights;
use serde_json::{Value, json};
use support::{checkpoint_with_vocabulary, pkg, read_json, refuse, succeed, text};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
}

fn embedding(value: &Value) -> Vec<f32> {
    value["embedding"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    product(a, b) / (product(a, a) * product(b, b)).sqrt()
}

fn picture() -> PathBuf {
    fixture("preprocess/face-160x200.png")
}

#[test]
fn every_layout_is_imported_and_embeds_alike() {
    let folder = tempfile::tempdir().unwrap();
    for (name, activation) in
        [("clip_hugging_face", "quickGelu"), ("clip_open_clip", "quickGelu"), ("clip_tiny", "gelu")]
    {
        let (source, output) = (fixture(name), folder.path().join(name));
        // Into a folder that is not there, and again over the one that is.
        for _ in 0..2 {
            succeed(&["import", text(&source), "--output", text(&output), "--name", name]);
        }
        let backbone = read_json(&output.join("backbone.json"));
        assert_eq!(backbone["encoder"]["activation"], activation, "{name}");
        for file in backbone["files"].as_array().unwrap() {
            let bytes = fs::read(output.join(file["path"].as_str().unwrap())).unwrap();
            assert_eq!(cliper::bundle::sha256(&bytes), file["sha256"].as_str().unwrap());
        }
        let embed = |checkpoint: &Path| -> Value {
            let printed = succeed(&["embed", "--checkpoint", text(checkpoint), "--json", text(&picture())]);
            serde_json::from_str(&printed).unwrap()
        };
        let (before, after) = (embed(&source), embed(&output));
        let (before, after) = (embedding(&before["images"][0]), embedding(&after["images"][0]));
        assert!(before.iter().any(|value| value.abs() > 0.01));
        assert!(cosine(&before, &after) > 0.99999, "{name}");
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn shards_are_found_by_folder_and_by_index() {
    let source = fixture("clip_hugging_face");
    let index = source.join("model.safetensors.index.json");
    let embed = |checkpoint: &Path| succeed(&["embed", "--checkpoint", text(checkpoint), "--json", text(&picture())]);
    assert_eq!(embed(&source), embed(&index));
    assert_eq!(embed(&source), embed(&source.join("model-00002-of-00003.safetensors")));
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("model-00001-of-00003.safetensors");
    fs::copy(source.join("model-00001-of-00003.safetensors"), &alone).unwrap();
    let error = refuse(&["embed", "--checkpoint", text(&alone), text(&picture())]);
    assert!(error.contains("model.safetensors.index.json is missing"), "{error}");
}

#[test]
fn the_activation_is_asked_for_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (file, output) = (folder.path().join("model.safetensors"), folder.path().join("out"));
    fs::copy(fixture("clip_tiny/model.safetensors"), &file).unwrap();
    let error = refuse(&["import", text(&file), "--output", text(&output)]);
    assert!(error.contains("--activation quick-gelu"), "{error}");
    let config = fixture("clip_tiny/open_clip_config.json");
    succeed(&["import", text(&file), "--config", text(&config), "--output", text(&output)]);
    assert_eq!(read_json(&output.join("backbone.json"))["encoder"]["heads"], 2);
    succeed(&["import", text(&file), "--activation", "gelu", "--output", text(&output)]);
    assert_eq!(read_json(&output.join("backbone.json"))["encoder"]["heads"], 1);

    // What the command line asks for goes before what a file says, and is said.
    let (against, other) = (fixture("clip_hugging_face"), folder.path().join("against"));
    let asked = pkg(&["import", text(&against), "--activation", "gelu", "--output", text(&other)]);
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(asked.status.success() && said.contains("says the activation is QuickGelu"), "{said}");
    assert_eq!(read_json(&other.join("backbone.json"))["encoder"]["activation"], "gelu");
    fs::remove_dir_all(&other).unwrap();

    // A checkpoint that fails half way: the last tensor holds NaN. The old folder stays whole.
    let mut bytes = fs::read(&file).unwrap();
    let end = bytes.len();
    bytes[end - 2..].copy_from_slice(&[0xc0, 0x7f]);
    fs::write(&file, bytes).unwrap();
    let error = refuse(&["import", text(&file), "--activation", "gelu", "--output", text(&output)]);
    assert!(error.contains("not finite"), "{error}");
    succeed(&["embed", "--checkpoint", text(&output), "--json", text(&picture())]);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");

    // Somebody else's folder is not replaced.
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("thesis.txt"), "years of work").unwrap();
    let error = refuse(&["import", text(&output), "--output", text(&other)]);
    assert!(error.contains("name a new folder") && other.join("thesis.txt").is_file(), "{error}");
}

#[test]
fn texts_go_through_the_tokenizer_and_the_tower() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    fs::write(&file, checkpoint_with_vocabulary()).unwrap();
    let source = text(&file);
    let printed = succeed(&[
        "embed",
        "--checkpoint",
        source,
        "--activation",
        "gelu",
        "--json",
        "--text",
        "a photo of a cat",
        "--text",
        "A  photo of a CAT",
        "--text",
        "a photo of a dog",
    ]);
    let printed: Value = serde_json::from_str(&printed).unwrap();
    let texts = printed["texts"].as_array().unwrap();
    assert_eq!(texts[2]["text"], "a photo of a dog");
    let [cat, again, dog] = [0, 1, 2].map(|index| embedding(&texts[index]));
    assert!(cosine(&cat, &again) > 0.999_999 && cosine(&cat, &dog) < 0.999);
    assert!(printed["images"].as_array().unwrap().is_empty());

    let long = "word ".repeat(76);
    let error = refuse(&["embed", "--checkpoint", source, "--activation", "gelu", "--text", &long]);
    assert!(error.contains("78 tokens") && error.contains("77"), "{error}");
    // The fixtures' own vocabularies are not CLIP's.
    let error = refuse(&["embed", "--checkpoint", text(&fixture("clip_tiny")), "--text", "a cat"]);
    assert!(error.contains("100 tokens"), "{error}");
    let error = refuse(&["embed", "--bundle", text(&folder.path().join("none")), "--text", "a cat"]);
    assert!(error.contains("--checkpoint"), "{error}");
}

#[test]
fn a_bundle_embeds_its_golden_encoder() {
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/ferplus-small");
    let printed = succeed(&["embed", "--bundle", text(&bundle), "--json", text(&picture())]);
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["images"][0]["path"], text(&picture()));
    let mut weights = Weights::default();
    weights.read("golden", &fs::read(bundle.join("golden.safetensors")).unwrap()).unwrap();
    assert_eq!(vec![embedding(&printed["images"][0]).len()], weights.get("embedding").unwrap().shape);
}

#[test]
fn a_checkpoint_and_texts_become_a_zero_shot_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let [file, backbone, texts, described, bundle] =
        ["model.safetensors", "backbone", "texts.json", "descriptors.safetensors", "bundle"].map(place);
    fs::write(&file, checkpoint_with_vocabulary()).unwrap();
    // Any expressions, and any number of texts for each.
    let list = json!({ "expressions": [
        { "name": "glad", "descriptors": ["a smile"] },
        { "name": "cross", "descriptors": ["a frown", "lowered brows", "pressed lips"] },
    ] });
    fs::write(&texts, list.to_string()).unwrap();
    let describe = |checkpoint: &Path, output: &Path, templates: &[&str]| -> Vec<f32> {
        let mut arguments = vec!["describe", "--texts", text(&texts), "--output", text(output)];
        arguments.extend(["--checkpoint", text(checkpoint)]);
        if checkpoint.is_file() {
            arguments.extend(["--activation", "gelu"]);
        }
        templates.iter().for_each(|template| arguments.extend(["--template", template]));
        succeed(&arguments);
        let mut weights = Weights::default();
        weights.read("descriptors", &fs::read(output).unwrap()).unwrap();
        weights.take("embeddings", &[4, 16]).unwrap()
    };
    succeed(&["import", text(&file), "--activation", "gelu", "--output", text(&backbone), "--licence", "ours"]);
    let plain = describe(&backbone, &described, &[]);
    // The file before the import is the same backbone and gives the same.
    let other = place("other.safetensors");
    let before = describe(&file, &other, &[]);
    assert!(cosine(&plain, &before) > 0.999_999);
    assert_eq!(fs::read(&described).unwrap(), fs::read(&other).unwrap());

    // Two templates: the mean of their unit vectors, at unit length.
    let [one, two] = ["a photo of {}.", "{}, seen closely"];
    let single = [one, two].map(|template| describe(&backbone, &other, &[template]));
    let both = describe(&backbone, &other, &[one, two]);
    for (index, found) in both.chunks(16).enumerate() {
        let row = |all: &Vec<f32>| all[16 * index..][..16].to_vec();
        let sum: Vec<f32> = row(&single[0]).iter().zip(row(&single[1])).map(|(a, b)| a + b).collect();
        assert!(cosine(found, &sum) > 0.999_999);
    }
    let describing = ["describe", "--texts", text(&texts), "--checkpoint", text(&backbone), "--output", text(&other)];
    let error = refuse(&[&describing[..], &["--template", "a photo"]].concat());
    assert!(error.contains("must hold {} once"), "{error}");
    let error = refuse(&[&describing[..], &["--template", &format!("{{}} {}", "very ".repeat(80))]].concat());
    assert!(error.contains("77 are the most"), "{error}");

    let pack = ["pack", "--checkpoint", text(&backbone), "--output", text(&bundle), "--descriptors"];
    succeed(&[&pack[..], &[text(&described)]].concat());
    let manifest = read_json(&bundle.join("model.json"));
    assert_eq!((manifest["licence"].as_str(), manifest["name"].as_str()), (Some("ours"), Some("model")));
    assert_eq!(manifest["backbone"], read_json(&backbone.join("backbone.json"))["backbone"]);
    let card = fs::read_to_string(bundle.join("CARD.md")).unwrap();
    assert!(card.contains("Zero-shot") && card.contains("40.16 %"), "{card}");
    let printed = succeed(&["classify", "--bundle", text(&bundle), "--json", text(&picture())]);
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed[0]["prediction"]["expressions"][1]["descriptors"].as_array().unwrap().len(), 3);

    // Descriptors of another backbone are refused.
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("descriptors/ferplus.safetensors");
    let error = refuse(&[&pack[..], &[text(&built_in)]].concat());
    assert!(error.contains("joint space") && error.contains("cargo pkg describe"), "{error}");
    succeed(&["inspect", text(&bundle)]);
}
