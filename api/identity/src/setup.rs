//! The first administrator, made with a token that the first start prints.

use axum::extract::State;
use axum::response::Response;
use chrono::TimeDelta;
use clinical::id::ClinicId;
use clinical::role::Role;
use gate::{App, Json, Problem, Visitor};
use http::StatusCode;
use serde::Deserialize;
use storage::records::member::{Member, Position};
use storage::records::user::User;
use utoipa::ToSchema;

use crate::me::taken;
use crate::password::Password;
use crate::single_use::{self, Purpose};
use crate::tokens::{self, invalid_grant};
use crate::{Identity, input};

/// How long the printed token counts; each start prints another while nobody is there.
const COUNTS: TimeDelta = TimeDelta::hours(24);
const WRONG: &str =
    "the token is unknown, was used, or is too old: each start of an empty service prints another";

/// A token with which the first administrator is made at `POST /api/v1/auth/setup`; `None` once anybody is there.
///
/// # Errors
///
/// 500 when the database failed or the machine has no random bytes.
pub async fn setup_link(app: &App) -> Result<Option<String>, Problem> {
    if !User::is_none(&mut app.db.read().await?).await? {
        return Ok(None);
    }
    let now = app.clock.now();
    let mut tx = app.db.begin().await?;
    let made = single_use::make(&mut tx, Purpose::Setup, None, None, now, now + COUNTS).await?;
    tx.commit().await?;
    Ok(Some(made.text))
}

/// The token, and who the administrator is.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SetupRequest {
    token: String,
    #[schema(
        min_length = 3,
        max_length = 254,
        pattern = "^[^@\\s\\x00-\\x1f\\x7f-\\x9f<>(),;:\\\\\"\\[\\]]+@[^@.\\s\\x00-\\x1f\\x7f-\\x9f<>(),;:\\\\\"\\[\\]]+(\\.[^@.\\s\\x00-\\x1f\\x7f-\\x9f<>(),;:\\\\\"\\[\\]]+)*$"
    )]
    email: String,
    password: String,
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ufeff]*[^\\s\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ufeff][^\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ufeff]*$"
    )]
    name: String,
}

/// `POST /api/v1/auth/setup`
pub(crate) async fn setup(
    State(identity): State<Identity>,
    visitor: Visitor,
    Json(request): Json<SetupRequest>,
) -> Result<Response, Problem> {
    let mut read = identity.app.db.read().await?;
    let found = single_use::find(&mut read, Purpose::Setup, &request.token, visitor.at).await?;
    drop(read);
    let Some(found) = found else {
        identity.failed(&visitor, None).await?;
        return Err(invalid_grant(WRONG));
    };
    let (email, name) = (input::email(&request.email)?, input::name(&request.name)?);
    let password = Password::new(&request.password, &[email.as_str(), &name])?;
    let hash = identity.hasher.hash(password).await?;

    let mut tx = identity.app.db.begin().await?;
    if !single_use::take(&mut tx, &found).await? || !User::is_none(&mut tx).await? {
        return Err(invalid_grant(WRONG));
    }
    single_use::forget_setup(&mut tx).await?;
    let user = User::create(&mut tx, &email, &name, Some(&hash), visitor.at).await.map_err(taken)?;
    let position = Position::of(Role::SuperAdmin);
    Member::add(&mut tx, ClinicId::DEFAULT, user.user_id, &position, visitor.at).await?;
    let begun = identity.begin(&mut tx, &visitor, user.user_id, "setup").await?;
    tx.commit().await?;

    Ok(tokens::shown(StatusCode::CREATED, identity.tokens(begun).await?))
}
