//! `ImagingStudy`: read, and search by patient.

use axum::extract::State;
use clinical::fhir;
use clinical::id::StudyId;
use gate::{App, Caller, Path, Problem, Query};
use storage::records::instance::Instance;
use storage::records::patient::{studies_of, study};

use crate::Fhir;
use crate::asked::{Asked, BaseUrl};
use crate::door::OfPatient;

/// A study of more instances is told down to its series.
const INSTANCES_MAX: i64 = 5_000;

/// `GET /fhir/R4/ImagingStudy?patient=…`: newest first.
pub(crate) async fn search(
    State(app): State<App>,
    caller: Caller,
    asked: Asked,
    base: BaseUrl,
    Query(of): Query<OfPatient>,
) -> Result<Fhir, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let patient = of.find(&mut rows, &caller).await?;
    let after = asked.after.map(StudyId);
    let found = studies_of(&mut rows, caller.clinic, patient, after, asked.rows()).await?;
    let address = base.dicomweb();
    let resources = found.iter().map(|study| (study.study_id.0, fhir::imaging_study_at(study, &address)));
    Ok(asked.bundle(None, resources.collect()))
}

/// `GET /fhir/R4/ImagingStudy/{id}`
pub(crate) async fn read(
    State(app): State<App>,
    caller: Caller,
    base: BaseUrl,
    Path(id): Path<StudyId>,
) -> Result<Fhir, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let study = study(&mut rows, caller.clinic, id).await?;
    caller.sees(&mut rows, study.patient_id).await?;
    let resource = fhir::imaging_study_at(&study, &base.dicomweb());
    let count: i64 = study.series.iter().map(|series| series.instance_count).sum();
    if count > INSTANCES_MAX {
        return Ok(Fhir(resource));
    }
    let instances = Instance::of(&mut rows, caller.clinic, &study.study_uid, None, None).await?;
    let instances = instances.iter().map(|it| (&it.series_uid, &it.sop_class_uid, &it.sop_uid));
    Ok(Fhir(fhir::with_instances(resource, instances)))
}
