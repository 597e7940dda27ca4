//! Helpers that the operating system runs.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::{Board, Team};

/// Wakes sleepers.
#[derive(Debug, Default)]
pub struct Bell {
    lock: Mutex<()>,
    rung: Condvar,
    is_over: AtomicBool,
}

impl Bell {
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

/// The helpers of one board.
#[derive(Debug)]
pub struct Threads {
    board: Arc<Board>,
    handles: Vec<JoinHandle<()>>,
}

impl Team {
    /// `members` threads, the caller included.
    pub fn of_threads(members: usize) -> Self {
        if members <= 1 {
            return Self::solo();
        }
        let board = Arc::new(Board::new(members));
        let helper = || {
            let board = board.clone();
            thread::spawn(move || {
                while !board.bell.is_over.load(SeqCst) {
                    let seen = board.help();
                    board.bell.sleep(&board.epoch, seen);
                    board.awake();
                }
            })
        };
        let handles = (1..members).map(|_| helper()).collect();
        Self { board: Some(board.clone()), _threads: Some(Arc::new(Threads { board, handles })) }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.board.bell.is_over.store(true, SeqCst);
        self.board.bell.ring(&self.board.epoch);
        for handle in self.handles.drain(..) {
            // A helper that panicked has said so.
            let _ = handle.join();
        }
    }
}
