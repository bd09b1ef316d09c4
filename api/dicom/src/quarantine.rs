//! What is held back, and what becomes of it.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use clinical::id::{HeldId, InstanceId, PatientId, StudyId};
use clinical::role::{Action, Permission, Resource};
use gate::{App, Caller, Cursor, Json, Paged, Path, Problem};
use ingest::receive::Receipt;
use serde::Serialize;
use storage::records::quarantine::Held;
use utoipa::ToSchema;

use crate::DicomState;
use crate::refusal::refusal;

/// An object that is held back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HeldView {
    id: HeldId,
    /// `infected`, `not_scanned` or `refused`.
    #[schema(value_type = String)]
    reason: &'static str,
    /// The name of what was found, or the code of the refusal.
    detail: String,
    file_name: Option<String>,
    study_instance_uid: Option<String>,
    sop_instance_uid: Option<String>,
    sha256: String,
    size_bytes: i64,
    held_at: DateTime<Utc>,
}

impl From<Held> for HeldView {
    fn from(held: Held) -> Self {
        let Held { held_id, facts, held_at } = held;
        Self {
            id: held_id,
            reason: facts.reason.as_str(),
            detail: facts.detail,
            file_name: facts.file_name,
            study_instance_uid: facts.study_uid,
            sop_instance_uid: facts.sop_uid,
            sha256: facts.sha256,
            size_bytes: facts.size_bytes,
            held_at,
        }
    }
}

/// What a released object has become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Released {
    id: InstanceId,
    patient_id: PatientId,
    study_id: StudyId,
    /// `stored`, `already-stored`, `kept-aside` or `replaced`.
    #[schema(value_type = String)]
    disposition: &'static str,
}

/// `GET /api/v1/quarantine`: what is held back, newest first.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    page: Cursor,
) -> Result<Paged<HeldView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let held = Held::list(&mut rows, caller.clinic, page.after, page.rows()).await?;
    Ok(page.of_rows(held, |held| held.held_id.0).map(HeldView::from))
}

/// `POST /api/v1/quarantine/{heldId}/release`: stores it after all, without another scan.
pub(crate) async fn release(
    State(state): State<DicomState>,
    caller: Caller,
    Path(id): Path<HeldId>,
) -> Result<Json<Released>, Problem> {
    let (app, clinic) = (&state.app, caller.clinic);
    let held = Held::find(&mut app.db.of(clinic).read().await?, clinic, id).await?;
    let may_reject = caller.may(Permission { resource: Resource::Study, action: Action::Delete });
    let by = Receipt { may_reject, ..Receipt::from_sender(clinic) };
    let released = state.receiver.release(by, id).await;
    let released = released.map_err(|error| refusal(error, app.limits.upload_bytes))?;
    caller.about(released.patient_id);
    forget(app, &caller, &held).await?;
    Ok(Json(Released {
        id: released.instance_id,
        patient_id: released.patient_id,
        study_id: released.study_id,
        disposition: released.disposition.as_str(),
    }))
}

/// `DELETE /api/v1/quarantine/{heldId}`: throws it away.
pub(crate) async fn discard(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<HeldId>,
) -> Result<StatusCode, Problem> {
    let held = Held::find(&mut app.db.of(caller.clinic).read().await?, caller.clinic, id).await?;
    forget(&app, &caller, &held).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn forget(app: &App, caller: &Caller, held: &Held) -> Result<(), Problem> {
    caller.about_record(held.held_id.to_string());
    let mut tx = app.db.of(caller.clinic).begin().await?;
    Held::forget(&mut tx, caller.clinic, held.held_id).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    // No row names it any more: left behind, it is swept.
    let _ = app.archive.delete(&held.facts.blob_key).await;
    Ok(())
}
