//! The users of a clinic, for those who run it.

use axum::Extension;
use axum::extract::State;
use chrono::{DateTime, Utc};
use clinical::event::Event;
use clinical::id::{LocationId, PatientId, UserId};
use clinical::role::{Reach, Role, permissions};
use gate::{Caller, Cursor, Json, Paged, Path, Problem, ShownOnce};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::db::Conn;
use storage::outbox;
use storage::records::member::{Member, Position};
use storage::records::session::Session;
use storage::records::user::User;
use utoipa::ToSchema;

use crate::me::taken;
use crate::password::Password;
use crate::single_use::{self, Purpose};
use crate::{Identity, UserView, input, reset};

/// The longest specialty, in characters.
const SPECIALTY_CHARACTERS: usize = 100;

/// Whether a role has a right in every clinic: only who has such rights gives it, or touches who has it.
pub fn reaches_every_clinic(role: Role) -> bool {
    permissions().any(|permission| role.reach(permission) == Some(Reach::Every))
}

/// A new user and their place in the clinic.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct UserRequest {
    #[schema(
        min_length = 3,
        max_length = 254,
        pattern = "^[^@\\s\\x00-\\x1f\\x7f-\\x9f<>(),;:\\\\\"\\[\\]]+@[^@.\\s\\x00-\\x1f\\x7f-\\x9f<>(),;:\\\\\"\\[\\]]+(\\.[^@.\\s\\x00-\\x1f\\x7f-\\x9f<>(),;:\\\\\"\\[\\]]+)*$"
    )]
    email: String,
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ufeff]*[^\\s\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ufeff][^\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ufeff]*$"
    )]
    name: String,
    /// Without one the user gets a link to set it.
    password: Option<String>,
    role: Role,
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ufeff]*[^\\s\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ufeff][^\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ufeff]*$"
    )]
    specialty: Option<String>,
    location_id: Option<LocationId>,
    patient_id: Option<PatientId>,
}

/// `POST /api/v1/users`
pub(crate) async fn create(
    State(identity): State<Identity>,
    caller: Caller,
    Json(request): Json<UserRequest>,
) -> Result<(StatusCode, Json<UserView>), Problem> {
    let (email, name) = (input::email(&request.email)?, input::name(&request.name)?);
    let specialty = |text: &str| input::line("specialty", text, SPECIALTY_CHARACTERS);
    let position = Position {
        role: request.role,
        specialty: request.specialty.as_deref().map(specialty).transpose()?,
        location_id: request.location_id,
        patient_id: request.patient_id,
    };
    if reaches_every_clinic(request.role) && caller.reach < Reach::Every {
        return Err(above("a role that reaches every clinic is given by who has one"));
    }
    let hash = match &request.password {
        Some(text) => Some(identity.hasher.hash(Password::new(text, &[email.as_str(), &name])?).await?),
        None => None,
    };

    let now = identity.app.clock.now();
    let mut tx = identity.app.db.begin().await?;
    let user = User::create(&mut tx, &email, &name, hash.as_deref(), now).await.map_err(taken)?;
    Member::add(&mut tx, caller.clinic, user.user_id, &position, now).await?;
    outbox::tell(&mut tx, caller.clinic, &Event::UserCreated { user_id: user.user_id }, now).await?;
    caller.about_record(user.user_id);
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok((StatusCode::CREATED, Json(user.into())))
}

fn above(detail: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "not-allowed", detail)
}

/// `GET /api/v1/users`
pub(crate) async fn list(
    State(identity): State<Identity>,
    caller: Caller,
    page: Cursor,
) -> Result<Paged<UserView>, Problem> {
    let mut read = identity.app.db.of(caller.clinic).read().await?;
    let users = User::list_in(&mut read, caller.clinic, page.after, page.rows()).await?;
    Ok(page.of_rows(users, |user| user.user_id.0).map(UserView::from))
}

/// `GET /api/v1/users/{userId}`
pub(crate) async fn show(
    State(identity): State<Identity>,
    caller: Caller,
    Path(user_id): Path<UserId>,
) -> Result<Json<UserView>, Problem> {
    let mut read = identity.app.db.of(caller.clinic).read().await?;
    Ok(Json(User::find_in(&mut read, caller.clinic, user_id).await?.into()))
}

/// The user, over whose account the caller has power.
///
/// Who runs a clinic has it over those who belong to that clinic alone: the account of somebody who is
/// something elsewhere too would open the doors there.
async fn under(db: &mut Conn, caller: &Caller, user_id: UserId) -> Result<User, Problem> {
    if caller.reach == Reach::Every {
        return Ok(User::find(db, user_id).await?);
    }
    let user = User::find_in(db, caller.clinic, user_id).await?;
    let places = Member::of_user(db, user_id).await?;
    let is_above =
        |member: &Member| member.clinic_id != caller.clinic || reaches_every_clinic(member.position.role);
    if places.iter().any(is_above) {
        return Err(above("this account counts beyond the clinic: ask who runs the service"));
    }
    Ok(user)
}

/// Whether a user may sign in.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StateRequest {
    state: UserState,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum UserState {
    Active,
    Disabled,
}

/// `PATCH /api/v1/users/{userId}`
pub(crate) async fn change(
    State(identity): State<Identity>,
    caller: Caller,
    Path(user_id): Path<UserId>,
    Json(request): Json<StateRequest>,
) -> Result<Json<UserView>, Problem> {
    let now = identity.app.clock.now();
    let mut tx = identity.app.db.begin().await?;
    under(&mut tx, &caller, user_id).await?;
    match request.state {
        UserState::Active => User::enable(&mut tx, user_id).await?,
        UserState::Disabled => {
            User::disable(&mut tx, user_id).await?;
            Session::revoke_all(&mut tx, user_id, None, now).await?;
            single_use::forget(&mut tx, user_id).await?;
        }
    }
    let user = User::find(&mut tx, user_id).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    identity.app.authenticator.forget_user(user_id);
    Ok(Json(user.into()))
}

/// What a user sets a new password with, at `POST /api/v1/auth/password/reset`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResetLink {
    token: String,
    expires_at: DateTime<Utc>,
}

/// `POST /api/v1/users/{userId}/reset-link`
pub(crate) async fn reset_link(
    State(identity): State<Identity>,
    caller: Caller,
    Path(user_id): Path<UserId>,
) -> Result<(StatusCode, Extension<ShownOnce>, Json<ResetLink>), Problem> {
    let now = identity.app.clock.now();
    let expires_at = now + reset::COUNTS;
    let mut tx = identity.app.db.begin().await?;
    under(&mut tx, &caller, user_id).await?;
    let made = single_use::make(&mut tx, Purpose::Reset, Some(user_id), None, now, expires_at).await?;
    caller.about_record(user_id);
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok((StatusCode::CREATED, Extension(ShownOnce), Json(ResetLink { token: made.text, expires_at })))
}
