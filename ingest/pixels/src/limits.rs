//! How much decoded image one request may ask for.

/// Bounds of one call of [`decode`](crate::decode).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PixelLimits {
    /// Rows times columns of one frame.
    pub pixels_per_frame: u64,
    /// Frames of one request.
    pub frames: u32,
    /// Bytes of all decoded frames of one request together.
    pub decoded_bytes: u64,
}

impl Default for PixelLimits {
    /// 100 million pixels a frame (three times the largest mammogram), 10,000 frames, 2 GiB.
    fn default() -> Self {
        Self { pixels_per_frame: 100_000_000, frames: 10_000, decoded_bytes: 2 << 30 }
    }
}
