//! Errors to a Sentry-compatible server, with all that could point to a person left out.
//!
//! A report is built from one log line of level ERROR: our words, where in the program, and the few values that
//! [`TOLD`] names. What stands in quotes, brackets or digits is blotted out, for an engine's message may repeat
//! a value. No headers, addresses, bodies, users or earlier log lines are ever part of one.

use std::fmt::{Debug, Write};

use anyhow::{Context as _, Result};
use sentry::protocol::Event;
use sentry::types::Dsn;
use sentry::{ClientInitGuard, ClientOptions, Level};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::AnyLayer;

/// The values of a log line that a report tells beside its words.
const TOLD: [&str; 6] = ["code", "http.method", "http.route", "http.status", "job.kind", REQUEST_ID];
/// The line and the report of a request have it in common.
const REQUEST_ID: &str = "request.id";
/// The values that say why.
const CAUSES: [&str; 2] = ["cause", "error"];
/// The longest text in a report.
const TEXT_CHARACTERS: usize = 500;
/// So many digits in a row may be a date or somebody's number.
const DIGITS: usize = 4;

/// Dropped, it sends what waits.
pub struct Reports(#[expect(dead_code, reason = "its drop does the work")] ClientInitGuard);

/// The layer that reports errors to the server that `dsn` names.
///
/// # Errors
///
/// `dsn` does not read.
pub fn start(dsn: &str) -> Result<(AnyLayer, Reports)> {
    let _: Dsn = dsn.parse().context("it is no DSN")?;
    let options = ClientOptions::new()
        .dsn(dsn)
        .release(concat!("medilink@", env!("CARGO_PKG_VERSION")))
        .default_integrations(false)
        .send_default_pii(false)
        .max_breadcrumbs(0)
        .before_send(|event| Some(bare(event)));
    let reports = Reports(sentry::init(options));
    let layer = ReportErrors.with_filter(filter_fn(is_heard));
    Ok((layer.boxed(), reports))
}

/// Errors, and the spans of requests, whose number a report tells.
fn is_heard(metadata: &Metadata<'_>) -> bool {
    let is_request = metadata.is_span() && metadata.fields().field(REQUEST_ID).is_some();
    is_request || (metadata.is_event() && *metadata.level() == tracing::Level::ERROR)
}

/// What the library may have added of its own is taken off again.
fn bare(mut event: Event<'static>) -> Event<'static> {
    event.user = None;
    event.request = None;
    event.server_name = None;
    event.breadcrumbs.values.clear();
    event.contexts.clear();
    event.modules.clear();
    event
}

/// Makes a report of each log line of level ERROR.
struct ReportErrors;

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for ReportErrors {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut values = Values::default();
        attributes.record(&mut values);
        if let (Some(span), Some(id)) = (context.span(id), values.of(REQUEST_ID)) {
            span.extensions_mut().insert(RequestOf(id.to_owned()));
        }
    }

    fn on_event(&self, line: &tracing::Event<'_>, context: Context<'_, S>) {
        let mut values = Values::default();
        line.record(&mut values);
        let mut report = report(&values);
        report.logger = Some(line.metadata().target().to_owned());
        let mut spans = context.event_scope(line).into_iter().flatten();
        let request = spans.find_map(|span| span.extensions().get::<RequestOf>().map(|it| it.0.clone()));
        if let Some(id) = request {
            report.tags.entry(REQUEST_ID.to_owned()).or_insert(id);
        }
        sentry::capture_event(report);
    }
}

/// The number of the request that a span is about.
struct RequestOf(String);

fn report(values: &Values) -> Event<'static> {
    let mut event = Event { level: Level::Error, ..Event::default() };
    event.message = values.of("message").map(blotted);
    for name in TOLD {
        if let Some(value) = values.of(name) {
            event.tags.insert(name.to_owned(), value.chars().take(TEXT_CHARACTERS).collect());
        }
    }
    for name in CAUSES {
        if let Some(value) = values.of(name) {
            event.extra.insert(name.to_owned(), blotted(value).into());
        }
    }
    event
}

/// `text` without what may be somebody's: quoted or bracketed values, words with `@` or `^`, long numbers.
fn blotted(text: &str) -> String {
    let mut bare = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|letter| closing(letter).is_some()) {
        bare.push_str(&rest[..at]);
        bare.push('…');
        rest = behind_closing(&rest[at..]);
    }
    bare.push_str(rest);
    let is_hidden = |word: &str| word.contains(['@', '^', '…']) || has_long_number(word);
    let words: Vec<&str> = bare.split(' ').map(|word| if is_hidden(word) { "…" } else { word }).collect();
    words.join(" ").chars().take(TEXT_CHARACTERS).collect()
}

/// What ends the value that `letter` begins, if it begins one.
fn closing(letter: char) -> Option<char> {
    Some(match letter {
        '"' | '\'' | '`' => letter,
        '(' => ')',
        '[' => ']',
        '{' => '}',
        '«' => '»',
        _ => return None,
    })
}

/// What stands behind the value that `text` begins with; nothing where it does not end.
fn behind_closing(text: &str) -> &str {
    let mut letters = text.char_indices();
    let Some((opening, end)) = letters.next().and_then(|(_, letter)| Some((letter, closing(letter)?))) else {
        return "";
    };
    let mut depth = 1_usize;
    for (at, letter) in letters {
        if letter == end {
            depth -= 1;
        } else if letter == opening {
            depth += 1;
        }
        if depth == 0 {
            return &text[at + letter.len_utf8()..];
        }
    }
    ""
}

fn has_long_number(word: &str) -> bool {
    word.split(|letter: char| !letter.is_ascii_digit()).any(|digits| digits.len() >= DIGITS)
}

/// The values of a log line or span.
#[derive(Default)]
struct Values(Vec<(&'static str, String)>);

impl Values {
    fn of(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    fn is_wanted(name: &str) -> bool {
        name == "message" || TOLD.contains(&name) || CAUSES.contains(&name)
    }
}

impl Visit for Values {
    fn record_str(&mut self, field: &Field, value: &str) {
        if Self::is_wanted(field.name()) {
            self.0.push((field.name(), value.to_owned()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if Self::is_wanted(field.name()) {
            let mut text = String::new();
            // Writing to a String cannot fail.
            let _ = write!(text, "{value:?}");
            self.0.push((field.name(), text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_somebodys_is_blotted_out() {
        for (text, told) in [
            ("the database failed: disk full", "the database failed: disk full"),
            ("invalid input \"Test Ada\" for type uuid", "invalid input … for type uuid"),
            ("Key (mrn)=(P 1) exists", "Key … exists"),
            ("value (Ada (P1) Test) is not (closed Ada", "value … is not …"),
            ("no patient Test^Ada born 19800101 here", "no patient … born … here"),
            ("mail to ada@example.org failed", "mail to … failed"),
            ("'one' and 'two words' end", "… and … end"),
            ("a code 500 after 2.5 s", "a code 500 after 2.5 s"),
        ] {
            assert_eq!(blotted(text), told);
        }
        assert!(blotted(&"word ".repeat(10_000)).chars().count() <= TEXT_CHARACTERS);
    }

    #[test]
    fn a_report_tells_only_the_values_that_are_listed() {
        let values = Values(vec![
            ("message", "a request failed: archive-failed".to_owned()),
            ("http.route", "/dicom-web/studies/{study}".to_owned()),
            ("cause", "no file 1.2.840.113619.2".to_owned()),
        ]);
        let told = report(&values);
        assert_eq!(told.message.as_deref(), Some("a request failed: archive-failed"));
        assert_eq!(told.tags["http.route"], "/dicom-web/studies/{study}");
        assert_eq!(told.extra["cause"], "no file …");
        assert!(!Values::is_wanted("patient.name") && !Values::is_wanted("headers"));
    }
}
