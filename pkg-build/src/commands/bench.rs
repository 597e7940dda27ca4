//! `cargo pkg bench`: milliseconds a frame natively and in Chromium, start, bytes and memory, as one JSON record; with
//! `--engines` other engines beside ours.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use cliper::bundle::Bundle;
use cliper::engine::Engine;
use cliper::engine::burn::{Cliper, NativeCpu};
use cliper::engine::cpu::CpuEngine;
use cliper::preprocess::Picture;
use cliper::session::Session;
use serde_json::{Value, json};

use crate::bundles::read_bundle;
use crate::evaluation::{engines, engines_report};
use crate::files;
use crate::media::pictures::read_picture;
use crate::{build, project};

#[derive(Args)]
pub struct Options {
    /// Where the record goes: tests/bench/records/results.json, or tests/bench/records/engines.json with --engines
    #[arg(long)]
    output: Option<PathBuf>,
    #[command(flatten)]
    engines: engines::Options,
}

/// Warm frames of the native measurement.
const FRAMES: usize = 100;

pub fn run(options: &Options) -> Result<()> {
    if options.engines.engines {
        let mut measured = engines::compare(&options.engines)?;
        measured["machine"] = machine();
        let path = record(options, "tests/bench/records/engines.json", &measured)?;
        return files::write(&project::report_of(&path), engines_report::page(&measured).as_bytes());
    }
    build::run()?;
    let root = project::root()?;
    let bundle = read_bundle(&project::bundle_folder(None)?)?;
    let device = Default::default();
    let native = json!({
        "leanCpuMs": native(CpuEngine::from_bundle(&mut bundle.clone())?, &bundle)?,
        "burnFlexMs": native(Cliper::<NativeCpu>::from_bundle(&mut bundle.clone(), &device)?, &bundle)?,
    });
    let peak = peak_memory();
    let page = Command::new("node")
        .arg("tests/bench/scripts/page.mjs")
        .current_dir(&root)
        .stderr(Stdio::inherit())
        .output()
        .context("node could not be started")?;
    ensure!(page.status.success(), "tests/bench/scripts/page.mjs failed; its output above says why");
    let page: Value = serde_json::from_slice(&page.stdout).context("tests/bench/scripts/page.mjs printed no JSON")?;
    let measured = json!({
        "model": bundle.manifest.name,
        "gflopAPicture": bundle.manifest.encoder.flops() as f64 / 1e9,
        "bundleBytes": bundle.manifest.files.iter().map(|file| file.bytes).sum::<u64>(),
        "machine": machine(),
        "native": native,
        "nativePeakBytes": peak,
        "page": page,
    });
    record(options, "tests/bench/records/results.json", &measured).map(drop)
}

/// Writes and prints a record, and says where it lies.
fn record(options: &Options, usual: &str, record: &Value) -> Result<PathBuf> {
    let text = serde_json::to_string_pretty(record)? + "\n";
    let output = project::root()?.join(options.output.clone().unwrap_or(usual.into()));
    files::write(&output, text.as_bytes())?;
    print!("{text}");
    Ok(output)
}

/// What the figures depend on besides the code.
fn machine() -> Value {
    json!({
        "processor": project::processor(),
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "load": fs::read_to_string("/proc/loadavg").unwrap_or_default().trim(),
    })
}

/// Median milliseconds of a warm frame, preprocessing and scores included.
fn native<E: Engine>(engine: E, bundle: &Bundle) -> Result<f64> {
    let mut session = pollster::block_on(Session::open(engine, bundle.clone()))?;
    let (rgba, width, height) = read_picture(&project::root()?.join("www/demo/portrait.jpg"))?;
    let mut times = Vec::with_capacity(FRAMES);
    for _ in 0..FRAMES {
        let start = Instant::now();
        pollster::block_on(session.recognize(Picture::new(&rgba, width, height)?))?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[FRAMES / 2])
}

/// Most memory that this process has held, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
