//! What a checkpoint's own files say of pictures and towers: done as the libraries do it, or refused by name.

use std::collections::BTreeMap;
use std::io::Cursor;

use crate::support::fixture;
use cliper::config::{
    Activation, ClipTextConfig, CropRounding, EncoderConfig, Interpolation, PreprocessConfig, ResizeConfig, ResizeMode,
    TokenPool,
};
use cliper::import::{Checkpoint, CheckpointHints, Layout};
use cliper::preprocess::{Picture, preprocess};
use cliper::tensors::{Precision, TensorWriter, Values, Weights};
use cliper::{ErrorKind, Result};
use serde::Deserialize;
use serde_json::{Value, json};

/// An encoder of one side; nothing else of it matters to pixels.
fn encoder(side: usize) -> EncoderConfig {
    EncoderConfig { side, patch: 8, ..EncoderConfig::vit_b_16() }
}

fn stated(file: &str, content: &Value) -> Result<PreprocessConfig> {
    let mut hints = CheckpointHints::default();
    hints.add_json(file, content.to_string().as_bytes())?;
    Ok(hints.stated(Layout::HuggingFace).preprocess.expect("the file states the preprocessing"))
}

#[test]
fn every_processor_equals_its_library() {
    #[derive(Deserialize)]
    struct Case {
        name: String,
        file: String,
        content: Value,
    }
    #[derive(Deserialize)]
    struct Cases {
        side: usize,
        pictures: Vec<String>,
        cases: Vec<Case>,
    }
    let Cases { side, pictures, cases } = serde_json::from_slice(&fixture("processors", "cases.json")).unwrap();
    let mut expected = Weights::default();
    expected.read_floats("expected", &fixture("processors", "expected.safetensors")).unwrap();
    assert!(cases.len() >= 19 && pictures.len() >= 3);
    for Case { name, file, content } in cases {
        let config = stated(&file, &content).unwrap_or_else(|error| panic!("{name}: {error}"));
        for file in &pictures {
            let picture = image::load_from_memory(&fixture("preprocess", &format!("{file}.png"))).unwrap().to_rgba8();
            let (width, height) = (picture.width() as usize, picture.height() as usize);
            let found = preprocess(Picture::new(&picture, width, height).unwrap(), &encoder(side), &config);
            let wanted = expected.get(&format!("{name}/{file}")).unwrap().data;
            assert_eq!(found.len(), wanted.len());
            // In grey levels: torchvision's filter on bytes and ours round sums near .5 to either side.
            let levels = |index: usize| {
                let channel = index / (side * side);
                (found[index] - wanted[index]).abs() * config.std[channel] * 255.0
            };
            let all: Vec<f32> = (0..found.len()).map(levels).collect();
            let (most, mean) = (all.iter().copied().fold(0.0, f32::max), all.iter().sum::<f32>() / all.len() as f32);
            println!("{name} {file} most {most:.3} mean {mean:.4}");
            assert!(most < 1.01 && mean < 0.2, "{name}, {file}: most {most}, mean {mean} grey levels");
        }
    }
}

#[test]
fn what_no_processor_here_does_is_refused_by_name() {
    let plain = json!({ "image_processor_type": "CLIPImageProcessor", "size": 224, "crop_size": 224 });
    for (field, value) in [
        ("do_resize", json!(false)),
        ("do_center_crop", json!(false)),
        ("do_pad", json!(true)),
        ("resample", json!(1)),
        ("resample", json!(0)),
        ("size", json!({ "longest_edge": 224 })),
        ("size", json!({ "height": 224, "width": 112 })),
        ("crop_size", json!({ "height": 224, "width": 112 })),
        ("image_processor_type", json!("SiglipImageProcessor")),
        ("rescale_factor", json!(0.0)),
        ("image_mean", json!("half")),
    ] {
        let mut content = plain.clone();
        content[field] = value.clone();
        let error = stated("preprocessor_config.json", &content).expect_err(field);
        let text = error.to_string();
        let named = value.as_str().filter(|_| field == "image_processor_type").unwrap_or(field);
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(text.contains("preprocessor_config.json") && text.contains(named), "{field}: {text}");
    }
    for (field, value) in
        [("resize_mode", json!("crop")), ("interpolation", json!("lanczos")), ("mode", json!("L")), ("std", json!("x"))]
    {
        let error = stated("open_clip_config.json", &json!({ "preprocess_cfg": { field: value } })).expect_err(field);
        assert!(error.to_string().contains(field), "{error}");
    }
    let filled = json!({ "preprocess_cfg": { "resize_mode": "longest", "fill_color": 300 } });
    assert!(stated("open_clip_config.json", &filled).unwrap_err().to_string().contains("fill_color"));
    // Without a `size` transformers resizes to 224, whatever it crops.
    let edge = stated("preprocessor_config.json", &json!({ "crop_size": 64 })).unwrap().resize.edge;
    assert_eq!(edge, Some(224));
    // One number stands for all channels, as in both libraries.
    let one = stated("open_clip_config.json", &json!({ "preprocess_cfg": { "mean": 0.5, "std": 0.25 } })).unwrap();
    assert_eq!((one.mean, one.std), (vec![0.5; 3], vec![0.25; 3]));
}

const TEXT: ClipTextConfig = ClipTextConfig {
    context: 12,
    vocabulary: 20,
    width: 64,
    layers: 1,
    heads: 1,
    activation: Activation::Gelu,
    embedding: 8,
};

/// A checkpoint of zeros: its names and sizes are what is looked at.
fn open(hints: &CheckpointHints, text: bool, layout: Layout) -> Result<Checkpoint<Cursor<Vec<u8>>>> {
    let image = EncoderConfig {
        side: 56,
        patch: 8,
        width: 64,
        layers: 1,
        heads: 1,
        pool: TokenPool::Class,
        embedding: 8,
        ..EncoderConfig::vit_b_16()
    };
    let mut tensors = image.tensors();
    if text {
        tensors.extend(TEXT.tensors());
    }
    if layout == Layout::OpenAi {
        tensors = open_clip_names(tensors);
    }
    let mut writer = TensorWriter::new(Vec::new(), tensors.clone(), &BTreeMap::new(), Precision::F32).unwrap();
    for (_, shape) in &tensors {
        writer.push(&Values { shape: shape.clone(), data: vec![0.0; shape.iter().product()] }).unwrap();
    }
    Checkpoint::open(vec![("model".into(), Cursor::new(writer.finish().unwrap()))], hints)
}

/// An image tower's tensors as open_clip names and shapes them.
fn open_clip_names(tensors: Vec<(String, Vec<usize>)>) -> Vec<(String, Vec<usize>)> {
    let renamed = tensors.into_iter().filter_map(|(name, mut shape)| {
        if name.contains("k_proj") || name.contains("v_proj") {
            return None;
        }
        if name.contains("q_proj") {
            shape[0] *= 3;
        }
        if name == "visual_projection.weight" {
            shape.reverse();
            return Some(("visual.proj".into(), shape));
        }
        let name = [
            ("vision_model.", "visual."),
            ("encoder.layers", "transformer.resblocks"),
            ("self_attn.q_proj.", "attn.in_proj_"),
            ("self_attn.", "attn."),
            ("layer_norm", "ln_"),
            ("mlp.fc1", "mlp.c_fc"),
            ("mlp.fc2", "mlp.c_proj"),
            ("embeddings.class_embedding", "class_embedding"),
            ("embeddings.patch_embedding", "conv1"),
            ("embeddings.position_embedding.weight", "positional_embedding"),
            ("pre_layrnorm", "ln_pre"),
            ("post_layernorm", "ln_post"),
        ]
        .into_iter()
        .fold(name, |name, (ours, theirs)| name.replace(ours, theirs));
        Some((name, shape))
    });
    renamed.collect()
}

fn hints(files: &[(&str, Value)]) -> Result<CheckpointHints> {
    let mut hints = CheckpointHints::with_activation(Activation::Gelu);
    files.iter().try_for_each(|(file, content)| hints.add_json(file, content.to_string().as_bytes()))?;
    Ok(hints)
}

#[test]
fn options_of_open_clip_that_are_not_plain_are_refused_by_name() {
    let refused = |part: &str, name: &str, value: Value| {
        let mut model = json!({ "vision_cfg": {}, "text_cfg": {} });
        match part {
            "model_cfg" => model[name] = value,
            part => model[part][name] = value,
        }
        let file = [("open_clip_config.json", json!({ "model_cfg": model }))];
        let error = hints(&file).and_then(|hints| open(&hints, true, Layout::HuggingFace).map(drop)).err();
        error.map(|error| error.to_string())
    };
    for (part, name, value) in [
        ("vision_cfg", "pool_type", json!("avg")),
        ("vision_cfg", "norm_kwargs", json!({ "eps": 1e-6 })),
        ("vision_cfg", "act_kwargs", json!({ "approximate": "tanh" })),
        ("vision_cfg", "attentional_pool", json!(true)),
        ("vision_cfg", "no_ln_pre", json!(true)),
        ("vision_cfg", "qk_norm", json!(true)),
        ("vision_cfg", "ls_init_value", json!(0.1)),
        ("vision_cfg", "timm_model_name", json!("vit_base")),
        ("vision_cfg", "an_option_to_come", json!(3)),
        ("text_cfg", "pool_type", json!("last")),
        ("text_cfg", "pool_type", json!("first")),
        ("text_cfg", "no_causal_mask", json!(true)),
        ("text_cfg", "embed_cls", json!(true)),
        ("text_cfg", "proj_type", json!("mlp")),
        ("text_cfg", "norm_kwargs", json!({ "eps": 1e-6 })),
        ("text_cfg", "hf_tokenizer_name", json!("t5-base")),
        ("model_cfg", "multimodal_cfg", json!({ "width": 8 })),
    ] {
        let text = refused(part, name, value).unwrap_or_else(|| panic!("{part}.{name} is passed over"));
        assert!(text.contains("open_clip_config.json") && text.contains(&format!("`{part}.{name}`")), "{text}");
    }
    for (part, name, value) in [
        ("vision_cfg", "pool_type", json!("tok")),
        ("vision_cfg", "norm_kwargs", json!({ "eps": 1e-5 })),
        ("vision_cfg", "act_kwargs", json!(null)),
        ("vision_cfg", "patch_dropout", json!(0.5)),
        ("vision_cfg", "final_ln_after_pool", json!(true)),
        ("vision_cfg", "qk_norm", json!(false)),
        ("text_cfg", "pool_type", json!("argmax")),
        ("model_cfg", "quick_gelu", json!(true)),
    ] {
        assert_eq!(refused(part, name, value), None, "{part}.{name}");
    }
    // A text tower's options are nothing to a checkpoint without one.
    let file = json!({ "model_cfg": { "vision_cfg": {}, "text_cfg": { "pool_type": "last" } } });
    open(&hints(&[("open_clip_config.json", file)]).unwrap(), false, Layout::OpenAi).unwrap();
}

#[test]
fn sizes_that_contradict_the_tensors_are_refused_by_name() {
    let refused = |file: &str, content: Value| {
        let opened = hints(&[(file, content)]).and_then(|hints| open(&hints, true, Layout::HuggingFace));
        opened.err().map(|error| error.to_string())
    };
    for (file, content, named) in [
        ("open_clip_config.json", json!({ "model_cfg": { "vision_cfg": { "image_size": 60 } } }), "`image_size` 60"),
        ("open_clip_config.json", json!({ "model_cfg": { "vision_cfg": { "image_size": [112, 28] } } }), "[112,28]"),
        ("open_clip_config.json", json!({ "model_cfg": { "vision_cfg": { "layers": 2 } } }), "vision_cfg.layers"),
        ("ViT-X.json", json!({ "embed_dim": 16, "vision_cfg": {}, "text_cfg": {} }), "embed_dim"),
        ("config.json", json!({ "vision_config": { "image_size": 224 } }), "`image_size` 224"),
        ("config.json", json!({ "vision_config": { "num_hidden_layers": 2 } }), "num_hidden_layers"),
        ("config.json", json!({ "vision_config": {}, "text_config": { "eos_token_id": 7 } }), "eos_token_id"),
        ("preprocessor_config.json", json!({ "crop_size": 64, "size": 64 }), "`crop_size` 64"),
        ("preprocessor_config.json", json!({ "crop_size": { "height": 96, "width": 96 } }), "`crop_size` 96"),
        ("processor_config.json", json!({ "image_processor": { "crop_size": 96 } }), "`crop_size` 96"),
    ] {
        let text = refused(file, content).unwrap_or_else(|| panic!("{file}: {named} is passed over"));
        assert!(text.contains(file) && text.contains(named), "{text}");
    }
    let agrees = json!({ "model_cfg": { "embed_dim": 8, "vision_cfg": { "image_size": [56, 56], "layers": 1 } } });
    assert_eq!(refused("open_clip_config.json", agrees), None);
    let agrees = json!({ "vision_config": { "image_size": 56 }, "text_config": { "eos_token_id": 19 } });
    assert_eq!(refused("config.json", agrees), None);
    assert_eq!(refused("preprocessor_config.json", json!({ "crop_size": 56, "size": { "shortest_edge": 70 } })), None);
}

#[test]
fn a_layout_follows_its_own_library() {
    let both = [
        ("config.json", json!({ "vision_config": { "image_size": 56 } })),
        ("processor_config.json", json!({ "image_processor": { "image_mean": [0.5, 0.5, 0.5], "resample": 2 } })),
        // transformers reads its newer file first.
        ("preprocessor_config.json", json!({ "image_mean": [0.1, 0.1, 0.1] })),
        ("open_clip_config.json", json!({ "preprocess_cfg": { "mean": [0.25, 0.25, 0.25], "resize_mode": "squash" } })),
    ];
    let of = |layout| open(&hints(&both).unwrap(), false, layout).unwrap().preprocess().clone();
    let (transformers, open_clip) = (of(Layout::HuggingFace), of(Layout::OpenAi));
    assert_eq!(transformers.mean, vec![0.5; 3]);
    let bilinear = ResizeConfig { interpolation: Interpolation::Bilinear, ..ResizeConfig::default() };
    assert_eq!(transformers.resize, ResizeConfig { crop: CropRounding::Down, ..bilinear });
    assert_eq!((open_clip.mean, open_clip.resize.mode), (vec![0.25; 3], ResizeMode::Squash));

    // Without a file each crops as its library does; a file that is named goes before both.
    let none = |layout| open(&hints(&[]).unwrap(), false, layout).unwrap().preprocess().resize.crop;
    assert_eq!([none(Layout::HuggingFace), none(Layout::OpenAi)], [CropRounding::Down, CropRounding::HalfToEven]);
    let mut named = hints(&both).unwrap();
    named.prefer_json("mine.json", json!({ "preprocess_cfg": { "mean": 0.75 } }).to_string().as_bytes()).unwrap();
    assert_eq!(open(&named, false, Layout::HuggingFace).unwrap().preprocess().mean, vec![0.75; 3]);

    // The old `vision_config_dict` replaces `vision_config` whole, its defaults included.
    let mut old = CheckpointHints::default();
    let content = json!({ "vision_config": { "hidden_act": "gelu" }, "vision_config_dict": { "image_size": 56 } });
    old.add_json("config.json", content.to_string().as_bytes()).unwrap();
    assert_eq!(old.stated(Layout::HuggingFace).activation, Some(Activation::QuickGelu));
    // An editor's byte-order mark.
    old.add_json("config.json", "\u{feff}{}".as_bytes()).unwrap();
}
