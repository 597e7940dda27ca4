//! What tensors don't tell and a `config.json` beside them may: activation, heads, preprocessing.

use serde_json::Value;

use crate::config::{Activation, LAYER_NORM_EPSILON, PreprocessConfig};
use crate::error::{Error, ErrorKind, Result};

/// Facts about a checkpoint from outside its tensors; what is not stated is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CheckpointHints {
    /// Of the image tower's MLPs.
    pub activation: Option<Activation>,
    /// Of the text tower's.
    pub text_activation: Option<Activation>,
    /// The image tower's attention heads.
    pub heads: Option<usize>,
    /// The text tower's.
    pub text_heads: Option<usize>,
    /// What happens to pixels.
    pub preprocess: Option<PreprocessConfig>,
}

impl CheckpointHints {
    /// One activation for both towers.
    pub fn with_activation(activation: Activation) -> Self {
        Self { activation: Some(activation), text_activation: Some(activation), ..Self::default() }
    }

    /// Adds what a JSON file says that was not stated before: transformers' `config.json` of CLIP, its
    /// `preprocessor_config.json`, or open_clip's `open_clip_config.json`.
    ///
    /// In transformers' file a missing `hidden_act` states nothing. open_clip's defines a missing `quick_gelu` as
    /// false, which is the exact GELU.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] for what is no JSON and for facts of another architecture.
    pub fn add_json(&mut self, file: &str, text: &[u8]) -> Result<()> {
        let json: Value = serde_json::from_slice(text)
            .map_err(|error| Error::with_source(ErrorKind::InvalidConfig, format!("{file} is no JSON"), error))?;
        if let Some(model) = json["model_type"].as_str().filter(|model| !model.starts_with("clip")) {
            return Err(invalid(format!("{file} describes a model of type `{model}`; one of `clip` was expected")));
        }
        let mut found = Self::default();
        let number = |value: &Value| value.as_u64().map(|number| number as usize);
        if let Some(model) = json.get("model_cfg") {
            let (vision, text) = (&model["vision_cfg"], &model["text_cfg"]);
            let quick = model["quick_gelu"].as_bool().unwrap_or(false);
            found.activation = Some(if quick { Activation::QuickGelu } else { Activation::Gelu });
            found.text_activation = found.activation;
            let head_width = number(&vision["head_width"]).unwrap_or(64);
            found.heads = number(&vision["width"]).filter(|_| head_width > 0).map(|width| width / head_width);
            found.text_heads = number(&text["heads"]);
        } else {
            // A vision model saved alone keeps its sizes at the top.
            let vision = json.get("vision_config").unwrap_or(&json);
            let text = json.get("text_config").unwrap_or(&Value::Null);
            for tower in [vision, text] {
                let epsilon = tower["layer_norm_eps"].as_f64().unwrap_or(f64::from(LAYER_NORM_EPSILON));
                if (epsilon - 1e-5).abs() > 1e-8 {
                    return Err(invalid(format!("{file} has `layer_norm_eps` {epsilon}; CLIP's is 1e-5")));
                }
            }
            found.activation = activation(file, &vision["hidden_act"])?;
            found.text_activation = activation(file, &text["hidden_act"])?;
            found.heads = number(&vision["num_attention_heads"]);
            found.text_heads = number(&text["num_attention_heads"]);
        }
        let preprocess = json.get("preprocess_cfg").unwrap_or(&json);
        let list = |names: [&str; 2]| -> Option<Vec<f32>> {
            let list = names.iter().find_map(|name| preprocess[*name].as_array())?;
            list.iter().map(|value| value.as_f64().map(|value| value as f32)).collect()
        };
        if let (Some(mean), Some(std)) = (list(["mean", "image_mean"]), list(["std", "image_std"])) {
            found.preprocess = Some(PreprocessConfig { mean, std });
        }
        self.activation = self.activation.or(found.activation);
        self.text_activation = self.text_activation.or(found.text_activation);
        self.heads = self.heads.or(found.heads);
        self.text_heads = self.text_heads.or(found.text_heads);
        self.preprocess = self.preprocess.take().or(found.preprocess);
        Ok(())
    }
}

fn activation(file: &str, value: &Value) -> Result<Option<Activation>> {
    match value.as_str() {
        None => Ok(None),
        Some("quick_gelu") => Ok(Some(Activation::QuickGelu)),
        Some("gelu") => Ok(Some(Activation::Gelu)),
        Some(other) => Err(invalid(format!("{file} has the activation `{other}`; `quick_gelu` and `gelu` can be run"))),
    }
}

fn invalid(why: String) -> Error {
    Error::new(ErrorKind::InvalidConfig, why)
}
