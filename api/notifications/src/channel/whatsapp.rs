//! Messages in WhatsApp by Meta's Cloud API: templates that Meta has approved, and plain text within its day.

use futures::future::BoxFuture;
use serde_json::{Value, json};
use url::Url;

use super::http::{Answer, ask, health};
use super::parts::{Parts, PartsError};
use super::{Address, Health, Notifier, Outgoing, Provider, SendError, Sent};

/// The version of the Graph API.
const VERSION: &str = "v23.0";
/// The longest plain text, in characters.
const TEXT: usize = 4_096;
/// The longest value of a template, in characters.
const VALUE: usize = 1_024;

/// One sending number.
pub(crate) struct Whatsapp {
    token: String,
    number: Url,
    http: reqwest::Client,
}

impl Whatsapp {
    /// `accessToken` and `phoneNumberId`; `base` stands in the place of Meta's address unless it is empty.
    ///
    /// # Errors
    ///
    /// [`PartsError`] when a part is missing or does not read.
    pub(crate) fn new(parts: &Parts, base: &str, http: reqwest::Client) -> Result<Self, PartsError> {
        let mut number = super::base(base, "https://graph.facebook.com", "whatsapp_base_url")?;
        number.set_path(&format!("/{VERSION}/{}", parts.need_word("phoneNumberId")?));
        let token = parts.need("accessToken")?;
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(PartsError::Malformed("accessToken", "it has visible characters alone"));
        }
        Ok(Self { token: token.to_owned(), number, http })
    }
}

impl Notifier for Whatsapp {
    fn provider(&self) -> Provider {
        Provider::MetaBusiness
    }

    fn takes(&self, to: &Address) -> bool {
        matches!(to, Address::Whatsapp(_))
    }

    fn send<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(async {
            let body = shape(message)?;
            let mut url = self.number.clone();
            url.set_path(&format!("{}/messages", self.number.path()));
            let answer = ask(self.http.post(url).bearer_auth(&self.token).json(&body)).await?;
            if !answer.status.is_success() {
                return Err(refusal(&answer));
            }
            let id = answer.json()["messages"][0]["id"].as_str().map(str::to_owned);
            Ok(Sent { provider: Provider::MetaBusiness, provider_message_id: id })
        })
    }

    fn probe(&self) -> BoxFuture<'_, Health> {
        Box::pin(async {
            let mut url = self.number.clone();
            url.set_query(Some("fields=id"));
            let answer = ask(self.http.get(url).bearer_auth(&self.token)).await;
            match &answer {
                Ok(answer) if answer.status.is_client_error() => match refusal(answer) {
                    SendError::Throttled { .. } => Health::Healthy,
                    SendError::Unreachable(_) => Health::Down,
                    _ => Health::Refusing,
                },
                answer => health(answer),
            }
        })
    }
}

/// Source: Meta's reference of the Cloud API, «Messages».
fn shape(message: &Outgoing) -> Result<Value, SendError> {
    let Address::Whatsapp(number) = &message.to else {
        return Err(SendError::Refused("the address is none of WhatsApp".to_owned()));
    };
    let mut body = json!({
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": number.digits(),
        "biz_opaque_callback_data": message.dedupe_id,
    });
    match &message.template {
        Some(template) => {
            let values: Vec<Value> =
                template.values.iter().map(|text| json!({"type": "text", "text": value(text)})).collect();
            body["type"] = "template".into();
            body["template"] = json!({"name": template.name, "language": {"code": template.language}});
            if !values.is_empty() {
                body["template"]["components"] = json!([{"type": "body", "parameters": values}]);
            }
        }
        None => {
            if message.text.chars().count() > TEXT {
                return Err(SendError::Refused(format!("a text has at most {TEXT} characters")));
            }
            body["type"] = "text".into();
            body["text"] = json!({"preview_url": false, "body": message.text});
        }
    }
    Ok(body)
}

/// A value as templates take it: no line ends, no tabs, no runs of spaces, and never empty.
fn value(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let line: String = words.join(" ").chars().take(VALUE).collect();
    if line.is_empty() { "-".to_owned() } else { line }
}

/// Source: Meta's reference of the Cloud API, «Error codes».
fn refusal(answer: &Answer) -> SendError {
    let code = answer.json()["error"]["code"].as_i64();
    let Some(code) = code else { return answer.refusal("") };
    let why = format!("code {code}");
    match code {
        // no WhatsApp there, too old to take it, or it is ourselves; they take no such messages
        131_026 | 131_021 | 131_050 => SendError::BadAddress(why),
        4 | 80_007 | 130_429 | 131_048 | 131_056 | 133_016 => {
            SendError::Throttled { retry_after: answer.retry_after() }
        }
        0 | 3 | 10 | 190 | 200..=299 | 131_005 | 131_031 | 131_042 | 131_045 | 133_010 => {
            SendError::Authentication(why)
        }
        1 | 2 | 131_000 | 131_016 | 131_057 | 133_000 | 133_004 => SendError::Unreachable(why),
        _ => SendError::Refused(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::ProviderTemplate;
    use crate::channel::testing::outgoing;
    use http::{HeaderMap, StatusCode};

    fn refused(status: u16, code: i64) -> SendError {
        let body = json!({"error": {"message": "x", "type": "OAuthException", "code": code}});
        let status = StatusCode::from_u16(status).unwrap();
        refusal(&Answer { status, headers: HeaderMap::new(), body: body.to_string().into_bytes() })
    }

    #[test]
    fn a_refusal_says_whose_fault_it_was() {
        assert!(matches!(refused(400, 131_026), SendError::BadAddress(_)));
        assert!(matches!(refused(401, 190), SendError::Authentication(_)));
        assert!(matches!(refused(429, 130_429), SendError::Throttled { .. }));
        assert!(matches!(refused(500, 131_000), SendError::Unreachable(_)));
        assert!(matches!(refused(400, 131_047), SendError::Refused(_)), "its day is over: a template may do");
        assert!(matches!(refused(404, 132_001), SendError::Refused(_)), "there is no such template");
    }

    #[test]
    fn a_value_of_a_template_is_one_line() {
        let template = ProviderTemplate {
            name: "result_ready".into(),
            language: "en".into(),
            values: vec!["Ana\n\tMaria    Silva".into(), " ".into()],
        };
        let number = Address::Whatsapp("+4915112345678".parse().unwrap());
        let body = shape(&Outgoing { template: Some(template), ..outgoing(number) }).unwrap();
        let values = &body["template"]["components"][0]["parameters"];
        assert_eq!((&values[0]["text"], &values[1]["text"]), (&"Ana Maria Silva".into(), &"-".into()));
        assert_eq!((&body["to"], &body["type"]), (&"4915112345678".into(), &"template".into()));
    }
}
