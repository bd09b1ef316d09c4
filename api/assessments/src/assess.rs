//! Symptoms are assessed, and what was asked and answered is kept.

use axum::extract::State;
use axum::response::Response;
use clinical::decision::{Presentation, Urgency};
use clinical::event::Event;
use clinical::id::{AssessmentId, PatientId};
use clinical::role::Reach;
use gate::{Caller, Json, Problem};
use http::{HeaderName, HeaderValue, StatusCode, header};
use storage::db::Conn;
use storage::outbox;
use storage::records::assessment::Assessment;
use storage::records::patient::Patient;

use crate::AssessmentsState;
use crate::known::{canonical, patient_of, respond, told};

/// When an assessment was made.
const ASSESSED_AT: HeaderName = HeaderName::from_static("x-assessed-at");

/// `POST /api/v1/assessments`: the body is the engine's answer alone, so that the same question gets the same bytes; where it
/// is kept and since when stand in `Location` and `X-Assessed-At`.
pub(crate) async fn assess(
    State(state): State<AssessmentsState>,
    caller: Caller,
    Json(mut presentation): Json<Presentation>,
) -> Result<Response, Problem> {
    let named = patient_of(&mut presentation)?;
    told(&presentation)?;
    let asked = canonical(&presentation)?;
    let (answer, was_remembered) = state.answer(caller.clinic, "assessment", &asked, || {
        let answer = state.advisor.assess(&presentation);
        let urgency = answer.urgency;
        (answer, urgency)
    })?;

    let now = state.app.clock.now();
    let mut tx = state.app.db.of(caller.clinic).begin().await?;
    let assessment = Assessment {
        assessment_id: AssessmentId::new(),
        patient_id: whose(&mut tx, &caller, named).await?,
        presentation: asked,
        answer: String::from_utf8_lossy(&answer.text).into_owned(),
        urgency: answer.urgency.to_owned(),
        knowledge_version: state.advisor.version().to_owned(),
        made_by: caller.name.clone(),
        made_at: now,
    };
    let assessment_id = assessment.assessment_id;
    assessment.record(&mut tx, caller.clinic).await?;
    let urgency = Urgency::ALL.into_iter().find(|level| level.as_str() == answer.urgency);
    let made = Event::AssessmentMade { assessment_id, urgency };
    outbox::tell(&mut tx, caller.clinic, &made, now).await?;
    caller.about_record(assessment_id);
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    let mut response = respond(StatusCode::CREATED, &answer, was_remembered);
    for (name, value) in [
        (header::LOCATION, format!("/api/v1/assessments/{assessment_id}")),
        (ASSESSED_AT, now.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)),
    ] {
        // A path and a time are plain ASCII.
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

/// Whose symptoms they are: who may do it only for themselves does it for themselves.
pub(crate) async fn whose(
    rows: &mut Conn,
    caller: &Caller,
    named: Option<PatientId>,
) -> Result<Option<PatientId>, Problem> {
    let named = match (caller.reach, named) {
        (Reach::Own, None) => Some(caller.patient.ok_or_else(Problem::not_found)?),
        (_, named) => named,
    };
    let Some(patient) = named else { return Ok(None) };
    let patient = Patient::survivor(rows, caller.clinic, patient).await?.patient_id;
    caller.sees(rows, patient).await?;
    Ok(Some(patient))
}
