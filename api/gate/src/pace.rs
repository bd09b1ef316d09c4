//! How long a client may let us wait for how many bytes.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Bytes that a client must move in the time that it has; a body that is shorter has this time for the whole of it.
const LEAST_BYTES: u64 = 32 << 10;

/// Rings when a client lets us wait for the whole time before it has moved 32 KiB.
///
/// Only our waiting counts: a client is not slow while we are busy. After 32 KiB the time begins anew.
pub(crate) struct Pace {
    time: Duration,
    waited: Duration,
    moved: u64,
    /// Since when we wait, and what ends it.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Pace {
    /// Not waiting yet.
    pub(crate) fn new(time: Duration) -> Self {
        Self { time, waited: Duration::ZERO, moved: 0, waiting: None }
    }

    /// The client has moved so many bytes.
    pub(crate) fn moved(&mut self, bytes: usize) {
        if let Some((since, _)) = self.waiting.take() {
            self.waited += since.elapsed();
        }
        self.moved = self.moved.saturating_add(bytes as u64);
        if self.moved >= LEAST_BYTES {
            (self.waited, self.moved) = (Duration::ZERO, 0);
        }
    }

    /// Nothing moves; ready once that has lasted too long.
    pub(crate) fn waits(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let left = self.time.saturating_sub(self.waited);
        let (_, alarm) =
            self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(left))));
        alarm.as_mut().poll(context)
    }
}
