//! What one client may take of the service.

use std::time::Duration;

/// The bounds of the HTTP side; the settings fill them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpLimits {
    /// Most bytes of one file sent to `/api/dicom/upload`; it binds nothing else.
    pub upload_bytes: u64,
    /// Most bytes of one JSON request.
    pub json_bytes: usize,
    /// Rows of a list where the caller names no `limit`.
    pub page_size: u32,
    /// The greatest `limit` that a caller may name.
    pub page_size_max: u32,
    /// A request whose body brings nothing, or whose answer is not taken, for so long is over.
    pub body_idle: Duration,
    /// How long a caller who asks for an analysis is kept waiting for it.
    pub analysis_wait: Duration,
    /// Most connections at a time; further ones wait to be accepted.
    pub connections: usize,
    /// A client has so long to send the head of a request.
    pub header_read: Duration,
    /// Requests in flight have so long to finish once the service is told to stop.
    pub shutdown: Duration,
}

impl Default for HttpLimits {
    /// The upload limit is the one that the client application names as `MAX_FILE_SIZE`: 10 MiB.
    fn default() -> Self {
        Self {
            upload_bytes: 10 << 20,
            json_bytes: 1 << 20,
            page_size: 100,
            page_size_max: 1_000,
            body_idle: Duration::from_secs(30),
            analysis_wait: Duration::from_secs(30),
            connections: 4_096,
            header_read: Duration::from_secs(10),
            shutdown: Duration::from_secs(30),
        }
    }
}
