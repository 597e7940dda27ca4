//! CLIP checkpoints on disk: their files, what lies beside them, and the backbone that an import made of one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use cliper::config::{Activation, ClipTextConfig, CropRounding, EncoderConfig, PreprocessConfig, ResizeConfig};
use cliper::engine::burn::ops::EncoderOps;
use cliper::engine::burn::text::{ClipTextEncoder, ClipTexts, ClipTokenizer};
use cliper::engine::burn::{ImageEncoder, NativeCpu};
use cliper::import::{Checkpoint, CheckpointHints, Layout};
use cliper::tensors::{Precision, TensorWriter};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::files;

/// The description of an imported backbone.
pub const BACKBONE: &str = "backbone.json";
const FORMAT: &str = "cliper-backbone";
/// Version 1 named the space by the tensors alone.
const VERSION: u32 = 2;

/// CLIP's vocabulary: part of this tool, so that describing needs nothing else.
const VOCABULARY: &[u8] = include_bytes!("../../vocabulary/bpe_simple_vocab_16e6.txt.gz");

/// Files that may say what tensors can't, by the names that the libraries give them. Of transformers' two with the
/// preprocessing, its newer one goes first, as it does there.
const CONFIGS: [&str; 4] =
    ["config.json", "processor_config.json", "preprocessor_config.json", "open_clip_config.json"];

/// The activations that CLIP checkpoints come with.
#[derive(Clone, Copy, ValueEnum)]
pub enum CheckpointActivation {
    /// x * sigmoid(1.702 x): OpenAI's weights and what was tuned from them
    QuickGelu,
    /// The exact GELU: most of LAION's and open_clip's weights
    Gelu,
}

impl From<CheckpointActivation> for Activation {
    fn from(activation: CheckpointActivation) -> Self {
        match activation {
            CheckpointActivation::QuickGelu => Self::QuickGelu,
            CheckpointActivation::Gelu => Self::Gelu,
        }
    }
}

/// backbone.json: the imported towers and their files.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backbone {
    pub format: String,
    pub version: u32,
    /// The model's name.
    pub name: String,
    /// Names the joint space: [`identity`].
    pub backbone: String,
    pub encoder: EncoderConfig,
    pub text: Option<ClipTextConfig>,
    pub preprocess: PreprocessConfig,
    /// Terms of the weights, as far as the one who imported them stated them.
    pub licence: String,
    /// The checkpoint's files and the command.
    pub provenance: serde_json::Value,
    /// The encoder's shards, then the text tower.
    pub files: Vec<BackboneFile>,
}

/// A file of a backbone.
#[derive(Serialize, Deserialize)]
pub struct BackboneFile {
    pub path: String,
    pub bytes: u64,
    pub sha256: String,
}

impl Backbone {
    /// Of this version.
    pub fn new(name: String, backbone: String, checkpoint: &Checkpoint<File>, licence: String) -> Self {
        Self {
            format: FORMAT.into(),
            version: VERSION,
            name,
            backbone,
            encoder: checkpoint.encoder().clone(),
            text: checkpoint.text().cloned(),
            preprocess: checkpoint.preprocess().clone(),
            licence,
            provenance: serde_json::Value::Null,
            files: Vec::new(),
        }
    }

    /// Reads a folder's backbone.json.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(BACKBONE);
        let backbone: Self = serde_json::from_slice(&files::read(&path)?)
            .with_context(|| format!("{} is no backbone that `cargo pkg import` wrote", path.display()))?;
        ensure!(
            backbone.format == FORMAT && backbone.version == VERSION,
            "{} has format {} {}; {FORMAT} {VERSION} can be read, which names the joint space by the activation, the heads \
             and the preprocessing too: import the checkpoint again",
            path.display(),
            backbone.format,
            backbone.version
        );
        Ok(backbone)
    }

    /// Checks every file's hash, which takes reading them.
    pub fn verify(&self, folder: &Path) -> Result<()> {
        for file in &self.files {
            let place = folder.join(&file.path);
            let mut hash = Hash(Sha256::new());
            File::open(&place)
                .and_then(|mut input| std::io::copy(&mut input, &mut hash))
                .with_context(|| format!("{} can't be read", place.display()))?;
            let found = hexadecimal(hash.0);
            ensure!(
                found == file.sha256,
                "{} is damaged: its sha256 is {found}, {} was imported; import the checkpoint again",
                place.display(),
                file.sha256
            );
        }
        Ok(())
    }

    fn hints(&self) -> CheckpointHints {
        CheckpointHints::of(&self.encoder, self.text.as_ref(), &self.preprocess)
    }
}

/// Opens a checkpoint or an imported backbone, by its file or folder.
pub fn open(path: &Path, activation: Option<CheckpointActivation>, config: Option<&Path>) -> Result<Checkpoint<File>> {
    if path.join(BACKBONE).is_file() {
        ensure!(
            activation.is_none() && config.is_none(),
            "{} is imported: its activation is recorded; leave --activation and --config out",
            path.display()
        );
        let backbone = Backbone::read(path)?;
        for file in &backbone.files {
            let place = path.join(&file.path);
            let found = fs::metadata(&place).with_context(|| format!("{} can't be read", place.display()))?.len();
            ensure!(found == file.bytes, "{} has {found} bytes, {} were imported", place.display(), file.bytes);
        }
        let paths: Vec<PathBuf> = backbone.files.iter().map(|file| path.join(&file.path)).collect();
        return open_files(&paths, &backbone.hints());
    }
    let paths = weight_files(path)?;
    let mut hints = activation
        .map_or_else(CheckpointHints::default, |activation| CheckpointHints::with_activation(activation.into()));
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    let beside = CONFIGS.map(|name| folder.join(name)).into_iter().filter(|path| path.is_file());
    for (path, is_named) in
        config.map(|path| (path.to_owned(), true)).into_iter().chain(beside.map(|path| (path, false)))
    {
        let (name, bytes) = (path.display().to_string(), files::read(&path)?);
        // What the user names goes before what happens to lie there.
        match is_named {
            true => hints.prefer_json(&name, &bytes)?,
            false => hints.add_json(&name, &bytes)?,
        }
        let mut alone = CheckpointHints::default();
        alone.add_json(&name, &bytes)?;
        if let (Some(asked), Some(found)) =
            (activation.map(Activation::from), alone.stated(Layout::HuggingFace).activation)
            && asked != found
        {
            eprintln!("{name} says the activation is {found:?}; {asked:?} is used, as --activation asks");
        }
    }
    let checkpoint = open_files(&paths, &hints)?;
    checkpoint.notes().iter().for_each(|note| eprintln!("{}: {note}", path.display()));
    Ok(checkpoint)
}

fn open_files(paths: &[PathBuf], hints: &CheckpointHints) -> Result<Checkpoint<File>> {
    Ok(Checkpoint::open(readers(paths)?, hints)?)
}

fn readers(paths: &[PathBuf]) -> Result<Vec<(String, File)>> {
    let reader = |path: &PathBuf| {
        let file = File::open(path).with_context(|| format!("{} can't be read", path.display()))?;
        Ok((path.display().to_string(), file))
    };
    paths.iter().map(reader).collect()
}

/// The files of a checkpoint: one, or all shards of an index.
pub fn weight_files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_dir() {
        const NAMES: [&str; 7] = [
            "model.safetensors.index.json",
            "model.safetensors",
            "open_clip_model.safetensors.index.json",
            "open_clip_model.safetensors",
            "pytorch_model.bin.index.json",
            "pytorch_model.bin",
            "open_clip_pytorch_model.bin",
        ];
        let named: Vec<PathBuf> = NAMES.iter().map(|name| path.join(name)).filter(|file| file.is_file()).collect();
        // Several libraries' files may lie side by side, as timm's and open_clip's do: the first that is CLIP's counts.
        let is_clip =
            |file: &&PathBuf| weight_files(file).and_then(|files| Ok(Checkpoint::recognise(readers(&files)?)?)).is_ok();
        if let Some(file) = named.iter().find(is_clip).or(named.first()) {
            return weight_files(file);
        }
        let entries = fs::read_dir(path).with_context(|| format!("{} can't be read", path.display()))?;
        let mut found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        found.sort();
        for extensions in [&["safetensors"][..], &["bin", "pt", "pth", "ckpt"]] {
            let fits = |file: &&PathBuf| extensions.iter().any(|kind| file.extension().is_some_and(|it| it == *kind));
            match found.iter().filter(fits).collect::<Vec<_>>().as_slice() {
                [] => {}
                [one] => return Ok(vec![(*one).clone()]),
                several => {
                    bail!("{} holds {} *.{} files; name one", path.display(), several.len(), extensions.join(", *."))
                }
            }
        }
        bail!("{} holds no checkpoint (*.safetensors, *.bin, *.pt, *.pth)", path.display());
    }
    if path.extension().is_some_and(|extension| extension == "json") {
        #[derive(Deserialize)]
        struct Index {
            weight_map: std::collections::BTreeMap<String, String>,
        }
        let index: Index = serde_json::from_str(&files::read_text(path)?)
            .with_context(|| format!("{} is no index of shards", path.display()))?;
        let mut names: Vec<String> = index.weight_map.into_values().collect();
        names.sort();
        names.dedup();
        let plain = |name: &String| !name.contains(['/', '\\']) && !name.starts_with('.');
        ensure!(names.iter().all(plain), "{} lists files outside its folder", path.display());
        let folder = path.parent().unwrap_or(Path::new(""));
        return Ok(names.into_iter().map(|name| folder.join(name)).collect());
    }
    match index_of(path) {
        Some(index) => {
            let name = path.display();
            ensure!(index.is_file(), "{name} is one of several shards; their index {} is missing", index.display());
            weight_files(&index)
        }
        None => Ok(vec![path.to_owned()]),
    }
}

/// The index that `model-00001-of-00003.safetensors` or `.bin` belongs to.
fn index_of(path: &Path) -> Option<PathBuf> {
    let (stem, kind) = path.file_name()?.to_str()?.rsplit_once('.')?;
    let (rest, count) = stem.rsplit_once("-of-")?;
    let (name, number) = rest.rsplit_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(count) && digits(number)).then(|| path.with_file_name(format!("{name}.{kind}.index.json")))
}

/// The tensors of both towers, the image encoder's first.
pub fn tensors(checkpoint: &Checkpoint<File>) -> Vec<(String, Vec<usize>)> {
    let text = checkpoint.text().map(ClipTextConfig::tensors).unwrap_or_default();
    checkpoint.encoder().tensors().into_iter().chain(text).collect()
}

/// What a joint space is called.
pub struct SpaceName {
    /// SHA-256 over both towers as f16 under our names, as version 1 of backbone.json named a space: the same for the
    /// same weights in every layout and number format that holds them.
    pub tensors: String,
    /// SHA-256 over that and all else that changes an embedding: two readings of the same weights are two spaces.
    pub space: String,
}

/// The name of a checkpoint's joint space, the same for the backbone imported from it.
pub fn identity(checkpoint: &mut Checkpoint<File>) -> Result<SpaceName> {
    let tensors = tensors(checkpoint);
    let mut writer = TensorWriter::new(Hash(Sha256::new()), tensors.clone(), &Default::default(), Precision::F16)?;
    for (name, _) in tensors {
        writer.push(&checkpoint.read(&name)?)?;
    }
    let tensors = hexadecimal(writer.finish()?.0);
    let (encoder, text, preprocess) = (checkpoint.encoder(), checkpoint.text(), checkpoint.preprocess());
    let statistics = |values: &[f32]| values.iter().map(|value| format!("{value:.5e}")).collect::<Vec<_>>();
    // One pixel of a crop makes no other space: the same weights in two layouts stay one.
    let resize = ResizeConfig { crop: CropRounding::default(), ..preprocess.resize };
    let text = text.map(|text| (text.activation, text.heads));
    let (mean, std) = (statistics(&preprocess.mean), statistics(&preprocess.std));
    let settings = serde_json::to_string(&(&tensors, (encoder.activation, encoder.heads), text, mean, std, resize))?;
    Ok(SpaceName { space: hexadecimal(Sha256::new_with_prefix(settings)), tensors })
}

/// A digest as text.
pub fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes bytes for their digest alone.
struct Hash(Sha256);

impl std::io::Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The image tower on the reference device.
pub fn image_encoder(checkpoint: &mut Checkpoint<File>) -> Result<ImageEncoder<NativeCpu>> {
    let config = checkpoint.encoder().clone();
    Ok(ImageEncoder::load(&mut checkpoint.read_encoder()?, &config, &Default::default())?)
}

/// The text tower with CLIP's tokenizer.
pub fn texts<B: EncoderOps>(checkpoint: &mut Checkpoint<File>) -> Result<ClipTexts<B>> {
    let mut weights = checkpoint.read_text()?;
    let config = checkpoint.text().context("the checkpoint has no text tower")?.clone();
    let encoder = ClipTextEncoder::load(&mut weights, &config, &Default::default())?;
    Ok(ClipTexts::new(encoder, tokenizer()?)?)
}

/// CLIP's tokenizer.
pub fn tokenizer() -> Result<ClipTokenizer> {
    Ok(ClipTokenizer::new(VOCABULARY)?)
}
