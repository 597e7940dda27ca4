//! One stream as JavaScript sees it.

use std::collections::BTreeMap;

use js_sys::{Float32Array, Uint8Array};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::{Embedding, Engine, JsResult, plain, thrown};
use crate::bundle::Bundle;
use crate::error::{Error, ErrorKind, Result};
use crate::face::FaceDetector;
use crate::prediction::FramePrediction;
use crate::preprocess::Picture;
use crate::session::film::Clip;
use crate::session::{AskedEvidence, FaceFollower, FaceOptions, Look};

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

pub(super) async fn describe(engine: Engine, bundle: Bundle, device: &'static str, adapter: String) -> Result<Session> {
    let inner = crate::session::Session::open(engine, bundle).await?;
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
        whole_picture: !manifest.preprocess.resize.is_plain(),
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
    /// The model's own resize makes more of a picture than its centre square: the page hands all of it over.
    whole_picture: bool,
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
    inner: crate::session::Session<Engine>,
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

    /// Whether answers carry movements from now on.
    #[wasm_bindgen(js_name = setMovements)]
    pub fn set_movements(&mut self, wanted: bool) -> JsResult<()> {
        self.inner.set_movements(wanted).map_err(thrown)
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
