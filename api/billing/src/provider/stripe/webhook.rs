//! Stripe's webhooks: `Stripe-Signature: t=…,v1=…` over `t.body`, and the event in it.
//!
//! Source: <https://docs.stripe.com/webhooks#verify-manually>.

use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use crate::provider::wire::signature;
use crate::provider::{ProviderEvent, Secret, Subject, WebhookError};

/// A signature is of now if it is no further from it.
pub const TOLERANCE: TimeDelta = TimeDelta::seconds(300);
/// No header that is looked at is longer.
const HEADER_BYTES: usize = 4 << 10;
/// No more signatures are tried: one a secret while it is being replaced.
const SIGNATURES: usize = 16;

/// What stands in the header.
#[derive(Debug, PartialEq, Eq)]
struct Signed<'a> {
    /// As it is written there, for that is what was signed.
    time: &'a str,
    at: i64,
    signatures: Vec<&'a str>,
}

impl<'a> Signed<'a> {
    fn parse(header: &'a str) -> Option<Self> {
        let (mut time, mut signatures) = (None, Vec::new());
        for part in header.split(',') {
            match part.trim().split_once('=') {
                Some(("t", value)) if time.is_none() => time = Some(value),
                Some(("t", _)) => return None,
                Some(("v1", value)) if signatures.len() < SIGNATURES => signatures.push(value),
                _ => {}
            }
        }
        let time = time.filter(|time| time.len() <= 19 && time.bytes().all(|byte| byte.is_ascii_digit()))?;
        let at = time.parse().ok()?;
        if signatures.is_empty() { None } else { Some(Self { time, at, signatures }) }
    }
}

#[derive(Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    account: Option<String>,
    #[serde(default)]
    created: Option<i64>,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    object: Value,
}

/// What a webhook told, if one of the secrets signed it within [`TOLERANCE`] of `now`.
pub(crate) fn verify(
    secrets: &[Secret],
    headers: &HeaderMap,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<ProviderEvent, WebhookError> {
    if secrets.is_empty() {
        return Err(WebhookError::NotSetUp);
    }
    let header = headers.get("stripe-signature").and_then(|value| value.to_str().ok());
    let header = header.filter(|text| text.len() <= HEADER_BYTES).ok_or(WebhookError::NotSigned)?;
    let signed = Signed::parse(header).ok_or(WebhookError::NotSigned)?;
    let content = [signed.time.as_bytes(), b".".as_slice(), body];
    let is_signed = secrets
        .iter()
        .any(|secret| signed.signatures.iter().any(|hex| signature::is_hmac(secret.expose(), &content, hex)));
    if !is_signed {
        return Err(WebhookError::WrongSignature);
    }
    if now.timestamp().abs_diff(signed.at) > TOLERANCE.num_seconds().unsigned_abs() {
        return Err(WebhookError::OutOfTime);
    }
    let event: Event = serde_json::from_slice(body).map_err(|_| WebhookError::Malformed)?;
    if event.id.is_empty() || event.id.len() > 255 || event.kind.len() > 255 {
        return Err(WebhookError::Malformed);
    }
    Ok(ProviderEvent {
        event_id: event.id,
        kind: event.kind,
        subject: subject(&event.data.object),
        account: event.account,
        happened_at: event.created.and_then(|at| DateTime::from_timestamp(at, 0)),
    })
}

/// What is to be read again: the payment wherever the object names one.
fn subject(object: &Value) -> Subject {
    let id = |name: &str| identifier(object.get(name));
    let own = id("id");
    let payment = id("payment_intent").map(Subject::Payment);
    let charge = || id("charge").map(Subject::Charge);
    let found = match object.get("object").and_then(Value::as_str) {
        Some("payment_intent") => own.map(Subject::Payment),
        Some("charge") => payment.or(own.map(Subject::Charge)),
        Some("refund") => payment.or_else(charge),
        Some("dispute") => own.map(Subject::Dispute),
        Some("subscription") => own.map(Subject::Subscription),
        Some("invoice" | "checkout.session") => {
            let details = object.pointer("/parent/subscription_details/subscription");
            let subscription = id("subscription").or_else(|| identifier(details));
            subscription.map(Subject::Subscription).or(payment)
        }
        _ => None,
    };
    found.unwrap_or(Subject::Nothing)
}

/// An identifier, or that of an object that stands in its place.
fn identifier(value: Option<&Value>) -> Option<String> {
    let value = value?;
    let text = value.as_str().or_else(|| value.get("id")?.as_str())?;
    (1..=255).contains(&text.len()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const BODY: &[u8] = br#"{"id":"evt_1","type":"charge.refunded","created":1700000000,
        "data":{"object":{"object":"charge","id":"ch_1","payment_intent":"pi_1"}}}"#;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_100, 0).unwrap()
    }

    fn sign(secret: &str, time: i64, body: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let content = [format!("{time}.").as_bytes(), body].concat();
        data_encoding::HEXLOWER.encode(hmac::sign(&key, &content).as_ref())
    }

    fn check(header: &str, secrets: &[&str]) -> Result<ProviderEvent, WebhookError> {
        let mut headers = HeaderMap::new();
        headers.insert("stripe-signature", header.parse().unwrap());
        let secrets: Vec<_> = secrets.iter().map(|secret| Secret::new(*secret)).collect();
        verify(&secrets, &headers, BODY, now())
    }

    #[test]
    fn any_of_two_secrets_and_two_signatures_will_do() {
        let (at, wrong) = (now().timestamp(), "0".repeat(64));
        let header = format!("t={at},v0=abc,v1={wrong},v1={}", sign("whsec_new", at, BODY));
        let event = check(&header, &["whsec_old", "whsec_new"]).unwrap();
        assert_eq!((event.event_id.as_str(), event.subject), ("evt_1", Subject::Payment("pi_1".to_owned())));
        assert_eq!(check(&header, &["whsec_old"]), Err(WebhookError::WrongSignature));
        assert_eq!(check(&header, &[]), Err(WebhookError::NotSetUp));
    }

    #[test]
    fn a_signature_holds_for_five_minutes_and_no_longer() {
        for (age, is_in_time) in [(0, true), (300, true), (301, false), (-300, true), (-301, false)] {
            let at = now().timestamp() - age;
            let told = check(&format!("t={at},v1={}", sign("whsec", at, BODY)), &["whsec"]);
            assert_eq!(told.is_ok(), is_in_time, "{age} s: {told:?}");
        }
    }

    /// The time is what was signed: it cannot be replaced by a fresher one, nor given twice.
    #[test]
    fn the_time_cannot_be_changed() {
        let (old, fresh) = (now().timestamp() - 1_000, now().timestamp());
        let tag = sign("whsec", old, BODY);
        assert_eq!(check(&format!("t={fresh},v1={tag}"), &["whsec"]), Err(WebhookError::WrongSignature));
        assert_eq!(check(&format!("t={fresh},t={old},v1={tag}"), &["whsec"]), Err(WebhookError::NotSigned));
    }

    #[test]
    fn an_object_names_what_to_read_again() {
        let of = |object: Value| subject(&object);
        assert_eq!(of(json!({"object": "dispute", "id": "dp_1"})), Subject::Dispute("dp_1".to_owned()));
        assert_eq!(of(json!({"object": "charge", "id": "ch_1"})), Subject::Charge("ch_1".to_owned()));
        let expanded = json!({"object": "refund", "payment_intent": {"id": "pi_2"}});
        assert_eq!(of(expanded), Subject::Payment("pi_2".to_owned()));
        let invoice =
            json!({"object": "invoice", "parent": {"subscription_details": {"subscription": "sub_1"}}});
        assert_eq!(of(invoice), Subject::Subscription("sub_1".to_owned()));
        assert_eq!(of(json!([1])), Subject::Nothing);
    }

    proptest! {
        #[test]
        fn no_header_and_no_body_make_it_panic(
            header in "[ -~]{0,200}",
            body in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut headers = HeaderMap::new();
            headers.insert("stripe-signature", header.parse().unwrap());
            prop_assert!(verify(&[Secret::new("whsec")], &headers, &body, now()).is_err());
        }

        #[test]
        fn a_header_like_ours_reads_back(
            at in 0_i64..=4_000_000_000,
            tags in proptest::collection::vec("[0-9a-f]{64}", 1..4),
        ) {
            let header = tags.iter().fold(format!("t={at}"), |header, tag| format!("{header},v1={tag}"));
            let signed = Signed::parse(&header).unwrap();
            prop_assert_eq!(signed.at, at);
            prop_assert_eq!(signed.signatures, tags.iter().map(String::as_str).collect::<Vec<_>>());
        }

        #[test]
        fn a_signed_event_of_any_shape_makes_no_panic(
            body in "\\{\"id\":\"e\",\"type\":\"x\",\"data\":\\{\"object\":[a-z0-9\":{},\\[\\]]{0,60}\\}\\}",
        ) {
            let at = now().timestamp();
            let mut headers = HeaderMap::new();
            let header = format!("t={at},v1={}", sign("s", at, body.as_bytes()));
            headers.insert("stripe-signature", header.parse().unwrap());
            let _ = verify(&[Secret::new("s")], &headers, body.as_bytes(), now()).is_ok();
        }
    }
}
