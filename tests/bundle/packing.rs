//! An encoder that is packed while its files come is the one that is packed when all are there.

use crate::support::shards::{sharded, tensor};
use cliper::ErrorKind;
use cliper::bundle::{BundleReader, FileEntry, Manifest, Role};
use cliper::config::EncoderConfig;
use cliper::engine::cpu::{Arithmetic, CpuEncoder, CpuOptions, CpuPacking, ThreadPool};
use cliper::tensors::{Precision, TensorWriter, sha256};

fn config() -> EncoderConfig {
    EncoderConfig { side: 32, width: 64, layers: 3, heads: 2, embedding: 24, ..EncoderConfig::vit_b_16() }
}

fn read_all(manifest: &Manifest, files: &[(String, Vec<u8>)]) -> BundleReader {
    let mut reader = BundleReader::new(&manifest.to_json()).unwrap();
    files.iter().for_each(|(path, bytes)| reader.add(path, bytes).unwrap());
    reader
}

#[test]
fn in_whatever_order_and_arithmetic() {
    let config = config();
    let pixels = tensor(&[3, 32, 32]).data;
    for (stored, asked) in [
        (Precision::F16, None),
        (Precision::F16, Some(Arithmetic::Int8)),
        (Precision::Int8, None),
        (Precision::Int8, Some(Arithmetic::F32)),
    ] {
        let (manifest, mut files) = sharded(&config, stored);
        let mut whole = read_all(&manifest, &files).finish().unwrap().weights;
        let arithmetic = asked.unwrap_or(Arithmetic::as_stored(&whole));
        let options = CpuOptions { arithmetic, ..CpuOptions::default() };
        let wanted = CpuEncoder::load_with(&mut whole, &config, options).unwrap().encode(&pixels);
        for _ in 0..2 {
            let mut reader = BundleReader::new(&manifest.to_json()).unwrap();
            let mut packing = CpuPacking::new(&config, asked).unwrap();
            for (path, bytes) in &files {
                reader.add(path, bytes).unwrap();
                packing.advance(reader.weights()).unwrap();
            }
            let mut rest = reader.finish().unwrap().weights;
            let names = rest.names().filter(|name| name.contains(".layers.")).count();
            assert_eq!(names, 0, "all blocks are packed before the end");
            let mut encoder = packing.finish(&mut rest, ThreadPool::single()).unwrap();
            rest.finish().unwrap();
            assert_eq!(encoder.options().arithmetic, arithmetic);
            assert_eq!(encoder.encode(&pixels), wanted, "{stored:?} for {asked:?}");
            files.reverse();
        }
    }
}

#[test]
fn a_tensor_that_is_missing_misshapen_or_packed_already_is_named() {
    let config = config();
    let (manifest, files) = sharded(&config, Precision::F16);
    let name = "vision_model.encoder.layers.0.mlp.fc1.bias";
    // One more file, of one tensor; without the first of that name, or with it.
    let with = |shape: &[usize], is_kept: bool| {
        let metadata = [("backbone".to_string(), manifest.backbone.clone())].into();
        let tensors = vec![(name.to_string(), shape.to_vec())];
        let mut writer = TensorWriter::new(Vec::new(), tensors, &metadata, Precision::F16).unwrap();
        writer.push(&tensor(shape)).unwrap();
        let bytes = writer.finish().unwrap();
        let (mut manifest, mut files) = (manifest.clone(), files.clone());
        if !is_kept {
            let place = files.iter().position(|(_, bytes)| contains(bytes, name)).unwrap();
            files.remove(place);
            manifest.files.remove(place);
        }
        let (length, sha256) = (bytes.len() as u64, sha256(&bytes));
        manifest.files.push(FileEntry { path: "more".into(), role: Role::Weights, bytes: length, sha256 });
        files.push(("more".into(), bytes));
        (manifest, files)
    };
    let refusal = |(manifest, files): &(Manifest, Vec<(String, Vec<u8>)>)| {
        let mut reader = BundleReader::new(&manifest.to_json()).unwrap();
        let mut packing = CpuPacking::new(&config, None).unwrap();
        let taken = files.iter().try_for_each(|(path, bytes)| {
            reader.add(path, bytes)?;
            packing.advance(reader.weights())
        });
        taken.and_then(|()| reader.finish().map(drop)).unwrap_err()
    };
    for (shape, is_kept, words) in [
        ([256], true, "comes twice"),
        ([255], false, "has shape [255]; [256] was expected"),
        // Its file's other tensors are not there.
        ([256], false, "is missing"),
    ] {
        let error = refusal(&with(&shape, is_kept));
        assert_eq!(error.kind(), ErrorKind::InvalidWeights);
        assert!(error.to_string().contains(words), "{error}");
    }
}

fn contains(bytes: &[u8], name: &str) -> bool {
    bytes.windows(name.len()).any(|window| window == name.as_bytes())
}
