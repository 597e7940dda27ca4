//! Values out of a fuzzer's bytes, and what every answer must keep.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use cliper::Prediction;

/// Bytes that are taken from the front; where they end, zeros follow.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// At most so many bytes.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let taken = self.take(N);
        std::array::from_fn(|index| taken.get(index).copied().unwrap_or(0))
    }

    pub fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    pub fn flag(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    pub fn short(&mut self) -> usize {
        u16::from_le_bytes(self.array()).into()
    }

    pub fn word(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    /// Any number, those that are none too.
    pub fn float(&mut self) -> f32 {
        f32::from_bits(self.word())
    }

    pub fn double(&mut self) -> f64 {
        f64::from_bits(u64::from_le_bytes(self.array()))
    }

    pub fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.float()).collect()
    }

    /// A few words of text.
    pub fn text(&mut self) -> String {
        let length = usize::from(self.byte() % 32);
        String::from_utf8_lossy(self.take(length)).into_owned()
    }

    /// A part whose length stands before it, and what follows it.
    pub fn split(data: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let mut input = Self(data);
        let length = input.word() as usize;
        (input.take(length), input.0)
    }
}

/// The value of a future that never waits.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the CPU has nothing to wait for"),
    }
}

/// Every score is a probability, all of them together are one, and every number is one.
pub fn check(prediction: &Prediction) {
    let scores = prediction.expressions.iter().map(|it| it.score);
    assert!(scores.clone().all(|score| (0.0..=1.0 + 1e-4).contains(&score)), "{prediction:?}");
    assert!((scores.sum::<f32>() - 1.0).abs() < 1e-3, "{prediction:?}");
    let similarities =
        prediction.expressions.iter().flat_map(|it| &it.descriptors).chain(prediction.texts.iter().flatten());
    for it in similarities {
        assert!(it.similarity.is_finite(), "{it:?}");
        assert!(it.strength.is_none_or(|strength| (-1e-6..=1.0 + 1e-6).contains(&strength)), "{it:?}");
    }
    for it in prediction.movements.iter().flatten() {
        assert!((-1e-6..=1.0 + 1e-6).contains(&it.score), "{it:?}");
    }
}
