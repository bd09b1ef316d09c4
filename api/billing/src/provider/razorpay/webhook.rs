//! Razorpay's webhooks: `X-Razorpay-Signature` is the HMAC-SHA-256 of the body.
//!
//! Neither the time nor `x-razorpay-event-id` is signed. A webhook that is sent again word for word is therefore
//! told by its own digest, and one that is old says nothing false: what it names is read again anyway.
//!
//! Source: <https://razorpay.com/docs/webhooks/validate-test>.

use chrono::DateTime;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use crate::provider::wire::signature;
use crate::provider::{ProviderEvent, Secret, Subject, WebhookError};

#[derive(Deserialize)]
struct Event {
    event: String,
    #[serde(default)]
    account_id: Option<String>,
    #[serde(default)]
    payload: Value,
    #[serde(default)]
    created_at: Option<i64>,
}

/// What a webhook told, if one of the secrets signed it.
pub(crate) fn verify(
    secrets: &[Secret],
    headers: &HeaderMap,
    body: &[u8],
) -> Result<ProviderEvent, WebhookError> {
    if secrets.is_empty() {
        return Err(WebhookError::NotSetUp);
    }
    let header = headers.get("x-razorpay-signature").and_then(|value| value.to_str().ok());
    let hex = header.filter(|text| text.len() == 64).ok_or(WebhookError::NotSigned)?;
    if !secrets.iter().any(|secret| signature::is_hmac(secret.expose(), &[body], hex)) {
        return Err(WebhookError::WrongSignature);
    }
    let event: Event = serde_json::from_slice(body).map_err(|_| WebhookError::Malformed)?;
    if event.event.is_empty() || event.event.len() > 255 {
        return Err(WebhookError::Malformed);
    }
    Ok(ProviderEvent {
        event_id: signature::sha256(&[body]),
        subject: subject(&event.event, &event.payload),
        kind: event.event,
        account: event.account_id,
        happened_at: event.created_at.and_then(|at| DateTime::from_timestamp(at, 0)),
    })
}

fn subject(kind: &str, payload: &Value) -> Subject {
    let field = |entity: &str, name: &str| {
        let text = payload.get(entity)?.get("entity")?.get(name)?.as_str()?;
        (1..=255).contains(&text.len()).then(|| text.to_owned())
    };
    let subscription = || field("subscription", "id").filter(|_| kind.starts_with("subscription."));
    None.or_else(|| field("dispute", "id").map(Subject::Dispute))
        .or_else(|| subscription().map(Subject::Subscription))
        .or_else(|| field("order", "id").map(Subject::Payment))
        .or_else(|| field("payment", "order_id").map(Subject::Payment))
        .or_else(|| field("payment", "id").map(Subject::Charge))
        .or_else(|| field("refund", "payment_id").map(Subject::Charge))
        .unwrap_or(Subject::Nothing)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn sign(secret: &str, body: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        data_encoding::HEXLOWER.encode(hmac::sign(&key, body).as_ref())
    }

    fn check(secret: &str, body: &[u8]) -> Result<ProviderEvent, WebhookError> {
        let mut headers = HeaderMap::new();
        headers.insert("x-razorpay-signature", sign(secret, body).parse().unwrap());
        verify(&[Secret::new("old"), Secret::new("new")], &headers, body)
    }

    #[test]
    fn the_same_body_is_the_same_event_and_another_is_another() {
        let payment = json!({"payment": {"entity": {"id": "pay_1", "order_id": "order_1"}}});
        let body = json!({"event": "payment.captured", "payload": payment}).to_string();
        let body = body.as_bytes();
        let event = check("new", body).unwrap();
        assert_eq!(event.subject, Subject::Payment("order_1".to_owned()));
        assert_eq!(check("old", body).unwrap().event_id, event.event_id);
        assert_eq!(check("other", body), Err(WebhookError::WrongSignature));
        let other = br#"{"event":"payment.captured"}"#;
        assert_ne!(check("new", other).unwrap().event_id, event.event_id);
    }

    #[test]
    fn an_entity_names_what_to_read_again() {
        let of = |kind: &str, payload: Value| subject(kind, &payload);
        let payment = json!({"entity": {"id": "pay_1", "order_id": null}});
        assert_eq!(of("payment.failed", json!({ "payment": payment })), Subject::Charge("pay_1".to_owned()));
        let refund = json!({"refund": {"entity": {"id": "rfnd_1", "payment_id": "pay_2"}}});
        assert_eq!(of("refund.processed", refund), Subject::Charge("pay_2".to_owned()));
        let dispute = json!({"payment": payment, "dispute": {"entity": {"id": "disp_1"}}});
        assert_eq!(of("payment.dispute.created", dispute), Subject::Dispute("disp_1".to_owned()));
        let charged = json!({"payment": payment, "subscription": {"entity": {"id": "sub_1"}}});
        assert_eq!(of("subscription.charged", charged), Subject::Subscription("sub_1".to_owned()));
        assert_eq!(of("x", json!(null)), Subject::Nothing);
    }

    proptest! {
        #[test]
        fn no_header_and_no_body_make_it_panic(
            header in "[ -~]{0,80}",
            body in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut headers = HeaderMap::new();
            headers.insert("x-razorpay-signature", header.parse().unwrap());
            prop_assert!(verify(&[Secret::new("s")], &headers, &body).is_err());
        }

        #[test]
        fn a_signed_body_of_any_kind_makes_no_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = check("new", &body).is_ok();
        }
    }
}
