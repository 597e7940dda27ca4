//! How the allocator deals with models that come and go.

/// Gives large allocations back to the system as soon as they are freed.
///
/// glibc keeps freed blocks of up to 32 MB for later once it has seen some that large; for a command that holds one model
/// after the other these are holes, which took 40 MB more of a ViT-B/16. Training, which makes the same large tensors at
/// every step, wants them kept.
pub fn give_back_large_pieces() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: sets one number of the allocator, which takes its lock for it.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 18);
    }
}
