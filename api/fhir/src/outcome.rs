//! A problem document as an `OperationOutcome`, for those who ask for FHIR.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use clinical::fhir::operation_outcome;
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;

use crate::{BASE, MEDIA_TYPE};

/// A problem document is not longer.
const PROBLEM_BYTES: usize = 64 << 10;

/// Around the whole street: a refusal under `/fhir/R4` is an `OperationOutcome` where the header `Accept` names
/// `application/fhir+json`, with the same status and headers; else the problem document stays.
pub async fn as_outcome(request: Request, next: Next) -> Response {
    let is_wanted = request.uri().path().starts_with(BASE) && wants_fhir(request.headers());
    let answer = next.run(request).await;
    let is_problem = answer
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|media_type| media_type == "application/problem+json");
    if !is_wanted || !is_problem {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    let Ok(bytes) = to_bytes(body, PROBLEM_BYTES).await else {
        return (parts, Body::empty()).into_response();
    };
    let Ok(problem) = serde_json::from_slice::<Value>(&bytes) else {
        return (parts, Body::from(bytes)).into_response();
    };
    let text = |member: &str| problem[member].as_str().unwrap_or_default();
    let outcome = operation_outcome(parts.status.as_u16(), text("code"), text("detail"));
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    parts.headers.remove(header::CONTENT_LENGTH);
    (parts, Body::from(outcome.to_string())).into_response()
}

fn wants_fhir(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let media_type = range.split(';').next().unwrap_or_default().trim();
        media_type.eq_ignore_ascii_case(MEDIA_TYPE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fhir_is_wanted_where_it_is_named() {
        let wants = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            wants_fhir(&headers)
        };
        assert!(wants("application/fhir+json"));
        assert!(wants("text/html, application/FHIR+json;fhirVersion=4.0;q=0.9"));
        assert!(!wants("*/*") && !wants("application/json"));
    }
}
