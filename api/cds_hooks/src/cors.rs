//! Requests out of a browser: every origin may ask, for the token alone decides (CDS Hooks 2.0, «Cross-Origin Resource
//! Sharing»).

use axum::response::{IntoResponse, Response};
use gate::{Path, Problem};
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::discovery::Hook;

/// What is allowed, to whom, and for how many seconds that may be remembered.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
    (header::ACCESS_CONTROL_EXPOSE_HEADERS, "origin, content-type, location, www-authenticate"),
    (header::ACCESS_CONTROL_MAX_AGE, "600"),
];

/// `OPTIONS /cds-services`
pub(crate) async fn preflight() -> Response {
    open(StatusCode::NO_CONTENT)
}

/// `OPTIONS /cds-services/{serviceId}` and below
pub(crate) async fn preflight_of_service(Path(service): Path<String>) -> Response {
    match Hook::of_service(&service) {
        Some(_) => open(StatusCode::NO_CONTENT),
        None => open(Problem::not_found()),
    }
}

/// The answer, for every origin.
pub(crate) fn open(answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
