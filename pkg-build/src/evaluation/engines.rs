//! `cargo pkg bench --engines`: makes the seeded models, fetches the peers and drives the page of `www/bench`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::build::{serve, wasm};
use crate::{build, project};

#[derive(Args)]
pub struct Options {
    /// Compare with onnxruntime-web and human in Chromium, on seeded models, instead of measuring the built-in model
    #[arg(long)]
    pub engines: bool,
    /// Models: vit-tiny-16, vit-b-32, vit-b-16
    #[arg(long = "model", default_values = ["vit-tiny-16", "vit-b-32"])]
    models: Vec<String>,
    /// Devices: cpu, webgpu
    #[arg(long = "device", default_values = ["cpu", "webgpu"])]
    devices: Vec<String>,
    /// Precisions: f32, int8
    #[arg(long = "precision", default_values = ["f32", "int8"])]
    precisions: Vec<String>,
    /// CPU threads
    #[arg(long, default_values_t = [1, 2])]
    threads: Vec<usize>,
    /// Pictures of each engine after the warm-up; a software adapter takes 3 at most
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// A Python with torch, transformers, onnx and onnxruntime, which makes the models
    #[arg(long, default_value = "python3")]
    python: String,
    /// Serve what was built last
    #[arg(long)]
    no_build: bool,
}

/// What the peers' packages give to the page: package, folder in it, files by their ends, name of the folder served.
const PEERS: [(&str, &str, &[&str], &str); 4] = [
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
    ("@vladmandic/human", "dist", &["human.esm.js"], "human"),
    (
        "@vladmandic/human",
        "models",
        &["blazeface.json", "blazeface.bin", "emotion.json", "emotion.bin", "models.json"],
        "human/models",
    ),
    ("@tensorflow/tfjs-backend-wasm", "dist", &[".wasm"], "tfjs-backend-wasm"),
];

/// Compares the engines: the page's JSON.
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
    let address = serve::serve(site, 0)?;
    let choice = json!({
        "models": options.models,
        "devices": options.devices,
        "precisions": options.precisions,
        "threads": options.threads,
        "rounds": options.rounds,
        "frames": true,
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
    Ok(json!({ "bytes": bytes(&options.models)?, "page": page }))
}

/// What travels to a visitor: every engine's wasm, raw and in brotli, and every model's files.
fn bytes(models: &[String]) -> Result<Value> {
    let site = project::root()?.join("www/dist");
    let length = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.len());
    // Large files at the best quality take minutes, so they are measured once.
    let known = site.join("bench/peers/sizes.json");
    let mut peers: BTreeMap<String, Value> =
        fs::read(&known).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    for (_, _, files, folder) in PEERS.iter().filter(|peer| peer.0 == "onnxruntime-web") {
        for file in files.iter().filter(|file| file.ends_with(".wasm")) {
            let path = site.join("bench/peers").join(folder).join(file);
            if !peers.contains_key(*file) {
                let size = json!({ "raw": length(&path), "brotli": wasm::brotli_bytes(&fs::read(&path)?)? });
                peers.insert((*file).into(), size);
                fs::write(&known, serde_json::to_vec(&peers)?)?;
            }
        }
    }
    let model = |name: &String| {
        let folder = site.join("bench/models").join(name);
        let bundle: u64 = fs::read_dir(folder.join("bundle"))?.flatten().map(|entry| length(&entry.path())).sum();
        let [f32, int8] = ["f32.onnx", "int8.onnx"].map(|file| length(&folder.join(file)));
        Ok((name.clone(), json!({ "bundle": bundle, "f32.onnx": f32, "int8.onnx": int8 })))
    };
    let models: BTreeMap<String, Value> = models.iter().map(model).collect::<Result<_>>()?;
    let ours: Value = serde_json::from_slice(&fs::read(site.join("sizes.json"))?)?;
    Ok(json!({ "cliper": ours, "onnxruntime-web": peers, "models": models }))
}

/// Installs the peers and puts what the page loads of them beside it.
fn peers(root: &Path) -> Result<()> {
    build::install_in(&root.join("www/bench"))?;
    for (package, folder, files, name) in PEERS {
        let from = root.join("www/bench/node_modules").join(package).join(folder);
        project::copy_folder(&from, &root.join("www/dist/bench/peers").join(name), &|file| {
            file.parent() == Some(&from) && files.iter().any(|end| file.to_string_lossy().ends_with(end))
        })?;
    }
    Ok(())
}

/// A model in every form, made once: PyTorch's checkpoint and ONNX, then our bundle of the same checkpoint.
fn make(models: &Path, name: &str, python: &str) -> Result<()> {
    let folder = models.join(name);
    if !folder.join("expected.json").is_file() || !folder.join("int8.onnx").is_file() {
        fs::create_dir_all(models)?;
        project::run(Command::new(python).arg("tests/bench/scripts/models.py").arg(models).arg(name).current_dir(project::root()?))
            .context("the models are made by Python: `pip install torch transformers onnx onnxruntime`, or name one with --python")?;
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
