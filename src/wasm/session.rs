//! A session and its streams as JavaScript sees them.

use js_sys::{Float32Array, Uint8Array};
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

use super::pixels::Given;
use super::{Engine, JsResult, answers, plain, thrown};
use crate::bundle::{Bundle, Manifest};
use crate::error::{Error, ErrorKind, Result};
use crate::face::FaceDetector;
use crate::model::descriptors::Expression;
use crate::model::own_words::OwnDescriptor;
use crate::model::sentence::Sentence;
use crate::model::teaching::TaughtExpression;
use crate::preprocess::Picture;
use crate::session::{AskedEvidence, FaceOptions, Look, SHARE, Streams};

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
        expressions: described(&manifest.expressions),
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
    Ok(Session { inner: Streams::new(inner), info })
}

/// An expression and the texts that describe it.
#[derive(Serialize)]
struct Described {
    name: String,
    descriptors: Vec<String>,
}

fn described(expressions: &[Expression]) -> Vec<Described> {
    let one = |it: &Expression| Described { name: it.name.clone(), descriptors: it.descriptors.clone() };
    expressions.iter().map(one).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    device: &'static str,
    adapter: String,
    model: String,
    expressions: Vec<Described>,
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

/// A sentence that the text side has embedded.
#[derive(Deserialize)]
struct Embedded {
    text: String,
    embedding: Vec<f32>,
    mean: f32,
    deviation: f32,
}

impl Embedded {
    fn sentence(self) -> Result<Sentence> {
        Sentence::new(&self.text, self.embedding, self.mean, self.deviation)
    }
}

/// What describes an expression: what frames taught, a sentence, or the text of one of the bundle's own descriptors.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum AskedDescriptor {
    Taught(TaughtExpression),
    Sentence(Embedded),
    Known(String),
}

#[derive(Deserialize)]
struct AskedExpression {
    name: String,
    descriptors: Vec<AskedDescriptor>,
}

impl AskedExpression {
    fn own(self, manifest: &Manifest) -> Result<(String, Vec<OwnDescriptor>)> {
        let mut own = Vec::new();
        for asked in self.descriptors {
            match asked {
                AskedDescriptor::Taught(taught) => {
                    taught.check(&manifest.backbone, manifest.encoder.embedding)?;
                    own.extend(taught.descriptors.into_iter().map(OwnDescriptor::Taught));
                }
                AskedDescriptor::Sentence(embedded) => own.push(OwnDescriptor::Sentence(embedded.sentence()?)),
                AskedDescriptor::Known(text) => own.push(OwnDescriptor::Known(text)),
            }
        }
        Ok((self.name, own))
    }
}

fn read<T: for<'a> Deserialize<'a>>(value: JsValue) -> Result<T> {
    serde_wasm_bindgen::from_value(value)
        .map_err(|error| Error::new(ErrorKind::InvalidArgument, format!("the words can't be read: {error}")))
}

#[derive(Serialize)]
struct SelfTest {
    cosine: f32,
}

/// A session on this file's device, with its streams and clips by number. Calls must not overlap: the caller waits for
/// each answer.
#[wasm_bindgen]
pub struct Session {
    inner: Streams<Engine>,
    info: Info,
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
        plain(&self.inner.session.counters())
    }

    /// One picture's prediction; `pixels`: RGBA bytes, or an object that reads them part by part; `mirror`: from it and from its
    /// mirror image; `evidence`: with it, found in this way.
    pub async fn recognize(
        &mut self,
        pixels: JsValue,
        width: usize,
        height: usize,
        mirror: bool,
        evidence: Option<String>,
    ) -> JsResult<JsValue> {
        let look = look(mirror, evidence).map_err(thrown)?;
        let given = Given::new(pixels, width, height);
        let prediction = self.inner.session.recognize_with(given.picture()?, look).await;
        answers::prediction(&given.answered(prediction)?.map_err(thrown)?)
    }

    /// Whether answers carry movements from now on.
    #[wasm_bindgen(js_name = setMovements)]
    pub fn set_movements(&mut self, wanted: bool) -> JsResult<()> {
        self.inner.session.set_movements(wanted).map_err(thrown)
    }

    /// Sentences that answers compare faces with from now on, as the text side embedded them.
    #[wasm_bindgen(js_name = setSentences)]
    pub fn set_sentences(&mut self, sentences: JsValue) -> JsResult<()> {
        let asked: Vec<Embedded> = read(sentences).map_err(thrown)?;
        let sentences = asked.into_iter().map(Embedded::sentence).collect::<Result<_>>().map_err(thrown)?;
        self.inner.session.set_sentences(sentences).map_err(thrown)
    }

    /// Expressions that answers name from now on, `[{ name, descriptors: [{ known }, { sentence } or { taught }] }]`; undefined for the bundle's.
    /// Gives their texts, `[{ name, descriptors: [text] }]`.
    #[wasm_bindgen(js_name = setExpressions)]
    pub fn set_expressions(&mut self, expressions: JsValue) -> JsResult<JsValue> {
        let session = &mut self.inner.session;
        let asked: Option<Vec<AskedExpression>> = read(expressions).map_err(thrown)?;
        let own = |asked: AskedExpression| asked.own(session.manifest());
        let asked = asked.map(|asked| asked.into_iter().map(own).collect::<Result<Vec<_>>>());
        session.set_expressions(asked.transpose().map_err(thrown)?.as_deref()).map_err(thrown)?;
        plain(&described(session.expressions()))
    }

    /// Begins to look at the neutral faces of everybody that streams see.
    #[wasm_bindgen(js_name = startCalibration)]
    pub fn start_calibration(&mut self) -> JsResult<()> {
        self.inner.start_calibration().map_err(thrown)
    }

    /// Takes a share, 0..1, of what is each person's own out of later answers, and says of how many.
    #[wasm_bindgen(js_name = endCalibration)]
    pub fn end_calibration(&mut self, share: Option<f32>) -> JsResult<usize> {
        self.inner.end_calibration(share.unwrap_or(SHARE)).map_err(thrown)
    }

    /// Gives a calibration up.
    #[wasm_bindgen(js_name = dropCalibration)]
    pub fn drop_calibration(&mut self) {
        self.inner.drop_calibration();
    }

    /// Adds a frame to the lesson of this number, which its first frame opens; with `find_face` the surest face in it. False where
    /// there was none.
    #[wasm_bindgen(js_name = addExample)]
    pub async fn add_example(
        &mut self,
        lesson: u32,
        rgba: Vec<u8>,
        width: usize,
        height: usize,
        neutral: bool,
        find_face: bool,
    ) -> JsResult<bool> {
        let picture = Picture::new(&rgba, width, height).map_err(thrown)?;
        self.inner.add_example(lesson, picture, neutral, find_face).await.map_err(thrown)
    }

    /// Takes a few more steps of a lesson: `{ done, total, loss }`.
    pub fn learn(&mut self, lesson: u32, name: &str, steps: usize) -> JsResult<JsValue> {
        plain(&self.inner.learn(lesson, name, steps).map_err(thrown)?)
    }

    /// What a lesson has taught, as `setExpressions` takes it; the lesson ends with it.
    #[wasm_bindgen(js_name = finishLesson)]
    pub fn finish_lesson(&mut self, lesson: u32, name: &str) -> JsResult<JsValue> {
        plain(&self.inner.finish_lesson(lesson, name).map_err(thrown)?)
    }

    /// Forgets a lesson that was not finished.
    #[wasm_bindgen(js_name = dropLesson)]
    pub fn drop_lesson(&mut self, lesson: u32) {
        self.inner.drop_lesson(lesson);
    }

    /// How much of each expression's share among training faces scores leave out, 0..1.
    #[wasm_bindgen(js_name = setBalance)]
    pub fn set_balance(&mut self, balance: f32) -> JsResult<()> {
        self.inner.session.set_balance(balance).map_err(thrown)
    }

    /// Adds a frame to the stream of this number; its time in milliseconds.
    pub async fn push(
        &mut self,
        stream: u32,
        rgba: Vec<u8>,
        width: usize,
        height: usize,
        timestamp: f64,
    ) -> JsResult<JsValue> {
        let picture = Picture::new(&rgba, width, height).map_err(thrown)?;
        let prediction = self.inner.push(stream, picture, timestamp).await.map_err(thrown)?;
        answers::prediction(&prediction)
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
        let prediction = self.inner.push_clip(clip, length, picture).await.map_err(thrown)?;
        answers::prediction(&prediction)
    }

    /// A clip's prediction; the clip ends with it.
    #[wasm_bindgen(js_name = recognizeClip)]
    pub async fn recognize_clip(&mut self, clip: u32) -> JsResult<JsValue> {
        let prediction = self.inner.recognize_clip(clip).await.map_err(thrown)?;
        answers::prediction(&prediction)
    }

    /// Adds the next frame to a clip whose faces are answered for, and answers for the faces of that frame.
    #[wasm_bindgen(js_name = pushFaceClip)]
    pub async fn push_face_clip(
        &mut self,
        clip: u32,
        length: usize,
        rgba: Vec<u8>,
        width: usize,
        height: usize,
        options: JsValue,
    ) -> JsResult<JsValue> {
        let options = face_options(options).map_err(thrown)?;
        let picture = Picture::new(&rgba, width, height).map_err(thrown)?;
        answers::frame(&self.inner.push_face_clip(clip, length, picture, options).await.map_err(thrown)?)
    }

    /// The predictions of a clip's faces; the clip ends with it.
    #[wasm_bindgen(js_name = recognizeFaceClip)]
    pub async fn recognize_face_clip(&mut self, clip: u32) -> JsResult<JsValue> {
        answers::frame(&self.inner.recognize_face_clip(clip).await.map_err(thrown)?)
    }

    /// Forgets a clip that was not finished.
    #[wasm_bindgen(js_name = dropClip)]
    pub fn drop_clip(&mut self, clip: u32) {
        self.inner.drop_clip(clip);
    }

    /// Embeddings `[batch, embedding]` of normalised pixels `[batch, channels, side, side]`.
    pub async fn encode(&mut self, pixels: Vec<f32>) -> JsResult<Float32Array> {
        let embeddings = self.inner.session.encode_pixels(&pixels).await.map_err(thrown)?;
        Ok(Float32Array::from(embeddings.as_slice()))
    }

    /// Takes the face detector: the text of its model.json and the file that it names.
    #[wasm_bindgen(js_name = addDetector)]
    pub fn add_detector(&mut self, manifest: &str, weights: Uint8Array) -> JsResult<()> {
        let detector = FaceDetector::read(manifest, &weights.to_vec()).map_err(thrown)?;
        self.inner.set_detector(detector);
        Ok(())
    }

    /// The number of the first face that a stream follows from now on.
    #[wasm_bindgen(js_name = setNextFace)]
    pub fn set_next_face(&self, next: u32) {
        self.inner.set_next_face(next.into());
    }

    /// One picture's faces, each looked at as `recognize` looks at a picture; `pixels` as there.
    #[wasm_bindgen(js_name = recognizeFaces)]
    pub async fn recognize_faces(
        &mut self,
        pixels: JsValue,
        width: usize,
        height: usize,
        options: JsValue,
        mirror: bool,
        evidence: Option<String>,
    ) -> JsResult<JsValue> {
        let look = look(mirror, evidence).map_err(thrown)?;
        let options = face_options(options).map_err(thrown)?;
        let given = Given::new(pixels, width, height);
        let found = self.inner.recognize_faces(given.picture()?, options, look).await;
        answers::frame(&given.answered(found)?.map_err(thrown)?.into())
    }

    /// Whether a stream's frame has to be seen to be answered.
    #[wasm_bindgen(js_name = needsPicture)]
    pub fn needs_picture(&mut self, stream: u32, timestamp: f64) -> bool {
        self.inner.needs_picture(stream, timestamp)
    }

    /// Faces of a stream's frame, its time in milliseconds; no pixels where they need not be seen.
    #[wasm_bindgen(js_name = pushFaces)]
    pub async fn push_faces(
        &mut self,
        stream: u32,
        rgba: Option<Vec<u8>>,
        width: usize,
        height: usize,
        timestamp: f64,
        options: JsValue,
    ) -> JsResult<JsValue> {
        let options = face_options(options).map_err(thrown)?;
        let picture = rgba.as_ref().map(|rgba| Picture::new(rgba, width, height)).transpose().map_err(thrown)?;
        let found = self.inner.push_faces(stream, picture, timestamp, options).await.map_err(thrown)?;
        answers::frame(&found)
    }

    /// Frames of the window from now on.
    #[wasm_bindgen(js_name = setWindow)]
    pub fn set_window(&mut self, length: usize) -> JsResult<()> {
        self.inner.session.set_window(length).map_err(thrown)
    }

    /// Forgets a stream that has ended.
    pub fn end(&mut self, stream: u32) {
        self.inner.end(stream);
    }

    /// Forgets every stream's frames and faces.
    pub fn reset(&mut self) {
        self.inner.reset();
    }
}
