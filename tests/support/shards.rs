//! A made bundle of many files, as a large model's is.

use cliper::bundle::{Aggregation, Calibration, FORMAT, FileEntry, Manifest, Role, VERSION};
use cliper::config::{EncoderConfig, PreprocessConfig};
use cliper::model::descriptors::Expression;
use cliper::tensors::{BACKBONE, Precision, TensorWriter, Values, sha256};

/// Of some values, the same for every shape.
pub fn tensor(shape: &[usize]) -> Values {
    let data = (0..shape.iter().product()).map(|index: usize| ((index * 37 % 101) as f32 - 50.0) / 500.0).collect();
    Values { shape: shape.to_vec(), data }
}

/// Its encoder's tensors, four a file, with two texts.
pub fn sharded(encoder: &EncoderConfig, precision: Precision) -> (Manifest, Vec<(String, Vec<u8>)>) {
    let mut files = Vec::new();
    let mut add = |path: String, role, precision, tensors: Vec<(String, Vec<usize>)>| {
        let metadata = [(BACKBONE.to_string(), "space".to_string())].into();
        let mut writer = TensorWriter::new(Vec::new(), tensors.clone(), &metadata, precision).unwrap();
        tensors.iter().for_each(|(_, shape)| writer.push(&tensor(shape)).unwrap());
        let bytes = writer.finish().unwrap();
        let entry = FileEntry { path: path.clone(), role, bytes: bytes.len() as u64, sha256: sha256(&bytes) };
        files.push((entry, (path, bytes)));
    };
    for (index, tensors) in encoder.tensors().chunks(4).enumerate() {
        add(format!("{index}"), Role::Weights, precision, tensors.to_vec());
    }
    add(
        "descriptors".into(),
        Role::Descriptors,
        Precision::F32,
        vec![("embeddings".into(), vec![2, encoder.embedding])],
    );
    add("golden".into(), Role::Golden, Precision::F32, vec![("embedding".into(), vec![encoder.embedding])]);
    let (entries, files) = files.into_iter().unzip();
    let expression =
        |name: &str| Expression { name: name.into(), descriptors: vec![name.into()], ..Default::default() };
    let manifest = Manifest {
        format: FORMAT.into(),
        version: VERSION,
        name: "counted".into(),
        encoder: encoder.clone(),
        preprocess: PreprocessConfig::clip(),
        temporal: None,
        expressions: vec![expression("one"), expression("two")],
        learned: None,
        labels: Vec::new(),
        movements: None,
        text: None,
        aggregation: Aggregation::Mean,
        shares: Vec::new(),
        calibration: Calibration { temperature: 0.05, error: None, uncertain_below: None },
        window: 4,
        face_margin: 1.0,
        backbone: "space".into(),
        licence: "none".into(),
        provenance: serde_json::Value::Null,
        files: entries,
    };
    (manifest, files)
}
