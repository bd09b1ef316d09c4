//! Work that could not be done.

use axum::extract::State;
use clinical::id::JobId;
use gate::{App, Caller, Cursor, Paged, Path, Problem, Query};
use http::StatusCode;
use serde::Deserialize;
use storage::queue;
use utoipa::{IntoParams, ToSchema};

use crate::JobView;

/// Which jobs are asked for.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct Filter {
    /// Of this state; none other is listed.
    #[serde(rename = "state")]
    #[param(rename = "state", inline)]
    _state: Option<JobState>,
}

/// States of jobs that are listed.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum JobState {
    /// Tried too often.
    Dead,
}

/// `GET /api/v1/jobs?state=dead`: newest first.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    page: Cursor,
    Query(_): Query<Filter>,
) -> Result<Paged<JobView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let dead = queue::dead_of(&mut rows, caller.clinic, page.after.map(JobId), page.rows()).await?;
    Ok(page.of_rows(dead, |dead| dead.job_id.0).map(JobView::from))
}

/// `POST /api/v1/jobs/{id}/replay`
pub(crate) async fn replay(
    State(app): State<App>,
    caller: Caller,
    Path(job_id): Path<JobId>,
) -> Result<StatusCode, Problem> {
    let mut tx = app.db.of(caller.clinic).begin().await?;
    queue::replay(&mut tx, caller.clinic, job_id, app.clock.now()).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
