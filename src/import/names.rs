//! What the layouts of CLIP checkpoints call each tensor.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, ErrorKind, Result};

/// The naming of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `CLIPModel` of transformers: our own names.
    HuggingFace,
    /// OpenAI's and open_clip's; TinyCLIP's without its prefixes.
    OpenAi,
}

/// Which part of a stored tensor is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// All of it.
    Whole,
    /// All of it, rows and columns exchanged.
    Transposed,
    /// Of three equal groups of rows (queries, keys, values), this one.
    Third(usize),
}

/// Prefixes of parts: data-parallel training, TinyCLIP's three parts, open_clip's separate text tower.
const WRAPPERS: [&str; 5] = ["module.", "_image_encoder.", "_text_encoder.", "_logit_scale.", "text."];

/// Tensors without weights: masks and indices kept as buffers, sizes kept as scalars, and the logit scale, in whose
/// place CLIPER has a fixed temperature.
const DROPPED: [&str; 7] =
    ["position_ids", "attn_mask", "logit_scale", "input_resolution", "context_length", "vocab_size", "n_averaged"];

/// Parts that wrappers put anywhere into a name: torch.compile, sharded training, checkpointed activations.
const INSERTED: [&str; 4] = ["_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_forward_module."];

/// How the name of an image tower's first tensor ends; what stands before it stands before all of the model's.
const ANCHORS: [&str; 3] =
    ["vision_model.embeddings.patch_embedding.weight", "visual.conv1.weight", "embeddings.patch_embedding.weight"];

/// What the names of the model's own tensors begin with, in each layout.
const TOWERS: [&str; 13] = [
    "vision_model.",
    "text_model.",
    "visual_projection.",
    "text_projection",
    "visual.",
    "transformer.",
    "token_embedding.",
    "positional_embedding",
    "ln_final.",
    "embeddings.",
    "encoder.",
    "pre_layrnorm.",
    "post_layernorm.",
];

/// Names without wrappers, by the names in the files.
#[derive(Debug)]
pub(super) struct Unwrapped {
    prefix: String,
}

impl Unwrapped {
    /// Finds what stands before every name of the model, as `model.` of Lightning does.
    pub(super) fn find<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self> {
        let bare: BTreeSet<String> = names.map(bare).collect();
        if let Some(name) = bare.iter().find(|name| is_low_rank(name)) {
            return Err(invalid(format!(
                "`{name}` is of a LoRA that was not merged into the model; merge it where it was trained: model = \
                 peft_model.merge_and_unload(), then model.save_pretrained('merged'), and give that"
            )));
        }
        let mut prefixes: BTreeMap<&str, &str> = BTreeMap::new();
        for name in &bare {
            let before = ANCHORS.iter().find_map(|anchor| name.strip_suffix(anchor));
            if let Some(prefix) = before.filter(|prefix| prefix.is_empty() || prefix.ends_with('.')) {
                prefixes.entry(prefix).or_insert(name);
            }
        }
        match prefixes.into_iter().collect::<Vec<_>>().as_slice() {
            [] => Ok(Self { prefix: String::new() }),
            [(prefix, _)] => Ok(Self { prefix: (*prefix).to_owned() }),
            several => {
                let names: Vec<String> = several.iter().map(|(_, name)| format!("`{name}`")).collect();
                Err(invalid(format!(
                    "the checkpoint holds {} image towers: {}; keep the one that you want: w = {{k: v for k, v in \
                     w.items() if k.startswith('{}')}}",
                    several.len(),
                    names.join(", "),
                    several[several.len() - 1].0
                )))
            }
        }
    }

    /// The name under which a layout is looked for; none for a tensor that is not needed.
    pub(super) fn name(&self, full: &str) -> Option<String> {
        let bare = bare(full);
        let name = match bare.strip_prefix(&self.prefix) {
            Some(inner) if !self.prefix.is_empty() => self::bare(inner),
            _ => bare,
        };
        let last = name.rsplit('.').next().unwrap_or(&name);
        (!DROPPED.contains(&last)).then_some(name)
    }

    /// What stands before all names; empty where nothing does.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }
}

/// The name without what known wrappers put before it or into it.
fn bare(name: &str) -> String {
    let name = INSERTED.iter().fold(name.to_owned(), |name, part| name.replace(part, ""));
    let mut rest = name.as_str();
    while let Some(inner) = WRAPPERS.iter().find_map(|wrapper| rest.strip_prefix(wrapper)) {
        rest = inner;
    }
    rest.to_owned()
}

/// Whether a name is of peft's layers, whose sum is not in the weight itself.
fn is_low_rank(name: &str) -> bool {
    name.split('.').any(|part| part.starts_with("lora_") || part == "base_layer" || part.starts_with("ia3_"))
}

/// Whether a tensor that no tower needs lies beside the model, as a classifier's head does, rather than in it.
pub(super) fn is_beside(name: &str) -> bool {
    !TOWERS.iter().any(|tower| name.starts_with(tower))
}

fn invalid(why: String) -> Error {
    Error::new(ErrorKind::InvalidWeights, why)
}

/// Refuses by name what is another architecture, and tells the layout of what is left.
pub(super) fn recognise(names: &BTreeSet<&str>) -> Result<Layout> {
    let refuse = |name: &str, what: &str| {
        Err(Error::new(
            ErrorKind::InvalidWeights,
            format!(
                "`{name}` belongs to {what}, which this cliper can't run; give a CLIP checkpoint whose image tower is \
                 the plain vision transformer (ViT-B/32, ViT-B/16, ViT-L/14, TinyCLIP)"
            ),
        ))
    };
    for &name in names {
        let starts = |starts: &[&str]| starts.iter().any(|&start| name.starts_with(start));
        if starts(&["visual.trunk."]) {
            return refuse(name, "an image tower of timm");
        }
        if starts(&["image_encoder.model."]) {
            return refuse(name, "MobileCLIP's convolutional image tower");
        }
        if starts(&["visual.layer1.", "visual.attnpool.", "visual.bn1."]) {
            return refuse(name, "a ResNet image tower");
        }
        if name == "logit_bias" || name == "vision_model.embeddings.patch_embedding.bias" {
            return refuse(name, "SigLIP");
        }
        if starts(&["text_decoder.", "visual.attn_pool"]) {
            return refuse(name, "CoCa");
        }
    }
    let has = |name: &str| names.contains(name);
    if has("visual.conv1.weight") {
        Ok(Layout::OpenAi)
    } else if has("vision_model.embeddings.patch_embedding.weight") || has("embeddings.patch_embedding.weight") {
        Ok(Layout::HuggingFace)
    } else {
        let example = names.first().copied().unwrap_or("nothing");
        Err(Error::new(
            ErrorKind::InvalidWeights,
            format!(
                "the checkpoint has no image tower of CLIP: neither `vision_model.embeddings.patch_embedding.weight` \
                 (Hugging Face) nor `visual.conv1.weight` (OpenAI, open_clip, TinyCLIP) is in it, but `{example}` is"
            ),
        ))
    }
}

/// Gives names of towers saved alone their tower's prefix back.
pub(super) fn with_tower(layout: Layout, name: &str, names: &BTreeSet<&str>) -> String {
    const PARTS: [&str; 5] = ["embeddings.", "encoder.", "pre_layrnorm.", "post_layernorm.", "final_layer_norm."];
    if layout == Layout::HuggingFace && PARTS.iter().any(|part| name.starts_with(part)) {
        let tower = if names.contains("embeddings.patch_embedding.weight") { "vision_model" } else { "text_model" };
        return format!("{tower}.{name}");
    }
    name.into()
}

/// Where a layout keeps one of our tensors.
pub(super) fn source(layout: Layout, ours: &str) -> (String, Cut) {
    if layout == Layout::HuggingFace {
        return (ours.into(), Cut::Whole);
    }
    match ours {
        "visual_projection.weight" => return ("visual.proj".into(), Cut::Transposed),
        "text_projection.weight" => return ("text_projection".into(), Cut::Transposed),
        _ => {}
    }
    let (tower, rest) = match ours.strip_prefix("vision_model.") {
        Some(rest) => ("visual.", rest),
        None => ("", ours.strip_prefix("text_model.").unwrap_or(ours)),
    };
    let (name, cut) = match rest.strip_prefix("encoder.layers.").and_then(|rest| rest.split_once('.')) {
        Some((layer, part)) => {
            let (part, cut) = block_source(part);
            (format!("transformer.resblocks.{layer}.{part}"), cut)
        }
        None => {
            let name = match rest {
                "embeddings.class_embedding" => "class_embedding".into(),
                "embeddings.patch_embedding.weight" => "conv1.weight".into(),
                "embeddings.position_embedding.weight" => "positional_embedding".into(),
                "embeddings.token_embedding.weight" => "token_embedding.weight".into(),
                _ => rest
                    .replace("pre_layrnorm", "ln_pre")
                    .replace("post_layernorm", "ln_post")
                    .replace("final_layer_norm", "ln_final"),
            };
            (name, Cut::Whole)
        }
    };
    (format!("{tower}{name}"), cut)
}

/// The same within a block.
fn block_source(part: &str) -> (String, Cut) {
    for (index, product) in ["q_proj", "k_proj", "v_proj"].into_iter().enumerate() {
        if let Some(kind) = part.strip_prefix("self_attn.").and_then(|part| part.strip_prefix(product)) {
            return (format!("attn.in_proj_{}", kind.trim_start_matches('.')), Cut::Third(index));
        }
    }
    let part = part
        .replace("self_attn.", "attn.")
        .replace("layer_norm", "ln_")
        .replace("mlp.fc1", "mlp.c_fc")
        .replace("mlp.fc2", "mlp.c_proj");
    (part, Cut::Whole)
}
