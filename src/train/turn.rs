//! Who differentiates does so alone: one turn a process.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits for its turn to build autodiff graphs and to differentiate, and keeps it until the result is dropped.
///
/// Each `backward` of Burn 0.21 ends by sweeping the graphs of all threads, and may take steps of one that is being built:
/// then a gradient is missing or wrong, and nothing says so (`findings/burn-backward-takes-another-threads-gradient.sh`).
/// The trainers of this crate take their turn for each step; whoever calls `backward` beside them takes one, too.
pub fn autodiff_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // It guards no data: one that panicked leaves nothing broken.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
