//! The people of a clinic, with a role each.

use axum::extract::State;
use chrono::{DateTime, Utc};
use clinical::event::Event;
use clinical::id::{ClinicId, LocationId, MembershipId, PatientId, UserId};
use clinical::role::{Permission, Reach, Role};
use gate::{App, Caller, Cursor, Json, Paged, Path, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::db::DbError;
use storage::outbox;
use storage::records::member::{Member, Position};
use storage::records::roster::Rostered;
use storage::records::user::{EmailAddress, User};
use utoipa::ToSchema;

use crate::text;

const NAME_CHARACTERS: usize = 200;
const SPECIALTY_CHARACTERS: usize = 100;

/// A member as clients see them.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberView {
    /// Of the membership.
    pub id: MembershipId,
    /// Of the person.
    pub user_id: UserId,
    /// Their address.
    pub email: String,
    /// What to call them.
    pub name: String,
    /// Whether they may sign in.
    pub is_active: bool,
    /// What they are in the clinic.
    pub role: Role,
    /// A physician's specialty.
    pub specialty: Option<String>,
    /// Where they work.
    pub location_id: Option<LocationId>,
    /// Whose records are their own.
    pub patient_id: Option<PatientId>,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

impl From<Rostered> for MemberView {
    fn from(rostered: Rostered) -> Self {
        let Rostered { member, email, name, is_active } = rostered;
        Self {
            id: member.membership_id,
            user_id: member.user_id,
            email,
            name,
            is_active,
            role: member.position.role,
            specialty: member.position.specialty,
            location_id: member.position.location_id,
            patient_id: member.position.patient_id,
            created_at: member.created_at,
        }
    }
}

/// A person and what they will be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewMember {
    /// Their address.
    #[schema(
        min_length = 3,
        max_length = 254,
        pattern = "^[^@\\s\\x00-\\x1f\\x7f-\\x9f<>(),;:\\\\\"\\[\\]]+@[^@.\\s\\x00-\\x1f\\x7f-\\x9f<>(),;:\\\\\"\\[\\]]+(\\.[^@.\\s\\x00-\\x1f\\x7f-\\x9f<>(),;:\\\\\"\\[\\]]+)*$"
    )]
    email: String,
    /// What to call them; someone who is known already keeps their name.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$"
    )]
    name: String,
    role: Role,
    /// At most 100 characters.
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$"
    )]
    specialty: Option<String>,
    location_id: Option<LocationId>,
    patient_id: Option<PatientId>,
}

/// What becomes different; what is left out stays, and `null` clears.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MemberPatch {
    role: Option<Role>,
    #[serde(default, deserialize_with = "text::present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$")]
    specialty: Option<Option<String>>,
    #[serde(default, deserialize_with = "text::present")]
    #[schema(value_type = Option<LocationId>)]
    location_id: Option<Option<LocationId>>,
    #[serde(default, deserialize_with = "text::present")]
    #[schema(value_type = Option<PatientId>)]
    patient_id: Option<Option<PatientId>>,
}

/// Only who reaches every clinic gives or takes a role that does: else a clinic could make masters over others.
fn may_grant(caller: &Caller, role: Role) -> Result<(), Problem> {
    let is_over_all = |permission: Permission| role.reach(permission) == Some(Reach::Every);
    if caller.reach < Reach::Every && clinical::role::permissions().any(is_over_all) {
        let detail = format!("{role} reaches every clinic: only a super-administrator gives or takes it");
        return Err(Problem::new(StatusCode::FORBIDDEN, "role-not-grantable", detail));
    }
    Ok(())
}

/// Nobody has proved whose address it is: a clinic could be made to trust a stranger who took it first, and would
/// see the name of somebody else's people.
fn known_elsewhere() -> Problem {
    let detail = "an account with this address exists: a super-administrator adds it to further clinics";
    Problem::conflict("account-exists", detail)
}

/// `POST /api/v1/clinics/{clinicId}/members`
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<NewMember>,
) -> Result<(StatusCode, Json<MemberView>), Problem> {
    may_grant(&caller, request.role)?;
    let email: EmailAddress =
        request.email.parse().map_err(|error| Problem::bad_request("invalid-email", format!("{error}")))?;
    let name = text::checked("name", &request.name, NAME_CHARACTERS)?;
    let position = Position {
        role: request.role,
        specialty: text::optional("specialty", request.specialty, SPECIALTY_CHARACTERS)?,
        location_id: request.location_id,
        patient_id: request.patient_id,
    };

    let (clinic, now) = (caller.clinic, app.clock.now());
    let mut tx = app.db.of(clinic).begin().await?;
    let user = match User::with_email(&mut tx, &email).await? {
        Some(_) if caller.reach < Reach::Every => return Err(known_elsewhere()),
        Some(user) => user,
        None => User::create(&mut tx, &email, &name, None, now).await?,
    };
    let member = Member::add(&mut tx, clinic, user.user_id, &position, now).await;
    let member = member.map_err(|error| match error {
        DbError::Conflict => Problem::conflict("member-exists", "they belong to the clinic already"),
        error => error.into(),
    })?;
    let joined = Event::MemberJoined { membership_id: member.membership_id };
    outbox::tell(&mut tx, clinic, &joined, now).await?;
    caller.about_record(member.membership_id);
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    app.authenticator.forget_user(user.user_id);

    let view = Rostered { member, email: user.email, name: user.name, is_active: user.is_active };
    Ok((StatusCode::CREATED, Json(view.into())))
}

/// `GET /api/v1/clinics/{clinicId}/members`
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    page: Cursor,
) -> Result<Paged<MemberView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let found = Rostered::list(&mut rows, caller.clinic, page.after, page.rows()).await?;
    Ok(page.of_rows(found, |it| it.member.membership_id.0).map(MemberView::from))
}

/// `GET /api/v1/clinics/{clinicId}/members/{membershipId}`
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path((_, id)): Path<(ClinicId, MembershipId)>,
) -> Result<Json<MemberView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    Ok(Json(Rostered::find(&mut rows, caller.clinic, id).await?.into()))
}

/// `PATCH /api/v1/clinics/{clinicId}/members/{membershipId}`
pub(crate) async fn change(
    State(app): State<App>,
    caller: Caller,
    Path((_, id)): Path<(ClinicId, MembershipId)>,
    Json(request): Json<MemberPatch>,
) -> Result<Json<MemberView>, Problem> {
    let (clinic, now) = (caller.clinic, app.clock.now());
    let mut tx = app.db.of(clinic).begin().await?;
    let mut position = Member::find(&mut tx, clinic, id).await?.position;
    may_grant(&caller, position.role)?;
    if let Some(role) = request.role {
        may_grant(&caller, role)?;
        position.role = role;
    }
    if let Some(specialty) = request.specialty {
        position.specialty = text::optional("specialty", specialty, SPECIALTY_CHARACTERS)?;
    }
    position.location_id = request.location_id.unwrap_or(position.location_id);
    position.patient_id = request.patient_id.unwrap_or(position.patient_id);
    Member::change(&mut tx, clinic, id, &position).await?;
    outbox::tell(&mut tx, clinic, &Event::MemberChanged { membership_id: id }, now).await?;
    let changed = Rostered::find(&mut tx, clinic, id).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    app.authenticator.forget_user(changed.member.user_id);

    Ok(Json(changed.into()))
}

/// `DELETE /api/v1/clinics/{clinicId}/members/{membershipId}`
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path((_, id)): Path<(ClinicId, MembershipId)>,
) -> Result<StatusCode, Problem> {
    let (clinic, now) = (caller.clinic, app.clock.now());
    let mut tx = app.db.of(clinic).begin().await?;
    let member = Member::find(&mut tx, clinic, id).await?;
    may_grant(&caller, member.position.role)?;
    Member::remove(&mut tx, clinic, id).await?;
    outbox::tell(&mut tx, clinic, &Event::MemberLeft { membership_id: id }, now).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    app.authenticator.forget_user(member.user_id);

    Ok(StatusCode::NO_CONTENT)
}
