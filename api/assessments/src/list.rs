//! What was assessed.

use axum::extract::State;
use clinical::decision::Urgency;
use clinical::id::{AssessmentId, PatientId};
use clinical::role::Reach;
use gate::{App, Caller, Cursor, Json, Paged, Path, Problem, Query};
use serde::Deserialize;
use storage::db::Conn;
use storage::records::assessment::{Assessment, AssessmentFilter, IssueOverride};
use utoipa::IntoParams;

use crate::{AssessmentLine, AssessmentView};

/// Which assessments are asked for.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct Filter {
    /// Of this patient alone.
    patient_id: Option<PatientId>,
    /// Of this level alone.
    urgency: Option<Urgency>,
}

/// `GET /api/v1/assessments?patient_id=…&urgency=…`: newest first.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    page: Cursor,
    Query(filter): Query<Filter>,
) -> Result<Paged<AssessmentLine>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let filter =
        AssessmentFilter { patient: filter.patient_id, urgency: filter.urgency.map(Urgency::as_str) };
    let (after, limit) = (page.after.map(AssessmentId), page.rows());
    let found = Assessment::lines(&mut rows, caller.clinic, &filter, caller.shown(), after, limit).await?;
    Ok(page.of_rows(found, |it| it.assessment_id.0).map(AssessmentLine::from))
}

/// `GET /api/v1/assessments/{assessmentId}`
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<AssessmentId>,
) -> Result<Json<AssessmentView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let assessment = sees(&mut rows, &caller, id).await?;
    let overrides = IssueOverride::of_assessment(&mut rows, caller.clinic, id).await?;
    AssessmentView::of(assessment, overrides).map(Json)
}

/// The assessment, where its patient's records are the caller's to see; one of nobody in particular is the clinic's.
pub(crate) async fn sees(rows: &mut Conn, caller: &Caller, id: AssessmentId) -> Result<Assessment, Problem> {
    let assessment = Assessment::find(rows, caller.clinic, id).await?;
    match assessment.patient_id {
        Some(patient) => caller.sees(rows, patient).await?,
        None if caller.reach == Reach::Own => return Err(Problem::not_found()),
        None => {}
    }
    Ok(assessment)
}
