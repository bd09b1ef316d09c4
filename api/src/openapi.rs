//! The description of every path, made from the routes themselves.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use gate::{Routes, Rule, get};
use serde_json::Value;

/// The OpenAPI 3.1 document, made once.
#[derive(Clone)]
pub(crate) struct Document(Arc<str>);

impl Document {
    /// The document of `routes`, with those that serve the document itself.
    pub(crate) fn of(routes: &Routes) -> Self {
        let mut document = routes.document(env!("CARGO_PKG_VERSION"));
        let own = self::routes(Self(Arc::from(""))).document(env!("CARGO_PKG_VERSION"));
        if let (Some(paths), Value::Object(own)) = (document["paths"].as_object_mut(), own["paths"].clone()) {
            paths.extend(own);
        }
        Self(format!("{document:#}").into())
    }
}

/// Where the document is, and a page to read and try it.
pub(crate) fn routes(document: Document) -> Routes {
    let about = "The description of every path (OpenAPI 3.1).";
    Routes::new("service")
        .add(
            get("/openapi.json", Rule::PUBLIC).says(about).answers_bytes(
                200,
                "application/json",
                "The document.",
            ),
            json,
        )
        .add(
            get("/api/openapi.json", Rule::PUBLIC).says(about).answers_bytes(
                200,
                "application/json",
                "The document.",
            ),
            json,
        )
        .with_state(document)
}

/// `GET /openapi.json`
async fn json(State(document): State<Document>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document.0.to_string()).into_response()
}
