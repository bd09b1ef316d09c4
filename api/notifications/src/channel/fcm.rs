//! Pushes by Firebase Cloud Messaging, HTTP version 1; the service account's token is kept while it is good.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clinical::clock::Clock;
use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use url::Url;

use super::http::{Answer, ask, shortened};
use super::jws::TokenKey;
use super::parts::{Parts, PartsError};
use super::{Address, Health, Notifier, Outgoing, Provider, PushUrgency, SendError, Sent};

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// RFC 7523, section 2.1.
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
/// A token is used no more when it has so long to live.
const MARGIN: Duration = Duration::from_secs(60);
/// The longest that a token is kept, whatever Google says.
const LONGEST: Duration = Duration::from_secs(3_600);
/// FCM keeps a message for four weeks at most.
const LONGEST_TTL: u64 = 28 * 86_400;

/// The parts of a service account's key file that are used. Its `token_uri` is not: who writes the file would
/// choose whom we ask.
#[derive(Deserialize)]
struct ServiceAccount {
    project_id: String,
    client_email: String,
    private_key: String,
    #[serde(default)]
    private_key_id: String,
}

/// One Firebase project.
pub(crate) struct Fcm {
    client_email: String,
    key: TokenKey,
    key_id: String,
    send_url: Url,
    token_url: Url,
    http: reqwest::Client,
    clock: Arc<dyn Clock>,
    /// The access token, and until when it is used.
    token: Mutex<Option<(String, Instant)>>,
}

impl Fcm {
    /// `serviceAccount`, the text of the key file; the bases stand in the place of Google's addresses unless they
    /// are empty.
    ///
    /// # Errors
    ///
    /// [`PartsError`] when the key file does not read.
    pub(crate) fn new(
        parts: &Parts,
        base: &str,
        token_url: &str,
        http: reqwest::Client,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PartsError> {
        let account: ServiceAccount = serde_json::from_str(parts.need("serviceAccount")?).map_err(|_| {
            PartsError::Malformed("serviceAccount", "it is the JSON of a service account's key file")
        })?;
        let project = account.project_id;
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':');
        if project.is_empty()
            || project.len() > 64
            || project.starts_with('.')
            || !project.bytes().all(is_word)
        {
            return Err(PartsError::Malformed("project_id", "it has letters, digits and hyphens"));
        }
        let mut send_url = super::base(base, "https://fcm.googleapis.com", "fcm_base_url")?;
        send_url.set_path(&format!("/v1/projects/{project}/messages:send"));
        Ok(Self {
            client_email: account.client_email,
            key: TokenKey::from_pem(&account.private_key)?,
            key_id: account.private_key_id,
            send_url,
            token_url: super::base(token_url, TOKEN_URL, "fcm_token_url")?,
            http,
            clock,
            token: Mutex::new(None),
        })
    }

    /// The access token; one caller asks for it and the others wait for theirs.
    async fn token(&self) -> Result<String, SendError> {
        let mut kept = self.token.lock().await;
        if let Some((token, until)) = &*kept
            && Instant::now() < *until
        {
            return Ok(token.clone());
        }
        let now = self.clock.now().timestamp();
        let claims = json!({
            "iss": self.client_email, "scope": SCOPE, "aud": self.token_url.as_str(), "iat": now, "exp": now + 3_600,
        });
        let assertion = self.key.sign(json!({"kid": self.key_id}), &claims);
        let assertion = assertion.map_err(|error| SendError::Authentication(error.to_string()))?;
        let form = [("grant_type", GRANT), ("assertion", assertion.as_str())];
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.http.post(self.token_url.clone());
        let form = "application/x-www-form-urlencoded";
        let answer = ask(request.header(http::header::CONTENT_TYPE, form).body(body)).await?;
        let json = answer.json();
        if !answer.status.is_success() {
            let why = shortened(json["error"].as_str().unwrap_or("no token"));
            // RFC 6749, section 5.2: a refusal of the client or its grant comes as 400 or 401.
            let is_ours = answer.status.is_client_error() && answer.status.as_u16() != 429;
            return Err(if is_ours { SendError::Authentication(why) } else { answer.refusal(&why) });
        }
        let Some(token) = json["access_token"].as_str() else {
            return Err(SendError::Unreachable("the answer holds no token".to_owned()));
        };
        let lives = Duration::from_secs(json["expires_in"].as_u64().unwrap_or(0)).min(LONGEST);
        *kept = Some((token.to_owned(), Instant::now() + lives.saturating_sub(MARGIN)));
        Ok(token.to_owned())
    }

    async fn push(&self, token: &str, message: &Outgoing) -> Result<Sent, SendError> {
        let bearer = self.token().await?;
        let body = json!({"message": shape(token, message, self.clock.now().timestamp())});
        let answer = ask(self.http.post(self.send_url.clone()).bearer_auth(bearer).json(&body)).await?;
        if !answer.status.is_success() {
            let refusal = refusal(&answer);
            if matches!(refusal, SendError::Authentication(_)) {
                *self.token.lock().await = None;
            }
            return Err(refusal);
        }
        let id = answer.json()["name"].as_str().map(str::to_owned);
        Ok(Sent { provider: Provider::FirebaseFcm, provider_message_id: id })
    }
}

impl Notifier for Fcm {
    fn provider(&self) -> Provider {
        Provider::FirebaseFcm
    }

    fn takes(&self, to: &Address) -> bool {
        matches!(to, Address::FcmToken(_))
    }

    fn send<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(async {
            match &message.to {
                Address::FcmToken(token) => self.push(token, message).await,
                _ => Err(SendError::Refused("the address is none of Firebase".to_owned())),
            }
        })
    }

    /// Whether Google gives a token for the key.
    fn probe(&self) -> BoxFuture<'_, Health> {
        Box::pin(async {
            match self.token().await {
                Ok(_) => Health::Healthy,
                Err(SendError::Authentication(_) | SendError::Refused(_)) => Health::Refusing,
                Err(_) => Health::Down,
            }
        })
    }
}

/// The message as FCM wants it for Android, Apple's devices and browsers; copies of one replace each other.
///
/// Source: FCM's REST reference, `projects.messages`.
fn shape(token: &str, message: &Outgoing, now: i64) -> Value {
    let ttl = message.ttl.as_secs().min(LONGEST_TTL);
    let is_urgent = message.urgency == PushUrgency::High;
    let id = message.dedupe_id.to_string();
    let expires = now.saturating_add(i64::try_from(ttl).unwrap_or(i64::MAX));
    json!({
        "token": token,
        "notification": {"title": message.subject, "body": message.text},
        "data": message.data,
        "android": {
            "priority": if is_urgent { "HIGH" } else { "NORMAL" },
            "ttl": format!("{ttl}s"),
            "collapse_key": id,
        },
        "apns": {"headers": {
            "apns-priority": if is_urgent { "10" } else { "5" },
            "apns-expiration": expires.to_string(),
            "apns-collapse-id": id,
        }},
        "webpush": {"headers": {"TTL": ttl.to_string(), "Urgency": super::web_push::urgency(message.urgency)}},
    })
}

/// Source: FCM's REST reference, `ErrorCode`, and `google.rpc.BadRequest`.
fn refusal(answer: &Answer) -> SendError {
    let json = answer.json();
    let error = &json["error"];
    let details = error["details"].as_array().map(Vec::as_slice).unwrap_or_default();
    let code = details.iter().find_map(|detail| detail["errorCode"].as_str());
    let code = code.or_else(|| error["status"].as_str()).unwrap_or_default();
    let violations = details.iter().filter_map(|detail| detail["fieldViolations"].as_array()).flatten();
    let is_about_the_token = violations.into_iter().any(|it| it["field"].as_str() == Some("message.token"));
    match code {
        "UNREGISTERED" | "SENDER_ID_MISMATCH" => SendError::BadAddress(code.to_owned()),
        "INVALID_ARGUMENT" if is_about_the_token => SendError::BadAddress(code.to_owned()),
        "INVALID_ARGUMENT" => SendError::Refused(code.to_owned()),
        "QUOTA_EXCEEDED" | "RESOURCE_EXHAUSTED" => SendError::Throttled { retry_after: answer.retry_after() },
        "THIRD_PARTY_AUTH_ERROR" | "UNAUTHENTICATED" | "PERMISSION_DENIED" => {
            SendError::Authentication(code.to_owned())
        }
        "UNAVAILABLE" | "INTERNAL" => SendError::Unreachable(code.to_owned()),
        _ => answer.refusal(&shortened(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::testing::outgoing;
    use http::{HeaderMap, StatusCode};

    fn refused(status: u16, code: &str, more: Value) -> SendError {
        let kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
        let body = json!({"error": {"code": status, "status": "X", "details": [
            {"@type": kind, "errorCode": code}, more
        ]}});
        let status = StatusCode::from_u16(status).unwrap();
        refusal(&Answer { status, headers: HeaderMap::new(), body: body.to_string().into_bytes() })
    }

    #[test]
    fn a_refusal_says_whose_fault_it_was() {
        assert!(matches!(refused(404, "UNREGISTERED", Value::Null), SendError::BadAddress(_)));
        let field = json!({"fieldViolations": [{"field": "message.token"}]});
        assert!(matches!(refused(400, "INVALID_ARGUMENT", field), SendError::BadAddress(_)));
        assert!(matches!(refused(400, "INVALID_ARGUMENT", Value::Null), SendError::Refused(_)));
        assert!(matches!(refused(429, "QUOTA_EXCEEDED", Value::Null), SendError::Throttled { .. }));
        assert!(matches!(refused(401, "THIRD_PARTY_AUTH_ERROR", Value::Null), SendError::Authentication(_)));
        assert!(matches!(refused(503, "UNAVAILABLE", Value::Null), SendError::Unreachable(_)));
    }

    #[test]
    fn an_urgent_push_wakes_the_device_and_ends_in_time() {
        let message = shape("t", &outgoing(Address::FcmToken("t".into())), 1_000);
        assert_eq!(
            (&message["android"]["priority"], &message["android"]["ttl"]),
            (&"HIGH".into(), &"3600s".into())
        );
        let apns = &message["apns"]["headers"];
        assert_eq!((&apns["apns-priority"], &apns["apns-expiration"]), (&"10".into(), &"4600".into()));
        assert_eq!(message["webpush"]["headers"]["Urgency"], "high");
    }
}
