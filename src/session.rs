//! The state of a stream: one engine, the window of frame embeddings on its device, and what was counted.

mod faces;
mod glance;
mod window;

pub use faces::{FaceFollower, FaceOptions};

use crate::bundle::{Bundle, GOLDEN_SIDE, Manifest, golden_picture};
use crate::config::MAX_WINDOW;
use crate::error::{Error, ErrorKind, Result};
use crate::face::{FaceCrop, FaceDetector};
use crate::model::descriptors::Descriptors;
use crate::prediction::{FacePrediction, FaceState, PicturePrediction, Prediction, WindowState};
use crate::preprocess::{Picture, preprocess};
use window::{Limits, Window};

/// Least cosine of the golden self-test. f32 devices reach 0.999999, f16 products about 0.9999; a wrong kernel was
/// seen to give 0.03.
pub const GOLDEN_COSINE: f32 = 0.999;

/// Looks a second that a window is made for: it covers as many seconds as these looks take to fill it.
pub const RATE: f64 = 8.0;

/// A device with the model on it: embeds frames and compares windows of them with the descriptors.
#[allow(async_fn_in_trait, reason = "one thread drives a session: the futures need not be Send")]
pub trait Engine {
    /// A frame's embedding, where the device keeps it.
    type Embedding;

    /// Runs the encoder once.
    ///
    /// # Shapes
    /// - pixels: `[channels, side, side]`, normalised
    fn encode(&mut self, pixels: Vec<f32>) -> Result<Self::Embedding>;

    /// Runs the encoder over several pictures, in one batch where the device gains by it.
    async fn encode_each(&mut self, pictures: Vec<Vec<f32>>) -> Result<Vec<Self::Embedding>> {
        let mut embeddings = Vec::with_capacity(pictures.len());
        for pixels in pictures {
            embeddings.push(self.encode(pixels)?);
        }
        Ok(embeddings)
    }

    /// Pools frames (mean, then unit length) and gives the cosine with every descriptor: the one read-back.
    async fn similarities(&self, frames: &[&Self::Embedding]) -> Result<Vec<f32>>;

    /// [`Engine::similarities`] of several windows, with one read-back where reading back costs.
    async fn similarities_of_all(&self, windows: &[Vec<&Self::Embedding>]) -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(windows.len());
        for window in windows {
            all.push(self.similarities(window).await?);
        }
        Ok(all)
    }

    /// Reads an embedding back, for the self-test and for tools.
    async fn read(&self, embedding: &Self::Embedding) -> Result<Vec<f32>>;
}

/// Work done so far; tests count it instead of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// Encoder passes.
    pub passes: u64,
    /// Bytes of pixels given to the device.
    pub uploaded_bytes: u64,
    /// Bytes read back from it.
    pub read_bytes: u64,
    /// Runs of the face detector over a frame of a stream.
    pub detections: u64,
    /// Passes saved because a face had hardly changed.
    pub skipped_passes: u64,
    /// Faces that had to wait for the next frame because there were too many.
    pub deferred_faces: u64,
    /// Frames of a time that was answered already.
    pub repeated_frames: u64,
}

/// One stream's model, window and counters.
#[derive(Debug)]
pub struct Session<E: Engine> {
    engine: E,
    manifest: Manifest,
    descriptors: Descriptors,
    window: Window<E::Embedding>,
    length: usize,
    last: Option<(f64, Prediction)>,
    counters: Counters,
    golden_cosine: f32,
}

impl<E: Engine> Session<E> {
    /// Takes an engine that holds the bundle's model and proves it on the golden picture.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceWrong`] when the embedding is not the packed one.
    pub async fn open(engine: E, bundle: Bundle) -> Result<Self> {
        let Bundle { manifest, descriptors, golden, .. } = bundle;
        let length = manifest.window;
        let mut session = Self {
            engine,
            manifest,
            descriptors,
            window: Window::default(),
            length,
            last: None,
            counters: Counters::default(),
            golden_cosine: 0.0,
        };
        let picture = golden_picture();
        // Twice: a wrong kernel that tuning or caching picks shows from the second pass on.
        for _ in 0..2 {
            let embedding = session.embed(Picture::new(&picture, GOLDEN_SIDE, GOLDEN_SIDE)?).await?;
            session.golden_cosine = cosine(&embedding, &golden);
            if session.golden_cosine.is_nan() || session.golden_cosine < GOLDEN_COSINE {
                return Err(Error::new(
                    ErrorKind::DeviceWrong,
                    format!(
                        "the device computed a wrong embedding of the golden picture (cosine {:.4}, at least \
                         {GOLDEN_COSINE} is needed); use another device",
                        session.golden_cosine
                    ),
                ));
            }
        }
        // The scores' kernels compile here, not at the first frame.
        session.recognize(Picture::new(&picture, GOLDEN_SIDE, GOLDEN_SIDE)?).await?;
        session.counters = Counters::default();
        Ok(session)
    }

    /// One picture's prediction; the window stays as it is.
    pub async fn recognize(&mut self, picture: Picture<'_>) -> Result<Prediction> {
        let embedding = self.encode(picture)?;
        self.predict(&[&embedding], WindowState { filled: 1, length: 1 }).await.map(|(prediction, read)| {
            self.counters.read_bytes += read;
            prediction
        })
    }

    /// Every face of a picture with its prediction, the surest face first; the window stays as it is.
    ///
    /// Each face is looked at twice, so that its crop is upright, and cropped with the bundle's margin.
    pub async fn recognize_faces(
        &mut self,
        detector: &mut FaceDetector,
        picture: Picture<'_>,
    ) -> Result<PicturePrediction> {
        let side = self.manifest.encoder.side;
        let mut faces = Vec::new();
        for face in detector.detect(picture) {
            let face = detector.refine(picture, &face);
            let crop = FaceCrop::around(&face, self.manifest.face_margin).cut(picture, side);
            let prediction = self.recognize(Picture::new(&crop, side, side)?).await?;
            faces.push(FacePrediction { face, prediction });
        }
        let state = if faces.is_empty() { FaceState::NoFace } else { FaceState::Recognized };
        Ok(PicturePrediction { state, faces })
    }

    /// Adds a frame of a stream to the window and predicts from the window, which holds the newest frames of the seconds
    /// that they take at [`RATE`].
    ///
    /// - timestamp: media time in milliseconds; going back, or a gap as long as the window, starts a new one, and a time
    ///   that was answered already is answered the same.
    pub async fn push(&mut self, picture: Picture<'_>, timestamp: f64) -> Result<Prediction> {
        faces::check_time(timestamp)?;
        if let Some((_, answer)) = self.last.as_ref().filter(|(last, _)| *last == timestamp) {
            self.counters.repeated_frames += 1;
            return Ok(answer.clone());
        }
        let embedding = self.encode(picture)?;
        self.window.push(timestamp, embedding, self.limits(RATE));
        let frames: Vec<&E::Embedding> = self.window.frames().collect();
        let window = WindowState { filled: frames.len(), length: self.length };
        let (prediction, read) = self.predict(&frames, window).await?;
        self.counters.read_bytes += read;
        self.last = Some((timestamp, prediction.clone()));
        Ok(prediction)
    }

    /// The embedding of one picture, `[embedding]`, of any length.
    pub async fn embed(&mut self, picture: Picture<'_>) -> Result<Vec<f32>> {
        let embedding = self.encode(picture)?;
        let values = self.engine.read(&embedding).await?;
        self.counters.read_bytes += 4 * values.len() as u64;
        Ok(values)
    }

    /// Frames of the window from now on; the newest ones stay.
    pub fn set_window(&mut self, length: usize) -> Result<()> {
        if length == 0 || length > MAX_WINDOW {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("a window of {length} frames can't be kept; 1 to {MAX_WINDOW} can"),
            ));
        }
        self.length = length;
        Ok(())
    }

    /// Forgets the stream's frames.
    pub fn reset(&mut self) {
        self.window = Window::default();
        self.last = None;
    }

    /// The bundle's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Work done since the session opened.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Cosine of the golden self-test.
    pub fn golden_cosine(&self) -> f32 {
        self.golden_cosine
    }

    fn limits(&self, rate: f64) -> Limits {
        Limits { length: self.length, span: self.length as f64 * 1000.0 / rate }
    }

    fn encode(&mut self, picture: Picture) -> Result<E::Embedding> {
        let pixels = preprocess(picture, &self.manifest.encoder, &self.manifest.preprocess);
        self.counters.passes += 1;
        self.counters.uploaded_bytes += 4 * pixels.len() as u64;
        self.engine.encode(pixels)
    }

    async fn predict(&self, frames: &[&E::Embedding], window: WindowState) -> Result<(Prediction, u64)> {
        let similarities = self.engine.similarities(frames).await?;
        let read = 4 * similarities.len() as u64;
        Ok((self.explain(&similarities, window)?, read))
    }

    fn explain(&self, similarities: &[f32], window: WindowState) -> Result<Prediction> {
        if similarities.iter().any(|similarity| !similarity.is_finite()) {
            return Err(Error::new(
                ErrorKind::DeviceWrong,
                "the device computed similarities that are no numbers; create the recognizer again or use another device",
            ));
        }
        let temperature = self.manifest.calibration.temperature;
        Ok(self.descriptors.predict(similarities, temperature, window))
    }
}

/// Cosine of two vectors.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()) as f32
}
