//! `AuditEvent`: the trail, for those who keep watch.

use axum::extract::State;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use clinical::fhir;
use clinical::id::{AuditId, PatientId};
use gate::{App, Caller, Problem, Query};
use serde::Deserialize;
use storage::audit::{Filter, search as search_trail};
use utoipa::IntoParams;

use crate::Fhir;
use crate::asked::Asked;

/// Which events are asked for; the handler reads `date` as often as it stands there.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct Search {
    /// `Patient/{id}`, or the identifier alone.
    #[param(
        pattern = "^(Patient/)?[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
    )]
    patient: Option<String>,
    /// A day or an instant, with one of the prefixes eq, ge, gt, le, lt; it may stand twice.
    #[expect(dead_code, reason = "it tells the document what the pairs of the query are read for")]
    #[serde(skip)]
    date: Option<String>,
}

/// `GET /fhir/R4/AuditEvent?patient=…&date=ge…&date=lt…`: newest first.
pub(crate) async fn search(
    State(app): State<App>,
    caller: Caller,
    asked: Asked,
    Query(search): Query<Search>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Fhir, Problem> {
    let mut filter = Filter::default();
    if let Some(text) = search.patient {
        let id: Result<PatientId, _> = text.strip_prefix("Patient/").unwrap_or(&text).parse();
        let wrong = |_| Problem::bad_request("invalid-query", "patient is Patient/ and the id of a Patient");
        filter.patient_id = Some(id.map_err(wrong)?);
    }
    for (_, text) in pairs.iter().filter(|(name, _)| name == "date") {
        let wrong =
            || Problem::bad_request("invalid-query", "date is eq, ge, gt, le or lt and a day or an instant");
        narrow(&mut filter, text).ok_or_else(wrong)?;
    }
    let mut rows = app.db.of(caller.clinic).read().await?;
    let after = asked.after.map(AuditId);
    let found = search_trail(&mut rows, caller.clinic, &filter, after, asked.rows()).await?;
    let events = found.iter().map(|line| (line.audit_id.0, fhir::audit_event(line.audit_id, &line.entry)));
    Ok(asked.bundle(None, events.collect()))
}

/// Narrows the span of `filter` to what one `date` says (FHIR R4, section 3.1.1.4.7); `None` when it does not read.
fn narrow(filter: &mut Filter, text: &str) -> Option<()> {
    let prefix = ["eq", "ge", "gt", "le", "lt"].into_iter().find(|prefix| text.starts_with(prefix));
    let (first, end) = span(text.strip_prefix(prefix.unwrap_or_default())?)?;
    let (from, to) = match prefix.unwrap_or("eq") {
        "ge" => (Some(first), None),
        "gt" => (Some(end), None),
        "le" => (None, Some(end)),
        "lt" => (None, Some(first)),
        _ => (Some(first), Some(end)),
    };
    filter.from = filter.from.max(from);
    filter.to = [filter.to, to].into_iter().flatten().min();
    Some(())
}

/// The first instant of a day or an instant, and the first behind it.
fn span(text: &str) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        let begin = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
        return Some((begin(day), begin(day.checked_add_days(Days::new(1))?)));
    }
    let at = text.parse::<DateTime<Utc>>().ok()?;
    Some((at, at.checked_add_signed(TimeDelta::microseconds(1))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrowed(texts: &[&str]) -> Option<(Option<String>, Option<String>)> {
        let mut filter = Filter::default();
        for text in texts {
            narrow(&mut filter, text)?;
        }
        let text = |at: Option<DateTime<Utc>>| at.map(|at| at.to_rfc3339());
        Some((text(filter.from), text(filter.to)))
    }

    #[test]
    fn the_prefixes_bound_the_span() {
        let at = |text: &str| Some(format!("{text}T00:00:00+00:00"));
        assert_eq!(narrowed(&["2026-01-01"]), Some((at("2026-01-01"), at("2026-01-02"))));
        assert_eq!(narrowed(&["ge2026-01-01", "lt2026-02-01"]), Some((at("2026-01-01"), at("2026-02-01"))));
        assert_eq!(narrowed(&["gt2026-01-01", "le2026-01-31"]), Some((at("2026-01-02"), at("2026-02-01"))));
        let instant = narrowed(&["ge2026-01-01T10:00:00Z"]).unwrap();
        assert_eq!(instant, (Some("2026-01-01T10:00:00+00:00".to_owned()), None));
        for odd in ["", "ge", "2026", "ne2026-01-01", "x"] {
            assert_eq!(narrowed(&[odd]), None, "{odd}");
        }
    }
}
