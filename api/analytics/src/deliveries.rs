//! What became of messages, channel by channel.

use std::collections::BTreeMap;

use axum::extract::State;
use chrono::NaiveDate;
use gate::{Caller, Json, Problem, Query};
use serde::Serialize;
use utoipa::ToSchema;

use crate::House;
use crate::desk::{Asked, Desk, Usual};
use crate::small::share_percent;
use crate::table::{Cell, Kind, Table, Tabled, text};

/// The messages of a period.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveriesView {
    /// The first day of the period.
    pub from: NaiveDate,
    /// Its last day.
    pub to: NaiveDate,
    /// Where these days are days.
    pub time_zone: String,
    /// By channel, in the order of their names.
    pub by_channel: Vec<ChannelView>,
}

/// The messages of one channel. `null` in place of a number: too few to be shown; in place of a percentage also: of
/// nothing.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ChannelDeliveries)]
pub struct ChannelView {
    /// The channel, as `email`.
    pub channel: String,
    /// So many were handed to a provider.
    pub sent: Option<i64>,
    /// Of so many is it known that they have come.
    pub delivered: Option<i64>,
    /// So many were held back, because their address takes none.
    pub suppressed: Option<i64>,
    /// So many will not come, handed on or not.
    pub failed: Option<i64>,
    /// The share of those handed on that will not come: those that no provider has taken are not among them.
    pub failed_percent: Option<f64>,
}

impl DeliveriesView {
    pub(crate) async fn of(desk: &mut Desk) -> Result<Self, Problem> {
        let (period, sight) = (desk.period, desk.sight);
        let sums = desk.within(&["deliveries"], period.span()).await?;
        let mut channels: BTreeMap<&str, BTreeMap<&str, i64>> = BTreeMap::new();
        for (kind, count) in sums.kinds("deliveries") {
            if let Some((channel, state)) = kind.split_once(' ') {
                channels.entry(channel).or_default().insert(state, count);
            }
        }
        let view = |(channel, states): (&str, BTreeMap<&str, i64>)| {
            let of = |state| states.get(state).copied().unwrap_or(0);
            let (sent, lost, unsent) = (of("sent"), of("failed"), of("unsent"));
            let shown = sight.count(sent).and(sight.count(lost)).and(sight.count(unsent));
            ChannelView {
                channel: channel.to_owned(),
                sent: sight.count(sent),
                delivered: sight.count(of("delivered")),
                suppressed: sight.count(of("suppressed")),
                failed: sight.count(lost + unsent),
                failed_percent: shown.and_then(|_| share_percent(lost.min(sent), sent)),
            }
        };
        Ok(Self {
            from: period.from,
            to: period.to,
            time_zone: period.zone.name().to_owned(),
            by_channel: channels.into_iter().map(view).collect(),
        })
    }
}

impl Tabled for DeliveriesView {
    fn table(&self) -> Table {
        let row = |line: &ChannelView| {
            vec![
                text(&line.channel),
                Cell::Whole(line.sent),
                Cell::Whole(line.delivered),
                Cell::Whole(line.suppressed),
                Cell::Whole(line.failed),
                Cell::Number(line.failed_percent),
            ]
        };
        Table {
            columns: &[
                ("channel", Kind::Text),
                ("sent", Kind::Whole),
                ("delivered", Kind::Whole),
                ("suppressed", Kind::Whole),
                ("failed", Kind::Whole),
                ("failedPercent", Kind::Number),
            ],
            rows: self.by_channel.iter().map(row).collect(),
        }
    }
}

/// `GET /api/analytics/notifications`
pub(crate) async fn deliveries(
    State(house): State<House>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<DeliveriesView>, Problem> {
    let mut desk = Desk::open(&house, &caller, &asked, Usual::ThisMonth).await?;
    Ok(Json(DeliveriesView::of(&mut desk).await?))
}
