//! Sign-in with e-mail and password, and a code where a second factor is set.

use axum::extract::State;
use axum::response::Response;
use clinical::audit::Outcome;
use clinical::id::UserId;
use gate::{Json, Problem, Visitor};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use storage::records::session::Session;
use storage::records::user::{EmailAddress, User};
use utoipa::ToSchema;

use crate::attempts::Origin;
use crate::password::Password;
use crate::second_factor::{self, SecondFactor};
use crate::tokens::{self, invalid_grant, unauthorized};
use crate::{Identity, refresh_token};

/// From an address that signed in so recently, guesses elsewhere slow nothing.
const KNOWN_FOR: chrono::TimeDelta = chrono::TimeDelta::days(30);
const WRONG: &str = "address or password is wrong";

/// What a client sends.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginRequest {
    email: String,
    password: String,
    /// The code of the second factor, or a recovery code.
    totp: Option<String>,
    /// A refresh token that this device had earlier, even if it has ended: wrong passwords that others try
    /// elsewhere do not slow this sign-in then.
    device: Option<String>,
}

/// `POST /api/v1/auth/login`
pub(crate) async fn login(
    State(identity): State<Identity>,
    visitor: Visitor,
    Json(request): Json<LoginRequest>,
) -> Result<Response, Problem> {
    // What is no address is nobody's: it goes the same way.
    let email: Option<EmailAddress> = request.email.parse().ok();
    let account = email.as_ref().map(EmailAddress::key).unwrap_or_default();
    let user = match &email {
        Some(email) => User::with_email(&mut identity.app.db.read().await?, email).await?,
        None => None,
    };
    let user_id = user.as_ref().map(|user| user.user_id);
    let origin = identity.origin(&visitor, request.device.as_deref(), user_id).await?;
    identity.attempts.begin(&account, origin, visitor.at).map_err(slow_down)?;
    identity.slow(&account, origin, &visitor, user_id).await?;

    let hash = user.as_ref().and_then(|user| user.password_hash.as_deref());
    let is_right = match Password::shown(&request.password) {
        Some(password) => identity.hasher.is_right(password, hash).await?,
        None => false,
    };
    let Some(user) = user.filter(|user| is_right && user.is_active) else {
        identity.failed(&visitor, user_id).await?;
        return Err(invalid_grant(WRONG));
    };

    let factor = SecondFactor::of(&mut identity.app.db.read().await?, user.user_id).await?;
    let factor = factor.filter(SecondFactor::is_confirmed);
    if factor.is_some() && request.totp.is_none() {
        identity.failed(&visitor, user_id).await?;
        return Err(unauthorized("second-factor-required", "send the code of the second factor as `totp`"));
    }
    let mut tx = identity.app.db.begin().await?;
    if let (Some(factor), Some(code)) = (&factor, &request.totp)
        && !second_factor::takes(&mut tx, &identity, factor, code, visitor.at).await?
    {
        drop(tx);
        identity.failed(&visitor, user_id).await?;
        return Err(unauthorized("second-factor-wrong", "the code is wrong, or was used before"));
    }
    let begun = identity.begin(&mut tx, &visitor, user.user_id, "password").await?;
    tx.commit().await?;

    identity.attempts.succeeded(&account, origin);
    Ok(tokens::shown(StatusCode::OK, identity.tokens(begun).await?))
}

/// 429 with the seconds to wait.
pub(crate) fn slow_down(wait_s: i64) -> Problem {
    let detail = "too many wrong tries from here: wait as long as Retry-After says";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "slow-down", detail)
        .with_header(header::RETRY_AFTER, HeaderValue::from(wait_s))
}

impl Identity {
    /// A device that has been signed in to the account, or else the address.
    async fn origin(
        &self,
        visitor: &Visitor,
        device: Option<&str>,
        user: Option<UserId>,
    ) -> Result<Origin, Problem> {
        let address = Origin::of(visitor.address);
        let (Some(shown), Some(user)) = (device.and_then(refresh_token::Shown::read), user) else {
            return Ok(address);
        };
        let found = Session::find(&mut self.app.db.read().await?, shown.session).await;
        let Some(session) = found.ok().filter(|session| session.user_id == user) else { return Ok(address) };
        let is_ours = shown.is_made_with(&self.refresh_key(&session)?);
        Ok(if is_ours { Origin::Device(session.session_id) } else { address })
    }

    /// Waits where an account is guessed at from everywhere, unless the person is known to be here.
    async fn slow(
        &self,
        account: &str,
        origin: Origin,
        visitor: &Visitor,
        user: Option<UserId>,
    ) -> Result<(), Problem> {
        if matches!(origin, Origin::Device(_)) {
            return Ok(());
        }
        let slowness = self.attempts.slowness(account, visitor.at);
        if slowness.is_zero() {
            return Ok(());
        }
        if let (Some(user), Some(address)) = (user, visitor.address) {
            let since = visitor.at - KNOWN_FOR;
            let mut read = self.app.db.read().await?;
            if Session::knows_address(&mut read, user, &address.to_string(), since).await? {
                return Ok(());
            }
        }
        tokio::time::sleep(slowness).await;
        Ok(())
    }

    /// Tells the trail that somebody was not let in.
    pub(crate) async fn failed(&self, visitor: &Visitor, user: Option<UserId>) -> Result<(), Problem> {
        let mut read = self.app.db.read().await?;
        let entry = tokens::entry(&mut read, visitor, user, "account:sign-in", Outcome::Denied).await?;
        drop(read);
        self.app.trail.record(entry).await.map_err(Problem::from)
    }
}
