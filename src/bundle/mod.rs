//! Bytes -> a model: the manifest, hashes, weights and descriptors of a bundle, checked file by file.
//!
//! # The format, version 4
//!
//! A bundle is a folder: `model.json` and the plain file names it lists. Programs need every file but the card and labels
//! that they don't answer in.
//!
//! | field of `model.json` | meaning |
//! |---|---|
//! | `format`, `version` | `cliper-bundle`, and 1, or 2 where a file holds 8-bit tensors, or 3 with label sets, or 4 with movements; a higher version is refused as `unsupported-bundle` |
//! | `name`, `licence`, `provenance` | for people: data, command, settings, measured figures |
//! | `encoder` | [`EncoderConfig`](crate::config::EncoderConfig): sizes, stem, activation, pooling of the tokens |
//! | `preprocess` | mean and standard deviation of each channel, after scaling to 0..1 |
//! | `expressions` | `{ name, descriptors }` in the order of the embeddings; where the descriptors are annotated, `movements` beside them: for each in their order what it says of [`movements`](crate::movements), `{ jawOpen: 1, ... }` |
//! | `learned` | only with learned descriptors: the prompt, and for every learned token its nearest words with their distances; `descriptors` are then the nearest words |
//! | `labels` | optional label sets `{ name, path, expressions, calibration }`: other data sets' labels, which the encoder learned too |
//! | `aggregation`, `calibration` | `mean` over an expression's descriptors; the softmax's `temperature`; `uncertainBelow`, the top score under which a prediction is `uncertain` |
//! | `temporal` | optional [`TemporalConfig`](crate::config::TemporalConfig): the sizes of a temporal head; without it a window is the mean of its frames |
//! | `window`, `faceMargin` | frames of a stream's window; room around a face that is found |
//! | `backbone` | names the joint space; each file's metadata carries the same, or is refused as `foreign-descriptors` |
//! | `files` | `{ path, role, bytes, sha256 }` of every other file |
//!
//! | role | file | tensors |
//! |---|---|---|
//! | `weights` | `encoder-0000i-of-0000n.safetensors`, at most 16 MB each (a larger tensor has a file of its own) | named as [`EncoderConfig::tensors`](crate::config::EncoderConfig::tensors) lists them, in that order over the files |
//! | `descriptors` | `descriptors.safetensors` | f32 `embeddings` `[descriptors, embedding]` |
//! | `labels` | `labels-NAME.safetensors`, one for each label set | as `descriptors`; read in its place by a program that answers in these labels |
//! | `temporal` | `temporal.safetensors`, where `temporal` is set | f16, named as [`TemporalConfig::tensors`](crate::config::TemporalConfig::tensors) lists them; `golden.similarities` `[descriptors]`: what the reference made of a window of two golden frames |
//! | `golden` | `golden.safetensors` | f32 `embedding` `[embedding]`: what the reference made of [`golden_picture`] |
//! | `card` | `CARD.md` | none; no program reads it |
//!
//! Weights are F32, F16 or BF16, tensor by tensor, or I8: a matrix `NAME` `[outputs, inputs]` of whole numbers from -127
//! to 127 with `NAME.scales`, F32 `[outputs]`, beside it in the same file. Its values are `NAME[o][i] * NAME.scales[o]`
//! (symmetric, one scale an output channel). `cargo pkg pack --precision int8` stores the matrices of the blocks and the
//! projection so, and the stem or patch embedding, class token, positions, norms and biases in F16; it refuses to write
//! a bundle whose embeddings of real pictures have a cosine below 0.9995 to those of the f32 weights.
//!
//! Files may be given to a [`BundleReader`] in any order. f16 and 8-bit tensors stay so in memory until the engine takes
//! them, one by one.

mod manifest;
mod stored;
mod stream;
mod weights;

pub use manifest::{Aggregation, Calibration, FORMAT, FileEntry, LabelSet, Manifest, Role, VERSION, sha256};
pub use stored::{Int8Rows, Precision, Stored};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use stored::{check_finite, decode, dtype_bytes};
pub use stream::TensorWriter;
pub use weights::{BACKBONE, Values, Weights};

use crate::config::TemporalConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::model::descriptors::{Descriptors, count_texts};

/// A bundle whose every file was checked.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// model.json.
    pub manifest: Manifest,
    /// The encoder's tensors.
    pub weights: Weights,
    /// Texts and embeddings.
    pub descriptors: Descriptors,
    /// The temporal head's tensors; none where the manifest has no head.
    pub temporal: Weights,
    /// What the reference device made of [`golden_picture`], `[embedding]`.
    pub golden: Vec<f32>,
    /// Where there is a temporal head: what the reference made of a window of two golden frames, `[descriptors]`.
    pub golden_window: Option<Vec<f32>>,
}

impl Bundle {
    /// The temporal head, made by `load` of its tensors, its configuration and the embedding's width.
    pub(crate) fn take_temporal<T>(
        &mut self,
        load: impl FnOnce(&mut Weights, &TemporalConfig, usize) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut weights = std::mem::take(&mut self.temporal);
        let width = self.manifest.encoder.embedding;
        let head = self.manifest.temporal.as_ref().map(|config| load(&mut weights, config, width)).transpose()?;
        weights.finish()?;
        Ok(head)
    }
}

/// Takes a bundle's files one by one, in any order, checking each as it comes.
#[derive(Debug)]
pub struct BundleReader {
    manifest: Manifest,
    weights: Weights,
    descriptors: Option<Weights>,
    temporal: Weights,
    golden: Option<Weights>,
    missing: Vec<FileEntry>,
}

impl BundleReader {
    /// Starts with the text of model.json.
    pub fn new(manifest: &str) -> Result<Self> {
        Ok(Self::of(Manifest::parse(manifest)?))
    }

    /// Starts with a manifest that was read and checked.
    pub fn of(manifest: Manifest) -> Self {
        let missing = manifest.needed_files().cloned().collect();
        Self {
            manifest,
            weights: Weights::default(),
            descriptors: None,
            temporal: Weights::default(),
            golden: None,
            missing,
        }
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The files still to come.
    pub fn missing(&self) -> &[FileEntry] {
        &self.missing
    }

    /// Checks one file's length and hash and reads it. After an error nothing of the file is kept: give it again.
    ///
    /// # Errors
    /// [`ErrorKind::MissingFile`] for a name that is not awaited, [`ErrorKind::DamagedFile`] for other bytes than
    /// were packed, [`ErrorKind::ForeignDescriptors`] for descriptors of another joint space.
    pub fn add(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let place = self.missing.iter().position(|file| file.path == path).ok_or_else(|| {
            Error::new(ErrorKind::MissingFile, format!("`{path}` is not a file that the bundle still needs"))
        })?;
        let file = &self.missing[place];
        let damaged = |why: String| {
            Error::new(
                ErrorKind::DamagedFile,
                format!("`{path}` is damaged: {why}; fetch it again or pack the model again"),
            )
        };
        if bytes.len() as u64 != file.bytes {
            return Err(damaged(format!("it has {} bytes, {} were packed", bytes.len(), file.bytes)));
        }
        let hash = sha256(bytes);
        if hash != file.sha256 {
            return Err(damaged(format!("its sha256 is {hash}, {} was packed", file.sha256)));
        }
        let mut read = Weights::default();
        read.read(path, bytes)?;
        let backbone = read.metadata.get(BACKBONE).cloned().unwrap_or_default();
        if backbone != self.manifest.backbone {
            return Err(Error::new(
                ErrorKind::ForeignDescriptors,
                format!(
                    "`{path}` was made for the joint space `{backbone}`, the bundle's is `{}`; \
                     descriptors belong to one backbone: make them again for this one",
                    self.manifest.backbone
                ),
            ));
        }
        match file.role {
            Role::Weights => self.weights.append(read)?,
            Role::Descriptors => self.descriptors = Some(read),
            Role::Temporal => self.temporal.append(read)?,
            Role::Golden => self.golden = Some(read),
            Role::Card | Role::Labels => {}
        }
        self.missing.remove(place);
        Ok(())
    }

    /// The bundle, once every file is there.
    ///
    /// # Errors
    /// [`ErrorKind::MissingFile`] naming the first one that is not; [`ErrorKind::InvalidWeights`] and
    /// [`ErrorKind::InvalidBundle`] for shapes that do not fit.
    pub fn finish(self) -> Result<Bundle> {
        if let Some(file) = self.missing.first() {
            return Err(Error::new(
                ErrorKind::MissingFile,
                format!("`{}` of the bundle was not given; it must lie beside model.json", file.path),
            ));
        }
        let Self { manifest, weights, descriptors, mut temporal, golden, .. } = self;
        let (mut descriptors, mut golden) = (descriptors.unwrap_or_default(), golden.unwrap_or_default());
        let width = manifest.encoder.embedding;
        for (name, shape) in manifest.encoder.tensors() {
            weights.check_shape(&name, &shape)?;
        }
        for (name, shape) in manifest.temporal.iter().flat_map(|head| head.tensors(width)) {
            temporal.check_shape(&name, &shape)?;
        }
        let count = count_texts(&manifest.expressions);
        let embeddings = descriptors.take("embeddings", &[count, width])?;
        let descriptors = Descriptors::new(manifest.expressions.clone(), embeddings, width)?;
        let golden = golden.take("embedding", &[width])?;
        let golden_window = match &manifest.temporal {
            Some(_) => Some(temporal.take("golden.similarities", &[count])?),
            None => None,
        };
        Ok(Bundle { manifest, weights, descriptors, temporal, golden, golden_window })
    }
}

/// Side of the golden picture.
pub const GOLDEN_SIDE: usize = 64;

/// The picture of the self-test, RGBA `[GOLDEN_SIDE, GOLDEN_SIDE, 4]`: rings and ramps from integer arithmetic,
/// so that every machine makes the same bytes and no bundle has to carry a photo.
pub fn golden_picture() -> Vec<u8> {
    let middle = GOLDEN_SIDE as i32 / 2;
    (0..(GOLDEN_SIDE * GOLDEN_SIDE) as i32)
        .flat_map(|index| {
            let (x, y) = (index % GOLDEN_SIDE as i32, index / GOLDEN_SIDE as i32);
            let ring = ((x - middle).pow(2) + (y - middle).pow(2)) / 6;
            [(x * 4) as u8, (ring % 256) as u8, (y * 3 + x) as u8, 255]
        })
        .collect()
}
