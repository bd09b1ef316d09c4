//! Clinics themselves: made, looked at, renamed, suspended.

use axum::extract::State;
use chrono::{DateTime, Utc};
use clinical::event::Event;
use clinical::id::ClinicId;
use clinical::role::Reach;
use gate::{App, Caller, Cursor, Json, Paged, Problem, Who};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::outbox;
use storage::records::clinic::{Clinic, ClinicChange, ClinicState};
use utoipa::ToSchema;

use crate::text;

/// The longest name of a clinic, in characters.
const NAME_CHARACTERS: usize = 200;

/// A clinic as clients see it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClinicView {
    /// Our identifier.
    pub id: ClinicId,
    /// What people call it.
    pub name: String,
    /// Whether it is open.
    pub state: Standing,
    /// Its time zone (IANA).
    pub time_zone: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Whether a clinic is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ClinicState)]
pub enum Standing {
    /// Its people and machines work.
    Active,
    /// Everyone but super-administrators is refused.
    Suspended,
}

impl From<ClinicState> for Standing {
    fn from(state: ClinicState) -> Self {
        match state {
            ClinicState::Active => Self::Active,
            ClinicState::Suspended => Self::Suspended,
        }
    }
}

impl From<Standing> for ClinicState {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Active => Self::Active,
            Standing::Suspended => Self::Suspended,
        }
    }
}

impl From<Clinic> for ClinicView {
    fn from(clinic: Clinic) -> Self {
        Self {
            id: clinic.clinic_id,
            name: clinic.name,
            state: clinic.state.into(),
            time_zone: clinic.time_zone,
            created_at: clinic.created_at,
        }
    }
}

/// How a clinic begins.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewClinic {
    /// What people call it: at most 200 characters.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$"
    )]
    name: String,
    /// Its time zone (IANA); `UTC` when it is left out.
    time_zone: Option<String>,
}

/// What becomes different; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ClinicPatch {
    /// Another name.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$"
    )]
    name: Option<String>,
    /// Another time zone.
    time_zone: Option<String>,
    /// For super-administrators: opened, or suspended.
    state: Option<Standing>,
}

fn time_zone(name: Option<String>) -> Result<Option<String>, Problem> {
    let Some(name) = name else { return Ok(None) };
    match name.parse::<chrono_tz::Tz>() {
        Ok(zone) => Ok(Some(zone.name().to_owned())),
        Err(_) => {
            let detail = "timeZone is a name of the IANA time zone database, as Africa/Nairobi";
            Err(Problem::bad_request("invalid-time-zone", detail))
        }
    }
}

/// `POST /api/v1/clinics`
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<NewClinic>,
) -> Result<(StatusCode, Json<ClinicView>), Problem> {
    let name = text::checked("name", &request.name, NAME_CHARACTERS)?;
    let zone = time_zone(request.time_zone)?.unwrap_or_else(|| "UTC".to_owned());

    let now = app.clock.now();
    // The system's handle: no clinic's sees one that is not there yet.
    let mut tx = app.db.begin().await?;
    let clinic = Clinic::create(&mut tx, &name, &zone, now).await?;
    let clinic_id = clinic.clinic_id;
    outbox::tell(&mut tx, clinic_id, &Event::ClinicCreated { clinic_id }, now).await?;
    caller.about_record(clinic_id);
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok((StatusCode::CREATED, Json(clinic.into())))
}

/// `GET /api/v1/clinics`
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    page: Cursor,
) -> Result<Paged<ClinicView>, Problem> {
    let mut rows = app.db.read().await?;
    let found = match (caller.reach, caller.who) {
        (Reach::Every, _) => Clinic::list(&mut rows, page.after, page.rows()).await?,
        (_, Who::User { user_id, .. }) => {
            Clinic::list_of(&mut rows, user_id, page.after, page.rows()).await?
        }
        // A machine belongs to the clinic of its key.
        _ => vec![Clinic::find(&mut rows, caller.clinic).await?],
    };
    Ok(page.of_rows(found, |clinic| clinic.clinic_id.0).map(ClinicView::from))
}

/// `GET /api/v1/clinics/{clinicId}`
pub(crate) async fn show(State(app): State<App>, caller: Caller) -> Result<Json<ClinicView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    Ok(Json(Clinic::find(&mut rows, caller.clinic).await?.into()))
}

/// `PATCH /api/v1/clinics/{clinicId}`
pub(crate) async fn change(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<ClinicPatch>,
) -> Result<Json<ClinicView>, Problem> {
    if request.state.is_some() && caller.reach < Reach::Every {
        let detail = "only a super-administrator suspends or opens a clinic";
        return Err(Problem::new(StatusCode::FORBIDDEN, "not-allowed", detail));
    }
    let change = ClinicChange {
        name: text::optional("name", request.name, NAME_CHARACTERS)?,
        time_zone: time_zone(request.time_zone)?,
        state: request.state.map(ClinicState::from),
    };

    let (clinic_id, now) = (caller.clinic, app.clock.now());
    let mut tx = app.db.of(clinic_id).begin().await?;
    Clinic::change(&mut tx, clinic_id, &change).await?;
    let clinic = Clinic::find(&mut tx, clinic_id).await?;
    outbox::tell(&mut tx, clinic_id, &Event::ClinicChanged { clinic_id }, now).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    if change.state.is_some() {
        // Other processes hear of it within two seconds.
        app.suspensions.forget();
        app.authenticator.forget_all();
    }

    Ok(Json(clinic.into()))
}
