//! Looking findings up.

use axum::extract::State;
use clinical::id::{FindingId, StudyId};
use clinical::imaging::ReviewState;
use gate::{App, Caller, Json, Page, Paged, Path, Problem, Query};
use serde::Deserialize;
use storage::records::finding::Finding;

use crate::FindingView;

/// Which findings are asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Filter {
    state: Option<ReviewState>,
    study_id: Option<StudyId>,
}

/// `GET /api/findings?state=open&studyId=…`: newest first.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    page: Page,
    Query(filter): Query<Filter>,
) -> Result<Paged<FindingView>, Problem> {
    let mut rows = app.db.read().await?;
    let (limit, offset) = (page.rows(), page.skip());
    let found = Finding::list(&mut rows, caller.clinic, filter.state, filter.study_id, limit, offset).await?;
    Ok(page.of_rows(found.into_iter().map(FindingView::from).collect()))
}

/// `GET /api/findings/{id}`
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<FindingId>,
) -> Result<Json<FindingView>, Problem> {
    let mut rows = app.db.read().await?;
    Ok(Json(Finding::find(&mut rows, caller.clinic, id).await?.into()))
}
