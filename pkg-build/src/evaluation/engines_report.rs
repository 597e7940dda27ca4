//! The page for people of a record of `cargo pkg bench --engines`: cliper beside its peers, row by row.

use std::fmt::Write;

use serde_json::Value;

/// The engines in the order of the columns.
const ENGINES: [&str; 3] = ["cliper", "LiteRT.js", "onnxruntime-web"];
/// The same as they are named on the page that starts one.
const SCRIPTS: [&str; 3] = ["cliper", "litert", "onnxruntime"];
/// How many times as fast as LiteRT.js cliper shall be: model, precision, with one thread and with two.
const REACH: [(&str, &str, &str, &str); 6] = [
    ("built-in", "f32", "2", ""),
    ("built-in", "int8", "1.5", ""),
    ("vit-b-32", "f32", "1.7", "1.7"),
    ("vit-b-32", "int8", "1.8", "1.8"),
    ("vit-b-16", "f32", "1.5", "1.6"),
    ("vit-b-16", "int8", "1.5", "1.5"),
];

/// The whole page.
pub fn page(record: &Value) -> String {
    let (page, machine) = (&record["page"], &record["machine"]);
    let loads: Vec<f64> = page["load"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    let [least, most] =
        [loads.iter().copied().fold(f64::INFINITY, f64::min), loads.iter().copied().fold(0.0, f64::max)];
    let mut text = format!(
        "# Beside other engines, in one page\n\n```sh\npip install -r tests/bench/scripts/models-requirements.txt    # a Python of your choice\n\
         cargo pkg bench --engines --python PYTHON                     # makes this page and records/engines.json\n\
         cargo pkg demo                                                # the same page for any browser and GPU: /bench/, once the models are made\n```\n\n\
         {}, {} cores, Chromium {}, load {least:.1} to {most:.1} while it ran; {}.\n\n\
         Milliseconds are medians; of the CPU, what all threads of the page and of the GPU's process computed, from the scheduler's own\n\
         count; over 1 a ratio says that cliper is faster. All engines get the same weights and the same picture, each in a worker of its\n\
         own, and answer by turns, each first as often as the others. 8 bits: the bundle's own codes here, `dynamic_wi8_afp32` of\n\
         ai-edge-quantizer and `quantize_dynamic` of onnxruntime there.\n\n\
         | work | cliper | LiteRT.js | ratio | onnxruntime-web | ratio | reach, over LiteRT.js |\n|---|---|---|---|---|---|---|\n",
        string(&machine["processor"]),
        machine["cores"],
        string(&page["chromium"]),
        versions(&record["versions"]),
    );
    for row in rows(page) {
        let setting = &row["setting"];
        let threads = setting["threads"].as_u64().unwrap_or(1);
        let is_single = setting["device"] == "cpu" && threads == 1;
        let how = match (setting["device"] == "cpu", threads) {
            (false, _) => "WebGPU, by the clock".into(),
            (true, 1) => "1 thread, CPU".into(),
            (true, threads) => format!("{threads} threads, by the clock"),
        };
        let key = if is_single { "cpuMs" } else { "medianMs" };
        let work = format!("{} {}, {how}", string(&setting["model"]), precision(setting));
        let found = ENGINES.map(|engine| result(&row["results"], engine)[key].as_f64());
        line(&mut text, &work, found, 1, reach(setting, threads));
    }
    starts(&mut text, page, "vit-b-32", "createMs", "`create`, by the clock", 1.0, "1.5");
    starts(&mut text, page, "built-in", "pageToFirstMs", "page opened to first answer", 1.0, "2");
    starts(&mut text, page, "built-in", "/bytes/brotli", "MB to fetch, in brotli", 1e6, "2.4 MB");
    for row in rows(page).filter(|row| row["setting"]["device"] == "cpu" && row["setting"]["threads"] == 1) {
        let setting = &row["setting"];
        let work = format!("{} {}, MB of wasm memory", string(&setting["model"]), precision(setting));
        let found =
            ENGINES.map(|engine| result(&row["results"], engine)["heapBytes"].as_f64().map(|bytes| bytes / 1e6));
        line(&mut text, &work, found, 1, if setting["model"] == "built-in" { "15 MB" } else { "" });
    }
    frames(&mut text, &page["frames"]);
    cosines(&mut text, page);
    text
}

fn rows(page: &Value) -> impl Iterator<Item = &Value> {
    page["rows"].as_array().into_iter().flatten()
}

/// What an engine did, or null.
fn result<'a>(results: &'a Value, engine: &str) -> &'a Value {
    results.as_array().into_iter().flatten().find(|result| result["engine"] == engine).unwrap_or(&Value::Null)
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or("unknown")
}

fn precision(setting: &Value) -> &str {
    if setting["precision"] == "int8" { "8 bits" } else { "f32" }
}

fn reach(setting: &Value, threads: u64) -> &'static str {
    let of_it = |row: &&(&str, &str, &str, &str)| setting["model"] == row.0 && setting["precision"] == row.1;
    match REACH.iter().find(of_it) {
        Some(row) if setting["device"] == "cpu" => [row.2, row.3][usize::from(threads > 1)],
        _ => "",
    }
}

fn versions(versions: &Value) -> String {
    let all = ["npm", "python"].into_iter().filter_map(|kind| versions[kind].as_object()).flatten();
    all.filter(|(name, _)| *name != "esbuild")
        .map(|(name, version)| format!("{name} {}", string(version)))
        .collect::<Vec<_>>()
        .join(", ")
}

/// One row: an engine that has no figure has an empty cell, and so has its ratio.
fn line(text: &mut String, work: &str, [own, litert, onnxruntime]: [Option<f64>; 3], digits: usize, reach: &str) {
    let cell = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.digits$}"));
    let ratio = |other: Option<f64>| own.zip(other).map_or(String::new(), |(own, other)| format!("{:.2}", other / own));
    let (own_cell, litert_cell, its_cell) = (cell(own), cell(litert), cell(onnxruntime));
    let (first, second) = (ratio(litert), ratio(onnxruntime));
    writeln!(text, "| {work} | {own_cell} | {litert_cell} | {first} | {its_cell} | {second} | {reach} |").ok();
}

/// Rows of what starts in fresh browsers took: a figure by its name or its path.
fn starts(text: &mut String, page: &Value, model: &str, figure: &str, what: &str, unit: f64, reach: &str) {
    let path = if figure.starts_with('/') { figure.to_owned() } else { format!("/{figure}") };
    for precision in ["f32", "int8"] {
        let found = SCRIPTS.map(|engine| {
            let mut all = page["starts"].as_array().into_iter().flatten();
            let one = all.find(|one| one["engine"] == engine && one["model"] == model && one["precision"] == precision);
            one?.pointer(&path)?.as_f64().map(|value| value / unit)
        });
        if found.iter().any(Option::is_some) {
            let bits = if precision == "int8" { "8 bits" } else { "f32" };
            line(text, &format!("{model} {bits}, {what}"), found, if unit == 1.0 { 0 } else { 2 }, reach);
        }
    }
}

fn frames(text: &mut String, frames: &Value) {
    let own = result(frames, "cliper")["cpuMs"].as_f64();
    text.push_str(
        "\n## A camera's frame\n\n640 x 480 with one face, from bitmap to answer, each with its own face detector: cliper's built-in model, MediaPipe's face\n\
         landmarker with face shapes, human's emotion net. The face is found anew in every frame but where it says otherwise. Reach: 2 over\n\
         MediaPipe.\n\n| engine | CPU ms | ratio | ms by the clock | 90th percentile | start, ms | answer |\n|---|---|---|---|---|---|---|\n",
    );
    for frame in frames.as_array().into_iter().flatten() {
        let figure = |key: &str| frame[key].as_f64().map_or(String::new(), |value| format!("{value:.1}"));
        let ratio =
            own.zip(frame["cpuMs"].as_f64()).map_or(String::new(), |(own, other)| format!("{:.2}", other / own));
        let (cpu, clock, most, start) = (figure("cpuMs"), figure("medianMs"), figure("p90Ms"), figure("createMs"));
        let answer = frame["answer"].as_str().or(frame["failed"].as_str()).unwrap_or_default();
        let engine = string(&frame["engine"]);
        writeln!(text, "| {engine} | {cpu} | {ratio} | {clock} | {most} | {start} | {answer} |").ok();
    }
}

fn cosines(text: &mut String, page: &Value) {
    text.push_str(
        "\n## Embeddings\n\nCosine with PyTorch's, on one thread of the CPU and on WebGPU.\n\n\
         | model | cliper | LiteRT.js | onnxruntime-web |\n|---|---|---|---|\n",
    );
    for row in rows(page).filter(|row| row["setting"]["threads"] == 1) {
        let setting = &row["setting"];
        let [own, litert, onnxruntime] = ENGINES.map(|engine| {
            let result = result(&row["results"], engine);
            let failed = result["failed"].as_str().unwrap_or_default();
            result["cosine"].as_f64().map_or(failed.into(), |cosine| format!("{cosine:.6}"))
        });
        let (model, device) = (string(&setting["model"]), string(&setting["device"]));
        writeln!(text, "| {model} {}, {device} | {own} | {litert} | {onnxruntime} |", precision(setting)).ok();
    }
}
