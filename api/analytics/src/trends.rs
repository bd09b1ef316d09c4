//! Months beside one another.

use axum::extract::State;
use chrono::{Datelike, NaiveDate};
use clinical::money::{Currency, Decimal};
use gate::{Caller, Json, Problem, Query};
use serde::Serialize;
use utoipa::ToSchema;

use crate::House;
use crate::counts::Sums;
use crate::desk::{Asked, Desk, Usual};
use crate::period::{Period, Span};
use crate::stats::{MONEY, decimal, shown_revenue_minor};
use crate::table::{Cell, Kind, Table, Tabled, text};

/// One month of `GET /api/analytics/monthly-trends`, as the clinic application that was there first asks for it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MonthView {
    /// Its name, as `Jan`.
    pub month: String,
    /// The patients who were new in it; `null`: too few to be shown, as below.
    pub patients: Option<i64>,
    /// The visits that begin in it.
    pub appointments: Option<i64>,
    /// What was paid in it, without what was given back, in major units.
    pub revenue: Option<Decimal>,
    /// Its year.
    pub year: i32,
}

/// The months of a period, the earliest first.
pub(crate) struct Trends(pub Vec<MonthView>);

impl Trends {
    pub(crate) async fn of(desk: &mut Desk) -> Result<Self, Problem> {
        const METRICS: [&str; 8] =
            ["patients", "visits", MONEY[0], MONEY[1], MONEY[2], MONEY[3], MONEY[4], MONEY[5]];
        let (currency, sight) = (desk.currency().await?, desk.sight);
        let code = currency.map_or("", Currency::code);
        let months = desk.period.months();
        let spans: Vec<Span> = months.iter().map(Period::span).collect();
        let each = desk.within_each(&METRICS, &spans).await?;
        let view = |(month, sums): (&Period, &Sums)| MonthView {
            month: name(month.from),
            patients: sight.count(sums.of("patients")),
            appointments: sight.count(sums.of("visits")),
            revenue: shown_revenue_minor(sums, code, sight).and_then(|minor| decimal(minor, currency)),
            year: month.from.year(),
        };
        Ok(Self(months.iter().zip(each.iter()).map(view).collect()))
    }
}

/// The first three letters of a month's English name.
fn name(day: NaiveDate) -> String {
    day.format("%b").to_string()
}

impl Tabled for Trends {
    fn table(&self) -> Table {
        let row = |month: &MonthView| {
            vec![
                Cell::Whole(Some(i64::from(month.year))),
                text(&month.month),
                Cell::Whole(month.patients),
                Cell::Whole(month.appointments),
                Cell::Decimal(month.revenue.clone()),
            ]
        };
        Table {
            columns: &[
                ("year", Kind::Whole),
                ("month", Kind::Text),
                ("patients", Kind::Whole),
                ("appointments", Kind::Whole),
                ("revenue", Kind::Number),
            ],
            rows: self.0.iter().map(row).collect(),
        }
    }
}

/// `GET /api/analytics/monthly-trends`
pub(crate) async fn trends(
    State(house): State<House>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<Vec<MonthView>>, Problem> {
    let mut desk = Desk::open(&house, &caller, &asked, Usual::Year).await?;
    Ok(Json(Trends::of(&mut desk).await?.0))
}
