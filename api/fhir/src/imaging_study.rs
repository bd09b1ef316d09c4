//! `ImagingStudy`: read, and search by patient.

use axum::extract::State;
use clinical::fhir;
use clinical::id::StudyId;
use gate::{App, Caller, Path, Problem, Query};
use storage::records::patient::{studies_of, study};

use crate::Fhir;
use crate::asked::Asked;
use crate::door::OfPatient;

/// `GET /fhir/R4/ImagingStudy?patient=…`: newest first.
pub(crate) async fn search(
    State(app): State<App>,
    caller: Caller,
    asked: Asked,
    Query(of): Query<OfPatient>,
) -> Result<Fhir, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let patient = of.find(&mut rows, &caller).await?;
    let after = asked.after.map(StudyId);
    let found = studies_of(&mut rows, caller.clinic, patient, after, asked.rows()).await?;
    let resources = found.iter().map(|study| (study.study_id.0, fhir::imaging_study(study)));
    Ok(asked.bundle(None, resources.collect()))
}

/// `GET /fhir/R4/ImagingStudy/{id}`
pub(crate) async fn read(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<StudyId>,
) -> Result<Fhir, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let study = study(&mut rows, caller.clinic, id).await?;
    caller.sees(&mut rows, study.patient_id).await?;
    Ok(Fhir(fhir::imaging_study(&study)))
}
