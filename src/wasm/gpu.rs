//! The browser's GPU: the adapter as JavaScript found it, opened for Burn.

use burn_wgpu::WgpuDevice;

use crate::bundle::Bundle;
use crate::engine::burn::wgpu::{Adapter, check, is_lossless, start};
use crate::error::Result;
use crate::tensors::Precision;

/// An adapter that the browser has: its name, and whether it computes on the CPU.
#[derive(Debug, Clone)]
pub struct BrowserAdapter {
    pub name: String,
    pub is_software: bool,
}

impl BrowserAdapter {
    /// Opens the device and decides how it keeps this bundle's matrices.
    pub async fn open(&self, bundle: &mut Bundle, int8: Option<bool>) -> Result<WgpuDevice> {
        let kind = if self.is_software { Adapter::Software } else { Adapter::Hardware };
        let device = start(kind, &self.name).await?;
        bundle.weights.matrices = if int8.unwrap_or_else(|| bundle.weights.has_int8()) {
            Precision::Int8
        } else if kind == Adapter::Hardware && is_lossless(&bundle.weights) {
            // Half the bytes to read is what counts on hardware; unpacking is what counts on a CPU.
            Precision::F16
        } else {
            Precision::F32
        };
        let manifest = &bundle.manifest;
        check(&manifest.encoder, manifest.temporal.as_ref(), bundle.weights.matrices)?;
        Ok(device)
    }
}
