//! The edge to JavaScript: conversions and nothing else.

#[cfg(not(feature = "sentences"))]
mod answers;
#[cfg(feature = "webgpu")]
mod gpu;
#[cfg(not(feature = "sentences"))]
mod loader;
#[cfg(not(feature = "sentences"))]
mod pixels;
#[cfg(not(feature = "sentences"))]
mod session;
#[cfg(feature = "sentences")]
mod text;

use js_sys::Reflect;
use serde::Serialize;
use serde_wasm_bindgen::Serializer;
use wasm_bindgen::prelude::*;

use crate::error::{Error, ErrorKind};

#[cfg(feature = "webgpu")]
type Engine = crate::engine::burn::Cliper<crate::engine::burn::wgpu::Wgpu>;
#[cfg(not(any(feature = "webgpu", feature = "sentences")))]
type Engine = crate::engine::cpu::CpuEngine;

type JsResult<T> = Result<T, JsValue>;

/// Panics speak in the console.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

/// The version of the package that this file was built for.
#[wasm_bindgen(js_name = engineVersion)]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// The engine's memory.
#[wasm_bindgen(js_name = engineMemory)]
pub fn memory() -> JsValue {
    wasm_bindgen::memory()
}

/// A JavaScript `Error` with `code`.
fn thrown(error: Error) -> JsValue {
    let object = js_sys::Error::new(&error.to_string());
    // Setting a property of a fresh Error can't fail; if it did, the message would still be there.
    let _ = Reflect::set(&object, &"code".into(), &error.code().into());
    object.into()
}

/// A plain object: maps as objects, nothing as null.
fn plain(value: &impl Serialize) -> JsResult<JsValue> {
    let serializer = Serializer::json_compatible();
    value.serialize(&serializer).map_err(|error| thrown(Error::new(ErrorKind::InvalidArgument, error.to_string())))
}
