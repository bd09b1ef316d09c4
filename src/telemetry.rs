//! What the program tells others about its own running: log lines, and where it is asked for, traces and reports.
//!
//! Traces go out over OTLP (http/protobuf), errors as Sentry envelopes. Both are off unless an address is
//! configured, and both tell of routes, numbers and our own words, never of a person.

#[cfg(feature = "telemetry")]
mod reports;
#[cfg(feature = "telemetry")]
mod traces;

use std::any::Any;

use anyhow::{Context, Result};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::Config;

type AnyLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Held while the program runs; dropped, what waits to be sent is sent, for a few seconds at most.
#[must_use]
pub struct Telemetry(#[expect(dead_code, reason = "what it holds works by its drop")] Vec<Box<dyn Any>>);

/// Starts the log on the error stream, and what is configured beside it.
///
/// # Errors
///
/// A filter or an address does not read, or an address is given to a build without the feature `telemetry`.
pub fn start(config: &Config) -> Result<Telemetry> {
    let filter =
        EnvFilter::try_new(&config.log).with_context(|| format!("log {:?} is no filter", config.log))?;
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let log = tracing_subscriber::fmt::layer().with_ansi(is_terminal).with_writer(std::io::stderr);
    let log: AnyLayer = if config.log_format == "json" {
        log.json().with_filter(filter).boxed()
    } else {
        log.with_target(false).with_filter(filter).boxed()
    };
    let mut layers = vec![log];
    let telemetry = more(config, &mut layers)?;
    tracing_subscriber::registry().with(layers).init();
    Ok(telemetry)
}

#[cfg(feature = "telemetry")]
fn more(config: &Config, layers: &mut Vec<AnyLayer>) -> Result<Telemetry> {
    let mut held: Vec<Box<dyn Any>> = Vec::new();
    if !config.otlp_endpoint.is_empty() {
        let (layer, traces) = traces::start(&config.otlp_endpoint).context("otlp_endpoint")?;
        layers.push(layer);
        held.push(Box::new(traces));
    }
    if !config.sentry_dsn.is_empty() {
        let (layer, reports) = reports::start(&config.sentry_dsn).context("sentry_dsn")?;
        layers.push(layer);
        held.push(Box::new(reports));
    }
    Ok(Telemetry(held))
}

#[cfg(not(feature = "telemetry"))]
fn more(config: &Config, _: &mut Vec<AnyLayer>) -> Result<Telemetry> {
    if !config.otlp_endpoint.is_empty() || !config.sentry_dsn.is_empty() {
        anyhow::bail!("this build has no telemetry: otlp_endpoint and sentry_dsn must be empty");
    }
    Ok(Telemetry(Vec::new()))
}
