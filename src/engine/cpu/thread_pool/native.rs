//! Helpers that the operating system runs.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::{JobSlot, ThreadPool};

/// Wakes sleepers.
#[derive(Debug, Default)]
pub struct Waker {
    lock: Mutex<()>,
    rung: Condvar,
    is_over: AtomicBool,
}

impl Waker {
    pub fn ring(&self, _: &AtomicU32) {
        // Whoever looked at the epoch before it rose sleeps as soon as the lock is free.
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.rung.notify_all();
    }

    fn sleep(&self, epoch: &AtomicU32, seen: u32) {
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        while epoch.load(SeqCst) == seen && !self.is_over.load(SeqCst) {
            guard = self.rung.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The helpers of one job.
#[derive(Debug)]
pub struct Threads {
    job: Arc<JobSlot>,
    handles: Vec<JoinHandle<()>>,
}

impl ThreadPool {
    /// `threads` threads, the caller included.
    pub fn of_threads(threads: usize) -> Self {
        if threads <= 1 {
            return Self::single();
        }
        let job = Arc::new(JobSlot::new(threads));
        let helper = || {
            let job = job.clone();
            thread::spawn(move || {
                while !job.waker.is_over.load(SeqCst) {
                    let seen = job.help();
                    job.waker.sleep(&job.epoch, seen);
                    job.awake();
                }
            })
        };
        let handles = (1..threads).map(|_| helper()).collect();
        Self { job: Some(job.clone()), _threads: Some(Arc::new(Threads { job, handles })) }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.job.waker.is_over.store(true, SeqCst);
        self.job.waker.ring(&self.job.epoch);
        for handle in self.handles.drain(..) {
            // A helper that panicked has said so.
            let _ = handle.join();
        }
    }
}
