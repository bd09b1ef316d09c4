//! Looking findings up.

use axum::extract::State;
use clinical::id::{FindingId, StudyId};
use clinical::imaging::ReviewState;
use gate::{App, Caller, Cursor, Json, Paged, Path, Problem, Query};
use serde::Deserialize;
use storage::db::Conn;
use storage::records::finding::{Finding, FindingFilter, Superseded};
use storage::records::study::Study;
use utoipa::IntoParams;

use crate::FindingView;

/// Which findings are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Filter {
    /// Of this state alone.
    state: Option<ReviewState>,
    /// Of this study alone.
    study_id: Option<StudyId>,
    /// With those of analyses that newer ones of the same image stand in for.
    #[serde(default)]
    superseded: bool,
}

/// `GET /api/findings?state=open&studyId=…`: newest first.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    page: Cursor,
    Query(filter): Query<Filter>,
) -> Result<Paged<FindingView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let (after, limit) = (page.after.map(FindingId), page.rows());
    let filter = FindingFilter {
        state: filter.state,
        study: filter.study_id,
        superseded: if filter.superseded { Superseded::Listed } else { Superseded::LeftOut },
    };
    let found = Finding::list(&mut rows, caller.clinic, filter, caller.shown(), after, limit).await?;
    Ok(page.of_rows(found, |finding| finding.finding_id.0).map(FindingView::from))
}

/// `GET /api/findings/{id}`
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<FindingId>,
) -> Result<Json<FindingView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    Ok(Json(sees(&mut rows, &caller, id).await?.into()))
}

/// The finding, where its patient's records are the caller's to see.
pub(crate) async fn sees(rows: &mut Conn, caller: &Caller, id: FindingId) -> Result<Finding, Problem> {
    let finding = Finding::find(rows, caller.clinic, id).await?;
    let study = Study::find(rows, caller.clinic, finding.study_id).await?;
    caller.sees(rows, study.patient_id).await?;
    Ok(finding)
}
