//! What this house needs beyond [`App`].

use std::sync::Arc;

use axum::extract::FromRef;
use gate::App;
use ingest::receive::Receiver;

/// The rooms behind this house; cheap to clone.
#[derive(Clone)]
pub struct DicomState {
    pub(crate) app: App,
    pub(crate) receiver: Receiver,
    pub(crate) networks: Arc<[String]>,
}

impl DicomState {
    /// Joins the rooms: `receiver` stores; `networks` are the names that a caller may ask for.
    pub fn new(app: App, receiver: Receiver, networks: impl IntoIterator<Item = String>) -> Self {
        Self { app, receiver, networks: networks.into_iter().collect() }
    }

    /// The names of the networks that a caller may ask for.
    pub fn networks(&self) -> &[String] {
        &self.networks
    }
}

impl FromRef<DicomState> for App {
    fn from_ref(state: &DicomState) -> Self {
        state.app.clone()
    }
}
