//! Helpers that are workers of the page, each with an instance of this module on the same memory.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use js_sys::{Int32Array, WebAssembly};
use wasm_bindgen::prelude::*;

use super::{Board, Team};

#[wasm_bindgen]
extern "C" {
    /// Sleeps while the number is `value`.
    #[wasm_bindgen(js_namespace = Atomics)]
    fn wait(numbers: &Int32Array, index: usize, value: u32) -> JsValue;
    /// Wakes all who sleep at the number.
    #[wasm_bindgen(js_namespace = Atomics)]
    fn notify(numbers: &Int32Array, index: usize) -> JsValue;
}

/// The memory, and where in it the number stands.
fn place_of(number: &AtomicU32) -> (Int32Array, usize) {
    let memory = wasm_bindgen::memory().unchecked_into::<WebAssembly::Memory>();
    (Int32Array::new(&memory.buffer()), number.as_ptr() as usize / size_of::<u32>())
}

/// Wakes sleepers.
#[derive(Debug, Default)]
pub struct Bell;

impl Bell {
    pub fn ring(&self, epoch: &AtomicU32) {
        let (numbers, index) = place_of(epoch);
        notify(&numbers, index);
    }
}

/// The page ends its workers itself.
#[derive(Debug)]
pub struct Threads;

impl Team {
    /// `members` threads, the caller included, and what the other workers give to [`help`].
    pub fn of_workers(members: usize) -> (Self, usize) {
        let board = Arc::new(Board::new(members));
        let address = Arc::into_raw(board.clone()) as usize;
        (Self { board: Some(board), _threads: None }, address)
    }
}

/// A helper's whole life: takes part in the work of the team at this address, until its worker is ended.
#[wasm_bindgen]
pub fn help(team: usize) {
    // SAFETY: the address comes from `of_workers`, which gave the board away for good.
    let board = unsafe { &*(team as *const Board) };
    loop {
        let seen = board.help();
        let (numbers, index) = place_of(&board.epoch);
        wait(&numbers, index, seen);
        board.awake();
    }
}
