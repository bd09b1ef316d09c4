//! What is known of a patient changes.

use axum::extract::State;
use clinical::event::Event;
use clinical::id::PatientId;
use gate::{App, Caller, Json, Path, Problem};
use storage::outbox;
use storage::records::patient::Patient;

use crate::PatientView;
use crate::door::{hold, refused};
use crate::patch::Patch;
use crate::register::{identifier_taken, may_restrict};
use crate::view::PatientRequest;

/// `PATCH /api/v1/patients/{patientId}`
pub(crate) async fn change(
    State(app): State<App>,
    caller: Caller,
    Path(patient_id): Path<PatientId>,
    Json(patch): Json<Patch>,
) -> Result<Json<PatientView>, Problem> {
    let now = app.clock.now();
    let mut tx = app.db.of(caller.clinic).begin().await?;
    let before = hold(&mut tx, &caller, patient_id, now).await?;
    let request = patch.over(&PatientRequest::of(&before))?;
    let is_restricted = request.is_restricted;
    if is_restricted != before.is_restricted {
        may_restrict(&caller)?;
    }
    let demographics = request.into_demographics();
    // An image's name may be none by the rules for people; who does not touch it need not mend it.
    if demographics != before.demographics {
        demographics.check(now.date_naive()).map_err(refused)?;
    }
    Patient::change(&mut tx, caller.clinic, &before, &demographics, is_restricted, now)
        .await
        .map_err(identifier_taken)?;
    outbox::tell(&mut tx, caller.clinic, &Event::PatientChanged { patient_id }, now).await?;
    let patient = Patient::find(&mut tx, caller.clinic, patient_id).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok(Json(patient.into()))
}
