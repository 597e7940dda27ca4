//! Files as people have them: turned by EXIF, broken among good ones, with marks and words of other programs, films.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{checkpoint_with_vocabulary, pkg, refuse, succeed, text};
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn bundle() -> PathBuf {
    root().join("pkg-build/models/ferplus-small")
}

fn portrait() -> PathBuf {
    root().join("www/demo/portrait.jpg")
}

fn turned(file: &str) -> PathBuf {
    root().join("tests/fixtures/orientation").join(file)
}

fn embeddings(files: &[PathBuf]) -> Vec<Vec<f32>> {
    let mut arguments = vec!["embed", "--json", "--bundle"];
    let bundle = bundle();
    arguments.push(text(&bundle));
    arguments.extend(files.iter().map(|file| text(file)));
    let printed: Value = serde_json::from_str(&succeed(&arguments)).unwrap();
    let values = |image: &Value| serde_json::from_value(image["embedding"].clone()).unwrap();
    printed["images"].as_array().unwrap().iter().map(values).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    product(a, b) / (product(a, a) * product(b, b)).sqrt()
}

#[test]
fn pictures_are_turned_as_browsers_turn_them() {
    let mut files = vec![turned("upright.png"), turned("lying.png"), turned("exif6.webp"), turned("exif6.png")];
    files.extend((1..=8).map(|number| turned(&format!("exif{number}.jpg"))));
    let found = embeddings(&files);
    let [upright, lying, webp, turned @ ..] = found.as_slice() else { panic!("{} answers", found.len()) };
    assert!(cosine(upright, lying) < 0.99, "turning changes the embedding");
    assert_eq!(webp, lying);
    assert_eq!(turned.len(), 9);
    for (found, file) in turned.iter().zip(&files[3..]) {
        // JPEG's rounding is all that is left.
        assert!(cosine(found, upright) > 0.999, "{}: {}", file.display(), cosine(found, upright));
    }
}

#[test]
fn jpeg_xl_and_avif_are_read() {
    let file = |name: &str| root().join("tests/fixtures/pictures").join(name);
    let (jpeg_xl, avif) = (file("portrait.jxl"), file("portrait.avif"));
    // Another compression's rounding is all that is left.
    let found = embeddings(&[portrait(), jpeg_xl]);
    assert!(cosine(&found[0], &found[1]) > 0.999, "{}", cosine(&found[0], &found[1]));
    // AVIF takes ffmpeg: without it the way is told.
    let mut command = Command::new(env!("CARGO_BIN_EXE_cliper-build"));
    let output = command.args(["classify", text(&avif)]).env("PATH", "").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("install ffmpeg") && said.contains("avifdec"), "{said}");
    if Command::new("ffmpeg").arg("-version").output().is_ok() {
        let found = embeddings(&[portrait(), avif]);
        assert!(cosine(&found[0], &found[1]) > 0.995, "{}", cosine(&found[0], &found[1]));
    }
    // Older ffmpeg gives such a picture as it lies.
    let error = refuse(&["classify", text(&file("turned.avif"))]);
    assert!(error.contains("turned.avif") && error.contains("a turn of its own"), "{error}");
}

/// `cargo pkg classify ... | head -1`.
#[cfg(unix)]
#[test]
fn a_reader_that_has_enough_ends_it_quietly() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_cliper-build"))
        .args(["classify", text(&portrait())])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let said = child.wait_with_output().unwrap().stderr;
    assert_eq!(String::from_utf8_lossy(&said), "");
}

#[test]
fn one_broken_file_costs_no_other_answer() {
    let folder = tempfile::tempdir().unwrap();
    let [empty, absent, film] = ["empty.jpg", "absent.png", "photo.avif"].map(|name| folder.path().join(name));
    fs::write(&empty, "").unwrap();
    fs::write(&film, b"\0\0\0\x20ftypavif\0\0\0\0").unwrap();
    let (good, bundle) = (portrait(), bundle());
    let files = [&good, &empty, &absent, &film, &good].map(|path| text(path));
    for (command, list) in [(vec!["classify"], ""), (vec!["embed", "--bundle", text(&bundle)], "images")] {
        let output = pkg(&[&command[..], &["--json"], &files].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{command:?}");
        for named in ["empty.jpg", "absent.png", "photo.avif is an AVIF picture", "3 of 5"] {
            assert!(said.contains(named), "{command:?}: {said}");
        }
        let answers: Value = serde_json::from_slice(&output.stdout).unwrap();
        let answers = if list.is_empty() { &answers } else { &answers[list] };
        let paths: Vec<&str> = answers.as_array().unwrap().iter().map(|it| it["path"].as_str().unwrap()).collect();
        assert_eq!(paths, [text(&good); 2], "{command:?}");
    }
    // Several at once answer the same in the same order.
    let (good, other) = (text(&good), turned("upright.png"));
    let files = [good, text(&other), good, text(&other), text(&other), good];
    let classify = |jobs: &str| succeed(&[&["classify", "--json", "--jobs", jobs], &files[..]].concat());
    assert_eq!(classify("3"), classify("1"));
}

/// The portrait's grey levels as FER2013's table writes them.
fn pixels() -> String {
    let grey = image::open(portrait()).unwrap().resize_exact(48, 48, image::imageops::FilterType::Triangle).to_luma8();
    grey.iter().map(u8::to_string).collect::<Vec<_>>().join(" ")
}

#[test]
fn tables_of_fer2013_say_what_is_wrong_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("fer2013.csv");
    let data = format!("fer2013:{}", table.display());
    let evaluate = ["evaluate", "--part", "test", "--json", "--data", &data];
    let write = |rows: &[&str]| fs::write(&table, rows.join("\n").replace("PIXELS", &pixels())).unwrap();
    for (rows, words) in [
        (&["emotion,pixels,Usage", "happy,PIXELS,PrivateTest"][..], &["row 1", "`happy` is no label from 0 to 6"][..]),
        (&["emotion,pixels,Usage", "3.0,PIXELS,PrivateTest"], &["`3.0` is no label from 0 to 6"]),
        (&["emotion;pixels;Usage", "3;PIXELS;PrivateTest"], &["no column `emotion`", "emotion;pixels;Usage", "commas"]),
    ] {
        write(rows);
        let error = refuse(&evaluate);
        assert!(words.iter().all(|word| error.contains(word)) && error.contains("fer2013.csv"), "{error}");
    }
    let utf16: Vec<u8> = "\u{feff}emotion".encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(&table, utf16).unwrap();
    let error = refuse(&evaluate);
    assert!(error.contains("fer2013.csv") && error.contains("UTF-16") && error.contains("UTF-8"), "{error}");
    let place = format!("fer2013:{}", folder.path().display());
    let error = refuse(&["evaluate", "--part", "test", "--data", &place]);
    assert!(error.contains("is a folder") && error.contains("folders:FOLDER"), "{error}");

    // The challenge's own train.csv has no part; other programs write other capitals and a mark before the text.
    write(&["\u{feff}Emotion,pixels", "3,PIXELS", "3,PIXELS"]);
    let output = pkg(&evaluate);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("no row says which part"), "{said}");
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["count"], 2);
    let error = refuse(&["evaluate", "--part", "valid", "--data", &data]);
    assert!(error.contains("train, valid and test"), "{error}");
}

#[test]
fn folders_of_classes_are_read_by_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    let picture = image::open(portrait()).unwrap();
    for class in ["angry", "disgust", "fear", "Happy", "neutral", "sad", "surprise", "7"] {
        picture.save(place(&format!("Test/{class}/1.png"))).unwrap();
    }
    picture.save(place("Test/Happy/2.png")).unwrap();
    picture.save(place("train/happy/1.png")).unwrap();
    fs::write(place("Test/sad/letter.txt"), "no picture").unwrap();
    fs::write(place("Test/sad/._1.png"), "macOS").unwrap();
    let data = format!("folders:{}", folder.path().display());
    let output = pkg(&["evaluate", "--data", &data, "--part", "test", "--json"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("`7` is the name of no expression"), "{said}");
    let fold = &serde_json::from_slice::<Value>(&output.stdout).unwrap()["folds"][0];
    assert_eq!((&fold["count"], &fold["damaged"]), (&json!(8), &json!(1)), "{fold}");
    let names: Vec<&str> = fold["expressions"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let happiness = names.iter().position(|name| *name == "happiness").unwrap();
    assert_eq!(fold["confusion"][happiness][happiness], 2, "the portrait smiles: {fold}");

    // One level less: no parts, and nothing to choose by.
    let whole = format!("folders:{}", folder.path().join("Test").display());
    let said = String::from_utf8(pkg(&["evaluate", "--data", &whole, "--part", "test"]).stderr).unwrap();
    assert!(said.contains("no row says which part"), "{said}");
    let error = refuse(&["evaluate", "--data", &whole, "--part", "valid"]);
    assert!(error.contains("split them"), "{error}");
    let error = refuse(&["evaluate", "--data", &data, "--part", "valid"]);
    assert!(error.contains("valid or validation or val"), "{error}");
}

#[test]
fn films_are_read_through_ffmpeg_or_the_way_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let film = folder.path().join("smile.mp4");
    let frames = folder.path().join("frames");
    fs::create_dir(&frames).unwrap();
    let picture = image::open(portrait()).unwrap();
    // Two seconds of the portrait, then two of grey.
    for index in 1..=40 {
        let frame =
            if index <= 20 { picture.to_rgb8() } else { image::RgbImage::from_pixel(224, 224, image::Rgb([90; 3])) };
        frame.save(frames.join(format!("{index:02}.png"))).unwrap();
    }
    // Without ffmpeg on the PATH.
    fs::write(&film, "").unwrap();
    for more in [&[][..], &["--csv"]] {
        let command = [&["classify"], more, &[text(&film)]].concat();
        let output = Command::new(env!("CARGO_BIN_EXE_cliper-build")).args(&command).env("PATH", "").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{command:?}");
        assert!(said.contains("smile.mp4") && said.contains("ffmpeg -i VIDEO") && said.contains("browser"), "{said}");
    }
    let made = Command::new("ffmpeg")
        .args(["-nostdin", "-y", "-v", "error", "-framerate", "10", "-i"])
        .arg(frames.join("%02d.png"))
        .args(["-pix_fmt", "yuv420p", "-c:v", "mpeg4", "-q:v", "2"])
        .arg(&film)
        .status();
    match made {
        Ok(status) => assert!(status.success()),
        // The machine has none: what can be tested was.
        Err(_) => return,
    }
    let classify = |clip: &Path| -> Value {
        let found = succeed(&["classify", "--json", "--frames", "4", "--rate", "10", text(clip)]);
        serde_json::from_str::<Value>(&found).unwrap()[0].take()
    };
    let (found, wanted) = (classify(&film), classify(&frames));
    let times = |clip: &Value| -> Vec<f64> {
        clip["timeline"].as_array().unwrap().iter().map(|moment| moment["time"].as_f64().unwrap()).collect()
    };
    assert_eq!(times(&found).len(), 4);
    assert!(times(&found).iter().zip(times(&wanted)).all(|(a, b)| (a - b).abs() < 0.051), "{found}");
    let tops =
        |clip: &Value| clip["timeline"].as_array().unwrap().iter().map(|it| it["top"].clone()).collect::<Vec<_>>();
    assert_eq!(tops(&found), tops(&wanted));
    assert_eq!(tops(&found)[0], "happiness");
    assert_ne!(tops(&found)[3], "happiness");
    // What is no film is told by its name.
    fs::write(&film, "no film").unwrap();
    let error = refuse(&["classify", text(&film)]);
    assert!(error.contains("smile.mp4"), "{error}");
}

#[test]
fn a_folder_gives_the_file_that_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    // timm's own names beside open_clip's file, as timm's repositories are laid out.
    let mut timm = cliper::tensors::Weights::default();
    let values = cliper::tensors::Values { shape: vec![2], data: vec![0.0; 2] };
    timm.insert("blocks.0.attn.qkv.weight", values).unwrap();
    fs::write(place("model.safetensors"), timm.write(cliper::tensors::Precision::F32).unwrap()).unwrap();
    fs::write(place("open_clip_model.safetensors"), checkpoint_with_vocabulary()).unwrap();
    let embed = |checkpoint: &Path| {
        succeed(&["embed", "--json", "--activation", "gelu", "--checkpoint", text(checkpoint), text(&portrait())])
    };
    assert_eq!(embed(folder.path()), embed(&place("open_clip_model.safetensors")));
    let output = place("backbone");
    succeed(&["import", text(folder.path()), "--activation", "gelu", "--output", text(&output)]);
    let backbone: Value = serde_json::from_slice(&fs::read(output.join("backbone.json")).unwrap()).unwrap();
    assert_eq!(backbone["provenance"]["checkpoint"], json!(["open_clip_model.safetensors"]));
    // Where none can be read, the first is the one to tell of.
    fs::write(place("open_clip_model.safetensors"), fs::read(place("model.safetensors")).unwrap()).unwrap();
    let error = refuse(&["import", text(folder.path()), "--activation", "gelu", "--output", text(&output)]);
    assert!(error.contains("blocks.0.attn.qkv.weight"), "{error}");
}

#[test]
fn two_readings_of_one_checkpoint_are_two_spaces() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let source = place("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("model.safetensors"), checkpoint_with_vocabulary()).unwrap();
    let import = |name: &str, activation: &str, processor: Value| -> String {
        fs::write(source.join("preprocessor_config.json"), processor.to_string()).unwrap();
        let output = place(name);
        succeed(&["import", text(&source), "--activation", activation, "--output", text(&output)]);
        let backbone: Value = serde_json::from_slice(&fs::read(output.join("backbone.json")).unwrap()).unwrap();
        backbone["backbone"].as_str().unwrap().to_owned()
    };
    let plain = json!({ "image_mean": [0.5, 0.5, 0.5] });
    let spaces = [
        import("plain", "quick-gelu", plain.clone()),
        import("activation", "gelu", plain.clone()),
        import("mean", "quick-gelu", json!({ "image_mean": [0.25, 0.5, 0.5] })),
        import(
            "squashed",
            "quick-gelu",
            json!({ "image_mean": [0.5, 0.5, 0.5], "size": { "height": 32, "width": 32 } }),
        ),
    ];
    let distinct: std::collections::BTreeSet<&String> = spaces.iter().collect();
    assert_eq!(distinct.len(), spaces.len(), "{spaces:?}");
    assert_eq!(import("again", "quick-gelu", plain), spaces[0]);

    // Texts of one reading are refused beside pictures of another; the squashed one is packed and says so.
    let [texts, described, bundle] = ["texts.json", "descriptors.safetensors", "bundle"].map(place);
    let list = json!({ "expressions": [{ "name": "glad", "descriptors": ["a smile"] }, { "name": "cross", "descriptors": ["a frown"] }] });
    fs::write(&texts, format!("\u{feff}{list}")).unwrap();
    let describe = |checkpoint: &str| {
        succeed(&[
            "describe",
            "--texts",
            text(&texts),
            "--checkpoint",
            text(&place(checkpoint)),
            "--output",
            text(&described),
        ])
    };
    let pack = |checkpoint: &str| {
        pkg(&[
            "pack",
            "--checkpoint",
            text(&place(checkpoint)),
            "--descriptors",
            text(&described),
            "--output",
            text(&bundle),
        ])
    };
    describe("activation");
    let refused = pack("plain");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("joint space"), "{said}");
    describe("squashed");
    assert!(pack("squashed").status.success());
    let manifest: Value = serde_json::from_slice(&fs::read(bundle.join("model.json")).unwrap()).unwrap();
    assert_eq!((&manifest["version"], &manifest["preprocess"]["resize"]["mode"]), (&json!(5), &json!("squash")));
    // An older import can't tell which reading it was.
    let file = place("plain").join("backbone.json");
    let old = fs::read_to_string(&file).unwrap().replace("\"version\": 2", "\"version\": 1");
    fs::write(&file, old).unwrap();
    let error = refuse(&["embed", "--checkpoint", text(&place("plain")), text(&portrait())]);
    assert!(error.contains("import the checkpoint again"), "{error}");
}

#[test]
fn faces_of_a_clip_are_found_followed_and_timed_each() {
    let folder = tempfile::tempdir().unwrap();
    let portrait = image::open(portrait()).unwrap().resize_exact(170, 170, image::imageops::FilterType::CatmullRom);
    let (smile, mirrored) = (portrait.to_rgb8(), portrait.fliph().to_rgb8());
    // One face goes right along the top; another is there below from the third frame on.
    for index in 0..8u32 {
        let mut frame = image::RgbImage::from_pixel(640, 480, image::Rgb([120; 3]));
        image::imageops::overlay(&mut frame, &smile, 40 + 12 * i64::from(index), 20);
        if index >= 2 {
            image::imageops::overlay(&mut frame, &mirrored, 420, 280);
        }
        frame.save(folder.path().join(format!("{index}.png"))).unwrap();
    }
    let classify = ["classify", "--face", "--frames", "8", "--rate", "4", text(folder.path())];
    let found: Value = serde_json::from_str(&succeed(&[&classify[..], &["--json"]].concat())).unwrap();
    let faces = found[0]["faces"].as_array().unwrap();
    assert_eq!(
        (faces.len(), &found[0]["state"], &found[0]["faceless"]),
        (2, &json!("recognized"), &json!(0)),
        "{found}"
    );
    let times = |face: &Value| -> Vec<f64> {
        face["timeline"].as_array().unwrap().iter().map(|it| it["time"].as_f64().unwrap()).collect()
    };
    assert_eq!(times(&faces[0]), (0..8).map(|index| f64::from(index) / 4.0).collect::<Vec<_>>());
    assert_eq!(times(&faces[1]), (2..8).map(|index| f64::from(index) / 4.0).collect::<Vec<_>>());
    for face in faces {
        assert_eq!(face["prediction"]["top"]["name"], "happiness", "{face}");
        assert!(face["prediction"]["top"]["score"].as_f64().unwrap() > 0.9, "{face}");
    }
    // Where each was last.
    assert!(
        faces[0]["box"]["y"].as_f64().unwrap() < 200.0 && faces[1]["box"]["x"].as_f64().unwrap() > 400.0,
        "{found}"
    );
    let table = succeed(&[&classify[..], &["--csv"]].concat());
    assert!(table.starts_with("path,face,time,neutral") && table.lines().count() == 1 + 8 + 6, "{table}");
    let grey = tempfile::tempdir().unwrap();
    image::RgbImage::from_pixel(200, 200, image::Rgb([90; 3])).save(grey.path().join("1.png")).unwrap();
    assert!(succeed(&["classify", "--face", text(grey.path())]).contains("no face"));
}
