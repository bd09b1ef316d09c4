//! ZeptoMail's webhooks: bounces, complaints, and what was delivered.
//!
//! The header `producer-signature` is `ts=…;s=…;s-algorithm=HmacSHA256`, where `s` is the base64 of an HMAC over the
//! event, which comes as JSON or as the first field of a form. `ts` is not signed.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, verify};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use url::form_urlencoded;

use super::{Call, WebhookError, email_key, instant};
use crate::channel::http::shortened;
use crate::channel::parts::Parts;
use crate::channel::{Channel, Fate, Report};

pub(super) fn read(known: &[Parts], call: &Call<'_>) -> Result<Vec<Report>, WebhookError> {
    let event = event(call.body);
    if !known.iter().filter_map(|parts| parts.get("webhookKey")).any(|key| is_signed(key, call, &event)) {
        return Err(WebhookError::Signature);
    }
    let json: Value = serde_json::from_slice(&event).map_err(|_| WebhookError::Malformed)?;
    let name = first(&json["event_name"]).as_str().unwrap_or_default().to_owned();
    let Some(fate) = fate(&name) else { return Ok(Vec::new()) };
    let messages = json["event_message"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(messages.iter().flat_map(|message| reports(message, fate, call)).collect())
}

/// What was signed: the body, or the first field of a form.
fn event(body: &[u8]) -> Vec<u8> {
    if body.trim_ascii_start().starts_with(b"{") {
        return body.to_vec();
    }
    let field = form_urlencoded::parse(body).next();
    field.map(|(_, value)| value.into_owned().into_bytes()).unwrap_or_default()
}

fn is_signed(key: &str, call: &Call<'_>, event: &[u8]) -> bool {
    let fields =
        call.header("producer-signature").split(';').filter_map(|field| field.trim().split_once('='));
    let Some((_, signature)) = fields.into_iter().find(|(name, _)| *name == "s") else { return false };
    // It is written as in an address: `%2B` for `+`.
    let signature = form_urlencoded::parse(format!("s={}", signature.replace('+', "%2B")).as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default();
    let Ok(signature) = STANDARD.decode(signature) else { return false };
    verify(&Key::new(HMAC_SHA256, key.as_bytes()), event, &signature).is_ok()
}

/// Names are lists in ZeptoMail's events, mostly.
fn first(value: &Value) -> &Value {
    value.as_array().and_then(|list| list.first()).unwrap_or(value)
}

fn fate(event: &str) -> Option<Fate> {
    match event.trim_start_matches("email_") {
        "hardbounce" => Some(Fate::Bounced),
        "softbounce" => Some(Fate::Failed),
        "delivered" | "delivery" => Some(Fate::Delivered),
        "feedback_loop" | "fbl" | "spam" => Some(Fate::Complained),
        "open" => Some(Fate::Read),
        _ => None,
    }
}

/// One for each recipient; details name those who bounced.
fn reports(message: &Value, fate: Fate, call: &Call<'_>) -> Vec<Report> {
    let info = &message["email_info"];
    let details = first(&first(&message["event_data"])["details"]);
    let id = message["request_id"].as_str().or_else(|| info["email_reference"].as_str()).map(str::to_owned);
    let bounced = details["bounced_recipient"].as_str();
    let to = info["to"].as_array().map(Vec::as_slice).unwrap_or_default();
    let to = to.iter().filter_map(|it| it["email_address"]["address"].as_str());
    let mut addresses: Vec<String> = match bounced {
        Some(one) => email_key(one).into_iter().collect(),
        None => to.filter_map(email_key).collect(),
    };
    // Whom a report is about is known beyond doubt only where the message went to one.
    if bounced.is_none() && addresses.len() > 1 {
        addresses.clear();
    }
    vec![Report {
        provider_message_id: id,
        address: addresses.pop(),
        reason: details["reason"].as_str().map(|why| shortened(&without_addresses(why))),
        at: instant(details["time"].as_str().unwrap_or_default(), call.now),
        ..call.report(Channel::Email, fate)
    }]
}

/// Words in which no address stands.
pub(super) fn without_addresses(words: &str) -> String {
    let words = words.split_whitespace().map(|word| if word.contains('@') { "…" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::Provider;
    use aws_lc_rs::hmac::sign;
    use http::HeaderMap;
    use serde_json::json;
    use storage::testing::now;

    fn parts() -> Vec<Parts> {
        vec![Parts::new([("webhookKey".to_owned(), "s3cret".to_owned())].into())]
    }

    fn bounce() -> Vec<u8> {
        json!({
            "event_name": ["hardbounce"],
            "event_message": [{
                "request_id": "2d6f.1",
                "email_info": {"to": [{"email_address": {"address": "Ana@Example.org"}}]},
                "event_data": [{"object": "hardbounce", "details": [
                    {"reason": "550 5.1.1 <ana@example.org> unknown", "time": "2026-09-21T00:00:00+00:00"}
                ]}]
            }],
            "webhook_request_id": "1"
        })
        .to_string()
        .into_bytes()
    }

    fn taken(body: &[u8], signed: &[u8], key: &str) -> Result<Vec<Report>, WebhookError> {
        let tag = STANDARD.encode(sign(&Key::new(HMAC_SHA256, key.as_bytes()), signed));
        let tag = form_urlencoded::byte_serialize(tag.as_bytes()).collect::<String>();
        let mut headers = HeaderMap::new();
        let header = format!("ts=1790000000000;s={tag};s-algorithm=HmacSHA256");
        headers.insert("producer-signature", header.parse().unwrap());
        let call = Call { provider: Provider::Zeptomail, clinic: None, headers: &headers, body, now: now() };
        read(&parts(), &call)
    }

    #[test]
    fn a_bounce_is_believed_when_its_signature_holds() {
        let body = bounce();
        let reports = taken(&body, &body, "s3cret").unwrap();
        let [report] = reports.as_slice() else { panic!("one message, one report") };
        assert_eq!((report.fate, report.address.as_deref()), (Fate::Bounced, Some("ana@example.org")));
        assert_eq!(report.provider_message_id.as_deref(), Some("2d6f.1"));
        assert_eq!(report.reason.as_deref(), Some("550 5.1.1 … unknown"));
        assert_eq!(report.at.to_rfc3339(), "2026-09-21T00:00:00+00:00");
        let form = format!("data={}", form_urlencoded::byte_serialize(&body).collect::<String>());
        assert_eq!(taken(form.as_bytes(), &body, "s3cret").unwrap(), reports, "as a form");
    }

    #[test]
    fn a_forged_report_is_refused() {
        let body = bounce();
        assert!(matches!(taken(&body, &body, "guess"), Err(WebhookError::Signature)));
        assert!(matches!(taken(&body, b"{}", "s3cret"), Err(WebhookError::Signature)));
        let headers = HeaderMap::new();
        let call =
            Call { provider: Provider::Zeptomail, clinic: None, headers: &headers, body: &body, now: now() };
        assert!(matches!(read(&parts(), &call), Err(WebhookError::Signature)));
        assert!(matches!(read(&[], &call), Err(WebhookError::Signature)), "nobody has set a key");
    }
}
