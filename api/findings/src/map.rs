//! What of a frame counted for a finding, as pictures.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use clinical::id::FindingId;
use gate::{App, Caller, Path, Problem};
use storage::records::finding::Finding;

use crate::list::sees;

/// `GET /api/v1/findings/{findingId}/saliency`
pub(crate) async fn saliency(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<FindingId>,
) -> Result<Response, Problem> {
    picture(&app, &caller, id, |finding| finding.saliency_key).await
}

/// `GET /api/v1/findings/{findingId}/overlay`
pub(crate) async fn overlay(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<FindingId>,
) -> Result<Response, Problem> {
    picture(&app, &caller, id, |finding| finding.overlay_key).await
}

/// The picture whose blob a finding names; 404 until there is one.
async fn picture(
    app: &App,
    caller: &Caller,
    id: FindingId,
    key: fn(Finding) -> Option<String>,
) -> Result<Response, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let finding = sees(&mut rows, caller, id).await?;
    drop(rows);
    let key = key(finding).ok_or_else(Problem::not_found)?;
    let bytes = app.archive.get(&key).await?;
    Ok(([(header::CONTENT_TYPE, "image/png")], bytes).into_response())
}
