//! What clients say, read as far as the socket itself must know it.

use clinical::id::ClinicId;
use serde_json::{Map, Value};

use crate::Problem;

/// The longest name that a client gives to a message of its own, in bytes of JSON.
const NAME_BYTES: usize = 128;

/// A client's message.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Incoming {
    /// Its type.
    pub kind: String,
    /// How the client calls it, so that it knows the answer.
    pub id: Option<Value>,
    /// The clinic that it is about.
    pub clinic: Option<ClinicId>,
    /// What it says: the member `data` or `payload`, else all members that have no meaning here.
    pub data: Value,
}

fn wrong(detail: &str) -> Problem {
    Problem::bad_request("invalid-message", detail)
}

/// Reads a client's message.
pub(super) fn read(text: &str) -> Result<Incoming, Problem> {
    let read: Value = serde_json::from_str(text).map_err(|_| wrong("a message is a JSON object"))?;
    let Value::Object(mut members) = read else { return Err(wrong("a message is a JSON object")) };
    let Some(Value::String(kind)) = members.remove("type") else {
        return Err(wrong("a message has a type, a text"));
    };
    let id = members.remove("id").filter(|id| !id.is_null());
    if id.as_ref().is_some_and(|id| !(id.is_string() || id.is_number()) || id.to_string().len() > NAME_BYTES)
    {
        return Err(wrong("the id of a message is a number or a text of at most 126 bytes"));
    }
    let clinic = match members.remove("clinicId") {
        None | Some(Value::Null) => None,
        Some(clinic) => {
            let clinic = clinic.as_str().and_then(|text| text.parse().ok());
            Some(clinic.ok_or_else(|| wrong("clinicId is the identifier of a clinic"))?)
        }
    };
    let data = match members.remove("data").or_else(|| members.remove("payload")) {
        Some(data) => data,
        None => Value::Object(members),
    };
    Ok(Incoming { kind, id, clinic, data })
}

/// What the first message says of its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Introduction {
    /// Their token.
    pub token: String,
    /// The last message that they have seen.
    pub last_event: Option<i64>,
}

/// Reads `authenticate`: its members stand in the message itself or in its `data`.
pub(super) fn introduction(text: &str) -> Result<Introduction, Problem> {
    let first = || {
        Problem::new(
            http::StatusCode::UNAUTHORIZED,
            "not-authenticated",
            "the first message is authenticate, with a token",
        )
    };
    let Ok(Value::Object(mut members)) = serde_json::from_str(text) else { return Err(first()) };
    if members.get("type").and_then(Value::as_str) != Some("authenticate") {
        return Err(first());
    }
    for wrapped in ["data", "payload"] {
        if let Some(Value::Object(inner)) = members.remove(wrapped) {
            members.extend(inner);
        }
    }
    let token = members.get("token").and_then(Value::as_str).ok_or_else(first)?.to_owned();
    Ok(Introduction { token, last_event: last_event(&members)? })
}

fn last_event(members: &Map<String, Value>) -> Result<Option<i64>, Problem> {
    let Some(value) = members.get("lastEventId").filter(|value| !value.is_null()) else { return Ok(None) };
    let number = match value {
        Value::String(text) => position(text),
        value => value.as_i64().filter(|position| *position >= 0),
    };
    number.map(Some).ok_or_else(|| wrong("lastEventId is the eventId of a message"))
}

/// The position that an `eventId` names.
pub(super) fn position(text: &str) -> Option<i64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_says_what_it_says_in_data_in_payload_or_in_itself() {
        for text in [
            json!({"type": "typing_start", "id": 7, "data": {"room": "a"}}),
            json!({"type": "typing_start", "id": 7, "payload": {"room": "a"}}),
            json!({"type": "typing_start", "id": 7, "room": "a"}),
        ] {
            let message = read(&text.to_string()).unwrap();
            assert_eq!((message.kind.as_str(), message.id), ("typing_start", Some(json!(7))));
            assert_eq!(message.data, json!({"room": "a"}));
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let long = json!({"type": "a", "id": "x".repeat(200)}).to_string();
        let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
        for text in [
            "",
            "7",
            "[]",
            "{}",
            r#"{"type":7}"#,
            r#"{"type":"a","id":{}}"#,
            r#"{"type":"a","clinicId":"x"}"#,
            &long,
            &deep,
        ] {
            assert_eq!(read(text).unwrap_err().code(), "invalid-message", "{text:.40}");
        }
    }

    #[test]
    fn who_comes_in_shows_a_token_and_may_say_what_was_seen_last() {
        let said = |value: Value| introduction(&value.to_string());
        let plain = Introduction { token: "t".into(), last_event: None };
        assert_eq!(said(json!({"type": "authenticate", "token": "t"})).unwrap(), plain);
        let again = Introduction { last_event: Some(12), ..plain };
        for last in [json!("12"), json!(12)] {
            let message = json!({"type": "authenticate", "data": {"token": "t", "lastEventId": last}});
            assert_eq!(said(message).unwrap(), again);
        }
        assert_eq!(said(json!({"type": "ping"})).unwrap_err().code(), "not-authenticated");
        for last in [json!("-1"), json!(-1), json!("+1"), json!("99999999999999999999"), json!({})] {
            let message = json!({"type": "authenticate", "token": "t", "lastEventId": last});
            assert_eq!(said(message).unwrap_err().code(), "invalid-message");
        }
    }
}
