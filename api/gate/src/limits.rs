//! What one client may take of the service.

use std::net::IpAddr;
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
    /// A request is over whose client lets us wait so long for 32 KiB of its body, or to take 32 KiB of the answer.
    pub body_idle: Duration,
    /// The whole of a request that does not stream takes at most so long.
    pub request_time: Duration,
    /// Most requests at a time that do not stream; further ones are refused.
    pub in_flight: usize,
    /// Most streaming requests at a time; further ones are refused.
    pub streams: usize,
    /// How often who may ask.
    pub rates: Rates,
    /// How long a caller who asks for an analysis is kept waiting for it.
    pub analysis_wait: Duration,
    /// Proxies of our own, which are believed about whom they speak for.
    pub trusted_proxies: Vec<IpAddr>,
    /// Most connections at a time; further ones wait to be accepted.
    pub connections: usize,
    /// Most bytes of the head of a request.
    pub head_bytes: usize,
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
            request_time: Duration::from_secs(60),
            in_flight: 1_024,
            streams: 1_024,
            rates: Rates::default(),
            analysis_wait: Duration::from_secs(30),
            trusted_proxies: Vec::new(),
            connections: 4_096,
            head_bytes: 64 << 10,
            header_read: Duration::from_secs(10),
            shutdown: Duration::from_secs(30),
        }
    }
}

/// So many requests at once; what was spent grows back evenly, and all of it within the window.
///
/// Without a request or without a window there is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Most requests at once.
    pub requests: u32,
    /// The time in which as many more may follow.
    pub window: Duration,
}

impl Rate {
    /// `requests` in `window_s` seconds.
    pub const fn new(requests: u32, window_s: u64) -> Self {
        Self { requests, window: Duration::from_secs(window_s) }
    }
}

/// How often who may ask; each process counts for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// One person.
    pub person: Rate,
    /// One machine: an API key, or the administrator's token.
    pub machine: Rate,
    /// One clinic: all its callers together.
    pub clinic: Rate,
    /// One address: open paths, and tokens that were refused. What shows a good token does not count.
    pub stranger: Rate,
    /// One address: the paths where passwords and other secrets are tried.
    pub sign_in: Rate,
}

impl Default for Rates {
    /// A person's viewer fetches thousands of frames at once; a machine sends or reads 10,000 times a second, more
    /// than two cores answer; an address signs in once a second, and a whole shift of a clinic at once.
    fn default() -> Self {
        Self {
            person: Rate::new(6_000, 60),
            machine: Rate::new(100_000, 10),
            clinic: Rate::new(200_000, 10),
            stranger: Rate::new(6_000, 60),
            sign_in: Rate::new(120, 120),
        }
    }
}
