//! A person's own notifications: what there is, what is unread; over HTTP and over the socket.

use axum::extract::State;
use clinical::id::NotificationId;
use futures::future::BoxFuture;
use gate::socket::Hears;
use gate::{App, Caller, Cursor, Json, Paged, Path, Problem, Query};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use storage::live::inbox::{self, Which};
use utoipa::{IntoParams, ToSchema};

use crate::state::{NotificationsState, inbox_of};
use crate::view::NotificationView;

/// Most notifications that are marked at once.
const MARKED_AT_ONCE: usize = 1_000;

/// Which notifications are asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Filter {
    /// Only those that were not read.
    #[serde(default)]
    unread_only: bool,
    /// The same in a shorter word.
    #[serde(default)]
    unread: bool,
}

/// How many there are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Count {
    /// So many.
    count: i64,
}

/// `GET /api/v1/notifications`: newest first.
pub(crate) async fn list(
    State(state): State<NotificationsState>,
    caller: Caller,
    Query(filter): Query<Filter>,
    page: Cursor,
) -> Result<Paged<NotificationView>, Problem> {
    let mut read = state.app.db.of(caller.clinic).read().await?;
    let which = if filter.unread_only || filter.unread { Which::Unread } else { Which::All };
    let before = page.after.map(NotificationId);
    let found = inbox::list(&mut read, caller.clinic, inbox_of(&caller), which, before, page.rows()).await?;
    Ok(page.of_rows(found, |listed| listed.notification_id.0).map(NotificationView::from))
}

/// `GET /api/v1/notifications/unread-count`
pub(crate) async fn unread_count(
    State(state): State<NotificationsState>,
    caller: Caller,
) -> Result<Json<Count>, Problem> {
    let mut read = state.app.db.of(caller.clinic).read().await?;
    Ok(Json(Count { count: inbox::unread(&mut read, caller.clinic, inbox_of(&caller)).await? }))
}

/// `GET /api/v1/notifications/{id}`
pub(crate) async fn show(
    State(state): State<NotificationsState>,
    caller: Caller,
    Path(id): Path<NotificationId>,
) -> Result<Json<NotificationView>, Problem> {
    let mut read = state.app.db.of(caller.clinic).read().await?;
    Ok(Json(inbox::find(&mut read, caller.clinic, inbox_of(&caller), id).await?.into()))
}

/// `PATCH /api/v1/notifications/{id}/read`
pub(crate) async fn mark(
    State(state): State<NotificationsState>,
    caller: Caller,
    Path(id): Path<NotificationId>,
) -> Result<StatusCode, Problem> {
    marked(&state.app, &caller, &[id]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/v1/notifications/read-all`
pub(crate) async fn mark_all(
    State(state): State<NotificationsState>,
    caller: Caller,
) -> Result<Json<Count>, Problem> {
    let mut tx = state.app.db.of(caller.clinic).begin().await?;
    let now = state.app.clock.now();
    let count = inbox::mark_all(&mut tx, caller.clinic, inbox_of(&caller), now).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(Json(Count { count: i64::try_from(count).unwrap_or(i64::MAX) }))
}

/// `DELETE /api/v1/notifications/{id}`
pub(crate) async fn remove(
    State(state): State<NotificationsState>,
    caller: Caller,
    Path(id): Path<NotificationId>,
) -> Result<StatusCode, Problem> {
    let mut tx = state.app.db.of(caller.clinic).begin().await?;
    inbox::remove(&mut tx, caller.clinic, inbox_of(&caller), id, state.app.clock.now()).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Marks those of `ids` that are the caller's.
///
/// # Errors
///
/// 404 where none is.
async fn marked(app: &App, caller: &Caller, ids: &[NotificationId]) -> Result<u64, Problem> {
    let mut tx = app.db.of(caller.clinic).begin().await?;
    let known = inbox::mark(&mut tx, caller.clinic, inbox_of(caller), ids, app.clock.now()).await?;
    if known == 0 {
        return Err(Problem::not_found());
    }
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(known)
}

/// Hears `notification_read` over the socket: `{"ids": [...]}`, or `{"id": …}` for one.
pub(crate) struct ReadMarks(pub App);

impl Hears for ReadMarks {
    fn hear<'a>(&'a self, caller: &'a Caller, data: Value) -> BoxFuture<'a, Result<Value, Problem>> {
        Box::pin(async move {
            let wrong = || Problem::bad_request("invalid-message", "ids lists at most 1,000 notifications");
            let one = data.get("notificationId").map(std::slice::from_ref);
            let many = data.get("ids").and_then(Value::as_array).map(Vec::as_slice);
            let named = many.or(one).filter(|ids| ids.len() <= MARKED_AT_ONCE).ok_or_else(wrong)?;
            let ids: Option<Vec<NotificationId>> =
                named.iter().map(|id| id.as_str().and_then(|text| text.parse().ok())).collect();
            let count = marked(&self.0, caller, &ids.ok_or_else(wrong)?).await?;
            Ok(json!({ "count": count }))
        })
    }
}
