//! The edge to JavaScript: conversions and nothing else.

use std::cell::RefCell;

use js_sys::{Reflect, Uint8Array};
use serde::Serialize;
use serde_wasm_bindgen::Serializer;
use wasm_bindgen::prelude::*;

use crate::bundle::BundleReader;
use crate::error::{Error, ErrorKind, Result};
use crate::face::FaceDetector;
use crate::prediction::FramePrediction;
use crate::preprocess::Picture;
use crate::session::{self, FaceFollower, FaceOptions};

#[cfg(feature = "webgpu")]
type Engine = crate::model::Cliper<crate::device::WebGpu>;
#[cfg(not(feature = "webgpu"))]
type Engine = crate::cpu::CpuEngine;

type Embedding = <Engine as session::Engine>::Embedding;

type JsResult<T> = std::result::Result<T, JsValue>;

/// Panics speak in the console.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
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

fn spent() -> Error {
    Error::new(ErrorKind::InvalidArgument, "the loader was opened already; make another BundleLoader")
}

/// Takes a bundle's files and opens a session on this file's device.
#[wasm_bindgen]
pub struct BundleLoader {
    reader: RefCell<Option<BundleReader>>,
}

#[wasm_bindgen]
impl BundleLoader {
    /// From the text of model.json.
    #[wasm_bindgen(constructor)]
    pub fn new(manifest: &str) -> JsResult<BundleLoader> {
        let reader = BundleReader::new(manifest).map_err(thrown)?;
        Ok(Self { reader: RefCell::new(Some(reader)) })
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

    /// Starts the device, gives it the model and proves it on the golden picture.
    pub async fn open(self) -> JsResult<Session> {
        let reader = self.reader.take().ok_or_else(|| thrown(spent()))?;
        open(reader).await.map_err(thrown)
    }
}

async fn open(reader: BundleReader) -> Result<Session> {
    let mut bundle = reader.finish()?;
    #[cfg(feature = "webgpu")]
    let (device, engine, adapter) = {
        let (device, adapter) = crate::device::open_webgpu().await;
        ("webgpu", Engine::from_bundle(&mut bundle, &device)?, adapter)
    };
    #[cfg(not(feature = "webgpu"))]
    let (device, engine, adapter) = ("cpu", Engine::from_bundle(&mut bundle)?, String::from("wasm simd128, 1 thread"));
    let inner = session::Session::open(engine, bundle).await?;
    let manifest = inner.manifest();
    let info = Info {
        device,
        adapter,
        model: manifest.name.clone(),
        expressions: manifest.expressions.iter().map(|expression| expression.name.clone()).collect(),
        side: manifest.encoder.side,
        parameters: manifest.encoder.parameters(),
        window: manifest.window,
        self_test: SelfTest { cosine: inner.golden_cosine() },
        card: manifest.card().map(str::to_owned),
        licence: manifest.licence.clone(),
    };
    Ok(Session { inner, info, follower: None })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    device: &'static str,
    adapter: String,
    model: String,
    expressions: Vec<String>,
    side: usize,
    parameters: usize,
    window: usize,
    self_test: SelfTest,
    card: Option<String>,
    licence: String,
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

    /// One picture's prediction.
    pub async fn recognize(&mut self, rgba: Vec<u8>, width: usize, height: usize) -> JsResult<JsValue> {
        let picture = Picture::new(&rgba, width, height).map_err(thrown)?;
        let prediction = self.inner.recognize(picture).await.map_err(thrown)?;
        plain(&prediction)
    }

    /// Adds a stream's frame; its time in milliseconds.
    pub async fn push(&mut self, rgba: Vec<u8>, width: usize, height: usize, timestamp: f64) -> JsResult<JsValue> {
        let picture = Picture::new(&rgba, width, height).map_err(thrown)?;
        let prediction = self.inner.push(picture, timestamp).await.map_err(thrown)?;
        plain(&prediction)
    }

    /// Takes the face detector: the text of its model.json and the file that it names.
    #[wasm_bindgen(js_name = addDetector)]
    pub fn add_detector(&mut self, manifest: &str, weights: Uint8Array) -> JsResult<()> {
        let detector = FaceDetector::read(manifest, &weights.to_vec()).map_err(thrown)?;
        self.follower = Some(FaceFollower::new(detector));
        Ok(())
    }

    /// One picture's faces.
    #[wasm_bindgen(js_name = recognizeFaces)]
    pub async fn recognize_faces(
        &mut self,
        rgba: Vec<u8>,
        width: usize,
        height: usize,
        options: JsValue,
    ) -> JsResult<JsValue> {
        let follower = Self::follower(&mut self.follower, options).map_err(thrown)?;
        let picture = Picture::new(&rgba, width, height).map_err(thrown)?;
        let detector = follower.detector().map_err(thrown)?;
        let found = self.inner.recognize_faces(detector, picture).await.map_err(thrown)?;
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
