//! One engine and its model, the windows of frame embeddings on its device, and what was counted.

mod change_detector;
mod clarity;
mod counters;
mod evidence;
mod face_clip;
mod face_cut;
mod faces;
pub mod film;
mod lessons;
mod person;
mod streams;
mod window;

pub use counters::Counters;
pub use evidence::{AskedEvidence, Look};
pub use face_clip::FaceClip;
pub use faces::{FaceFollower, FaceOptions};
pub use lessons::LessonProgress;
pub use person::SHARE;
pub use streams::Streams;
pub use window::Stream;

use crate::bundle::{Bundle, Calibration, GOLDEN_SIDE, Manifest, golden_picture};
use crate::engine::{Engine, Work};
use crate::error::{Error, ErrorKind, Result};
use crate::face::{FaceDetector, Shrunk};
use crate::math::{cosine, mean};
use crate::model::descriptors::{Descriptors, Expression};
use crate::model::face_spread::FaceSpread;
use crate::model::movement_set::MovementSet;
use crate::model::own_words::{OwnDescriptor, in_own_words};
use crate::model::sentence::Sentence;
use crate::prediction::{FacePrediction, FaceState, PicturePrediction, Prediction, WindowState};
use crate::preprocess::{Picture, mirror, preprocess};
use face_cut::FaceCut;
use film::Clip;
use window::Limits;

/// Pixels from which a picture is a large photo: more than a film of 1920 x 1080 has.
const LARGE: usize = 1 << 21;
/// Pixels of a large photo's face, along a side, for each that the encoder sees.
const FINE: usize = 2;

/// Least cosine of the golden self-test. f32 devices reach 0.999999, f16 products about 0.9999; a wrong kernel was
/// seen to give 0.03.
pub const GOLDEN_COSINE: f32 = 0.999;

/// Largest difference of a similarity in the golden self-test of a temporal head; f32 devices differ by 1e-5.
pub const GOLDEN_SIMILARITY: f32 = 0.01;
/// Looks a second that a window is made for: it covers as many seconds as these looks take to fill it.
pub const RATE: f64 = 8.0;

/// What the expression of a face at rest is called.
const NEUTRAL: &str = "neutral";

/// A model on its engine, and counters; streams and clips are given to it.
#[derive(Debug)]
pub struct Session<E: Engine> {
    engine: E,
    manifest: Manifest,
    /// The bundle's own.
    own: Descriptors,
    /// What answers are made with.
    descriptors: Descriptors,
    /// How much of each expression's share among training faces scores leave out.
    balance: f32,
    /// Counts what was asked anew: answers before it are no longer the ones that are wanted.
    wording: u64,
    face_spread: Option<FaceSpread>,
    /// Whether people's neutral faces are looked at now.
    is_calibrating: bool,
    movements: Option<MovementSet>,
    /// Whether answers carry them.
    with_movements: bool,
    sentences: Vec<Sentence>,
    /// Frames of a stream's window.
    length: usize,
    counters: Counters,
    golden_cosine: f32,
    /// The device's work before the counters began.
    start: Work,
}

impl<E: Engine> Session<E> {
    /// Takes an engine that holds the bundle's model and proves it on the golden picture.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceWrong`] when the embedding is not the packed one.
    pub async fn open(engine: E, bundle: Bundle) -> Result<Self> {
        let Bundle { manifest, descriptors, face_spread, movements, golden, golden_window, .. } = bundle;
        let length = manifest.window;
        let mut session = Self {
            engine,
            manifest,
            own: descriptors.clone(),
            descriptors,
            balance: 0.0,
            wording: 0,
            face_spread,
            is_calibrating: false,
            movements,
            with_movements: false,
            sentences: Vec::new(),
            length,
            counters: Counters::default(),
            golden_cosine: 0.0,
            start: Work::default(),
        };
        let picture = golden_picture();
        let mut frame = session.encode(Picture::new(&picture, GOLDEN_SIDE, GOLDEN_SIDE)?).await?;
        for pass in 0..session.engine.proving_passes() {
            if pass > 0 {
                frame = session.encode(Picture::new(&picture, GOLDEN_SIDE, GOLDEN_SIDE)?).await?;
            }
            session.golden_cosine = cosine(&session.engine.read(&frame).await?, &golden);
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
        if let Some(wanted) = golden_window {
            let found = session.engine.similarities(&[&frame, &frame]).await?;
            let most = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // Written so that no number fails as well.
            if !(found.len() == wanted.len()
                && found.iter().all(|value| value.is_finite())
                && most <= GOLDEN_SIMILARITY)
            {
                return Err(Error::new(
                    ErrorKind::DeviceWrong,
                    format!(
                        "the device's temporal head is off by {most:.4} on the golden picture (at most \
                         {GOLDEN_SIMILARITY} is allowed); use another device"
                    ),
                ));
            }
        }
        // The scores' kernels compile here, not at the first frame.
        session.predict(&[&frame], WindowState { filled: 1, length: 1 }).await?;
        session.counters = Counters::default();
        session.start = session.engine.work().unwrap_or_default();
        Ok(session)
    }

    /// One picture's prediction; no window changes.
    pub async fn recognize(&mut self, picture: Picture<'_>) -> Result<Prediction> {
        self.recognize_with(picture, Look::default()).await
    }

    /// One picture's prediction, looked at as `look` says; no window changes.
    pub async fn recognize_with(&mut self, picture: Picture<'_>, look: Look) -> Result<Prediction> {
        let window = WindowState { filled: 1, length: 1 };
        if let Some(asked) = look.evidence {
            return self.recognize_evident(picture, look.mirrored, asked).await;
        }
        if !look.mirrored {
            let embedding = self.encode(picture).await?;
            let (prediction, read) = self.predict(&[&embedding], window).await?;
            self.counters.read_bytes += read;
            return Ok(prediction);
        }
        let Manifest { encoder, preprocess: config, .. } = &self.manifest;
        let pixels = preprocess(picture, encoder, config);
        let image = mirror(&pixels, encoder.side);
        self.counters.passes += 2;
        self.counters.uploaded_bytes += 8 * pixels.len() as u64;
        let frames = self.engine.encode_each(vec![pixels, image]).await?;
        let windows: Vec<_> = frames.iter().map(|frame| vec![frame]).collect();
        let found = self.engine.similarities_of_all(&windows).await?;
        self.counters.read_bytes += found.iter().map(|row| 4 * row.len() as u64).sum::<u64>();
        self.explain(&mean(&found), window)
    }

    /// Every face of a picture with its prediction, the surest face first; no window changes.
    ///
    /// Of a large photo whole squares of pixels are averaged first, so that it is read once: the smallest face that is found keeps two for
    /// each that the encoder sees.
    /// Each face is looked at twice, so that its crop is upright, and cropped with the bundle's margin. Scores of one that is hardly
    /// seen, or hardly one, are drawn towards even ones.
    ///
    /// - look: how each face is looked at
    pub async fn recognize_faces(
        &mut self,
        detector: &mut FaceDetector,
        picture: Picture<'_>,
        look: Look,
    ) -> Result<PicturePrediction> {
        let below = self.manifest.calibration.uncertain_below;
        let longest = detector.longest(FINE * self.manifest.encoder.side);
        let factor = picture.width().max(picture.height()) / longest;
        let is_large = picture.width() * picture.height() > LARGE && factor > 1;
        let shrunk = is_large.then(|| Shrunk::new(picture, factor));
        let picture = shrunk.as_ref().map_or(Ok(picture), Shrunk::picture)?;
        let mut faces = Vec::new();
        for face in detector.detect(picture) {
            let cut = FaceCut::new(picture, &detector.refine(picture, &face), &self.manifest);
            let prediction = self.recognize_with(cut.picture()?, look).await?.doubted(cut.clarity, below);
            let face = shrunk.as_ref().map_or(cut.face, |shrunk| shrunk.enlarge(cut.face));
            faces.push(FacePrediction { face, prediction });
        }
        let state = if faces.is_empty() { FaceState::NoFace } else { FaceState::Recognized };
        Ok(PicturePrediction { state, faces })
    }

    /// Adds a frame to a stream's window and predicts from the window, which holds the newest frames of the seconds
    /// that they take at [`RATE`].
    ///
    /// - timestamp: media time in milliseconds; going back, or a gap as long as the window, starts a new one, and a time
    ///   that was answered already is answered the same.
    pub async fn push(
        &mut self,
        stream: &mut Stream<E::Embedding>,
        picture: Picture<'_>,
        timestamp: f64,
    ) -> Result<Prediction> {
        faces::check_time(timestamp)?;
        let is_reworded = std::mem::replace(&mut stream.wording, self.wording) != self.wording;
        if let Some((_, answer)) = stream.last.as_ref().filter(|(last, _)| *last == timestamp && !is_reworded) {
            self.counters.repeated_frames += 1;
            return Ok(answer.clone());
        }
        let embedding = self.encode(picture).await?;
        self.meet(&mut stream.person, &embedding).await?;
        stream.window.push(timestamp, embedding, self.limits(RATE));
        let frames: Vec<&E::Embedding> = stream.window.frames().collect();
        let window = WindowState { filled: frames.len(), length: self.length };
        let mut similarities = self.engine.similarities(&frames).await?;
        self.counters.read_bytes += 4 * similarities.len() as u64;
        self.correct(&mut stream.person, &mut similarities);
        let prediction = self.explain(&similarities, window)?;
        stream.last = Some((timestamp, prediction.clone()));
        Ok(prediction)
    }

    /// Starts a clip of `length` frames: as many as [`crate::session::film::sample`] is asked for. No window changes.
    pub fn start_clip(&self, length: usize) -> Result<Clip<E>> {
        self.check_length(length)?;
        Ok(Clip::new(length))
    }

    /// Adds the next frame to a clip, and predicts from that frame alone: a point of the clip's time-line.
    pub async fn push_clip(&mut self, clip: &mut Clip<E>, picture: Picture<'_>) -> Result<Prediction> {
        let embedding = clip.push(self.encode(picture).await?)?;
        let (prediction, read) = self.predict(&[embedding], WindowState { filled: 1, length: 1 }).await?;
        self.counters.read_bytes += read;
        Ok(prediction)
    }

    /// Predicts from a whole clip. One with fewer frames than it was started for repeats its last one.
    pub async fn recognize_clip(&mut self, clip: &Clip<E>) -> Result<Prediction> {
        let window = WindowState { filled: clip.filled(), length: clip.length() };
        let (prediction, read) = self.predict(&clip.window()?, window).await?;
        self.counters.read_bytes += read;
        Ok(prediction)
    }

    /// The embedding of one picture, `[embedding]`, of any length.
    pub async fn embed(&mut self, picture: Picture<'_>) -> Result<Vec<f32>> {
        let embedding = self.encode(picture).await?;
        let values = self.engine.read(&embedding).await?;
        self.counters.read_bytes += 4 * values.len() as u64;
        Ok(values)
    }

    /// The embeddings of pixels that were prepared elsewhere, of any length.
    ///
    /// # Shapes
    /// - pixels: `[batch, channels, side, side]`, normalised as the encoder was trained
    /// - output: `[batch, embedding]`
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for values that are no whole pictures or not finite.
    pub async fn encode_pixels(&mut self, pixels: &[f32]) -> Result<Vec<f32>> {
        let encoder = &self.manifest.encoder;
        let values = encoder.channels * encoder.side * encoder.side;
        let invalid = |why: String| Err(Error::new(ErrorKind::InvalidArgument, why));
        if pixels.is_empty() || !pixels.len().is_multiple_of(values) {
            return invalid(format!(
                "{} values are no batch of pictures; give {} x {side} x {side} for each",
                pixels.len(),
                encoder.channels,
                side = encoder.side
            ));
        }
        if let Some(index) = pixels.iter().position(|value| !value.is_finite()) {
            return invalid(format!("the value at position {index} is not a finite number"));
        }
        let embeddings = self.engine.encode_all(pixels, values).await?;
        self.counters.passes += (pixels.len() / values) as u64;
        self.counters.uploaded_bytes += 4 * pixels.len() as u64;
        self.counters.read_bytes += 4 * embeddings.len() as u64;
        Ok(embeddings)
    }

    /// Frames of the window from now on; the newest ones stay.
    pub fn set_window(&mut self, length: usize) -> Result<()> {
        self.check_length(length)?;
        self.length = length;
        Ok(())
    }

    /// Whether answers carry movements from now on.
    ///
    /// # Errors
    /// [`ErrorKind::UnsupportedBundle`] where the bundle has none.
    pub fn set_movements(&mut self, wanted: bool) -> Result<()> {
        if wanted && self.movements.is_none() {
            return Err(Error::new(
                ErrorKind::UnsupportedBundle,
                format!(
                    "the model `{}` has no movements; leave them out, or pack it with the ones that                      `cargo pkg train metd --shapes` learned",
                    self.manifest.name
                ),
            ));
        }
        self.with_movements = wanted;
        self.reword();
        Ok(())
    }

    /// The movements, where answers carry them.
    fn asked_movements(&self) -> Option<&MovementSet> {
        self.movements.as_ref().filter(|_| self.with_movements)
    }

    /// What answers are made with: the descriptors, then the movements, then the sentences.
    fn rows(&self) -> Vec<f32> {
        let movements = self.asked_movements().into_iter().flat_map(|set| set.embeddings());
        let sentences = self.sentences.iter().flat_map(|sentence| sentence.embedding());
        self.descriptors.embeddings().iter().chain(movements).chain(sentences).copied().collect()
    }

    /// How other people's faces are spread, and which expression a face at rest has: what lessons and calibrations need.
    fn known_faces(&self) -> Result<(&FaceSpread, usize)> {
        // A temporal head's answers do not add up of its frames'.
        let spread = self.face_spread.as_ref().filter(|_| self.manifest.temporal.is_none());
        spread.zip(self.own.names().position(|own| own == NEUTRAL)).ok_or_else(|| {
            Error::new(
                ErrorKind::UnsupportedBundle,
                format!(
                    "the model `{}` does not say how neutral and other faces are spread, which lessons and calibrations need; pack \
                     it again with --data, without a temporal head, and answer in its own labels",
                    self.manifest.name
                ),
            )
        })
    }

    /// Sentences that answers compare the face with from now on, in place of earlier ones.
    ///
    /// # Errors
    /// [`ErrorKind::ForeignDescriptors`] for embeddings of another width than the model's.
    pub fn set_sentences(&mut self, sentences: Vec<Sentence>) -> Result<()> {
        let width = self.descriptors.width();
        if let Some(foreign) = sentences.iter().find(|sentence| sentence.embedding().len() != width) {
            return Err(Error::new(
                ErrorKind::ForeignDescriptors,
                format!(
                    "the embedding of \"{}\" is {} wide, the model's are {width}; make it with the bundle's own text side",
                    foreign.text(),
                    foreign.embedding().len()
                ),
            ));
        }
        self.sentences = sentences;
        self.reword();
        Ok(())
    }

    /// Expressions that answers name from now on, each by what describes it, in place of the bundle's own; `None` takes those
    /// again. Windows stay.
    ///
    /// # Errors
    /// What [`in_own_words`] refuses; nothing changes then.
    pub fn set_expressions(&mut self, asked: Option<&[(String, Vec<OwnDescriptor>)]>) -> Result<()> {
        let descriptors = match asked {
            Some(asked) => in_own_words(&self.own, asked)?,
            None => self.own.clone(),
        };
        self.descriptors = descriptors;
        self.set_balance(self.balance)
    }

    /// Leaves each expression's share among training faces out of the scores, to this power, 0 to 1: with more of it rare
    /// expressions are found more often, and frequent ones less. Expressions of other names have the usual share.
    ///
    /// # Errors
    /// What [`Manifest::check_balance`] refuses.
    pub fn set_balance(&mut self, balance: f32) -> Result<()> {
        self.manifest.check_balance(balance)?;
        let shares = &self.manifest.shares;
        self.balance = balance;
        let usual = 1.0 / self.own.expressions().len() as f32;
        let share =
            |name: &str| self.own.names().position(|own| own == name).and_then(|place| shares.get(place)).copied();
        let shares: Vec<f32> = self.descriptors.names().map(|name| share(name).unwrap_or(usual)).collect();
        self.descriptors = self.descriptors.clone().with_balance(&shares, balance);
        self.reword();
        Ok(())
    }

    /// What answers are made with: the expressions' names and texts.
    pub fn expressions(&self) -> &[Expression] {
        self.descriptors.expressions()
    }

    fn reword(&mut self) {
        self.wording += 1;
        let rows = self.rows();
        self.engine.set_rows(rows);
    }

    /// The bundle's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Work done since the session opened.
    pub fn counters(&self) -> Counters {
        match self.engine.work() {
            None => self.counters,
            Some(work) => Counters {
                dispatches: work.dispatches - self.start.dispatches,
                uploaded_bytes: work.uploaded_bytes - self.start.uploaded_bytes,
                read_bytes: work.read_bytes - self.start.read_bytes,
                ..self.counters
            },
        }
    }

    /// Cosine of the golden self-test.
    pub fn golden_cosine(&self) -> f32 {
        self.golden_cosine
    }

    fn check_length(&self, length: usize) -> Result<()> {
        let most = self.manifest.longest_window();
        if length == 0 || length > most {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("a window of {length} frames can't be kept; this model takes 1 to {most}"),
            ));
        }
        Ok(())
    }

    fn limits(&self, rate: f64) -> Limits {
        Limits { length: self.length, span: self.length as f64 * 1000.0 / rate }
    }

    async fn encode(&mut self, picture: Picture<'_>) -> Result<E::Embedding> {
        let pixels = preprocess(picture, &self.manifest.encoder, &self.manifest.preprocess);
        self.counters.passes += 1;
        self.counters.uploaded_bytes += 4 * pixels.len() as u64;
        self.engine.encode(pixels).await
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
        let Calibration { temperature, uncertain_below, .. } = self.manifest.calibration;
        let (descriptors, others) = similarities.split_at(self.descriptors.count().min(similarities.len()));
        let mut prediction = self.descriptors.predict(descriptors, temperature, uncertain_below, window);
        let movements = self.asked_movements();
        let (moved, said) = others.split_at(movements.map_or(0, |set| set.names().len()).min(others.len()));
        prediction.movements = movements.map(|set| set.scores(moved));
        if !self.sentences.is_empty() {
            let compared = self.sentences.iter().zip(said);
            prediction.texts = Some(compared.map(|(sentence, &similarity)| sentence.compare(similarity)).collect());
        }
        Ok(prediction)
    }
}
