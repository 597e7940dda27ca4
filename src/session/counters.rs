//! What a session counts.

/// Work done so far; tests count it instead of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// Encoder passes.
    pub passes: u64,
    /// Bytes of pixels given to the device.
    pub uploaded_bytes: u64,
    /// Bytes read back from it.
    pub read_bytes: u64,
    /// Kernels launched on a GPU.
    pub dispatches: u64,
    /// Runs of the face detector over a frame of a stream.
    pub detections: u64,
    /// Passes saved because a face had hardly changed.
    pub skipped_passes: u64,
    /// Faces that had to wait for the next frame because there were too many.
    pub deferred_faces: u64,
    /// Frames of a time that was answered already.
    pub repeated_frames: u64,
}
