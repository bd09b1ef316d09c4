//! Which parts of the service a clinic uses, and how much more or less than before.

use axum::extract::State;
use chrono::NaiveDate;
use clinical::event::Category;
use gate::{Caller, Json, Problem, Query};
use serde::Serialize;
use utoipa::ToSchema;

use crate::House;
use crate::counts::{self, Sums};
use crate::desk::{Asked, Desk, Usual};
use crate::small::{Sight, change_percent};
use crate::table::{Cell, Kind, Table, Tabled, text};
use crate::within::{Step, TurnaroundView};

/// The parts of the day of a clinic.
const FEATURES: [Category; 6] = [
    Category::UserActivity,
    Category::EhrRecord,
    Category::Appointment,
    Category::Billing,
    Category::Clinic,
    Category::Video,
];

/// What happened within a period, feature by feature. `null` in place of a number: too few to be shown; in place of a
/// percentage also: from nothing.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlatformView {
    /// The first day of the period.
    pub from: NaiveDate,
    /// Its last day.
    pub to: NaiveDate,
    /// Where these days are days.
    pub time_zone: String,
    /// Each part of the day of a clinic.
    pub features: Vec<FeatureView>,
    /// Each event that was told, in the order of their names.
    pub events: Vec<EventView>,
    /// What apps have told that people did in them, in their own words, in the order of these.
    pub app_events: Vec<EventView>,
    /// So many physicians have a visit or have judged a finding.
    pub active_physicians: Option<i64>,
    /// So many people joined the clinic.
    pub members_joined: Option<i64>,
    /// So many left it.
    pub members_left: Option<i64>,
    /// How soon studies that were received were read.
    pub receipt_to_finding: TurnaroundView,
}

/// How much a part is used.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeatureView {
    /// The part.
    pub feature: Category,
    /// So many events.
    pub events: Option<i64>,
    /// By how much more than in the period before.
    pub change_percent: Option<f64>,
    /// Whether it was ever used.
    pub is_adopted: bool,
}

/// How often something happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = EventCount)]
pub struct EventView {
    /// What, as `findings_ready`; of the instances of a study the first of each series counts.
    pub event: String,
    /// So often.
    pub count: Option<i64>,
}

fn of_feature(sums: &Sums, feature: Category) -> i64 {
    feature.events().into_iter().map(|event| sums.of_kind("events", event)).sum()
}

/// Each event that was told, by its name; those of a feature are its parts.
fn shown_events(sums: &Sums, sight: Sight) -> Vec<EventView> {
    let of_feature = |feature: Category| {
        let names = feature.events().into_iter();
        let told = names.map(|name| (name, sums.of_kind("events", name))).filter(|(_, count)| *count != 0);
        parts(told, sight)
    };
    let mut events: Vec<EventView> = FEATURES.into_iter().flat_map(of_feature).collect();
    events.sort_by(|one, other| one.event.cmp(&other.event));
    events
}

/// The parts of a whole that may be known.
fn parts<'s>(counts: impl Iterator<Item = (&'s str, i64)>, sight: Sight) -> Vec<EventView> {
    let (names, counts): (Vec<&str>, Vec<i64>) = counts.unzip();
    let view = |(name, count): (&str, Option<i64>)| EventView { event: name.to_owned(), count };
    names.into_iter().zip(sight.parts(&counts)).map(view).collect()
}

impl PlatformView {
    pub(crate) async fn of(desk: &mut Desk) -> Result<Self, Problem> {
        let (period, sight) = (desk.period, desk.sight);
        let metrics = ["events", "app_events", "physicians", "found", "found_seconds"];
        let now = desk.within(&metrics, period.span()).await?;
        let span = period.before().span();
        let before = desk.within(&["events"], span).await?;
        let ever = counts::ever(&mut desk.rows, desk.clinic, &["events"]).await?;
        let feature = |feature: Category| {
            let (now, before) = (of_feature(&now, feature), of_feature(&before, feature));
            let shown = sight.count(now).and(sight.count(before));
            FeatureView {
                feature,
                events: sight.count(now),
                change_percent: shown.and_then(|_| change_percent(now, before)),
                is_adopted: of_feature(&ever, feature) > 0,
            }
        };
        let events = shown_events(&now, sight);
        let so_often = |name: &str| match events.iter().find(|event| event.event == name) {
            Some(event) => event.count,
            None => Some(0),
        };
        let physicians = now.kinds("physicians").filter(|(_, amount)| *amount > 0).count() as i64;
        Ok(Self {
            from: period.from,
            to: period.to,
            time_zone: period.zone.name().to_owned(),
            features: FEATURES.into_iter().map(feature).collect(),
            app_events: parts(now.kinds("app_events"), sight),
            active_physicians: sight.count(physicians),
            members_joined: so_often("member_joined"),
            members_left: so_often("member_left"),
            events,
            receipt_to_finding: TurnaroundView::of(&now, Step::Found, sight),
        })
    }
}

impl Tabled for PlatformView {
    fn table(&self) -> Table {
        let row = |line: &EventView| vec![text(&line.event), Cell::Whole(line.count)];
        Table {
            columns: &[("event", Kind::Text), ("count", Kind::Whole)],
            rows: self.events.iter().map(row).collect(),
        }
    }
}

/// `GET /api/analytics/platform`
pub(crate) async fn platform(
    State(house): State<House>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<PlatformView>, Problem> {
    let mut desk = Desk::open(&house, &caller, &asked, Usual::ThisMonth).await?;
    Ok(Json(PlatformView::of(&mut desk).await?))
}
