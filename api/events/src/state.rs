//! What this house needs beyond `App`.

use axum::extract::FromRef;
use gate::App;
use storage::records::webhook::target::Targets;

/// `App`, and where webhooks may point.
#[derive(Clone)]
pub(crate) struct EventsState {
    pub(crate) app: App,
    pub(crate) targets: Targets,
}

impl FromRef<EventsState> for App {
    fn from_ref(state: &EventsState) -> Self {
        state.app.clone()
    }
}
