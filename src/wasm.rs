//! The edge to JavaScript: conversions and nothing else.

#[cfg(feature = "webgpu")]
mod gpu;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use js_sys::{Float32Array, Reflect, Uint8Array};
use serde::Serialize;
use serde_wasm_bindgen::Serializer;
use wasm_bindgen::prelude::*;

use crate::bundle::{Bundle, BundleReader, Manifest};
use crate::clip::Clip;
use crate::error::{Error, ErrorKind, Result};
use crate::face::FaceDetector;
use crate::prediction::FramePrediction;
use crate::preprocess::Picture;
use crate::session::{self, AskedEvidence, FaceFollower, FaceOptions, Look};

#[cfg(feature = "webgpu")]
type Engine = crate::webgpu::GpuEngine<gpu::BrowserGpu>;
#[cfg(not(feature = "webgpu"))]
type Engine = crate::cpu::CpuEngine;

type Embedding = <Engine as session::Engine>::Embedding;

type JsResult<T> = std::result::Result<T, JsValue>;

/// Panics speak in the console.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

/// The engine's memory.
#[wasm_bindgen(js_name = engineMemory)]
pub fn memory() -> JsValue {
    wasm_bindgen::memory()
}

/// A JavaScript `Error` with `code`.
fn thrown(error: Error) -> JsValue {
    let object = js_sys::Error::new(&error.to_string());
    // Setting a property of a fresh Error can't fail; if it did, the message would still be there.
    let _ = Reflect::set(&object, &"code".into(), &error.code().into());
    object.into()
}

/// A plain object: maps as objects, nothing as null.
fn plain(value: &impl Serialize) -> JsResult<JsValue> {
    let serializer = Serializer::json_compatible();
    value.serialize(&serializer).map_err(|error| thrown(Error::new(ErrorKind::InvalidArgument, error.to_string())))
}

/// Options as JavaScript gives them: a plain object, in which what is missing keeps its default.
fn face_options(options: JsValue) -> Result<FaceOptions> {
    serde_wasm_bindgen::from_value(options).map_err(|error| {
        Error::new(ErrorKind::InvalidArgument, format!("the options for faces can't be read: {error}"))
    })
}

/// How a still picture is looked at: `evidence` is a word of [`AskedEvidence::parse`], or nothing.
fn look(mirrored: bool, evidence: Option<String>) -> Result<Look> {
    Ok(Look { mirrored, evidence: evidence.as_deref().map(AskedEvidence::parse).transpose()? })
}

fn spent() -> Error {
    Error::new(ErrorKind::InvalidArgument, "the loader was opened already; make another BundleLoader")
}

/// Takes a bundle's files and opens a session on this file's device.
#[wasm_bindgen]
pub struct BundleLoader {
    reader: RefCell<Option<BundleReader>>,
    int8: Cell<Option<bool>>,
    #[cfg(feature = "webgpu")]
    gpu: RefCell<Option<gpu::BrowserGpu>>,
    #[cfg(not(feature = "webgpu"))]
    team: RefCell<crate::cpu::Team>,
}

#[wasm_bindgen]
impl BundleLoader {
    /// From the text of model.json.
    ///
    /// - labels: the label set to answer in; the model's own expressions without one
    #[wasm_bindgen(constructor)]
    pub fn new(manifest: &str, labels: Option<String>) -> JsResult<BundleLoader> {
        let mut manifest = Manifest::parse(manifest).map_err(thrown)?;
        if let Some(labels) = labels {
            manifest.answer_in(&labels).map_err(thrown)?;
        }
        let reader = BundleReader::of(manifest);
        Ok(Self {
            reader: RefCell::new(Some(reader)),
            int8: Cell::new(None),
            #[cfg(feature = "webgpu")]
            gpu: RefCell::new(None),
            #[cfg(not(feature = "webgpu"))]
            team: RefCell::default(),
        })
    }

    /// `{ path, bytes, sha256 }` of every file to give, relative to model.json.
    #[wasm_bindgen(getter)]
    pub fn files(&self) -> JsResult<JsValue> {
        match &*self.reader.borrow() {
            Some(reader) => plain(&reader.manifest().needed_files().collect::<Vec<_>>()),
            None => Err(thrown(spent())),
        }
    }

    /// Checks and reads one file.
    pub fn add(&self, path: &str, bytes: Uint8Array) -> JsResult<()> {
        match &mut *self.reader.borrow_mut() {
            Some(reader) => reader.add(path, &bytes.to_vec()).map_err(thrown),
            None => Err(thrown(spent())),
        }
    }

    /// The open device that runs the model.
    #[cfg(feature = "webgpu")]
    #[wasm_bindgen(js_name = setGpu)]
    pub fn set_gpu(&self, gpu: gpu::BrowserGpu) {
        self.gpu.replace(Some(gpu));
    }

    /// Threads that compute, this one included. Returns the team's address, which each of the others gives to `help`.
    #[cfg(feature = "threads")]
    #[wasm_bindgen(js_name = setThreads)]
    pub fn set_threads(&self, threads: usize) -> usize {
        let (team, address) = crate::cpu::Team::of_workers(threads);
        self.team.replace(team);
        address
    }

    /// `f32` or `int8`; otherwise as the bundle is stored.
    #[wasm_bindgen(js_name = setPrecision)]
    pub fn set_precision(&self, precision: &str) -> JsResult<()> {
        self.int8.set(match precision {
            "f32" => Some(false),
            "int8" => Some(true),
            _ => {
                let why = format!("there is no precision `{precision}`; take `f32` or `int8`");
                return Err(thrown(Error::new(ErrorKind::InvalidArgument, why)));
            }
        });
        Ok(())
    }

    /// Starts the device, gives it the model and proves it on the golden picture.
    pub async fn open(self) -> JsResult<Session> {
        let Some(reader) = self.reader.take() else { return Err(thrown(spent())) };
        let bundle = reader.finish().map_err(thrown)?;
        #[cfg(feature = "webgpu")]
        let opened = match self.gpu.take() {
            Some(gpu) => open(bundle, gpu, self.int8.get()).await,
            None => Err(Error::new(ErrorKind::DeviceUnavailable, "this file needs a GPU; call setGpu first")),
        };
        #[cfg(not(feature = "webgpu"))]
        let opened = open(bundle, self.int8.get(), self.team.take()).await;
        opened.map_err(thrown)
    }
}

#[cfg(feature = "webgpu")]
async fn open(mut bundle: Bundle, gpu: gpu::BrowserGpu, int8: Option<bool>) -> Result<Session> {
    let adapter = gpu.adapter();
    let storage = int8.unwrap_or_else(|| bundle.weights.has_int8()).then_some(crate::webgpu::Storage::Int8);
    let engine = Engine::from_bundle(gpu, &mut bundle, storage).await?;
    describe(engine, bundle, "webgpu", adapter).await
}

#[cfg(not(feature = "webgpu"))]
async fn open(mut bundle: Bundle, int8: Option<bool>, team: crate::cpu::Team) -> Result<Session> {
    use crate::cpu::{Arithmetic, CpuOptions};
    let arithmetic = match int8.unwrap_or_else(|| bundle.weights.has_int8()) {
        true => Arithmetic::Int8,
        false => Arithmetic::F32,
    };
    let options = CpuOptions { arithmetic, team };
    let adapter = format!("wasm, {options}");
    let engine = Engine::from_bundle_with(&mut bundle, options)?;
    describe(engine, bundle, "cpu", adapter).await
}

async fn describe(engine: Engine, bundle: Bundle, device: &'static str, adapter: String) -> Result<Session> {
    let inner = session::Session::open(engine, bundle).await?;
    let manifest = inner.manifest();
    let info = Info {
        device,
        adapter,
        model: manifest.name.clone(),
        expressions: manifest.expressions.iter().map(|expression| expression.name.clone()).collect(),
        side: manifest.encoder.side,
        channels: manifest.encoder.channels,
        embedding: manifest.encoder.embedding,
        mean: manifest.preprocess.mean.clone(),
        std: manifest.preprocess.std.clone(),
        parameters: manifest.encoder.parameters(),
        window: manifest.window,
        self_test: SelfTest { cosine: inner.golden_cosine() },
        card: manifest.card().map(str::to_owned),
        licence: manifest.licence.clone(),
        uncertain_below: manifest.calibration.uncertain_below,
    };
    Ok(Session { inner, info, clips: BTreeMap::new(), follower: None })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    device: &'static str,
    adapter: String,
    model: String,
    expressions: Vec<String>,
    side: usize,
    channels: usize,
    embedding: usize,
    mean: Vec<f32>,
    std: Vec<f32>,
    parameters: usize,
    window: usize,
    self_test: SelfTest,
    card: Option<String>,
    licence: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uncertain_below: Option<f32>,
}

#[derive(Serialize)]
struct SelfTest {
    cosine: f32,
}

/// One stream on this file's device. Calls must not overlap: the caller waits for each answer.
#[wasm_bindgen]
pub struct Session {
    inner: session::Session<Engine>,
    info: Info,
    clips: BTreeMap<u32, Clip<Engine>>,
    follower: Option<FaceFollower<Embedding>>,
}

impl Session {
    /// The follower with these options, once it has its detector.
    fn follower(
        follower: &mut Option<FaceFollower<Embedding>>,
        options: JsValue,
    ) -> Result<&mut FaceFollower<Embedding>> {
        let follower = follower.as_mut().ok_or_else(|| {
            Error::new(ErrorKind::InvalidArgument, "there is no face detector yet; give its files to addDetector first")
        })?;
        follower.set_options(face_options(options)?)?;
        Ok(follower)
    }
}

#[wasm_bindgen]
impl Session {
    /// Device, adapter, model and self-test.
    #[wasm_bindgen(getter)]
    pub fn info(&self) -> JsResult<JsValue> {
        plain(&self.info)
    }

    /// `{ passes, uploadedBytes, readBytes }` since the session opened.
    #[wasm_bindgen(getter)]
    pub fn counters(&self) -> JsResult<JsValue> {
        plain(&self.inner.counters())
    }

    /// One picture's prediction; `mirror`: from it and from its mirror image; `evidence`: with it, found in this way.
    pub async fn recognize(
        &mut self,
        rgba: Vec<u8>,
        width: usize,
        height: usize,
        mirror: bool,
        evidence: Option<String>,
    ) -> JsResult<JsValue> {
        let look = look(mirror, evidence).map_err(thrown)?;
        let picture = Picture::new(&rgba, width, height).map_err(thrown)?;
        plain(&self.inner.recognize_with(picture, look).await.map_err(thrown)?)
    }

    /// Adds a stream's frame; its time in milliseconds.
    pub async fn push(&mut self, rgba: Vec<u8>, width: usize, height: usize, timestamp: f64) -> JsResult<JsValue> {
        let picture = Picture::new(&rgba, width, height).map_err(thrown)?;
        let prediction = self.inner.push(picture, timestamp).await.map_err(thrown)?;
        plain(&prediction)
    }

    /// Adds the next frame to a clip of `length` frames, which its first frame begins, and answers for that frame.
    #[wasm_bindgen(js_name = pushClip)]
    pub async fn push_clip(
        &mut self,
        clip: u32,
        length: usize,
        rgba: Vec<u8>,
        width: usize,
        height: usize,
    ) -> JsResult<JsValue> {
        let picture = Picture::new(&rgba, width, height).map_err(thrown)?;
        let mut begun = match self.clips.remove(&clip) {
            Some(begun) => begun,
            None => self.inner.start_clip(length).map_err(thrown)?,
        };
        let prediction = self.inner.push_clip(&mut begun, picture).await.map_err(thrown)?;
        self.clips.insert(clip, begun);
        plain(&prediction)
    }

    /// A clip's prediction; the clip ends with it.
    #[wasm_bindgen(js_name = recognizeClip)]
    pub async fn recognize_clip(&mut self, clip: u32) -> JsResult<JsValue> {
        let unknown = || Error::new(ErrorKind::InvalidArgument, "the clip has no frame; give it at least one");
        let clip = self.clips.remove(&clip).ok_or_else(|| thrown(unknown()))?;
        let prediction = self.inner.recognize_clip(&clip).await.map_err(thrown)?;
        plain(&prediction)
    }

    /// Forgets a clip that was not finished.
    #[wasm_bindgen(js_name = dropClip)]
    pub fn drop_clip(&mut self, clip: u32) {
        self.clips.remove(&clip);
    }

    /// Embeddings `[batch, embedding]` of normalised pixels `[batch, channels, side, side]`.
    pub async fn encode(&mut self, pixels: Vec<f32>) -> JsResult<Float32Array> {
        let embeddings = self.inner.encode_pixels(&pixels).await.map_err(thrown)?;
        Ok(Float32Array::from(embeddings.as_slice()))
    }

    /// Takes the face detector: the text of its model.json and the file that it names.
    #[wasm_bindgen(js_name = addDetector)]
    pub fn add_detector(&mut self, manifest: &str, weights: Uint8Array) -> JsResult<()> {
        let detector = FaceDetector::read(manifest, &weights.to_vec()).map_err(thrown)?;
        self.follower = Some(FaceFollower::new(detector));
        Ok(())
    }

    /// One picture's faces, each looked at as `recognize` looks at a picture.
    #[wasm_bindgen(js_name = recognizeFaces)]
    pub async fn recognize_faces(
        &mut self,
        rgba: Vec<u8>,
        width: usize,
        height: usize,
        options: JsValue,
        mirror: bool,
        evidence: Option<String>,
    ) -> JsResult<JsValue> {
        let look = look(mirror, evidence).map_err(thrown)?;
        let follower = Self::follower(&mut self.follower, options).map_err(thrown)?;
        let picture = Picture::new(&rgba, width, height).map_err(thrown)?;
        let detector = follower.detector().map_err(thrown)?;
        let found = self.inner.recognize_faces(detector, picture, look).await.map_err(thrown)?;
        plain(&FramePrediction::from(found))
    }

    /// Whether a stream's frame has to be seen to be answered.
    #[wasm_bindgen(js_name = needsPicture)]
    pub fn needs_picture(&mut self, timestamp: f64) -> bool {
        self.follower.as_mut().is_none_or(|follower| follower.needs_picture(timestamp))
    }

    /// Faces of a stream's frame, its time in milliseconds; no pixels where they need not be seen.
    #[wasm_bindgen(js_name = pushFaces)]
    pub async fn push_faces(
        &mut self,
        rgba: Option<Vec<u8>>,
        width: usize,
        height: usize,
        timestamp: f64,
        options: JsValue,
    ) -> JsResult<JsValue> {
        let follower = Self::follower(&mut self.follower, options).map_err(thrown)?;
        let picture = rgba.as_ref().map(|rgba| Picture::new(rgba, width, height)).transpose().map_err(thrown)?;
        let found = self.inner.push_faces(follower, picture, timestamp).await.map_err(thrown)?;
        plain(&found)
    }

    /// Frames of the window from now on.
    #[wasm_bindgen(js_name = setWindow)]
    pub fn set_window(&mut self, length: usize) -> JsResult<()> {
        self.inner.set_window(length).map_err(thrown)
    }

    /// Forgets the stream's frames and faces.
    pub fn reset(&mut self) {
        self.inner.reset();
        if let Some(follower) = &mut self.follower {
            follower.reset();
        }
    }
}
