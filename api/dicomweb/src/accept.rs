//! What the client takes: the header `Accept`, or the query parameter of that name (PS3.18, section 8.3.3).

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use gate::Problem;

/// Most media ranges that are looked at.
const RANGES_MAX: usize = 64;

/// The media ranges that the client takes, the dearest first; never empty.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Accept(Vec<MediaRange>);

/// One media range (RFC 9110, section 12.5.1).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MediaRange {
    /// In small letters, such as `multipart/related`.
    kind: String,
    /// Names in small letters.
    parameters: Vec<(String, String)>,
    quality: f32,
}

/// The parameter `transfer-syntax` (PS3.18, section 8.7.3.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AskedSyntax<'a> {
    /// Nothing is said.
    Unsaid,
    /// `*`: as it is stored.
    Any,
    /// This one.
    This(&'a str),
}

impl<S: Send + Sync> FromRequestParts<S> for Accept {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let pairs = query.map(|Query(pairs)| pairs).unwrap_or_default();
        if let Some((_, value)) = pairs.into_iter().find(|(name, _)| name == "accept") {
            // a plus that was not escaped has become a space
            return Ok(Self::read([value.replace("dicom ", "dicom+").as_str()]));
        }
        let values =
            parts.headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
        Ok(Self::read(values))
    }
}

impl Accept {
    /// Nothing said is `*/*`; a range that does not read is left out.
    pub(crate) fn read<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let texts = values.into_iter().flat_map(|value| split(value, ','));
        let mut ranges: Vec<MediaRange> = texts.filter_map(MediaRange::read).take(RANGES_MAX).collect();
        if ranges.is_empty() {
            ranges.extend(MediaRange::read("*/*"));
        }
        ranges.retain(|range| range.quality > 0.0);
        ranges.sort_by(|a, b| b.quality.total_cmp(&a.quality));
        Self(ranges)
    }

    /// The ranges, the dearest first.
    pub(crate) fn ranges(&self) -> &[MediaRange] {
        &self.0
    }
}

impl MediaRange {
    fn read(text: &str) -> Option<Self> {
        let mut parts = split(text, ';');
        let kind = parts.next()?.trim().to_ascii_lowercase();
        let kind = if kind == "*" { "*/*".to_owned() } else { kind };
        if !kind.contains('/') {
            return None;
        }
        let mut range = Self { kind, parameters: Vec::new(), quality: 1.0 };
        for part in parts {
            let (name, value) = part.split_once('=')?;
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"'));
            if name == "q" {
                range.quality = value.parse::<f32>().ok().filter(|quality| (0.0..=1.0).contains(quality))?;
            } else {
                range.parameters.push((name, value.to_owned()));
            }
        }
        Some(range)
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The range asks for an answer of several parts, or leaves it open.
    pub(crate) fn is_multipart(&self) -> bool {
        matches!(self.kind.as_str(), "multipart/related" | "multipart/*" | "*/*")
    }

    /// The range asks for an answer of several parts outright.
    pub(crate) fn names_multipart(&self) -> bool {
        self.kind.starts_with("multipart/")
    }

    /// Whether a part, or the whole answer where the range is no multipart one, may be of `media`.
    pub(crate) fn takes(&self, media: &str) -> bool {
        let wanted = match self.kind.as_str() {
            "multipart/related" | "multipart/*" => self.parameter("type").unwrap_or("*/*"),
            kind => kind,
        };
        let group = media.split_once('/').map_or(media, |(group, _)| group);
        wanted == "*/*"
            || wanted.eq_ignore_ascii_case(media)
            || wanted.strip_suffix("/*").is_some_and(|wanted| wanted.eq_ignore_ascii_case(group))
    }

    /// Whether the range names `media` itself, not by a star.
    pub(crate) fn names(&self, media: &str) -> bool {
        let named = self.parameter("type").unwrap_or(&self.kind);
        named.eq_ignore_ascii_case(media)
    }

    /// The transfer syntax that it asks for.
    pub(crate) fn transfer_syntax(&self) -> AskedSyntax<'_> {
        match self.parameter("transfer-syntax") {
            None => AskedSyntax::Unsaid,
            Some("*") => AskedSyntax::Any,
            Some(uid) => AskedSyntax::This(uid),
        }
    }
}

/// `text` parted at each `by` that stands outside quotes.
fn split(text: &str, by: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    text.split(move |letter| {
        is_quoted ^= letter == '"';
        letter == by && !is_quoted
    })
}

/// 406 `not-acceptable`: `offered` is what there would be.
pub(crate) fn not_acceptable(offered: &str) -> Problem {
    let detail = format!("none of the accepted media types can be given; there is {offered}");
    Problem::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", detail)
}

/// Whether the client takes DICOM JSON.
///
/// # Errors
///
/// 406 `not-acceptable`.
pub(crate) fn json_or_problem(accept: &Accept) -> Result<(), Problem> {
    let is_json = |range: &MediaRange| {
        !range.kind.starts_with("multipart/")
            && (range.takes("application/dicom+json") || range.takes("application/json"))
    };
    if accept.ranges().iter().any(is_json) { Ok(()) } else { Err(not_acceptable("application/dicom+json")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_types_and_qualities_are_read() {
        let header = r#"image/png;q=0.5, multipart/related; type="application/octet-stream"; transfer-syntax=*, text/html;q=0"#;
        let accept = Accept::read([header]);
        let [first, second] = accept.ranges() else { panic!("{accept:?}") };
        assert!(first.is_multipart() && first.names("application/octet-stream"));
        assert!(first.takes("application/octet-stream") && !first.takes("image/png"));
        assert_eq!(first.transfer_syntax(), AskedSyntax::Any);
        assert!(second.takes("image/png") && !second.is_multipart());
    }

    #[test]
    fn silence_takes_anything() {
        let accept = Accept::read([]);
        assert!(accept.ranges()[0].takes("application/dicom") && accept.ranges()[0].is_multipart());
        assert_eq!(accept.ranges()[0].transfer_syntax(), AskedSyntax::Unsaid);
    }

    #[test]
    fn xml_alone_is_not_acceptable_where_there_is_json() {
        let status =
            |header: &str| json_or_problem(&Accept::read([header])).err().map(|it| it.status().as_u16());
        assert_eq!(status("application/dicom+json"), None);
        assert_eq!(status("application/json, text/plain, */*"), None);
        assert_eq!(status("application/dicom+xml"), Some(406));
        assert_eq!(status(r#"multipart/related; type="application/dicom+xml""#), Some(406));
    }
}
