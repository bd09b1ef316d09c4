//! How a provider is spoken with over HTTPS: in time, bounded, without redirects, and never believing that nothing
//! happened because no answer came.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use reqwest::redirect::Policy;
use serde::de::DeserializeOwned;

use super::{ProviderError, Secret};

/// A provider has so long to take a connection …
const CONNECT: Duration = Duration::from_secs(5);
/// … and so long for its answer.
const ANSWER: Duration = Duration::from_secs(30);
/// No answer is longer: a hundred payments with their charges take less than one MiB.
const ANSWER_BYTES: usize = 4 << 20;
/// No word of a provider that is passed on is longer.
const WORD_CHARACTERS: usize = 64;

/// The connections to providers; one for all accounts.
#[derive(Debug, Clone)]
pub struct Wire(reqwest::Client);

impl Wire {
    /// With 30 seconds for an answer.
    ///
    /// # Errors
    ///
    /// The machine has no randomness or no certificates to trust.
    pub fn new() -> reqwest::Result<Self> {
        Self::with_patience(ANSWER)
    }

    /// With as long for an answer.
    ///
    /// # Errors
    ///
    /// As [`Wire::new`].
    pub fn with_patience(answer: Duration) -> reqwest::Result<Self> {
        reqwest::Client::builder()
            .user_agent(concat!("Medilink/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .timeout(answer)
            .tcp_nodelay(true)
            .build()
            .map(Self)
    }

    pub(super) fn ask(&self, method: http::Method, base: &str, path: &str) -> reqwest::RequestBuilder {
        self.0.request(method, format!("{base}{path}"))
    }
}

/// Whether a request can take or give money: then an unheard answer may mean that it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// It changes nothing that matters.
    Harmless,
    /// It moves money.
    Money,
}

impl Act {
    pub fn unheard(self, why: &'static str) -> ProviderError {
        ProviderError::Unreachable { may_have_charged: self == Self::Money, why }
    }
}

/// What came back, unless it was no answer at all.
pub(super) struct Told {
    pub status: StatusCode,
    pub body: Vec<u8>,
    act: Act,
}

impl Told {
    pub fn is_success(&self) -> bool {
        self.status.is_success()
    }

    /// The body of a success as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ProviderError> {
        serde_json::from_slice(&self.body).map_err(|_| self.act.unheard("the answer does not read"))
    }

    /// The body of a refusal as JSON; what does not read is nothing in particular.
    pub fn refusal<T: DeserializeOwned + Default>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Sends, and sorts out what every provider means alike: 401 and 403, 429, and all that leaves open what was done
/// (409: the same is being done just now). What is left is a success, or a refusal in the provider's own words.
pub(super) async fn send(ask: reqwest::RequestBuilder, act: Act) -> Result<Told, ProviderError> {
    let mut answer = ask.send().await.map_err(|error| unsent(&error, act))?;
    let status = answer.status();
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(ProviderError::Authentication),
        StatusCode::TOO_MANY_REQUESTS => {
            let wait = answer.headers().get(header::RETRY_AFTER);
            let seconds = wait.and_then(|value| value.to_str().ok()?.parse().ok());
            return Err(ProviderError::RateLimited { retry_after: seconds.map(Duration::from_secs) });
        }
        StatusCode::CONFLICT => return Err(act.unheard("the same request is in progress")),
        StatusCode::REQUEST_TIMEOUT | StatusCode::FAILED_DEPENDENCY => {
            return Err(act.unheard("the provider gave up"));
        }
        _ if status.is_server_error() => return Err(act.unheard("the provider failed")),
        _ if status.is_redirection() || status.is_informational() => {
            return Err(act.unheard("the provider points elsewhere"));
        }
        _ => {}
    }
    let mut body = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(piece)) if body.len() + piece.len() <= ANSWER_BYTES => body.extend_from_slice(&piece),
            Ok(Some(_)) => return Err(act.unheard("the answer is too long")),
            Ok(None) => return Ok(Told { status, body, act }),
            Err(_) => return Err(act.unheard("the answer broke off")),
        }
    }
}

fn unsent(error: &reqwest::Error, act: Act) -> ProviderError {
    if error.is_builder() {
        ProviderError::invalid("request")
    } else if error.is_connect() {
        Act::Harmless.unheard("no connection")
    } else if error.is_timeout() {
        act.unheard("no answer in time")
    } else {
        act.unheard("the connection broke off")
    }
}

/// A header that holds a secret: never shown by whoever prints a request.
pub(super) fn secret_header(secret: &Secret, prefix: &str) -> Result<HeaderValue, ProviderError> {
    let text = format!("{prefix}{}", secret.expose());
    let mut value = HeaderValue::try_from(text).map_err(|_| ProviderError::Authentication)?;
    value.set_sensitive(true);
    Ok(value)
}

/// A provider's word, fit to be kept and shown: letters, digits, `_`, `-`, `.`; anything else is `unknown`.
pub(super) fn word(text: Option<&str>) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    match text {
        Some(text) if (1..=WORD_CHARACTERS).contains(&text.len()) && text.bytes().all(is_plain) => {
            text.to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

/// An address without a path at its end.
pub(super) fn base_url(text: &str) -> Result<String, ProviderError> {
    let url = url::Url::parse(text).map_err(|_| ProviderError::invalid("base-url"))?;
    let is_web = matches!(url.scheme(), "https" | "http") && url.host().is_some();
    if is_web && url.query().is_none() && url.fragment().is_none() && url.username().is_empty() {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err(ProviderError::invalid("base-url"))
    }
}

/// What is signed by a secret is compared without telling how far it agreed.
pub(super) mod signature {
    use aws_lc_rs::{digest, hmac};

    /// Whether `hex` is the HMAC-SHA-256 of `content` under `secret`.
    pub fn is_hmac(secret: &str, content: &[&[u8]], hex: &str) -> bool {
        let Ok(tag) = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()) else { return false };
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let mut context = hmac::Context::with_key(&key);
        for piece in content {
            context.update(piece);
        }
        aws_lc_rs::constant_time::verify_slices_are_equal(context.sign().as_ref(), &tag).is_ok()
    }

    /// The SHA-256 of the pieces in small hexadecimal digits.
    pub fn sha256(content: &[&[u8]]) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        for piece in content {
            context.update(piece);
        }
        data_encoding::HEXLOWER.encode(context.finish().as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, section 4.3: key "Jefe", data "what do ya want for nothing?".
    #[test]
    fn an_hmac_of_the_standard_holds() {
        let tag = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert!(signature::is_hmac("Jefe", &[b"what do ya want ", b"for nothing?"], tag));
        assert!(!signature::is_hmac("Jefe", &[b"what do ya want for nothing!"], tag));
        assert!(!signature::is_hmac("Jefe", &[b"what do ya want for nothing?"], &tag[..62]));
        assert!(!signature::is_hmac("Jefe", &[b"what do ya want for nothing?"], "no hex"));
    }

    /// FIPS 180-4's example "abc".
    #[test]
    fn a_digest_of_the_standard_holds() {
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(signature::sha256(&[b"a", b"bc"]), digest);
    }

    #[test]
    fn a_word_with_anything_odd_in_it_is_not_passed_on() {
        assert_eq!(word(Some("card_declined")), "card_declined");
        for odd in [None, Some(""), Some("a b"), Some("<b>"), Some("x\r\n"), Some(&*"a".repeat(65))] {
            assert_eq!(word(odd), "unknown");
        }
    }

    #[test]
    fn an_address_is_one_of_the_web_and_no_more() {
        assert_eq!(base_url("https://api.stripe.com/").ok().as_deref(), Some("https://api.stripe.com"));
        for odd in
            ["", "api.stripe.com", "file:///etc/passwd", "https://a@b/", "https://a/?x", "https://a/#x"]
        {
            assert!(base_url(odd).is_err(), "{odd}");
        }
    }
}
