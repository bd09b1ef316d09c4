//! The street: the houses side by side, and what belongs to none of them.
//!
//! `/health`, `/ready` and `/api/openapi.json` are public; everything else
//! needs a token.

mod health;
mod numbers;
mod openapi;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::get;
use dicom_house::DicomState;
use dicomweb::DicomWebState;
use gate::App;

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
    let houses = Router::new()
        .merge(dicom_house::routes(street.dicom.clone()))
        .merge(findings::routes(app.clone()))
        .merge(dicomweb::router(street.dicomweb.clone()));
    let own = Router::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/metrics", get(numbers::metrics))
        .route("/api/openapi.json", get(openapi::document))
        .with_state(street);
    gate::layers(own.merge(houses), app)
}
