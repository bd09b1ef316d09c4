//! The numbers at the top of a dashboard, and by how much they have changed.

use axum::extract::State;
use chrono::NaiveDate;
use clinical::money::{Currency, Decimal, Money};
use gate::{App, Caller, Json, Problem, Query};
use serde::Serialize;
use utoipa::ToSchema;

use crate::counts::{self, Sums};
use crate::desk::{Asked, Desk, Usual};
use crate::period::Period;
use crate::small::change_percent;
use crate::table::{Cell, Kind, Table, Tabled, text};

/// What revenue is made of: what came in, without what was given back or taken back.
pub(crate) const MONEY: [&str; 4] = ["payments", "received_minor", "refunded_minor", "disputed_minor"];
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
    patients: i64,
    visits: i64,
    payments: i64,
    revenue_minor: i64,
    physicians: i64,
}

/// What has come in of a currency and stayed.
pub(crate) fn revenue_minor(sums: &Sums, code: &str) -> i64 {
    let of = |metric| sums.of_kind(metric, code);
    of("received_minor") - of("refunded_minor") - of("disputed_minor")
}

/// A sum in major units. Where no currency is known, nothing was ever paid, of the first of them as well.
pub(crate) fn decimal(minor: i64, currency: Option<Currency>) -> Option<Decimal> {
    let currency = currency.or_else(|| Currency::all().next())?;
    Some(Money::new(minor, currency).decimal())
}

impl StatsView {
    async fn part(desk: &mut Desk, period: &Period, currency: &str) -> Result<Part, Problem> {
        let span = period.span();
        let later = counts::within(&mut desk.rows, desk.clinic, &["patients"], span.after()).await?;
        let ever = counts::ever(&mut desk.rows, desk.clinic, &["patients"]).await?;
        let metrics = ["visits", "physicians", MONEY[0], MONEY[1], MONEY[2], MONEY[3]];
        let sums = counts::within(&mut desk.rows, desk.clinic, &metrics, span).await?;
        Ok(Part {
            patients: ever.of("patients") - later.of("patients"),
            visits: sums.of("visits"),
            payments: sums.of_kind("payments", currency),
            revenue_minor: revenue_minor(&sums, currency),
            physicians: sums.kinds("physicians").filter(|(_, amount)| *amount > 0).count() as i64,
        })
    }

    pub(crate) async fn of(desk: &mut Desk) -> Result<Self, Problem> {
        let currency = desk.currency().await?;
        let code = currency.map_or("", Currency::code);
        let period = desk.period;
        let now = Self::part(desk, &period, code).await?;
        let before = Self::part(desk, &period.before(), code).await?;
        let sight = desk.sight;
        let change = |count: fn(&Part) -> i64, amount: fn(&Part) -> i64| {
            let both_shown = sight.count(count(&now)).and(sight.count(count(&before)));
            both_shown.and_then(|_| change_percent(amount(&now), amount(&before)))
        };
        Ok(Self {
            total_patients: sight.count(now.patients),
            appointments_this_month: sight.count(now.visits),
            revenue: sight.of(now.payments, decimal(now.revenue_minor, currency)).flatten(),
            active_physicians: sight.count(now.physicians),
            patient_change_percent: change(|part| part.patients, |part| part.patients),
            appointment_change_percent: change(|part| part.visits, |part| part.visits),
            revenue_change_percent: change(|part| part.payments, |part| part.revenue_minor),
            physician_change_percent: change(|part| part.physicians, |part| part.physicians),
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
    State(app): State<App>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<StatsView>, Problem> {
    let mut desk = Desk::open(&app, &caller, &asked, Usual::ThisMonth).await?;
    Ok(Json(StatsView::of(&mut desk).await?))
}
