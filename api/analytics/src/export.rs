//! Taking an answer away as a file.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use gate::{Caller, Problem, Query};
use http::header;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::House;
use crate::billing::BillingView;
use crate::deliveries::DeliveriesView;
use crate::demographics::DemographicsView;
use crate::desk::{Asked, Desk, Usual};
use crate::imaging::ImagingView;
use crate::platform::PlatformView;
use crate::specialties::Specialties;
use crate::stats::StatsView;
use crate::table::{Table, Tabled};
use crate::trends::Trends;
use crate::triage::TriageView;

/// Which answer, and as what.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct Wanted {
    /// Whose lines.
    #[param(inline)]
    report: Report,
    /// As CSV or as Parquet.
    #[serde(default)]
    #[param(inline)]
    format: Format,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Report {
    Stats,
    MonthlyTrends,
    Specialties,
    Demographics,
    Imaging,
    Triage,
    Billing,
    Notifications,
    Platform,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Format {
    #[default]
    Csv,
    Parquet,
}

impl Report {
    fn name(self) -> &'static str {
        match self {
            Self::Stats => "stats",
            Self::MonthlyTrends => "monthly-trends",
            Self::Specialties => "specialties",
            Self::Demographics => "demographics",
            Self::Imaging => "imaging",
            Self::Triage => "triage",
            Self::Billing => "billing",
            Self::Notifications => "notifications",
            Self::Platform => "platform",
        }
    }

    fn usual(self) -> Usual {
        match self {
            Self::MonthlyTrends | Self::Specialties => Usual::Year,
            _ => Usual::ThisMonth,
        }
    }

    async fn table(self, desk: &mut Desk) -> Result<Table, Problem> {
        Ok(match self {
            Self::Stats => StatsView::of(desk).await?.table(),
            Self::MonthlyTrends => Trends::of(desk).await?.table(),
            Self::Specialties => Specialties::of(desk).await?.table(),
            Self::Demographics => DemographicsView::of(desk).await?.table(),
            Self::Imaging => ImagingView::of(desk).await?.table(),
            Self::Triage => TriageView::of(desk).await?.table(),
            Self::Billing => BillingView::of(desk).await?.table(),
            Self::Notifications => DeliveriesView::of(desk).await?.table(),
            Self::Platform => PlatformView::of(desk).await?.table(),
        })
    }
}

/// `GET /api/analytics/export?report=monthly-trends&format=parquet&from=…`
pub(crate) async fn export(
    State(house): State<House>,
    caller: Caller,
    Query(asked): Query<Asked>,
    Query(Wanted { report, format }): Query<Wanted>,
) -> Result<Response, Problem> {
    let mut desk = Desk::open(&house, &caller, &asked, report.usual()).await?;
    let table = report.table(&mut desk).await?;
    let failed = |error: &(dyn std::error::Error + 'static)| Problem::internal("export-failed", error);
    let (bytes, media_type, ending) = match format {
        Format::Csv => (table.to_csv().map_err(|error| failed(&error))?, "text/csv; charset=utf-8", "csv"),
        Format::Parquet => {
            (table.to_parquet().map_err(|error| failed(&error))?, "application/vnd.apache.parquet", "parquet")
        }
    };
    let (name, from, to) = (report.name(), desk.period.from, desk.period.to);
    let disposition = format!("attachment; filename=\"analytics-{name}-{from}-{to}.{ending}\"");
    let headers = [(header::CONTENT_TYPE, media_type.to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    Ok((headers, bytes).into_response())
}
