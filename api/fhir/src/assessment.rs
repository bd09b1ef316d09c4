//! `RiskAssessment` and `ClinicalImpression`: what was told about a patient's symptoms, read, and searched by patient.

use axum::extract::State;
use clinical::fhir::{self, AssessmentRecord};
use clinical::id::AssessmentId;
use gate::{App, Caller, Path, Problem, Query};
use serde_json::Value;
use storage::db::DbError;
use storage::records::assessment::{Assessment, AssessmentFilter};

use crate::Fhir;
use crate::asked::Asked;
use crate::door::OfPatient;

/// `GET /fhir/R4/RiskAssessment?patient=…`: newest first.
pub(crate) async fn search_risks(
    state: State<App>,
    caller: Caller,
    asked: Asked,
    of: Query<OfPatient>,
) -> Result<Fhir, Problem> {
    search(state, caller, asked, of, fhir::risk_assessment).await
}

/// `GET /fhir/R4/ClinicalImpression?patient=…`: newest first.
pub(crate) async fn search_impressions(
    state: State<App>,
    caller: Caller,
    asked: Asked,
    of: Query<OfPatient>,
) -> Result<Fhir, Problem> {
    search(state, caller, asked, of, fhir::clinical_impression).await
}

/// `GET /fhir/R4/RiskAssessment/{id}`
pub(crate) async fn read_risk(
    state: State<App>,
    caller: Caller,
    id: Path<AssessmentId>,
) -> Result<Fhir, Problem> {
    read(state, caller, id, fhir::risk_assessment).await
}

/// `GET /fhir/R4/ClinicalImpression/{id}`
pub(crate) async fn read_impression(
    state: State<App>,
    caller: Caller,
    id: Path<AssessmentId>,
) -> Result<Fhir, Problem> {
    read(state, caller, id, fhir::clinical_impression).await
}

async fn search(
    State(app): State<App>,
    caller: Caller,
    asked: Asked,
    Query(of): Query<OfPatient>,
    show: fn(&AssessmentRecord) -> Value,
) -> Result<Fhir, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let patient = of.find(&mut rows, &caller).await?;
    let filter = AssessmentFilter { patient: Some(patient), urgency: None };
    let after = asked.after.map(AssessmentId);
    let found =
        Assessment::list(&mut rows, caller.clinic, &filter, caller.shown(), after, asked.rows()).await?;
    let mut resources = Vec::with_capacity(found.len());
    for assessment in found {
        resources.push((assessment.assessment_id.0, show(&record(assessment)?)));
    }
    Ok(asked.bundle(None, resources))
}

async fn read(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<AssessmentId>,
    show: fn(&AssessmentRecord) -> Value,
) -> Result<Fhir, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let record = record(Assessment::find(&mut rows, caller.clinic, id).await?)?;
    caller.sees(&mut rows, record.patient_id).await?;
    Ok(Fhir(show(&record)))
}

/// The record; one of nobody in particular is no resource, which needs a subject.
fn record(assessment: Assessment) -> Result<AssessmentRecord, Problem> {
    let answer = serde_json::from_str(&assessment.answer)
        .map_err(|_| DbError::Corrupt("assessments.answer".to_owned()))?;
    Ok(AssessmentRecord {
        assessment_id: assessment.assessment_id,
        patient_id: assessment.patient_id.ok_or_else(Problem::not_found)?,
        answer,
        made_at: assessment.made_at,
    })
}
