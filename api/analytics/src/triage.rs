//! Assessments of symptoms, by how soon somebody should be seen.

use axum::extract::State;
use chrono::NaiveDate;
use clinical::decision::Urgency;
use gate::{Caller, Json, Problem, Query};
use serde::Serialize;
use utoipa::ToSchema;

use crate::House;
use crate::desk::{Asked, Desk, Usual};
use crate::small::share_percent;
use crate::table::{Cell, Kind, Table, Tabled, text};

/// The assessments of a period. `null` in place of a number: too few to be shown; in place of a percentage also: of
/// nothing.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TriageView {
    /// The first day of the period.
    pub from: NaiveDate,
    /// Its last day.
    pub to: NaiveDate,
    /// Where these days are days.
    pub time_zone: String,
    /// So many assessments were made.
    pub assessments: Option<i64>,
    /// By urgency, the least urgent first; each level there is.
    pub by_urgency: Vec<UrgencyView>,
    /// The share of those that could not wait for a physician's hours.
    pub emergency_percent: Option<f64>,
    /// So many issues with drugs were overridden.
    pub overrides: Option<i64>,
}

/// The assessments of one level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UrgencyView {
    /// The level.
    pub urgency: Urgency,
    /// So many.
    pub count: Option<i64>,
}

impl TriageView {
    pub(crate) async fn of(desk: &mut Desk) -> Result<Self, Problem> {
        let (period, sight) = (desk.period, desk.sight);
        let metrics = ["assessments", "overrides"];
        let sums = desk.within(&metrics, period.span()).await?;
        let of_level = |level: &Urgency| sums.of_kind("assessments", level.as_str());
        let counts: Vec<i64> = Urgency::ALL.iter().map(of_level).collect();
        let all = sums.of("assessments");
        let by_urgency: Vec<UrgencyView> = Urgency::ALL
            .into_iter()
            .zip(sight.parts(&counts))
            .map(|(urgency, count)| UrgencyView { urgency, count })
            .collect();
        // Of a level that is hidden their sum would tell.
        let emergencies = by_urgency.iter().filter(|level| level.urgency.is_emergency());
        let emergencies: Option<i64> = emergencies.map(|level| level.count).sum();
        let percent = emergencies.zip(sight.count(all));
        Ok(Self {
            from: period.from,
            to: period.to,
            time_zone: period.zone.name().to_owned(),
            assessments: sight.count(all),
            by_urgency,
            emergency_percent: percent.and_then(|(emergencies, all)| share_percent(emergencies, all)),
            overrides: sight.count(sums.of("overrides")),
        })
    }
}

impl Tabled for TriageView {
    fn table(&self) -> Table {
        let row = |line: &UrgencyView| vec![text(line.urgency.as_str()), Cell::Whole(line.count)];
        Table {
            columns: &[("urgency", Kind::Text), ("count", Kind::Whole)],
            rows: self.by_urgency.iter().map(row).collect(),
        }
    }
}

/// `GET /api/analytics/triage`
pub(crate) async fn triage(
    State(house): State<House>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<TriageView>, Problem> {
    let mut desk = Desk::open(&house, &caller, &asked, Usual::ThisMonth).await?;
    Ok(Json(TriageView::of(&mut desk).await?))
}
