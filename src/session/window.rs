//! The embeddings of one face's last seconds, by time and not by count: a slow camera and a fast one see the same span.

use std::collections::VecDeque;
use std::rc::Rc;

use super::person::Person;
use crate::prediction::Prediction;

/// How much a window holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Most embeddings.
    pub length: usize,
    /// Milliseconds that the oldest one may be behind the newest.
    pub span: f64,
}

/// One stream: its window, and what was answered last. [`super::Session::push`] gives it the frames.
#[derive(Debug)]
pub struct Stream<E> {
    pub(super) window: Window<E>,
    pub(super) person: Person,
    pub(super) last: Option<(f64, Prediction)>,
    /// What the session was asked to say when it answered last.
    pub(super) wording: u64,
}

impl<E> Default for Stream<E> {
    fn default() -> Self {
        Self { window: Window::default(), person: Person::default(), last: None, wording: 0 }
    }
}

impl<E> Stream<E> {
    /// Forgets all frames, and the person.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

/// The embeddings of one face, oldest first.
#[derive(Debug)]
pub struct Window<E> {
    frames: VecDeque<(f64, Rc<E>)>,
    /// Whether something had to go to make room: the window covers all it can.
    has_forgotten: bool,
}

impl<E> Default for Window<E> {
    fn default() -> Self {
        Self { frames: VecDeque::new(), has_forgotten: false }
    }
}

impl<E> Window<E> {
    /// Adds an embedding.
    pub fn push(&mut self, at: f64, embedding: E, limits: Limits) {
        self.add(at, Rc::new(embedding), limits);
    }

    /// Adds the newest embedding once more, for a frame that looks the same, and says whether that changed what the
    /// window holds.
    pub fn repeat(&mut self, at: f64, limits: Limits) -> bool {
        let Some((_, last)) = self.frames.back().cloned() else { return false };
        let before = self.frames.len();
        let was_still = self.frames.iter().all(|(_, embedding)| Rc::ptr_eq(embedding, &last));
        self.add(at, last, limits);
        !was_still || self.frames.len() != before
    }

    /// Whether the window covers its seconds; until then it is warming up.
    pub fn is_warm(&self, limits: Limits) -> bool {
        self.has_forgotten || self.frames.len() >= limits.length
    }

    /// The embeddings, oldest first.
    pub fn frames(&self) -> impl ExactSizeIterator<Item = &E> {
        self.frames.iter().map(|(_, embedding)| embedding.as_ref())
    }

    fn add(&mut self, at: f64, embedding: Rc<E>, Limits { length, span }: Limits) {
        let before = self.frames.len();
        self.frames.retain(|(time, _)| *time > at - span && *time <= at);
        // After a gap the window begins anew.
        self.has_forgotten = !self.frames.is_empty() && (self.has_forgotten || self.frames.len() < before);
        self.frames.push_back((at, embedding));
        while self.frames.len() > length.max(1) {
            self.frames.pop_front();
            self.has_forgotten = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { length: 8, span: 1000.0 };

    fn held(window: &Window<u32>) -> Vec<u32> {
        window.frames().copied().collect()
    }

    /// The window after `seconds` of a stream that gives `rate` embeddings a second.
    fn streamed(rate: f64, seconds: f64) -> Window<u32> {
        let mut window = Window::default();
        for index in 0..(rate * seconds) as u32 {
            window.push(f64::from(index) * 1000.0 / rate, index, LIMITS);
        }
        window
    }

    #[test]
    fn slow_and_fast_streams_cover_the_same_second() {
        assert_eq!(held(&streamed(8.0, 3.0)), (16..24).collect::<Vec<_>>());
        assert_eq!(held(&streamed(5.0, 3.0)), (10..15).collect::<Vec<_>>());
        assert_eq!(held(&streamed(1.0, 3.0)), [2]);
        for rate in [1.5, 5.0, 8.0] {
            assert!(!streamed(rate, 0.99).is_warm(LIMITS), "{rate}");
            assert!(streamed(rate, 2.5).is_warm(LIMITS), "{rate}");
        }
    }

    #[test]
    fn no_more_is_held_than_fits_however_fast_it_comes() {
        assert_eq!(held(&streamed(60.0, 1.0)), (52..60).collect::<Vec<_>>());
        assert!(Window::<u32>::default().frames().next().is_none());
    }

    #[test]
    fn a_gap_begins_a_new_window() {
        let mut window = streamed(8.0, 2.0);
        assert!(window.is_warm(LIMITS));
        window.push(9000.0, 99, LIMITS);
        assert_eq!(held(&window), [99]);
        assert!(!window.is_warm(LIMITS));
        window.push(100.0, 7, LIMITS);
        assert_eq!(held(&window), [7], "a time that goes back does too");
    }

    #[test]
    fn a_repeated_embedding_is_the_same_one_and_says_when_nothing_changes() {
        let mut window = Window::default();
        assert!(!window.repeat(0.0, LIMITS), "nothing to repeat");
        window.push(0.0, 1, LIMITS);
        window.push(125.0, 2, LIMITS);
        for frame in 2..9 {
            assert!(window.repeat(f64::from(frame) * 125.0, LIMITS), "{frame}");
        }
        assert_eq!(held(&window), [2; 8]);
        assert!(!window.repeat(1125.0, LIMITS));
        assert!(Rc::strong_count(&window.frames[0].1) == 8, "one embedding, held once");
    }

    #[test]
    fn a_shorter_length_forgets_the_oldest() {
        let mut window = streamed(8.0, 1.0);
        window.push(1000.0, 50, Limits { length: 2, ..LIMITS });
        assert_eq!(held(&window), [7, 50]);
    }
}
