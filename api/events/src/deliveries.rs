//! What was sent to a webhook, and sending it again.

use axum::extract::State;
use clinical::id::{DeliveryId, WebhookId};
use gate::{App, Caller, Cursor, Json, Paged, Path, Problem, Query};
use http::StatusCode;
use serde::Deserialize;
use storage::records::webhook::delivery::Delivery;
use storage::records::webhook::{Webhook, WebhookState};
use utoipa::IntoParams;

use crate::DeliveryView;
use crate::view::Progress;

/// Which deliveries are asked for.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct Filter {
    /// Of this state alone.
    state: Option<Progress>,
}

/// `GET /api/v1/webhooks/{id}/deliveries?state=dead`: newest first.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<WebhookId>,
    page: Cursor,
    Query(filter): Query<Filter>,
) -> Result<Paged<DeliveryView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    Webhook::find(&mut rows, caller.clinic, id).await?;
    let (state, before) = (filter.state.map(Into::into), page.after.map(DeliveryId));
    let found = Delivery::list(&mut rows, caller.clinic, id, state, before, page.rows()).await?;
    Ok(page.of_rows(found, |delivery| delivery.delivery_id.0).map(DeliveryView::from))
}

/// `POST /api/v1/webhooks/{id}/deliveries/{deliveryId}/replay`
pub(crate) async fn replay(
    State(app): State<App>,
    caller: Caller,
    Path((id, delivery_id)): Path<(WebhookId, DeliveryId)>,
) -> Result<(StatusCode, Json<DeliveryView>), Problem> {
    let now = app.clock.now();
    let mut tx = app.db.of(caller.clinic).begin().await?;
    if Webhook::find(&mut tx, caller.clinic, id).await?.state == WebhookState::Disabled {
        return Err(Problem::conflict("webhook-disabled", "nothing is sent there: switch it on first"));
    }
    let replayed = Delivery::replay(&mut tx, caller.clinic, id, delivery_id, now).await?;
    Delivery::ask(&mut tx, caller.clinic, id, replayed.aggregate.clone(), now).await?;
    caller.about_record(delivery_id);
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(replayed.into())))
}
