//! The description of every path, kept by hand and held to the routes by a test.

use axum::http::header;
use axum::response::IntoResponse;

/// OpenAPI 3.1.
pub(crate) const DOCUMENT: &str = include_str!("../openapi.json");

/// `GET /api/openapi.json`
pub(crate) async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT)
}
