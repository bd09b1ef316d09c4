//! Numbers for Prometheus: seconds, bytes and counts, named with their units.

use std::sync::OnceLock;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

/// Upper bounds of the histograms, in seconds.
const SECONDS: &[f64] =
    &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Begins to count, for the whole process; a second call changes nothing.
///
/// # Errors
///
/// [`BuildError`] when another recorder counts already.
pub fn install() -> Result<(), BuildError> {
    if RECORDER.get().is_some() {
        return Ok(());
    }
    let handle = PrometheusBuilder::new().set_buckets(SECONDS)?.install_recorder()?;
    describe_counter!("http_requests_total", "Requests by method, route and status");
    describe_histogram!(
        "http_request_duration_seconds",
        Unit::Seconds,
        "Time from a request's head to its answer's head"
    );
    describe_counter!(
        "http_rate_limited_total",
        "Requests refused because too many came too fast, by policy"
    );
    describe_counter!("http_overloaded_total", "Requests refused because too many were in flight");
    describe_gauge!("http_connections", "Open connections");
    // Two callers at once: only one has installed the recorder and comes here.
    let _ = RECORDER.set(handle);
    Ok(())
}

/// Everything counted so far, in the text format; empty before [`install`].
pub fn render() -> String {
    RECORDER.get().map(PrometheusHandle::render).unwrap_or_default()
}

/// Folds recent measurements into the histograms, which would grow otherwise.
pub(crate) fn tidy() {
    if let Some(handle) = RECORDER.get() {
        handle.run_upkeep();
    }
}
