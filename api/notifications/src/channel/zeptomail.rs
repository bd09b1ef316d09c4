//! E-mail by Zoho's ZeptoMail, API version 1.1.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};
use url::Url;

use super::http::{Answer, ask};
use super::mail::{Sender, message_id, on_one_line};
use super::parts::{Parts, PartsError};
use super::{Address, Health, Notifier, Outgoing, Provider, SendError, Sent};

/// The data centres of Zoho, as their hosts end.
const DATA_CENTRES: [&str; 8] = ["com", "in", "eu", "com.au", "jp", "com.cn", "ca", "sa"];
/// How ZeptoMail's tokens begin in its header; consoles show them with and without it.
const SCHEME: &str = "Zoho-enczapikey";

/// One mail agent of ZeptoMail.
pub(crate) struct Zeptomail {
    sender: Sender,
    token: String,
    url: Url,
    http: reqwest::Client,
}

impl Zeptomail {
    /// `sendMailToken`, the sender, and `dataCenter` where it is not `com`; `base` stands in the place of Zoho's
    /// address unless it is empty.
    ///
    /// # Errors
    ///
    /// [`PartsError`] when a part is missing or does not read.
    pub(crate) fn new(parts: &Parts, base: &str, http: reqwest::Client) -> Result<Self, PartsError> {
        let centre = parts.get("dataCenter").unwrap_or(DATA_CENTRES[0]);
        if !DATA_CENTRES.contains(&centre) {
            return Err(PartsError::Malformed(
                "dataCenter",
                "it is com, in, eu, com.au, jp, com.cn, ca or sa",
            ));
        }
        let mut url = super::base(base, &format!("https://api.zeptomail.{centre}"), "zeptomail_base_url")?;
        url.set_path("/v1.1/email");
        let token = parts.need("sendMailToken")?;
        let token = token.strip_prefix(SCHEME).unwrap_or(token).trim();
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(PartsError::Malformed("sendMailToken", "it has visible characters alone"));
        }
        Ok(Self { sender: Sender::of(parts)?, token: format!("{SCHEME} {token}"), url, http })
    }

    async fn call(&self, body: &Value) -> Result<Answer, SendError> {
        ask(self.http.post(self.url.clone()).header(AUTHORIZATION, &self.token).json(body)).await
    }
}

impl Notifier for Zeptomail {
    fn provider(&self) -> Provider {
        Provider::Zeptomail
    }

    fn takes(&self, to: &Address) -> bool {
        matches!(to, Address::Email(_))
    }

    fn send<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(async {
            let Address::Email(to) = &message.to else {
                return Err(SendError::Refused("the address is none of e-mail".to_owned()));
            };
            let mut body = json!({
                "from": {"address": self.sender.address(), "name": self.sender.name().unwrap_or_default()},
                "to": [{"email_address": {"address": to.as_str()}}],
                "subject": on_one_line(&message.subject),
                "textbody": message.text,
                "client_reference": message.dedupe_id,
                "track_opens": false,
                "track_clicks": false,
                "mime_headers": {
                    "Auto-Submitted": "auto-generated",
                    "X-Entity-Ref-ID": message_id(&self.sender, message),
                },
            });
            if let Some(html) = &message.html {
                body["htmlbody"] = html.as_str().into();
            }
            if let Some(enclosure) = &message.enclosure {
                body["attachments"] = json!([{
                    "name": on_one_line(&enclosure.file_name),
                    "mime_type": enclosure.media_type,
                    "content": STANDARD.encode(&enclosure.bytes),
                }]);
            }
            let answer = self.call(&body).await?;
            if !answer.status.is_success() {
                return Err(refusal(&answer));
            }
            let id = answer.json()["request_id"].as_str().map(str::to_owned);
            Ok(Sent { provider: Provider::Zeptomail, provider_message_id: id })
        })
    }

    /// An empty message: a good token is told what is missing (`TM_3201`), a bad one that it is bad.
    fn probe(&self) -> BoxFuture<'_, Health> {
        Box::pin(async {
            match self.call(&json!({})).await.map(|answer| refusal(&answer)) {
                Err(_) | Ok(SendError::Unreachable(_)) => Health::Down,
                Ok(SendError::Authentication(_)) => Health::Refusing,
                Ok(_) => Health::Healthy,
            }
        })
    }
}

/// Source: ZeptoMail's help, «API error codes».
fn refusal(answer: &Answer) -> SendError {
    let json = answer.json();
    let error = &json["error"];
    let detail = &error["details"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (code, sub) = (text(&error["code"]), text(&detail["code"]));
    let why = format!("{code} {sub}");
    match (code.as_str(), sub.as_str()) {
        // a bad token; an address of ours that is not allowed; a blocked account, one that is not reviewed
        (_, "SERR_157" | "SERR_156" | "AE_101" | "SM_128" | "SM_111") => SendError::Authentication(why),
        // credits or the day's share are used up
        (_, "LE_101" | "LE_102" | "SMI_115" | "SM_133") => {
            SendError::Throttled { retry_after: answer.retry_after() }
        }
        (_, "SM_113") if text(&detail["target"]).starts_with("to") => SendError::BadAddress(why),
        _ if code.is_empty() => answer.refusal(""),
        _ => answer.refusal(&why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, StatusCode};

    fn refused(status: u16, code: &str, sub: &str, target: &str) -> SendError {
        let body =
            json!({"error": {"code": code, "details": [{"code": sub, "target": target}]}, "request_id": "1"});
        let status = StatusCode::from_u16(status).unwrap();
        refusal(&Answer { status, headers: HeaderMap::new(), body: body.to_string().into_bytes() })
    }

    /// Codes of ZeptoMail's help, «API error codes».
    #[test]
    fn a_refusal_says_whose_fault_it_was() {
        assert!(matches!(refused(400, "TM_4001", "SM_113", "to"), SendError::BadAddress(_)));
        assert!(matches!(refused(400, "TM_4001", "SM_113", "from"), SendError::Refused(_)));
        assert!(matches!(refused(500, "TM_4001", "SERR_157", ""), SendError::Authentication(_)));
        assert!(matches!(refused(429, "TM_3501", "LE_101", ""), SendError::Throttled { .. }));
        assert!(matches!(refused(400, "TM_3201", "GE_102", "subject"), SendError::Refused(_)));
    }

    #[test]
    fn a_clinic_chooses_among_zohos_data_centres_and_no_other_host() {
        let made = |centre: &str, base: &str| {
            let texts = [
                ("sendMailToken", "Zoho-enczapikey abc=="),
                ("fromEmail", "a@b.org"),
                ("dataCenter", centre),
            ];
            let texts = texts.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned()));
            Zeptomail::new(&Parts::new(texts.collect()), base, reqwest::Client::new())
        };
        let made_in = made("in", "").unwrap();
        assert_eq!(made_in.url.as_str(), "https://api.zeptomail.in/v1.1/email");
        assert_eq!(made_in.token, "Zoho-enczapikey abc==");
        assert!(matches!(made("evil.org", ""), Err(PartsError::Malformed("dataCenter", _))));
    }
}
