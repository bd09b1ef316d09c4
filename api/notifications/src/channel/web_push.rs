//! Pushes to browsers (RFC 8030): sealed for the browser (RFC 8291), signed by us (VAPID, RFC 8292).
//!
//! Own lines over aws-lc-rs: the crates for it (`web-push`, `ece`) bring OpenSSL or a second set of ciphers. The
//! RFCs' examples stand below, and npm's `web-push-testing` opens what is sent in this room's tests.

mod sealed;
mod vapid;

use std::sync::Arc;

use clinical::clock::Clock;
use futures::future::BoxFuture;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::json;
use url::Url;

pub(crate) use sealed::{receiver_key, receiver_secret};
pub(crate) use vapid::Vapid;

use super::http::{ask, shortened};
use super::{Address, Health, Notifier, Outgoing, Provider, PushUrgency, SendError, Sent, Subscription};

/// Push services keep a message for four weeks at most.
const LONGEST_TTL: u64 = 28 * 86_400;
/// The longest text of a push, in bytes of its JSON: a record of 4,096 bytes holds it (RFC 8291, section 4).
const LONGEST_TEXT: usize = 3_000;

/// Browsers, whoever their push services are.
pub(crate) struct WebPush {
    vapid: Arc<Vapid>,
    /// A client that speaks only with allowed machines.
    http: reqwest::Client,
    clock: Arc<dyn Clock>,
}

impl WebPush {
    /// `http` must be [`to_strangers`](super::reach::to_strangers): browsers name whom we call.
    pub(crate) fn new(vapid: Arc<Vapid>, http: reqwest::Client, clock: Arc<dyn Clock>) -> Self {
        Self { vapid, http, clock }
    }

    async fn push(&self, to: &Subscription, message: &Outgoing) -> Result<Sent, SendError> {
        let url: Url =
            to.endpoint().parse().map_err(|_| SendError::BadAddress("it is no address".to_owned()))?;
        let body = sealed::seal(to, &payload(message)).map_err(SendError::BadAddress)?;
        let authorization = self.vapid.authorization(&url, self.clock.now());
        let authorization = authorization.map_err(|error| SendError::Authentication(error.to_string()))?;
        let request = self
            .http
            .post(url)
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_ENCODING, "aes128gcm")
            .header(CONTENT_TYPE, "application/octet-stream")
            .header("ttl", message.ttl.as_secs().min(LONGEST_TTL))
            .header("urgency", urgency(message.urgency))
            // RFC 8030, section 5.4: at most 32 characters; a copy replaces what still waits.
            .header("topic", message.dedupe_id.simple().to_string())
            .body(body);
        let answer = ask(request).await?;
        let words = shortened(&answer.text());
        match answer.status.as_u16() {
            200..=299 => {
                let location = answer.headers.get(http::header::LOCATION);
                let id = location.and_then(|value| value.to_str().ok()).map(str::to_owned);
                Ok(Sent { provider: Provider::WebPush, provider_message_id: id })
            }
            // RFC 8030, section 7.3: the subscription has expired.
            404 | 410 => Err(SendError::BadAddress(format!("it answered {}", answer.status.as_u16()))),
            // The key is another than the one that the browser subscribed with.
            400 | 401 | 403
                if words.contains("VapidPkHashMismatch") || words.contains("do not correspond") =>
            {
                Err(SendError::BadAddress("the browser subscribed with another key".to_owned()))
            }
            413 => Err(SendError::Refused("the push is too long".to_owned())),
            _ => Err(answer.refusal(&words)),
        }
    }
}

impl Notifier for WebPush {
    fn provider(&self) -> Provider {
        Provider::WebPush
    }

    fn takes(&self, to: &Address) -> bool {
        matches!(to, Address::Browser(_))
    }

    fn send<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(async {
            match &message.to {
                Address::Browser(to) => self.push(to, message).await,
                _ => Err(SendError::Refused("the address is none of a browser".to_owned())),
            }
        })
    }

    /// There is no one to ask: each browser has a push service of its maker.
    fn probe(&self) -> BoxFuture<'_, Health> {
        Box::pin(async { Health::Unknown })
    }
}

/// RFC 8030, section 5.3.
pub(crate) fn urgency(urgency: PushUrgency) -> &'static str {
    match urgency {
        PushUrgency::Low => "low",
        PushUrgency::Normal => "normal",
        PushUrgency::High => "high",
    }
}

/// What the page's service worker reads; a text that does not fit is shortened.
fn payload(message: &Outgoing) -> Vec<u8> {
    let of = |text: &str| {
        json!({"id": message.dedupe_id, "title": message.subject, "body": text, "data": message.data})
            .to_string()
    };
    let whole = of(&message.text);
    if whole.len() <= LONGEST_TEXT {
        return whole.into_bytes();
    }
    // A character is at most six bytes as JSON writes it, or four as it is.
    let room = LONGEST_TEXT.saturating_sub(of("").len()) / 6;
    of(&message.text.chars().take(room).collect::<String>()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::testing::outgoing;

    #[test]
    fn a_long_text_is_shortened_to_what_a_record_holds() {
        for text in ["x".repeat(9_000), "\u{1}".repeat(9_000), "😀".repeat(9_000)] {
            let message = Outgoing { text, ..outgoing(Address::FcmToken("t".into())) };
            let payload = payload(&message);
            assert!(payload.len() <= LONGEST_TEXT, "{}", payload.len());
            let read: serde_json::Value = serde_json::from_slice(&payload).unwrap();
            assert!(!read["body"].as_str().unwrap().is_empty());
        }
    }
}
