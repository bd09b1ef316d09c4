//! What stands around all houses: request id, log line, numbers, headers, and the last net.

use std::any::Any;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;
use tracing::field::Empty;

use crate::body::WatchedBody;
use crate::request_id::{RequestId, X_REQUEST_ID};
use crate::{App, Problem, Routes};

/// The route of requests that no route takes.
const UNMATCHED: &str = "unmatched";

/// Puts around `routes` what every request passes; nothing may be added to them afterwards.
pub fn layers(routes: Routes, app: App) -> Router {
    routes
        .into_router()
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(app.limits.json_bytes))
        .layer(CatchPanicLayer::custom(after_panic))
        .layer(from_fn_with_state(app, pass))
}

async fn no_such_path() -> Problem {
    let detail = "there is nothing under this path; /openapi.json lists what there is";
    Problem::new(StatusCode::NOT_FOUND, "no-such-path", detail)
}

/// axum adds the header `Allow`.
async fn no_such_method() -> Problem {
    let detail = "this path does not take this method; the header Allow lists those that it takes";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
}

/// What a panic says may hold what was being worked on: it is neither shown nor logged here.
fn after_panic(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a handler panicked");
    Problem::failed("internal").into_response()
}

async fn pass(State(app): State<App>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = RequestId::of(request.headers());
    let method = known(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    // A client that waits for "100 Continue" has sent nothing that would have to be heard out.
    let is_sending = !request.headers().contains_key(header::EXPECT);

    let (mut parts, body) = request.into_parts();
    let (body, left) = WatchedBody::new(body, app.limits.body_idle);
    parts.extensions.insert(id.clone());
    parts.extensions.insert(app);
    let span = tracing::info_span!(
        "request",
        request.id = %id,
        http.method = method,
        http.route = route,
        http.status = Empty
    );
    let answer = next.run(Request::from_parts(parts, Body::new(body))).instrument(span.clone()).await;
    if is_sending && (answer.status().is_client_error() || answer.status().is_server_error()) {
        left.drain().await;
    }

    let status = answer.status().as_u16();
    span.record("http.status", status);
    let duration = began.elapsed();
    let labels = [("method", method.to_owned()), ("route", route.to_owned())];
    metrics::histogram!("http_request_duration_seconds", &labels).record(duration);
    let labels = [labels.as_slice(), &[("status", status.to_string())]].concat();
    metrics::counter!("http_requests_total", &labels).increment(1);
    tracing::info!(
        http.method = method,
        http.route = route,
        http.status = status,
        duration_ms = duration.as_secs_f64() * 1_000.0,
        request.id = %id,
        "{method} {route} {status}"
    );
    dressed(answer, &id)
}

/// The method as a label: the standard's own names and no others, so that a client cannot make up rows.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

/// The answer with its request id and the headers that all answers have.
fn dressed(mut answer: Response, id: &RequestId) -> Response {
    if let Some(problem) = answer.extensions_mut().remove::<Problem>() {
        answer.headers_mut().remove(header::CONTENT_LENGTH);
        *answer.body_mut() = Body::from(problem.document(Some(id)));
    }
    let headers = answer.headers_mut();
    headers.insert(X_REQUEST_ID, id.header());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}
