//! The name under which one request is found again in the log.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries it, both ways.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request's name: the caller's own where it is a sane token, else a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The caller's name for the request, if it has at most 64 letters, digits, `-`, `_` and dots.
    pub(crate) fn accepted(text: &str) -> Option<Self> {
        let sane = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let fits = !text.is_empty() && text.len() <= 64 && text.bytes().all(sane);
        fits.then(|| Self(text.to_owned()))
    }

    /// The name that `headers` give, or a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
        given.and_then(Self::accepted).unwrap_or_else(|| Self(uuid::Uuid::now_v7().simple().to_string()))
    }

    /// As the value of a header.
    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("letters, digits, dashes and dots alone were accepted")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_forge_a_log_line_is_not_taken() {
        for text in ["", "a b", "a\"b", "Müller", &"a".repeat(65)] {
            assert_eq!(RequestId::accepted(text), None, "{text}");
        }
        assert!(RequestId::accepted("019a-B_c.7").is_some());
    }
}
