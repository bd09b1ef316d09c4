//! The caller's own account.

use axum::extract::State;
use clinical::id::ClinicId;
use clinical::role::Role;
use gate::{Caller, Json, Problem, Who};
use http::StatusCode;
use serde::Deserialize;
use storage::db::{Conn, DbError};
use storage::records::member::Member;
use storage::records::session::Session;
use storage::records::user::User;
use utoipa::ToSchema;

use crate::account::{no_account, person};
use crate::password::Password;
use crate::second_factor::SecondFactor;
use crate::single_use;
use crate::{Identity, MeView, MembershipView, input};

/// `GET /api/v1/me`
pub(crate) async fn show(State(identity): State<Identity>, caller: Caller) -> Result<Json<MeView>, Problem> {
    let mut read = identity.app.db.read().await?;
    Ok(Json(view(&mut read, &caller).await?))
}

async fn view(db: &mut Conn, caller: &Caller) -> Result<MeView, Problem> {
    match caller.who {
        Who::User { user_id, .. } => {
            let user = User::find(db, user_id).await?;
            let factor = SecondFactor::of(db, user_id).await?;
            let places = Member::of_user(db, user_id).await?;
            Ok(MeView {
                kind: "user",
                user_id: Some(user_id),
                email: Some(user.email),
                has_second_factor: factor.is_some_and(|factor| factor.is_confirmed()),
                memberships: places.into_iter().map(MembershipView::from).collect(),
                ..nobody(user.name)
            })
        }
        Who::Key { .. } => Err(no_account()),
        Who::Administrator => {
            let everywhere = MembershipView {
                membership_id: None,
                clinic_id: ClinicId::DEFAULT,
                role: Role::SuperAdmin,
                specialty: None,
                location_id: None,
                patient_id: None,
            };
            Ok(MeView { memberships: vec![everywhere], ..nobody("administrator".to_owned()) })
        }
    }
}

fn nobody(name: String) -> MeView {
    MeView {
        kind: "administrator",
        user_id: None,
        email: None,
        name,
        has_second_factor: false,
        memberships: Vec::new(),
    }
}

/// What a person changes of themselves.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MeRequest {
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ufeff]*[^\\s\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ufeff][^\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ufeff]*$"
    )]
    name: Option<String>,
    #[schema(
        min_length = 3,
        max_length = 254,
        pattern = "^[^@\\s\\x00-\\x1f\\x7f-\\x9f<>(),;:\\\\\"\\[\\]]+@[^@.\\s\\x00-\\x1f\\x7f-\\x9f<>(),;:\\\\\"\\[\\]]+(\\.[^@.\\s\\x00-\\x1f\\x7f-\\x9f<>(),;:\\\\\"\\[\\]]+)*$"
    )]
    email: Option<String>,
    /// Needed for another address.
    current_password: Option<String>,
}

/// `PATCH /api/v1/me`
pub(crate) async fn change(
    State(identity): State<Identity>,
    caller: Caller,
    Json(request): Json<MeRequest>,
) -> Result<Json<MeView>, Problem> {
    let (user_id, _) = person(&caller)?;
    let name = request.name.as_deref().map(input::name).transpose()?;
    let email = request.email.as_deref().map(input::email).transpose()?;
    if email.is_some() {
        let password = request.current_password.as_deref();
        let password = password.ok_or_else(|| input::invalid("another address needs currentPassword"))?;
        identity.shown_again(&caller, password).await?;
    }

    let mut tx = identity.app.db.begin().await?;
    if let Some(name) = &name {
        User::rename(&mut tx, user_id, name).await?;
    }
    if let Some(email) = &email {
        User::change_email(&mut tx, user_id, email).await.map_err(taken)?;
        single_use::forget(&mut tx, user_id).await?;
    }
    let view = view(&mut tx, &caller).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok(Json(view))
}

/// 409 `email-taken`.
pub(crate) fn taken(error: DbError) -> Problem {
    match error {
        DbError::Conflict => Problem::conflict("email-taken", "somebody else has this address"),
        error => error.into(),
    }
}

/// The present password and the next one.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PasswordRequest {
    current_password: String,
    new_password: String,
}

/// `POST /api/v1/me/password`: every other session ends, for who has the old password may have one.
pub(crate) async fn change_password(
    State(identity): State<Identity>,
    caller: Caller,
    Json(request): Json<PasswordRequest>,
) -> Result<StatusCode, Problem> {
    let (user_id, this) = person(&caller)?;
    let user = identity.shown_again(&caller, &request.current_password).await?;
    let password = Password::new(&request.new_password, &[&user.email, &user.name])?;
    let hash = identity.hasher.hash(password).await?;

    let now = identity.app.clock.now();
    let mut tx = identity.app.db.begin().await?;
    User::change_password(&mut tx, user_id, &hash).await?;
    Session::revoke_all(&mut tx, user_id, Some(this), now).await?;
    single_use::forget(&mut tx, user_id).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    identity.app.authenticator.forget_user(user_id);
    Ok(StatusCode::NO_CONTENT)
}
