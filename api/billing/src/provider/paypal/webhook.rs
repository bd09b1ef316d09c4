//! PayPal's webhooks: PayPal itself is asked whether it signed them.
//!
//! What is signed is `transmission id | time | webhook id | CRC-32 of the body`. The body goes into the question byte
//! by byte, for written anew it would have another checksum. What can be refused without asking is: a header that is
//! missing, a body that is no JSON, a transmission older than PayPal's own three days of trying.
//!
//! Source: <https://developer.paypal.com/api/rest/webhooks/rest/#verify-webhook-signature>.

use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::provider::{ProviderEvent, Subject, WebhookError};

/// PayPal tries to bring a webhook for so long.
pub const TOLERANCE: TimeDelta = TimeDelta::hours(72);
/// Clocks differ by less.
const SLACK: TimeDelta = TimeDelta::seconds(300);
/// No header that is passed on is longer (`transmission_sig` and `cert_url` have 500 at most).
const HEADER_BYTES: usize = 1 << 10;

#[derive(Serialize)]
struct Question<'a> {
    auth_algo: &'a str,
    cert_url: &'a str,
    transmission_id: &'a str,
    transmission_sig: &'a str,
    transmission_time: &'a str,
    webhook_id: &'a str,
    webhook_event: &'a RawValue,
}

#[derive(Deserialize)]
struct Event {
    id: String,
    event_type: String,
    #[serde(default)]
    create_time: Option<DateTime<Utc>>,
    #[serde(default)]
    resource_type: Option<String>,
    #[serde(default)]
    resource: Value,
}

/// What PayPal is asked, word for word.
pub(super) fn question(
    webhook_id: &str,
    headers: &HeaderMap,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<String, WebhookError> {
    let header = |name: &str| {
        let text = headers.get(name).and_then(|value| value.to_str().ok());
        text.filter(|text| (1..=HEADER_BYTES).contains(&text.len())).ok_or(WebhookError::NotSigned)
    };
    let time = header("paypal-transmission-time")?;
    let sent_at = DateTime::parse_from_rfc3339(time).map_err(|_| WebhookError::NotSigned)?.to_utc();
    if now - sent_at > TOLERANCE || sent_at - now > SLACK {
        return Err(WebhookError::OutOfTime);
    }
    let question = Question {
        auth_algo: header("paypal-auth-algo")?,
        cert_url: header("paypal-cert-url")?,
        transmission_id: header("paypal-transmission-id")?,
        transmission_sig: header("paypal-transmission-sig")?,
        transmission_time: time,
        webhook_id,
        webhook_event: serde_json::from_slice(body).map_err(|_| WebhookError::Malformed)?,
    };
    serde_json::to_string(&question).map_err(|_| WebhookError::Malformed)
}

/// What a body told that PayPal says it signed.
pub(super) fn event(body: &[u8]) -> Result<ProviderEvent, WebhookError> {
    let event: Event = serde_json::from_slice(body).map_err(|_| WebhookError::Malformed)?;
    if event.id.is_empty() || event.id.len() > 255 || event.event_type.len() > 255 {
        return Err(WebhookError::Malformed);
    }
    Ok(ProviderEvent {
        subject: subject(&event),
        event_id: event.id,
        kind: event.event_type,
        account: None,
        happened_at: event.create_time,
    })
}

fn subject(event: &Event) -> Subject {
    let text = |pointer: &str| identifier(event.resource.pointer(pointer)?.as_str()?);
    let order = text("/supplementary_data/related_ids/order_id").map(Subject::Payment);
    let found = match event.resource_type.as_deref() {
        Some("checkout-order") => text("/id").map(Subject::Payment),
        Some("capture") => order.or(text("/id").map(Subject::Charge)),
        Some("authorization") => order,
        Some("refund") => order.or(capture_above(&event.resource).map(Subject::Charge)),
        Some("dispute") => text("/dispute_id").map(Subject::Dispute),
        Some("subscription") => text("/id").map(Subject::Subscription),
        Some("sale") => text("/billing_agreement_id").map(Subject::Subscription),
        _ => None,
    };
    found.unwrap_or(Subject::Nothing)
}

/// The capture that a refund is of stands in its link `up` alone.
fn capture_above(resource: &Value) -> Option<String> {
    let links = resource.get("links")?.as_array()?;
    let up = links.iter().find(|link| link.get("rel").and_then(Value::as_str) == Some("up"))?;
    let (_, id) = up.get("href")?.as_str()?.rsplit_once("/captures/")?;
    identifier(id)
}

fn identifier(text: &str) -> Option<String> {
    (1..=255).contains(&text.len()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NAMES: [&str; 5] = [
        "paypal-auth-algo",
        "paypal-cert-url",
        "paypal-transmission-id",
        "paypal-transmission-sig",
        "paypal-transmission-time",
    ];

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }

    fn headers(age: TimeDelta) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for name in NAMES {
            headers.insert(name, "x".parse().unwrap());
        }
        let time = (now() - age).to_rfc3339();
        headers.insert("paypal-transmission-time", time.parse().unwrap());
        headers
    }

    /// The checksum is of the bytes: spaces and the order of fields must stay.
    #[test]
    fn the_body_goes_into_the_question_as_it_came() {
        let body = br#"{ "b":1,   "a" : 1.50 }"#;
        let question = question("WH1", &headers(TimeDelta::zero()), body, now()).unwrap();
        assert!(question.contains(r#""webhook_event":{ "b":1,   "a" : 1.50 }"#), "{question}");
    }

    #[test]
    fn what_lacks_a_header_or_is_out_of_time_is_not_asked_about() {
        for name in NAMES {
            let mut headers = headers(TimeDelta::zero());
            headers.remove(name);
            assert_eq!(question("WH1", &headers, b"{}", now()), Err(WebhookError::NotSigned), "{name}");
        }
        let asked = |age| question("WH1", &headers(age), b"{}", now());
        assert!(asked(TimeDelta::hours(72)).is_ok());
        assert_eq!(asked(TimeDelta::hours(73)), Err(WebhookError::OutOfTime));
        assert_eq!(asked(TimeDelta::minutes(-6)), Err(WebhookError::OutOfTime));
    }

    #[test]
    fn a_resource_names_what_to_read_again() {
        let of = |kind: &str, resource: Value| {
            let body = json!({"id": "WH-1", "event_type": "X", "resource_type": kind, "resource": resource});
            event(body.to_string().as_bytes()).unwrap().subject
        };
        let capture = json!({"id": "2GG", "supplementary_data": {"related_ids": {"order_id": "5O1"}}});
        assert_eq!(of("capture", capture), Subject::Payment("5O1".to_owned()));
        let refund = json!({"id": "1JU", "links": [
            {"rel": "self", "href": "https://api.paypal.com/v2/payments/refunds/1JU"},
            {"rel": "up", "href": "https://api.paypal.com/v2/payments/captures/2GG"},
        ]});
        assert_eq!(of("refund", refund), Subject::Charge("2GG".to_owned()));
        assert_eq!(of("dispute", json!({"dispute_id": "PP-D-1"})), Subject::Dispute("PP-D-1".to_owned()));
        assert_eq!(of("plan", json!({"id": "P-1"})), Subject::Nothing);
    }

    proptest! {
        #[test]
        fn no_header_and_no_body_make_it_panic(
            values in proptest::collection::vec("[ -~]{0,40}", 5),
            body in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in NAMES.into_iter().zip(&values) {
                headers.insert(name, value.parse().unwrap());
            }
            prop_assert!(question("WH1", &headers, &body, now()).is_err());
            let _ = event(&body).is_ok();
        }
    }
}
