//! For the houses' tests: an [`App`] over a database and a folder of its own, and a client without a socket.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use clinical::clock::Clock;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use storage::archive::Archive;
use storage::db::Db;
use tempfile::TempDir;
use tower::ServiceExt;

use crate::{App, HttpLimits};

/// The token of [`app`].
pub const TOKEN: &str = "a-token-for-tests";

/// A clock that stands still.
#[derive(Debug, Clone, Copy)]
pub struct StandingClock(pub DateTime<Utc>);

impl Clock for StandingClock {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }
}

/// An [`App`] over `db` and a new folder, which lasts as long as what is returned with it.
pub fn app(db: &Db, limits: HttpLimits, now: DateTime<Utc>) -> (App, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let archive = Archive::folder(folder.path()).expect("the folder is there");
    (App::new(db.clone(), archive, Arc::new(StandingClock(now)), limits, TOKEN), folder)
}

/// A request with the token.
pub fn request(method: Method, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path).header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// Status and stable code of a problem.
    ///
    /// # Panics
    ///
    /// When the answer is no problem document.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json", "{:?}", self.body);
        (self.status.as_u16(), self.json()["code"].as_str().expect("every problem has one").to_owned())
    }

    /// A header as text; empty where it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Sends `request` through `router`.
pub async fn send(router: &Router, request: Request<Body>) -> Answer {
    let answer = router.clone().oneshot(request).await.expect("a router always answers");
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.expect("the body is whole").to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// `GET path` with the token.
pub async fn get(router: &Router, path: &str) -> Answer {
    send(router, request(Method::GET, path).body(Body::empty()).expect("a good path")).await
}

/// `POST path` with the token and a JSON body.
pub async fn post_json(router: &Router, path: &str, body: &serde_json::Value) -> Answer {
    let request = request(Method::POST, path).header(header::CONTENT_TYPE, "application/json");
    send(router, request.body(Body::from(body.to_string())).expect("a good path")).await
}
