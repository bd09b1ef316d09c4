//! E-mail by Amazon SES, API version 2: the whole message as one raw text, so that it is the same by whatever way.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clinical::clock::Clock;
use futures::future::BoxFuture;
use http::Method;
use serde_json::json;
use url::Url;

use super::http::{Answer, ask, health};
use super::mail::{Sender, compose};
use super::parts::{Parts, PartsError};
use super::sigv4::Signer;
use super::{Address, Health, Notifier, Outgoing, Provider, SendError, Sent};

const JSON: &str = "application/json";

/// One account of SES in one region.
pub(crate) struct Ses {
    sender: Sender,
    signer: Signer,
    base: Url,
    configuration_set: Option<String>,
    http: reqwest::Client,
    clock: Arc<dyn Clock>,
}

impl Ses {
    /// The key of an AWS user, its region, the sender, and `configurationSet` where one shall be used; `base` stands
    /// in the place of Amazon's address unless it is empty.
    ///
    /// # Errors
    ///
    /// [`PartsError`] when a part is missing or does not read.
    pub(crate) fn new(
        parts: &Parts,
        base: &str,
        http: reqwest::Client,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PartsError> {
        let signer = Signer::of(parts)?;
        let usual = format!("https://email.{}.amazonaws.com", signer.region());
        let base = super::base(base, &usual, "ses_base_url")?;
        let configuration_set = parts.get("configurationSet").map(str::to_owned);
        Ok(Self { sender: Sender::of(parts)?, signer, base, configuration_set, http, clock })
    }

    async fn call(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Answer, SendError> {
        let mut url = self.base.clone();
        url.set_path(path);
        let content_type = if body.is_empty() { "" } else { JSON };
        let now = self.clock.now();
        let mut request = self.http.request(method.clone(), url.clone());
        for (name, value) in self.signer.headers("ses", method.as_str(), &url, content_type, &body, now) {
            request = request.header(name, value);
        }
        if !content_type.is_empty() {
            request = request.header(http::header::CONTENT_TYPE, content_type);
        }
        ask(request.body(body)).await
    }
}

impl Notifier for Ses {
    fn provider(&self) -> Provider {
        Provider::AwsSes
    }

    fn takes(&self, to: &Address) -> bool {
        matches!(to, Address::Email(_))
    }

    fn send<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(async {
            let mail = compose(&self.sender, message, self.clock.now())?;
            let to: Vec<&str> = mail.envelope().to().iter().map(AsRef::as_ref).collect();
            let mut body = json!({
                "FromEmailAddress": self.sender.address(),
                "Destination": {"ToAddresses": to},
                "Content": {"Raw": {"Data": STANDARD.encode(mail.formatted())}},
            });
            if let Some(name) = &self.configuration_set {
                body["ConfigurationSetName"] = name.as_str().into();
            }
            let body = body.to_string().into_bytes();
            let answer = self.call(Method::POST, "/v2/email/outbound-emails", body).await?;
            if !answer.status.is_success() {
                return Err(refusal(&answer));
            }
            let id = answer.json()["MessageId"].as_str().map(str::to_owned);
            Ok(Sent { provider: Provider::AwsSes, provider_message_id: id })
        })
    }

    /// Asks about the sender's domain; that SES does not know it, or that the key may not look, says that it knows
    /// the key.
    fn probe(&self) -> BoxFuture<'_, Health> {
        Box::pin(async {
            let host = self.sender.host();
            let is_plain =
                host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
            let path = format!("/v2/email/identities/{}", if is_plain { host } else { "example.com" });
            let answer = self.call(Method::GET, &path, Vec::new()).await;
            match &answer {
                Ok(answer)
                    if matches!(code(answer).as_str(), "NotFoundException" | "AccessDeniedException") =>
                {
                    Health::Healthy
                }
                answer => health(answer),
            }
        })
    }
}

/// The stable name of a refusal, as the header or the body says it.
fn code(answer: &Answer) -> String {
    let header = answer.headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
    let json = answer.json();
    let name =
        header.or_else(|| json["__type"].as_str()).or_else(|| json["code"].as_str()).unwrap_or_default();
    let name = name.split(':').next().unwrap_or_default();
    name.rsplit('#').next().unwrap_or_default().to_owned()
}

/// Source: Amazon SES API v2, «SendEmail», errors, and «Common errors».
fn refusal(answer: &Answer) -> SendError {
    let code = code(answer);
    match code.as_str() {
        "TooManyRequestsException" | "LimitExceededException" | "ThrottlingException" | "Throttling" => {
            SendError::Throttled { retry_after: answer.retry_after() }
        }
        "AccountSuspendedException" | "SendingPausedException" | "MailFromDomainNotVerifiedException" => {
            SendError::Authentication(code)
        }
        // Among its meanings is a sender that the account may not use: the next provider is worth a try.
        "MessageRejected" | "MessageRejectedException" => SendError::Refused(code),
        _ => answer.refusal(&code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, StatusCode};

    fn refused(status: u16, kind: &str) -> SendError {
        let mut headers = HeaderMap::new();
        headers.insert("x-amzn-errortype", kind.parse().unwrap());
        refusal(&Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: Vec::new() })
    }

    #[test]
    fn a_refusal_says_whose_fault_it_was() {
        assert!(matches!(refused(400, "MessageRejected:http://internal/"), SendError::Refused(_)));
        assert!(matches!(refused(429, "TooManyRequestsException"), SendError::Throttled { .. }));
        assert!(matches!(refused(400, "SendingPausedException"), SendError::Authentication(_)));
        assert!(matches!(refused(403, "InvalidSignatureException"), SendError::Authentication(_)));
        assert!(matches!(refused(500, "InternalFailure"), SendError::Unreachable(_)));
    }
}
