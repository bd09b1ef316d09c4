//! What this house needs beyond [`App`].

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use axum::http::{HeaderValue, StatusCode, header};
use gate::{App, Problem};
use ingest::pixels::{DecodePool, PixelLimits};
use ingest::receive::Receiver;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// MiB of instances, or of what they become, that are held in memory to take frames out of them; further requests
/// wait.
pub(crate) const HELD_MIB: u32 = 1_024;
/// MiB of requests that are held in memory whole before anything of them is stored.
const REQUESTS_MIB: u32 = 1_024;
/// So long a request waits for room.
const PATIENCE: Duration = Duration::from_secs(10);
/// In seconds: who was sent away comes back then.
const RETRY_AFTER_S: u64 = 5;

/// The rooms behind this house; cheap to clone.
#[derive(Clone)]
pub struct DicomWebState {
    pub(crate) app: App,
    pub(crate) receiver: Receiver,
    pub(crate) pool: Arc<DecodePool>,
    pub(crate) pixel_limits: PixelLimits,
    /// Of requests: whoever sends one slowly keeps nobody from looking at images.
    pub(crate) held_mib: Arc<Semaphore>,
    decoding_mib: Arc<Semaphore>,
}

impl DicomWebState {
    /// Joins the rooms: `receiver` stores, `pool` decodes within `pixel_limits`.
    pub fn new(app: App, receiver: Receiver, pool: Arc<DecodePool>, pixel_limits: PixelLimits) -> Self {
        let held_mib = Arc::new(Semaphore::new(REQUESTS_MIB as usize));
        let decoding_mib = Arc::new(Semaphore::new(HELD_MIB as usize));
        Self { app, receiver, pool, pixel_limits, held_mib, decoding_mib }
    }

    /// Room for so many MiB, at most [`HELD_MIB`], of an instance that is read or decoded.
    ///
    /// # Errors
    ///
    /// As [`room`].
    pub(crate) async fn decoding_room(&self, mib: u32) -> Result<OwnedSemaphorePermit, Problem> {
        room(&self.decoding_mib, mib).await
    }
}

/// Room for so many MiB.
///
/// # Errors
///
/// 503 `overloaded` with `Retry-After` where others take it for too long.
pub(crate) async fn room(semaphore: &Arc<Semaphore>, mib: u32) -> Result<OwnedSemaphorePermit, Problem> {
    match timeout(PATIENCE, Arc::clone(semaphore).acquire_many_owned(mib)).await {
        Ok(room) => room.map_err(|error| Problem::internal("room-closed", &error)),
        Err(_) => {
            let detail = "too much is held in memory for others";
            let refusal = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail);
            Err(refusal.with_header(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S)))
        }
    }
}

impl FromRef<DicomWebState> for App {
    fn from_ref(state: &DicomWebState) -> Self {
        state.app.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_too_long_for_room_is_told_when_to_come_back() {
        let semaphore = Arc::new(Semaphore::new(4));
        let held = room(&semaphore, 3).await.unwrap();
        let refused = room(&semaphore, 2).await.unwrap_err();
        assert_eq!((refused.status().as_u16(), refused.code()), (503, "overloaded"));
        drop(held);
        assert!(room(&semaphore, 4).await.is_ok());
    }
}
