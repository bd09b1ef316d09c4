//! Looking lines up.

use axum::extract::State;
use clinical::id::AuditId;
use gate::{App, Caller, Cursor, Json, Paged, Path, Problem, Query};
use storage::audit::{find, search};

use crate::AuditView;
use crate::filter::Asked;

/// `GET /api/v1/audit?actor=…&patientId=…`: newest first.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    page: Cursor,
    Query(asked): Query<Asked>,
) -> Result<Paged<AuditView>, Problem> {
    let filter = asked.check()?;
    let mut rows = app.db.of(caller.clinic).read().await?;
    let found = search(&mut rows, caller.clinic, &filter, page.after.map(AuditId), page.rows()).await?;
    Ok(page.of_rows(found, |line| line.audit_id.0).map(AuditView::from))
}

/// `GET /api/v1/audit/{auditId}`
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<AuditId>,
) -> Result<Json<AuditView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    Ok(Json(find(&mut rows, caller.clinic, id).await?.into()))
}
