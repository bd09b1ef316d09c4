//! What clients are told, as JSON texts.

use serde_json::{Value, json};
use storage::live::Live;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::Problem;

/// A message that was told. `eventId` is where to resume from; of what is for now alone there is none.
pub(super) fn live(message: &Live) -> Utf8Bytes {
    let mut text = json!({
        "type": message.kind,
        "id": message.notification_id,
        "clinicId": message.clinic_id,
        "timestamp": message.told_at,
        "data": message.body,
    });
    if !message.is_fleeting {
        text["eventId"] = json!(message.position.to_string());
    }
    text.to_string().into()
}

/// The client is known.
pub(super) fn authenticated(
    user: Option<Value>,
    clinics: &Value,
    last_event: i64,
    heartbeat_s: u64,
) -> Utf8Bytes {
    json!({
        "type": "authenticated",
        "data": {"userId": user, "clinicIds": clinics, "lastEventId": last_event.to_string(),
                 "heartbeatSeconds": heartbeat_s},
    })
    .to_string()
    .into()
}

/// What was told meanwhile has been told; the rest comes as it is told.
pub(super) fn resumed(count: u64, last_event: i64) -> Utf8Bytes {
    json!({"type": "resumed", "data": {"count": count, "lastEventId": last_event.to_string()}})
        .to_string()
        .into()
}

/// The answer to a client's message; `reply_to` is the client's own name for it.
pub(super) fn answer(kind: &str, data: &Value, reply_to: Option<&Value>) -> Utf8Bytes {
    json!({"type": kind, "data": data, "replyTo": reply_to}).to_string().into()
}

/// Why a client's message was not taken: the stable code of HTTP's problems.
pub(super) fn error(problem: &Problem, reply_to: Option<&Value>) -> Utf8Bytes {
    json!({
        "type": "error",
        "data": {"code": problem.code(), "status": problem.status().as_u16(), "detail": problem.detail()},
        "replyTo": reply_to,
    })
    .to_string()
    .into()
}
