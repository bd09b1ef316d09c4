//! JSON in gzip (RFC 1952) for those who take it; what is compressed already goes as it is.

use std::io::Write;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::Stream;
use futures::stream::{self, StreamExt};

use crate::dicom_json::DICOM_JSON;

/// How the client takes its JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Plain,
    Gzip,
}

impl Coding {
    /// By `Accept-Encoding` (RFC 9110, section 12.5.3); the star means gzip too.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|it| it.to_str().ok());
        let mut star = Self::Plain;
        for coding in values.flat_map(|value| value.split(',')) {
            let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
            let quality = quality.trim().strip_prefix("q=").and_then(|text| text.parse::<f32>().ok());
            let coding = if quality == Some(0.0) { Self::Plain } else { Self::Gzip };
            match name.trim().to_ascii_lowercase().as_str() {
                "gzip" | "x-gzip" => return coding,
                "*" => star = coding,
                _ => {}
            }
        }
        star
    }

    /// A word for it, as a part of entity tags.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
        }
    }

    /// DICOM JSON that comes in `pieces`, as an answer in this coding.
    pub(crate) fn answer<E>(self, pieces: impl Stream<Item = Result<Bytes, E>> + Send + 'static) -> Response
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        let mut answer = Response::new(match self {
            Self::Plain => Body::from_stream(pieces),
            Self::Gzip => Body::from_stream(zipped(pieces)),
        });
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(DICOM_JSON));
        headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
        if self == Self::Gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        answer
    }
}

/// The pieces as one gzip stream: one piece out for each that comes in, and one at the end.
fn zipped<E: Send + 'static>(
    pieces: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, E>> + Send {
    let tool = GzEncoder::new(Vec::new(), Compression::fast());
    stream::unfold(Some((pieces.boxed(), tool)), |state| async {
        let (mut pieces, mut tool) = state?;
        let zipped = match pieces.next().await {
            Some(Err(error)) => return Some((Err(error), None)),
            Some(Ok(piece)) => {
                tool.write_all(&piece).expect("a vector takes whatever is written");
                let zipped = std::mem::take(tool.get_mut());
                return Some((Ok(Bytes::from(zipped)), Some((pieces, tool))));
            }
            None => tool.finish().expect("a vector takes whatever is written"),
        };
        Some((Ok(Bytes::from(zipped)), None))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_where_it_is_named_or_meant() {
        let of = |value: &str| {
            Coding::of(&[(header::ACCEPT_ENCODING, value.parse().unwrap())].into_iter().collect())
        };
        for taken in ["gzip", "br, GZIP;q=0.5", "*", "deflate;q=1, *;q=0.1"] {
            assert_eq!(of(taken), Coding::Gzip, "{taken}");
        }
        for refused in ["", "identity", "gzip;q=0, *", "br"] {
            assert_eq!(of(refused), Coding::Plain, "{refused}");
        }
    }
}
