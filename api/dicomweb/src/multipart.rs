//! Answers of several parts: `multipart/related` (RFC 2387), streamed part by part.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use storage::archive::ArchiveError;
use uuid::Uuid;

/// Bytes that come piece by piece.
pub(crate) type Pieces = BoxStream<'static, Result<Bytes, ArchiveError>>;

/// One part, opened when its turn comes.
pub(crate) struct Part {
    /// Its media type with parameters.
    pub(crate) content_type: String,
    /// Where the part alone is found.
    pub(crate) location: String,
    /// How many bytes it has.
    pub(crate) length: u64,
    /// Opens it.
    pub(crate) open: Box<dyn FnOnce() -> BoxFuture<'static, Result<Pieces, ArchiveError>> + Send>,
}

impl Part {
    /// A part whose bytes are there already.
    pub(crate) fn of_bytes(content_type: String, location: String, bytes: Bytes) -> Self {
        let length = bytes.len() as u64;
        let pieces = || stream::once(async { Ok(bytes) }).boxed();
        Self { content_type, location, length, open: Box::new(|| Box::pin(async { Ok(pieces()) })) }
    }

    fn into_pieces(self) -> impl futures::Stream<Item = Result<Bytes, ArchiveError>> + Send {
        stream::once((self.open)()).try_flatten()
    }

    /// The part as the whole answer.
    pub(crate) fn alone(self) -> Response {
        let (content_type, location, length) =
            (self.content_type.clone(), self.location.clone(), self.length);
        let mut response = Response::new(Body::from_stream(self.into_pieces()));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, length.into());
        for (name, value) in [(header::CONTENT_TYPE, content_type), (header::CONTENT_LOCATION, location)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// The parts in their order under one Content-Length; `root` is the media type of the first.
///
/// Where a part fails midway the connection breaks, so that no client takes the answer for whole.
pub(crate) fn related(status: StatusCode, root: &str, parts: Vec<Part>) -> Response {
    // 122 random bits: no data holds it
    let boundary = format!("medilink-{}", Uuid::new_v4().simple());
    let head = |part: &Part| {
        let Part { content_type, location, length, .. } = part;
        let lines = format!(
            "Content-Type: {content_type}\r\nContent-Length: {length}\r\nContent-Location: {location}"
        );
        Bytes::from(format!("--{boundary}\r\n{lines}\r\n\r\n"))
    };
    let close = Bytes::from(format!("--{boundary}--\r\n"));
    let parts: Vec<(Bytes, Part)> = parts.into_iter().map(|part| (head(&part), part)).collect();
    let length: u64 = parts.iter().map(|(head, part)| head.len() as u64 + part.length + 2).sum();
    let length = length + close.len() as u64;
    let here = |bytes: Bytes| stream::once(async { Ok(bytes) });
    let pieces = stream::iter(parts).flat_map(move |(head, part)| {
        here(head).chain(part.into_pieces()).chain(here(Bytes::from_static(b"\r\n"))).boxed()
    });
    let mut response = Response::new(Body::from_stream(pieces.chain(here(close))));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    let content_type = format!("multipart/related; type=\"{root}\"; boundary={boundary}");
    if let Ok(content_type) = HeaderValue::from_str(&content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    }
    response
}
