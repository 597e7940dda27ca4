//! The only file that opens a device.

/// The native CPU through Burn: training, and the reference that other devices are held against.
#[cfg(feature = "flex")]
pub type NativeCpu = burn::backend::Flex;

/// Training's backend on the native CPU.
#[cfg(feature = "train")]
pub type TrainingCpu = burn::backend::Autodiff<NativeCpu>;

/// WebGPU in a browser, any wgpu adapter natively.
#[cfg(feature = "webgpu")]
pub type WebGpu = burn::backend::Wgpu;

#[cfg(feature = "webgpu")]
mod webgpu {
    use std::cell::RefCell;

    use burn_wgpu::{WgpuDevice, graphics};

    thread_local! {
        // A second start in one page panics inside the runtime (Burn 0.21), so the first one is shared.
        static STARTED: RefCell<Option<String>> = const { RefCell::new(None) };
    }

    /// Starts WebGPU once and gives its device and the adapter's name. The page has made sure that an adapter exists.
    pub async fn open() -> (WgpuDevice, String) {
        let device = WgpuDevice::DefaultDevice;
        let started = STARTED.with_borrow(Clone::clone);
        let adapter = match started {
            Some(adapter) => adapter,
            None => {
                let setup = burn_wgpu::init_setup_async::<graphics::WebGpu>(&device, Default::default()).await;
                let info = setup.adapter.get_info();
                let adapter = if info.name.is_empty() { info.driver } else { info.name };
                STARTED.set(Some(adapter.clone()));
                adapter
            }
        };
        (device, adapter)
    }
}

#[cfg(feature = "webgpu")]
pub use webgpu::open as open_webgpu;
