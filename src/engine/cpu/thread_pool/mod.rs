//! Threads that share one piece of work after the other: who comes late finds less left, and nobody waits for a sleeper.

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(all(target_arch = "wasm32", not(feature = "threads")))]
mod none;
#[cfg(all(target_arch = "wasm32", feature = "threads"))]
mod wasm;

use std::cell::UnsafeCell;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};

#[cfg(not(target_arch = "wasm32"))]
use native::{Threads, Waker};
#[cfg(all(target_arch = "wasm32", feature = "threads"))]
use wasm::{Threads, Waker};

#[cfg(all(target_arch = "wasm32", not(feature = "threads")))]
use none::{Threads, Waker};

/// The thread that calls, and its helpers. One piece of work at a time.
#[derive(Debug, Clone, Default)]
pub struct ThreadPool {
    job: Option<Arc<JobSlot>>,
    /// Ends the helpers with the last pool that has them.
    _threads: Option<Arc<Threads>>,
}

/// Parts that each member takes on average: few enough to be cheap, many enough that all end together.
const PARTS: usize = 4;

/// Looks at the job before a helper sleeps: some ten microseconds, as long as what the caller does between two pieces.
const SPIN_LIMIT: u32 = if cfg!(target_arch = "wasm32") { 20_000 } else { 200 };

/// Where work is announced.
#[derive(Debug)]
pub struct JobSlot {
    /// Odd while a piece of work is open; rises by one when it opens and when it closes.
    epoch: AtomicU32,
    /// Helpers at the open piece.
    busy: AtomicU32,
    /// Helpers that sleep until the epoch rises.
    sleepers: AtomicU32,
    /// The next part of the open piece.
    next: AtomicUsize,
    /// A helper panicked.
    is_broken: AtomicBool,
    threads: usize,
    waker: Waker,
    work: UnsafeCell<Work>,
}

/// An open piece.
#[derive(Debug, Clone, Copy)]
struct Work {
    run: *const (dyn Fn(Range<usize>) + Sync),
    count: usize,
    part: usize,
}

// SAFETY: `work` is written while the piece is closed and no helper is busy, and read by helpers that are busy.
unsafe impl Sync for JobSlot {}
// SAFETY: as above.
unsafe impl Send for JobSlot {}

impl ThreadPool {
    /// No helpers.
    pub fn single() -> Self {
        Self::default()
    }

    /// Members, the caller included.
    pub fn threads(&self) -> usize {
        self.job.as_ref().map_or(1, |job| job.threads)
    }

    /// Calls `run` with ranges that together are `0..count`, each once, on all threads; returns when all are done.
    pub fn share(&self, count: usize, run: impl Fn(Range<usize>) + Sync) {
        match &self.job {
            Some(job) if count > 1 => job.share(count, &run),
            _ => run(0..count),
        }
    }
}

impl JobSlot {
    /// For the caller and as many helpers as make `threads`.
    fn new(threads: usize) -> Self {
        const NOTHING: fn(Range<usize>) = |_| {};
        Self {
            epoch: AtomicU32::new(0),
            busy: AtomicU32::new(0),
            sleepers: AtomicU32::new(0),
            next: AtomicUsize::new(0),
            threads,
            is_broken: AtomicBool::new(false),
            waker: Waker::default(),
            work: UnsafeCell::new(Work { run: &NOTHING, count: 0, part: 1 }),
        }
    }

    fn share(&self, count: usize, run: &(dyn Fn(Range<usize>) + Sync)) {
        // SAFETY: the lifetime is left out, not lengthened: before this returns the piece is closed, and helpers that
        // are busy with it are waited for.
        let run: *const (dyn Fn(Range<usize>) + Sync) = unsafe { std::mem::transmute(run) };
        let work = Work { run, count, part: count.div_ceil(PARTS * self.threads) };
        // SAFETY: the piece before is closed, and nobody is busy.
        unsafe { *self.work.get() = work };
        self.next.store(0, SeqCst);
        self.epoch.fetch_add(1, SeqCst);
        if self.sleepers.load(SeqCst) > 0 {
            self.waker.ring(&self.epoch);
        }
        let closing = Closing(self);
        self.take_parts(work);
        drop(closing);
        assert!(!self.is_broken.load(SeqCst), "a helper of the pool panicked; its own message says why");
    }

    fn take_parts(&self, work: Work) {
        loop {
            let first = self.next.fetch_add(work.part, SeqCst);
            if first >= work.count {
                return;
            }
            // SAFETY: the piece is open, or its opener waits for this helper.
            unsafe { (*work.run)(first..work.count.min(first + work.part)) };
        }
    }

    /// A helper's life: takes part in whatever opens; returns when nothing did for a while, with the epoch that it may
    /// sleep through. It counts as a sleeper then, until it says that it is [`JobSlot::awake`].
    fn help(&self) -> u32 {
        let mut seen = self.epoch.load(SeqCst);
        let mut spins = 0;
        loop {
            if seen % 2 == 1 {
                let busy = Busy::new(self);
                // Opener and helper both write before they read: either this helper sees that the piece is closed, or
                // the opener sees that it is busy.
                if self.epoch.load(SeqCst) == seen {
                    // SAFETY: the opener writes only when nobody is busy.
                    self.take_parts(unsafe { *self.work.get() });
                }
                drop(busy);
                spins = 0;
            }
            while self.epoch.load(SeqCst) == seen {
                pause();
                spins += 1;
                if spins == SPIN_LIMIT {
                    self.sleepers.fetch_add(1, SeqCst);
                    return seen;
                }
            }
            seen = self.epoch.load(SeqCst);
        }
    }

    /// After a sleep.
    fn awake(&self) {
        self.sleepers.fetch_sub(1, SeqCst);
    }
}

/// Between two spins at the job: whoever is looked for may need this very core.
fn pause() {
    #[cfg(not(target_arch = "wasm32"))]
    std::thread::yield_now();
    #[cfg(target_arch = "wasm32")]
    std::hint::spin_loop();
}

/// A helper at work.
struct Busy<'a>(&'a JobSlot);

impl<'a> Busy<'a> {
    fn new(job: &'a JobSlot) -> Self {
        job.busy.fetch_add(1, SeqCst);
        Self(job)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.is_broken.store(true, SeqCst);
        }
        self.0.busy.fetch_sub(1, SeqCst);
    }
}

/// Closes the open piece and waits for busy helpers, even when a part panics.
struct Closing<'a>(&'a JobSlot);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.epoch.fetch_add(1, SeqCst);
        while self.0.busy.load(SeqCst) > 0 {
            pause();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_done_once_however_many_pieces_and_members() {
        for threads in [1, 2, 3, 5] {
            let pool = ThreadPool::of_threads(threads);
            assert_eq!(pool.threads(), threads);
            for count in [0, 1, 2, 7, 64, if cfg!(miri) { 100 } else { 1000 }] {
                // An interpreter (Miri) takes a second for each.
                for _ in 0..if cfg!(miri) { 2 } else { 50 } {
                    let done: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                    pool.share(count, |range| {
                        for index in range {
                            done[index].fetch_add(1, SeqCst);
                        }
                    });
                    assert!(done.iter().all(|times| times.load(SeqCst) == 1), "{threads} {count}");
                }
            }
        }
    }

    #[test]
    fn helpers_that_sleep_are_woken_and_end_with_their_team() {
        let pool = ThreadPool::of_threads(3);
        let job = pool.job.clone().unwrap();
        while job.sleepers.load(SeqCst) < 2 {
            std::thread::yield_now();
        }
        // A part that no single member can end: it waits until both of the others have come.
        let here = AtomicUsize::new(0);
        pool.share(PARTS * 3, |_| {
            here.fetch_add(1, SeqCst);
            while here.load(SeqCst) < 3 {
                std::thread::yield_now();
            }
        });
        drop(pool);
        assert_eq!(Arc::strong_count(&job), 1, "a helper still has the job");
    }

    #[test]
    fn a_helper_that_panics_is_not_taken_for_done() {
        let pool = ThreadPool::of_threads(2);
        let caller = std::thread::current().id();
        let left = AtomicUsize::new(1);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.share(8, |_| {
                if std::thread::current().id() == caller {
                    while left.load(SeqCst) > 0 {
                        std::thread::yield_now();
                    }
                } else {
                    left.store(0, SeqCst);
                    panic!("on purpose");
                }
            });
        }));
        assert!(outcome.is_err());
    }
}
