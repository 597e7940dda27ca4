//! Helpers that are workers of the page, each with an instance of this module on the same memory.
//!
//! The standard library of stable Rust has no threads here: its locks do nothing, and its thread-locals are the same
//! for all. So a helper runs kernels and nothing else; numbers go in and out of it, never JavaScript's objects; it
//! sleeps in JavaScript; and the allocator, which gives it a stack, is locked ([`LockedAllocator`]).

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use js_sys::{Int32Array, WebAssembly};
use wasm_bindgen::prelude::*;

use super::{JobSlot, ThreadPool};

#[wasm_bindgen]
extern "C" {
    /// Wakes all who sleep at the number.
    #[wasm_bindgen(js_namespace = Atomics)]
    fn notify(numbers: &Int32Array, index: usize) -> JsValue;
}

/// Wakes sleepers.
#[derive(Debug, Default)]
pub struct Waker {}

impl Waker {
    pub fn ring(&self, epoch: &AtomicU32) {
        let memory = wasm_bindgen::memory().unchecked_into::<WebAssembly::Memory>();
        notify(&Int32Array::new(&memory.buffer()), index_of(epoch));
    }
}

/// Where a number stands in the memory as 32-bit integers.
fn index_of(number: &AtomicU32) -> usize {
    number.as_ptr() as usize / size_of::<u32>()
}

/// The page ends its workers itself.
#[derive(Debug)]
pub struct Threads;

impl ThreadPool {
    /// `threads` threads, the caller included, and the address that the others give to [`help`].
    pub fn of_workers(threads: usize) -> (Self, usize) {
        let job = Arc::new(JobSlot::new(threads));
        let address = Arc::into_raw(job.clone()) as usize;
        (Self { job: Some(job), _threads: None }, address)
    }
}

fn job_at(pool: usize) -> &'static JobSlot {
    // SAFETY: the address comes from `of_workers`, which gave the job away for good.
    unsafe { &*(pool as *const JobSlot) }
}

/// Takes part in a pool's work until none came for a while. Returns the epoch to sleep through, with `Atomics.wait` at
/// [`epoch_index`]; call `awake` after that, and this again.
#[wasm_bindgen]
pub fn help(pool: usize) -> u32 {
    job_at(pool).help()
}

/// Ends a helper's sleep.
#[wasm_bindgen]
pub fn awake(pool: usize) {
    job_at(pool).awake();
}

/// Where a pool's epoch stands in the memory as 32-bit integers.
#[wasm_bindgen(js_name = epochIndex)]
pub fn epoch_index(pool: usize) -> usize {
    index_of(&job_at(pool).epoch)
}

/// The standard library's allocator behind a lock of our own.
struct LockedAllocator(AtomicBool);

#[global_allocator]
static ALLOCATOR: LockedAllocator = LockedAllocator(AtomicBool::new(false));

impl LockedAllocator {
    fn alone<T>(&self, run: impl FnOnce() -> T) -> T {
        while self.0.swap(true, Ordering::Acquire) {
            spin_loop();
        }
        let result = run();
        self.0.store(false, Ordering::Release);
        result
    }
}

// SAFETY: `System` is one, and only one thread at a time is in it.
unsafe impl GlobalAlloc for LockedAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.alone(|| unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.alone(|| unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        self.alone(|| unsafe { System.dealloc(place, layout) });
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.alone(|| unsafe { System.realloc(place, layout, size) })
    }
}
