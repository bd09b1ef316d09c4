//! What SES tells through SNS: bounces, complaints, deliveries.
//!
//! SNS signs each message by a certificate that it names; the name is believed only where its host is one of SNS's
//! own, over TLS. Anybody may have a topic there: so only the topic that the credentials name (`topicArn`) is heard.
//! Taken are signatures of version 2 (RSA with SHA-256); a topic signs so when its attribute `SignatureVersion` is
//! `2`. Version 1 is SHA-1.
//!
//! Source: Amazon SNS Developer Guide, «Verifying the signatures of Amazon SNS messages»; Amazon SES Developer
//! Guide, «Amazon SNS notification contents».

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;
use tracing::info;
use url::{Host, Url};
use webpki::EndEntityCert;
use webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA256;

use super::zeptomail::without_addresses;
use super::{Call, WebhookError, email_key, instant};
use crate::channel::http::{ask, shortened};
use crate::channel::parts::Parts;
use crate::channel::{Channel, Fate, Report, Switchboard};

/// A message that is older is a copy: SNS itself gives up after an hour.
const LONGEST_AGE: TimeDelta = TimeDelta::hours(24);
/// So many certificates are remembered; there is one a region and year.
const CERTIFICATES: usize = 64;

/// A message of SNS, as it is posted.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    r#type: String,
    message_id: String,
    topic_arn: String,
    subject: Option<String>,
    message: String,
    timestamp: String,
    signature_version: String,
    signature: String,
    #[serde(rename = "SigningCertURL")]
    signing_cert_url: String,
    #[serde(rename = "SubscribeURL")]
    subscribe_url: Option<String>,
    token: Option<String>,
}

impl Envelope {
    /// What was signed: names and values, a line each, in the alphabet's order.
    fn signed(&self) -> String {
        let confirms = self.r#type != "Notification";
        let lines = [
            ("Message", Some(&self.message)),
            ("MessageId", Some(&self.message_id)),
            ("Subject", self.subject.as_ref().filter(|_| !confirms)),
            ("SubscribeURL", self.subscribe_url.as_ref().filter(|_| confirms)),
            ("Timestamp", Some(&self.timestamp)),
            ("Token", self.token.as_ref().filter(|_| confirms)),
            ("TopicArn", Some(&self.topic_arn)),
            ("Type", Some(&self.r#type)),
        ];
        lines.into_iter().filter_map(|(name, value)| Some(format!("{name}\n{}\n", value?))).collect()
    }
}

/// The certificates that SNS signs with, by their addresses.
#[derive(Default)]
pub(crate) struct Certificates(Mutex<HashMap<String, Vec<u8>>>);

impl Certificates {
    fn known(&self, url: &str) -> Option<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(url).cloned()
    }

    fn remember(&self, url: &str, der: Vec<u8>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CERTIFICATES {
            known.clear();
        }
        known.insert(url.to_owned(), der);
    }
}

pub(super) async fn read(
    board: &Switchboard,
    known: &[Parts],
    call: &Call<'_>,
) -> Result<Vec<Report>, WebhookError> {
    let envelope: Envelope = serde_json::from_slice(call.body).map_err(|_| WebhookError::Signature)?;
    let is_ours = known.iter().any(|parts| parts.get("topicArn") == Some(envelope.topic_arn.as_str()));
    let url = &envelope.signing_cert_url;
    if !is_ours || !is_of_sns(url) || !is_recent(&envelope.timestamp, call.now) {
        return Err(WebhookError::Signature);
    }
    let certificate = match board.certificates().known(url) {
        Some(certificate) => certificate,
        None => fetched(board, url).await?,
    };
    if !is_signed(&envelope, &certificate) {
        return Err(WebhookError::Signature);
    }
    match (envelope.r#type.as_str(), &envelope.subscribe_url) {
        ("Notification", _) => Ok(reports(&envelope.message, call)),
        ("SubscriptionConfirmation", Some(url)) if is_of_sns(url) => {
            let answer = ask(board.http().get(url)).await.map_err(|_| WebhookError::Certificate)?;
            info!(is_confirmed = answer.status.is_success(), "SNS was told that its messages are wanted");
            Ok(Vec::new())
        }
        _ => Ok(Vec::new()),
    }
}

/// Whether an address is one of SNS's own hosts, over TLS.
fn is_of_sns(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let Some(Host::Domain(host)) = url.host() else { return false };
    let region = host.strip_prefix("sns.").and_then(|rest| {
        rest.strip_suffix(".amazonaws.com").or_else(|| rest.strip_suffix(".amazonaws.com.cn"))
    });
    let is_region = |region: &str| {
        region.len() >= 3 && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let is_plain = url.username().is_empty() && url.password().is_none() && url.port().is_none();
    url.scheme() == "https" && is_plain && region.is_some_and(is_region)
}

fn is_recent(timestamp: &str, now: DateTime<Utc>) -> bool {
    timestamp.parse::<DateTime<Utc>>().is_ok_and(|at| (now - at).abs() <= LONGEST_AGE)
}

async fn fetched(board: &Switchboard, url: &str) -> Result<Vec<u8>, WebhookError> {
    let answer = ask(board.http().get(url)).await.map_err(|_| WebhookError::Certificate)?;
    let der = answer.status.is_success().then(|| first_certificate(&answer.text())).flatten();
    let der = der.ok_or(WebhookError::Certificate)?;
    board.certificates().remember(url, der.clone());
    Ok(der)
}

fn first_certificate(pem: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    STANDARD.decode(body.split_whitespace().collect::<String>()).ok()
}

fn is_signed(envelope: &Envelope, certificate: &[u8]) -> bool {
    let Ok(signature) = STANDARD.decode(&envelope.signature) else { return false };
    let der = certificate.into();
    let Ok(certificate) = EndEntityCert::try_from(&der) else { return false };
    let signed = envelope.signed();
    envelope.signature_version == "2"
        && certificate.verify_signature(RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature).is_ok()
}

/// What SES says; notifications call it `notificationType`, published events `eventType`.
fn reports(message: &str, call: &Call<'_>) -> Vec<Report> {
    let Ok(json) = serde_json::from_str::<Value>(message) else { return Vec::new() };
    let kind = json["notificationType"].as_str().or_else(|| json["eventType"].as_str()).unwrap_or_default();
    let id = json["mail"]["messageId"].as_str().map(str::to_owned);
    let (about, recipients, fate) = match kind {
        "Bounce" => {
            let is_permanent = json["bounce"]["bounceType"].as_str() == Some("Permanent");
            (&json["bounce"], "bouncedRecipients", if is_permanent { Fate::Bounced } else { Fate::Failed })
        }
        "Complaint" => (&json["complaint"], "complainedRecipients", Fate::Complained),
        "Delivery" => (&json["delivery"], "recipients", Fate::Delivered),
        "Reject" => (&json["reject"], "", Fate::Failed),
        _ => return Vec::new(),
    };
    let at = instant(about["timestamp"].as_str().unwrap_or_default(), call.now);
    let whole = about["bounceSubType"].as_str().or_else(|| about["reason"].as_str());
    let one = |recipient: &Value| {
        let address = recipient.as_str().or_else(|| recipient["emailAddress"].as_str());
        let reason = recipient["diagnosticCode"].as_str().or(whole);
        Report {
            provider_message_id: id.clone(),
            address: address.and_then(email_key),
            reason: reason.map(|why| shortened(&without_addresses(why))),
            at,
            ..call.report(Channel::Email, fate)
        }
    };
    match about[recipients].as_array() {
        Some(recipients) => recipients.iter().map(one).collect(),
        None => vec![one(&Value::Null)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::Provider;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
    use aws_lc_rs::signature::RSA_PKCS1_SHA256;
    use http::HeaderMap;
    use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
    use serde_json::json;
    use storage::testing::now;

    fn envelope() -> Envelope {
        let text = json!({
            "Type": "Notification", "MessageId": "22b8", "TopicArn": "arn:aws:sns:us-west-2:123456789012:ses",
            "Subject": "Amazon SES", "Message": "{}", "Timestamp": "2026-09-21T00:00:00.000Z",
            "SignatureVersion": "2", "Signature": "", "UnsubscribeURL": "https://sns.us-west-2.amazonaws.com/",
            "SigningCertURL": "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-1.pem",
        });
        serde_json::from_value(text).unwrap()
    }

    /// The order that the SNS guide gives for a notification and for a confirmation.
    #[test]
    fn names_and_values_are_signed_in_the_alphabets_order() {
        let mut message = envelope();
        assert_eq!(
            message.signed(),
            "Message\n{}\nMessageId\n22b8\nSubject\nAmazon SES\nTimestamp\n2026-09-21T00:00:00.000Z\n\
             TopicArn\narn:aws:sns:us-west-2:123456789012:ses\nType\nNotification\n"
        );
        message.r#type = "SubscriptionConfirmation".into();
        message.token = Some("t".into());
        message.subscribe_url =
            Some("https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription".into());
        let names: Vec<_> = message.signed().lines().step_by(2).map(str::to_owned).collect();
        assert_eq!(names, ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]);
    }

    #[test]
    fn a_signature_holds_for_what_was_signed_and_by_its_certificate() {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let certificate =
            CertificateParams::new(["sns.amazonaws.com".to_owned()]).unwrap().self_signed(&key).unwrap();
        let signer = RsaKeyPair::from_pkcs8(&key.serialize_der()).unwrap();
        let mut message = envelope();
        let mut signature = vec![0; signer.public_modulus_len()];
        let random = SystemRandom::new();
        signer.sign(&RSA_PKCS1_SHA256, &random, message.signed().as_bytes(), &mut signature).unwrap();
        message.signature = STANDARD.encode(signature);
        let der = first_certificate(&certificate.pem()).unwrap();
        assert!(is_signed(&message, &der));
        message.signature_version = "1".into();
        assert!(!is_signed(&message, &der), "version 1 is SHA-1");
        message.signature_version = "2".into();
        message.message = "{\"notificationType\": \"Bounce\"}".into();
        assert!(!is_signed(&message, &der));
    }

    #[test]
    fn only_addresses_of_sns_are_believed() {
        assert!(is_of_sns("https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0.pem"));
        assert!(is_of_sns("https://sns.cn-north-1.amazonaws.com.cn/x.pem"));
        for evil in [
            "http://sns.eu-central-1.amazonaws.com/x.pem",
            "https://sns.eu-central-1.amazonaws.com.evil.org/x.pem",
            "https://evil.org/sns.eu-central-1.amazonaws.com/x.pem",
            "https://sns.eu-central-1.amazonaws.com@evil.org/x.pem",
            "https://sns.evil.org#.amazonaws.com/x.pem",
            "https://sns.x.y.amazonaws.com/x.pem",
            "https://bucket.s3.amazonaws.com/x.pem",
            "https://sns.eu-central-1.amazonaws.com:8443/x.pem",
        ] {
            assert!(!is_of_sns(evil), "{evil}");
        }
    }

    /// The examples of the SES guide, «Amazon SNS notification examples», shortened.
    #[test]
    fn bounces_complaints_and_deliveries_are_told_apart() {
        let headers = HeaderMap::new();
        let call =
            Call { provider: Provider::AwsSes, clinic: None, headers: &headers, body: b"", now: now() };
        let mail = json!({"messageId": "00000137860315fd"});
        let bounce = |kind: &str| {
            json!({"notificationType": "Bounce", "mail": mail, "bounce": {"bounceType": kind,
                "bounceSubType": "General", "timestamp": "2016-01-27T14:59:38.237Z", "bouncedRecipients": [
                {"emailAddress": "jane@example.com", "diagnosticCode": "smtp; 550 5.1.1 <jane@example.com>... User"}]}})
        };
        let read = |json: Value| reports(&json.to_string(), &call).remove(0);
        let permanent = read(bounce("Permanent"));
        assert_eq!((permanent.fate, permanent.address.as_deref()), (Fate::Bounced, Some("jane@example.com")));
        assert_eq!(permanent.provider_message_id.as_deref(), Some("00000137860315fd"));
        assert_eq!(permanent.reason.as_deref(), Some("smtp; 550 5.1.1 … User"));
        assert_eq!(read(bounce("Transient")).fate, Fate::Failed);
        let complaint = json!({"eventType": "Complaint", "mail": mail,
            "complaint": {"complainedRecipients": [{"emailAddress": "richard@example.com"}]}});
        assert_eq!(read(complaint).fate, Fate::Complained);
        let delivery = json!({"notificationType": "Delivery", "mail": mail,
            "delivery": {"recipients": ["jane@example.com"], "timestamp": "2016-01-27T14:59:38.237Z"}});
        let delivered = read(delivery);
        assert_eq!(
            (delivered.fate, delivered.address.as_deref()),
            (Fate::Delivered, Some("jane@example.com"))
        );
        assert!(reports("{\"notificationType\": \"Open\"}", &call).is_empty());
    }
}
