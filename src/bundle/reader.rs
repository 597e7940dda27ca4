//! Takes a bundle's files one by one and makes the model of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Bundle, FileEntry, Manifest, Role};
use crate::error::{Error, ErrorKind, Result};
use crate::model::descriptors::{Descriptors, count_texts};
use crate::model::face_spread::FaceSpread;
use crate::model::movement_set::MovementSet;
use crate::tensors::{BACKBONE, Weights, absent, sha256, twice};

/// Takes a bundle's files one by one, in any order, checking each as it comes.
#[derive(Debug)]
pub struct BundleReader {
    manifest: Manifest,
    weights: Weights,
    /// The encoder's tensors.
    shapes: BTreeMap<String, Vec<usize>>,
    /// Those that have come.
    come: BTreeSet<String>,
    descriptors: Option<Weights>,
    movements: Weights,
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
            shapes: manifest.encoder.tensors().into_iter().collect(),
            come: BTreeSet::new(),
            manifest,
            weights: Weights::default(),
            descriptors: None,
            movements: Weights::default(),
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
        self.add_hashed(path, bytes, &sha256(bytes))
    }

    /// The same for a file whose SHA-256 the caller has computed of these very bytes, in hexadecimal: a browser does that by
    /// itself, faster and beside other work.
    pub fn add_hashed(&mut self, path: &str, bytes: &[u8], hash: &str) -> Result<()> {
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
            Role::Weights => self.add_weights(read)?,
            Role::Descriptors => self.descriptors = Some(read),
            Role::Temporal => self.temporal.append(read)?,
            Role::Golden => self.golden = Some(read),
            Role::Movements => self.movements = read,
            Role::Card | Role::Labels | Role::Text => {}
        }
        self.missing.remove(place);
        Ok(())
    }

    /// Adds tensors of the encoder. Those of another shape are refused with the file that they came in, and so are those that
    /// came before, even if an engine has them by now.
    fn add_weights(&mut self, read: Weights) -> Result<()> {
        let names: Vec<_> = read.names().filter(|name| self.shapes.contains_key(*name)).map(str::to_owned).collect();
        for name in &names {
            read.check_shape(name, &self.shapes[name])?;
            if self.come.contains(name) {
                return Err(twice(name));
            }
        }
        self.weights.append(read)?;
        self.come.extend(names);
        Ok(())
    }

    /// The encoder's tensors that are here: an engine may take them while the rest arrives.
    pub fn weights(&mut self) -> &mut Weights {
        &mut self.weights
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
        if let Some((name, shape)) = self.shapes.iter().find(|(name, _)| !self.come.contains(*name)) {
            return Err(absent(name, shape));
        }
        let Self { manifest, weights, descriptors, mut movements, mut temporal, golden, .. } = self;
        let (mut descriptors, mut golden) = (descriptors.unwrap_or_default(), golden.unwrap_or_default());
        let width = manifest.encoder.embedding;
        for (name, shape) in manifest.temporal.iter().flat_map(|head| head.tensors(width)) {
            temporal.check_shape(&name, &shape)?;
        }
        let count = count_texts(&manifest.expressions);
        let embeddings = descriptors.take("embeddings", &[count, width])?;
        let quantiles = descriptors.get("quantiles");
        let face_spread = FaceSpread::take(&mut descriptors, manifest.expressions.len(), width)?;
        let mut descriptors = Descriptors::new(manifest.expressions.clone(), embeddings, width)?;
        if let Some(quantiles) = quantiles {
            descriptors = descriptors.with_quantiles(quantiles.data)?;
        }
        let list = manifest.movements.as_ref();
        let movements = list.map(|list| MovementSet::take(&list.names, &mut movements, width)).transpose()?;
        let golden = golden.take("embedding", &[width])?;
        let golden_window = match &manifest.temporal {
            Some(_) => Some(temporal.take("golden.similarities", &[count])?),
            None => None,
        };
        Ok(Bundle { manifest, weights, descriptors, face_spread, movements, temporal, golden, golden_window })
    }
}
