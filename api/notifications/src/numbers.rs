//! How deliveries fare: by channel, provider and state.

use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use clinical::id::{DeliveryId, NotificationId};
use gate::{Caller, Cursor, Json, Paged, Problem, Query};
use serde::{Deserialize, Serialize};
use storage::db::{DbError, FromRow, Result, Row, sql};
use utoipa::{IntoParams, ToSchema};

use crate::channel::Channel;
use crate::delivery::Delivery;
use crate::state::NotificationsState;
use crate::view::DeliveryView;

/// Without a beginning so many days are counted.
const USUAL_DAYS: i64 = 30;
/// The longest time that is counted.
const MOST_DAYS: i64 = 366;

/// Which time is counted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Span {
    /// From this moment on; without it thirty days before the end.
    from: Option<DateTime<Utc>>,
    /// Up to this moment; without it now.
    to: Option<DateTime<Utc>>,
}

/// How the deliveries of one channel fared that were planned in the time.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChannelNumbers {
    /// The channel.
    channel: Channel,
    /// How many were planned.
    planned: i64,
    /// Of them: not brought yet, gathered ones among them.
    waiting: i64,
    /// A provider has them; whether they arrived is not known.
    sent: i64,
    /// They have arrived.
    delivered: i64,
    /// Nothing is sent there.
    suppressed: i64,
    /// They have not arrived.
    failed: i64,
    /// Of those with a known end the part that a provider took, in percent; `null` where there is none.
    taken_percent: Option<f64>,
}

struct Counted {
    channel: String,
    state: String,
    count: i64,
}

impl FromRow for Counted {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { channel: row.get("channel")?, state: row.get("state")?, count: row.get("count")? })
    }
}

/// `GET /api/v1/notifications/analytics`
pub(crate) async fn show(
    State(state): State<NotificationsState>,
    caller: Caller,
    Query(span): Query<Span>,
) -> Result<Json<Vec<ChannelNumbers>>, Problem> {
    // With what was planned at this very moment.
    let to = span.to.unwrap_or_else(|| state.app.clock.now() + TimeDelta::microseconds(1));
    let from = span.from.unwrap_or(to - TimeDelta::days(USUAL_DAYS));
    if from >= to || to - from > TimeDelta::days(MOST_DAYS) {
        let detail = "from is before to, and at most 366 days before it";
        return Err(Problem::bad_request("invalid-span", detail));
    }
    let mut read = state.app.db.of(caller.clinic).read().await?;
    let counted: Vec<Counted> = sql("SELECT channel, state, count(*) AS count FROM notification_deliveries
                                      WHERE clinic_id = $1 AND created_at >= $2 AND created_at < $3
                                      GROUP BY channel, state")
    .bind(caller.clinic)
    .bind(from)
    .bind(to)
    .fetch_all(&mut read)
    .await?;
    let of = |channel: Channel| {
        let states = |names: &[&str]| {
            let those = counted.iter().filter(|it| it.channel == channel.name());
            those.filter(|it| names.contains(&it.state.as_str())).map(|it| it.count).sum::<i64>()
        };
        let (sent, delivered, failed) = (states(&["sent"]), states(&["delivered"]), states(&["failed"]));
        let (waiting, suppressed) = (states(&["waiting", "digest"]), states(&["suppressed"]));
        let ended = sent + delivered + failed;
        ChannelNumbers {
            channel,
            planned: waiting + suppressed + ended,
            waiting,
            sent,
            delivered,
            suppressed,
            failed,
            taken_percent: (ended > 0).then(|| (sent + delivered) as f64 * 100.0 / ended as f64),
        }
    };
    Ok(Json(Channel::ALL.into_iter().filter(|channel| *channel != Channel::InApp).map(of).collect()))
}

/// Which deliveries are asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Filter {
    /// Of one notification.
    notification_id: Option<NotificationId>,
}

/// `GET /api/v1/notifications/deliveries`: newest first.
pub(crate) async fn deliveries(
    State(state): State<NotificationsState>,
    caller: Caller,
    Query(filter): Query<Filter>,
    page: Cursor,
) -> Result<Paged<DeliveryView>, Problem> {
    let mut read = state.app.db.of(caller.clinic).read().await?;
    let (of, before) = (filter.notification_id, page.after.map(DeliveryId));
    let found: Result<Vec<Delivery>, DbError> =
        Delivery::list(&mut read, caller.clinic, of, before, page.rows()).await;
    Ok(page.of_rows(found?, |delivery| delivery.delivery_id.0).map(DeliveryView::from))
}
