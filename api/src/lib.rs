//! The street: the houses side by side, and what belongs to none of them.
//!
//! Each route says itself who may call it; what is public says so.

mod docs;
mod health;
mod numbers;
mod openapi;
mod status;

use std::sync::Arc;

use assessments::AssessmentsState;
use axum::Router;
use axum::extract::FromRef;
use axum::middleware::from_fn;
use billing::BillingState;
use cds_hooks::CdsHooksState;
use clinical::role::{Action, Resource};
use dicom_house::DicomState;
use dicomweb::DicomWebState;
use gate::socket::Sockets;
use gate::{App, Routes, Rule, get};
use identity::Identity;
use networks_house::NetworksState;
use notifications::NotificationsState;
use storage::records::webhook::target::Targets;

pub use health::Doors;

/// What the street is built from.
#[derive(Clone)]
pub struct Street {
    /// What every house may reach.
    pub app: App,
    /// What `/api/dicom` needs beyond it.
    pub dicom: DicomState,
    /// What `/dicom-web` needs beyond it.
    pub dicomweb: DicomWebState,
    /// What `/api/models` needs beyond it.
    pub networks: NetworksState,
    /// What the assessment of symptoms needs beyond it.
    pub assessments: AssessmentsState,
    /// What money needs beyond it.
    pub billing: BillingState,
    /// What `/cds-services` needs beyond it.
    pub cds_hooks: CdsHooksState,
    /// What word to people needs beyond it.
    pub notifications: NotificationsState,
    /// Who is connected.
    pub sockets: Sockets,
    /// What signing in needs beyond it.
    pub identity: Identity,
    /// To which hosts a clinic may have events sent.
    pub webhook_targets: Targets,
    /// Whether the service may be sent work.
    pub doors: Doors,
    /// Brings the gauges of rooms that the street does not know up to date, before each `/metrics`.
    pub gauges: Arc<dyn Fn() + Send + Sync>,
}

impl FromRef<Street> for App {
    fn from_ref(street: &Street) -> Self {
        street.app.clone()
    }
}

/// All houses behind one gate.
pub fn router(street: Street) -> Router {
    let app = street.app.clone();
    gate::layers(routes(street), app).layer(from_fn(fhir::as_outcome))
}

/// Every route there is.
pub fn routes(street: Street) -> Routes {
    let app = || street.app.clone();
    let houses = dicom_house::routes(street.dicom.clone())
        .merge(dicomweb::routes(street.dicomweb.clone()))
        .merge(findings::routes(app()))
        .merge(networks_house::routes(street.networks.clone()))
        .merge(analytics::routes(app()))
        .merge(assessments::routes(street.assessments.clone()))
        .merge(billing::routes(street.billing.clone()))
        .merge(cds_hooks::routes(street.cds_hooks.clone()))
        .merge(notifications::routes(street.notifications.clone()))
        .merge(gate::socket::routes(street.sockets.clone()))
        .merge(identity::routes(street.identity.clone()))
        .merge(clinics::routes(app()))
        .merge(patients::routes(app()))
        .merge(fhir::routes(app()))
        .merge(events::routes(app(), street.webhook_targets))
        .merge(audit_house::routes(app()));
    let status = status::routes(&street);
    let routes = own(street).merge(status).merge(houses).merge(docs::routes());
    let document = openapi::Document::of(&routes);
    routes.merge(openapi::routes(document))
}

/// What belongs to no house.
fn own(street: Street) -> Routes {
    Routes::new("service")
        .add(
            get("/health", Rule::PUBLIC)
                .says("The process lives, whatever stands behind it.")
                .answers::<health::Health>(200, "It does.")
                .probe(),
            health::health,
        )
        .add(
            get("/ready", Rule::PUBLIC)
                .says("Whether the service can be sent work.")
                .answers::<health::Readiness>(200, "It can.")
                .answers::<health::Readiness>(503, "It cannot: what is not `ok`.")
                .probe(),
            health::ready,
        )
        .add(
            get("/metrics", Rule::may(Action::Read, Resource::Service))
                .says("What was counted, for Prometheus.")
                .answers_bytes(200, "text/plain", "Prometheus text, version 0.0.4."),
            numbers::metrics,
        )
        .with_state(street)
}
