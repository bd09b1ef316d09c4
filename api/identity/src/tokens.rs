//! From a proof of who somebody is to their tokens.

use axum::Extension;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use clinical::audit::{Actor, Entry, Outcome};
use clinical::id::{ClinicId, SessionId, UserId};
use gate::{Json, Problem, ShownOnce, Visitor};
use http::{HeaderValue, StatusCode, header};
use storage::audit;
use storage::db::{Conn, Tx};
use storage::records::member::Member;
use storage::records::session::{NewSession, REFRESH_KEY_PURPOSE, Session};
use storage::secret::{Plain, SYSTEM, SecretError};

use crate::{Identity, Tokens, refresh_token};

/// Bytes of a session's own key.
const KEY_BYTES: usize = 32;

/// 401 `invalid-grant`, the same for whatever is wrong.
pub(crate) fn invalid_grant(detail: &'static str) -> Problem {
    unauthorized("invalid-grant", detail)
}

/// 401 with the challenge that RFC 9110, section 15.5.2 asks for.
pub(crate) fn unauthorized(code: &'static str, detail: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, code, detail)
        .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

pub(crate) fn sealing_failed(error: SecretError) -> Problem {
    Problem::internal("secret-failed", &error)
}

/// The clinic in whose trail a person's sign-in stands: that of their longest-standing place.
pub(crate) async fn home(db: &mut Conn, user: UserId) -> Result<ClinicId, Problem> {
    let places = Member::of_user(db, user).await?;
    Ok(places.first().map_or(ClinicId::DEFAULT, |member| member.clinic_id))
}

/// The row for the trail of what a person did without a token.
pub(crate) async fn entry(
    db: &mut Conn,
    visitor: &Visitor,
    user: Option<UserId>,
    action: &str,
    outcome: Outcome,
) -> Result<Entry, Problem> {
    Ok(match user {
        Some(user) => visitor.entry(home(db, user).await?, Actor::User(user), action, outcome),
        None => visitor.entry(ClinicId::DEFAULT, Actor::Unknown, action, outcome),
    })
}

/// A session that was written and whose tokens are not made yet.
pub(crate) struct Begun {
    user: UserId,
    session: SessionId,
    refresh_token: String,
}

impl Identity {
    /// Begins a session, and tells the trail.
    pub(crate) async fn begin(
        &self,
        tx: &mut Tx,
        visitor: &Visitor,
        user: UserId,
        means: &str,
    ) -> Result<Begun, Problem> {
        let session_id = SessionId::new();
        let key = Plain::random(KEY_BYTES).map_err(sealing_failed)?;
        let keyring = self.app.authenticator.keyring();
        let new = NewSession {
            session_id,
            user_id: user,
            refresh_key: keyring.seal(SYSTEM, REFRESH_KEY_PURPOSE, &key).map_err(sealing_failed)?,
            means: means.to_owned(),
            address: visitor.address.map(|address| address.to_string()),
            device: visitor.device.clone(),
            expires_at: visitor.at + self.settings.session_idle,
        };
        Session::begin(tx, &new, visitor.at).await?;
        let entry = entry(tx, visitor, Some(user), "account:sign-in", Outcome::Success).await?;
        audit::write(tx, &Entry { session: Some(session_id), ..entry }).await?;
        Ok(Begun { user, session: session_id, refresh_token: refresh_token::text(session_id, 0, &key) })
    }

    /// The tokens of a session, once it is committed.
    pub(crate) async fn tokens(&self, begun: Begun) -> Result<Tokens, Problem> {
        let access = self.app.authenticator.issue(begun.user, begun.session).await?;
        Ok(Tokens {
            access_token: access.text,
            token_type: "Bearer",
            expires_in: access.expires_in_s,
            refresh_token: begun.refresh_token,
        })
    }

    /// The key with which a session's refresh tokens are made.
    pub(crate) fn refresh_key(&self, session: &Session) -> Result<Plain, Problem> {
        let keyring = self.app.authenticator.keyring();
        keyring.open(SYSTEM, REFRESH_KEY_PURPOSE, &session.refresh_key).map_err(sealing_failed)
    }

    /// When a session ends that is refreshed at `now`.
    pub(crate) fn end_of(&self, session: &Session, now: DateTime<Utc>) -> DateTime<Utc> {
        (now + self.settings.session_idle).min(session.created_at + self.settings.session_longest)
    }
}

impl Begun {
    /// A session that goes on.
    pub fn again(session: &Session, refresh_token: String) -> Self {
        Self { user: session.user_id, session: session.session_id, refresh_token }
    }
}

/// The answer that holds tokens; nobody on the way keeps it (RFC 6749, section 5.1).
pub(crate) fn shown(status: StatusCode, tokens: Tokens) -> Response {
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")];
    (status, headers, Extension(ShownOnce), Json(tokens)).into_response()
}
