//! `/metrics`, for Prometheus.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use gate::Problem;
use metrics::gauge;
use storage::queue;

use crate::Street;

/// `GET /metrics`: what was counted, and how deep the queue is.
pub(crate) async fn metrics(State(street): State<Street>) -> Result<Response, Problem> {
    let mut rows = street.app.db.read().await?;
    let depth = queue::depth(&mut rows).await?;
    drop(rows);
    metrics::describe_gauge!("medilink_jobs", "Jobs in the queue by state");
    for (state, count) in [("queued", depth.queued), ("running", depth.running), ("dead", depth.dead)] {
        gauge!("medilink_jobs", "state" => state).set(count as f64);
    }
    networks_house::measure(&street.networks).await?;
    analytics::measure(&street.app.db).await?;
    street.assessments.measure();
    (street.gauges)();
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, gate::metrics::render()).into_response())
}
