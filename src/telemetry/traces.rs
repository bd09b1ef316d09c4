//! Spans to a collector, over OTLP with protobuf over HTTP.
//!
//! Sent in batches by a thread of their own; when the collector does not answer, they are dropped and the work
//! goes on. Only spans are sent, not the log lines within them. The libraries read `OTEL_EXPORTER_OTLP_HEADERS`
//! (for a collector that asks who sends) and `OTEL_RESOURCE_ATTRIBUTES` themselves.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use opentelemetry::trace::{SpanKind, Status, TracerProvider};
use opentelemetry::{Key, KeyValue, Value};
use opentelemetry_otlp::{Protocol, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tracing::{Level, Metadata};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;

use super::AnyLayer;

/// Where a collector takes traces (OTLP 1.x, section «OTLP/HTTP Request»).
const TRACES_PATH: &str = "/v1/traces";
/// The longest that one batch may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Dropped, it sends what waits.
pub struct Traces(SdkTracerProvider);

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(PATIENCE) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// The layer that sends spans to the collector at `endpoint`.
///
/// # Errors
///
/// `endpoint` is no address of HTTP.
pub fn start(endpoint: &str) -> Result<(AnyLayer, Traces)> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(traces_url(endpoint)?)
        .with_timeout(PATIENCE)
        .build()
        .context("traces cannot be sent there")
        .map(InTheirWords)?;
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder().with_service_name("medilink").with_attribute(version).build();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("medilink"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(filter_fn(is_sent));
    Ok((layer.boxed(), Traces(provider)))
}

/// Sends spans under the names that OpenTelemetry has for what ours tell.
#[derive(Debug)]
struct InTheirWords<E>(E);

impl<E: SpanExporter> SpanExporter for InTheirWords<E> {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        batch.iter_mut().for_each(translate);
        self.0.export(batch).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

/// Names, kind and outcome of a request's span, by OpenTelemetry's semantic conventions («HTTP server span»).
fn translate(span: &mut SpanData) {
    let text = |name: &str| {
        let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == name);
        found.map(|attribute| attribute.value.to_string())
    };
    let (Some(method), Some(route)) = (text("http.method"), text("http.route")) else { return };
    span.name = format!("{method} {route}").into();
    span.span_kind = SpanKind::Server;
    for attribute in &mut span.attributes {
        let theirs = match attribute.key.as_str() {
            "http.method" => "http.request.method",
            "http.status" => "http.response.status_code",
            _ => continue,
        };
        attribute.key = Key::from_static_str(theirs);
        if matches!(attribute.value, Value::I64(500..)) {
            span.status = Status::error("");
        }
    }
}

/// Spans of weight; what happens inside libraries is of a lower level.
fn is_sent(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && *metadata.level() <= Level::INFO
}

/// The collector's address is told with or without the path of traces, as other programs take it.
fn traces_url(endpoint: &str) -> Result<String> {
    if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
        bail!("it begins with http:// or https://");
    }
    let base = endpoint.trim_end_matches('/');
    Ok(if base.ends_with(TRACES_PATH) { base.to_owned() } else { format!("{base}{TRACES_PATH}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// OpenTelemetry Protocol Exporter, «Endpoint URLs for OTLP/HTTP»: the path is added to the base address.
    #[test]
    fn the_path_of_traces_is_added_once() {
        let url = "http://collector:4318/v1/traces";
        for told in ["http://collector:4318", "http://collector:4318/", url] {
            assert_eq!(traces_url(told).unwrap(), url);
        }
        assert!(traces_url("collector:4318").is_err());
    }
}
