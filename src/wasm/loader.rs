//! Files from JavaScript -> a session on this file's device.

use std::cell::RefCell;

use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;

#[cfg(feature = "webgpu")]
use super::gpu;
use super::session::{Session, describe};
use super::{Engine, JsResult, plain, thrown};
use crate::bundle::{Bundle, BundleReader, Manifest};
#[cfg(not(feature = "webgpu"))]
use crate::engine::cpu::{Arithmetic, CpuPacking, ThreadPool};
use crate::error::{Error, ErrorKind, Result};

fn spent() -> Error {
    Error::new(ErrorKind::InvalidArgument, "the loader was opened already; make another BundleLoader")
}

/// Takes a bundle's files and opens a session on this file's device.
#[wasm_bindgen]
pub struct BundleLoader {
    reader: RefCell<Option<BundleReader>>,
    #[cfg(feature = "webgpu")]
    int8: Option<bool>,
    #[cfg(feature = "webgpu")]
    adapter: RefCell<Option<gpu::BrowserAdapter>>,
    /// What is here of the encoder.
    #[cfg(not(feature = "webgpu"))]
    packing: RefCell<Option<CpuPacking>>,
    #[cfg(not(feature = "webgpu"))]
    pool: RefCell<ThreadPool>,
}

#[wasm_bindgen]
impl BundleLoader {
    /// From the text of model.json.
    ///
    /// - labels: the label set to answer in; the model's own expressions without one
    /// - precision: `f32` or `int8`; otherwise as the bundle is stored
    #[wasm_bindgen(constructor)]
    pub fn new(manifest: &str, labels: Option<String>, precision: Option<String>) -> JsResult<BundleLoader> {
        let int8 = precision.as_deref().map(is_int8).transpose().map_err(thrown)?;
        let mut manifest = Manifest::parse(manifest).map_err(thrown)?;
        if let Some(labels) = labels {
            manifest.answer_in(&labels).map_err(thrown)?;
        }
        #[cfg(not(feature = "webgpu"))]
        let packing = {
            let arithmetic = int8.map(|int8| if int8 { Arithmetic::Int8 } else { Arithmetic::F32 });
            CpuPacking::new(&manifest.encoder, arithmetic).map_err(thrown)?
        };
        Ok(Self {
            reader: RefCell::new(Some(BundleReader::of(manifest))),
            #[cfg(feature = "webgpu")]
            int8,
            #[cfg(feature = "webgpu")]
            adapter: RefCell::new(None),
            #[cfg(not(feature = "webgpu"))]
            packing: RefCell::new(Some(packing)),
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

    /// Checks and reads one file; the CPU's engine packs what has come of the encoder.
    ///
    /// - sha256: of these very bytes, in hexadecimal, where the browser has computed it
    pub fn add(&self, path: &str, bytes: Uint8Array, sha256: Option<String>) -> JsResult<()> {
        let bytes = bytes.to_vec();
        let mut reader = self.reader.borrow_mut();
        let reader = reader.as_mut().ok_or_else(|| thrown(spent()))?;
        match sha256 {
            Some(sha256) => reader.add_hashed(path, &bytes, &sha256).map_err(thrown)?,
            None => reader.add(path, &bytes).map_err(thrown)?,
        }
        drop(bytes);
        #[cfg(not(feature = "webgpu"))]
        if let Some(packing) = &mut *self.packing.borrow_mut() {
            packing.advance(reader.weights()).map_err(thrown)?;
        }
        Ok(())
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
        let (pool, address) = ThreadPool::of_workers(threads);
        self.pool.replace(pool);
        address
    }

    /// Starts the device, gives it the model and proves it on the golden picture.
    pub async fn open(self) -> JsResult<Session> {
        let Some(reader) = self.reader.take() else { return Err(thrown(spent())) };
        let bundle = reader.finish().map_err(thrown)?;
        #[cfg(feature = "webgpu")]
        let opened = match self.adapter.take() {
            Some(adapter) => open(bundle, adapter, self.int8).await,
            None => Err(Error::new(ErrorKind::DeviceUnavailable, "this file needs a GPU; call setAdapter first")),
        };
        #[cfg(not(feature = "webgpu"))]
        let opened = match self.packing.take() {
            Some(packing) => open(bundle, packing, self.pool.take()).await,
            None => Err(spent()),
        };
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
async fn open(mut bundle: Bundle, packing: CpuPacking, pool: ThreadPool) -> Result<Session> {
    let engine = Engine::from_packing(packing, &mut bundle, pool)?;
    let adapter = format!("wasm, {}", engine.options());
    describe(engine, bundle, "cpu", adapter).await
}

/// Whether a precision's word means 8 bits.
fn is_int8(precision: &str) -> Result<bool> {
    match precision {
        "f32" => Ok(false),
        "int8" => Ok(true),
        _ => {
            let why = format!("there is no precision `{precision}`; take `f32` or `int8`");
            Err(Error::new(ErrorKind::InvalidArgument, why))
        }
    }
}
