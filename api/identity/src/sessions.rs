//! One's own sessions.

use axum::extract::State;
use clinical::id::SessionId;
use gate::{Caller, Json, Path, Problem};
use http::StatusCode;
use storage::records::session::Session;

use crate::account::person;
use crate::{Identity, SessionView};

/// `GET /api/v1/me/sessions`
pub(crate) async fn list(
    State(identity): State<Identity>,
    caller: Caller,
) -> Result<Json<Vec<SessionView>>, Problem> {
    let (user_id, this) = person(&caller)?;
    let now = identity.app.clock.now();
    let sessions = Session::live_of(&mut identity.app.db.read().await?, user_id, now).await?;
    Ok(Json(sessions.into_iter().map(|session| SessionView::of(session, this)).collect()))
}

/// `DELETE /api/v1/me/sessions/{sessionId}`
pub(crate) async fn end(
    State(identity): State<Identity>,
    caller: Caller,
    Path(session_id): Path<SessionId>,
) -> Result<StatusCode, Problem> {
    end_one(&identity, &caller, session_id).await
}

/// `POST /api/v1/auth/logout`
pub(crate) async fn logout(State(identity): State<Identity>, caller: Caller) -> Result<StatusCode, Problem> {
    let (_, this) = person(&caller)?;
    caller.about_record(this);
    end_one(&identity, &caller, this).await
}

async fn end_one(identity: &Identity, caller: &Caller, session_id: SessionId) -> Result<StatusCode, Problem> {
    let (user_id, _) = person(caller)?;
    let mut tx = identity.app.db.begin().await?;
    Session::revoke(&mut tx, user_id, session_id, identity.app.clock.now()).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    identity.app.authenticator.forget_session(session_id);
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /api/v1/me/sessions`
pub(crate) async fn end_others(
    State(identity): State<Identity>,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    let (user_id, this) = person(&caller)?;
    let mut tx = identity.app.db.begin().await?;
    Session::revoke_all(&mut tx, user_id, Some(this), identity.app.clock.now()).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    identity.app.authenticator.forget_user(user_id);
    Ok(StatusCode::NO_CONTENT)
}
