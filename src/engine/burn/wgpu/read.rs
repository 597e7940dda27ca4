//! The one read-back, by a buffer of its own: Burn's panics where the device is lost, which ends a worker.

use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use burn_cubecl::tensor::CubeTensor;
use burn_wgpu::WgpuRuntime;

use super::device::{Opened, opened};
use crate::engine::burn::ops::no_answer;
use crate::error::{Error, ErrorKind, Result};

/// Values of tensors, copied in one submission and mapped once.
pub async fn read(tensors: Vec<CubeTensor<WgpuRuntime>>) -> Result<Vec<Vec<f32>>> {
    let opened = opened().ok_or_else(|| no_answer("no device was opened"))?;
    let mut sources = Vec::with_capacity(tensors.len());
    for tensor in &tensors {
        // Submits what computes it.
        let resource =
            tensor.client.get_resource(tensor.handle.clone()).map_err(|error| failed(opened, &format!("{error:?}")))?;
        sources.push((resource, 4 * tensor.meta.num_elements() as u64));
    }
    let size = sources.iter().map(|(_, bytes)| bytes).sum();
    let device = &opened.setup.device;
    let answer = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("answer"),
        size,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut commands = device.create_command_encoder(&Default::default());
    let mut offset = 0;
    for (resource, bytes) in &sources {
        let source = resource.resource();
        commands.copy_buffer_to_buffer(&source.buffer, source.offset, &answer, offset, *bytes);
        offset += bytes;
    }
    opened.setup.queue.submit([commands.finish()]);
    if !map(&answer).await {
        // A device that is lost says so a moment later than its buffers.
        wasm_bindgen_futures::JsFuture::from(moment()).await.ok();
        return Err(failed(opened, "a buffer could not be mapped"));
    }
    let bytes = answer.slice(..).get_mapped_range();
    let mut values = bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
    let found = sources.iter().map(|(_, bytes)| values.by_ref().take(*bytes as usize / 4).collect()).collect();
    drop(bytes);
    answer.unmap();
    match opened.complaint() {
        Some(_) => Err(failed(opened, "")),
        None => Ok(found),
    }
}

/// What the device complained of, or else `why`.
fn failed(opened: &Opened, why: &str) -> Error {
    match opened.complaint() {
        Some(complaint) => {
            Error::new(ErrorKind::DeviceUnavailable, format!("{complaint}: create it again, or take device 'cpu'."))
        }
        None => no_answer(why),
    }
}

/// Maps a buffer for reading: whether that worked.
async fn map(buffer: &wgpu::Buffer) -> bool {
    let mapping = Arc::new(Mutex::new((None::<bool>, None::<Waker>)));
    let shared = Arc::clone(&mapping);
    buffer.slice(..).map_async(wgpu::MapMode::Read, move |result| {
        let Ok(mut mapping) = shared.lock() else { return };
        mapping.0 = Some(result.is_ok());
        if let Some(waker) = mapping.1.take() {
            waker.wake();
        }
    });
    std::future::poll_fn(move |context| {
        let Ok(mut mapping) = mapping.lock() else { return Poll::Ready(false) };
        mapping.1 = Some(context.waker().clone());
        mapping.0.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// A promise that is kept in a tenth of a second.
fn moment() -> js_sys::Promise {
    js_sys::Promise::new(&mut |kept, _| {
        let timer = js_sys::Reflect::get(&js_sys::global(), &"setTimeout".into());
        let timer = timer.ok().and_then(|timer| wasm_bindgen::JsCast::dyn_into::<js_sys::Function>(timer).ok());
        // Without timers there is nothing to wait for.
        if timer.is_none_or(|timer| timer.call2(&wasm_bindgen::JsValue::NULL, &kept, &100.into()).is_err()) {
            let _ = kept.call0(&wasm_bindgen::JsValue::NULL);
        }
    })
}
