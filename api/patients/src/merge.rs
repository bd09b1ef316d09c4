//! Two records of one person become one.

use axum::extract::State;
use clinical::event::Event;
use clinical::id::PatientId;
use gate::{App, Caller, Json, Path, Problem};
use serde::{Deserialize, Serialize};
use storage::outbox;
use storage::records::patient::{MergeError, Patient};
use utoipa::ToSchema;

use crate::door::{merged, see};

/// Which record goes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MergeRequest {
    /// The record whose studies and statements move, and which points to this one from then on.
    from: PatientId,
}

/// What a merge has moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MergeView {
    /// The record that stands for both.
    pub id: PatientId,
    /// The record that points to it.
    pub from: PatientId,
    /// So many studies have moved.
    pub moved_studies: u64,
    /// So many allergies, conditions, medication and vital signs have moved.
    pub moved_statements: u64,
}

/// `POST /api/v1/patients/{patientId}/merge`
pub(crate) async fn merge(
    State(app): State<App>,
    caller: Caller,
    Path(patient_id): Path<PatientId>,
    Json(MergeRequest { from }): Json<MergeRequest>,
) -> Result<Json<MergeView>, Problem> {
    let (clinic, now) = (caller.clinic, app.clock.now());
    let mut tx = app.db.of(clinic).begin().await?;
    for id in [patient_id, from] {
        see(&mut tx, &caller, id, now).await?;
    }
    let moved = Patient::merge(&mut tx, clinic, patient_id, from, now).await.map_err(problem)?;
    let event = Event::PatientMerged { patient_id, from_patient_id: from };
    outbox::tell(&mut tx, clinic, &event, now).await?;
    caller.because(&format!("merged from patient {from}"));
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    let (moved_studies, moved_statements) = (moved.studies, moved.statements);
    Ok(Json(MergeView { id: patient_id, from, moved_studies, moved_statements }))
}

fn problem(error: MergeError) -> Problem {
    match error {
        MergeError::Same => Problem::conflict("same-patient", "a record is not merged into itself"),
        MergeError::Merged => merged(),
        MergeError::Erased => {
            Problem::conflict("patient-erased", "of an erased record nothing is left to join")
        }
        MergeError::Database(error) => error.into(),
    }
}
