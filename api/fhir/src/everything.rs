//! `Patient/{id}/$everything`.
//!
//! It asks for `patient:export`, for it shows what single rights part.

use axum::extract::State;
use clinical::fhir;
use clinical::id::{PatientId, StatementId, StudyId};
use gate::{App, Caller, Path, Problem};
use serde_json::Value;
use storage::records::patient::{Patient, studies_of};
use storage::records::statement::{self, Mistakes};
use uuid::Uuid;

use crate::Fhir;
use crate::asked::Asked;

/// `GET /fhir/R4/Patient/{patientId}/$everything`: the Patient leads the first page; then statements and studies,
/// newest first.
pub(crate) async fn everything(
    State(app): State<App>,
    caller: Caller,
    asked: Asked,
    Path(id): Path<PatientId>,
) -> Result<Fhir, Problem> {
    let (clinic, limit) = (caller.clinic, asked.rows());
    let mut rows = app.db.of(clinic).read().await?;
    caller.sees(&mut rows, id).await?;
    let patient = Patient::survivor(&mut rows, clinic, id).await?;
    let about = patient.patient_id;

    let after = asked.after.map(StatementId);
    let shown = Mistakes::Shown;
    let stated = statement::of_patient(&mut rows, clinic, about, None, shown, after, limit).await?;
    let after = asked.after.map(StudyId);
    let studies = studies_of(&mut rows, clinic, about, after, limit).await?;
    let mut found: Vec<(Uuid, Value)> =
        stated.iter().map(|stated| (stated.statement_id.0, fhir::statement(stated))).collect();
    found.extend(studies.iter().map(|study| (study.study_id.0, fhir::imaging_study(study))));
    found.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));

    let first = asked.after.is_none().then(|| fhir::patient(&(&patient).into()));
    Ok(asked.bundle(first, found))
}
