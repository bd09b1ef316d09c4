//! Short messages by Twilio's Messages API of 2010-04-01.

use futures::future::BoxFuture;
use http::header::CONTENT_TYPE;
use url::{Url, form_urlencoded};

use super::http::{Answer, ask, health};
use super::parts::{Parts, PartsError};
use super::{Address, Health, Notifier, Outgoing, Provider, SendError, Sent};

/// The longest message, in characters (Twilio's error 21617).
const CHARACTERS: usize = 1_600;

/// One account.
pub(crate) struct Twilio {
    account: Url,
    sid: String,
    token: String,
    from: String,
    http: reqwest::Client,
}

impl Twilio {
    /// `accountSid`, `authToken`, and `fromNumber` or `messagingServiceSid`; `base` stands in the place of Twilio's
    /// address unless it is empty.
    ///
    /// # Errors
    ///
    /// [`PartsError`] when a part is missing or does not read.
    pub(crate) fn new(parts: &Parts, base: &str, http: reqwest::Client) -> Result<Self, PartsError> {
        let sid = parts.need_word("accountSid")?.to_owned();
        let mut account = super::base(base, "https://api.twilio.com", "twilio_base_url")?;
        account.set_path(&format!("/2010-04-01/Accounts/{sid}"));
        let from = parts.get("messagingServiceSid").or_else(|| parts.get("fromNumber"));
        let from = from.ok_or(PartsError::Missing("fromNumber"))?.to_owned();
        Ok(Self { account, sid, token: parts.need("authToken")?.to_owned(), from, http })
    }

    fn below(&self, end: &str) -> Url {
        let mut url = self.account.clone();
        url.set_path(&format!("{}{end}", self.account.path()));
        url
    }
}

impl Notifier for Twilio {
    fn provider(&self) -> Provider {
        Provider::Twilio
    }

    fn takes(&self, to: &Address) -> bool {
        matches!(to, Address::Sms(_))
    }

    fn send<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(async {
            let Address::Sms(number) = &message.to else {
                return Err(SendError::Refused("the address is none of short messages".to_owned()));
            };
            if message.text.chars().count() > CHARACTERS {
                return Err(SendError::Refused(format!(
                    "a short message has at most {CHARACTERS} characters"
                )));
            }
            let from = if self.from.starts_with("MG") { "MessagingServiceSid" } else { "From" };
            let fields =
                [("To", number.as_str()), (from, self.from.as_str()), ("Body", message.text.as_str())];
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
            let request =
                self.http.post(self.below("/Messages.json")).basic_auth(&self.sid, Some(&self.token));
            let form = "application/x-www-form-urlencoded";
            let answer = ask(request.header(CONTENT_TYPE, form).body(body)).await?;
            if !answer.status.is_success() {
                return Err(refusal(&answer));
            }
            let id = answer.json()["sid"].as_str().map(str::to_owned);
            Ok(Sent { provider: Provider::Twilio, provider_message_id: id })
        })
    }

    fn probe(&self) -> BoxFuture<'_, Health> {
        Box::pin(async {
            health(&ask(self.http.get(self.below(".json")).basic_auth(&self.sid, Some(&self.token))).await)
        })
    }
}

/// Source: Twilio's «Error and warning dictionary».
fn refusal(answer: &Answer) -> SendError {
    let Some(code) = answer.json()["code"].as_i64() else { return answer.refusal("") };
    let why = format!("code {code}");
    match code {
        // no number; not in this country; has said STOP; no mobile telephone
        21_211 | 21_217 | 21_610 | 21_614 => SendError::BadAddress(why),
        20_003 | 20_005 | 20_008 | 21_606 | 21_659 => SendError::Authentication(why),
        20_429 | 21_611 | 14_107 => SendError::Throttled { retry_after: answer.retry_after() },
        _ => answer.refusal(&why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, StatusCode};

    fn refused(status: u16, code: i64) -> SendError {
        let body =
            serde_json::json!({"code": code, "message": "x", "status": status}).to_string().into_bytes();
        refusal(&Answer { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new(), body })
    }

    #[test]
    fn a_refusal_says_whose_fault_it_was() {
        assert!(matches!(refused(400, 21_211), SendError::BadAddress(_)), "no number");
        assert!(matches!(refused(400, 21_610), SendError::BadAddress(_)), "they have said STOP");
        assert!(matches!(refused(401, 20_003), SendError::Authentication(_)));
        assert!(matches!(refused(429, 20_429), SendError::Throttled { .. }));
        assert!(matches!(refused(400, 21_617), SendError::Refused(_)));
        assert!(matches!(refused(503, 20_503), SendError::Unreachable(_)));
    }
}
