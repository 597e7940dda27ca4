//! A clip: which of its frames are looked at, and their embeddings on the device until it is answered.

use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};

/// The frames of a clip of `count` that stand for all of it: the middle one of each of `frames` equal parts. A clip
/// with no more than that gives all its frames, and its last one again until there are enough (DFER-CLIP's rule for
/// tests).
///
/// ```
/// assert_eq!(cliper::session::film::sample(10, 4), [1, 3, 6, 8]);
/// assert_eq!(cliper::session::film::sample(3, 5), [0, 1, 2, 2, 2]);
/// ```
pub fn sample(count: usize, frames: usize) -> Vec<usize> {
    let last = count.saturating_sub(1);
    if count <= frames {
        return (0..if count == 0 { 0 } else { frames }).map(|index| index.min(last)).collect();
    }
    let tick = count as f64 / frames as f64;
    (0..frames).map(|index| ((tick / 2.0 + tick * index as f64) as usize).min(last)).collect()
}

/// The frames of a clip that were seen so far, each encoded once.
#[derive(Debug)]
pub struct Clip<E: Engine> {
    frames: Vec<E::Embedding>,
    length: usize,
}

impl<E: Engine> Clip<E> {
    /// A clip of `length` frames.
    pub(crate) fn new(length: usize) -> Self {
        Self { frames: Vec::new(), length }
    }

    /// Frames seen.
    pub fn filled(&self) -> usize {
        self.frames.len()
    }

    /// Frames it has when full.
    pub fn length(&self) -> usize {
        self.length
    }

    pub(crate) fn push(&mut self, embedding: E::Embedding) -> Result<&E::Embedding> {
        if self.frames.len() == self.length {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("the clip has its {} frames already; sample that many, or start a longer clip", self.length),
            ));
        }
        self.frames.push(embedding);
        Ok(&self.frames[self.frames.len() - 1])
    }

    /// The full window: the last frame fills what is missing.
    pub(crate) fn window(&self) -> Result<Vec<&E::Embedding>> {
        let Some(last) = self.frames.last() else {
            return Err(Error::new(ErrorKind::InvalidArgument, "the clip has no frame; give it at least one"));
        };
        Ok((0..self.length).map(|index| self.frames.get(index).unwrap_or(last)).collect())
    }
}
