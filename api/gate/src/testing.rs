//! For the houses' tests: an [`App`] over a database and a folder of its own, and a client without a socket.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use clinical::clock::Clock;
use clinical::id::{ClinicId, SessionId};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use storage::archive::Archive;
use storage::db::Db;
use storage::records::member::{Member, Position};
use storage::records::session::{NewSession, REFRESH_KEY_PURPOSE, Session};
use storage::records::user::User;
use storage::secret::{Keyring, SYSTEM};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::{App, Authenticator, HttpLimits, TokenSettings};

/// The token of [`app`].
pub const TOKEN: &str = "a-token-for-tests";
/// What seals the secrets of [`app`].
const KEYS: &str = "test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

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
    let clock: Arc<dyn Clock> = Arc::new(StandingClock(now));
    let keyring = Keyring::from_text(KEYS).expect("the text above reads");
    let tokens = TokenSettings::default();
    let authenticator = Authenticator::new(TOKEN, db.clone(), Arc::clone(&clock), keyring, tokens);
    (App::new(db.clone(), archive, clock, limits, authenticator), folder)
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

/// The access token of a new person who is `position` in `clinic` and has signed in at `app`.
pub async fn token_of(app: &App, clinic: ClinicId, position: &Position) -> String {
    let now = app.clock.now();
    let mut tx = app.db.begin().await.expect("the database answers");
    let address = format!("{}@example.org", uuid::Uuid::new_v4()).parse().expect("an address");
    let user = User::create(&mut tx, &address, "A person", None, now).await.expect("a new address").user_id;
    Member::add(&mut tx, clinic, user, position, now).await.expect("a new member");
    let refresh_key =
        app.authenticator.keyring().seal(SYSTEM, REFRESH_KEY_PURPOSE, b"unused").expect("sealed");
    let session = NewSession {
        session_id: SessionId::new(),
        user_id: user,
        refresh_key,
        means: "password".to_owned(),
        address: None,
        device: None,
        expires_at: now + TimeDelta::days(1),
    };
    Session::begin(&mut tx, &session, now).await.expect("the database answers");
    tx.commit().await.expect("the database answers");
    app.authenticator.issue(user, session.session_id).await.expect("there is a key").text
}
