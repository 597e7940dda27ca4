//! Burn's backends that this crate runs on.

/// The native CPU through Burn: training, and the reference that other devices are held against.
#[cfg(feature = "flex")]
pub type NativeCpu = burn::backend::Flex;

/// Training's backend on the native CPU.
#[cfg(feature = "train")]
pub type TrainingCpu = burn::backend::Autodiff<NativeCpu>;

/// Training's backend on a GPU: Vulkan, Metal or DirectX 12 through wgpu.
#[cfg(feature = "gpu")]
pub type TrainingGpu = burn::backend::Autodiff<burn_wgpu::Wgpu>;

/// Whether the GPU's backend finds something to compute on. Where it doesn't it panics, which is kept from the screen.
#[cfg(feature = "gpu")]
pub fn has_gpu() -> bool {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let one = || burn::tensor::Tensor::<burn_wgpu::Wgpu, 1>::zeros([1], &Default::default()).into_data();
    let found = std::panic::catch_unwind(one);
    std::panic::set_hook(hook);
    found.is_ok()
}

/// Notices panics in threads of the GPU's backend: after one, a buffer that the driver doesn't give for example, it goes
/// on with wrong values.
#[cfg(feature = "gpu")]
pub(crate) mod panics {
    use std::sync::Once;
    use std::sync::atomic::{AtomicUsize, Ordering};

    static COUNT: AtomicUsize = AtomicUsize::new(0);

    /// Panics of any thread since the first call.
    pub fn count() -> usize {
        static START: Once = Once::new();
        START.call_once(|| {
            let hook = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                COUNT.fetch_add(1, Ordering::Relaxed);
                hook(panic);
            }));
        });
        COUNT.load(Ordering::Relaxed)
    }
}
