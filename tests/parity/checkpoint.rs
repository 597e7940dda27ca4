//! CLIP checkpoints in every layout: parity with the reference libraries, and what can't be served refused by name.

use std::collections::BTreeMap;
use std::io::Cursor;

use crate::support::{fixture, integers, relative_error};
use burn::tensor::{Tensor, TensorData};
use cliper::config::{Activation, ClipTextConfig, EncoderConfig, TokenPool};
use cliper::engine::burn::text::ClipTextEncoder;
use cliper::engine::burn::{ImageEncoder, NativeCpu};
use cliper::import::{Checkpoint, CheckpointHints, Layout};
use cliper::tensors::{Precision, TensorWriter, Values, Weights};
use cliper::{Error, ErrorKind, Result};
use serde_json::{Value, json};

/// f32 sums in another order than PyTorch's.
const TOLERANCE: f32 = 1e-4;

type Memory = Checkpoint<Cursor<Vec<u8>>>;

fn open(name: &str, files: &[&str], config: &str) -> Memory {
    let files = files.iter().map(|file| (file.to_string(), Cursor::new(fixture(name, file)))).collect();
    let mut hints = CheckpointHints::default();
    hints.add_json(config, &fixture(name, config)).unwrap();
    Checkpoint::open(files, &hints).unwrap()
}

fn hugging_face() -> Memory {
    let files = [1, 2, 3].map(|index| format!("model-0000{index}-of-00003.safetensors"));
    open("clip_hugging_face", &files.each_ref().map(String::as_str), "config.json")
}

fn open_clip(name: &str) -> Memory {
    open(name, &["model.safetensors"], "open_clip_config.json")
}

fn encode_images(checkpoint: &mut Memory, pixels: &Values) -> Vec<f32> {
    let config = checkpoint.encoder().clone();
    let mut weights = checkpoint.read_encoder().unwrap();
    let encoder = ImageEncoder::<NativeCpu>::load(&mut weights, &config, &Default::default()).unwrap();
    weights.finish().unwrap();
    let shape: [usize; 4] = pixels.shape.clone().try_into().unwrap();
    let pixels = Tensor::from_data(TensorData::new(pixels.data.clone(), shape), &Default::default());
    encoder.forward(pixels).into_data().to_vec().unwrap()
}

fn encode_texts(checkpoint: &mut Memory, ids: &[Vec<u32>]) -> Vec<f32> {
    let config = checkpoint.text().unwrap().clone();
    let mut weights = checkpoint.read_text().unwrap();
    let encoder = ClipTextEncoder::<NativeCpu>::load(&mut weights, &config, &Default::default()).unwrap();
    weights.finish().unwrap();
    encoder.forward(ids).unwrap().into_data().to_vec().unwrap()
}

fn ids(name: &str, tensor: &str) -> Vec<Vec<u32>> {
    let (ids, [_, length]) = integers(name, tensor);
    ids.chunks(length).map(|row| row.iter().map(|&id| id as u32).collect()).collect()
}

fn expected(name: &str) -> Weights {
    let mut read = Weights::default();
    read.read_floats(name, &fixture(name, "expected.safetensors")).unwrap();
    read
}

#[test]
fn every_layout_equals_its_library() {
    let cases = [
        ("clip_hugging_face", hugging_face(), Layout::HuggingFace, Activation::QuickGelu, 42),
        ("clip_open_clip", open_clip("clip_open_clip"), Layout::OpenAi, Activation::QuickGelu, 32),
        ("clip_tiny", open_clip("clip_tiny"), Layout::OpenAi, Activation::Gelu, 56),
    ];
    for (name, mut checkpoint, layout, activation, side) in cases {
        assert_eq!(checkpoint.layout(), layout, "{name}");
        let encoder = checkpoint.encoder();
        assert_eq!((encoder.activation, encoder.side, encoder.width), (activation, side, 64), "{name}");
        let expected = expected(name);
        let images = encode_images(&mut checkpoint, &expected.get("pixels").unwrap());
        let images = relative_error(&images, &expected.get("images").unwrap().data);
        let texts = encode_texts(&mut checkpoint, &ids(name, "ids"));
        let texts = relative_error(&texts, &expected.get("texts").unwrap().data);
        println!("{name} images {images:.2e} texts {texts:.2e}");
        assert!(images < TOLERANCE && texts < TOLERANCE, "{name}: images {images}, texts {texts}");
    }
}

/// The values of `drawn` in tests/reference/clip_checkpoint.py.
fn drawn(name: &str, shape: &[usize]) -> Values {
    let mut state = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let embedding = name.contains("embedding.weight") && !name.contains("patch");
    let norm = name.ends_with("norm.weight") || name.contains("layer_norm") && name.ends_with("weight");
    let (centre, scale) = if norm {
        (1.0, 0.25)
    } else if shape.len() == 1 || embedding {
        (0.0, 0.5)
    } else {
        let inputs: usize = shape[1..].iter().product();
        (0.0, 2f64.powf(-((inputs as f64).sqrt() / 2.0).log2().round_ties_even()) as f32)
    };
    let data = (0..shape.iter().product())
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let top = (state >> 40) as i64 - (1 << 23);
            centre + scale * (top as f32 / (1 << 23) as f32)
        })
        .collect();
    Values { shape: shape.to_vec(), data }
}

/// A drawn model as a checkpoint in memory, and what must be stated of it.
fn drawn_checkpoint(name: &str) -> Memory {
    let models: Value = serde_json::from_slice(&fixture("clip_drawn", "models.json")).unwrap();
    let model = &models[name];
    let number = |value: &Value| value.as_u64().unwrap() as usize;
    let (vision, text, embedding) = (&model["vision"], &model["text"], number(&model["embedding"]));
    let activation: Activation = match vision["hidden_act"].as_str().unwrap() {
        "gelu" => Activation::Gelu,
        _ => Activation::QuickGelu,
    };
    let encoder = EncoderConfig {
        side: number(&vision["image_size"]),
        channels: 3,
        stem: Vec::new(),
        patch: number(&vision["patch_size"]),
        width: number(&vision["hidden_size"]),
        layers: number(&vision["num_hidden_layers"]),
        heads: number(&vision["num_attention_heads"]),
        activation,
        pool: TokenPool::Class,
        embedding,
    };
    let text = ClipTextConfig {
        context: 77,
        vocabulary: number(&text["vocab_size"]),
        width: number(&text["hidden_size"]),
        layers: number(&text["num_hidden_layers"]),
        heads: number(&text["num_attention_heads"]),
        activation,
        embedding,
    };
    let tensors: Vec<_> = encoder.tensors().into_iter().chain(text.tensors()).collect();
    let mut writer = TensorWriter::new(Vec::new(), tensors.clone(), &BTreeMap::new(), Precision::F32).unwrap();
    for (name, shape) in &tensors {
        writer.push(&drawn(name, shape)).unwrap();
    }
    let files = vec![(name.to_string(), Cursor::new(writer.finish().unwrap()))];
    let checkpoint = Checkpoint::open(files, &CheckpointHints::with_activation(activation)).unwrap();
    // Sizes are read from the shapes alone.
    assert_eq!(checkpoint.encoder(), &encoder, "{name}");
    assert_eq!(checkpoint.text(), Some(&text), "{name}");
    checkpoint
}

fn drawn_model_equals_transformers(name: &str) {
    let mut checkpoint = drawn_checkpoint(name);
    let expected = expected("clip_drawn");
    let side = checkpoint.encoder().side;
    let mut pixels = drawn("pixels", &[1, 3, side, side]);
    pixels.data.iter_mut().for_each(|value| *value *= 2.0);
    let images = encode_images(&mut checkpoint, &pixels);
    let images = relative_error(&images, &expected.get(&format!("{name}.images")).unwrap().data);
    let texts = encode_texts(&mut checkpoint, &ids("clip_drawn", &format!("{name}.ids")));
    let texts = relative_error(&texts, &expected.get(&format!("{name}.texts")).unwrap().data);
    println!("{name} images {images:.2e} texts {texts:.2e}");
    assert!(images < TOLERANCE && texts < TOLERANCE, "{name}: images {images}, texts {texts}");
}

#[test]
fn odd_sizes_equal_transformers() {
    for name in ["l14_336", "width_256", "patch_32"] {
        drawn_model_equals_transformers(name);
    }
}

/// `cargo test --release --workspace --test checkpoint -- --ignored --nocapture`
#[test]
#[ignore = "seconds and a gigabyte each; run it when a tower or the loading changes"]
fn full_models_equal_transformers() {
    for name in ["vit_b_32", "vit_b_16"] {
        drawn_model_equals_transformers(name);
    }
}

#[test]
fn what_follows_the_end_has_no_influence() {
    let mut checkpoint = open_clip("clip_open_clip");
    let mut rows = ids("clip_open_clip", "ids");
    let whole = encode_texts(&mut checkpoint, &rows);
    for row in &mut rows {
        row.truncate(ClipTextEncoder::<NativeCpu>::end(row) + 1);
    }
    let cut = encode_texts(&mut checkpoint, &rows);
    assert!(relative_error(&cut, &whole) < 1e-6);
    let alone = encode_texts(&mut checkpoint, &rows[..1]);
    assert!(relative_error(&alone, &whole[..alone.len()]) < 1e-5);
}

/// A small checkpoint under Hugging Face's names: list of tensors, to be broken.
fn small() -> Vec<(String, Vec<usize>)> {
    let encoder = EncoderConfig {
        side: 16,
        channels: 3,
        stem: Vec::new(),
        patch: 8,
        width: 64,
        layers: 1,
        heads: 1,
        activation: Activation::Gelu,
        pool: TokenPool::Class,
        embedding: 8,
    };
    encoder.tensors()
}

fn file(tensors: Vec<(String, Vec<usize>)>) -> Vec<u8> {
    let mut writer = TensorWriter::new(Vec::new(), tensors.clone(), &BTreeMap::new(), Precision::F32).unwrap();
    for (name, shape) in &tensors {
        writer.push(&drawn(name, shape)).unwrap();
    }
    writer.finish().unwrap()
}

fn opened(bytes: Vec<u8>) -> Result<Memory> {
    let files = vec![("model.safetensors".to_string(), Cursor::new(bytes))];
    Checkpoint::open(files, &CheckpointHints::with_activation(Activation::Gelu))
}

fn refusal(bytes: Vec<u8>) -> Error {
    opened(bytes).expect_err("it must be refused")
}

fn renamed(from: &str, to: &str) -> Vec<u8> {
    file(small().into_iter().map(|(name, shape)| (name.replace(from, to), shape)).collect())
}

fn with(name: &str, shape: &[usize]) -> Vec<u8> {
    let mut tensors = small();
    tensors.push((name.into(), shape.to_vec()));
    file(tensors)
}

#[test]
fn wrappers_and_buffers_are_passed_over() {
    assert!(opened(renamed("vi", "module.vi")).unwrap().text().is_none());
    for name in ["logit_scale", "input_resolution", "vision_model.embeddings.position_ids", "text.attn_mask"] {
        opened(with(name, &[1])).unwrap();
    }
    // A tower's own names, without the model around it.
    let alone = small().into_iter().map(|(name, shape)| (name.replace("vision_model.", ""), shape)).collect();
    opened(file(alone)).unwrap();
}

#[test]
fn texts_may_come_without_their_prefix() {
    let text = ClipTextConfig {
        context: 12,
        vocabulary: 20,
        width: 64,
        layers: 1,
        heads: 1,
        activation: Activation::Gelu,
        embedding: 8,
    };
    for prefix in ["text_model.", ""] {
        let mut tensors = small();
        tensors.extend(text.tensors().into_iter().map(|(name, shape)| (name.replace("text_model.", prefix), shape)));
        let mut checkpoint = opened(file(tensors)).unwrap();
        assert_eq!(checkpoint.text(), Some(&text));
        checkpoint.read_text().unwrap();
    }
}

#[test]
fn other_architectures_are_refused_by_name() {
    for (name, what) in [
        ("visual.trunk.blocks.0.attn.qkv.weight", "timm"),
        ("image_encoder.model.patch_emb.0.block.conv.weight", "MobileCLIP"),
        ("logit_bias", "SigLIP"),
        ("visual.layer1.0.conv1.weight", "ResNet"),
    ] {
        let error = refusal(with(name, &[2]));
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::InvalidWeights);
        assert!(text.contains(name) && text.contains(what) && text.contains("ViT-B/32"), "{text}");
    }
    let text = refusal(file(vec![("encoder.block.0.weight".into(), vec![2])])).to_string();
    assert!(text.contains("visual.conv1.weight") && text.contains("encoder.block.0.weight"), "{text}");
}

#[test]
fn broken_tensors_are_named() {
    let missing = "vision_model.encoder.layers.0.mlp.fc1.bias";
    let text = refusal(file(small().into_iter().filter(|(name, _)| name != missing).collect())).to_string();
    assert!(text.contains(missing) && text.contains("[256]"), "{text}");

    let text = refusal(with("vision_model.encoder.extra", &[3])).to_string();
    assert!(text.contains("vision_model.encoder.extra") && text.contains("[3]"), "{text}");

    let mut tensors = small();
    let misshapen = tensors.iter_mut().find(|(name, _)| name.ends_with("fc2.weight")).unwrap();
    misshapen.1 = vec![64, 128];
    let text = refusal(file(tensors)).to_string();
    assert!(text.contains("fc2.weight") && text.contains("[64, 128]") && text.contains("[64, 256]"), "{text}");

    let mut tensors = small();
    tensors.retain(|(name, _)| name != "visual_projection.weight");
    let text = refusal(file(tensors)).to_string();
    assert!(text.contains("visual_projection.weight") && text.contains("with projection"), "{text}");

    let text = refusal(renamed("class_embedding", "class_embeddings")).to_string();
    assert!(text.contains("class_embedding"), "{text}");

    let mut tensors = small();
    tensors.push(("module.visual_projection.weight".into(), vec![8, 64]));
    let text = refusal(file(tensors)).to_string();
    assert!(text.contains("module.visual_projection.weight") && text.contains("same tensor"), "{text}");

    // The last four bytes belong to the last tensor.
    let mut bytes = file(small());
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let text = opened(bytes).unwrap().read_encoder().unwrap_err().to_string();
    assert!(text.contains("visual_projection.weight") && text.contains("not finite"), "{text}");
}

#[test]
fn what_is_no_safetensors_file_is_named_with_the_way_out() {
    for (bytes, words) in [
        (b"PK\x03\x04............".to_vec(), ["PyTorch archive", "cut off"]),
        (fixture("clip_archive", "run.pt")[..40_000].to_vec(), ["PyTorch archive", "cut off"]),
        (fixture("clip_archive", "scripted.pt"), ["TorchScript", "torch.jit.load"]),
        (fixture("clip_archive", "whole.pt"), ["torch.nn.modules.linear.Linear", "state_dict()"]),
        (fixture("clip_archive", "list.pt"), ["no tensors by name", "state dict was expected"]),
        (fixture("clip_archive", "old.bin")[..9000].to_vec(), ["cut off", "fetch it again"]),
        (fixture("clip_archive", "old.bin")[..1000].to_vec(), ["ends in the middle", "torch.load"]),
        (b"\x80\x02........".to_vec(), ["pickle", "save_file"]),
        (b"version https://git-lfs.github.com/spec/v1".to_vec(), ["pointer", "git lfs pull"]),
        (b"{\"a\": 1}........".to_vec(), ["no safetensors", "length"]),
        (b"abc".to_vec(), ["3 bytes", "fetch"]),
        (file(small())[..5000].to_vec(), ["cut off", "fetch"]),
        (file(small())[..100].to_vec(), ["cut off", "header"]),
    ] {
        let text = refusal(bytes).to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{words:?}: {text}");
    }
}

/// Every tensor of both towers.
fn tensors(checkpoint: &mut Memory) -> Vec<(String, Values)> {
    let text = checkpoint.text().unwrap().tensors();
    let names = checkpoint.encoder().tensors().into_iter().chain(text).map(|(name, _)| name);
    names.collect::<Vec<_>>().into_iter().map(|name| (name.clone(), checkpoint.read(&name).unwrap())).collect()
}

#[test]
fn files_of_torch_save_hold_what_safetensors_hold() {
    let open = |file: &str, config: &str| open("clip_archive", &[file], config);
    let (open_clip, hugging_face) = ("open_clip_config.json", "config.json");
    for (file, reference, config, layout) in [
        ("run.pt", "open_clip.safetensors", open_clip, Layout::OpenAi),
        ("parameters.pt", "open_clip.safetensors", open_clip, Layout::OpenAi),
        ("bfloat16.pt", "open_clip.safetensors", open_clip, Layout::OpenAi),
        ("pytorch_model.bin", "hugging_face.safetensors", hugging_face, Layout::HuggingFace),
        ("old.bin", "hugging_face.safetensors", hugging_face, Layout::HuggingFace),
    ] {
        let (mut found, mut wanted) = (open(file, config), open(reference, config));
        assert_eq!((found.layout(), found.encoder()), (layout, wanted.encoder()), "{file}");
        let (found, mut wanted) = (tensors(&mut found), tensors(&mut wanted));
        if file == "bfloat16.pt" {
            let rounded = |value: &f32| half::bf16::from_f32(*value).to_f32();
            wanted.iter_mut().for_each(|(_, values)| values.data = values.data.iter().map(rounded).collect());
        }
        assert!(found.len() > 30 && found.iter().any(|(_, values)| values.data.iter().any(|value| *value != 0.0)));
        for (found, wanted) in found.iter().zip(&wanted) {
            assert_eq!(found, wanted, "{file}");
        }
    }
}

#[test]
fn broken_archives_are_named() {
    // One byte of the header after another: whatever comes of it, an answer comes, and no other values.
    let whole = fixture("clip_archive", "run.pt");
    let mut hints = CheckpointHints::default();
    hints.add_json("config", &fixture("clip_archive", "open_clip_config.json")).unwrap();
    let opened = |bytes: Vec<u8>| Checkpoint::open(vec![("run.pt".into(), Cursor::new(bytes))], &hints);
    let pickle = whole.windows(10).position(|ten| ten == b"state_dict").unwrap();
    let mut refused = 0;
    for place in (0..120).chain(pickle - 60..pickle + 900) {
        for change in [0x01, 0x80] {
            let mut bytes = whole.clone();
            bytes[place] ^= change;
            match opened(bytes) {
                Ok(mut checkpoint) => drop(checkpoint.read_encoder()),
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::InvalidWeights | ErrorKind::InvalidConfig), "{error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 100, "{refused}");
    // NaN in the last tensor that is read from the file.
    let mut bytes = fixture("clip_archive", "old.bin");
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let mut hints = CheckpointHints::default();
    hints.add_json("config", &fixture("clip_archive", "config.json")).unwrap();
    let mut checkpoint = Checkpoint::open(vec![("old.bin".into(), Cursor::new(bytes))], &hints).unwrap();
    let texts =
        [checkpoint.read_encoder(), checkpoint.read_text()].map(|read| read.err().map(|error| error.to_string()));
    let text = texts.into_iter().flatten().next().unwrap();
    assert!(text.contains("not finite") && text.contains("numbers were expected"), "{text}");
}

#[test]
fn activation_and_unusual_heads_must_be_stated() {
    let files = |bytes| vec![("model.safetensors".to_string(), Cursor::new(bytes))];
    let error = Checkpoint::open(files(file(small())), &CheckpointHints::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains("--activation quick-gelu"), "{error}");

    // ViT-H's width, whose heads are 80 wide: nothing in the shapes says so.
    let wide = EncoderConfig { width: 1280, heads: 16, side: 28, patch: 14, layers: 1, ..EncoderConfig::vit_b_16() };
    let error = opened(file(wide.tensors())).unwrap_err();
    assert!(error.to_string().contains("open_clip_config.json"), "{error}");
    let mut hints = CheckpointHints::default();
    let config = json!({ "model_cfg": { "vision_cfg": { "width": 1280, "head_width": 80 }, "text_cfg": {} } });
    hints.add_json("open_clip_config.json", config.to_string().as_bytes()).unwrap();
    let checkpoint = Checkpoint::open(files(file(wide.tensors())), &hints).unwrap();
    assert_eq!((checkpoint.encoder().heads, checkpoint.encoder().activation), (16, Activation::Gelu));

    let mut hints = CheckpointHints::default();
    let error = hints.add_json("config.json", br#"{"vision_config": {"hidden_act": "swish"}}"#).unwrap_err();
    assert!(error.to_string().contains("swish"), "{error}");
    hints.add_json("config.json", br#"{"vision_config": {"num_attention_heads": 4}}"#).unwrap();
    let stated = hints.stated(Layout::HuggingFace);
    assert_eq!((stated.activation, stated.heads), (None, Some(4)));
}

#[test]
fn f16_overflow_is_named() {
    let mut writer =
        TensorWriter::new(Vec::new(), vec![("big".into(), vec![1])], &BTreeMap::new(), Precision::F16).unwrap();
    let text = writer.push(&Values { shape: vec![1], data: vec![1e6] }).unwrap_err().to_string();
    assert!(text.contains("`big`") && text.contains("65504"), "{text}");
}

#[test]
fn what_training_code_leaves_on_disk_is_the_model_it_wraps() {
    let mut hints = CheckpointHints::default();
    hints.add_json("config.json", &fixture("clip_archive", "config.json")).unwrap();
    let open = |folder: &str, file: &str| {
        Checkpoint::open(vec![(file.to_string(), Cursor::new(fixture(folder, file)))], &hints)
    };
    let mut plain = open("clip_archive", "hugging_face.safetensors").unwrap();
    assert!(plain.notes().is_empty());
    let wanted = tensors(&mut plain);
    for (file, noted) in [
        ("lightning.pt", &["`model.`"][..]),
        ("compiled.pt", &[]),
        ("part_compiled.pt", &[]),
        ("averaged.pt", &[]),
        ("ema.pt", &["`ema`"]),
        ("net.pt", &["`net`"]),
        ("nested.pt", &["`checkpoint.params`", "`clip_model.`"]),
        ("beside.pt", &["`state_dict`", "`state_dict_ema` left out"]),
        ("head.pt", &["left out", "`classifier.bias` (2 such)"]),
        ("old_protocol_4.bin", &[]),
    ] {
        let mut found = open("clip_wrapped", file).unwrap_or_else(|error| panic!("{file}: {error}"));
        let notes = found.notes().join("; ");
        assert!(
            noted.iter().all(|word| notes.contains(word)) && noted.is_empty() == notes.is_empty(),
            "{file}: {notes}"
        );
        assert_eq!(tensors(&mut found), wanted, "{file}");
    }
    for (file, words) in [
        ("several.pt", &["`ema`", "`net`", "torch.save(torch.load('several.pt'"][..]),
        ("lora.pt", &["LoRA", "merge_and_unload()"]),
        ("float8.pt", &["F8_E4M3", "BF16 can be read"]),
    ] {
        let refused = open("clip_wrapped", file).and_then(|mut checkpoint| checkpoint.read_encoder().map(drop));
        let text = refused.expect_err(file).to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{file}: {text}");
    }
    // Two models in one file are named.
    let two = small()
        .into_iter()
        .flat_map(|(name, shape)| ["student.", "teacher."].map(|model| (format!("{model}{name}"), shape.clone())));
    let text = refusal(file(two.collect())).to_string();
    assert!(text.contains("2 image towers") && text.contains("student.") && text.contains("teacher."), "{text}");
}

#[test]
fn a_header_whose_length_looks_like_a_pickle_is_read() {
    // 0x280 bytes begin as a pickle of protocol 2 does.
    let plain = file(small());
    let length = u64::from_le_bytes(plain[..8].try_into().unwrap()) as usize;
    let wanted = (length.div_ceil(0x1_0000) * 0x1_0000) + 0x280;
    let mut bytes = (wanted as u64).to_le_bytes().to_vec();
    assert_eq!(bytes[..2], [0x80, 0x02]);
    bytes.extend(&plain[8..8 + length]);
    bytes.resize(8 + wanted, b' ');
    bytes.extend(&plain[8 + length..]);
    opened(bytes).unwrap().read_encoder().unwrap();
}
