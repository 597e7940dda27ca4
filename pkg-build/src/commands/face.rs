//! `cargo pkg face`: MediaPipe's face detector -> the form that the library reads.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use cliper::bundle::{FileEntry, Role};
use cliper::face::{
    ANCHOR_VALUES, DetectorBlock, DetectorConfig, DetectorHead, DetectorManifest, DetectorStem, FORMAT, FaceDetector,
    VERSION,
};
use cliper::tensors::{Precision, Values, Weights, sha256};
use serde_json::json;

use crate::packaging::tflite::{Graph, Kind, Operator};
use crate::{files, project};

/// The npm package that carries the detector, and the SHA-256 of the file.
const PACKAGE: &str = "@mediapipe/face_detection";
const PACKAGE_VERSION: &str = "0.4.1657300184";
const FILE: &str = "face_detection_short_range.tflite";
const FILE_SHA256: &str = "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633";

const NAME: &str = "blazeface-short-range";
const WEIGHTS: &str = "detector.safetensors";
const NOTICE: &str = "\
# BlazeFace short range

MediaPipe's face detector for faces within about two metres of the camera: a box, six key points and a score a face.

Copyright The MediaPipe Authors. Licensed under the Apache License, Version 2.0; its text is in
`LICENSE-APACHE`. Taken from `face_detection_short_range.tflite` in the npm package
`@mediapipe/face_detection` 0.4.1657300184 and changed by `cargo pkg face`: the same f16 values under names of ours, in
safetensors, with the network described in `model.json`.

Paper: Bazarevsky et al., \"BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs\", arXiv:1907.05047. Its
authors say that it was made for frontal phone cameras; faces far away, from behind or from above are missed, and a
detected box says nothing about who a person is.
";

#[derive(Args)]
pub struct Options {
    /// A copy of face_detection_short_range.tflite; without it the file is fetched by npm
    #[arg(long)]
    file: Option<PathBuf>,
    /// Folder that the detector goes to
    #[arg(long, default_value = project::DETECTOR)]
    output: PathBuf,
}

pub fn run(options: &Options) -> Result<()> {
    let bytes = match &options.file {
        Some(path) => files::read(path)?,
        None => fetch()?,
    };
    let hash = sha256(&bytes);
    ensure!(hash == FILE_SHA256, "the file is not the one that this version of cliper knows (its sha256 is {hash})");
    let (detector, weights) = convert(&Graph::read(&bytes)?)?;
    let bytes = weights.write(Precision::F16)?;
    let manifest = DetectorManifest {
        format: FORMAT.into(),
        version: VERSION,
        name: NAME.into(),
        detector,
        licence: "Apache-2.0".into(),
        provenance: json!({
            "command": "cargo pkg face",
            "source": format!("npm {PACKAGE} {PACKAGE_VERSION}, {FILE}"),
            "sourceSha256": FILE_SHA256,
            "authors": "The MediaPipe Authors",
        }),
        weights: FileEntry {
            path: WEIGHTS.into(),
            role: Role::Weights,
            bytes: bytes.len() as u64,
            sha256: sha256(&bytes),
        },
    };
    let text = manifest.to_json();
    FaceDetector::read(&text, &bytes).context("the detector just made can't be read back")?;
    files::write(&options.output.join(WEIGHTS), &bytes)?;
    files::write(&options.output.join("NOTICE.md"), NOTICE.as_bytes())?;
    files::write(&options.output.join("model.json"), text.as_bytes())?;
    eprintln!("{} bytes of weights in {}", bytes.len(), options.output.display());
    Ok(())
}

fn fetch() -> Result<Vec<u8>> {
    project::check_node()?;
    let folder = tempfile::tempdir()?;
    eprintln!("fetching {PACKAGE} {PACKAGE_VERSION} (4 MB) by npm");
    project::run(
        Command::new("npm")
            .args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"])
            .arg(folder.path())
            .arg(format!("{PACKAGE}@{PACKAGE_VERSION}")),
    )?;
    files::read(&folder.path().join("node_modules").join(PACKAGE).join(FILE))
}

/// Names the tensors and finds the network's shape, refusing a graph that is not BlazeFace's.
fn convert(graph: &Graph) -> Result<(DetectorConfig, Weights)> {
    let mut builder = Builder { graph, known: BTreeMap::new(), weights: Weights::default() };
    let makers: BTreeMap<usize, &Operator> = graph
        .operators
        .iter()
        .flat_map(|operator| operator.outputs.iter().map(move |&output| (output, operator)))
        .collect();
    // f16 tensors reach their operators through a step that only changes the number format.
    for (&output, operator) in &makers {
        if operator.kind == Kind::Dequantize {
            builder.known.insert(output, *operator.inputs.first().context("a step without input")?);
        }
    }
    let input = *graph.inputs.first().context("the net has no input")?;
    let &[1, side, width, 3] = graph.tensors[input].shape.as_slice() else { bail!("the net takes no RGB square") };
    ensure!(side == width, "the net takes no square");

    let mut stem = None;
    let mut blocks = Vec::new();
    // Of each block's output: the block; of each block's depthwise output: its stride.
    let mut ends: BTreeMap<usize, usize> = BTreeMap::new();
    let mut depthwise: BTreeMap<usize, usize> = BTreeMap::new();
    let mut branches: BTreeMap<usize, Vec<(usize, &Operator)>> = BTreeMap::new();
    let mut last_relu = None;
    for operator in &graph.operators {
        match (operator.kind, operator.inputs.as_slice(), operator.outputs.as_slice()) {
            (Kind::DepthwiseConvolution, &[from, ..], &[to]) => {
                ensure!(Some(from) == last_relu, "a block does not start where the last one ends");
                let name = format!("blocks.{}.depthwise", blocks.len());
                let shape = builder.add(operator, &name, |shape| shape[1..].to_vec())?;
                ensure!(shape[..2] == [3, 3], "a depthwise convolution is not 3x3");
                depthwise.insert(to, operator.stride);
            }
            (Kind::Convolution, &[from, ..], &[to]) => {
                if from == input {
                    let shape = builder.add(operator, "stem", <[usize]>::to_vec)?;
                    stem = Some(DetectorStem { channels: shape[0], kernel: shape[1], stride: operator.stride });
                } else if let Some(&stride) = depthwise.get(&from) {
                    let name = format!("blocks.{}.pointwise", blocks.len());
                    let shape = builder.add(operator, &name, pointwise)?;
                    blocks.push(DetectorBlock { channels: shape[0], stride });
                } else {
                    let block = *ends.get(&from).context("a head does not stand on a block")?;
                    branches.entry(block).or_default().push((to, operator));
                }
            }
            (Kind::Relu, _, &[to]) => {
                last_relu = Some(to);
                if let Some(block) = blocks.len().checked_sub(1) {
                    ends.insert(to, block);
                }
            }
            _ => {}
        }
    }
    let mut heads = Vec::new();
    for (index, (block, mut operators)) in branches.into_iter().enumerate() {
        operators.sort_by_key(|(to, _)| graph.tensors[*to].shape.last().copied());
        let [(_, scores), (_, boxes)] = operators[..] else { bail!("block {block} has no two heads") };
        let shape = builder.add(scores, &format!("heads.{index}.score"), pointwise)?;
        let wide = builder.add(boxes, &format!("heads.{index}.box"), pointwise)?;
        ensure!(wide[0] == ANCHOR_VALUES * shape[0], "a box has not {ANCHOR_VALUES} numbers");
        heads.push(DetectorHead { block, anchors: shape[0] });
    }
    let config = DetectorConfig { side, stem: stem.context("the net has no first convolution")?, blocks, heads };
    config.validate()?;
    Ok((config, builder.weights))
}

/// `[out, 1, 1, in]` -> `[out, in]`.
fn pointwise(shape: &[usize]) -> Vec<usize> {
    vec![shape[0], shape[1] * shape[2] * shape[3]]
}

struct Builder<'a> {
    graph: &'a Graph,
    /// From a tensor after its change of number format to the one before.
    known: BTreeMap<usize, usize>,
    weights: Weights,
}

impl Builder<'_> {
    /// Adds a convolution's kernel and bias under a name, and gives the kernel's new shape.
    fn add(&mut self, operator: &Operator, name: &str, shape: impl Fn(&[usize]) -> Vec<usize>) -> Result<Vec<usize>> {
        let &[_, kernel, bias] = operator.inputs.as_slice() else { bail!("`{name}` has no kernel and bias") };
        let constant = |index: usize| {
            let tensor = &self.graph.tensors[self.known.get(&index).copied().unwrap_or(index)];
            let data = tensor.data.clone().with_context(|| format!("`{name}` has no values in the file"))?;
            anyhow::Ok((tensor.shape.clone(), data))
        };
        let ((old, data), (bias_shape, bias)) = (constant(kernel)?, constant(bias)?);
        ensure!(old.len() == 4, "the kernel of `{name}` has not four axes");
        let shape = shape(&old);
        self.weights.insert(&format!("{name}.weight"), Values { shape: shape.clone(), data })?;
        self.weights.insert(&format!("{name}.bias"), Values { shape: bias_shape, data: bias })?;
        Ok(shape)
    }
}
