//! What the hall's refusals are over HTTP.

use gate::Problem;
use ingest::receive::{Fault, ReceiveError};

/// 400 for bytes that are no storable instance, 409 for a UID that is taken or
/// another than announced, 413 for too many bytes, 422 for what is held back, 507 without room, 500 for our own failure;
/// the code is the hall's.
pub(crate) fn refusal(error: ReceiveError, most_bytes: u64) -> Problem {
    match error.fault() {
        Fault::Sender => Problem::bad_request(error.code(), error.to_string()),
        Fault::Mismatch | Fault::Conflict | Fault::Closed => {
            Problem::conflict(error.code(), error.to_string())
        }
        Fault::TooLarge if error.code() == "too-large" => Problem::too_large(most_bytes),
        Fault::TooLarge => {
            Problem::new(axum::http::StatusCode::PAYLOAD_TOO_LARGE, error.code(), error.to_string())
        }
        Fault::Full => Problem::new(
            axum::http::StatusCode::INSUFFICIENT_STORAGE,
            "insufficient-storage",
            "there is no room left: try again later",
        ),
        Fault::Held => {
            Problem::new(axum::http::StatusCode::UNPROCESSABLE_ENTITY, error.code(), error.to_string())
        }
        Fault::House => Problem::internal(error.code(), &error),
    }
}
