//! `cargo pkg import`, `embed`, `describe` and `pack` as commands, on checkpoints that the reference libraries saved.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{checkpoint_where, checkpoint_with_vocabulary, pkg, read_json, refuse, succeed, text};
use cliper::tensors::Weights;
use serde_json::{Value, json};

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
            assert_eq!(cliper::tensors::sha256(&bytes), file["sha256"].as_str().unwrap());
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
fn files_of_torch_save_are_the_same_backbone_as_safetensors() {
    let folder = tempfile::tempdir().unwrap();
    let import = |file: &str, config: &str| -> Value {
        let (source, config) = (fixture("clip_archive").join(file), fixture("clip_archive").join(config));
        let output = folder.path().join(file);
        succeed(&["import", text(&source), "--config", text(&config), "--output", text(&output)]);
        read_json(&output.join("backbone.json"))
    };
    for (reference, config, files) in [
        ("open_clip.safetensors", "open_clip_config.json", &["run.pt", "parameters.pt"][..]),
        ("hugging_face.safetensors", "config.json", &["pytorch_model.bin", "old.bin"]),
    ] {
        let wanted = import(reference, config);
        for file in files {
            let found = import(file, config);
            assert_eq!(found["backbone"], wanted["backbone"], "{file}");
            assert_eq!(found["files"], wanted["files"], "{file}");
            assert_eq!(found["provenance"]["checkpoint"][0], *file);
        }
    }
    let output = folder.path().join("none");
    for (file, named) in [("scripted.pt", "torch.jit.load"), ("whole.pt", "state_dict()"), ("list.pt", "state dict")] {
        let source = fixture("clip_archive").join(file);
        let error = refuse(&["import", text(&source), "--activation", "gelu", "--output", text(&output)]);
        assert!(error.contains(file) && error.contains(named), "{error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 6, "nothing half-written is left");
    // In a folder, the name that the library gives its weights is found among other files.
    let named = fixture("clip_archive").join("pytorch_model.bin");
    let embed = |checkpoint: &Path| succeed(&["embed", "--checkpoint", text(checkpoint), "--json", text(&picture())]);
    assert_eq!(embed(&fixture("clip_archive")), embed(&named));
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

/// Imports a checkpoint, describes FER+'s expressions through it, and gives the arguments that pack the two.
fn ready_to_pack(folder: &Path, checkpoint: Vec<u8>) -> Vec<String> {
    let place = |name: &str| folder.join(name).display().to_string();
    let [file, backbone, described] = ["model.safetensors", "backbone", "descriptors.safetensors"].map(place);
    let texts = Path::new(env!("CARGO_MANIFEST_DIR")).join("descriptors/ferplus.json");
    fs::write(&file, checkpoint).unwrap();
    succeed(&["import", &file, "--activation", "gelu", "--output", &backbone]);
    succeed(&["describe", "--checkpoint", &backbone, "--texts", text(&texts), "--output", &described]);
    ["pack", "--checkpoint", &backbone, "--descriptors", &described].map(String::from).to_vec()
}

fn packing<'a>(ready: &'a [String], precision: &'a str, output: &'a Path) -> Vec<&'a str> {
    let ready = ready.iter().map(String::as_str);
    ready.chain(["--precision", precision, "--output", text(output)]).collect()
}

#[test]
fn a_bundle_is_packed_in_every_precision_and_measured() {
    let folder = tempfile::tempdir().unwrap();
    let ready = ready_to_pack(folder.path(), checkpoint_with_vocabulary());
    let (mut sizes, mut embeddings) = (Vec::new(), Vec::new());
    for precision in ["f32", "f16", "int8"] {
        let bundle = folder.path().join(precision);
        succeed(&packing(&ready, precision, &bundle));
        let manifest = read_json(&bundle.join("model.json"));
        // transformers' checkpoints are cropped as transformers does it.
        assert_eq!((&manifest["version"], &manifest["preprocess"]["resize"]), (&json!(5), &json!({ "crop": "down" })));
        let weights = &manifest["provenance"]["weights"];
        assert_eq!(weights["precision"], precision);
        let least = if precision == "int8" { 0.995 } else { 0.9995 };
        assert!(weights["leastCosine"].as_f64().unwrap() >= least && weights["pictures"].as_u64().unwrap() >= 3);
        assert_eq!(weights["sameAnswers"], 1.0);
        let files = manifest["files"].as_array().unwrap();
        let bytes = |file: &Value| if file["role"] == "weights" { file["bytes"].as_u64().unwrap() } else { 0 };
        sizes.push(files.iter().map(bytes).sum::<u64>());
        let printed = succeed(&["embed", "--bundle", text(&bundle), "--json", text(&picture())]);
        embeddings.push(embedding(&serde_json::from_str::<Value>(&printed).unwrap()["images"][0]));
        succeed(&["classify", "--bundle", text(&bundle), text(&picture())]);
    }
    assert!(sizes.is_sorted_by(|a, b| a > b), "{sizes:?}");
    assert!(cosine(&embeddings[0], &embeddings[1]) > 0.999_999);
    // Rounded weights, and activations too.
    assert!((0.995..0.999_999).contains(&cosine(&embeddings[0], &embeddings[2])));

    // Fewer levels: the same bytes, of which more are alike, and fewer answers than that are exact.
    let (coarse, fine) = (folder.path().join("coarse"), folder.path().join("int8"));
    let levels = |levels: &'static str| [packing(&ready, "int8", &coarse), vec!["--levels", levels]].concat();
    succeed(&levels("63"));
    let of = |bundle: &Path| read_json(&bundle.join("model.json"))["provenance"]["weights"].clone();
    assert_eq!((&of(&coarse)["levels"], &of(&fine)["levels"]), (&json!(63), &json!(255)));
    assert!(of(&coarse)["leastCosine"].as_f64() < of(&fine)["leastCosine"].as_f64());
    let shard = "encoder-00001-of-00001.safetensors";
    let bytes = |bundle: &Path| fs::read(bundle.join(shard)).unwrap();
    assert_eq!(bytes(&coarse).len(), bytes(&fine).len());
    for wrong in ["64", "13", "300", "many"] {
        assert!(refuse(&levels(wrong)).contains("odd number from 15 to 255"), "{wrong}");
    }
    let whole = [packing(&ready, "f16", &coarse), vec!["--levels", "63"]].concat();
    assert!(refuse(&whole).contains("--precision int8"));

    // A bundle can be packed again, and what is exact once stays so.
    let again = folder.path().join("again");
    let (exact, rounded) = (folder.path().join("f32"), folder.path().join("f16"));
    succeed(&["pack", "--checkpoint", text(&exact), "--precision", "f16", "--output", text(&again)]);
    assert_eq!(fs::read(again.join(shard)).unwrap(), fs::read(rounded.join(shard)).unwrap());
    assert_eq!(fs::read(again.join("CARD.md")).unwrap(), fs::read(rounded.join("CARD.md")).unwrap());

    // One wrong bit in the backbone, and a file cut off, are named.
    let damaged = folder.path().join("backbone").join(shard);
    let bytes = fs::read(&damaged).unwrap();
    let mut flipped = bytes.clone();
    flipped[bytes.len() - 20] ^= 1;
    let bundle = folder.path().join("none");
    for wrong in [&flipped[..], &bytes[..bytes.len() - 2]] {
        fs::write(&damaged, wrong).unwrap();
        let error = refuse(&packing(&ready, "f16", &bundle));
        assert!(error.contains(shard) && error.contains("imported") && !bundle.exists(), "{error}");
    }

    // An encoder of colour pictures is measured on FER+'s grey ones.
    let part = folder.path().join("FER2013Valid");
    fs::create_dir(&part).unwrap();
    fs::copy(fixture("preprocess/face-160x200.png"), part.join("face.png")).unwrap();
    fs::copy(fixture("preprocess/face-224x224.png"), part.join("other.png")).unwrap();
    let rows =
        ["face.png,box,0,10,0,0,0,0,0,0,0,0", "other.png,box,9,0,0,0,0,0,0,0,0,0", "face.png,box,9,0,0,0,0,0,0,0,0,0"];
    fs::write(part.join("label.csv"), rows.join("\n")).unwrap();
    let (data, bundle) = (format!("ferplus:{}", folder.path().display()), folder.path().join("int8"));
    let evaluate = ["evaluate", "--data", &data, "--bundle", text(&bundle), "--limit", "2", "--json"];
    let figures: Value = serde_json::from_str(&succeed(&evaluate)).unwrap();
    assert_eq!(figures["count"], 2);
    let total: u64 = figures["confusion"].to_string().matches(|digit: char| "123456789".contains(digit)).count() as u64;
    assert!((1..=2).contains(&total) && figures["war"].is_f64(), "{figures}");
}

#[test]
fn rounding_that_costs_too_much_is_refused_and_nothing_is_left() {
    // A column that the norm before it silences, and that is a thousand times larger than the others: it takes the whole
    // range of 8 bits, and what counts is rounded to zero.
    let checkpoint = checkpoint_where(|name, values| {
        let columns = values.shape.last().copied().unwrap_or(1);
        if name.contains("layer_norm") {
            values.data[0] = 0.0;
        } else if ["q_proj.weight", "k_proj.weight", "v_proj.weight", "fc1.weight"]
            .iter()
            .any(|end| name.ends_with(end))
        {
            values.data.iter_mut().step_by(columns).for_each(|value| *value = 300.0);
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let ready = ready_to_pack(folder.path(), checkpoint);
    let bundle = folder.path().join("bundle");
    let before = fs::read_dir(folder.path()).unwrap().count();
    let error = refuse(&packing(&ready, "int8", &bundle));
    for word in ["the portrait", "cosine of ", "0.995", "--precision f16"] {
        assert!(error.contains(word), "{word} is not in: {error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), before);
    succeed(&packing(&ready, "f16", &bundle));
    // A bundle that is there stays whole.
    let whole = fs::read(bundle.join("model.json")).unwrap();
    refuse(&packing(&ready, "int8", &bundle));
    assert_eq!(fs::read(bundle.join("model.json")).unwrap(), whole);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), before + 1);
}

#[test]
fn descriptor_texts_that_can_not_stand_are_named_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let [file, texts, output] = ["model.safetensors", "texts.json", "descriptors.safetensors"].map(place);
    fs::write(&file, checkpoint_with_vocabulary()).unwrap();
    let refused = |json: &str| {
        fs::write(&texts, json).unwrap();
        let describe = ["describe", "--texts", text(&texts), "--checkpoint", text(&file), "--activation", "gelu"];
        let error = refuse(&[&describe[..], &["--output", text(&output)]].concat());
        assert!(error.contains("texts.json"), "{error}");
        error
    };
    let list = |first: &str, second: &str| {
        format!(
            "{{\n  \"expressions\": [\n    {{ \"name\": \"a \\\"b\\\" [\", \"descriptors\": [\n      \"one\",\n      {first}\n    ] }},\n    \
             {{ \"name\": \"c\", \"descriptors\": [{second}] }}\n  ]\n}}\n"
        )
    };
    let error = refused(&list("\" \"", "\"two\""));
    assert!(error.contains("line 5") && error.contains("empty") && error.contains("text was expected"), "{error}");
    let error = refused(&list("\"two\"", "\"one\""));
    assert!(error.contains("line 7") && error.contains("\"one\" stands in line 4 already"), "{error}");
    let error = refused(&list("\"two\"", &format!("\"{}\"", "word ".repeat(76))));
    assert!(error.contains("line 7") && error.contains("78 tokens") && error.contains("77 are the most"), "{error}");
    let error = refused(&list("\"two\"", ""));
    assert!(error.contains("`c` has no descriptor"), "{error}");
    let error = refused(&list("7", "\"two\""));
    assert!(error.contains("was expected") && error.contains("line 5"), "{error}");
    let error = refused("{\"expressions\": [");
    assert!(error.contains("line 1"), "{error}");
    assert!(!output.exists() && fs::read_dir(folder.path()).unwrap().count() == 2);
}
