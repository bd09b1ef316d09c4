//! The DIMSE titles that mean a clinic.

use axum::extract::State;
use chrono::{DateTime, Utc};
use clinical::ae_title::AeTitle;
use clinical::id::ClinicId;
use gate::{App, Caller, Json, Path, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::db::DbError;
use storage::records::ae_title::{ClinicTitle, Side};
use utoipa::ToSchema;

/// A clinic has fewer titles than this.
const TITLES: i64 = 1000;

/// A title as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AeTitleView {
    /// The title.
    pub ae_title: String,
    /// On which side of an association it means the clinic.
    pub side: TitleSide,
    /// When it was named.
    pub created_at: DateTime<Utc>,
}

/// A side of an association.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TitleSide {
    /// Senders call it.
    Called,
    /// A sender has it.
    Calling,
}

impl From<Side> for TitleSide {
    fn from(side: Side) -> Self {
        match side {
            Side::Called => Self::Called,
            Side::Calling => Self::Calling,
        }
    }
}

impl From<TitleSide> for Side {
    fn from(side: TitleSide) -> Self {
        match side {
            TitleSide::Called => Self::Called,
            TitleSide::Calling => Self::Calling,
        }
    }
}

impl From<ClinicTitle> for AeTitleView {
    fn from(title: ClinicTitle) -> Self {
        Self { ae_title: title.ae_title.into(), side: title.side.into(), created_at: title.created_at }
    }
}

/// A title and its side.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewAeTitle {
    /// 1 to 16 printable ASCII characters without backslash.
    #[schema(min_length = 1, max_length = 16, pattern = "^ *[!-\\[\\]-~]([ -\\[\\]-~]*[!-\\[\\]-~])? *$")]
    ae_title: String,
    side: TitleSide,
}

/// `POST /api/v1/clinics/{clinicId}/ae-titles`: the DIMSE door knows it within five seconds.
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<NewAeTitle>,
) -> Result<(StatusCode, Json<AeTitleView>), Problem> {
    let title: AeTitle = request
        .ae_title
        .parse()
        .map_err(|error| Problem::bad_request("invalid-ae-title", format!("{error}")))?;

    let (clinic, now) = (caller.clinic, app.clock.now());
    let mut tx = app.db.of(clinic).begin().await?;
    let named = ClinicTitle::name(&mut tx, clinic, &title, request.side.into(), now).await;
    let named = named.map_err(|error| match error {
        DbError::Conflict => Problem::conflict("ae-title-taken", "the title means a clinic already"),
        error => error.into(),
    })?;
    caller.about_record(&title);
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok((StatusCode::CREATED, Json(named.into())))
}

/// `GET /api/v1/clinics/{clinicId}/ae-titles`
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Vec<AeTitleView>>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let titles = ClinicTitle::of(&mut rows, caller.clinic, TITLES).await?;
    Ok(Json(titles.into_iter().map(AeTitleView::from).collect()))
}

/// `DELETE /api/v1/clinics/{clinicId}/ae-titles/{aeTitle}`
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path((_, title)): Path<(ClinicId, String)>,
) -> Result<StatusCode, Problem> {
    let title: AeTitle = title.parse().map_err(|_| Problem::not_found())?;
    let mut tx = app.db.of(caller.clinic).begin().await?;
    ClinicTitle::remove(&mut tx, caller.clinic, &title).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok(StatusCode::NO_CONTENT)
}
