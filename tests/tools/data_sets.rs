//! Every data set's layout in a small made tree, evaluated as a user does; and the whole way of a temporal head.

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

fn done(output: &Output) -> String {
    let notes = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{notes}");
    notes
}

fn json(output: &Output) -> Value {
    done(output);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A made data set.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The portrait, which the built-in model calls happiness.
    fn smile(&self, name: &str) {
        let portrait = image::open(root().join("www/demo/portrait.jpg")).unwrap();
        portrait.resize_exact(64, 64, image::imageops::FilterType::Triangle).into_rgb8().save(self.path(name)).unwrap();
    }

    /// A clip of smiles.
    fn clip(&self, folder: &str, frames: usize) {
        (1..=frames).for_each(|frame| self.smile(&format!("{folder}/{frame:05}.jpg")));
    }

    fn data(&self, format: &str) -> String {
        format!("{format}:{}", self.0.path().display())
    }

    fn evaluate(&self, format: &str, more: &[&str]) -> (Value, String) {
        let data = self.data(format);
        let output = pkg(&[&["evaluate", "--data", &data, "--json"], more].concat());
        let notes = done(&output);
        (json(&output), notes)
    }
}

/// `confusion[row of the expression][happiness]`: how many of its clips are called happiness.
fn smiles(fold: &Value, expression: &str) -> u64 {
    let names: Vec<&str> = fold["expressions"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let place = |wanted: &str| names.iter().position(|name| *name == wanted).unwrap();
    fold["confusion"][place(expression)][place("happiness")].as_u64().unwrap()
}

#[test]
fn raf_db_counts_labels_from_one_in_its_own_order() {
    let tree = Tree::new();
    tree.write(
        "list_patition_label.txt",
        "train_00001.jpg 5\ntest_0001.jpg 4\ntest_0002.jpg 7\ntest_0003.jpg 8\ntest_0004.jpg 4\nother.jpg 1\n",
    );
    ["train_00001", "test_0001", "test_0002", "test_0003"]
        .iter()
        .for_each(|name| tree.smile(&format!("Image/aligned/{name}_aligned.jpg")));
    let (found, notes) = tree.evaluate("rafdb", &["--part", "test"]);
    let fold = &found["folds"][0];
    assert_eq!((fold["count"].as_u64(), fold["damaged"].as_u64()), (Some(2), Some(3)));
    assert_eq!(fold["expressions"][0], "surprise");
    assert_eq!((smiles(fold, "happiness"), smiles(fold, "neutral")), (1, 1));
    assert_eq!(found["war"], 0.5);
    assert!(found["warSpread"].is_null());
    for named in ["line 4", "8 is not 1 to 7", "test_0004", "line 6", "of the bundle alone: contempt"] {
        assert!(notes.contains(named), "{named} is not in:\n{notes}");
    }
    let refused = pkg(&["evaluate", "--data", &tree.data("rafdb")]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("train and test"));
}

/// As `numpy.save` writes AffectNet's labels.
fn npy(label: &str) -> Vec<u8> {
    let kind = format!("<U{}", label.len());
    let header = format!("{:117}\n", format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': (), }}"));
    let letters = label.bytes().flat_map(|letter| [letter, 0, 0, 0]);
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes()]
        .concat()
        .into_iter()
        .chain(letters)
        .collect()
}

#[test]
fn affect_net_reads_numpy_labels_with_and_without_contempt() {
    let tree = Tree::new();
    for (id, label) in [("0", "1"), ("1", "0"), ("2", "7"), ("10", "8"), ("11", "x"), ("12", "1")] {
        tree.write(&format!("val_set/annotations/{id}_exp.npy"), npy(label));
        tree.write(&format!("val_set/annotations/{id}_val.npy"), npy("0"));
        if id != "12" {
            tree.smile(&format!("val_set/images/{id}.jpg"));
        }
    }
    let (eight, notes) = tree.evaluate("affectnet8", &["--part", "valid"]);
    let fold = &eight["folds"][0];
    assert_eq!((fold["count"].as_u64(), fold["damaged"].as_u64()), (Some(3), Some(2)));
    assert_eq!((smiles(fold, "happiness"), smiles(fold, "contempt")), (1, 1));
    assert!(notes.contains("6 rows, 1 without an expression") && notes.contains("`x` is no label"), "{notes}");
    let (seven, _) = tree.evaluate("affectnet7", &["--part", "valid"]);
    assert_eq!(seven["folds"][0]["count"], 2);
    assert_eq!(seven["folds"][0]["expressions"].as_array().unwrap().len(), 7);
}

#[test]
fn dfew_gives_mean_and_spread_over_five_folds() {
    let tree = Tree::new();
    for fold in 1..=5 {
        // One smile more is labelled sad in each fold.
        let rows: String = (1..=6).map(|clip| format!("{clip},{}\n", if clip <= fold { 2 } else { 1 })).collect();
        tree.write(
            &format!("EmoLabel_DataSplit/test(single-labeled)/set_{fold}.csv"),
            format!("video_name,label\n{rows}"),
        );
    }
    (1..=6).for_each(|clip| tree.clip(&format!("Clip/clip_224x224/{clip:05}"), 2));
    let (found, _) = tree.evaluate("dfew", &["--part", "test"]);
    let folds = found["folds"].as_array().unwrap();
    assert_eq!(folds.len(), 5);
    let wars: Vec<f64> = folds.iter().map(|fold| fold["war"].as_f64().unwrap()).collect();
    (1..=5).for_each(|fold| assert!((wars[fold - 1] - (6 - fold) as f64 / 6.0).abs() < 1e-9, "{wars:?}"));
    assert!((found["war"].as_f64().unwrap() - 0.5).abs() < 1e-9);
    // Spread of 1/6 .. 5/6.
    assert!((found["warSpread"].as_f64().unwrap() - (2.5f64).sqrt() / 6.0).abs() < 1e-9);
    assert_eq!(folds[0]["expressions"][1], "sadness");
    assert_eq!(smiles(&folds[2], "sadness"), 3);
    let (one, _) = tree.evaluate("dfew", &["--part", "test", "--fold", "2"]);
    assert_eq!(one["folds"].as_array().unwrap().len(), 1);
    assert_eq!(one["folds"][0]["fold"], 2);
    let output = pkg(&["evaluate", "--data", &tree.data("dfew"), "--part", "test", "--fold", "6"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no fold 6"));
}

#[test]
fn ferv39k_tells_the_order_of_labels_by_the_paths() {
    let clips = [("Action/Happy/0001", 0, 3), ("Action/Sad/0002", 1, 5), ("Argue/Neutral/0003", 2, 4)];
    for alphabetical in [false, true] {
        let tree = Tree::new();
        let mut rows = String::new();
        for (clip, ours, alphabet) in clips {
            tree.clip(&format!("2_ClipsforFaceCrop/{clip}"), 3);
            rows += &format!(
                "/elsewhere/FERV39K/2_ClipsforFaceCrop/{clip} 3 {}\n",
                if alphabetical { alphabet } else { ours }
            );
        }
        // A row that contradicts its own path, one without frames, one that is none.
        rows += "x/Action/Happy/0001 3 6\nx/Action/Happy/0009 3 0\nnothing\n";
        tree.write("FERV39K_test.txt", rows);
        let (found, notes) = tree.evaluate("ferv39k", &["--part", "test"]);
        let fold = &found["folds"][0];
        assert_eq!((fold["count"].as_u64(), fold["damaged"].as_u64()), (Some(3), Some(3)), "{notes}");
        for expression in ["happiness", "sadness", "neutral"] {
            assert_eq!(smiles(fold, expression), 1, "{expression}");
        }
        assert!(notes.contains("the path happiness") && notes.contains("line 6"), "{notes}");
    }
    let tree = Tree::new();
    tree.clip("clips/0001", 1);
    tree.write("test.txt", "clips/0001 1 0\n");
    let output = pkg(&["evaluate", "--data", &tree.data("ferv39k"), "--part", "test"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("does not tell the order"));
}

#[test]
fn mafw_is_scored_over_the_shared_expressions() {
    let tree = Tree::new();
    tree.write(
        "Train & Test Set/single/no_caption/set_1/test.txt",
        "00025.mp4 anger\n00026.mp4 happiness\n00027.mp4 anxiety\n00028.mp4 joy?\n00029.mp4 fear\n",
    );
    ["00025", "00026", "00027", "00028"].iter().for_each(|clip| tree.clip(&format!("data/faces/{clip}"), 1));
    let (found, notes) = tree.evaluate("mafw", &["--part", "test", "--fold", "1"]);
    let fold = &found["folds"][0];
    assert_eq!(fold["expressions"].as_array().unwrap().len(), 8);
    assert_eq!(
        (fold["count"].as_u64(), fold["leftOut"].as_u64(), fold["damaged"].as_u64()),
        (Some(2), Some(1), Some(2))
    );
    for named in ["anxiety, helplessness, disappointment", "1 of expressions", "`joy?`", "00029"] {
        assert!(notes.contains(named), "{named} is not in:\n{notes}");
    }
}

#[test]
fn afew_is_read_from_its_folders() {
    let tree = Tree::new();
    tree.clip("Val_AFEW/Happy/000046280", 3);
    tree.clip("Val_AFEW/Angry/000046281", 20);
    tree.clip("Val_AFEW/Bored/000046282", 1);
    fs::create_dir_all(tree.path("Val_AFEW/Sad/000046283/x").parent().unwrap()).unwrap();
    tree.write("Val_AFEW/Fear/000046284/00001.png", "no picture");
    let (found, notes) = tree.evaluate("afew", &[]);
    let fold = &found["folds"][0];
    assert_eq!((fold["count"].as_u64(), fold["damaged"].as_u64()), (Some(2), Some(3)), "{notes}");
    assert_eq!((smiles(fold, "happiness"), smiles(fold, "anger")), (1, 1));
    for named in ["`Bored`", "000046283", "000046284"] {
        assert!(notes.contains(named), "{named} is not in:\n{notes}");
    }
}

/// Frames of the portrait that fade in from grey, or out: an onset and an offset have the same frames.
fn fades(tree: &Tree, part: &str, count: usize) {
    let portrait = image::open(root().join("www/demo/portrait.jpg")).unwrap().to_luma8();
    let portrait = image::imageops::resize(&portrait, 48, 48, image::imageops::FilterType::Triangle);
    for clip in 0..count {
        for (name, is_onset) in [("Surprise", true), ("Neutral", false)] {
            for time in 0..8u32 {
                let share = (if is_onset { time } else { 7 - time }) as f32 / 7.0;
                let faded = image::GrayImage::from_fn(48, 48, |x, y| {
                    let grey = 110.0 + ((x * 7 + y * 3 + clip as u32 * 11) % 13) as f32;
                    image::Luma([(grey + share * (f32::from(portrait.get_pixel(x, y)[0]) - grey)) as u8])
                });
                faded.save(tree.path(&format!("{part}/{name}/{clip:03}/{time}.png"))).unwrap();
            }
        }
    }
}

#[test]
fn a_head_is_trained_gone_on_with_packed_and_sees_the_order() {
    let tree = Tree::new();
    fades(&tree, "Train_AFEW", 12);
    fades(&tree, "Val_AFEW", 4);
    let (data, run, bundle) = (tree.data("afew"), tree.path("run"), tree.path("bundle"));
    let (run, bundle) = (run.to_str().unwrap(), bundle.to_str().unwrap());
    let train = |epochs| {
        let stage = ["train", "temporal", "--data", &data, "--checkpoint", run];
        pkg(&[&stage[..], &["--frames", "8", "--batch", "8", "--shorten", "0", "--rate", "0.002", "--epochs", epochs]]
            .concat())
    };
    let notes = done(&train("16"));
    assert!(
        notes.contains("24 training and 8 validation clips of 8 frames") && notes.contains("the mean over time"),
        "{notes}"
    );
    let again = done(&train("16"));
    assert!(again.contains("using the embeddings in") && again.contains("going on with"), "{again}");
    let head = format!("{run}/head.safetensors");
    done(&pkg(&["head", "--head", &head, "--output", bundle]));
    let manifest = json(&pkg(&["inspect", bundle, "--json"]));
    assert_eq!((manifest["temporal"]["frames"].as_u64(), manifest["window"].as_u64()), (Some(8), Some(8)));
    assert!(manifest["provenance"]["temporal"]["validation"]["head"]["war"].is_number());
    let (with, _) = tree.evaluate("afew", &["--bundle", bundle]);
    let (without, _) = tree.evaluate("afew", &[]);
    // Onset and offset have one mean: without the order, both clips of a pair get one answer.
    assert!(without["war"].as_f64().unwrap() <= 0.5, "{without}");
    assert_eq!(with["war"], 1.0);

    // A clip by itself, from the command line.
    let clip = tree.path("Val_AFEW/Surprise/000");
    let clip = clip.to_str().unwrap();
    let found = json(&pkg(&["classify", clip, "--bundle", bundle, "--rate", "4", "--json"]));
    assert_eq!(found[0]["prediction"]["top"]["name"], "surprise");
    let times: Vec<f64> =
        found[0]["timeline"].as_array().unwrap().iter().map(|at| at["time"].as_f64().unwrap()).collect();
    assert_eq!(times, [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75]);
    let late = json(&pkg(&["classify", clip, "--rate", "4", "--from", "1", "--frames", "2", "--json"]));
    let times: Vec<f64> =
        late[0]["timeline"].as_array().unwrap().iter().map(|at| at["time"].as_f64().unwrap()).collect();
    assert_eq!(times, [1.25, 1.75]);
    let table = String::from_utf8(pkg(&["classify", clip, "--csv"]).stdout).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("path,time,neutral,happiness") && lines.len() == 9, "{table}");
    for (arguments, named) in [
        (vec!["--from", "9"], "ends at"),
        (vec!["--from", "2", "--to", "1"], "empty"),
        (vec!["--frames", "40", "--bundle", bundle], "1 to 8"),
        (vec!["--rate", "0"], "rate above 0"),
    ] {
        let output = pkg(&[&["classify", clip], &arguments[..]].concat());
        assert!(!output.status.success());
        let notes = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(notes.contains(named), "{arguments:?}: {notes}");
    }
}

#[test]
fn an_animated_picture_is_a_clip_with_its_own_times() {
    let tree = Tree::new();
    let portrait = image::open(root().join("www/demo/portrait.jpg")).unwrap().resize_exact(
        96,
        96,
        image::imageops::FilterType::Triangle,
    );
    let path = tree.path("smile.gif");
    let mut encoder = image::codecs::gif::GifEncoder::new(fs::File::create(&path).unwrap());
    let delay = |milliseconds| image::Delay::from_numer_denom_ms(milliseconds, 1);
    // A variable rate.
    for milliseconds in [100, 300, 50, 50] {
        encoder.encode_frame(image::Frame::from_parts(portrait.to_rgba8(), 0, 0, delay(milliseconds))).unwrap();
    }
    drop(encoder);
    let path = path.to_str().unwrap();
    let found = json(&pkg(&["classify", path, "--json"]));
    assert_eq!(found[0]["prediction"]["top"]["name"], "happiness");
    assert_eq!(found[0]["prediction"]["window"]["filled"], 4);
    let times: Vec<f64> =
        found[0]["timeline"].as_array().unwrap().iter().map(|at| at["time"].as_f64().unwrap()).collect();
    assert_eq!(times, [0.0, 0.1, 0.4, 0.45]);
    let faces = json(&pkg(&["classify", path, "--face", "--json"]));
    assert_eq!((&faces[0]["faceless"], &faces[0]["state"]), (&0.into(), &"recognized".into()));
    assert_eq!(faces[0]["faces"][0]["prediction"]["top"]["name"], "happiness");
    tree.write("cut.gif", &fs::read(path).unwrap()[..200]);
    let cut = tree.path("cut.gif");
    assert!(!pkg(&["classify", cut.to_str().unwrap()]).status.success());
}
