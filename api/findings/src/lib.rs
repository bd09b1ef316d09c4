//! Findings, open until a physician has judged them.
//!
//! Tells `finding_reviewed`; hears nothing. The records themselves are
//! `storage`'s, because the worker writes them.

mod list;
mod review;
mod view;

use axum::Router;
use axum::routing::{get, post};
use gate::App;

pub use view::FindingView;

/// The house, ready to be joined to others.
pub fn routes(app: App) -> Router {
    Router::new()
        .route("/api/findings", get(list::list))
        .route("/api/findings/{id}", get(list::show))
        .route("/api/findings/{id}/review", post(review::review))
        .with_state(app)
}
