//! The browser's GPU as [`Gpu`]: `www/src/worker/gpu.ts` executes the plans, since WebGPU speaks JavaScript's plain objects.

use js_sys::{Float32Array, Reflect};
use serde::Serialize;
use serde_wasm_bindgen::Serializer;
use wasm_bindgen::prelude::*;

use crate::engine::webgpu::{Adapter, Gpu, PlainPlan};
use crate::error::{Error, ErrorKind, Result};

#[wasm_bindgen]
extern "C" {
    /// An open device.
    #[wasm_bindgen(js_name = Gpu)]
    #[derive(Debug)]
    pub type BrowserGpu;

    #[wasm_bindgen(method, getter)]
    pub fn adapter(this: &BrowserGpu) -> String;
    #[wasm_bindgen(method, getter, js_name = isSoftware)]
    fn is_software(this: &BrowserGpu) -> bool;
    #[wasm_bindgen(method, catch)]
    fn upload(this: &BrowserGpu, bytes: &[u8]) -> std::result::Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn prepare(this: &BrowserGpu, plan: JsValue) -> std::result::Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn run(this: &BrowserGpu, pixels: Float32Array) -> std::result::Result<JsValue, JsValue>;
}

/// Whatever the browser throws is the device's fault: another device may do.
fn failed(thrown: JsValue) -> Error {
    let message = Reflect::get(&thrown, &"message".into()).ok().and_then(|message| message.as_string());
    let message = message.unwrap_or_else(|| format!("WebGPU failed without a reason ({thrown:?})"));
    Error::new(ErrorKind::DeviceUnavailable, message)
}

impl Gpu for BrowserGpu {
    fn adapter(&self) -> Adapter {
        if self.is_software() { Adapter::Software } else { Adapter::Hardware }
    }

    fn upload(&self, bytes: &[u8]) -> Result<()> {
        Self::upload(self, bytes).map_err(failed)
    }

    async fn prepare(&self, plan: &PlainPlan) -> Result<()> {
        let plan =
            plan.serialize(&Serializer::json_compatible()).map_err(|error| failed(JsError::from(error).into()))?;
        Self::prepare(self, plan).await.map(drop).map_err(failed)
    }

    async fn run(&self, pixels: &[f32]) -> Result<Vec<f32>> {
        let output = Self::run(self, Float32Array::from(pixels)).await.map_err(failed)?;
        Ok(Float32Array::from(output).to_vec())
    }
}
