//! A new password for who has forgotten the old one.

use axum::extract::State;
use chrono::TimeDelta;
use clinical::audit::Outcome;
use clinical::event::Event;
use clinical::job::{Job, Priority};
use gate::{Json, Problem, Visitor};
use http::StatusCode;
use serde::Deserialize;
use storage::records::session::Session;
use storage::records::user::{EmailAddress, User};
use storage::{audit, outbox, queue};
use utoipa::ToSchema;

use crate::Identity;
use crate::password::Password;
use crate::single_use::{self, Purpose};
use crate::tokens::{self, home, invalid_grant};

/// How long a token counts.
pub(crate) const COUNTS: TimeDelta = TimeDelta::hours(1);
const WRONG: &str = "the token is unknown, was used, or is too old: ask for another";

/// Who has forgotten.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ForgotRequest {
    email: String,
}

/// `POST /api/v1/auth/password/forgot`: the answer is the same whether anybody has the address.
///
/// The token is kept sealed until it is mailed ([`crate::reset_mail`]); event and job name the person and the row
/// alone.
pub(crate) async fn forgot(
    State(identity): State<Identity>,
    visitor: Visitor,
    Json(request): Json<ForgotRequest>,
) -> Result<StatusCode, Problem> {
    let email: Option<EmailAddress> = request.email.parse().ok();
    let mut tx = identity.app.db.begin().await?;
    let user = match &email {
        Some(email) => User::with_email(&mut tx, email).await?.filter(|user| user.is_active),
        None => None,
    };
    let user_id = user.map(|user| user.user_id);
    if let Some(user_id) = user_id
        && !single_use::has_enough(&mut tx, user_id, visitor.at).await?
    {
        let (keyring, end) = (identity.app.authenticator.keyring(), visitor.at + COUNTS);
        let made = single_use::make(&mut tx, Purpose::Reset, Some(user_id), Some(keyring), visitor.at, end);
        let job = Job::MailPasswordReset { single_use_token_id: made.await?.id };
        let clinic = home(&mut tx, user_id).await?;
        queue::ask(&mut tx, clinic, &job, Priority::Urgent, visitor.at, visitor.at).await?;
        outbox::tell(&mut tx, clinic, &Event::PasswordResetAsked { user_id }, visitor.at).await?;
    }
    let entry =
        tokens::entry(&mut tx, &visitor, user_id, "account:forgot-password", Outcome::Success).await?;
    audit::write(&mut tx, &entry).await?;
    tx.commit().await?;
    Ok(StatusCode::ACCEPTED)
}

/// The token and what follows.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ResetRequest {
    token: String,
    #[schema(min_length = 8)]
    new_password: String,
}

/// `POST /api/v1/auth/password/reset`: a second factor stays as it is.
pub(crate) async fn reset(
    State(identity): State<Identity>,
    visitor: Visitor,
    Json(request): Json<ResetRequest>,
) -> Result<StatusCode, Problem> {
    let mut read = identity.app.db.read().await?;
    let found = single_use::find(&mut read, Purpose::Reset, &request.token, visitor.at).await?;
    let Some((found, user_id)) = found.and_then(|found| found.user.map(|user| (found, user))) else {
        drop(read);
        let entry = visitor.entry(
            clinical::id::ClinicId::DEFAULT,
            clinical::audit::Actor::Unknown,
            "account:reset-password",
            Outcome::Denied,
        );
        identity.app.trail.record(entry).await?;
        return Err(invalid_grant(WRONG));
    };
    let user = User::find(&mut read, user_id).await?;
    drop(read);
    let password = Password::new(&request.new_password, &[&user.email, &user.name])?;
    let hash = identity.hasher.hash(password).await?;

    let mut tx = identity.app.db.begin().await?;
    if !user.is_active || !single_use::take(&mut tx, &found).await? {
        return Err(invalid_grant(WRONG));
    }
    User::change_password(&mut tx, user_id, &hash).await?;
    Session::revoke_all(&mut tx, user_id, None, visitor.at).await?;
    single_use::forget(&mut tx, user_id).await?;
    let entry = tokens::entry(&mut tx, &visitor, Some(user_id), "account:reset-password", Outcome::Success);
    let entry = entry.await?;
    audit::write(&mut tx, &entry).await?;
    tx.commit().await?;

    identity.app.authenticator.forget_user(user_id);
    Ok(StatusCode::NO_CONTENT)
}
