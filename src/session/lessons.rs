//! Lessons by number: frames of an expression that a page teaches, and what is learned from them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::face_cut::FaceCut;
use super::faces::found;
use super::{Session, Streams};
use crate::bundle::Manifest;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::face::FaceDetector;
use crate::model::teaching::{Learner, Lesson, STEPS, TaughtExpression};
use crate::preprocess::Picture;

/// Lessons that are open. The caller numbers them.
#[derive(Debug, Default)]
pub(super) struct Lessons {
    collected: BTreeMap<u32, Lesson>,
    learners: BTreeMap<u32, Learner>,
}

/// How far a lesson is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LessonProgress {
    /// Steps done.
    pub done: usize,
    /// Of as many.
    pub total: usize,
    /// The loss before the last step.
    pub loss: f32,
}

impl<E: Engine> Session<E> {
    /// Begins to learn an expression from the frames of a lesson.
    ///
    /// # Errors
    /// [`ErrorKind::UnsupportedBundle`] where the bundle does not say how faces are spread or has a temporal head, what
    /// [`Learner::new`] refuses, and [`ErrorKind::InvalidArgument`] for no name.
    pub fn start_lesson(&self, lesson: Lesson, name: &str) -> Result<Learner> {
        if name.trim().is_empty() {
            return Err(Error::new(ErrorKind::InvalidArgument, "the expression has no name; give it one"));
        }
        let (spread, neutral) = self.known_faces()?;
        Learner::new(lesson, name, spread.clone(), &self.own, self.manifest.calibration.temperature, neutral)
    }

    /// What a lesson has taught.
    pub fn finish_lesson(&self, learner: Learner, name: &str) -> TaughtExpression {
        let text = format!("as shown for {name}");
        let Manifest { backbone, calibration, shares, .. } = &self.manifest;
        learner.finish(name, &text, backbone, calibration.temperature, shares)
    }

    /// The embedding of the surest face of a picture, `[embedding]`; none where it shows no face.
    pub async fn embed_face(&mut self, detector: &mut FaceDetector, picture: Picture<'_>) -> Result<Option<Vec<f32>>> {
        let found = detector.detect(picture);
        let Some(face) = found.iter().max_by(|a, b| a.score.total_cmp(&b.score)) else { return Ok(None) };
        let cut = FaceCut::new(picture, &detector.refine(picture, face), &self.manifest);
        self.embed(cut.picture()?).await.map(Some)
    }
}

impl<E: Engine> Streams<E> {
    /// Adds a frame to a lesson, which its first frame opens; with `find_face` the surest face in it. Says whether there was
    /// one: a frame without is not taken.
    pub async fn add_example(
        &mut self,
        lesson: u32,
        picture: Picture<'_>,
        is_neutral: bool,
        find_face: bool,
    ) -> Result<bool> {
        let embedding = if find_face {
            let detector = found(self.detector.as_mut())?;
            self.session.embed_face(detector, picture).await?
        } else {
            Some(self.session.embed(picture).await?)
        };
        let taken = embedding.is_some();
        if let Some(embedding) = embedding {
            self.lessons.collected.entry(lesson).or_default().add(&embedding, is_neutral);
        }
        Ok(taken)
    }

    /// Takes a few more steps of a lesson; the first call begins it.
    pub fn learn(&mut self, lesson: u32, name: &str, steps: usize) -> Result<LessonProgress> {
        if !self.lessons.learners.contains_key(&lesson) {
            let collected = self.lessons.collected.get(&lesson).cloned().unwrap_or_default();
            let learner = self.session.start_lesson(collected, name)?;
            self.lessons.learners.insert(lesson, learner);
        }
        let learner = self.lessons.learners.get_mut(&lesson).ok_or_else(no_lesson)?;
        let mut loss = f32::NAN;
        for _ in 0..steps.min(STEPS - learner.done().min(STEPS)) {
            loss = learner.step();
        }
        Ok(LessonProgress { done: learner.done(), total: STEPS, loss })
    }

    /// What a lesson has taught; it ends with it.
    pub fn finish_lesson(&mut self, lesson: u32, name: &str) -> Result<TaughtExpression> {
        let learner = self.lessons.learners.remove(&lesson).ok_or_else(no_lesson)?;
        self.lessons.collected.remove(&lesson);
        Ok(self.session.finish_lesson(learner, name))
    }

    /// Forgets a lesson that was not finished.
    pub fn drop_lesson(&mut self, lesson: u32) {
        self.lessons.collected.remove(&lesson);
        self.lessons.learners.remove(&lesson);
    }
}

fn no_lesson() -> Error {
    Error::new(ErrorKind::InvalidArgument, "the lesson has not begun; give it frames and let it learn first")
}
