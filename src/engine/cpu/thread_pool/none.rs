//! A browser's file without shared memory has no helpers.

use std::sync::atomic::AtomicU32;

#[derive(Debug)]
pub struct Threads;

#[derive(Debug, Default)]
pub struct Waker {}

impl Waker {
    pub fn ring(&self, _: &AtomicU32) {}
}
