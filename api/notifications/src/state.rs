//! What the house needs beyond the rooms.

use std::sync::Arc;

use axum::extract::FromRef;
use clinical::id::UserId;
use gate::{App, Caller, Who};
use uuid::Uuid;

use crate::channel::switchboard::Switchboard;

/// The rooms, and who carries messages.
#[derive(Clone)]
pub struct NotificationsState {
    /// The rooms.
    pub app: App,
    /// The providers.
    pub switchboard: Switchboard,
    /// Where the application is, as messages lead to it; without a slash at the end.
    pub public_url: Arc<str>,
}

impl NotificationsState {
    /// The house over these rooms and providers.
    pub fn new(app: App, switchboard: Switchboard, public_url: &str) -> Self {
        Self { app, switchboard, public_url: public_url.trim_end_matches('/').into() }
    }
}

impl FromRef<NotificationsState> for App {
    fn from_ref(state: &NotificationsState) -> Self {
        state.app.clone()
    }
}

/// Whose list the caller has: machines, and whoever has the service's own token, have one that stays empty.
pub(crate) fn inbox_of(caller: &Caller) -> UserId {
    match caller.who {
        Who::User { user_id, .. } => user_id,
        Who::Administrator | Who::Key { .. } => UserId(Uuid::nil()),
    }
}
