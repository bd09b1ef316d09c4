//! A pool of child processes in which foreign codecs decode.
//!
//! A codec that aborts, loops or eats memory takes its child with it, not the
//! service: the frame gets an error, the next one a fresh child. Pixels return
//! through the pipe; shared memory would need `unsafe`. Measured on 1024 x 1024
//! pixels, the detour through a child costs 3 ms for 3 MiB of colours (13 ms instead of
//! 10 ms of JPEG), and of JPEG 2000's 194 ms nothing that could be measured.

mod child;
mod message;
mod worker;

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use bytes::Bytes;

pub use child::run_child;
use message::Request;
use worker::{Worker, WorkerError};

use crate::PixelError;
use crate::codec::Codec;
use crate::decoded::{Decoded, Expected};

/// What a child needs beside its frame.
const CHILD_BYTES: u64 = 64 << 20;

/// How children are started and what they may use.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// The program whose arguments make it call [`run_child`]; commonly this very binary.
    pub program: PathBuf,
    /// Its arguments, for example `["decode-child"]`.
    pub arguments: Vec<String>,
    /// Children at one time; at least one is allowed.
    pub children: usize,
    /// Memory of all frames that are being decoded together: a frame waits until what it may need is free, and its
    /// child limits its own address space to that.
    pub memory_bytes: u64,
    /// How long one frame may take before its child is killed.
    pub frame_timeout: Duration,
    /// How long a child without work stays.
    pub idle: Duration,
}

/// Decodes compressed frames; cloning gives another handle to the same pool.
#[derive(Debug, Clone)]
pub struct DecodePool {
    children: Option<Arc<Children>>,
}

#[derive(Debug)]
struct Children {
    settings: PoolSettings,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Worker>,
    /// Idle and busy children together.
    alive: usize,
    /// Bytes that the busy ones may use.
    lent_bytes: u64,
    has_reaper: bool,
}

impl DecodePool {
    /// A pool that starts its children as frames come.
    pub fn new(settings: PoolSettings) -> Self {
        let children = Children { settings, state: Mutex::default(), freed: Condvar::new() };
        Self { children: Some(Arc::new(children)) }
    }

    /// Decodes within this process: a codec's panic is an error, but its abort ends the process.
    ///
    /// For tests, and where no child may be started.
    pub fn inline() -> Self {
        Self { children: None }
    }

    /// One frame. Blocks until a child is free and has answered.
    pub(crate) fn decode(
        &self,
        codec: Codec,
        stream: &Bytes,
        expected: &Expected,
    ) -> Result<Decoded, PixelError> {
        match &self.children {
            Some(children) if codec.needs_child(stream) => children.decode(codec, stream, expected),
            _ => Ok(codec.decode(stream, expected)?),
        }
    }
}

impl Children {
    fn decode(
        self: &Arc<Self>,
        codec: Codec,
        stream: &Bytes,
        expected: &Expected,
    ) -> Result<Decoded, PixelError> {
        let settings = &self.settings;
        let request = Request {
            codec,
            expected: *expected,
            memory_bytes: needed(codec, stream, expected).min(settings.memory_bytes),
            patience_ms: settings.frame_timeout.as_millis().try_into().unwrap_or(u64::MAX),
        };
        let mut lease = self.checkout(request.memory_bytes)?;
        match lease.worker().ask(request, stream.clone(), settings.frame_timeout) {
            Ok(answer) => {
                lease.give_back();
                Ok(answer?)
            }
            Err(WorkerError::Late) => Err(PixelError::CodecTimeout),
            Err(WorkerError::Gone) => Err(PixelError::CodecFailed("the decoding process ended".into())),
            Err(WorkerError::Nonsense) => {
                Err(PixelError::CodecFailed("the decoding process answered nonsense".into()))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle child, or a new one, or the next that is given back, once `bytes` of memory are free for it.
    fn checkout(self: &Arc<Self>, bytes: u64) -> Result<Lease<'_>, PixelError> {
        let mut state = self.lock();
        loop {
            if state.lent_bytes + bytes > self.settings.memory_bytes {
                state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            if let Some(mut worker) = state.idle.pop() {
                if worker.is_running() {
                    state.lent_bytes += bytes;
                    return Ok(Lease { children: self, worker: Some(worker), is_healthy: false, bytes });
                }
                state.alive -= 1;
            }
            if state.alive < self.settings.children.max(1) {
                break;
            }
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.alive += 1;
        state.lent_bytes += bytes;
        if !std::mem::replace(&mut state.has_reaper, true) {
            let children = Arc::downgrade(self);
            let pause = (self.settings.idle / 2).clamp(Duration::from_millis(20), Duration::from_secs(30));
            thread::spawn(move || reap(&children, pause));
        }
        drop(state);
        let mut lease = Lease { children: self, worker: None, is_healthy: false, bytes };
        let worker =
            Worker::start(&self.settings).map_err(|error| PixelError::NoDecoder(error.to_string()))?;
        lease.worker = Some(worker);
        Ok(lease)
    }
}

/// The memory that a frame may need: its samples as the codec holds them, twice the codestream, and what a child needs
/// for itself. Measured with images of 64 million samples, and rounded up.
fn needed(codec: Codec, stream: &Bytes, expected: &Expected) -> u64 {
    let sample_bytes = match codec {
        Codec::Jpeg | Codec::JpegLs => 12,
        Codec::Jpeg2000 => 24,
        Codec::JpegXl => 64,
    };
    let samples = u64::from(expected.rows) * u64::from(expected.columns) * u64::from(expected.components);
    CHILD_BYTES + samples * sample_bytes + 2 * stream.len() as u64
}

/// Ends children that have been idle too long, until the pool is gone.
fn reap(children: &Weak<Children>, pause: Duration) {
    loop {
        thread::sleep(pause);
        let Some(children) = children.upgrade() else { return };
        let idle = children.settings.idle;
        let mut state = children.lock();
        let ended: Vec<Worker> = state.idle.extract_if(.., |worker| worker.idle_for() >= idle).collect();
        state.alive -= ended.len();
        drop(state);
        children.freed.notify_all();
    }
}

/// A child in use. Dropped without [`Lease::give_back`], it is killed and its place is free.
struct Lease<'a> {
    children: &'a Children,
    worker: Option<Worker>,
    is_healthy: bool,
    /// What it may use.
    bytes: u64,
}

impl Lease<'_> {
    fn worker(&mut self) -> &mut Worker {
        self.worker.as_mut().expect("a lease is handed out with its worker")
    }

    fn give_back(mut self) {
        self.is_healthy = true;
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let worker = self.worker.take();
        if !self.is_healthy {
            // its memory is free when it is gone
            drop(worker);
            let mut state = self.children.lock();
            state.alive -= 1;
            state.lent_bytes -= self.bytes;
        } else if let Some(mut worker) = worker {
            worker.rest();
            let mut state = self.children.lock();
            state.idle.push(worker);
            state.lent_bytes -= self.bytes;
        }
        // whoever waits may need more memory than is free, or another place
        self.children.freed.notify_all();
    }
}
