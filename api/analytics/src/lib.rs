//! Numbers of a clinic: its patients, visits, money, studies, assessments and messages, by day and place.
//!
//! Hears every event that is counted ([`Counter`]) and tells `AppUsed`, which apps ask it to. Nothing is read from
//! another house: what is counted is what events have told, and of patients their sex and birth date as they are now.
//! Each event goes in once; [`rebuild`] counts all of them anew and comes to the same numbers.

mod app_events;
mod batch;
mod billing;
mod bucket;
mod counts;
mod deliveries;
mod demographics;
mod desk;
mod export;
mod fold;
mod imaging;
mod keep;
mod measure;
mod period;
mod platform;
mod rebuild;
mod small;
mod specialties;
mod stats;
mod table;
mod tally;
mod trends;
mod triage;
mod within;

use axum::extract::FromRef;
use clinical::role::{Action, Resource};
use gate::{App, Operation, Routes, Rule, get, post};

pub use app_events::AppEventsView;
pub use billing::{BillingView, CurrencyView, SubscriptionsView};
pub use deliveries::{ChannelView, DeliveriesView};
pub use demographics::{AgeGroupsView, DemographicsView};
pub use imaging::{AgreementView, ImagingView, ModalityView, StepsView};
pub use keep::{Counter, LISTENER, catch_up};
pub use measure::measure;
pub use platform::{EventView, FeatureView, PlatformView};
pub use rebuild::{Rebuilt, rebuild};
pub use specialties::SpecialtyView;
pub use stats::StatsView;
pub use trends::MonthView;
pub use triage::{TriageView, UrgencyView};
pub use within::{TurnaroundView, WithinView};

use counts::Counts;
use desk::Asked;

/// What every answer is made from.
#[derive(Clone)]
pub(crate) struct House {
    app: App,
    counts: Counts,
}

impl FromRef<House> for App {
    fn from_ref(house: &House) -> Self {
        house.app.clone()
    }
}

/// The house, ready to be joined to others.
pub fn routes(app: App) -> Routes {
    let read = |path: &'static str, says: &'static str| {
        asked(get(path, Rule::may(Action::Read, Resource::Report)).says(says))
    };
    Routes::new("analytics")
        .add(
            read("/api/analytics/stats", "The numbers at the top of a dashboard, of this month unless another period is asked for.")
                .answers::<StatsView>(200, "The numbers, and by how much they have changed."),
            stats::stats,
        )
        .add(
            read("/api/analytics/monthly-trends", "Months beside one another, the last twelve unless others are asked for.")
                .answers::<Vec<MonthView>>(200, "The months, the earliest first."),
            trends::trends,
        )
        .add(
            read("/api/analytics/specialties", "What visits are for, of the last twelve months unless another period is asked for.")
                .answers::<Vec<SpecialtyView>>(200, "The specialties, the most visited first."),
            specialties::specialties,
        )
        .add(
            read("/api/analytics/demographics", "Who the patients are, their ages as on `to`, else as today.")
                .answers::<DemographicsView>(200, "Patients by sex and by age."),
            demographics::demographics,
        )
        .add(
            read("/api/analytics/imaging", "Studies that were received: of what, how soon read and judged, and whether physicians agree.")
                .answers::<ImagingView>(200, "The studies of the period."),
            imaging::imaging,
        )
        .add(
            read("/api/analytics/triage", "Assessments of symptoms by urgency.")
                .answers::<TriageView>(200, "The assessments of the period."),
            triage::triage,
        )
        .add(
            read("/api/analytics/billing", "Invoices and payments by currency.")
                .answers::<BillingView>(200, "The money of the period."),
            billing::billing,
        )
        .add(
            read("/api/analytics/notifications", "What became of messages, by channel.")
                .answers::<DeliveriesView>(200, "The messages of the period."),
            deliveries::deliveries,
        )
        .add(
            read("/api/analytics/platform", "Which parts of the service are used.")
                .answers::<PlatformView>(200, "What happened within the period."),
            platform::platform,
        )
        .add(
            asked(get("/api/analytics/export", Rule::may(Action::Export, Resource::Report)))
                .says("One of the answers as a file.")
                .query::<export::Wanted>()
                .answers_bytes(200, "text/csv", "Lines of RFC 4180, the first with the names.")
                .answers_bytes(200, "application/vnd.apache.parquet", "Apache Parquet."),
            export::export,
        )
        .add(
            post("/api/mobile/events", Rule::may(Action::Create, Resource::AppEvent).own_by_caller())
                .says("Tell what the caller did in an app; it is counted where the clinic is, from now on.")
                .takes::<app_events::AppEventsRequest>()
                .answers::<AppEventsView>(202, "It will be counted.")
                .refuses(403, "people-only: machines use no apps")
                .refuses(422, "invalid-events"),
            app_events::track,
        )
        .with_state(House { app, counts: Counts::default() })
}

/// What every question takes and may be refused for.
fn asked(operation: Operation) -> Operation {
    operation
        .query::<Asked>()
        .refuses(
            400,
            "invalid-period, invalid-time-zone, invalid-currency, invalid-query: a parameter does not read",
        )
        .refuses(403, "whole-months-only: who is not of the clinic asks for whole months where the clinic is")
}
