//! Viewers of other origins: a browser lets their pages read images and what is told of them where a site allows it.
//!
//! DICOMweb alone is opened so, never with the browser's own credentials: whoever asks shows a token.
//!
//! Source: WHATWG, «Fetch», section 3.2 (the CORS protocol).

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

/// What begins so is opened, and `/wado`.
const OPEN: &str = "/dicom-web/";
const WADO: &str = "/wado";
/// What a page may do, with which headers, and for how many seconds its browser may remember that.
const PREFLIGHT: [(HeaderName, &str); 3] = [
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT, DELETE, OPTIONS"),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "accept, authorization, content-type, idempotency-key, if-none-match, if-range, range, x-clinic-id",
    ),
    (header::ACCESS_CONTROL_MAX_AGE, "600"),
];
/// What of an answer a page may read beyond the few headers that it always may.
const READABLE: &str = "accept-ranges, content-length, content-location, content-range, etag, link, location, \
                        retry-after, warning, x-request-id, x-total-count";

/// Which origins are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no origin: `https://HOST` or `https://HOST:PORT`, without a path, or `*`")]
pub struct OriginError(String);

/// The origins whose pages may read DICOMweb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    any: bool,
    named: Arc<[HeaderValue]>,
}

impl Origins {
    /// Reads `https://HOST[:PORT]`, or `*` for every one.
    ///
    /// # Errors
    ///
    /// [`OriginError`] for what no browser would send.
    pub fn read(origins: &[String]) -> Result<Self, OriginError> {
        let named = origins.iter().filter(|origin| *origin != "*").map(|origin| read(origin));
        Ok(Self { any: origins.iter().any(|origin| origin == "*"), named: named.collect::<Result<_, _>>()? })
    }

    /// What the answer to this origin says; `None` where it may not read.
    fn answer_to(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        let origin = origin?;
        match self.any {
            true => Some(HeaderValue::from_static("*")),
            false => self.named.contains(origin).then(|| origin.clone()),
        }
    }
}

/// One origin, as browsers write it (RFC 6454, section 6.2): scheme and host in lower case, no path.
fn read(origin: &str) -> Result<HeaderValue, OriginError> {
    let wrong = || OriginError(origin.to_owned());
    let uri: Uri = origin.parse().map_err(|_| wrong())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(wrong()) };
    let written = format!("{scheme}://{authority}");
    let is_origin = matches!(scheme, "http" | "https")
        && written == origin
        && !origin.contains('@')
        && !origin.bytes().any(|byte| byte.is_ascii_uppercase());
    HeaderValue::try_from(origin).ok().filter(|_| is_origin).ok_or_else(wrong)
}

/// The street, open for these origins where it is for viewers; as it was where there are none.
pub fn open_to(origins: Origins, street: Router) -> Router {
    if !origins.any && origins.named.is_empty() {
        return street;
    }
    street.layer(from_fn_with_state(origins, pass))
}

async fn pass(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if !path.starts_with(OPEN) && path != WADO {
        return next.run(request).await;
    }
    let allowed = origins.answer_to(request.headers().get(header::ORIGIN));
    let is_preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut answer = match (is_preflight, &allowed) {
        (true, Some(_)) => {
            let headers: HeaderMap =
                PREFLIGHT.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
            (StatusCode::NO_CONTENT, headers).into_response()
        }
        _ => next.run(request).await,
    };
    let headers = answer.headers_mut();
    if !origins.any {
        // what lies between must not show one origin the answer to another
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    if let Some(origin) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(READABLE));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        let read = |origin: &str| Origins::read(&[origin.to_owned()]);
        for origin in ["https://viewer.example", "http://localhost:3000", "https://[2001:db8::1]:8443", "*"] {
            assert!(read(origin).is_ok(), "{origin}");
        }
        for wrong in [
            "viewer.example",
            "https://viewer.example/",
            "https://Viewer.example",
            "null",
            "ftp://a.b",
            "",
            "https://a@b.c",
        ] {
            assert_eq!(read(wrong), Err(OriginError(wrong.to_owned())), "{wrong}");
        }
    }
}
