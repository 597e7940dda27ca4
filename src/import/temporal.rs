//! A temporal head's checkpoint -> its configuration and its tensors under our names.
//!
//! | DFER-CLIP (`models/Temporal_Model.py`) | ours |
//! |---|---|
//! | `cls_token` `[1, 1, W]` | `temporal.class_embedding` `[W]` |
//! | `pos_embedding` or `position_embedding` `[1, T + 1, W]` | `temporal.position_embedding.weight` `[T + 1, W]` |
//! | `temporal_transformer.layers.i.0.fn.norm.*` | `temporal.layers.i.layer_norm1.*` |
//! | `...0.fn.fn.to_qkv.weight` `[3 x heads x 64, W]` | `temporal.layers.i.self_attn.{q,k,v}_proj.weight` |
//! | `...0.fn.fn.to_out.0.*` | `temporal.layers.i.self_attn.out_proj.*` |
//! | `temporal_transformer.layers.i.1.fn.norm.*` | `temporal.layers.i.layer_norm2.*` |
//! | `...1.fn.fn.net.0.*`, `...1.fn.fn.net.3.*` | `temporal.layers.i.mlp.fc1.*`, `temporal.layers.i.mlp.fc2.*` |
//!
//! Prefixes up to `temporal_net.` are taken off, `transformer` stands for `temporal_transformer` too, and so do names
//! with fewer `fn.`. Of a whole model's checkpoint only the tensors below `temporal_net.` are read.

use std::io::{Read, Seek};

use super::located::invalid;
use super::reader::File;
use crate::config::TemporalConfig;
use crate::error::Result;
use crate::tensors::{Values, Weights};

/// Width of a head in DFER-CLIP: no shape tells it.
const HEAD_WIDTH: usize = 64;
/// Where a whole model keeps the head.
const PART: &str = "temporal_net.";

/// The tensors of a checkpoint file, safetensors or PyTorch's, that [`temporal_head`] looks at.
///
/// # Errors
/// [`ErrorKind::InvalidWeights`](crate::ErrorKind::InvalidWeights) for a file that can't be read.
pub fn read_temporal<R: Read + Seek>(name: &str, reader: R) -> Result<Weights> {
    let mut file = File::open(name.into(), reader)?;
    let listed = std::mem::take(&mut file.tensors);
    let whole = listed.iter().any(|(name, _)| name.contains(PART));
    let mut weights = Weights::default();
    for (name, located) in listed.iter().filter(|(name, _)| !whole || name.contains(PART)) {
        let data = file.read(name, located, 0, 1)?;
        weights.insert(name, Values { shape: located.shape.clone(), data })?;
    }
    Ok(weights)
}

/// The temporal head in a checkpoint: its configuration, the width of its embeddings, and its tensors.
///
/// - heads: attention heads, where they are not 64 wide
///
/// # Errors
/// [`ErrorKind::InvalidWeights`](crate::ErrorKind::InvalidWeights) naming the tensor that is missing, misshapen or no part of such a head.
pub fn temporal_head(checkpoint: &Weights, heads: Option<usize>) -> Result<(TemporalConfig, usize, Weights)> {
    let whole = checkpoint.names().any(|name| name.contains(PART));
    let mut head = Weights::default();
    for name in checkpoint.names() {
        let Some(values) = checkpoint.get(name) else { continue };
        match name.split_once(PART) {
            Some((_, rest)) => add(&mut head, name, rest, &values)?,
            None if whole => {}
            None => add(&mut head, name, name.strip_prefix("module.").unwrap_or(name), &values)?,
        }
    }
    let config = config(&head, heads)?;
    let width = shape(&head, "temporal.class_embedding")?[0];
    let expected = config.tensors(width);
    for (name, wanted) in &expected {
        head.check_shape(name, wanted)?;
    }
    let extra = head.names().find(|name| expected.iter().all(|(expected, _)| expected != name));
    match extra {
        None => Ok((config, width, head)),
        Some(name) => Err(invalid(format!("`{name}` is no tensor of a head of {} blocks", config.layers))),
    }
}

/// Sizes from shapes.
fn config(head: &Weights, heads: Option<usize>) -> Result<TemporalConfig> {
    let inner = shape(head, "temporal.layers.0.self_attn.q_proj.weight")?[0];
    let heads = heads.unwrap_or(inner / HEAD_WIDTH);
    if heads == 0 || !inner.is_multiple_of(heads) {
        return Err(invalid(format!(
            "queries of {inner} values can't be split into {heads} heads; say how many there are"
        )));
    }
    let layers = (0..).take_while(|layer| head.get(&format!("temporal.layers.{layer}.mlp.fc1.bias")).is_some()).count();
    let config = TemporalConfig {
        frames: shape(head, "temporal.position_embedding.weight")?[0].saturating_sub(1),
        layers,
        heads,
        head_width: inner / heads,
        hidden: shape(head, "temporal.layers.0.mlp.fc1.weight")?[0],
    };
    config.validate()?;
    Ok(config)
}

fn shape(head: &Weights, name: &str) -> Result<Vec<usize>> {
    let missing = || {
        invalid(format!(
            "`{name}` is missing: no temporal head with a class token, as DFER-CLIP's `Temporal_Transformer_Cls`, was found"
        ))
    };
    head.get(name).map(|values| values.shape).filter(|shape| !shape.is_empty()).ok_or_else(missing)
}

/// Adds one tensor under our name: `full` is what the file calls it, `rest` that without the model's prefixes.
fn add(head: &mut Weights, full: &str, rest: &str, values: &Values) -> Result<()> {
    let unknown = || invalid(format!("`{full}` is no tensor of a temporal head (DFER-CLIP's names, or ours)"));
    if rest.starts_with("temporal.") {
        return head.insert(rest, values.clone());
    }
    if matches!(rest, "cls_token" | "pos_embedding" | "position_embedding") {
        let shape: Vec<usize> = values.shape.iter().copied().skip_while(|&axis| axis == 1).collect();
        let name = if rest == "cls_token" { "class_embedding" } else { "position_embedding.weight" };
        return head.insert(&format!("temporal.{name}"), Values { shape, data: values.data.clone() });
    }
    let layers = ["temporal_transformer.layers.", "transformer.layers.", "layers."];
    let place = layers.iter().find_map(|start| rest.strip_prefix(start)).ok_or_else(unknown)?;
    let mut parts = place.splitn(3, '.');
    let (Some(layer), Some(half), Some(mut part)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(unknown());
    };
    while let Some(inner) = part.strip_prefix("fn.") {
        part = inner;
    }
    let block = format!("temporal.layers.{}", layer.parse::<usize>().map_err(|_| unknown())?);
    if (half, part) == ("0", "to_qkv.weight") {
        let third = values.data.len() / 3;
        let &[rows, width] = values.shape.as_slice() else { return Err(unknown()) };
        let shape = vec![rows / 3, width];
        if shape[0] * shape[1] != third || third == 0 {
            return Err(invalid(format!(
                "`{full}` has shape {:?}; three equal groups of rows were expected",
                values.shape
            )));
        }
        for (name, data) in ["q_proj", "k_proj", "v_proj"].iter().zip(values.data.chunks_exact(third)) {
            let values = Values { shape: shape.clone(), data: data.to_vec() };
            head.insert(&format!("{block}.self_attn.{name}.weight"), values)?;
        }
        return Ok(());
    }
    let ours = match (half, part) {
        ("0", "norm.weight") => "layer_norm1.weight",
        ("0", "norm.bias") => "layer_norm1.bias",
        ("0", "to_out.0.weight") => "self_attn.out_proj.weight",
        ("0", "to_out.0.bias") => "self_attn.out_proj.bias",
        ("1", "norm.weight") => "layer_norm2.weight",
        ("1", "norm.bias") => "layer_norm2.bias",
        ("1", "net.0.weight") => "mlp.fc1.weight",
        ("1", "net.0.bias") => "mlp.fc1.bias",
        ("1", "net.3.weight") => "mlp.fc2.weight",
        ("1", "net.3.bias") => "mlp.fc2.bias",
        _ => return Err(unknown()),
    };
    head.insert(&format!("{block}.{ours}"), values.clone())
}
