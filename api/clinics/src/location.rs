//! The places of a clinic.

use axum::extract::State;
use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, LocationId};
use gate::{App, Caller, Cursor, Json, Paged, Path, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::db::DbError;
use storage::records::location::{Location, LocationFacts};
use utoipa::ToSchema;

use crate::text;

const NAME_CHARACTERS: usize = 200;
const ADDRESS_CHARACTERS: usize = 500;
const PHONE_CHARACTERS: usize = 40;

/// A place as clients see it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocationView {
    /// Our identifier.
    pub id: LocationId,
    /// What people call it.
    pub name: String,
    /// Where it is.
    pub address: Option<String>,
    /// How to reach it.
    pub phone: Option<String>,
    /// Whether patients are seen there.
    pub is_open: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl From<Location> for LocationView {
    fn from(location: Location) -> Self {
        Self {
            id: location.location_id,
            name: location.facts.name,
            address: location.facts.address,
            phone: location.facts.phone,
            is_open: location.facts.is_open,
            created_at: location.created_at,
        }
    }
}

/// How a place begins.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewLocation {
    /// What people call it: at most 200 characters, and no other place's name.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$"
    )]
    name: String,
    /// Where it is: at most 500 characters.
    #[schema(
        min_length = 1,
        max_length = 500,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$"
    )]
    address: Option<String>,
    /// How to reach it: at most 40 characters.
    #[schema(
        min_length = 1,
        max_length = 40,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$"
    )]
    phone: Option<String>,
    /// Whether patients are seen there; they are when it is left out.
    is_open: Option<bool>,
}

/// What becomes different; what is left out stays, and `null` clears.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LocationPatch {
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$"
    )]
    name: Option<String>,
    #[serde(default, deserialize_with = "text::present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$")]
    address: Option<Option<String>>,
    #[serde(default, deserialize_with = "text::present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 40, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$")]
    phone: Option<Option<String>>,
    is_open: Option<bool>,
}

impl LocationPatch {
    fn apply(self, facts: &mut LocationFacts) -> Result<(), Problem> {
        if let Some(name) = self.name {
            facts.name = text::checked("name", &name, NAME_CHARACTERS)?;
        }
        if let Some(address) = self.address {
            facts.address = text::optional("address", address, ADDRESS_CHARACTERS)?;
        }
        if let Some(phone) = self.phone {
            facts.phone = text::optional("phone", phone, PHONE_CHARACTERS)?;
        }
        facts.is_open = self.is_open.unwrap_or(facts.is_open);
        Ok(())
    }
}

fn exists(error: DbError) -> Problem {
    match error {
        DbError::Conflict => Problem::conflict("location-exists", "the clinic has a place of that name"),
        error => error.into(),
    }
}

/// `POST /api/v1/clinics/{clinicId}/locations`
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<NewLocation>,
) -> Result<(StatusCode, Json<LocationView>), Problem> {
    let facts = LocationFacts {
        name: text::checked("name", &request.name, NAME_CHARACTERS)?,
        address: text::optional("address", request.address, ADDRESS_CHARACTERS)?,
        phone: text::optional("phone", request.phone, PHONE_CHARACTERS)?,
        is_open: request.is_open.unwrap_or(true),
    };

    let mut tx = app.db.of(caller.clinic).begin().await?;
    let location = Location::create(&mut tx, caller.clinic, facts, app.clock.now()).await.map_err(exists)?;
    caller.about_record(location.location_id);
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok((StatusCode::CREATED, Json(location.into())))
}

/// `GET /api/v1/clinics/{clinicId}/locations`
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    page: Cursor,
) -> Result<Paged<LocationView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let found = Location::list(&mut rows, caller.clinic, page.after, page.rows()).await?;
    Ok(page.of_rows(found, |location| location.location_id.0).map(LocationView::from))
}

/// `GET /api/v1/clinics/{clinicId}/locations/{locationId}`
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path((_, id)): Path<(ClinicId, LocationId)>,
) -> Result<Json<LocationView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    Ok(Json(Location::find(&mut rows, caller.clinic, id).await?.into()))
}

/// `PATCH /api/v1/clinics/{clinicId}/locations/{locationId}`
pub(crate) async fn change(
    State(app): State<App>,
    caller: Caller,
    Path((_, id)): Path<(ClinicId, LocationId)>,
    Json(request): Json<LocationPatch>,
) -> Result<Json<LocationView>, Problem> {
    let mut tx = app.db.of(caller.clinic).begin().await?;
    let mut location = Location::find(&mut tx, caller.clinic, id).await?;
    request.apply(&mut location.facts)?;
    Location::change(&mut tx, caller.clinic, id, &location.facts).await.map_err(exists)?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok(Json(location.into()))
}

/// `DELETE /api/v1/clinics/{clinicId}/locations/{locationId}`
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path((_, id)): Path<(ClinicId, LocationId)>,
) -> Result<StatusCode, Problem> {
    let mut tx = app.db.of(caller.clinic).begin().await?;
    Location::remove(&mut tx, caller.clinic, id).await.map_err(|error| match error {
        DbError::Conflict => Problem::conflict("location-in-use", "a member works there: move them first"),
        error => error.into(),
    })?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok(StatusCode::NO_CONTENT)
}
