//! `cargo pkg bench --engines`: makes the seeded models, fetches the peers and drives the page of `www/bench`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::build::serve;
use crate::data::face_landmarker;
use crate::{build, project};

#[derive(Args)]
pub struct Options {
    /// Compare with LiteRT.js, onnxruntime-web, MediaPipe and human in Chromium, instead of measuring the built-in model alone
    #[arg(long)]
    pub engines: bool,
    /// Models: built-in, vit-tiny-16, vit-b-32, vit-b-16
    #[arg(long = "model", default_values = ["built-in", "vit-b-32", "vit-b-16"])]
    models: Vec<String>,
    /// Devices: cpu, webgpu; beside the CPU, a software adapter gets the small models only
    #[arg(long = "device", default_values = ["cpu", "webgpu"])]
    devices: Vec<String>,
    /// Precisions: f32, int8
    #[arg(long = "precision", default_values = ["f32", "int8"])]
    precisions: Vec<String>,
    /// CPU threads
    #[arg(long, default_values_t = [1, 2])]
    threads: Vec<usize>,
    /// Turns of each engine after the warm-up; a software adapter takes 3 at most
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Starts of each engine with the built-in model and ViT-B/32, each in a fresh browser
    #[arg(long, default_value_t = 5)]
    starts: usize,
    /// A Python with tests/bench/scripts/models-requirements.txt, which makes the models
    #[arg(long, default_value = "python3")]
    python: String,
    /// Serve what was built last
    #[arg(long)]
    no_build: bool,
}

/// The bundle that ships, as a model among the others.
const BUILT_IN: &str = "built-in";
/// Models whose starts are measured.
const STARTED: [&str; 2] = [BUILT_IN, "vit-b-32"];

/// What the peers' packages give to the page: package, folder in it, files by their ends, name of the folder served.
const PEERS: [(&str, &str, &[&str], &str); 7] = [
    (
        "onnxruntime-web",
        "dist",
        &[
            "ort.wasm.min.mjs",
            "ort.webgpu.min.mjs",
            "ort-wasm-simd-threaded.mjs",
            "ort-wasm-simd-threaded.wasm",
            "ort-wasm-simd-threaded.asyncify.mjs",
            "ort-wasm-simd-threaded.asyncify.wasm",
        ],
        "onnxruntime-web",
    ),
    ("@litertjs/core", "wasm", &[".js", ".wasm"], "litert"),
    ("@mediapipe/tasks-vision", "", &["vision_bundle.mjs"], "mediapipe"),
    (
        "@mediapipe/tasks-vision",
        "wasm",
        &["vision_wasm_module_internal.js", "vision_wasm_module_internal.wasm"],
        "mediapipe",
    ),
    ("@vladmandic/human", "dist", &["human.esm.js"], "human"),
    (
        "@vladmandic/human",
        "models",
        &["blazeface.json", "blazeface.bin", "emotion.json", "emotion.bin", "models.json"],
        "human/models",
    ),
    ("@tensorflow/tfjs-backend-wasm", "dist", &[".wasm"], "tfjs-backend-wasm"),
];

/// Compares the engines: the pages' JSON, bytes and versions.
pub fn compare(options: &Options) -> Result<Value> {
    if !options.no_build {
        build::run()?;
    }
    let root = project::root()?;
    let site = root.join("www/dist");
    peers(&root)?;
    let models = site.join("bench/models");
    for model in &options.models {
        make(&models, model, &options.python)?;
    }
    let address = serve::serve(site.clone(), 0)?;
    let choice = json!({
        "models": options.models,
        "devices": options.devices,
        "precisions": options.precisions,
        "threads": options.threads,
        "rounds": options.rounds,
        "frames": true,
        "starts": options.starts,
        "started": STARTED,
    });
    let page = Command::new("node")
        .args(["tests/bench/scripts/engines.mjs", &format!("http://{address}/bench/"), &choice.to_string()])
        .current_dir(&root)
        .stderr(Stdio::inherit())
        .output()
        .context("node could not be started")?;
    ensure!(page.status.success(), "tests/bench/scripts/engines.mjs failed; its output above says why");
    let page: Value =
        serde_json::from_slice(&page.stdout).context("tests/bench/scripts/engines.mjs printed no JSON")?;
    let read = |path: &Path| -> Result<Value> { Ok(serde_json::from_slice(&fs::read(path)?)?) };
    let made = options.models.first().context("name a model with --model")?;
    Ok(json!({
        "bytes": { "cliper": read(&site.join("sizes.json"))?, "models": bytes(&models, &options.models)? },
        "versions": {
            "npm": read(&root.join("www/bench/package.json"))?["dependencies"],
            "python": read(&models.join(made).join("expected.json"))?["versions"],
        },
        "page": page,
    }))
}

/// Bytes of every model's files, as each engine reads them.
fn bytes(models: &Path, names: &[String]) -> Result<Map<String, Value>> {
    let length = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.len());
    let mut all = Map::new();
    for name in names {
        let folder = models.join(name);
        let bundle: u64 = fs::read_dir(folder.join("bundle"))?.flatten().map(|entry| length(&entry.path())).sum();
        let mut sizes = Map::from_iter([("bundle".into(), json!(bundle))]);
        for file in ["f32.onnx", "int8.onnx", "f32.tflite", "int8.tflite"] {
            sizes.insert(file.into(), json!(length(&folder.join(file))));
        }
        all.insert(name.clone(), sizes.into());
    }
    Ok(all)
}

/// Installs the peers and puts what the page loads of them beside it.
fn peers(root: &Path) -> Result<()> {
    let (bench, served) = (root.join("www/bench"), root.join("www/dist/bench/peers"));
    build::install_in(&bench)?;
    for (package, folder, files, name) in PEERS {
        let from = bench.join("node_modules").join(package).join(folder);
        let kept =
            |file: &Path| file.parent() == Some(&from) && files.iter().any(|end| file.to_string_lossy().ends_with(end));
        project::copy_folder(&from, &served.join(name), &kept)?;
    }
    fs::copy(face_landmarker::fetch()?, served.join("mediapipe/face_landmarker.task"))?;
    // LiteRT.js takes from another package by its name, which browsers can't follow: as a page's builder would make it.
    project::run(
        Command::new(bench.join("node_modules/.bin/esbuild"))
            .args(["@litertjs/core", "--bundle", "--minify", "--format=esm", "--log-level=warning"])
            .arg(format!("--outfile={}", served.join("litert/litert.js").display()))
            .current_dir(&bench),
    )
}

/// A model in every form, made once: PyTorch's checkpoint, ONNX and TFLite, then our bundle of the same checkpoint.
fn make(models: &Path, name: &str, python: &str) -> Result<()> {
    let folder = models.join(name);
    // An older one may lack a form, and the built-in model may be another by now.
    if name == BUILT_IN || !folder.join("int8.tflite").is_file() || !folder.join("expected.json").is_file() {
        fs::create_dir_all(models)?;
        project::run(
            Command::new(python).arg("tests/bench/scripts/models.py").arg(models).arg(name).current_dir(project::root()?),
        )
        .context("the models are made by Python: `pip install -r tests/bench/scripts/models-requirements.txt`, or name one with --python")?;
    }
    if name == BUILT_IN {
        return project::copy_folder(&project::bundle_folder(None)?, &folder.join("bundle"), &|_| true);
    }
    if folder.join("bundle/model.json").is_file() {
        return Ok(());
    }
    let own = |arguments: &[&str]| {
        let mut command = Command::new(std::env::current_exe()?);
        project::run(command.args(arguments).current_dir(&folder))
    };
    let descriptors = project::root()?.join("pkg-build/descriptors/ferplus.json");
    let texts = descriptors.to_string_lossy();
    own(&["import", "checkpoint", "--activation", "quick-gelu", "--name", name, "--output", "backbone"])?;
    own(&["describe", "--checkpoint", "backbone", "--texts", &texts, "--output", "texts.safetensors"])?;
    own(&["pack", "--checkpoint", "backbone", "--descriptors", "texts.safetensors", "--output", "bundle"])?;
    fs::remove_dir_all(folder.join("backbone"))?;
    Ok(())
}
