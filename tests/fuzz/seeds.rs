//! What the fuzzer begins with: small files of every format, made of the fixtures or by hand, and a dictionary.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use cliper::config::{Activation, ClipTextConfig, EncoderConfig, TemporalConfig, TokenPool};
use cliper::tensors::{BACKBONE, Precision, Values, Weights};
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::targets::sessions::{detector_config, detector_weights};

type Tensors = Vec<(String, Vec<usize>)>;

/// Writes a folder for every target, and `words.dict`.
pub fn write(folder: &Path) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    let read = |path: &str| fs::read(fixtures.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut seeds = Seeds { folder: folder.into(), words: BTreeSet::new() };

    for (index, (manifest, files)) in [("temporal_bundle", 4), ("evidence", 3)].into_iter().enumerate() {
        let text = read(&format!("{manifest}/model.json"));
        seeds.json("manifest", &format!("{index}"), &text);
        let parsed: Value = serde_json::from_slice(&text).expect("a manifest");
        let names: Vec<&str> =
            parsed["files"].as_array().expect("files").iter().filter_map(|it| it["path"].as_str()).collect();
        assert_eq!(names.len(), files);
        seeds.write("bundle", manifest, &with_length(&text, &names.map_read(&read, manifest)));
    }
    seeds.json("manifest", "built-in", &built_in_manifest());
    let (manifest, files) = small_bundle();
    seeds.write("bundle", "small", &with_length(&manifest, &files));
    for name in ["temporal_bundle/descriptors", "evidence/golden", "evidence/encoder-int8", "temporal/expected"] {
        seeds.write("weights", &name.replace('/', "-"), &read(&format!("{name}.safetensors")));
    }

    let (detector, weights) = small_detector();
    seeds.json("detector", "description", &detector);
    seeds.write("detector", "small", &with_length(&detector, &weights));

    let (hugging_face, open_ai, temporal) = (hugging_face_names(), open_ai_names(), temporal_names());
    for (name, tensors) in [("hugging-face", &hugging_face), ("open-ai", &open_ai), ("temporal", &temporal)] {
        let made = Weights::clone(&filled(tensors));
        for precision in [Precision::F32, Precision::F16] {
            let bytes = made.write(precision).expect("small numbers");
            seeds.write("safetensors", &format!("{name}-{precision:?}"), &bytes);
        }
        let (pickle, values) = state_dict(tensors);
        seeds.write(
            "zip",
            name,
            &zipped(&[("a/data.pkl", &pickle), ("a/byteorder", b"little"), ("a/data/0", &values)]),
        );
        seeds.write("pickle", name, &old_file(&pickle, &values));
    }
    for name in
        ["averaged", "beside", "compiled", "ema", "float8", "head", "lightning", "lora", "nested", "net", "several"]
    {
        seeds.write("zip", name, &without_values(&read(&format!("clip_wrapped/{name}.pt"))));
    }
    for name in ["bfloat16", "list", "parameters", "run", "whole"] {
        seeds.write("zip", name, &without_values(&read(&format!("clip_archive/{name}.pt"))));
    }
    seeds.write("zip", "scripted", &read("clip_archive/scripted.pt"));
    for name in ["clip_archive/old.bin", "clip_wrapped/old_protocol_4.bin"] {
        let whole = read(name);
        seeds.write("pickle", &name.replace('/', "-"), &whole[..whole.len().min(9000)]);
    }

    for name in ["clip_hugging_face/config.json", "clip_archive/config.json", "clip_open_clip/open_clip_config.json"] {
        for first in 0..4u8 {
            let text = read(name);
            seeds.write(
                "configuration",
                &format!("{}-{first}", name.replace('/', "-")),
                &[&[first], text.as_slice()].concat(),
            );
            seeds.words_of(&text);
        }
    }
    let cases: Value = serde_json::from_slice(&read("processors/cases.json")).expect("cases");
    for (index, case) in cases.as_array().into_iter().flatten().enumerate() {
        for value in case.as_object().into_iter().flat_map(|case| case.values()).filter(|value| value.is_object()) {
            let text = value.to_string().into_bytes();
            seeds.write("configuration", &format!("case-{index}"), &[b"\x01", text.as_slice()].concat());
            seeds.words_of(&text);
        }
    }

    seeds.json("descriptors", "asked", &asked());
    let tokenizer = tokenizer();
    let text = b"The brows are raised, wide-open eyes! \xe2\x98\xba";
    seeds.write("tokenizer", "words", &with_length(text, &tokenizer));
    let (description, weights) = small_text_side(&tokenizer);
    seeds.write("text-side", "small", &with_length(&description, &weights));
    seeds.words_of(&description);

    for shape in 0..6u8 {
        seeds.write("pixels", &format!("{shape}"), &drawn(120, shape));
    }
    for call in 0..22u8 {
        let both =
            [&[6, 0], drawn(40, call).as_slice(), &[18, 0, 3], &drawn(8, 1), &[call, 0], &drawn(60, call)].concat();
        seeds.write("session", &format!("{call}"), &both);
    }
    seeds.dictionary();
}

trait Together {
    fn map_read(&self, read: &dyn Fn(&str) -> Vec<u8>, folder: &str) -> Vec<u8>;
}

impl Together for Vec<&str> {
    /// All files of a folder, one behind the other.
    fn map_read(&self, read: &dyn Fn(&str) -> Vec<u8>, folder: &str) -> Vec<u8> {
        self.iter().flat_map(|name| read(&format!("{folder}/{name}"))).collect()
    }
}

struct Seeds {
    folder: PathBuf,
    words: BTreeSet<String>,
}

impl Seeds {
    fn write(&self, target: &str, name: &str, bytes: &[u8]) {
        let folder = self.folder.join(target);
        fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join(name), bytes)).expect("a folder to write in");
    }

    fn json(&mut self, target: &str, name: &str, text: &[u8]) {
        self.write(target, name, text);
        self.words_of(text);
    }

    /// Names in a text, which a fuzzer would otherwise have to guess.
    fn words_of(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        self.words
            .extend(text.split('"').skip(1).step_by(2).filter(|word| (2..40).contains(&word.len())).map(String::from));
    }

    fn dictionary(&self) {
        let classes = [
            "collections\nOrderedDict\n",
            "torch._utils\n_rebuild_tensor\n",
            "torch._utils\n_rebuild_tensor_v2\n",
            "torch._utils\n_rebuild_tensor_v3\n",
            "torch._utils\n_rebuild_parameter\n",
            "torch._tensor\n_rebuild_from_type_v2\n",
            "torch\nHalfStorage\n",
            "torch\nDoubleStorage\n",
            "torch\nfloat8_e4m3fn\n",
            "state_dict",
            "temporal_net.",
        ];
        let escape = |word: &str| -> String {
            word.bytes()
                .map(|byte| match byte {
                    b'"' | b'\\' => format!("\\x{byte:02x}"),
                    b' '..=b'~' => char::from(byte).to_string(),
                    _ => format!("\\x{byte:02x}"),
                })
                .collect()
        };
        let words = self.words.iter().map(String::as_str).chain(classes);
        let lines: String = words.map(|word| format!("\"{}\"\n", escape(word))).collect();
        fs::write(self.folder.join("words.dict"), lines).expect("a folder to write in");
    }
}

fn with_length(first: &[u8], second: &[u8]) -> Vec<u8> {
    [&(first.len() as u32).to_le_bytes(), first, second].concat()
}

fn drawn(count: usize, seed: u8) -> Vec<u8> {
    (0..count).map(|at| (at * 7919 + usize::from(seed) * 31) as u8 % 61).collect()
}

/// Tensors of these shapes with small numbers.
fn filled(tensors: &Tensors) -> Weights {
    let mut weights = Weights::default();
    for (name, shape) in tensors {
        let count: usize = shape.iter().product();
        let data = (0..count).map(|at| ((at * 7919 + name.len()) % 31) as f32 / 31.0 - 0.3).collect();
        weights.insert(name, Values { shape: shape.clone(), data }).expect("another name");
    }
    weights
}

const SMALL: EncoderConfig = EncoderConfig {
    side: 2,
    channels: 3,
    stem: Vec::new(),
    patch: 1,
    width: 2,
    layers: 1,
    heads: 1,
    activation: Activation::QuickGelu,
    pool: TokenPool::Class,
    embedding: 2,
};

fn hugging_face_names() -> Tensors {
    let text = ClipTextConfig {
        context: 2,
        vocabulary: 3,
        width: 2,
        layers: 1,
        heads: 1,
        activation: Activation::QuickGelu,
        embedding: 2,
    };
    SMALL.tensors().into_iter().chain(text.tensors()).collect()
}

fn open_ai_names() -> Tensors {
    let block = |tower: &str| -> Tensors {
        let name = |part: &str| format!("{tower}transformer.resblocks.0.{part}");
        let sizes: [(&str, &[usize]); 12] = [
            ("ln_1.weight", &[2]),
            ("ln_1.bias", &[2]),
            ("attn.in_proj_weight", &[6, 2]),
            ("attn.in_proj_bias", &[6]),
            ("attn.out_proj.weight", &[2, 2]),
            ("attn.out_proj.bias", &[2]),
            ("ln_2.weight", &[2]),
            ("ln_2.bias", &[2]),
            ("mlp.c_fc.weight", &[8, 2]),
            ("mlp.c_fc.bias", &[8]),
            ("mlp.c_proj.weight", &[2, 8]),
            ("mlp.c_proj.bias", &[2]),
        ];
        sizes.into_iter().map(|(part, shape)| (name(part), shape.to_vec())).collect()
    };
    let ends: [(&str, &[usize]); 13] = [
        ("visual.conv1.weight", &[2, 3, 1, 1]),
        ("visual.class_embedding", &[2]),
        ("visual.positional_embedding", &[5, 2]),
        ("visual.ln_pre.weight", &[2]),
        ("visual.ln_pre.bias", &[2]),
        ("visual.ln_post.weight", &[2]),
        ("visual.ln_post.bias", &[2]),
        ("visual.proj", &[2, 2]),
        ("token_embedding.weight", &[3, 2]),
        ("positional_embedding", &[2, 2]),
        ("ln_final.weight", &[2]),
        ("ln_final.bias", &[2]),
        ("text_projection", &[2, 2]),
    ];
    let ends = ends.into_iter().map(|(name, shape)| (name.to_string(), shape.to_vec()));
    ends.chain(block("visual.")).chain(block("")).collect()
}

/// DFER-CLIP's names.
fn temporal_names() -> Tensors {
    let sizes: [(&str, &[usize]); 12] = [
        ("cls_token", &[1, 1, 2]),
        ("pos_embedding", &[1, 3, 2]),
        ("temporal_transformer.layers.0.0.fn.norm.weight", &[2]),
        ("temporal_transformer.layers.0.0.fn.norm.bias", &[2]),
        ("temporal_transformer.layers.0.0.fn.fn.to_qkv.weight", &[192, 2]),
        ("temporal_transformer.layers.0.0.fn.fn.to_out.0.weight", &[2, 64]),
        ("temporal_transformer.layers.0.0.fn.fn.to_out.0.bias", &[2]),
        ("temporal_transformer.layers.0.1.fn.norm.weight", &[2]),
        ("temporal_transformer.layers.0.1.fn.norm.bias", &[2]),
        ("temporal_transformer.layers.0.1.fn.net.0.weight", &[3, 2]),
        ("temporal_transformer.layers.0.1.fn.net.0.bias", &[3]),
        ("temporal_transformer.layers.0.1.fn.net.3.weight", &[2, 3]),
    ];
    let last = ("temporal_transformer.layers.0.1.fn.net.3.bias".to_string(), vec![2]);
    sizes.into_iter().map(|(name, shape)| (format!("temporal_net.{name}"), shape.to_vec())).chain([last]).collect()
}

/// `torch.save`'s pickle of a state dict, whose tensors lie in one storage, and the storage.
fn state_dict(tensors: &Tensors) -> (Vec<u8>, Vec<u8>) {
    let text = |text: &str| [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let number = |number: usize| [b"J".as_slice(), &(number as i32).to_le_bytes()].concat();
    let tuple = |items: &[usize]| {
        let items: Vec<u8> = items.iter().flat_map(|&item| number(item)).collect();
        [b"(", items.as_slice(), b"t"].concat()
    };
    let total: usize = tensors.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
    let mut pickle = b"\x80\x02ccollections\nOrderedDict\n)R(".to_vec();
    let mut offset = 0;
    for (name, shape) in tensors {
        let strides: Vec<usize> = (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect();
        let class = b"ctorch\nFloatStorage\n".to_vec();
        let storage = [b"(".to_vec(), text("storage"), class, text("0"), text("cpu"), number(total), b"tQ".to_vec()];
        pickle.extend(text(name));
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n(");
        pickle.extend(storage.concat());
        pickle.extend(
            [number(offset), tuple(shape), tuple(&strides), b"\x89ccollections\nOrderedDict\n)RtR".to_vec()].concat(),
        );
        offset += shape.iter().product::<usize>();
    }
    pickle.extend(b"u.");
    let values = (0..total).flat_map(|at| ((at * 7919 % 31) as f32 / 31.0).to_le_bytes()).collect();
    (pickle, values)
}

/// As torch wrote before 1.6.
fn old_file(pickle: &[u8], values: &[u8]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.";
    let keys = b"\x80\x02]X\x01\x00\x00\x000a.";
    [magic, pickle, keys, &(values.len() as u64 / 4).to_le_bytes(), values].concat()
}

fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        writer.start_file(*name, options).and_then(|()| Ok(writer.write_all(bytes)?)).expect("memory");
    }
    writer.finish().expect("memory").into_inner()
}

/// An archive with eight bytes of each storage: names and shapes are what readers decide on.
fn without_values(archive: &[u8]) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).expect("an archive");
    let files: Vec<(String, Vec<u8>)> = (0..archive.len())
        .map(|index| {
            let mut file = archive.by_index(index).expect("a file");
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).expect("stored");
            bytes.truncate(if file.name().contains("/data/") { 8 } else { usize::MAX });
            (file.name().to_string(), bytes)
        })
        .collect();
    zipped(&files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect::<Vec<_>>())
}

fn built_in_manifest() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pkg-build/models/ferplus-small/model.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(path).expect("the built-in model")).expect("a manifest");
    // Long, and nobody reads it.
    manifest["provenance"] = Value::Null;
    serde_json::to_vec(&manifest).expect("JSON")
}

/// A manifest and its files, of every kind.
fn small_bundle() -> (Vec<u8>, Vec<u8>) {
    let config = EncoderConfig { channels: 1, pool: TokenPool::Mean, ..SMALL };
    let temporal = TemporalConfig { frames: 2, layers: 1, heads: 1, head_width: 2, hidden: 2 };
    let mut head = temporal.tensors(2);
    head.push(("golden.similarities".into(), vec![2]));
    let with = |tensors: Tensors| {
        let mut weights = filled(&tensors);
        weights.metadata.insert(BACKBONE.into(), "space".into());
        weights.write(Precision::F32).expect("small numbers")
    };
    let spread = [("faces.means", [2, 2]), ("faces.axes", [1, 2]), ("embeddings", [2, 2])];
    let mut descriptors: Tensors = spread.map(|(name, shape)| (name.to_string(), shape.to_vec())).to_vec();
    descriptors.push(("faces.rest".into(), vec![1]));
    let files = [
        ("weights", with(config.tensors())),
        ("descriptors", with(descriptors)),
        ("temporal", with(head)),
        ("golden", with(vec![("embedding".into(), vec![2])])),
    ];
    let entry =
        |(role, bytes): &(&str, Vec<u8>)| json!({ "path": role, "role": role, "bytes": bytes.len(), "sha256": "" });
    let expression = |name: &str| json!({ "name": name, "descriptors": [name] });
    let manifest = json!({
        "format": "cliper-bundle", "version": 5, "name": "a", "encoder": config,
        "preprocess": { "mean": [0.5], "std": [0.2] }, "temporal": temporal,
        "expressions": [expression("b"), expression("c")], "aggregation": "mean", "calibration": { "temperature": 0.05 },
        "window": 2, "backbone": "space", "licence": "d", "files": files.iter().map(entry).collect::<Vec<_>>(),
    });
    (manifest.to_string().into_bytes(), files.into_iter().flat_map(|(_, bytes)| bytes).collect())
}

fn small_detector() -> (Vec<u8>, Vec<u8>) {
    let weights = detector_weights().write(Precision::F16).expect("small numbers");
    let manifest = json!({
        "format": "cliper-detector", "version": 1, "name": "a", "detector": detector_config(), "licence": "b",
        "weights": { "path": "a", "role": "weights", "bytes": 0, "sha256": "" },
    });
    (manifest.to_string().into_bytes(), weights)
}

fn asked() -> Vec<u8> {
    let taught = json!({
        "format": "cliper-expression", "version": 1, "name": "wink", "backbone": "space", "frames": 5, "neutral": 5,
        "recognized": 1.0, "taken": 0.0, "descriptors": [{
            "text": "as shown", "embedding": [0.6, 0.8], "slope": 1.5, "offset": -0.2, "mean": 0.1, "deviation": 0.2,
        }],
    });
    let sentence = json!({ "text": "a wide smile", "embedding": [0.8, 0.6], "mean": 0.3, "deviation": 0.1 });
    let asked = json!([["wink", [taught]], ["joy", [sentence, { "text": "smile" }]], ["calm", [{ "text": "level" }, { "text": "grin" }]]]);
    asked.to_string().into_bytes()
}

/// A BERT's, of few words.
fn tokenizer() -> Vec<u8> {
    let words = [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "brow", "##s", "are", "raised", "wide", "-", "open", "eyes", "!",
        ",", "a",
    ];
    let vocabulary: serde_json::Map<String, Value> =
        words.iter().enumerate().map(|(id, word)| (word.to_string(), json!(id))).collect();
    let special = |id: usize| {
        json!({
            "id": id, "content": words[id], "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true,
        })
    };
    let mark = |name: &str| json!({ "SpecialToken": { "id": name, "type_id": 0 } });
    let sequence = |id: &str, kind: usize| json!({ "Sequence": { "id": id, "type_id": kind } });
    let marks = json!({
        "[CLS]": { "id": "[CLS]", "ids": [2], "tokens": ["[CLS]"] }, "[SEP]": { "id": "[SEP]", "ids": [3], "tokens": ["[SEP]"] },
    });
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [special(0), special(1), special(2), special(3)],
        "normalizer": { "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": {
            "type": "TemplateProcessing", "single": [mark("[CLS]"), sequence("A", 0), mark("[SEP]")],
            "pair": [mark("[CLS]"), sequence("A", 0), mark("[SEP]"), sequence("B", 1), mark("[SEP]")], "special_tokens": marks,
        },
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    });
    tokenizer.to_string().into_bytes()
}

/// A text side's description and weights.
fn small_text_side(tokenizer: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let config = json!({
        "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 16,
        "max_position_embeddings": 12, "layer_norm_eps": 1e-12, "word_rank": 2, "embedding": 4,
    });
    let tokenizer: Value = serde_json::from_slice(tokenizer).expect("JSON");
    let mut tensors: Tensors = Vec::new();
    let mut add = |name: &str, shape: &[usize]| tensors.push((name.into(), shape.to_vec()));
    for (name, shape) in [
        ("embeddings.word_embeddings.weight", [16, 2]),
        ("embeddings.word_projection.weight", [4, 2]),
        ("embeddings.position_embeddings.weight", [12, 4]),
        ("embeddings.token_type_embeddings.weight", [2, 4]),
        ("faces.spread", [2, 4]),
    ] {
        add(name, &shape);
    }
    add("faces.mean", &[4]);
    let block = "encoder.layer.0.";
    for norm in
        ["embeddings.LayerNorm", "encoder.layer.0.attention.output.LayerNorm", "encoder.layer.0.output.LayerNorm"]
    {
        ["weight", "bias"].iter().for_each(|part| add(&format!("{norm}.{part}"), &[4]));
    }
    for (name, [from, to]) in [
        ("attention.self.query", [4, 4]),
        ("attention.self.key", [4, 4]),
        ("attention.self.value", [4, 4]),
        ("attention.output.dense", [4, 4]),
        ("intermediate.dense", [4, 8]),
        ("output.dense", [8, 4]),
    ] {
        add(&format!("{block}{name}.weight"), &[to, from]);
        add(&format!("{block}{name}.bias"), &[to]);
    }
    add("projection.weight", &[4, 4]);
    add("projection.bias", &[4]);
    let weights = filled(&tensors).write(Precision::F32).expect("small numbers");
    (json!({ "config": config, "tokenizer": tokenizer }).to_string().into_bytes(), weights)
}
