//! CLIP checkpoints in every common layout -> the towers' configurations and tensors under our names.
//!
//! Read are safetensors and state dicts of `torch.save` (f32, f16, bf16; one file or several) with the names of
//! transformers' `CLIPModel`, of OpenAI and open_clip, and of TinyCLIP. Sizes come from the tensors' shapes; the
//! activation, which no shape tells, must be [`CheckpointHints`].

mod archive;
mod hints;
mod located;
mod names;
mod pickle;
mod reader;
mod temporal;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};

use crate::config::{Activation, ClipTextConfig, EncoderConfig, PreprocessConfig, TokenPool};
use crate::error::{Error, ErrorKind, Result};
use crate::tensors::{Values, Weights, check_finite};
use located::{Located, invalid};
use names::{Cut, Unwrapped};
use reader::File;

pub use hints::{CheckpointHints, Facts};
pub use names::Layout;
pub use temporal::{read_temporal, temporal_head};

/// Width of an attention head in OpenAI's models and in all that follow their sizes.
const HEAD_WIDTH: usize = 64;
/// The widest tower whose heads are known to be that wide: ViT-H's have 80, ViT-g's 88, ViT-bigG's 104 values.
const WIDEST: usize = 1024;

/// An open checkpoint whose every tensor was found and has the expected shape; values are read on demand.
#[derive(Debug)]
pub struct Checkpoint<R> {
    files: Vec<File<R>>,
    layout: Layout,
    encoder: EncoderConfig,
    text: Option<ClipTextConfig>,
    preprocess: PreprocessConfig,
    places: BTreeMap<String, Place>,
    notes: Vec<String>,
}

/// Where one of our tensors lies.
#[derive(Debug)]
struct Place {
    file: usize,
    name: String,
    located: Located,
    cut: Cut,
    shape: Vec<usize>,
}

/// A tensor that a file lists: the file, its full name there, and its description.
type Listed = (usize, String, Located);

impl<R: Read + Seek> Checkpoint<R> {
    /// Opens the files of a checkpoint (name and content) and finds every tensor in them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidWeights`] naming the tensor that is missing, too much or misshapen, the architecture that
    /// is another, or the conversion that the file needs; [`ErrorKind::InvalidConfig`] where the activation or the
    /// heads must be hints.
    pub fn open(files: Vec<(String, R)>, hints: &CheckpointHints) -> Result<Self> {
        let files: Vec<File<R>> =
            files.into_iter().map(|(name, reader)| File::open(name, reader)).collect::<Result<_>>()?;
        let mut notes: Vec<String> = files.iter().filter_map(|file| file.note.clone()).collect();
        let (found, prefix) = unwrap(&files)?;
        if !prefix.is_empty() {
            notes.push(format!("the names are taken without `{prefix}`"));
        }
        let all: BTreeSet<&str> = found.keys().map(String::as_str).collect();
        let layout = names::recognise(&all)?;
        let towers: Vec<String> = all.iter().map(|name| names::with_tower(layout, name, &all)).collect();
        let mut found: BTreeMap<String, Listed> = towers.into_iter().zip(found.into_values()).collect();

        let hints = &hints.stated(layout);
        let encoder = encoder_config(layout, &found, hints)?;
        let mut places = BTreeMap::new();
        for (name, shape) in encoder.tensors() {
            places.insert(name.clone(), place(layout, &found, &name, shape)?);
        }
        let text = text_config(layout, &found, hints, encoder.embedding)?;
        hints.check(&encoder, text.as_ref())?;
        for (name, shape) in text.iter().flat_map(ClipTextConfig::tensors) {
            places.insert(name.clone(), place(layout, &found, &name, shape)?);
        }
        let used: BTreeSet<&String> = places.values().map(|place| &place.name).collect();
        found.retain(|_, (_, full, _)| !used.contains(full));
        let beside: Vec<String> = found.extract_if(.., |name, _| names::is_beside(name)).map(|(_, it)| it.1).collect();
        if let Some(first) = beside.first() {
            let count = beside.len();
            notes.push(format!("left out is what lies beside the model, such as a head: `{first}` ({count} such)"));
        }
        if let Some((_, full, located)) = found.values().next() {
            return Err(invalid(format!(
                "`{full}` {:?} is no tensor of CLIP ({} such); the checkpoint is of another architecture or carries \
                 an optimiser: take out what is not the model",
                located.shape,
                found.len()
            )));
        }
        let preprocess = hints.preprocess(layout);
        preprocess.validate(encoder.channels)?;
        Ok(Self { files, layout, encoder, text, preprocess, places, notes })
    }

    /// The layout of files that may be no checkpoint of CLIP.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidWeights`] for what can't be read and what is no CLIP.
    pub fn recognise(files: Vec<(String, R)>) -> Result<Layout> {
        let files: Vec<File<R>> =
            files.into_iter().map(|(name, reader)| File::open(name, reader)).collect::<Result<_>>()?;
        let (found, _) = unwrap(&files)?;
        names::recognise(&found.keys().map(String::as_str).collect())
    }

    /// What was taken off or left out, each as the rest of a sentence for the one who imports.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The naming of the files.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The image tower.
    pub fn encoder(&self) -> &EncoderConfig {
        &self.encoder
    }

    /// The text tower; none in a vision-only checkpoint.
    pub fn text(&self) -> Option<&ClipTextConfig> {
        self.text.as_ref()
    }

    /// What happens to pixels: as hints, or CLIP's own.
    pub fn preprocess(&self) -> &PreprocessConfig {
        &self.preprocess
    }

    /// Reads one tensor by our name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidWeights`] for a name of neither tower and for values that are not finite.
    pub fn read(&mut self, name: &str) -> Result<Values> {
        let place = self.places.get(name).ok_or_else(|| invalid(format!("`{name}` is no tensor of this model")))?;
        let Place { file, name: full, located, cut, shape } = place;
        let file = &mut self.files[*file];
        let data = match *cut {
            Cut::Whole => file.read(full, located, 0, 1)?,
            Cut::Third(third) => file.read(full, located, third, 3)?,
            Cut::Transposed => transposed(&file.read(full, located, 0, 1)?, shape[0]),
        };
        check_finite(full, &data)?;
        Ok(Values { shape: shape.clone(), data })
    }

    /// Reads the whole image tower.
    pub fn read_encoder(&mut self) -> Result<Weights> {
        let tensors = self.encoder.tensors();
        self.read_all(tensors)
    }

    /// Reads the whole text tower.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidWeights`] where there is none.
    pub fn read_text(&mut self) -> Result<Weights> {
        let text = self.text.as_ref().ok_or_else(|| {
            invalid("the checkpoint has no text tower; texts need the whole model, not its vision part".into())
        })?;
        let tensors = text.tensors();
        self.read_all(tensors)
    }

    fn read_all(&mut self, tensors: Vec<(String, Vec<usize>)>) -> Result<Weights> {
        let mut weights = Weights::default();
        for (name, _) in tensors {
            let values = self.read(&name)?;
            weights.insert(&name, values)?;
        }
        Ok(weights)
    }
}

/// The tensors of all files by their names without wrappers, and the prefix that all of them had.
fn unwrap<R>(files: &[File<R>]) -> Result<(BTreeMap<String, Listed>, String)> {
    let unwrapped = Unwrapped::find(files.iter().flat_map(|file| &file.tensors).map(|(name, _)| name.as_str()))?;
    let mut found: BTreeMap<String, Listed> = BTreeMap::new();
    for (index, file) in files.iter().enumerate() {
        for (full, located) in &file.tensors {
            let Some(name) = unwrapped.name(full) else { continue };
            if let Some((_, other, _)) = found.insert(name, (index, full.clone(), located.clone())) {
                return Err(invalid(format!("`{full}` and `{other}` are the same tensor; keep one of them")));
            }
        }
    }
    Ok((found, unwrapped.prefix().to_owned()))
}

/// `[columns, rows]` -> `[rows, columns]`.
fn transposed(values: &[f32], rows: usize) -> Vec<f32> {
    let columns = values.len() / rows.max(1);
    (0..values.len()).map(|index| values[index % columns * rows + index / columns]).collect()
}

/// The shape that one of our tensors has in the checkpoint, turned to our order.
fn shape_of(layout: Layout, found: &BTreeMap<String, Listed>, ours: &str) -> Option<(Vec<usize>, Cut, Listed)> {
    let (name, cut) = names::source(layout, ours);
    let (listed, cut) = match found.get(&name) {
        Some(listed) => (listed, cut),
        // open_clip keeps the projection of some text towers as a linear layer: already in our order.
        None if cut == Cut::Transposed => (found.get(&format!("{name}.weight"))?, Cut::Whole),
        None => return None,
    };
    let mut shape = listed.2.shape.clone();
    match cut {
        Cut::Whole => {}
        Cut::Transposed => shape.reverse(),
        Cut::Third(_) => {
            if let Some(rows) = shape.first_mut().filter(|rows| rows.is_multiple_of(3)) {
                *rows /= 3;
            }
        }
    }
    Some((shape, cut, listed.clone()))
}

fn place(layout: Layout, found: &BTreeMap<String, Listed>, ours: &str, shape: Vec<usize>) -> Result<Place> {
    let (theirs, _) = names::source(layout, ours);
    let missing = || invalid(format!("`{theirs}` is missing; {shape:?} was expected for `{ours}`"));
    let (stored, cut, (file, name, located)) = shape_of(layout, found, ours).ok_or_else(missing)?;
    if stored != shape {
        return Err(invalid(format!(
            "`{name}` has shape {:?}, which gives {stored:?}; {shape:?} was expected for `{ours}`",
            located.shape
        )));
    }
    Ok(Place { file, name, located, cut, shape })
}

/// The shape of a tensor that sizes are read from, with as many axes as expected.
fn sizes<const D: usize>(layout: Layout, found: &BTreeMap<String, Listed>, ours: &str) -> Result<[usize; D]> {
    let (theirs, _) = names::source(layout, ours);
    let (shape, ..) = shape_of(layout, found, ours).ok_or_else(|| {
        let hint = match ours {
            "visual_projection.weight" | "text_projection.weight" => {
                ": without it there is no joint space; give the model with projection, not the bare tower"
            }
            _ => "",
        };
        invalid(format!("`{theirs}` is missing{hint}"))
    })?;
    let count = shape.len();
    shape.try_into().map_err(|_| invalid(format!("`{theirs}` has {count} axes; {D} were expected")))
}

/// Blocks of a tower: one more than the highest number in its names.
fn layers(layout: Layout, found: &BTreeMap<String, Listed>, tower: &str) -> usize {
    let (name, _) = names::source(layout, &format!("{tower}.encoder.layers.0.layer_norm1.weight"));
    let start = name.split_once("0.").map_or("", |(start, _)| start);
    let number = |name: &String| name.strip_prefix(start)?.split('.').next()?.parse::<usize>().ok();
    found.keys().filter_map(number).max().map_or(0, |last| last.saturating_add(1))
}

fn heads(tower: &str, width: usize, hints: Option<usize>) -> Result<usize> {
    match hints {
        Some(heads) => Ok(heads),
        None if width <= WIDEST && width.is_multiple_of(HEAD_WIDTH) => Ok(width / HEAD_WIDTH),
        None => Err(Error::new(
            ErrorKind::InvalidConfig,
            format!(
                "the {tower} tower is {width} wide, and no shape tells its attention heads; give the checkpoint's \
                 config.json or open_clip_config.json with --config"
            ),
        )),
    }
}

fn activation(tower: &str, hints: Option<Activation>) -> Result<Activation> {
    hints.ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidConfig,
            format!(
                "no file says which activation the {tower} tower was trained with; state it: --activation quick-gelu \
                 for OpenAI's weights and what was tuned from them, --activation gelu for most of LAION's and \
                 open_clip's"
            ),
        )
    })
}

fn encoder_config(layout: Layout, found: &BTreeMap<String, Listed>, hints: &Facts) -> Result<EncoderConfig> {
    let [width, channels, patch, _] = sizes(layout, found, "vision_model.embeddings.patch_embedding.weight")?;
    let [tokens, _] = sizes(layout, found, "vision_model.embeddings.position_embedding.weight")?;
    let [embedding, _] = sizes(layout, found, "visual_projection.weight")?;
    let grid = tokens.saturating_sub(1).isqrt();
    if grid == 0 || grid * grid + 1 != tokens {
        return Err(invalid(format!(
            "the image tower has {tokens} positions; a class token and a square of patches were expected"
        )));
    }
    let encoder = EncoderConfig {
        side: grid * patch,
        channels,
        stem: Vec::new(),
        patch,
        width,
        layers: layers(layout, found, "vision_model"),
        heads: heads("image", width, hints.heads)?,
        activation: activation("image", hints.activation)?,
        pool: TokenPool::Class,
        embedding,
    };
    encoder.validate()?;
    Ok(encoder)
}

fn text_config(
    layout: Layout,
    found: &BTreeMap<String, Listed>,
    hints: &Facts,
    embedding: usize,
) -> Result<Option<ClipTextConfig>> {
    const TOKENS: &str = "text_model.embeddings.token_embedding.weight";
    let (theirs, _) = names::source(layout, TOKENS);
    if !found.contains_key(&theirs) {
        return Ok(None);
    }
    let [vocabulary, width] = sizes(layout, found, TOKENS)?;
    let [context, _] = sizes(layout, found, "text_model.embeddings.position_embedding.weight")?;
    sizes::<2>(layout, found, "text_projection.weight")?;
    let text = ClipTextConfig {
        context,
        vocabulary,
        width,
        layers: layers(layout, found, "text_model"),
        heads: heads("text", width, hints.text_heads)?,
        activation: activation("text", hints.text_activation)?,
        embedding,
    };
    text.validate()?;
    Ok(Some(text))
}
