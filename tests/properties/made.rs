//! Files that were made to break a reader, one of each kind that did: an error with a code now, in bounded memory.

use std::io::{Cursor, Write};

use cliper::bundle::Manifest;
use cliper::import::{read_temporal, temporal_head};
use cliper::model::face_spread::FaceSpread;
use cliper::model::sentence::Sentence;
use cliper::model::teaching::TaughtExpression;
use cliper::tensors::{Precision, Values, Weights};
use cliper::{Error, ErrorKind};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::support::fixture;

#[cfg(feature = "sentences")]
#[test]
fn a_tokenizer_of_parts_that_no_bert_has_is_refused() {
    use cliper::engine::tokens::TextTokenizer;
    const PLAIN: &str = r###"{
        "version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": null, "decoder": { "type": "nonsense" },
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": { "[UNK]": 0, "brow": 1, "##s": 2 }
        }
    }"###;
    let file = |part: &str, kind: &str| {
        let mut json: serde_json::Value = serde_json::from_str(PLAIN).unwrap();
        if !part.is_empty() {
            json[part] = serde_json::json!({ "type": kind });
        }
        TextTokenizer::new(json.to_string().as_bytes(), 8)
    };
    // The library itself panics on that decoder, which nobody needs.
    assert_eq!(file("", "").unwrap().tokens("brows eye").unwrap(), [1, 2, 0]);
    for part in ["normalizer", "model"] {
        assert!(refusal(file(part, "Precompiled"), ErrorKind::InvalidText).contains("Precompiled"));
    }
    refusal(TextTokenizer::new(b"[]", 8), ErrorKind::InvalidText);
    // So it does on marks that a template does not define, and on a second text where there is one.
    for piece in [
        serde_json::json!({ "SpecialToken": { "id": "[CLS]", "type_id": 0 } }),
        serde_json::json!({ "Sequence": { "id": "B", "type_id": 0 } }),
    ] {
        let mut json: serde_json::Value = serde_json::from_str(PLAIN).unwrap();
        json["post_processor"] =
            serde_json::json!({ "type": "TemplateProcessing", "single": [piece], "pair": [], "special_tokens": {} });
        assert!(
            refusal(TextTokenizer::new(json.to_string().as_bytes(), 8), ErrorKind::InvalidText).contains("template")
        );
    }
}

/// A file as torch wrote it before 1.6: this pickle, and one storage of two numbers.
fn old_file(pickle: &[u8]) -> Vec<u8> {
    let head = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02";
    let keys = b"\x80\x02]X\x01\x00\x00\x000a.";
    [head, pickle, keys, &2u64.to_le_bytes(), &[0; 8]].concat()
}

/// Shape and strides, at most 255 each.
fn tuple(values: &[u8]) -> Vec<u8> {
    let items: Vec<u8> = values.iter().flat_map(|&value| [b'K', value]).collect();
    [b"(", items.as_slice(), b"t"].concat()
}

fn text(text: &str) -> Vec<u8> {
    [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

/// A tensor in the storage `0`, with its shape and strides as they are pickled.
fn tensor(shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let storage = [text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text("0"), text("cpu")].concat();
    [b"ctorch._utils\n_rebuild_tensor_v2\n((", storage.as_slice(), b"K\x02tQK\x00", shape, strides, b"N}tR"].concat()
}

fn dict_of(tensor: &[u8]) -> Vec<u8> {
    [b"}", text("weight").as_slice(), tensor, b"s."].concat()
}

fn read(pickle: &[u8]) -> Result<Weights, Error> {
    read_temporal("model.pt", Cursor::new(old_file(pickle)))
}

fn refusal<T>(outcome: Result<T, Error>, kind: ErrorKind) -> String {
    let error = outcome.err().expect("it was taken");
    assert_eq!(error.kind(), kind);
    error.to_string()
}

#[test]
fn a_plain_tensor_is_read_from_such_a_file() {
    let weights = read(&dict_of(&tensor(&tuple(&[2, 1]), &tuple(&[1, 1])))).unwrap();
    assert_eq!(weights.get("weight").unwrap(), Values { shape: vec![2, 1], data: vec![0.0; 2] });
}

#[test]
fn a_view_that_makes_many_numbers_of_two_is_refused() {
    let huge = [b"(".as_slice(), &b"J\xff\xff\xff\x7f".repeat(2), b"t"].concat();
    let why = refusal(read(&dict_of(&tensor(&huge, &tuple(&[0, 0])))), ErrorKind::InvalidWeights);
    assert!(why.contains("repeats values"), "{why}");
    let more = [b"(".as_slice(), &b"J\xff\xff\xff\x7f".repeat(4), b"t"].concat();
    let why = refusal(read(&dict_of(&tensor(&more, &tuple(&[0; 4])))), ErrorKind::InvalidWeights);
    assert!(why.contains("impossible"), "{why}");
}

#[test]
fn a_tensor_of_nothing_is_nothing_whatever_its_strides() {
    for strides in [[5, 5], [0, 1], [255, 0]] {
        let weights = read(&dict_of(&tensor(&tuple(&[0, 3]), &tuple(&strides)))).unwrap();
        assert!(weights.get("weight").unwrap().data.is_empty());
    }
}

#[test]
fn more_axes_than_any_model_has_are_refused() {
    let many = tuple(&[1; 200]);
    assert!(refusal(read(&dict_of(&tensor(&many, &many))), ErrorKind::InvalidWeights).contains("no shape"));
}

#[test]
fn lists_that_hold_each_other_end() {
    // Two lists of a function and arguments, each with the other as its arguments, and a call with the first.
    let class = b"ctorch._tensor\n_rebuild_from_type_v2\n";
    let fill = |own: u8, other: u8| [b"h".as_slice(), &[own], b"(", class, b"Nh", &[other], b"e0"].concat();
    let lists = [b"]q\x000]q\x010".as_slice(), &fill(0, 1), &fill(1, 0)].concat();
    let why = refusal(read(&[lists.as_slice(), class, b"h\x00R."].concat()), ErrorKind::InvalidWeights);
    assert!(why.contains("state dict was expected"), "{why}");
}

#[test]
fn a_list_that_calls_copy_again_and_again_is_refused() {
    // A pair, a list with it 4,096 times, and that list given to 4,096 calls.
    let list = [b"(NNtq\x000]q\x01(".as_slice(), &b"h\x00".repeat(4096), b"e\x85q\x020"].concat();
    let calls = [b"ccollections\nOrderedDict\nq\x030".as_slice(), &b"h\x03h\x02R0".repeat(4096)].concat();
    let why = refusal(read(&[list, calls, b"N.".to_vec()].concat()), ErrorKind::InvalidWeights);
    assert!(why.contains("entries"), "{why}");
}

#[test]
fn a_name_is_a_tensor_s_once_and_not_longer_than_a_name() {
    let tensor = tensor(&tuple(&[2]), &tuple(&[1]));
    let twice = [b"}".as_slice(), &text("a"), &tensor, b"s", &text("a"), &tensor, b"s."].concat();
    assert_eq!(read(&twice).unwrap().names().collect::<Vec<_>>(), ["a"]);
    let long = [b"}".as_slice(), &text(&"a".repeat(5000)), &tensor, b"s."].concat();
    assert!(refusal(read(&long), ErrorKind::InvalidWeights).contains("no tensors by name"));
}

#[test]
fn an_archive_whose_directory_promises_more_than_the_file_has_is_refused() {
    let numbers = 1u32 << 28;
    let shape = [b"(J".as_slice(), &numbers.to_le_bytes(), b"t"].concat();
    let pickle = [b"\x80\x02", dict_of(&tensor(&shape, &tuple(&[1]))).as_slice()].concat();
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in [("a/data.pkl", pickle.as_slice()), ("a/data/0", &[0; 8])] {
        writer.start_file(name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    let mut archive = writer.finish().unwrap().into_inner();
    // The storage's size in the central directory, compressed and not.
    let entry = archive.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
    for place in [20, 24] {
        archive[entry + place..entry + place + 4].copy_from_slice(&0x7fff_fff0u32.to_le_bytes());
    }
    let why = refusal(read_temporal("model.pt", Cursor::new(archive)), ErrorKind::InvalidWeights);
    assert!(why.contains("cut off"), "{why}");
}

#[test]
fn what_is_taught_makes_numbers() {
    let taught = |field: &str, value: f32| {
        let mut descriptor = serde_json::json!({
            "text": "a", "embedding": [0.6, 0.8], "slope": 1.5, "offset": -0.2, "mean": 0.1, "deviation": 0.2,
        });
        descriptor[field] = value.into();
        let file = serde_json::json!({
            "format": "cliper-expression", "version": 1, "name": "wink", "backbone": "space", "frames": 5, "neutral": 5,
            "recognized": 1.0, "taken": 0.0, "descriptors": [descriptor],
        });
        serde_json::from_value::<TaughtExpression>(file).unwrap().check("space", 2)
    };
    assert!(taught("slope", 20.0).is_ok());
    for (field, value) in
        [("slope", 3e38), ("offset", -3e38), ("mean", 3e38), ("deviation", 3e38), ("deviation", 1e-30)]
    {
        refusal(taught(field, value), ErrorKind::InvalidBundle);
    }
    for spread in [[3e38, 0.1], [0.1, 1e-30], [0.1, 3e38]] {
        refusal(Sentence::new("a", vec![0.6, 0.8], spread[0], spread[1]), ErrorKind::InvalidText);
    }
}

#[test]
fn calibrations_and_distances_are_numbers_that_can_be_written() {
    let manifest = |path: &[&str], value: serde_json::Value| {
        let mut manifest: serde_json::Value = serde_json::from_slice(&fixture("evidence", "model.json")).unwrap();
        let place = path.iter().fold(&mut manifest, |place, key| &mut place[*key]);
        *place = value;
        Manifest::parse(&manifest.to_string())
    };
    refusal(manifest(&["calibration", "temperature"], 1e-44.into()), ErrorKind::InvalidBundle);
    refusal(manifest(&["calibration", "error"], 1e39.into()), ErrorKind::InvalidBundle);
    let nearest = vec![serde_json::json!([[{ "text": "a", "distance": 1e39 }]]); 6];
    let learned = serde_json::json!({ "prompt": "a {}", "nearest": nearest });
    refusal(manifest(&["learned"], learned), ErrorKind::InvalidBundle);
}

#[test]
fn scales_that_make_infinities_are_refused() {
    let header = br#"{"a":{"dtype":"I8","shape":[1,1],"data_offsets":[4,5]},"a.scales":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let file =
        |scale: f32| [&(header.len() as u64).to_le_bytes(), header.as_slice(), &scale.to_le_bytes(), &[127]].concat();
    Weights::default().read("a", &file(1e30)).unwrap();
    refusal(Weights::default().read("a", &file(3e38)), ErrorKind::InvalidWeights);
}

#[test]
fn what_is_written_in_8_bits_can_be_read() {
    let mut weights = Weights::default();
    weights.insert("empty", Values { shape: vec![3, 0], data: vec![] }).unwrap();
    Weights::default().read("a", &weights.write(Precision::Int8).unwrap()).unwrap();
    weights.insert("empty.scales", Values { shape: vec![1], data: vec![1.0] }).unwrap();
    refusal(weights.write(Precision::Int8), ErrorKind::InvalidWeights);
}

fn scalar(name: &str) -> Weights {
    let mut weights = Weights::default();
    weights.insert(name, Values { shape: vec![], data: vec![1.0] }).unwrap();
    weights
}

#[test]
fn a_number_in_a_table_s_place_is_refused() {
    let queries = scalar("temporal_transformer.layers.0.0.fn.fn.to_qkv.weight");
    refusal(temporal_head(&queries, None), ErrorKind::InvalidWeights);
    refusal(FaceSpread::take(&mut scalar("faces.axes"), 2, 4), ErrorKind::InvalidWeights);
}

#[test]
fn a_map_of_gigabytes_is_refused() {
    let mut manifest: serde_json::Value = serde_json::from_slice(&fixture("evidence", "model.json")).unwrap();
    manifest["encoder"]["side"] = 1024.into();
    manifest["encoder"]["stem"] = serde_json::json!([{ "channels": 4096, "stride": 1 }]);
    let why = refusal(Manifest::parse(&manifest.to_string()), ErrorKind::InvalidConfig);
    assert!(why.contains("stem[0]"), "{why}");
}
