//! Conditional requests and parts of an answer (RFC 9110, sections 13 and 14).

use std::ops::Range;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// What tells one representation of one state of a resource from every other: a strong entity tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ETag(String);

/// What of an answer the client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// None that there are: 416.
    Beyond,
}

impl ETag {
    /// The tag of what is made of `parts` alone: digests of what is stored, how it is shown, by which release.
    pub(crate) fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut digest = Sha256::new();
        for part in parts.into_iter().chain([env!("CARGO_PKG_VERSION")]) {
            digest.update(part);
            digest.update([0]);
        }
        let digits: String = digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self(format!("\"{digits}\""))
    }

    /// The tag of stored bytes, given as they are.
    pub(crate) fn of_bytes(sha256: &str) -> Self {
        Self(format!("\"{sha256}\""))
    }

    /// 304, where the client holds this very representation (RFC 9110, section 13.1.2).
    pub(crate) fn not_modified(&self, headers: &HeaderMap) -> Option<Response> {
        let is_this = |known: &str| known == "*" || known.strip_prefix("W/").unwrap_or(known) == self.0;
        let is_known = texts(headers, header::IF_NONE_MATCH)
            .flat_map(|value| value.split(','))
            .any(|known| is_this(known.trim()));
        is_known.then(|| self.on(StatusCode::NOT_MODIFIED.into_response()))
    }

    /// The answer with this tag, to be kept by the client alone and asked about each time.
    pub(crate) fn on(&self, mut answer: Response) -> Response {
        if let Ok(tag) = HeaderValue::from_str(&self.0) {
            let headers = answer.headers_mut();
            headers.insert(header::ETAG, tag);
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
            headers.entry(header::VARY).or_insert(HeaderValue::from_static("accept"));
        }
        answer
    }

    /// What of `length` bytes is wanted: one range of bytes is heard, and only for the state that `If-Range` names.
    pub(crate) fn wanted(&self, headers: &HeaderMap, length: u64) -> Wanted {
        let mut ranges = texts(headers, header::RANGE);
        let (Some(range), None) = (ranges.next(), ranges.next()) else { return Wanted::Whole };
        if texts(headers, header::IF_RANGE).any(|known| known.trim() != self.0) {
            return Wanted::Whole;
        }
        part_of(range, length).unwrap_or(Wanted::Whole)
    }
}

fn texts(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}

/// `None` for what is no single range of bytes.
fn part_of(range: &str, length: u64) -> Option<Wanted> {
    let (first, last) = range.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number =
        |text: &str| text.bytes().all(|it| it.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let (start, end) = match (first.trim(), last.trim()) {
        ("", last) => (length.saturating_sub(number(last)?), length),
        (first, "") => (number(first)?, length),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            (first, last.saturating_add(1).min(length))
        }
    };
    Some(if start < end { Wanted::Part(start..end) } else { Wanted::Beyond })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    /// RFC 9110, section 14.1.2: the examples of a representation of 10,000 bytes.
    #[test]
    fn a_range_counts_from_either_end() {
        let tag = ETag::of(["x"]);
        let wanted = |range| tag.wanted(&headers(&[(header::RANGE, range)]), 10_000);
        assert_eq!(wanted("bytes=0-499"), Wanted::Part(0..500));
        assert_eq!(wanted("bytes=-500"), Wanted::Part(9_500..10_000));
        assert_eq!(wanted("bytes=9500-"), Wanted::Part(9_500..10_000));
        assert_eq!(wanted("bytes=9999-20000"), Wanted::Part(9_999..10_000));
        assert_eq!(wanted("bytes=10000-"), Wanted::Beyond);
        assert_eq!(wanted("bytes=-0"), Wanted::Beyond);
        for whole in ["bytes=0-1,3-4", "bytes=5-4", "bytes=x-", "bytes=+1-", "lines=1-2", "bytes=-", ""] {
            assert_eq!(wanted(whole), Wanted::Whole, "{whole}");
        }
    }

    #[test]
    fn a_range_of_another_state_is_not_heard() {
        let (tag, other) = (ETag::of(["x"]), ETag::of(["y"]));
        let of = |known: &ETag| headers(&[(header::RANGE, "bytes=0-1"), (header::IF_RANGE, &known.0)]);
        assert_eq!(tag.wanted(&of(&tag), 9), Wanted::Part(0..2));
        assert_eq!(tag.wanted(&of(&other), 9), Wanted::Whole);
    }

    #[test]
    fn what_the_client_holds_is_not_sent_again() {
        let tag = ETag::of(["x"]);
        for known in [&tag.0, "*", &format!("\"a\", W/{}", tag.0)] {
            assert!(tag.not_modified(&headers(&[(header::IF_NONE_MATCH, known)])).is_some(), "{known}");
        }
        assert!(tag.not_modified(&headers(&[(header::IF_NONE_MATCH, "\"a\"")])).is_none());
        assert_ne!(ETag::of(["ab", "c"]), ETag::of(["a", "bc"]));
    }
}
