//! A person's own neutral face: what it differs from other people's in is taken out of later answers.

use super::{Session, Streams};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::math::{dot, unit};

/// Share of a person's difference that is taken out unless the caller says otherwise: chosen on photographs of public
/// figures, docs/measurements.md.
pub const SHARE: f32 = 0.3;
/// Fewest frames that a neutral face is known by.
const LEAST_FRAMES: u32 = 3;

/// What is known of one person: of a stream, or of a face that is followed.
#[derive(Debug, Default)]
pub(super) struct Person {
    /// Unit vectors of the frames that a calibration has seen, added up.
    sum: Vec<f32>,
    frames: u32,
    difference: Option<Difference>,
}

/// How a person at rest differs from other people at rest.
#[derive(Debug)]
struct Difference {
    /// In the joint space, `[embedding]`, as much of it as is taken out.
    vector: Vec<f32>,
    /// Its products with all that answers are made with.
    similarities: Vec<f32>,
    /// What the session was asked to say when they were made.
    wording: u64,
}

impl Person {
    fn add(&mut self, embedding: &[f32]) {
        let face = unit(embedding);
        self.sum.resize(face.len(), 0.0);
        self.sum.iter_mut().zip(face).for_each(|(sum, value)| *sum += value);
        self.frames += 1;
    }

    fn forget_frames(&mut self) {
        (self.sum, self.frames) = Default::default();
    }

    /// Ends a calibration: says whether enough was seen. What was known before stays where it was not.
    pub(super) fn settle(&mut self, share: f32, usual: &[f32]) -> bool {
        let (sum, frames) = (std::mem::take(&mut self.sum), std::mem::take(&mut self.frames));
        if frames < LEAST_FRAMES {
            return false;
        }
        let vector = sum.iter().zip(usual).map(|(sum, usual)| share * (sum / frames as f32 - usual)).collect();
        // Of no wording yet: its products are made when they are first needed.
        self.difference = Some(Difference { vector, similarities: Vec::new(), wording: u64::MAX });
        true
    }
}

impl<E: Engine> Session<E> {
    /// Begins to look at neutral faces: every person that streams see from now on.
    ///
    /// # Errors
    /// [`ErrorKind::UnsupportedBundle`] where the bundle does not say what neutral faces are like, or has a temporal head.
    pub fn start_calibration(&mut self) -> Result<()> {
        self.known_faces()?;
        self.is_calibrating = true;
        Ok(())
    }

    /// Looks at a person's frame where a calibration goes on.
    pub(super) async fn meet(&mut self, person: &mut Person, embedding: &E::Embedding) -> Result<()> {
        if self.is_calibrating {
            let values = self.engine.read(embedding).await?;
            self.counters.read_bytes += 4 * values.len() as u64;
            person.add(&values);
        }
        Ok(())
    }

    /// Takes what is the person's own out of similarities.
    pub(super) fn correct(&self, person: &mut Person, similarities: &mut [f32]) {
        let Some(difference) = &mut person.difference else { return };
        if difference.wording != self.wording {
            let rows = self.rows();
            let products = rows.chunks_exact(difference.vector.len()).map(|row| dot(row, &difference.vector));
            (difference.similarities, difference.wording) = (products.collect(), self.wording);
        }
        similarities.iter_mut().zip(&difference.similarities).for_each(|(found, own)| *found -= own);
    }
}

impl<E: Engine> Streams<E> {
    /// Begins to look at neutral faces: [`Session::start_calibration`].
    pub fn start_calibration(&mut self) -> Result<()> {
        self.session.start_calibration()
    }

    /// Ends a calibration, and says how many people are known from now on: a stream's, or each face that is followed.
    ///
    /// - share: of a person's difference from other people, 0..1
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a share outside its range.
    pub fn end_calibration(&mut self, share: f32) -> Result<usize> {
        self.session.is_calibrating = false;
        if !(0.0..=1.0).contains(&share) {
            let why = format!("a share of {share} of a person's own face is not possible; give 0 to 1");
            return Err(Error::new(ErrorKind::InvalidArgument, why));
        }
        let (spread, neutral) = self.session.known_faces()?;
        let usual = spread.mean(neutral).to_vec();
        let known = self.persons().map(|person| person.settle(share, &usual)).filter(|is_known| *is_known).count();
        // Frames that were answered are answered anew.
        self.session.reword();
        Ok(known)
    }

    /// Gives a calibration up: what was known before stays.
    pub fn drop_calibration(&mut self) {
        self.session.is_calibrating = false;
        self.persons().for_each(Person::forget_frames);
    }
}
