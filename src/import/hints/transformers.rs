//! transformers' files: `config.json` of CLIP, and its image processor in `processor_config.json` or
//! `preprocessor_config.json`.

use serde_json::Value;

use super::{Claim, Facts, Size, invalid, narrowed, number, side, statistics};
use crate::config::{
    Activation, CropRounding, Interpolation, LAYER_NORM_EPSILON, PreprocessConfig, ResizeConfig, ResizeMode,
};
use crate::error::Result;

/// Ends of a text that are its largest token: CLIP's own, and the wrong one that old files state, which transformers
/// reads so.
const END_TOKENS: [usize; 2] = [49_407, 2];

/// The resize's edge where no `size` is stated.
const DEFAULT_EDGE: usize = 224;

/// Keys that tell an image processor from a model's configuration.
const PROCESSOR_KEYS: [&str; 10] = [
    "image_processor_type",
    "feature_extractor_type",
    "image_mean",
    "image_std",
    "do_resize",
    "do_center_crop",
    "do_rescale",
    "do_normalize",
    "crop_size",
    "resample",
];

pub(super) fn facts(file: &str, json: &Value) -> Result<Facts> {
    if let Some(model) = json["model_type"].as_str().filter(|model| !model.starts_with("clip")) {
        return Err(invalid(format!("{file} describes a model of type `{model}`; one of `clip` was expected")));
    }
    let mut facts = Facts::default();
    let nested = json.get("image_processor").filter(|processor| processor.is_object());
    if let Some(processor) = nested.or_else(|| PROCESSOR_KEYS.iter().any(|key| json.get(key).is_some()).then_some(json))
    {
        let (preprocess, square) = processor_facts(file, processor)?;
        (facts.preprocess, facts.square) = (Some(preprocess), square);
        return Ok(facts);
    }
    // A tower saved alone keeps its sizes at the top.
    let alone = |tower: &str| json["model_type"].as_str() == Some(&format!("clip_{tower}_model"));
    let vision = Tower::of(json, "vision").unwrap_or(Tower(if alone("text") { vec![] } else { vec![json] }, false));
    let text = Tower::of(json, "text").unwrap_or(Tower(if alone("text") { vec![json] } else { vec![] }, false));
    for tower in [&vision, &text] {
        let epsilon = tower.get("layer_norm_eps").as_f64().unwrap_or(f64::from(LAYER_NORM_EPSILON));
        if (epsilon - 1e-5).abs() > 1e-8 {
            return Err(invalid(format!("{file} has `layer_norm_eps` {epsilon}; 1e-5, CLIP's own, can be run")));
        }
    }
    facts.activation = activation(file, &vision)?;
    facts.text_activation = activation(file, &text)?;
    facts.heads = number(vision.get("num_attention_heads"));
    facts.text_heads = number(text.get("num_attention_heads"));
    facts.claim(file, "image_size", side(file, "image_size", vision.get("image_size"))?, Size::Side);
    facts.claim(file, "patch_size", side(file, "patch_size", vision.get("patch_size"))?, Size::Patch);
    facts.claim(file, "vision_config.num_hidden_layers", number(vision.get("num_hidden_layers")), Size::Layers);
    facts.claim(file, "vision_config.hidden_size", number(vision.get("hidden_size")), Size::Width);
    facts.claim(file, "text_config.num_hidden_layers", number(text.get("num_hidden_layers")), Size::TextLayers);
    facts.claim(file, "text_config.hidden_size", number(text.get("hidden_size")), Size::TextWidth);
    let end = number(text.get("eos_token_id")).filter(|end| !END_TOKENS.contains(end));
    facts.claim(file, "text_config.eos_token_id", end, Size::EndToken);
    Ok(facts)
}

/// A tower's settings: where they are looked for, the first first, and whether what is missing has its default there.
struct Tower<'a>(Vec<&'a Value>, bool);

impl<'a> Tower<'a> {
    fn of(json: &'a Value, tower: &str) -> Option<Self> {
        // The old `vision_config_dict`, where it is there, is complete by its defaults and replaces `vision_config`.
        let places = [format!("{tower}_config_dict"), format!("{tower}_config")].map(|name| json.get(&name));
        let stated = |value: Option<&'a Value>| value.filter(|value| !value.is_null());
        match places.map(stated) {
            [Some(dict), _] => Some(Self(vec![dict], true)),
            [None, Some(config)] => Some(Self(vec![config], false)),
            [None, None] => None,
        }
    }

    fn get(&self, name: &str) -> &Value {
        self.0.iter().find_map(|place| place.get(name)).unwrap_or(&Value::Null)
    }
}

fn activation(file: &str, tower: &Tower) -> Result<Option<Activation>> {
    match tower.get("hidden_act").as_str() {
        None => Ok(tower.1.then_some(Activation::QuickGelu)),
        Some("quick_gelu") => Ok(Some(Activation::QuickGelu)),
        Some("gelu") => Ok(Some(Activation::Gelu)),
        Some(other) => Err(invalid(format!("{file} has the activation `{other}`; `quick_gelu` and `gelu` can be run"))),
    }
}

/// What `CLIPImageProcessor` does to pixels with these settings, and the side of its squares where it is stated.
fn processor_facts(file: &str, json: &Value) -> Result<(PreprocessConfig, Option<Claim>)> {
    let refuse = |field: &str, can: &str| {
        Err(invalid(format!("{file} asks for `{field}` {}, which this cliper can't do; {can}", json[field])))
    };
    let kind = ["image_processor_type", "feature_extractor_type"].iter().find_map(|key| json[*key].as_str());
    if let Some(kind) = kind.filter(|kind| !kind.starts_with("CLIP")) {
        return Err(invalid(format!(
            "{file} is of the processor `{kind}`; that of CLIP (`CLIPImageProcessor`) can be followed: save the \
             checkpoint with one that does the same"
        )));
    }
    let is = |field: &str, default: bool| json[field].as_bool().unwrap_or(default);
    if !is("do_resize", true) {
        return refuse("do_resize", "pictures of any size are resized to the model's");
    }
    for field in ["do_pad", "use_square_size"] {
        if is(field, false) {
            return refuse(field, "state `size` and `crop_size` instead");
        }
    }
    let interpolation = match &json["resample"] {
        Value::Null => Interpolation::Bicubic,
        value if value.as_u64() == Some(3) => Interpolation::Bicubic,
        value if value.as_u64() == Some(2) => Interpolation::Bilinear,
        _ => return refuse("resample", "3 (bicubic) and 2 (bilinear) can be done"),
    };
    let size = &json["size"];
    let shortest = number(size).or_else(|| number(&size["shortest_edge"]));
    if size.is_object() && size.get("longest_edge").is_some_and(|edge| !edge.is_null()) {
        return refuse("size", "`shortest_edge` alone, or `height` and `width`, can be done");
    }
    let (mode, edge) = match shortest {
        Some(edge) => (ResizeMode::Shortest, Some(edge)),
        // Beside a stated crop, the library's own default counts.
        None if size.is_null() => (ResizeMode::Shortest, json.get("crop_size").map(|_| DEFAULT_EDGE)),
        None => (ResizeMode::Squash, side(file, "size", size)?),
    };
    let crop = match (is("do_center_crop", true), mode) {
        (true, _) => side(file, "crop_size", &json["crop_size"])?,
        (false, ResizeMode::Squash) => edge,
        (false, _) => {
            return refuse("do_center_crop", "a picture that isn't square stays so then: state a square `size`");
        }
    };
    let square = crop.map(|value| Claim { file: file.into(), field: "crop_size".into(), value, of: Size::Side });
    // (value x factor - mean) / std, as (value / 255 - mean) / std.
    let factor = match (is("do_rescale", true), json["rescale_factor"].as_f64()) {
        (false, _) => 255.0,
        (true, factor) => factor.unwrap_or(1.0 / 255.0) * 255.0,
    };
    if factor <= 0.0 {
        return refuse("rescale_factor", "a number above 0 can be done");
    }
    let plain = PreprocessConfig::clip();
    let read = |field: &str, own: Vec<f32>| match &json[field] {
        Value::Null => Ok(own.into_iter().map(f64::from).collect()),
        value => statistics(value).ok_or_else(|| invalid(format!("{file} has no numbers as `{field}`"))),
    };
    let (mean, std) = match is("do_normalize", true) {
        true => (read("image_mean", plain.mean)?, read("image_std", plain.std)?),
        false => (vec![0.0; 3], vec![1.0; 3]),
    };
    let scaled = |values: Vec<f64>| narrowed(values.into_iter().map(|value| value / factor).collect());
    // The edge is left open where it is the square's: a bundle then says no more than it has to.
    let edge = edge.filter(|edge| crop.is_some_and(|crop| crop != *edge));
    let resize = ResizeConfig { mode, edge, interpolation, crop: CropRounding::Down, fill: [0; 3] };
    Ok((PreprocessConfig { mean: scaled(mean), std: scaled(std), resize }, square))
}
