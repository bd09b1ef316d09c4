//! Answers of providers over HTTP: read to a limit, and sorted.

use std::time::Duration;

use http::StatusCode;
use http::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;

use super::{Health, SendError};

/// No answer of a provider is longer, in bytes.
const ANSWER_BYTES: usize = 256 << 10;
/// A provider's own words are cut off here, in characters.
const WORDS: usize = 200;
/// No provider is spared longer than that at its word.
const LONGEST_REST: Duration = Duration::from_secs(3_600);

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Sends a request and reads its answer.
///
/// # Errors
///
/// [`SendError::Unreachable`] without the address, which may be somebody's.
pub(crate) async fn ask(request: reqwest::RequestBuilder) -> Result<Answer, SendError> {
    let mut answer = request.send().await.map_err(unreachable)?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(unreachable)? {
        if body.len() + piece.len() > ANSWER_BYTES {
            return Err(SendError::Unreachable("the answer is too long".to_owned()));
        }
        body.extend_from_slice(&piece);
    }
    Ok(Answer { status, headers, body })
}

fn unreachable(error: reqwest::Error) -> SendError {
    if error.is_timeout() {
        return SendError::Unreachable("no answer in time".to_owned());
    }
    let error = error.without_url();
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        words = inner.to_string();
        cause = inner.source();
    }
    SendError::Unreachable(shortened(&words))
}

impl Answer {
    /// The body as JSON; `null` where it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What an unsuccessful status means where the provider says nothing more exact; `why` is its word for it.
    pub(crate) fn refusal(&self, why: &str) -> SendError {
        let why =
            || if why.is_empty() { format!("it answered {}", self.status.as_u16()) } else { shortened(why) };
        match self.status.as_u16() {
            401 | 403 => SendError::Authentication(why()),
            429 => SendError::Throttled { retry_after: self.retry_after() },
            408 | 425 | 500.. => SendError::Unreachable(why()),
            _ => SendError::Refused(why()),
        }
    }

    /// How long the provider wants to be spared, where it says so in seconds.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds).min(LONGEST_REST))
    }
}

/// What a question without a message says about the provider.
pub(crate) fn health(answer: &Result<Answer, SendError>) -> Health {
    match answer {
        Ok(answer) if answer.status.is_success() => Health::Healthy,
        Ok(answer) if matches!(answer.status.as_u16(), 401 | 403) => Health::Refusing,
        // It answers, as one that wants to be spared does.
        Ok(answer) if answer.status == StatusCode::TOO_MANY_REQUESTS => Health::Healthy,
        Ok(answer) if answer.status.is_client_error() => Health::Refusing,
        Ok(_) | Err(_) => Health::Down,
    }
}

/// A provider's words on one line, cut off.
pub(crate) fn shortened(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)]) -> Answer {
        let headers =
            headers.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
        Answer { status: StatusCode::from_u16(status).unwrap(), headers: headers.collect(), body: Vec::new() }
    }

    /// RFC 9110, sections 15.5 and 15.6; RFC 6585, section 4.
    #[test]
    fn a_status_says_whose_fault_it_was() {
        assert!(matches!(answer(400, &[]).refusal(""), SendError::Refused(_)));
        assert!(matches!(answer(403, &[]).refusal("no"), SendError::Authentication(why) if why == "no"));
        assert!(matches!(answer(503, &[]).refusal(""), SendError::Unreachable(_)));
        let rest = |text| answer(429, &[("retry-after", text)]).refusal("");
        assert_eq!(rest("7"), SendError::Throttled { retry_after: Some(Duration::from_secs(7)) });
        assert_eq!(rest("99999"), SendError::Throttled { retry_after: Some(LONGEST_REST) });
        assert_eq!(rest("soon"), SendError::Throttled { retry_after: None });
    }
}
