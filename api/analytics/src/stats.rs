//! The numbers at the top of a dashboard, and by how much they have changed.

use axum::extract::State;
use chrono::NaiveDate;
use clinical::money::{Currency, Decimal, Money};
use gate::{Caller, Json, Problem, Query};
use serde::Serialize;
use utoipa::ToSchema;

use crate::House;
use crate::counts::{self, Sums};
use crate::desk::{Asked, Desk, Usual};
use crate::small::{Sight, change_percent};
use crate::table::{Cell, Kind, Table, Tabled, text};

/// What revenue is made of: what came in, without what was given back or taken back; and of how many each is.
pub(crate) const MONEY: [&str; 6] =
    ["payments", "received_minor", "refunds", "refunded_minor", "disputes", "disputed_minor"];

/// `GET /api/analytics/stats`, as the clinic application that was there first asks for it. Each change is that of the
/// number beside it, against the period before; `null` where it comes from nothing, or is of too few to be shown.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatsView {
    /// The patients that there were when the period ended.
    pub total_patients: Option<i64>,
    /// The visits that begin within the period.
    pub appointments_this_month: Option<i64>,
    /// What was paid within the period, without what was given back, in major units.
    pub revenue: Option<Decimal>,
    /// The physicians who have a visit, or have judged a finding, within the period.
    pub active_physicians: Option<i64>,
    /// Of the patients.
    pub patient_change_percent: Option<f64>,
    /// Of the visits.
    pub appointment_change_percent: Option<f64>,
    /// Of the revenue.
    pub revenue_change_percent: Option<f64>,
    /// Of the physicians.
    pub physician_change_percent: Option<f64>,
    /// Of what the revenue is (ISO 4217); `null` where nothing was ever paid.
    pub currency: Option<String>,
    /// The first day of the period.
    pub from: NaiveDate,
    /// Its last day.
    pub to: NaiveDate,
    /// Where these days are days.
    pub time_zone: String,
}

/// What was counted of one period.
struct Part {
    /// The patients that there were when it ended.
    patients: i64,
    /// By how many more they were than when it began.
    new_patients: i64,
    visits: i64,
    revenue_minor: i64,
    /// The same, where it may be shown.
    shown_revenue_minor: Option<i64>,
    physicians: i64,
}

impl Part {
    fn of(sums: &Sums, patients: i64, currency: &str, sight: Sight) -> Self {
        Self {
            patients,
            new_patients: sums.of("patients"),
            visits: sums.of("visits"),
            revenue_minor: revenue_minor(sums, currency),
            shown_revenue_minor: shown_revenue_minor(sums, currency, sight),
            physicians: sums.kinds("physicians").filter(|(_, amount)| *amount > 0).count() as i64,
        }
    }

    /// The patients; two totals, one after the other, must not tell of a few new ones.
    fn shown_patients(&self, sight: Sight) -> Option<i64> {
        sight.count(self.new_patients).and(sight.count(self.patients))
    }
}

/// What has come in of a currency and stayed.
fn revenue_minor(sums: &Sums, code: &str) -> i64 {
    let of = |metric| sums.of_kind(metric, code);
    of("received_minor") - of("refunded_minor") - of("disputed_minor")
}

/// What has come in and stayed, where none of what it is made of is too little to be shown.
pub(crate) fn shown_revenue_minor(sums: &Sums, code: &str, sight: Sight) -> Option<i64> {
    let is_shown = |metric| sight.count(sums.of_kind(metric, code)).is_some();
    ["payments", "refunds", "disputes"].into_iter().all(is_shown).then(|| revenue_minor(sums, code))
}

/// A sum in major units. Where no currency is known, nothing was ever paid, of the first of them as well.
pub(crate) fn decimal(minor: i64, currency: Option<Currency>) -> Option<Decimal> {
    let currency = currency.or_else(|| Currency::all().next())?;
    Some(Money::new(minor, currency).decimal())
}

impl StatsView {
    pub(crate) async fn of(desk: &mut Desk) -> Result<Self, Problem> {
        const METRICS: [&str; 9] =
            ["patients", "visits", "physicians", MONEY[0], MONEY[1], MONEY[2], MONEY[3], MONEY[4], MONEY[5]];
        let (currency, sight) = (desk.currency().await?, desk.sight);
        let code = currency.map_or("", Currency::code);
        let period = desk.period;
        let both = desk.within_each(&METRICS, &[period.span(), period.before().span()]).await?;
        let after = period.span().after();
        let later = desk.within(&["patients"], after).await?;
        let ever = counts::ever(&mut desk.rows, desk.clinic, &["patients"]).await?;
        let patients = ever.of("patients") - later.of("patients");
        let none = Sums::default();
        let (this, last) = (both.first().unwrap_or(&none), both.last().unwrap_or(&none));
        let now = Part::of(this, patients, code, sight);
        let before = Part::of(last, patients - now.new_patients, code, sight);
        let change = |shown: fn(&Part, Sight) -> Option<i64>, amount: fn(&Part) -> i64| {
            let both_shown = shown(&now, sight).and(shown(&before, sight));
            both_shown.and_then(|_| change_percent(amount(&now), amount(&before)))
        };
        Ok(Self {
            total_patients: now.shown_patients(sight),
            appointments_this_month: sight.count(now.visits),
            revenue: now.shown_revenue_minor.and_then(|minor| decimal(minor, currency)),
            active_physicians: sight.count(now.physicians),
            patient_change_percent: change(Part::shown_patients, |part| part.patients),
            appointment_change_percent: change(|part, sight| sight.count(part.visits), |part| part.visits),
            revenue_change_percent: change(|part, _| part.shown_revenue_minor, |part| part.revenue_minor),
            physician_change_percent: change(
                |part, sight| sight.count(part.physicians),
                |part| part.physicians,
            ),
            currency: currency.map(|currency| currency.code().to_owned()),
            from: period.from,
            to: period.to,
            time_zone: period.zone.name().to_owned(),
        })
    }
}

impl Tabled for StatsView {
    fn table(&self) -> Table {
        Table {
            columns: &[
                ("from", Kind::Text),
                ("to", Kind::Text),
                ("totalPatients", Kind::Whole),
                ("appointmentsThisMonth", Kind::Whole),
                ("revenue", Kind::Number),
                ("currency", Kind::Text),
                ("activePhysicians", Kind::Whole),
                ("patientChangePercent", Kind::Number),
                ("appointmentChangePercent", Kind::Number),
                ("revenueChangePercent", Kind::Number),
                ("physicianChangePercent", Kind::Number),
            ],
            rows: vec![vec![
                text(self.from.to_string()),
                text(self.to.to_string()),
                Cell::Whole(self.total_patients),
                Cell::Whole(self.appointments_this_month),
                Cell::Decimal(self.revenue.clone()),
                Cell::Text(self.currency.clone()),
                Cell::Whole(self.active_physicians),
                Cell::Number(self.patient_change_percent),
                Cell::Number(self.appointment_change_percent),
                Cell::Number(self.revenue_change_percent),
                Cell::Number(self.physician_change_percent),
            ]],
        }
    }
}

/// `GET /api/analytics/stats`
pub(crate) async fn stats(
    State(house): State<House>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<StatsView>, Problem> {
    let mut desk = Desk::open(&house, &caller, &asked, Usual::ThisMonth).await?;
    Ok(Json(StatsView::of(&mut desk).await?))
}
