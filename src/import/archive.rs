//! PyTorch's own files (`torch.save`): the state dict in their pickle and where each tensor's values lie.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Read, Seek, SeekFrom};

use safetensors::tensor::Dtype;
use zip::{CompressionMethod, ZipArchive};

use super::located::{Located, invalid};
use super::pickle::{self, Object, Pickle, Tensor};
use crate::error::{Error, ErrorKind, Result};

/// How a zip file begins.
pub(super) const ZIP: &[u8] = b"PK\x03\x04";
/// How a pickle begins, before the number of its protocol: what torch wrote before 1.6, or something else of Python's.
pub(super) const PICKLE: u8 = 0x80;
/// The number that torch's old files begin with: 0x1950a86a20f9469cfc6c.
const MAGIC: &[u8] = b"l\xfc\x9cF\xf9 j\xa8P\x19";
/// Entries of a training run's file that hold the model, where others lie beside them.
const STATE_DICTS: [&str; 4] = ["state_dict", "model_state_dict", "model", "module"];
/// How deep in a training run's file a state dict is looked for.
const DEEPEST: usize = 3;

/// The tensors of a file, and what of it was taken or left out.
pub(super) type Listed = (Vec<(String, Located)>, Option<String>);
/// Largest pickle of a zip file: names and shapes alone.
const LARGEST_PICKLE: u64 = 1 << 28;

/// The tensors of a zip file.
pub(super) fn read_zip<R: Read + Seek>(file: &str, reader: &mut R) -> Result<Listed> {
    let cut_off = |error| {
        Error::with_source(
            ErrorKind::InvalidWeights,
            format!("`{file}` is a PyTorch archive whose directory can't be read: it was cut off; fetch it again"),
            error,
        )
    };
    let length = reader.seek(SeekFrom::End(0)).map_err(|error| cut_off(error.into()))?;
    let mut archive = ZipArchive::new(&mut *reader).map_err(cut_off)?;
    let names: Vec<String> = archive.file_names().map(str::to_owned).collect();
    if names.iter().any(|name| name.contains("/code/")) {
        let load = format!("torch.jit.load('{file}', map_location='cpu').state_dict()");
        return Err(invalid(format!("`{file}` is a TorchScript archive, a program; {}", convert(&load))));
    }
    let pickle = names.iter().find(|name| *name == "data.pkl" || name.ends_with("/data.pkl")).ok_or_else(|| {
        let example = names.first().map_or("nothing", String::as_str);
        invalid(format!(
            "`{file}` is a zip file of something else: `data.pkl` of a PyTorch archive was expected in it, and \
             `{example}` is; give the checkpoint itself"
        ))
    })?;
    let folder = pickle.trim_end_matches("data.pkl").to_owned();
    let mut places = BTreeMap::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(cut_off)?;
        let Some(key) = entry.name().strip_prefix(&format!("{folder}data/")).map(str::to_owned) else { continue };
        if entry.compression() != CompressionMethod::Stored {
            return Err(invalid(format!(
                "`{}` in `{file}` is compressed, which torch.save never does; {}",
                entry.name(),
                convert(&load(file))
            )));
        }
        // The directory may promise more than the file has.
        let start = entry.data_start();
        places.insert(key, (start, entry.size().min(length.saturating_sub(start))));
    }
    if let Ok(mut order) = archive.by_name(&format!("{folder}byteorder")) {
        let mut text = String::new();
        if order.read_to_string(&mut text).is_ok() && text.trim() == "big" {
            return Err(invalid(format!("`{file}` was written on a big-endian machine; {}", convert(&load(file)))));
        }
    }
    let entry = archive.by_name(pickle).map_err(cut_off)?;
    let pickle = pickle::read(&mut BufReader::new(entry.take(LARGEST_PICKLE))).map_err(|why| broken(file, &why))?;
    locate(file, &pickle, &places)
}

/// The tensors of a file that torch wrote before 1.6: four pickles, the storages' keys, then the storages.
pub(super) fn read_pickle<R: Read + Seek>(file: &str, reader: &mut R) -> Result<Listed> {
    let why = |why: String| broken(file, &why);
    let lost = |error: std::io::Error| broken(file, &format!("it was cut off among its values ({error})"));
    let mut input = BufReader::new(&mut *reader);
    let magic = pickle::read(&mut input).map(|pickle| pickle.get(pickle.root).clone());
    if !matches!(magic, Ok(Object::Long(bytes)) if bytes == MAGIC) {
        return Err(invalid(format!("`{file}` is a pickle of something else than torch's; {}", convert(&load(file)))));
    }
    for _ in ["protocol", "system"] {
        pickle::read(&mut input).map_err(why)?;
    }
    let pickle = pickle::read(&mut input).map_err(why)?;
    let keys = pickle::read(&mut input).map_err(why)?;
    let mut places = BTreeMap::new();
    let mut at = input.stream_position().map_err(lost)?;
    let end = input.seek(SeekFrom::End(0)).map_err(lost)?;
    for key in keys.texts(keys.root) {
        let mut count = [0; 8];
        input.seek(SeekFrom::Start(at)).and_then(|_| input.read_exact(&mut count)).map_err(lost)?;
        let size = pickle.storages.get(key).map_or(0, |storage| width(storage.dtype));
        let bytes = u64::from_le_bytes(count).saturating_mul(size);
        at += 8;
        places.insert(key.to_owned(), (at, bytes.min(end.saturating_sub(at))));
        at = at.saturating_add(bytes);
    }
    locate(file, &pickle, &places)
}

/// Every tensor of the state dict with the place of its values; `places` are each storage's start and bytes.
fn locate(file: &str, pickle: &Pickle, places: &BTreeMap<String, (u64, u64)>) -> Result<Listed> {
    let (dict, note) = state_dict(file, pickle)?;
    let tensors = pickle.tensors(dict);
    if tensors.is_empty() {
        return Err(invalid(match pickle.get(dict) {
            Object::Instance(class) => format!(
                "`{file}` holds an object of the class `{class}`, which only its own code can read; a state dict was \
                 expected: load it in Python, where you trust the file, and torch.save(model.state_dict(), 'model.pt')"
            ),
            _ => format!("`{file}` holds no tensors by name; a state dict was expected: give the model's own file"),
        }));
    }
    let mut located = Vec::new();
    for (name, tensor) in tensors {
        let Tensor { storage, offset, shape, strides } = tensor;
        let missing = || invalid(format!("`{name}` lies in the part `{}` that `{file}` lacks", storage.key));
        let (start, bytes) = *places.get(&storage.key).ok_or_else(missing)?;
        let size = width(storage.dtype);
        let impossible = || invalid(format!("`{name}` in `{file}` has the impossible shape {shape:?}"));
        let count = shape.iter().try_fold(1u64, |count, &length| count.checked_mul(length as u64));
        let values = count.and_then(|count| count.checked_mul(size)).ok_or_else(impossible)?;
        let span = span(shape, strides).and_then(|span| span.checked_add(*offset as u64)?.checked_mul(size));
        let wanted = span.ok_or_else(impossible)?;
        if wanted > bytes {
            return Err(invalid(format!(
                "`{name}` in `{file}` ends at byte {wanted} of its part, which has {bytes}: the file was cut off; fetch \
                 it again"
            )));
        }
        // A view with strides of 0 would be read as any number of values, of a few bytes.
        if values > bytes {
            return Err(invalid(format!(
                "`{name}` in `{file}` is a view that repeats values: {shape:?} of {bytes} bytes; {}",
                convert(&load(file))
            )));
        }
        let plain = values == 0 || contiguous(shape, strides);
        located.push((
            name.to_owned(),
            Located {
                dtype: storage.dtype,
                shape: shape.clone(),
                start: start + size * *offset as u64,
                strides: (!plain).then(|| strides.clone()),
            },
        ));
    }
    Ok((located, note))
}

/// The dict that holds the model, and what was left out for it.
fn state_dict(file: &str, pickle: &Pickle) -> Result<(usize, Option<String>)> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    collect(pickle, pickle.root, "", DEEPEST, &mut seen, &mut found);
    let count = |id: usize| pickle.tensors(id).len();
    let most = found.iter().map(|(_, id)| count(*id)).max().unwrap_or(0);
    // A few tensors beside the model, as an accuracy is, make no other model.
    found.retain(|(_, id)| 2 * count(*id) > most);
    let known = STATE_DICTS.iter().find_map(|name| found.iter().position(|(path, _)| path == name));
    let root = found.iter().position(|(path, _)| path.is_empty());
    let chosen = match (root.or(known), found.as_slice()) {
        (Some(chosen), _) => chosen,
        (None, []) => return Ok((pickle.root, None)),
        (None, [_]) => 0,
        (None, several) => {
            let names: Vec<String> =
                several.iter().map(|(path, id)| format!("`{path}` ({} tensors)", count(*id))).collect();
            return Err(invalid(format!(
                "`{file}` holds {} state dicts: {}; save the one that you want: torch.save(torch.load('{file}', \
                 map_location='cpu')['{}'], 'model.pt')",
                several.len(),
                names.join(", "),
                several[0].0.replace('.', "']['")
            )));
        }
    };
    let (path, id) = &found[chosen];
    let others: Vec<String> =
        found.iter().filter(|(other, _)| other != path).map(|(path, _)| format!("`{path}`")).collect();
    let note = match (path.as_str(), others.as_slice()) {
        ("", []) => None,
        // Where it mostly lies.
        (path, []) if STATE_DICTS.contains(&path) => None,
        (path, []) => Some(format!("the state dict `{path}` is taken")),
        (path, others) => Some(format!("the state dict `{path}` is taken, and {} left out", others.join(", "))),
    };
    Ok((*id, note))
}

/// Every dict that holds tensors, by the keys that lead to it; each once, however often it is referred to.
fn collect(
    pickle: &Pickle,
    id: usize,
    path: &str,
    deeper: usize,
    seen: &mut BTreeSet<usize>,
    found: &mut Vec<(String, usize)>,
) {
    if !seen.insert(id) {
        return;
    }
    if !pickle.tensors(id).is_empty() {
        found.push((path.to_owned(), id));
    }
    if deeper > 0 {
        for (name, inner) in pickle.dicts(id) {
            let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            collect(pickle, inner, &path, deeper - 1, seen, found);
        }
    }
}

/// Values from a tensor's first to behind its last.
fn span(shape: &[usize], strides: &[usize]) -> Option<u64> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape
        .iter()
        .zip(strides)
        .try_fold(1u64, |span, (&length, &stride)| span.checked_add((length as u64 - 1).checked_mul(stride as u64)?))
}

fn contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut wanted = 1;
    shape.iter().zip(strides).rev().all(|(&length, &stride)| {
        let fits = length == 1 || stride == wanted;
        wanted = length.saturating_mul(wanted);
        fits
    })
}

fn width(dtype: Dtype) -> u64 {
    dtype.bitsize() as u64 / 8
}

fn load(file: &str) -> String {
    format!("torch.load('{file}', map_location='cpu', weights_only=True); w = w.get('state_dict', w)")
}

/// The way to a file that can be read.
fn convert(load: &str) -> String {
    format!(
        "convert it: python -c \"import torch; from safetensors.torch import save_file; w = {load}; \
         save_file({{k: v.clone().contiguous() for k, v in w.items() if hasattr(v, 'shape')}}, 'model.safetensors')\""
    )
}

fn broken(file: &str, why: &str) -> Error {
    invalid(format!(
        "`{file}` can't be read as a PyTorch checkpoint: {why}; fetch it again, or {}",
        convert(&load(file))
    ))
}
