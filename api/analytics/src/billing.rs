//! Invoices and payments, a line a currency: sums of two of them are no sum.

use std::collections::BTreeSet;

use axum::extract::State;
use chrono::NaiveDate;
use gate::{Caller, Json, Problem, Query};
use serde::Serialize;
use utoipa::ToSchema;

use crate::House;
use crate::counts::Sums;
use crate::desk::{Asked, Desk, Usual};
use crate::small::Sight;
use crate::stats::shown_revenue_minor;
use crate::table::{Cell, Kind, Table, Tabled, text};

/// The metrics of which each line is made: how many, and how much.
const METRICS: [&str; 16] = [
    "invoices_issued",
    "issued_minor",
    "invoices_paid",
    "paid_minor",
    "invoices_closed",
    "closed_minor",
    "payments",
    "received_minor",
    "payments_failed",
    "failed_minor",
    "refunds",
    "refunded_minor",
    "disputes",
    "disputed_minor",
    "reminders",
    "subscriptions",
];

/// The money of a period. `null`: too few to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BillingView {
    /// The first day of the period.
    pub from: NaiveDate,
    /// Its last day.
    pub to: NaiveDate,
    /// Where these days are days.
    pub time_zone: String,
    /// By currency, in the order of their codes.
    pub by_currency: Vec<CurrencyView>,
    /// So often somebody was reminded of an invoice.
    pub reminders: Option<i64>,
    /// How often a subscription came to a state, in the order of their names.
    pub subscriptions: Vec<SubscriptionsView>,
}

/// The money of one currency, in its minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CurrencyView {
    /// ISO 4217.
    pub currency: String,
    /// What came in, without what was given back or taken back.
    pub revenue_minor: Option<i64>,
    /// Invoices that were issued.
    pub invoices_issued: Option<i64>,
    /// What they ask for.
    pub issued_minor: Option<i64>,
    /// Invoices that were paid in full.
    pub invoices_paid: Option<i64>,
    /// What they had asked for.
    pub paid_minor: Option<i64>,
    /// Invoices that were issued and are due no more, unpaid.
    pub invoices_closed: Option<i64>,
    /// What of them is due no more.
    pub closed_minor: Option<i64>,
    /// Payments that came in.
    pub payments: Option<i64>,
    /// What came in with them.
    pub received_minor: Option<i64>,
    /// Payments that were declined.
    pub payments_failed: Option<i64>,
    /// How often money was given back.
    pub refunds: Option<i64>,
    /// How much.
    pub refunded_minor: Option<i64>,
    /// What payers' banks have taken back and not given back again.
    pub disputed_minor: Option<i64>,
}

/// How often subscriptions came to a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionsView {
    /// The state, as `active`.
    pub status: String,
    /// So often.
    pub count: Option<i64>,
}

impl CurrencyView {
    fn of(sums: &Sums, code: &str, sight: Sight) -> Self {
        let count = |metric| sight.count(sums.of_kind(metric, code));
        let sum = |of, metric| sight.of(sums.of_kind(of, code), sums.of_kind(metric, code));
        Self {
            currency: code.to_owned(),
            revenue_minor: shown_revenue_minor(sums, code, sight),
            invoices_issued: count("invoices_issued"),
            issued_minor: sum("invoices_issued", "issued_minor"),
            invoices_paid: count("invoices_paid"),
            paid_minor: sum("invoices_paid", "paid_minor"),
            invoices_closed: count("invoices_closed"),
            closed_minor: sum("invoices_closed", "closed_minor"),
            payments: count("payments"),
            received_minor: sum("payments", "received_minor"),
            payments_failed: count("payments_failed"),
            refunds: count("refunds"),
            refunded_minor: sum("refunds", "refunded_minor"),
            disputed_minor: sum("disputes", "disputed_minor"),
        }
    }
}

impl BillingView {
    pub(crate) async fn of(desk: &mut Desk) -> Result<Self, Problem> {
        let (period, sight) = (desk.period, desk.sight);
        let sums = desk.within(&METRICS, period.span()).await?;
        let (of_clinic, of_currency) = (["reminders", "subscriptions"], METRICS.iter());
        let codes: BTreeSet<&str> = of_currency
            .filter(|metric| !of_clinic.contains(metric))
            .flat_map(|metric| sums.kinds(metric).map(|(code, _)| code))
            .collect();
        let subscription = |(status, count): (&str, i64)| SubscriptionsView {
            status: status.to_owned(),
            count: sight.count(count),
        };
        Ok(Self {
            from: period.from,
            to: period.to,
            time_zone: period.zone.name().to_owned(),
            by_currency: codes.into_iter().map(|code| CurrencyView::of(&sums, code, sight)).collect(),
            reminders: sight.count(sums.of("reminders")),
            subscriptions: sums.kinds("subscriptions").map(subscription).collect(),
        })
    }
}

impl Tabled for BillingView {
    fn table(&self) -> Table {
        let row = |line: &CurrencyView| {
            let wholes = [
                line.revenue_minor,
                line.invoices_issued,
                line.issued_minor,
                line.invoices_paid,
                line.paid_minor,
                line.invoices_closed,
                line.closed_minor,
                line.payments,
                line.received_minor,
                line.payments_failed,
                line.refunds,
                line.refunded_minor,
                line.disputed_minor,
            ];
            [text(&line.currency)].into_iter().chain(wholes.map(Cell::Whole)).collect()
        };
        Table {
            columns: &[
                ("currency", Kind::Text),
                ("revenueMinor", Kind::Whole),
                ("invoicesIssued", Kind::Whole),
                ("issuedMinor", Kind::Whole),
                ("invoicesPaid", Kind::Whole),
                ("paidMinor", Kind::Whole),
                ("invoicesClosed", Kind::Whole),
                ("closedMinor", Kind::Whole),
                ("payments", Kind::Whole),
                ("receivedMinor", Kind::Whole),
                ("paymentsFailed", Kind::Whole),
                ("refunds", Kind::Whole),
                ("refundedMinor", Kind::Whole),
                ("disputedMinor", Kind::Whole),
            ],
            rows: self.by_currency.iter().map(row).collect(),
        }
    }
}

/// `GET /api/analytics/billing`
pub(crate) async fn billing(
    State(house): State<House>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<BillingView>, Problem> {
    let mut desk = Desk::open(&house, &caller, &asked, Usual::ThisMonth).await?;
    Ok(Json(BillingView::of(&mut desk).await?))
}
