//! Access to a restricted record in an emergency.

use axum::extract::State;
use chrono::{DateTime, Utc};
use clinical::event::Event;
use clinical::id::{GrantId, PatientId, UserId};
use clinical::invalid::{invalid, line};
use gate::{App, Caller, Cursor, Json, Paged, Path, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::outbox;
use storage::records::patient::{Grant, Patient};
use utoipa::ToSchema;

use crate::door::{merged, refused};

/// Shortest and longest reason, in characters.
const REASON_CHARACTERS: (usize, usize) = (5, 500);

/// Why it must be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct GlassRequest {
    /// In words, for the audit trail.
    #[schema(
        min_length = 5,
        max_length = 500,
        pattern = "^[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]([^\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]*[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069])?$"
    )]
    reason: String,
}

/// One access to a restricted record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantView {
    /// Our identifier.
    pub id: GrantId,
    /// To whose record.
    pub patient_id: PatientId,
    /// Who has it.
    pub user_id: UserId,
    /// Why they needed it.
    pub reason: String,
    /// Since when.
    pub granted_at: DateTime<Utc>,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}

impl From<Grant> for GrantView {
    fn from(grant: Grant) -> Self {
        Self {
            id: grant.grant_id,
            patient_id: grant.patient_id,
            user_id: grant.user_id,
            reason: grant.reason,
            granted_at: grant.granted_at,
            expires_at: grant.expires_at,
        }
    }
}

/// `POST /api/v1/patients/{patientId}/break-glass`
pub(crate) async fn break_glass(
    State(app): State<App>,
    caller: Caller,
    Path(patient_id): Path<PatientId>,
    Json(GlassRequest { reason }): Json<GlassRequest>,
) -> Result<(StatusCode, Json<GrantView>), Problem> {
    line("reason", &reason, REASON_CHARACTERS.1).map_err(refused)?;
    if reason.chars().count() < REASON_CHARACTERS.0 {
        return Err(refused(invalid("reason", "says in a few words why")));
    }
    let Some(user_id) = caller.reader().user_id else {
        let detail = "a machine cannot break the glass: a person signs in for it";
        return Err(Problem::new(StatusCode::FORBIDDEN, "person-required", detail));
    };

    let (clinic, now) = (caller.clinic, app.clock.now());
    let mut tx = app.db.of(clinic).begin().await?;
    let patient = Patient::hold(&mut tx, clinic, patient_id).await?;
    if patient.merged_into.is_some() {
        return Err(merged());
    }
    if !patient.is_restricted {
        return Err(Problem::conflict("not-restricted", "the record is open already"));
    }
    let grant = Grant::give(&mut tx, clinic, patient_id, user_id, &reason, now).await?;
    let event = Event::GlassBroken { patient_id, grant_id: grant.grant_id };
    outbox::tell(&mut tx, clinic, &event, now).await?;
    caller.about_record(grant.grant_id);
    caller.because(&reason);
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok((StatusCode::CREATED, Json(grant.into())))
}

/// `GET /api/v1/break-glass`: newest first.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    page: Cursor,
) -> Result<Paged<GrantView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let grants = Grant::list(&mut rows, caller.clinic, page.after.map(GrantId), page.rows()).await?;
    Ok(page.of_rows(grants, |grant| grant.grant_id.0).map(GrantView::from))
}
