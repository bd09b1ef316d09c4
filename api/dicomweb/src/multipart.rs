//! What an answer carries: one part as the whole of it, or several as `multipart/related` (RFC 2387).

use std::ops::Range;

use axum::BoxError;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use gate::Problem;
use storage::archive::{Archive, ArchiveError};
use uuid::Uuid;

use crate::conditional::{ETag, Wanted};

/// Parts that are opened, or made, before their turn comes.
pub(crate) const AHEAD: usize = 2;

/// Bytes that come piece by piece.
pub(crate) type Pieces = BoxStream<'static, Result<Bytes, BoxError>>;

/// One part, opened when its turn comes.
pub(crate) struct Part {
    /// Its media type with parameters.
    pub(crate) content_type: String,
    /// Where the part alone is found; empty where it is not to be told.
    pub(crate) location: String,
    /// How many bytes it has, where that is known before it is made.
    length: Option<u64>,
    /// Whether the answer is whole without it.
    left_out: LeftOut,
    source: Source,
}

/// When a part is left out of an answer of several, instead of breaking it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeftOut {
    Never,
    /// Where it is refused: a failure of ours breaks the answer off.
    Refused,
}

impl LeftOut {
    fn on(self, error: &BoxError) -> bool {
        match self {
            Self::Never => false,
            Self::Refused => {
                error.downcast_ref::<Refusal>().is_some_and(|it| it.0.status().is_client_error())
            }
        }
    }
}

/// Where the bytes of a part come from.
enum Source {
    Here(Bytes),
    Blob {
        archive: Archive,
        key: String,
        range: Range<u64>,
    },
    /// A whole file, or a range of it, whose preamble is cleaned on the way.
    File {
        archive: Archive,
        key: String,
        range: Option<Range<u64>>,
    },
    Made(BoxFuture<'static, Result<Bytes, BoxError>>),
}

impl Part {
    /// A part whose bytes are there already.
    pub(crate) fn of_bytes(content_type: String, location: String, bytes: Bytes) -> Self {
        let (length, source) = (Some(bytes.len() as u64), Source::Here(bytes));
        Self { content_type, location, length, left_out: LeftOut::Never, source }
    }

    /// A whole DICOM file of `length` bytes, whose preamble is no program's any more.
    pub(crate) fn of_file(
        content_type: String,
        location: String,
        (archive, key, length): (&Archive, &str, u64),
    ) -> Self {
        let source = Source::File { archive: archive.clone(), key: key.to_owned(), range: None };
        Self { content_type, location, length: Some(length), left_out: LeftOut::Never, source }
    }

    /// A part of a blob.
    pub(crate) fn of_range(
        content_type: String,
        location: String,
        (archive, key, range): (&Archive, &str, Range<u64>),
    ) -> Self {
        let length = Some(range.end - range.start);
        let source = Source::Blob { archive: archive.clone(), key: key.to_owned(), range };
        Self { content_type, location, length, left_out: LeftOut::Never, source }
    }

    /// A part that is made when its turn comes; of `length` bytes, where that is known.
    pub(crate) fn made<E: Into<BoxError>>(
        content_type: String,
        location: String,
        length: Option<u64>,
        make: impl Future<Output = Result<Bytes, E>> + Send + 'static,
    ) -> Self {
        let make = async { make.await.map_err(Into::into) };
        Self { content_type, location, length, left_out: LeftOut::Never, source: Source::Made(make.boxed()) }
    }

    /// Left out of an answer of several where it is refused, when it was promised no length.
    pub(crate) fn or_left_out_when_refused(self) -> Self {
        let left_out = if self.length.is_none() { LeftOut::Refused } else { LeftOut::Never };
        Self { left_out, ..self }
    }

    /// The bytes of `range` alone, which the part has.
    pub(crate) fn cut(mut self, range: Range<u64>) -> Self {
        self.length = Some(range.end - range.start);
        self.source = match self.source {
            Source::Here(bytes) => Source::Here(within(&bytes, range)),
            Source::Made(make) => {
                Source::Made(make.map(|made| made.map(|bytes| within(&bytes, range))).boxed())
            }
            Source::Blob { archive, key, range: all } => {
                Source::Blob { archive, key, range: all.start + range.start..all.start + range.end }
            }
            Source::File { archive, key, range: all } => {
                let start = all.map_or(0, |all| all.start);
                Source::File { archive, key, range: Some(start + range.start..start + range.end) }
            }
        };
        self
    }

    async fn open(self) -> Result<Pieces, BoxError> {
        Ok(match self.source {
            Source::Here(bytes) => stream::once(async { Ok(bytes) }).boxed(),
            Source::Made(make) => {
                let bytes = make.await?;
                stream::once(async { Ok(bytes) }).boxed()
            }
            Source::Blob { archive, key, range } => {
                archive.stream_range(&key, range).await?.map_err(BoxError::from).boxed()
            }
            Source::File { archive, key, range: None } => {
                archive.stream_out(&key).await?.map_err(BoxError::from).boxed()
            }
            Source::File { archive, key, range: Some(range) } => {
                archive.stream_range_out(&key, range).await?.map_err(BoxError::from).boxed()
            }
        })
    }

    /// The part as the whole answer, or the range of it that the client wants; 304 or 416 where it wants none.
    ///
    /// # Errors
    ///
    /// What kept the part from being opened or made.
    pub(crate) async fn alone(self, headers: &HeaderMap, etag: &ETag) -> Result<Response, Problem> {
        if let Some(known) = etag.not_modified(headers) {
            return Ok(known);
        }
        let part = self.sized().await?;
        let whole = part.length.unwrap_or_default();
        let mut answer = Response::new(Body::empty());
        let put = |answer: &mut Response, name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                answer.headers_mut().insert(name, value);
            }
        };
        put(&mut answer, header::CONTENT_TYPE, &part.content_type);
        if !part.location.is_empty() {
            put(&mut answer, header::CONTENT_LOCATION, &part.location);
        }
        put(&mut answer, header::ACCEPT_RANGES, "bytes");
        let part = match etag.wanted(headers, whole) {
            Wanted::Whole => part,
            Wanted::Part(range) => {
                *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
                let place = format!("bytes {}-{}/{whole}", range.start, range.end - 1);
                put(&mut answer, header::CONTENT_RANGE, &place);
                part.cut(range)
            }
            Wanted::Beyond => {
                let detail = format!("there are {whole} bytes");
                let refusal =
                    Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range-not-satisfiable", detail);
                let place = HeaderValue::from_str(&format!("bytes */{whole}"));
                return Err(match place {
                    Ok(place) => refusal.with_header(header::CONTENT_RANGE, place),
                    Err(_) => refusal,
                });
            }
        };
        answer.headers_mut().insert(header::CONTENT_LENGTH, part.length.unwrap_or_default().into());
        *answer.body_mut() = Body::from_stream(part.open().await.map_err(unopened)?);
        Ok(etag.on(answer))
    }

    /// The part with its length: where that is not known, it is made now.
    ///
    /// # Errors
    ///
    /// What kept the part from being made.
    pub(crate) async fn sized(self) -> Result<Self, Problem> {
        match self {
            Self { length: None, source: Source::Made(make), content_type, location, .. } => {
                Ok(Self::of_bytes(content_type, location, make.await.map_err(unopened)?))
            }
            part => Ok(part),
        }
    }
}

fn within(bytes: &Bytes, range: Range<u64>) -> Bytes {
    let end = range.end.min(bytes.len() as u64) as usize;
    bytes.slice((range.start as usize).min(end)..end)
}

/// A refusal that came as such, or our own failure.
fn unopened(error: BoxError) -> Problem {
    match error.downcast::<Refusal>() {
        Ok(refusal) => refusal.0,
        Err(error) => match error.downcast::<ArchiveError>() {
            Ok(error) => (*error).into(),
            Err(error) => Problem::internal("instance-unreadable", error.as_ref()),
        },
    }
}

/// A problem on its way through a stream.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.code())]
pub(crate) struct Refusal(pub(crate) Problem);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

/// The parts in their order, under one Content-Length where all of theirs are known; `root` is the media type of the
/// first.
///
/// Where a part fails the connection breaks, so that no client takes the answer for whole, unless it is refused
/// and one of those that are then left out ([`Part::or_left_out_when_refused`]).
pub(crate) fn related(status: StatusCode, root: &str, parts: Vec<Part>) -> Response {
    // 122 random bits: no data holds it
    let boundary = format!("medilink-{}", Uuid::new_v4().simple());
    let close = Bytes::from(format!("--{boundary}--\r\n"));
    let parts: Vec<(Bytes, Part)> = parts.into_iter().map(|part| (head(&boundary, &part), part)).collect();
    let lengths: Option<u64> =
        parts.iter().map(|(head, part)| Some(head.len() as u64 + part.length? + 2)).sum();
    let length = lengths.map(|length| length + close.len() as u64);

    let here = |bytes: Bytes| stream::once(async { Ok(bytes) });
    let opened = stream::iter(parts).map(|(head, part)| {
        let left_out = part.left_out;
        // in a task of its own, so that it goes on while the part before is being sent
        let opening = tokio::spawn(part.open());
        async move { (head, left_out, opening.await.unwrap_or_else(|error| Err(error.into()))) }
    });
    let pieces = opened.buffered(AHEAD).flat_map(move |(head, left_out, opened)| match opened {
        Ok(pieces) => here(head).chain(pieces).chain(here(Bytes::from_static(b"\r\n"))).boxed(),
        Err(error) if left_out.on(&error) => {
            tracing::debug!(%error, "a part is left out");
            stream::empty().boxed()
        }
        Err(error) => stream::once(async { Err(error) }).boxed(),
    });
    let mut response = Response::new(Body::from_stream(pieces.chain(here(close))));
    *response.status_mut() = status;
    if let Some(length) = length {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    let content_type = format!("multipart/related; type=\"{root}\"; boundary={boundary}");
    if let Ok(content_type) = HeaderValue::from_str(&content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    }
    response
}

/// The delimiter before a part, with its headers.
fn head(boundary: &str, part: &Part) -> Bytes {
    let Part { content_type, location, length, .. } = part;
    let mut head = format!("--{boundary}\r\nContent-Type: {content_type}\r\n");
    if let Some(length) = length {
        head += &format!("Content-Length: {length}\r\n");
    }
    if !location.is_empty() {
        head += &format!("Content-Location: {location}\r\n");
    }
    head += "\r\n";
    head.into()
}
