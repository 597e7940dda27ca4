//! Buffers that start on a cache line: a vector load that crosses two lines costs twice.

use std::ops::{Deref, DerefMut};
use std::slice;

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Numbers for which any bytes are a value.
pub trait Plain: Copy {}
impl Plain for f32 {}
impl Plain for i8 {}
impl Plain for u8 {}

/// A slice of numbers that starts on a cache line.
#[derive(Debug, Clone)]
pub struct Aligned<T> {
    lines: Vec<Line>,
    length: usize,
    kind: std::marker::PhantomData<T>,
}

impl<T> Default for Aligned<T> {
    fn default() -> Self {
        Self { lines: Vec::new(), length: 0, kind: std::marker::PhantomData }
    }
}

impl<T: Plain> Aligned<T> {
    /// Zeros.
    pub fn zeros(length: usize) -> Self {
        let mut buffer = Self::default();
        buffer.resize(length);
        buffer
    }

    /// Keeps what fits; new values are zero or left from before.
    pub fn resize(&mut self, length: usize) {
        let lines = (length * size_of::<T>()).div_ceil(64);
        if lines > self.lines.len() {
            self.lines.reserve_exact(lines - self.lines.len());
            self.lines.resize(lines, Line([0; 64]));
        }
        self.length = length;
    }
}

impl<T: Plain> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the lines hold at least `length` values, and any bytes are one.
        unsafe { slice::from_raw_parts(self.lines.as_ptr().cast(), self.length) }
    }
}

impl<T: Plain> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.length) }
    }
}

/// Rows of values in a larger buffer.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// The buffer.
    pub values: &'a [f32],
    /// From one row to the next.
    pub stride: usize,
}

/// Rows that a pool writes, each member other columns.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    pub values: *mut f32,
    pub stride: usize,
}

// SAFETY: whoever shares one gives every member columns of its own.
unsafe impl Sync for Output {}

impl Output {
    /// # Safety
    /// The row must be there.
    #[inline(always)]
    pub unsafe fn row(self, index: usize) -> *mut f32 {
        unsafe { self.values.add(index * self.stride) }
    }
}
