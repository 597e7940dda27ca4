//! The adapter that computes: opened once a worker, with its limits and what it complained of.

use std::sync::{Arc, Mutex, OnceLock};

use burn_cubecl::CubeBackend;
use burn_wgpu::{RuntimeOptions, WgpuDevice, WgpuRuntime, WgpuSetup, init_device};

use super::kernels::Adapter;
use super::pack::{bytes_of_four, fits_f16};
use crate::config::layout::stage_layouts;
use crate::config::{EncoderConfig, TemporalConfig};
use crate::engine::burn::cliper::AT_ONCE;
use crate::error::{Error, ErrorKind, Result};
use crate::tensors::{Precision, Weights};

/// The backend.
pub type Wgpu = CubeBackend<WgpuRuntime, f32, i32, u32>;

/// Tasks of one submission, more than a pass has: with the default a pass would be several.
const TASKS: usize = 256;

/// An open device.
pub(super) struct Opened {
    pub setup: WgpuSetup,
    pub adapter: Adapter,
    pub name: String,
    device: WgpuDevice,
    complaint: Arc<Mutex<Option<String>>>,
}

static OPENED: OnceLock<Opened> = OnceLock::new();

/// The device that [`start`] opened.
pub(super) fn opened() -> Option<&'static Opened> {
    OPENED.get()
}

impl Opened {
    /// What the device complained of first, if it did: wrong kernels are refused without an answer, and a lost device
    /// computes nothing.
    pub fn complaint(&self) -> Option<String> {
        self.complaint.lock().ok().and_then(|complaint| complaint.clone())
    }
}

/// Opens the best adapter, once: later calls give the same device.
///
/// - kind, name: what the adapter passes for, since its own driver may not say
///
/// # Errors
/// [`ErrorKind::DeviceUnavailable`] where there is none that Burn can use.
pub async fn start(kind: Adapter, name: &str) -> Result<WgpuDevice> {
    if let Some(opened) = opened() {
        return Ok(opened.device.clone());
    }
    let unavailable = |why: String| {
        Error::new(ErrorKind::DeviceUnavailable, format!("{why}: create it again, or take device 'cpu'."))
    };
    let backend = wgpu::Backend::BrowserWebGpu;
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: backend.into(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let options =
        wgpu::RequestAdapterOptions { power_preference: wgpu::PowerPreference::HighPerformance, ..Default::default() };
    let adapter = instance
        .request_adapter(&options)
        .await
        .map_err(|error| unavailable(format!("There is no WebGPU adapter ({error})")))?;
    // CubeCL's stream panics in a browser without it, though nothing is timed.
    if !adapter.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
        return Err(unavailable(format!("The WebGPU adapter ({name}) has no timestamp queries, which Burn needs")));
    }
    let wanted = wgpu::DeviceDescriptor { required_limits: adapter.limits(), ..Default::default() };
    let (device, queue) = adapter
        .request_device(&wanted)
        .await
        .map_err(|error| unavailable(format!("The WebGPU adapter ({name}) gives no device ({})", said(&error))))?;
    let complaint = Arc::new(Mutex::new(None::<String>));
    let note = |complaint: &Arc<Mutex<Option<String>>>| {
        let complaint = Arc::clone(complaint);
        move |what: String| {
            if let Ok(mut complaint) = complaint.lock() {
                complaint.get_or_insert(what);
            }
        }
    };
    let (refuse, lose) = (note(&complaint), note(&complaint));
    device.on_uncaptured_error(Arc::new(move |error| refuse(format!("WebGPU refused the encoder ({error})"))));
    device.set_device_lost_callback(move |_, why| {
        let why = if why.is_empty() { "without a reason".into() } else { why };
        lose(format!("The WebGPU device was lost ({why})"));
    });
    let setup = WgpuSetup { instance, adapter, device, queue, backend };
    let options = RuntimeOptions { tasks_max: TASKS, ..Default::default() };
    let device = init_device(setup.clone(), options);
    let opened = Opened { setup, adapter: kind, name: name.into(), device: device.clone(), complaint };
    // Whoever came first stays.
    Ok(OPENED.get_or_init(|| opened).device.clone())
}

/// What the browser says, which wgpu wraps and follows with a stack.
fn said(error: &wgpu::RequestDeviceError) -> String {
    let text = error.to_string();
    let first = text.strip_prefix("JsValue(").unwrap_or(&text).lines().next().unwrap_or_default();
    first.trim_end_matches(')').into()
}

/// Says why the kernels can't run a model, if they can't: they read four values at a time, and each buffer is bound whole.
///
/// # Errors
/// [`ErrorKind::DeviceUnavailable`] naming what is too odd or too large.
pub fn check(config: &EncoderConfig, temporal: Option<&TemporalConfig>, precision: Precision) -> Result<()> {
    config.validate()?;
    let refuse = |why: String| Err(Error::new(ErrorKind::DeviceUnavailable, why));
    let stem = config.stem.iter().map(|stage| ("number of a stem's channels", stage.channels));
    let head = temporal.iter().flat_map(|head| {
        [("width of the temporal head's heads", head.head_width), ("width of the temporal head's MLP", head.hidden)]
    });
    let odd = [("width of a head", config.width / config.heads), ("embedding", config.embedding)]
        .into_iter()
        .chain(stem)
        .chain(head.collect::<Vec<_>>())
        .find(|(_, value)| !value.is_multiple_of(4));
    if let Some((name, value)) = odd {
        return refuse(format!(
            "WebGPU can't run this encoder: its {name} is {value}, and only multiples of 4 can be computed; take device \
             'auto' or 'cpu'"
        ));
    }
    let Some(opened) = opened() else { return Ok(()) };
    let limits = opened.setup.device.limits();
    let most = limits.max_buffer_size.min(limits.max_storage_buffer_binding_size);
    let needed = largest(config, precision) as u64;
    if needed > most {
        return refuse(format!(
            "The WebGPU adapter ({}) takes buffers of {most} bytes, the encoder needs one of {needed}; take device 'cpu'",
            opened.name
        ));
    }
    Ok(())
}

/// Bytes of the largest buffer: a matrix, or values between two layers of the largest batch.
fn largest(config: &EncoderConfig, precision: Precision) -> usize {
    let width = config.width;
    let matrix =
        |inputs: usize, outputs: usize| inputs.div_ceil(4) * outputs.next_multiple_of(8) * bytes_of_four(precision);
    let stem = stage_layouts(config).into_iter().flat_map(|layout| {
        let (rows, inputs) = (layout.output_side().pow(2), 9 * layout.channels);
        [matrix(inputs, layout.stage.channels), AT_ONCE * rows * 16 * inputs.div_ceil(4)]
    });
    [
        matrix(config.patch_values(), width),
        matrix(width, 4 * width),
        4 * AT_ONCE * config.tokens() * 4 * width,
        4 * AT_ONCE * config.patches() * config.patch_values(),
    ]
    .into_iter()
    .chain(stem)
    .max()
    .unwrap_or_default()
}

/// Whether f16 holds all weights exactly.
pub fn is_lossless(weights: &Weights) -> bool {
    weights.names().all(|name| weights.get(name).is_none_or(|values| fits_f16(&values.data)))
}
