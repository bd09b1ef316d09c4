//! WhatsApp's webhooks: what was sent, delivered, read, and what failed.
//!
//! The header `X-Hub-Signature-256` is `sha256=` and the HMAC of the body under the application's secret, in
//! hexadecimal digits.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, verify};
use chrono::DateTime;
use data_encoding::HEXLOWER_PERMISSIVE;
use serde_json::Value;

use super::{Call, WebhookError};
use crate::channel::parts::Parts;
use crate::channel::{Channel, Fate, Report};

/// What to answer when the webhook is set up: the challenge, where `token` is the one that was agreed on.
pub(crate) fn challenge<'c>(known: &[Parts], token: &str, challenge: &'c str) -> Option<&'c str> {
    let is_word = challenge.len() <= 256 && challenge.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_theirs = |agreed: &str| {
        aws_lc_rs::constant_time::verify_slices_are_equal(agreed.as_bytes(), token.as_bytes()).is_ok()
    };
    (is_word && known.iter().filter_map(|parts| parts.get("verifyToken")).any(is_theirs)).then_some(challenge)
}

pub(super) fn read(known: &[Parts], call: &Call<'_>) -> Result<Vec<Report>, WebhookError> {
    let signature = call.header("x-hub-signature-256").strip_prefix("sha256=").unwrap_or_default();
    let signature = HEXLOWER_PERMISSIVE.decode(signature.as_bytes()).map_err(|_| WebhookError::Signature)?;
    let is_signed =
        |secret: &str| verify(&Key::new(HMAC_SHA256, secret.as_bytes()), call.body, &signature).is_ok();
    if !known.iter().filter_map(|parts| parts.get("appSecret")).any(is_signed) {
        return Err(WebhookError::Signature);
    }
    let json: Value = serde_json::from_slice(call.body).map_err(|_| WebhookError::Malformed)?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let changes = list(&json["entry"]).into_iter().flat_map(|entry| list(&entry["changes"]));
    let statuses = changes.flat_map(|change| list(&change["value"]["statuses"]));
    Ok(statuses.filter_map(|status| report(&status, call)).collect())
}

fn report(status: &Value, call: &Call<'_>) -> Option<Report> {
    let code = status["errors"][0]["code"].as_i64();
    let fate = match (status["status"].as_str()?, code) {
        ("delivered", _) => Fate::Delivered,
        ("read", _) => Fate::Read,
        // no WhatsApp there; they take no such messages
        ("failed", Some(131_026)) => Fate::Bounced,
        ("failed", Some(131_050)) => Fate::Complained,
        ("failed", _) => Fate::Failed,
        _ => return None,
    };
    let seconds = status["timestamp"].as_str().and_then(|text| text.parse().ok());
    let at =
        seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0)).unwrap_or(call.now).min(call.now);
    Some(Report {
        provider_message_id: status["id"].as_str().map(str::to_owned),
        address: status["recipient_id"].as_str().map(|digits| format!("+{}", digits.trim_start_matches('+'))),
        reason: code.map(|code| format!("code {code}")),
        at,
        ..call.report(Channel::Whatsapp, fate)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::Provider;
    use aws_lc_rs::hmac::sign;
    use data_encoding::HEXLOWER;
    use http::HeaderMap;
    use serde_json::json;
    use storage::testing::now;

    fn parts() -> Vec<Parts> {
        let texts = [("appSecret", "s3cret"), ("verifyToken", "agreed")];
        vec![Parts::new(texts.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect())]
    }

    fn taken(status: Value, secret: &str) -> Result<Vec<Report>, WebhookError> {
        let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [
            {"field": "messages", "value": {"messaging_product": "whatsapp", "statuses": [status]}}
        ]}]});
        let body = body.to_string().into_bytes();
        let tag = HEXLOWER.encode(sign(&Key::new(HMAC_SHA256, secret.as_bytes()), &body).as_ref());
        let mut headers = HeaderMap::new();
        headers.insert("x-hub-signature-256", format!("sha256={tag}").parse().unwrap());
        let call = Call {
            provider: Provider::MetaBusiness,
            clinic: None,
            headers: &headers,
            body: &body,
            now: now(),
        };
        read(&parts(), &call)
    }

    #[test]
    fn a_status_is_believed_when_its_signature_holds() {
        let read = json!({"id": "wamid.1", "status": "read", "timestamp": "1789999999", "recipient_id": "4915112345678"});
        let reports = taken(read.clone(), "s3cret").unwrap();
        assert_eq!((reports[0].fate, reports[0].address.as_deref()), (Fate::Read, Some("+4915112345678")));
        assert_eq!(
            (reports[0].provider_message_id.as_deref(), reports[0].at.timestamp()),
            (Some("wamid.1"), 1_789_999_999)
        );
        assert!(matches!(taken(read, "guess"), Err(WebhookError::Signature)));
        let gone = json!({"id": "wamid.1", "status": "failed", "errors": [{"code": 131_026}]});
        assert_eq!(taken(gone, "s3cret").unwrap()[0].fate, Fate::Bounced);
        let sent = json!({"id": "wamid.1", "status": "sent"});
        assert!(taken(sent, "s3cret").unwrap().is_empty(), "that it was sent we know");
    }

    #[test]
    fn the_challenge_is_answered_to_who_knows_the_token() {
        assert_eq!(challenge(&parts(), "agreed", "1158201444"), Some("1158201444"));
        assert_eq!(challenge(&parts(), "guess", "1158201444"), None);
        assert_eq!(challenge(&parts(), "agreed", "<script>"), None, "it comes back as it was");
        assert_eq!(challenge(&[], "", "1"), None);
    }
}
