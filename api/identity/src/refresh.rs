//! New tokens for a refresh token, which counts once.

use axum::extract::State;
use axum::response::Response;
use chrono::TimeDelta;
use clinical::audit::{Entry, Outcome};
use gate::{Json, Problem, Visitor};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use storage::audit;
use storage::db::{DbError, Tx};
use storage::records::session::Session;
use utoipa::ToSchema;

use crate::Identity;
use crate::refresh_token::{self, Shown};
use crate::tokens::{self, Begun, invalid_grant};

/// The token before the last may come again for so long, and gets the same answer: a client that heard no answer, or
/// sent twice at once, is no thief. Whoever stole it gains nothing that lasts: of two who hold the same token, one
/// shows it again later, and the session ends.
const GRACE: TimeDelta = TimeDelta::seconds(10);
const WRONG: &str = "the refresh token has ended, was used before, or is none of ours: sign in";

/// What a client sends.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshRequest {
    refresh_token: String,
    /// `refresh_token`, where the client's library sends it.
    #[serde(rename = "grant_type")]
    _grant_type: Option<GrantType>,
}

/// RFC 6749, section 6.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum GrantType {
    RefreshToken,
}

/// `POST /api/v1/auth/refresh`
pub(crate) async fn refresh(
    State(identity): State<Identity>,
    visitor: Visitor,
    Json(request): Json<RefreshRequest>,
) -> Result<Response, Problem> {
    let shown = Shown::read(&request.refresh_token).ok_or_else(|| invalid_grant(WRONG))?;
    let mut read = identity.app.db.read().await?;
    let session = match Session::find(&mut read, shown.session).await {
        Err(DbError::NotFound) => return Err(invalid_grant(WRONG)),
        found => found?,
    };
    let key = identity.refresh_key(&session)?;
    if !shown.is_made_with(&key) {
        return Err(invalid_grant(WRONG));
    }
    let standing = Session::standing(&mut read, session.session_id, visitor.at).await?;
    drop(read);
    if standing.is_none() {
        return Err(invalid_grant(WRONG));
    }
    let id = session.session_id;
    let mut tx = identity.app.db.begin().await?;
    let end = identity.end_of(&session, visitor.at);
    if shown.generation == session.generation
        && Session::rotate(&mut tx, id, session.generation, visitor.at, end).await?
    {
        identity.tell(&mut tx, &visitor, &session, Outcome::Success).await?;
        tx.commit().await?;
        let next = refresh_token::text(id, session.generation + 1, &key);
        let tokens = identity.tokens(Begun::again(&session, next)).await?;
        return Ok(tokens::shown(StatusCode::OK, tokens));
    }
    // Another request was faster, long ago or just now; this transaction sees it even where it shares its commit.
    let session = Session::find(&mut tx, id).await?;
    let is_last_but_one = shown.generation + 1 == session.generation;
    if is_last_but_one && session.revoked_at.is_none() && visitor.at - session.rotated_at <= GRACE {
        tx.commit().await?;
        let same = refresh_token::text(id, session.generation, &key);
        let tokens = identity.tokens(Begun::again(&session, same)).await?;
        return Ok(tokens::shown(StatusCode::OK, tokens));
    }
    if shown.generation < session.generation {
        // Somebody has a copy.
        match Session::revoke(&mut tx, session.user_id, id, visitor.at).await {
            Ok(()) | Err(DbError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
        identity.tell(&mut tx, &visitor, &session, Outcome::Denied).await?;
    }
    tx.commit().await?;
    identity.app.authenticator.forget_session(id);
    Err(invalid_grant(WRONG))
}

impl Identity {
    async fn tell(
        &self,
        tx: &mut Tx,
        visitor: &Visitor,
        session: &Session,
        outcome: Outcome,
    ) -> Result<(), Problem> {
        let entry = tokens::entry(tx, visitor, Some(session.user_id), "account:refresh", outcome).await?;
        let detail =
            (outcome == Outcome::Denied).then(|| json!({"reason": "an old refresh token came again"}));
        audit::write(tx, &Entry { session: Some(session.session_id), detail, ..entry }).await?;
        Ok(())
    }
}
