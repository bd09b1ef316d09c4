//! The headers of one part, read strictly: what is no header shows that the parts are not what they seem.

use super::StowError;

/// The headers of one part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartHead {
    /// Content-Type with its parameters, as sent.
    pub content_type: Option<String>,
    /// Content-Location, which names bulk data for metadata parts.
    pub content_location: Option<String>,
    /// Content-Length in bytes; the data has proved to be that long when its last chunk was given.
    pub content_length: Option<u64>,
    /// All headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
}

impl PartHead {
    /// Reads the lines of `block`, which ends without its last CRLF.
    pub(super) fn parse(block: &[u8]) -> Result<Self, StowError> {
        let text = std::str::from_utf8(block).map_err(|_| StowError::BadHead)?;
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in text.split("\r\n").filter(|_| !text.is_empty()) {
            if line.chars().any(|char| char.is_control() && char != '\t') {
                return Err(StowError::BadHead);
            }
            if let (Some(last), true) = (headers.last_mut(), line.starts_with([' ', '\t'])) {
                // a folded line goes on with the value before (RFC 5322, section 2.2.3)
                last.1.push(' ');
                last.1.push_str(line.trim());
                continue;
            }
            let (name, value) = line.split_once(':').ok_or(StowError::BadHead)?;
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err(StowError::BadHead);
            }
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Self::of(headers)
    }

    fn of(headers: Vec<(String, String)>) -> Result<Self, StowError> {
        let mut head = Self::default();
        for (name, value) in &headers {
            let is_second = match name.as_str() {
                "content-type" => head.content_type.replace(value.clone()).is_some(),
                "content-location" => head.content_location.replace(value.clone()).is_some(),
                "content-length" => {
                    let length = value.parse().map_err(|_| StowError::BadHead)?;
                    head.content_length.replace(length).is_some()
                }
                _ => false,
            };
            if is_second {
                return Err(StowError::BadHead);
            }
        }
        if head.content_type.as_ref().is_some_and(|text| !text.contains('/')) {
            return Err(StowError::BadHead);
        }
        head.headers = headers;
        Ok(head)
    }
}

/// `tchar` of RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
