//! Files from JavaScript -> a session on this file's device.

use std::cell::{Cell, RefCell};

use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;

#[cfg(feature = "webgpu")]
use super::gpu;
use super::session::{Session, describe};
use super::{Engine, JsResult, plain, thrown};
use crate::bundle::{Bundle, BundleReader, Manifest};
use crate::error::{Error, ErrorKind, Result};

fn spent() -> Error {
    Error::new(ErrorKind::InvalidArgument, "the loader was opened already; make another BundleLoader")
}

/// Takes a bundle's files and opens a session on this file's device.
#[wasm_bindgen]
pub struct BundleLoader {
    reader: RefCell<Option<BundleReader>>,
    int8: Cell<Option<bool>>,
    #[cfg(feature = "webgpu")]
    adapter: RefCell<Option<gpu::BrowserAdapter>>,
    #[cfg(not(feature = "webgpu"))]
    pool: RefCell<crate::engine::cpu::ThreadPool>,
}

#[wasm_bindgen]
impl BundleLoader {
    /// From the text of model.json.
    ///
    /// - labels: the label set to answer in; the model's own expressions without one
    #[wasm_bindgen(constructor)]
    pub fn new(manifest: &str, labels: Option<String>) -> JsResult<BundleLoader> {
        let mut manifest = Manifest::parse(manifest).map_err(thrown)?;
        if let Some(labels) = labels {
            manifest.answer_in(&labels).map_err(thrown)?;
        }
        let reader = BundleReader::of(manifest);
        Ok(Self {
            reader: RefCell::new(Some(reader)),
            int8: Cell::new(None),
            #[cfg(feature = "webgpu")]
            adapter: RefCell::new(None),
            #[cfg(not(feature = "webgpu"))]
            pool: RefCell::default(),
        })
    }

    /// `{ path, bytes, sha256 }` of every file to give, relative to model.json.
    #[wasm_bindgen(getter)]
    pub fn files(&self) -> JsResult<JsValue> {
        match &*self.reader.borrow() {
            Some(reader) => plain(&reader.manifest().needed_files().collect::<Vec<_>>()),
            None => Err(thrown(spent())),
        }
    }

    /// Checks and reads one file.
    ///
    /// - sha256: of these very bytes, in hexadecimal, where the browser has computed it
    pub fn add(&self, path: &str, bytes: Uint8Array, sha256: Option<String>) -> JsResult<()> {
        let bytes = bytes.to_vec();
        match (&mut *self.reader.borrow_mut(), sha256) {
            (Some(reader), Some(sha256)) => reader.add_hashed(path, &bytes, &sha256).map_err(thrown),
            (Some(reader), None) => reader.add(path, &bytes).map_err(thrown),
            (None, _) => Err(thrown(spent())),
        }
    }

    /// The adapter that the browser has, by its name, and whether it computes on the CPU.
    #[cfg(feature = "webgpu")]
    #[wasm_bindgen(js_name = setAdapter)]
    pub fn set_adapter(&self, name: String, is_software: bool) {
        self.adapter.replace(Some(gpu::BrowserAdapter { name, is_software }));
    }

    /// Threads that compute, this one included. Returns the pool's address, which each of the others gives to `help`.
    #[cfg(feature = "threads")]
    #[wasm_bindgen(js_name = setThreads)]
    pub fn set_threads(&self, threads: usize) -> usize {
        let (pool, address) = crate::engine::cpu::ThreadPool::of_workers(threads);
        self.pool.replace(pool);
        address
    }

    /// `f32` or `int8`; otherwise as the bundle is stored.
    #[wasm_bindgen(js_name = setPrecision)]
    pub fn set_precision(&self, precision: &str) -> JsResult<()> {
        self.int8.set(match precision {
            "f32" => Some(false),
            "int8" => Some(true),
            _ => {
                let why = format!("there is no precision `{precision}`; take `f32` or `int8`");
                return Err(thrown(Error::new(ErrorKind::InvalidArgument, why)));
            }
        });
        Ok(())
    }

    /// Starts the device, gives it the model and proves it on the golden picture.
    pub async fn open(self) -> JsResult<Session> {
        let Some(reader) = self.reader.take() else { return Err(thrown(spent())) };
        let bundle = reader.finish().map_err(thrown)?;
        #[cfg(feature = "webgpu")]
        let opened = match self.adapter.take() {
            Some(adapter) => open(bundle, adapter, self.int8.get()).await,
            None => Err(Error::new(ErrorKind::DeviceUnavailable, "this file needs a GPU; call setAdapter first")),
        };
        #[cfg(not(feature = "webgpu"))]
        let opened = open(bundle, self.int8.get(), self.pool.take()).await;
        opened.map_err(thrown)
    }
}

#[cfg(feature = "webgpu")]
async fn open(mut bundle: Bundle, adapter: gpu::BrowserAdapter, int8: Option<bool>) -> Result<Session> {
    let device = adapter.open(&mut bundle, int8).await?;
    let engine = Engine::from_bundle(&mut bundle, &device)?;
    describe(engine, bundle, "webgpu", adapter.name).await
}

#[cfg(not(feature = "webgpu"))]
async fn open(mut bundle: Bundle, int8: Option<bool>, pool: crate::engine::cpu::ThreadPool) -> Result<Session> {
    use crate::engine::cpu::{Arithmetic, CpuOptions};
    let options = match int8 {
        Some(true) => CpuOptions { arithmetic: Arithmetic::Int8, pool },
        Some(false) => CpuOptions { arithmetic: Arithmetic::F32, pool },
        None => CpuOptions::as_stored(&bundle.weights, pool),
    };
    let adapter = format!("wasm, {options}");
    let engine = Engine::from_bundle_with(&mut bundle, options)?;
    describe(engine, bundle, "cpu", adapter).await
}
