//! `DiagnosticReport`: what a network said of an image, read, and searched by patient or study.

use axum::extract::State;
use clinical::fhir;
use clinical::id::{AnalysisId, StudyId};
use gate::{App, Caller, Path, Problem, Query};
use serde::Deserialize;
use storage::records::analysis::Analysis;
use storage::records::patient::study;
use storage::records::report::{Whose, diagnostic_report_of, reports_of};
use utoipa::IntoParams;

use crate::Fhir;
use crate::asked::Asked;
use crate::door::OfPatient;

/// Which study's reports are asked for.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct OfStudy {
    /// `ImagingStudy/{id}`, or the identifier alone; without it all of the patient are found.
    #[serde(rename = "imaging-study")]
    #[param(
        pattern = "^(ImagingStudy/)?[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
    )]
    imaging_study: Option<String>,
}

/// `GET /fhir/R4/DiagnosticReport?patient=…&imaging-study=…`: newest first.
pub(crate) async fn search(
    State(app): State<App>,
    caller: Caller,
    asked: Asked,
    Query(of): Query<OfPatient>,
    Query(narrowed): Query<OfStudy>,
) -> Result<Fhir, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let patient = of.find(&mut rows, &caller).await?;
    let whose = match narrowed.imaging_study {
        Some(text) => {
            let wrong =
                |_| Problem::bad_request("invalid-query", "imaging-study is ImagingStudy/ and the id of one");
            let id: StudyId = text.strip_prefix("ImagingStudy/").unwrap_or(&text).parse().map_err(wrong)?;
            if study(&mut rows, caller.clinic, id).await?.patient_id != patient {
                return Err(Problem::not_found());
            }
            Whose::Study(id)
        }
        None => Whose::Patient(patient),
    };
    let after = asked.after.map(AnalysisId);
    let found = reports_of(&mut rows, caller.clinic, whose, after, asked.rows()).await?;
    let resources =
        found.iter().map(|it| (it.analysis_id.0, fhir::diagnostic_report(&diagnostic_report_of(it))));
    Ok(asked.bundle(None, resources.collect()))
}

/// `GET /fhir/R4/DiagnosticReport/{id}`
pub(crate) async fn read(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<AnalysisId>,
) -> Result<Fhir, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let analysis = Analysis::find(&mut rows, caller.clinic, id).await?;
    caller.sees(&mut rows, analysis.patient_id).await?;
    Ok(Fhir(fhir::diagnostic_report(&diagnostic_report_of(&analysis))))
}
