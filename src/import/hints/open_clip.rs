//! open_clip's `open_clip_config.json`: a model of its own towers, and its preprocessing.

use serde_json::{Map, Value, json};

use super::{Facts, Size, invalid, narrowed, number, side, statistics};
use crate::config::{Activation, Interpolation, PreprocessConfig, ResizeConfig, ResizeMode};
use crate::error::Result;

/// Options of a model that change no embedding, or that are read here.
const MODEL: [&str; 12] = [
    "embed_dim",
    "vision_cfg",
    "text_cfg",
    "quick_gelu",
    "custom_text",
    "force_custom_text",
    "cast_dtype",
    "output_dict",
    "init_logit_scale",
    "init_logit_bias",
    "nonscalar_logit_scale",
    "tower_version",
];

/// The same of both towers.
const TOWER: [&str; 12] = [
    "layers",
    "width",
    "heads",
    "head_width",
    "patch_size",
    "image_size",
    "context_length",
    "vocab_size",
    "patch_dropout",
    "output_tokens",
    // The norm before or after taking one token is the same.
    "final_ln_after_pool",
    // Of a text's padding, behind its end, where nothing looks.
    "pad_id",
];

/// Options of a tower that only count beside another one, which is refused.
const DEPENDENT: [&str; 11] = [
    "eos_id",
    "attn_pooler_queries",
    "attn_pooler_heads",
    "timm_model_pretrained",
    "timm_pool",
    "timm_proj",
    "timm_proj_bias",
    "timm_drop",
    "hf_model_pretrained",
    "hf_proj_type",
    "hf_pooler_type",
];

pub(super) fn facts(file: &str, json: &Value) -> Result<Facts> {
    let mut facts = Facts::default();
    if let Some(model) = json.get("model_cfg").or_else(|| json.get("vision_cfg").map(|_| json)) {
        model_facts(file, model, &mut facts)?;
    }
    if let Some(preprocess) = json.get("preprocess_cfg") {
        facts.preprocess = Some(preprocess_facts(file, preprocess)?);
    }
    Ok(facts)
}

fn model_facts(file: &str, model: &Value, facts: &mut Facts) -> Result<()> {
    let (vision, text) = (&model["vision_cfg"], &model["text_cfg"]);
    if let Some(why) = refusal(file, "model_cfg", model, &MODEL, &[]) {
        return Err(invalid(why));
    }
    let plain = json!({
        "pool_type": ["tok"], "pos_embed_type": ["learnable", "sin_cos_2d"], "mlp_ratio": [4.0], "block_type": ["default"],
    });
    if let Some(why) = refusal(file, "vision_cfg", vision, &TOWER, &options(&plain)) {
        return Err(invalid(why));
    }
    let plain = json!({
        "pool_type": ["argmax", "eos"], "proj_type": ["linear"], "mlp_ratio": [4.0], "block_type": ["default"],
        "tokenizer_mode": ["clip"],
    });
    facts.text_refusal = refusal(file, "text_cfg", text, &TOWER, &options(&plain));
    let quick = model["quick_gelu"].as_bool().unwrap_or(false);
    facts.activation = Some(if quick { Activation::QuickGelu } else { Activation::Gelu });
    facts.text_activation = facts.activation;
    let head_width = number(&vision["head_width"]).unwrap_or(64);
    facts.heads = number(&vision["width"]).filter(|_| head_width > 0).map(|width| width / head_width);
    facts.text_heads = number(&text["heads"]);
    facts.claim(file, "image_size", side(file, "image_size", &vision["image_size"])?, Size::Side);
    facts.claim(file, "patch_size", side(file, "patch_size", &vision["patch_size"])?, Size::Patch);
    facts.claim(file, "embed_dim", number(&model["embed_dim"]), Size::Embedding);
    facts.claim(file, "vision_cfg.layers", number(&vision["layers"]), Size::Layers);
    facts.claim(file, "vision_cfg.width", number(&vision["width"]), Size::Width);
    facts.claim(file, "text_cfg.layers", number(&text["layers"]), Size::TextLayers);
    facts.claim(file, "text_cfg.width", number(&text["width"]), Size::TextWidth);
    facts.claim(file, "text_cfg.context_length", number(&text["context_length"]), Size::Context);
    facts.claim(file, "text_cfg.vocab_size", number(&text["vocab_size"]), Size::Vocabulary);
    if text["pool_type"] == "eos" {
        facts.claim(file, "text_cfg.eos_id", Some(number(&text["eos_id"]).unwrap_or(2)), Size::EndToken);
    }
    Ok(())
}

/// Options with the values of each that change nothing.
fn options(plain: &Value) -> Vec<(&str, &Value)> {
    plain.as_object().into_iter().flatten().map(|(name, values)| (name.as_str(), values)).collect()
}

/// Why these settings can't be followed: the first option that is neither known to change nothing nor off.
fn refusal(file: &str, part: &str, settings: &Value, known: &[&str], plain: &[(&str, &Value)]) -> Option<String> {
    let empty = Map::new();
    let settings = settings.as_object().unwrap_or(&empty);
    let is_off = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Object(inner) => inner.is_empty(),
        _ => false,
    };
    let is_plain = |name: &str, value: &Value| {
        let epsilon = || name == "norm_kwargs" && value.as_object().is_some_and(|inner| inner.len() == 1);
        known.contains(&name)
            || DEPENDENT.contains(&name)
            || is_off(value)
            || plain
                .iter()
                .any(|(other, values)| *other == name && values.as_array().is_some_and(|v| v.contains(value)))
            || epsilon() && value["eps"].as_f64().is_some_and(|epsilon| (epsilon - 1e-5).abs() < 1e-8)
    };
    let (name, value) = settings.iter().find(|(name, value)| !is_plain(name, value))?;
    let can = plain.iter().find(|(other, _)| other == name).map_or_else(
        || "this cliper runs CLIP's plain towers; give a checkpoint without it".into(),
        |(_, values)| format!("{values} can be run"),
    );
    Some(format!("{file} asks for `{part}.{name}` {value}, which changes embeddings and can't be followed: {can}"))
}

fn preprocess_facts(file: &str, json: &Value) -> Result<PreprocessConfig> {
    let refuse = |field: &str, can: &str| {
        Err(invalid(format!("{file} asks for `preprocess_cfg.{field}` {}; {can}", json[field])))
    };
    let plain = PreprocessConfig::clip();
    let read = |field: &str, own: Vec<f32>| match &json[field] {
        Value::Null => Ok(own),
        value => statistics(value).map(narrowed).ok_or_else(|| invalid(format!("{file} has no numbers as `{field}`"))),
    };
    if !matches!(&json["mode"], Value::Null) && json["mode"] != "RGB" {
        return refuse("mode", "`RGB` can be done");
    }
    let mode = match json["resize_mode"].as_str() {
        None | Some("shortest") => ResizeMode::Shortest,
        Some("longest") => ResizeMode::Longest,
        Some("squash") => ResizeMode::Squash,
        Some(_) => return refuse("resize_mode", "`shortest`, `longest` and `squash` can be done"),
    };
    let interpolation = match json["interpolation"].as_str() {
        // What is random in training is bicubic after it.
        None | Some("bicubic" | "random") => Interpolation::Bicubic,
        Some("bilinear") => Interpolation::Bilinear,
        Some(_) => return refuse("interpolation", "`bicubic` and `bilinear` can be done"),
    };
    let fill = match &json["fill_color"] {
        Value::Null => Some([0.0; 3]),
        value => statistics(value).and_then(|levels| levels.try_into().ok()),
    };
    let fill = match fill {
        // Only a border has a colour.
        _ if mode != ResizeMode::Longest => [0; 3],
        Some(levels) if levels.iter().all(|level: &f64| (0.0..=255.0).contains(level)) => {
            levels.map(|level| level as u8)
        }
        _ => return refuse("fill_color", "a grey level or three levels, 0 to 255, can be done"),
    };
    let resize = ResizeConfig { mode, interpolation, fill, ..ResizeConfig::default() };
    // Its `size` counts for nothing: open_clip takes the model's.
    Ok(PreprocessConfig { mean: read("mean", plain.mean)?, std: read("std", plain.std)?, resize })
}
