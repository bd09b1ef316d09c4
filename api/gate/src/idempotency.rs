//! A request that is sent twice is done once: the header `Idempotency-Key`.
//!
//! As draft-ietf-httpapi-idempotency-key-header-07 has it: the client makes up
//! a name for a POST; a repeat under that name gets the first one's answer.
//! Names are the caller's own, within the clinic, and last 24 hours.
//!
//! A request that runs is not cut off when its client hangs up, since the
//! client's next try must find an answer. What a killed process leaves behind
//! refuses repeats for five minutes (409 `request-in-progress`): nobody knows
//! whether its change was committed. Then a repeat runs the request again and
//! its answer says so by `Idempotency-Taken-Over: true`, for the client to look
//! whether the record is there twice.

use std::panic::AssertUnwindSafe;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use clinical::id::ClinicId;
use futures::FutureExt;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Body as _;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use storage::records::idempotency::{self, Claim, Kept, Named, Run};
use tracing::Instrument;

use crate::{App, Problem, body_problem};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const TAKEN_OVER: HeaderName = HeaderName::from_static("idempotency-taken-over");

/// Most characters of a name.
const KEY_CHARACTERS: usize = 255;
/// Most bytes of an answer that is kept.
const ANSWER_BYTES: u64 = 256 << 10;
/// When a repeat that came too early may come again, in seconds.
const RETRY_AFTER_S: u64 = 1;
/// The headers that a repeat needs as well.
const KEPT_HEADERS: [HeaderName; 5] =
    [header::CONTENT_TYPE, header::CONTENT_LOCATION, header::ETAG, header::LINK, header::LOCATION];

/// In an answer's extensions: it holds a secret that is shown once, so a repeat does not get it
/// (409 `answer-not-kept`). `(StatusCode::CREATED, Extension(ShownOnce), Json(key))`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShownOnce;

/// The answer of `run` to `request`, or the answer that the same request had before.
///
/// Without the header, and where the body is neither JSON nor empty, `run` answers. For routes that take a JSON POST
/// and do not stream: what streams (STOW-RS, uploads) may be sent again anyway. `caller` names whoever asks, in this
/// clinic; `run` owns all that must last until the request is done. Not kept: answers of 500 and above, and refusals
/// that another try may not get (401, 403, 408, 425, 429): a repeat runs again.
///
/// Problems: 400 `invalid-idempotency-key`; 409 `request-in-progress` with `Retry-After`; 409 `answer-not-kept` where
/// the answer was secret, longer than 256 KiB or no JSON; 413 `too-large` for a body beyond
/// [`crate::HttpLimits::json_bytes`]; 422 `idempotency-key-reused`.
pub async fn idempotent<F, Fut>(
    app: &App,
    caller: &str,
    clinic: ClinicId,
    request: Request,
    run: F,
) -> Response
where
    F: FnOnce(Request) -> Fut + Send + 'static,
    Fut: Future<Output = Response> + Send + 'static,
{
    let key = match key_of(request.headers()) {
        Ok(Some(key)) => key,
        Ok(None) => return run(request).await,
        Err(problem) => return problem.into_response(),
    };
    let (parts, body) = request.into_parts();
    if !body.is_end_stream() && !is_json(&parts.headers) {
        return run(Request::from_parts(parts, body)).await;
    }
    let whole = match read(body, app.limits.json_bytes).await {
        Ok(whole) => whole,
        Err(problem) => return problem.into_response(),
    };
    let named = Named { clinic, caller: caller.to_owned(), key, fingerprint: fingerprint(&parts, &whole) };
    match idempotency::claim(&app.db, &named, app.clock.now()).await {
        Ok(Claim::Run(claimed)) => {
            let request = Request::from_parts(parts, Body::from(whole));
            to_the_end(app.clone(), claimed, run(request)).await
        }
        Ok(Claim::Running) => in_progress().into_response(),
        Ok(Claim::Reused) => reused().into_response(),
        Ok(Claim::Done(kept)) => replayed(kept),
        Err(error) => Problem::from(error).into_response(),
    }
}

/// The name that the client gave its request.
fn key_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let (first, second) = (values.next(), values.next());
    let Some(value) = first else { return Ok(None) };
    let is_good = second.is_none()
        && (1..=KEY_CHARACTERS).contains(&value.len())
        && value.as_bytes().iter().all(u8::is_ascii_graphic);
    let key = value.to_str().ok().filter(|_| is_good).map(str::to_owned);
    let wrong = "Idempotency-Key is one text of 1 to 255 visible ASCII characters";
    key.map(Some).ok_or_else(|| Problem::bad_request("invalid-idempotency-key", wrong))
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.starts_with("application/") && kind.ends_with("+json")
}

async fn read(body: Body, most_bytes: usize) -> Result<Bytes, Problem> {
    let read = Limited::new(body, most_bytes).collect().await;
    read.map(|whole| whole.to_bytes()).map_err(|error| body_problem(&*error))
}

/// SHA-256 of method, path with query, and body.
fn fingerprint(parts: &Parts, body: &[u8]) -> String {
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    // Neither a method nor a path has a line end, so no two requests give one text.
    let digest =
        Sha256::new().chain_update(format!("{}\n{path}\n", parts.method)).chain_update(body).finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs the request in a task of its own and keeps its answer, whether the client still waits or not.
async fn to_the_end(
    app: App,
    claimed: Run,
    answer: impl Future<Output = Response> + Send + 'static,
) -> Response {
    let task = async move {
        match AssertUnwindSafe(answer).catch_unwind().await {
            Ok(answer) => remembered(&app, claimed, answer).await,
            Err(panic) => {
                forget(&app, claimed).await;
                std::panic::resume_unwind(panic)
            }
        }
    };
    match tokio::spawn(task.in_current_span()).await {
        Ok(answer) => answer,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Problem::failed("internal").into_response(),
        },
    }
}

/// The answer, once it is kept for repeats.
async fn remembered(app: &App, claimed: Run, answer: Response) -> Response {
    if !is_final(answer.status()) {
        forget(app, claimed).await;
        return answer;
    }
    let is_second = claimed.is_second;
    let is_shown_once = answer.extensions().get::<ShownOnce>().is_some();
    let (mut parts, body) = answer.into_parts();
    let headers = KEPT_HEADERS.iter().filter_map(|name| {
        let value = parts.headers.get(name)?.to_str().ok()?;
        Some((name.to_string(), value.into()))
    });
    let headers = Value::Object(headers.collect::<Map<_, _>>());
    let has_text = is_json(&parts.headers) || is_problem(&parts.headers) || body.is_end_stream();
    let is_short = body.size_hint().exact().is_some_and(|bytes| bytes <= ANSWER_BYTES);
    let (body, text) = if has_text && is_short && !is_shown_once {
        match body.collect().await {
            Ok(whole) => {
                let whole = whole.to_bytes();
                let text = std::str::from_utf8(&whole).ok().map(str::to_owned);
                (Body::from(whole), text)
            }
            Err(error) => {
                parts = Problem::internal("answer-broken", &error).into_response().into_parts().0;
                (Body::empty(), None)
            }
        }
    } else {
        (body, None)
    };
    let kept = Kept { status: parts.status.as_u16(), headers, body: text };
    if let Err(error) = claimed.keep(&app.db, kept).await {
        // The change is committed: the client must hear of it.
        tracing::error!(%error, "an answer could not be kept for a repeat");
    }
    if is_second {
        tracing::warn!("a request that a lost process had begun was run again");
        parts.headers.insert(TAKEN_OVER, HeaderValue::from_static("true"));
    }
    Response::from_parts(parts, body)
}

/// Whether another try would get the same.
fn is_final(status: StatusCode) -> bool {
    !status.is_server_error() && !matches!(status.as_u16(), 401 | 403 | 408 | 425 | 429)
}

fn is_problem(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value == "application/problem+json")
}

async fn forget(app: &App, claimed: Run) {
    if let Err(error) = claimed.forget(&app.db).await {
        tracing::error!(%error, "a failed request could not be forgotten: repeats are refused for five minutes");
    }
}

fn replayed(kept: Kept) -> Response {
    let Some(body) = kept.body else {
        let detail = "the request was done; its answer was not kept, so look at the record itself";
        return Problem::conflict("answer-not-kept", detail).with_header(REPLAYED, yes()).into_response();
    };
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    for name in KEPT_HEADERS {
        let value = kept.headers.get(name.as_str()).and_then(Value::as_str);
        if let Some(value) = value.and_then(|text| HeaderValue::from_str(text).ok()) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer.headers_mut().insert(REPLAYED, yes());
    answer
}

fn yes() -> HeaderValue {
    HeaderValue::from_static("true")
}

fn in_progress() -> Problem {
    Problem::conflict("request-in-progress", "the first request under this Idempotency-Key has no answer yet")
        .with_header(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S))
}

fn reused() -> Problem {
    let detail = "another request has this Idempotency-Key; give each request a new one";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", detail)
}
