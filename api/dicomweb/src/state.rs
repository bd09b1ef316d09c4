//! What this house needs beyond [`App`].

use std::sync::Arc;

use axum::extract::FromRef;
use gate::App;
use ingest::pixels::{DecodePool, PixelLimits};
use ingest::receive::Receiver;
use tokio::sync::Semaphore;

/// MiB of instances that are held in memory to take frames out of them; further requests wait.
pub(crate) const HELD_MIB: u32 = 1_024;

/// The rooms behind this house; cheap to clone.
#[derive(Clone)]
pub struct DicomWebState {
    pub(crate) app: App,
    pub(crate) receiver: Receiver,
    pub(crate) pool: Arc<DecodePool>,
    pub(crate) pixel_limits: PixelLimits,
    pub(crate) held_mib: Arc<Semaphore>,
}

impl DicomWebState {
    /// Joins the rooms: `receiver` stores, `pool` decodes within `pixel_limits`.
    pub fn new(app: App, receiver: Receiver, pool: Arc<DecodePool>, pixel_limits: PixelLimits) -> Self {
        let held_mib = Arc::new(Semaphore::new(HELD_MIB as usize));
        Self { app, receiver, pool, pixel_limits, held_mib }
    }
}

impl FromRef<DicomWebState> for App {
    fn from_ref(state: &DicomWebState) -> Self {
        state.app.clone()
    }
}
