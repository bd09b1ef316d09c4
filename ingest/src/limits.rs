//! What one receipt may cost.

/// Bounds on receiving. `Config` fills them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IngestLimits {
    /// Bytes of one instance, whatever the door.
    pub instance_bytes: u64,
    /// Bytes of one instance that are held in memory; a longer one is spooled to a file.
    pub memory_bytes: u64,
    /// Bytes that all receipts together hold in memory; past it they are spooled to files.
    pub shared_memory_bytes: u64,
    /// Bounds on reading the file.
    pub part10: part10::Limits,
}

impl Default for IngestLimits {
    fn default() -> Self {
        Self {
            instance_bytes: 4 << 30,
            memory_bytes: 16 << 20,
            shared_memory_bytes: 128 << 20,
            part10: part10::Limits::default(),
        }
    }
}
