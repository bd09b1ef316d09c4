//! Short messages, and pushes to registered devices, by Amazon SNS (its query interface of 2010-03-31).

use std::sync::Arc;

use clinical::clock::Clock;
use futures::future::BoxFuture;
use http::Method;
use http::header::CONTENT_TYPE;
use serde_json::json;
use url::{Url, form_urlencoded};

use super::http::{Answer, ask, health};
use super::parts::{Parts, PartsError};
use super::sigv4::Signer;
use super::{Address, Health, Notifier, Outgoing, Provider, SendError, Sent};

const FORM: &str = "application/x-www-form-urlencoded";
/// The longest short message, in characters; SNS parts it into several beyond 140 bytes.
const SMS_CHARACTERS: usize = 1_600;

/// One account of SNS in one region.
pub(crate) struct Sns {
    signer: Signer,
    sender_id: Option<String>,
    base: Url,
    http: reqwest::Client,
    clock: Arc<dyn Clock>,
}

impl Sns {
    /// The key of an AWS user, its region, and `senderId` where countries show one; `base` stands in the place of
    /// Amazon's address unless it is empty.
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
        let usual = format!("https://sns.{}.amazonaws.com", signer.region());
        let base = super::base(base, &usual, "sns_base_url")?;
        let sender_id = parts.get("senderId").map(str::to_owned);
        Ok(Self { signer, sender_id, base, http, clock })
    }

    async fn call(&self, fields: &[(&str, &str)]) -> Result<Answer, SendError> {
        let body = {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair("Version", "2010-03-31").extend_pairs(fields).finish().into_bytes()
        };
        let now = self.clock.now();
        let mut request = self.http.request(Method::POST, self.base.clone()).header(CONTENT_TYPE, FORM);
        for (name, value) in self.signer.headers("sns", "POST", &self.base, FORM, &body, now) {
            request = request.header(name, value);
        }
        ask(request.body(body)).await
    }

    async fn publish(&self, message: &Outgoing) -> Result<Sent, SendError> {
        let ttl = message.ttl.as_secs().to_string();
        let push;
        let mut fields = vec![("Action", "Publish")];
        match &message.to {
            Address::Sms(number) => {
                if message.text.chars().count() > SMS_CHARACTERS {
                    return Err(SendError::Refused(format!(
                        "a short message has at most {SMS_CHARACTERS} characters"
                    )));
                }
                fields.extend([
                    ("PhoneNumber", number.as_str()),
                    ("Message", message.text.as_str()),
                    ("MessageAttributes.entry.1.Name", "AWS.SNS.SMS.SMSType"),
                    ("MessageAttributes.entry.1.Value.DataType", "String"),
                    ("MessageAttributes.entry.1.Value.StringValue", "Transactional"),
                ]);
                if let Some(sender) = &self.sender_id {
                    fields.extend([
                        ("MessageAttributes.entry.2.Name", "AWS.SNS.SMS.SenderID"),
                        ("MessageAttributes.entry.2.Value.DataType", "String"),
                        ("MessageAttributes.entry.2.Value.StringValue", sender.as_str()),
                    ]);
                }
            }
            Address::SnsEndpoint(arn) => {
                push = push_message(message);
                fields.extend([
                    ("TargetArn", arn.as_str()),
                    ("MessageStructure", "json"),
                    ("Message", push.as_str()),
                    ("MessageAttributes.entry.1.Name", "AWS.SNS.MOBILE.GCM.TTL"),
                    ("MessageAttributes.entry.1.Value.DataType", "String"),
                    ("MessageAttributes.entry.1.Value.StringValue", ttl.as_str()),
                    ("MessageAttributes.entry.2.Name", "AWS.SNS.MOBILE.APNS.TTL"),
                    ("MessageAttributes.entry.2.Value.DataType", "String"),
                    ("MessageAttributes.entry.2.Value.StringValue", ttl.as_str()),
                ]);
            }
            _ => return Err(SendError::Refused("the address is none of SNS".to_owned())),
        }
        let answer = self.call(&fields).await?;
        if !answer.status.is_success() {
            return Err(refusal(&answer));
        }
        let id = element(&answer.text(), "MessageId").map(str::to_owned);
        Ok(Sent { provider: Provider::AwsSns, provider_message_id: id })
    }
}

impl Notifier for Sns {
    fn provider(&self) -> Provider {
        Provider::AwsSns
    }

    fn takes(&self, to: &Address) -> bool {
        matches!(to, Address::Sms(_) | Address::SnsEndpoint(_))
    }

    fn send<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(self.publish(message))
    }

    fn probe(&self) -> BoxFuture<'_, Health> {
        Box::pin(async {
            let answer = self.call(&[("Action", "GetSMSAttributes")]).await;
            match &answer {
                // It knows the key, which may publish and not look around.
                Ok(answer) if element(&answer.text(), "Code") == Some("AuthorizationError") => {
                    Health::Healthy
                }
                answer => health(answer),
            }
        })
    }
}

/// The push for each platform, as SNS wants it: texts of JSON inside of JSON.
fn push_message(message: &Outgoing) -> String {
    let shown = json!({"title": message.subject, "body": message.text});
    let gcm = json!({"fcmV1Message": {"message": {"notification": shown, "data": message.data}}});
    let mut apns = json!({"aps": {"alert": shown, "sound": "default"}});
    for (name, text) in message.data.iter().filter(|(name, _)| *name != "aps") {
        apns[name.as_str()] = text.as_str().into();
    }
    let apns = apns.to_string();
    json!({"default": message.text, "GCM": gcm.to_string(), "APNS": apns, "APNS_SANDBOX": apns}).to_string()
}

/// The text of the first element of this name: SNS's answers are flat, and nothing in them is nested in itself.
fn element<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    Some(inner.trim())
}

/// Source: Amazon SNS API, «Publish», errors, and «Common errors».
fn refusal(answer: &Answer) -> SendError {
    let text = answer.text();
    let code = element(&text, "Code").unwrap_or_default();
    let says = element(&text, "Message").unwrap_or_default();
    match code {
        "EndpointDisabled" | "PlatformApplicationDisabled" | "OptedOut" | "NotFound" => {
            SendError::BadAddress(code.to_owned())
        }
        "InvalidParameter" | "InvalidParameterValue" if is_about_the_address(says) => {
            SendError::BadAddress(code.to_owned())
        }
        "Throttling" | "Throttled" | "ThrottlingException" | "ThrottledException" => {
            SendError::Throttled { retry_after: answer.retry_after() }
        }
        "AuthorizationError"
        | "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "MissingAuthenticationToken"
        | "InvalidSecurity"
        | "OptInRequired" => SendError::Authentication(code.to_owned()),
        _ => answer.refusal(code),
    }
}

fn is_about_the_address(says: &str) -> bool {
    ["PhoneNumber", "TargetArn", "Invalid parameter: Phone", "endpoint"]
        .iter()
        .any(|word| says.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::testing::outgoing;
    use http::{HeaderMap, StatusCode};
    use serde_json::Value;

    fn refused(status: u16, code: &str, says: &str) -> SendError {
        let body = format!(
            "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>Sender</Type>\
             <Code>{code}</Code><Message>{says}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
        );
        let status = StatusCode::from_u16(status).unwrap();
        refusal(&Answer { status, headers: HeaderMap::new(), body: body.into_bytes() })
    }

    #[test]
    fn a_refusal_says_whose_fault_it_was() {
        let bad = "Invalid parameter: PhoneNumber Reason: +1 is not valid to publish to";
        assert!(matches!(refused(400, "InvalidParameter", bad), SendError::BadAddress(_)));
        assert!(matches!(refused(400, "InvalidParameter", "Message too long"), SendError::Refused(_)));
        assert!(matches!(refused(400, "EndpointDisabled", "Endpoint is disabled"), SendError::BadAddress(_)));
        assert!(matches!(refused(403, "SignatureDoesNotMatch", ""), SendError::Authentication(_)));
        assert!(matches!(refused(400, "Throttling", "Rate exceeded"), SendError::Throttled { .. }));
        assert!(matches!(refused(500, "InternalError", ""), SendError::Unreachable(_)));
    }

    /// Amazon SNS Developer Guide, «Publishing with platform-specific payload».
    #[test]
    fn a_push_has_a_text_for_each_platform() {
        let message = outgoing(Address::SnsEndpoint("arn:aws:sns:x".into()));
        let push: Value = serde_json::from_str(&push_message(&message)).unwrap();
        let inner = |name: &str| serde_json::from_str::<Value>(push[name].as_str().unwrap()).unwrap();
        assert_eq!(inner("APNS")["aps"]["alert"]["title"], "A result is ready");
        assert_eq!(inner("GCM")["fcmV1Message"]["message"]["data"]["kind"], "finding");
        assert_eq!(push["default"], "Sign in to read it.");
    }
}
