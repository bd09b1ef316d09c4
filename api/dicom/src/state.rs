//! What this house needs beyond [`App`].

use std::sync::Arc;

use axum::extract::FromRef;
use gate::App;
use ingest::receive::Receiver;
use storage::records::network::NetworkName;

/// The rooms behind this house; cheap to clone.
#[derive(Clone)]
pub struct DicomState {
    pub(crate) app: App,
    pub(crate) receiver: Receiver,
    pub(crate) networks: Arc<[NetworkName]>,
}

impl DicomState {
    /// Joins the rooms: `receiver` stores; `networks` are those that are always there.
    pub fn new(app: App, receiver: Receiver, networks: impl IntoIterator<Item = NetworkName>) -> Self {
        Self { app, receiver, networks: networks.into_iter().collect() }
    }

    /// The networks that are always there.
    pub fn networks(&self) -> &[NetworkName] {
        &self.networks
    }
}

impl FromRef<DicomState> for App {
    fn from_ref(state: &DicomState) -> Self {
        state.app.clone()
    }
}
