//! Face shapes of a data set and the explanations measured by them, as a user runs both; a stand-in takes MediaPipe's place.

use std::fs;
use std::path::Path;

use crate::support::{read_json, refuse, squares, succeed, text};
use cliper::movements::SHAPES;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Drawn pictures.
const PICTURES: [(&str, usize); 2] = [("FER2013Train", 4), ("FER2013Valid", 24)];

/// What a picture is known by in the table, from the description of the table alone.
fn key(picture: &Path) -> String {
    let picture = image::open(picture).unwrap().into_rgba8();
    let mut hash = Sha256::new();
    hash.update(picture.as_raw());
    hash.update(picture.width().to_le_bytes());
    hash.update(picture.height().to_le_bytes());
    hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Some of the validation pictures as FER2013's table has them, as neutral ones; gives its name for the command line.
fn fer2013(folder: &Path, indices: std::ops::Range<usize>) -> String {
    let row = |index| {
        let picture = image::open(folder.join(format!("FER2013Valid/{index}.png"))).unwrap().into_luma8();
        let levels: Vec<String> = picture.pixels().map(|pixel| pixel.0[0].to_string()).collect();
        format!("6,{},PublicTest\n", levels.join(" "))
    };
    let path = folder.join("fer2013.csv");
    fs::write(&path, String::from("emotion,pixels,Usage\n") + &indices.map(row).collect::<String>()).unwrap();
    format!("fer2013:{}", path.display())
}

/// A table whose faces open their jaws by `jaw`; no face is found where that is none.
fn table(folder: &Path, indices: &[usize], jaw: impl Fn(usize) -> Option<f32>) -> String {
    let mut table = format!("picture,found,{}\n", SHAPES.join(","));
    for &index in indices {
        let shape = |name: &&str| match (*name, jaw(index)) {
            ("jawOpen", Some(jaw)) => jaw.to_string(),
            _ => "0".to_string(),
        };
        let values: Vec<String> = SHAPES.iter().map(shape).collect();
        let picture = key(&folder.join(format!("FER2013Valid/{index}.png")));
        table += &format!("{picture},{},{}\n", u8::from(jaw(index).is_some()), values.join(","));
    }
    let path = folder.join("shapes.csv");
    fs::write(&path, table).unwrap();
    path.display().to_string()
}

#[test]
fn explanations_are_measured_on_faces_whose_shapes_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let data = squares(folder.path(), PICTURES);
    // Two pictures that taggers disagree on.
    let labels = folder.path().join("FER2013Valid/label.csv");
    let rows = fs::read_to_string(&labels).unwrap();
    fs::write(&labels, rows.replace("\"(0, 0, 48, 48)\",0,10,0,0", "\"(0, 0, 48, 48)\",0,4,3,3")).unwrap();
    let all: Vec<usize> = (0..24).collect();
    let shapes = table(folder.path(), &all, |index| (index != 5).then_some(index as f32 / 24.0));
    let evaluate = ["evaluate", "--data", &data, "--explanations", "--shapes", &shapes];
    let found: Value = serde_json::from_str(&succeed(&[&evaluate[..], &["--json"]].concat())).unwrap();
    let explanations = &found["explanations"];
    let count = |name: &str| explanations[name].as_u64().unwrap();
    // Bright ones have four votes for happiness, so the dark ones are left, and of these one has no face.
    assert_eq!((count("pictures"), count("withShapes"), count("found"), count("faces")), (24, 24, 23, 11));
    let expressions = explanations["expressions"].as_array().unwrap();
    assert_eq!((expressions.len(), &expressions[0]["faces"], &expressions[1]["faces"]), (8, &11.into(), &0.into()));
    assert!(expressions[0]["mostFrequent"]["share"].as_f64().unwrap() >= 0.2);
    assert_eq!(expressions[1]["mostFrequent"], Value::Null);
    assert_eq!(explanations["mostFrequent"], Value::Null, "11 faces are too few for a mean");
    let descriptors: Vec<&Value> =
        expressions.iter().flat_map(|expression| expression["descriptors"].as_array().unwrap()).collect();
    assert_eq!(descriptors.len(), 40);
    for descriptor in descriptors {
        // The jaw alone moved: only what names it can be told apart.
        let names_it = descriptor["movements"].get("jawOpen").is_some();
        assert_eq!(descriptor["auc"].is_number(), names_it, "{descriptor}");
        assert_eq!(descriptor["ownAuc"], Value::Null);
    }
    assert!((0.0..=1.0).contains(&explanations["auc"].as_f64().unwrap()));
    assert!((-1.0..=1.0).contains(&explanations["correlation"].as_f64().unwrap()));
    let printed = succeed(&evaluate);
    for said in ["explanations on 11 faces", "a slack mouth hanging open", "mean"] {
        assert!(printed.contains(said), "{said} is not in:\n{printed}");
    }
}

#[test]
fn sentences_and_where_evidence_lies_are_measured_too() {
    let folder = tempfile::tempdir().unwrap();
    let data = squares(folder.path(), PICTURES);
    let all: Vec<usize> = (0..24).collect();
    let shapes = table(folder.path(), &all, |index| Some(index as f32 / 24.0));
    let sentences = folder.path().join("sentences.jsonl");
    let lines = [
        r#"{ "text": "the jaw hangs", "movements": { "jawOpen": 1 } }"#,
        r#"{ "text": "shut", "movements": { "jawOpen": -1 } }"#,
    ];
    fs::write(&sentences, lines.join("\n")).unwrap();
    let evaluate = ["evaluate", "--data", &data, "--json"];
    let more = ["--explanations", "--shapes", &shapes, "--sentences", text(&sentences), "--evidence", "best"];
    let found: Value = serde_json::from_str(&succeed(&[&evaluate[..], &more].concat())).unwrap();
    assert_eq!((&found["sentences"]["sentences"], &found["sentences"]["faces"]), (&2.into(), &24.into()));
    assert!((0.0..=1.0).contains(&found["sentences"]["auc"].as_f64().unwrap()));
    let locality = &found["locality"];
    assert_eq!(locality["pictures"], 24);
    for part in ["mouth", "brows", "browsAndEyes"] {
        assert!((0.0..=1.0).contains(&locality[part].as_f64().unwrap()), "{locality}");
    }
    assert!(locality["descriptors"].as_array().unwrap().len() > 20);
    fs::write(&sentences, r#"{ "text": "ears wiggle", "movements": { "earWiggle": 1 } }"#).unwrap();
    let error = refuse(&[&evaluate[..], &more].concat());
    assert!(error.contains("earWiggle"), "{error}");
}

#[test]
fn explanations_that_cannot_be_measured_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = squares(folder.path(), PICTURES);
    let evaluate = ["evaluate", "--data", &data, "--explanations"];
    let with = |arguments: &[&str]| refuse(&[&evaluate[..], arguments].concat());
    let error = with(&[]);
    assert!(error.contains("cargo pkg shapes --data ferplus:FOLDER --output FILE") && error.contains("--shapes FILE"));
    let missing = folder.path().join("none.csv");
    assert!(with(&["--shapes", text(&missing)]).contains("none.csv can't be read"));
    let few = table(folder.path(), &[1, 3, 5], |_| Some(0.5));
    let error = with(&["--shapes", &few]);
    assert!(error.contains("3 of the 24 pictures only") && error.contains("cargo pkg shapes"), "{error}");
    let none = table(folder.path(), &(0..24).collect::<Vec<_>>(), |_| None);
    assert!(with(&["--shapes", &none]).contains("no face is left"));

    // FER2013's own labels stand against descriptors that name a search, and no movement.
    let fer2013 = fer2013(folder.path(), 0..2);
    let error = refuse(&["evaluate", "--data", &fer2013, "--explanations", "--shapes", &few]);
    assert!(error.contains("name no movements") && error.contains("--movements"), "{error}");

    let texts = folder.path().join("texts.json");
    let named = |movements: &str| {
        let json = format!(
            r#"{{ "expressions": [{{ "name": "a", "descriptors": [{{ "text": "one", "movements": {movements} }}] }},
            {{ "name": "b", "descriptors": ["two"] }}] }}"#
        );
        fs::write(&texts, json).unwrap();
        with(&["--shapes", &few, "--movements", text(&texts)])
    };
    let error = named(r#"{ "earWiggle": 1 }"#);
    assert!(error.contains("`earWiggle`") && error.contains("jawOpen, mouthClose"), "{error}");
    assert!(named(r#"{ "jawOpen": 1e300 }"#).contains("`jawOpen`"));
    assert!(named(r#"{ "jawOpen": 1 }"#).contains("none of the model's descriptors"));
}

#[test]
fn movements_go_through_describe_and_pack() {
    let folder = tempfile::tempdir().unwrap();
    let data = squares(folder.path(), PICTURES);
    let shapes = table(folder.path(), &(0..24).collect::<Vec<_>>(), |index| Some(index as f32));
    let [run, bundle, again] = ["run", "bundle", "again"].map(|name| folder.path().join(name));
    let texts = Path::new(env!("CARGO_MANIFEST_DIR")).join("descriptors/ferplus.safetensors");
    let train = ["train", "image", "--data", &data, "--checkpoint", text(&run), "--epochs", "1", "--batch", "2"];
    succeed(&[&train[..], &["--descriptors", text(&texts)]].concat());
    let pack = ["pack", "--checkpoint", text(&run), "--output", text(&bundle)];
    assert!(refuse(&[&pack[..], &["--shapes", &shapes]].concat()).contains("--data"));
    succeed(&[&pack[..], &["--data", &data, "--shapes", &shapes]].concat());
    let manifest = read_json(&bundle.join("model.json"));
    assert_eq!(manifest["version"], 4);
    assert_eq!(manifest["expressions"][2]["movements"][3]["mouthFunnel"], 0.5);
    let packed = &manifest["provenance"]["validation"]["explanations"];
    assert_eq!(packed["faces"], 24);
    let evaluate = ["evaluate", "--bundle", text(&bundle), "--data", &data, "--explanations", "--shapes", &shapes];
    let found: Value = serde_json::from_str(&succeed(&[&evaluate[..], &["--json"]].concat())).unwrap();
    assert_eq!(found["explanations"]["expressions"][2]["auc"], packed["expressions"][2]["auc"]);
    let card = fs::read_to_string(bundle.join("CARD.md")).unwrap();
    for said in
        ["## Whether the descriptors follow", "| a broad open smile that shows the upper teeth | ", "| surprise | 0 |"]
    {
        assert!(card.contains(said), "{said} is not in:\n{card}");
    }
    assert!(
        refuse(&[
            "pack",
            "--checkpoint",
            text(&bundle),
            "--output",
            text(&again),
            "--data",
            &data,
            "--shapes",
            &shapes
        ])
        .contains("cargo pkg evaluate --explanations")
    );

    // A set of labels without votes is measured on all of its faces.
    let fer2013 = fer2013(folder.path(), 0..6);
    let labels = ["evaluate", "--bundle", text(&bundle), "--data", &fer2013, "--explanations", "--shapes", &shapes];
    let output = crate::support::pkg(&[&labels[..], &["--json"]].concat());
    assert!(String::from_utf8(output.stderr).unwrap().contains("labels and no votes"));
    let labelled: Value = serde_json::from_slice(&output.stdout).unwrap();
    let faces = [&labelled["explanations"], &labelled["explanations"]["expressions"][0]].map(|it| &it["faces"]);
    assert_eq!(faces, [6, 6]);

    // A bundle of before gets its movements from the texts.
    let mut before = manifest;
    before["version"] = 1.into();
    for expression in before["expressions"].as_array_mut().unwrap() {
        expression.as_object_mut().unwrap().remove("movements");
    }
    fs::write(bundle.join("model.json"), before.to_string()).unwrap();
    assert!(refuse(&evaluate).contains("name no movements"));
    let texts = Path::new(env!("CARGO_MANIFEST_DIR")).join("descriptors/ferplus.json");
    let with = [&evaluate[..], &["--movements", text(&texts), "--json"]].concat();
    let annotated: Value = serde_json::from_str(&succeed(&with)).unwrap();
    assert_eq!(annotated["explanations"], found["explanations"]);
    succeed(&["pack", "--checkpoint", text(&bundle), "--movements", text(&texts), "--output", text(&again)]);
    let manifest = read_json(&again.join("model.json"));
    assert_eq!(manifest["version"], 4);
    assert_eq!(manifest["expressions"][0]["movements"][0]["jawOpen"], -1.0);
}

/// Answers as the tool does: a jaw as open as the picture is bright, no face in a dark one.
#[cfg(unix)]
const STAND_IN: &str = r#"#!/usr/bin/env python3
import json, struct, sys
NAMES = "_NAMES_".split(",")
while True:
    head = sys.stdin.buffer.read(8)
    if not head:
        break
    width, height = struct.unpack("<II", head)
    pixels = sys.stdin.buffer.read(width * height * 3)
    mean = sum(pixels) / len(pixels) / 255
    if mean > 0.99:
        sys.exit("no memory is left")
    print(json.dumps({name: mean for name in NAMES} if mean > 0.5 else {}), flush=True)
"#;

#[cfg(unix)]
#[test]
fn a_table_of_shapes_is_made_and_gone_on_with() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let data = squares(folder.path(), PICTURES);
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (python, output) = (place("python"), place("made/shapes.csv"));
    fs::write(&python, STAND_IN.replace("_NAMES_", &SHAPES.join(","))).unwrap();
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
    let shapes = |data: &str, arguments: &[&str]| {
        let all = ["shapes", "--data", data, "--python", &python, "--model", &python, "--output", &output];
        let output = crate::support::pkg(&[&all[..], arguments].concat());
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (done, said) = shapes(&data, &["--part", "train"]);
    assert!(done && said.contains("4 rows, 4 of them new; 2 pictures with a face"), "{said}");
    let before = fs::read_to_string(&output).unwrap();
    let (done, said) = shapes(&data, &[]);
    assert!(done && said.contains("4 rows already") && said.contains("28 rows, 24 of them new; 14"), "{said}");
    let after = fs::read_to_string(&output).unwrap();
    assert!(after.starts_with(&before));
    let row = |index: usize| {
        let key = key(&folder.path().join(format!("FER2013Valid/{index}.png")));
        after
            .lines()
            .find(|line| line.starts_with(&key))
            .unwrap_or_else(|| panic!("no row of picture {index}"))
            .to_owned()
    };
    assert!(row(0).contains(",1,0.8") && row(1).ends_with(",0,0,0,0"), "{} {}", row(0), row(1));

    // The same picture in FER2013's table is the same row.
    let (done, said) = shapes(&fer2013(folder.path(), 0..2), &["--part", "valid"]);
    assert!(done && said.contains("28 rows, 0 of them new"), "{said}");
    // What was made serves `evaluate`.
    let made = succeed(&["evaluate", "--data", &data, "--explanations", "--shapes", &output, "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&made).unwrap()["explanations"]["found"], 12);

    // A tool that stops says why, and loses no row.
    let white = image::GrayImage::from_pixel(48, 48, image::Luma([255]));
    white.save(folder.path().join("FER2013Valid/0.png")).unwrap();
    let (done, said) = shapes(&data, &[]);
    assert!(!done && said.contains("no memory is left") && said.contains("rows so far are kept"), "{said}");
    assert!(fs::read_to_string(&output).unwrap().starts_with(&after));
}

#[test]
fn a_python_or_a_model_that_cannot_serve_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = squares(folder.path(), PICTURES);
    let output = folder.path().join("shapes.csv");
    let with = |python: &str, model: &str, data: &str| {
        refuse(&["shapes", "--data", data, "--python", python, "--model", model, "--output", text(&output)])
    };
    let labels = folder.path().join("FER2013Valid/label.csv");
    let error = with("no-such-python", text(&labels), &data);
    assert!(error.contains("no-such-python") && error.contains("--python"), "{error}");
    let error = with("python3", text(&labels), &data);
    assert!(error.contains("its sha256 is") && error.contains("64184e22"), "{error}");
    assert!(with("python3", "nowhere.task", &data).contains("nowhere.task can't be read"));
    fs::write(&output, "dear diary\n").unwrap();
    assert!(with("python3", text(&labels), &data).contains("name another file"));
    assert_eq!(fs::read_to_string(&output).unwrap(), "dear diary\n");
}
