//! The registry of message types: what clients may say, and who hears it.

use std::collections::BTreeMap;
use std::sync::Arc;

use clinical::role::Permission;
use futures::future::BoxFuture;
use http::StatusCode;
use serde_json::Value;

use crate::{Caller, Problem};

/// Who hears a type of message.
///
/// Its promises are a handler's: the caller may do what the type needs (the gate has checked it); what is changed is
/// written down by [`Caller::write_down`] in its transaction; the answer holds nothing that the caller may not see.
pub trait Hears: Send + Sync {
    /// Hears a message; what is answered goes back to the client.
    fn hear<'a>(&'a self, caller: &'a Caller, data: Value) -> BoxFuture<'a, Result<Value, Problem>>;
}

/// The types that the applications before this one have spoken of, in rooms, calls, meetings and worksheets.
///
/// A house that is built later hears its own; until then they are refused by name.
const KNOWN: &[&str] = &[
    "chat_message",
    "message",
    "message_read",
    "join_room",
    "leave_room",
    "typing_start",
    "typing_stop",
    "call_notification",
    "meeting_join",
    "meeting_leave",
    "meeting_status",
    "recording_status",
    "video_quality",
    "worksheet_draft",
    "worksheet_update",
    "worksheet_progress",
];

/// Types that people are told and never say themselves.
const TOLD: &[&str] = &[
    "appointment_reminder",
    "authenticated",
    "emergency_alert",
    "error",
    "notification",
    "pong",
    "presence_changed",
    "resumed",
    "user_offline",
    "user_online",
];

struct Plugged {
    permission: Permission,
    hears: Arc<dyn Hears>,
}

/// What clients may say.
#[derive(Default)]
pub struct Kinds(BTreeMap<&'static str, Plugged>);

impl Kinds {
    /// With a type more, which needs `permission`.
    ///
    /// # Panics
    ///
    /// When somebody hears the type already, or people are only told it: a mistake of whoever joins the houses.
    #[must_use]
    pub fn plug(mut self, kind: &'static str, permission: Permission, hears: Arc<dyn Hears>) -> Self {
        assert!(!TOLD.contains(&kind), "{kind} is told and never heard");
        let before = self.0.insert(kind, Plugged { permission, hears });
        assert!(before.is_none(), "{kind} is heard already");
        self
    }

    /// Who hears the type, and what it needs.
    pub(super) fn of(&self, kind: &str) -> Result<(Permission, Arc<dyn Hears>), Problem> {
        if let Some(plugged) = self.0.get(kind) {
            return Ok((plugged.permission, Arc::clone(&plugged.hears)));
        }
        if KNOWN.contains(&kind) {
            let detail = "nobody hears messages of this type on this server";
            return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "type-not-available", detail));
        }
        if TOLD.contains(&kind) {
            return Err(Problem::bad_request(
                "type-not-yours",
                "messages of this type come from the server alone",
            ));
        }
        Err(Problem::bad_request("unknown-type", "there is no such type of message"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;

    impl Hears for Echo {
        fn hear<'a>(&'a self, _: &'a Caller, data: Value) -> BoxFuture<'a, Result<Value, Problem>> {
            Box::pin(async { Ok(data) })
        }
    }

    #[test]
    fn a_type_is_heard_known_told_or_unknown() {
        let kinds = Kinds::default().plug("typing_start", "message:create".parse().unwrap(), Arc::new(Echo));
        assert_eq!(kinds.of("typing_start").unwrap().0.to_string(), "message:create");
        let code = |kind| kinds.of(kind).err().unwrap().code();
        assert_eq!(code("chat_message"), "type-not-available");
        assert_eq!(code("user_online"), "type-not-yours");
        assert_eq!(code("drop_tables"), "unknown-type");
    }
}
