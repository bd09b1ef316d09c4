//! The switch from HTTP to WebSocket (RFC 6455, section 4.2).

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::connection::{Knock, serve};
use super::{Sockets, incoming};
use crate::guard::{address_of, bearer};
use crate::{Problem, RequestId};

/// `GET /ws`, `GET /api/ws`
pub(super) async fn connect(
    State(sockets): State<Sockets>,
    mut request: Request,
) -> Result<Response, Problem> {
    let accept = accepted(request.method(), request.headers())?;
    let upgrade = request.extensions_mut().remove::<OnUpgrade>().ok_or_else(not_a_websocket)?;
    let room = &sockets.0;
    if room.hub.position().is_none() {
        return Err(busy("not-ready", "the service has just begun; try again"));
    }
    let Ok(place) = std::sync::Arc::clone(&room.places).try_acquire_owned() else {
        return Err(busy(
            "too-many-connections",
            "the service has as many connections as it takes; try again",
        ));
    };
    let admitted = match bearer(request.headers()) {
        Some(token) => Some(room.app.authenticator.admit(token).await?),
        None => None,
    };
    let knock = Knock {
        admitted,
        last_event: last_event(&request)?,
        address: address_of(&room.app, &request).map(|address| address.to_string()),
        request_id: request.extensions().get::<RequestId>().map(ToString::to_string),
        _place: place,
    };
    tokio::spawn(serve(sockets.clone(), upgrade, knock));

    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(answer)
}

/// The answer to the client's key, where the request asks for a switch to WebSocket.
fn accepted(method: &Method, headers: &HeaderMap) -> Result<HeaderValue, Problem> {
    let lists = |name, word: &str| {
        let words = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        words.flat_map(|words| words.split(',')).any(|it| it.trim().eq_ignore_ascii_case(word))
    };
    let asks = method == Method::GET
        && lists(header::CONNECTION, "upgrade")
        && lists(header::UPGRADE, "websocket")
        && lists(header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| asks && key.len() == 24);
    let accept = derive_accept_key(key.ok_or_else(not_a_websocket)?.as_bytes());
    HeaderValue::from_str(&accept).map_err(|_| not_a_websocket())
}

/// The last message that the client has seen, by the header `Last-Event-ID` or the parameter `lastEventId`.
fn last_event(request: &Request) -> Result<Option<i64>, Problem> {
    let header = request.headers().get("last-event-id").map(|value| value.to_str().unwrap_or_default());
    let query = request.uri().query().unwrap_or_default().split('&');
    let named = header.or_else(|| query.filter_map(|pair| pair.strip_prefix("lastEventId=")).next());
    let wrong = || Problem::bad_request("invalid-query", "lastEventId is the eventId of a message");
    named.map(|text| incoming::position(text).ok_or_else(wrong)).transpose()
}

fn not_a_websocket() -> Problem {
    let detail = "this path is a WebSocket: GET with Connection: Upgrade, Upgrade: websocket, Sec-WebSocket-Version: 13 and Sec-WebSocket-Key";
    Problem::bad_request("not-a-websocket", detail)
        .with_header(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
}

fn busy(code: &'static str, detail: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
        .with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    /// The key and its answer are those of RFC 6455, section 1.3.
    #[test]
    fn the_key_of_the_standard_gets_its_answer() {
        let asked = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        assert_eq!(accepted(&Method::GET, &headers(&asked)).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(accepted(&Method::POST, &headers(&asked)).is_err());
        for left_out in 0..asked.len() {
            let fewer: Vec<_> = asked.iter().copied().filter(|pair| *pair != asked[left_out]).collect();
            assert_eq!(accepted(&Method::GET, &headers(&fewer)).unwrap_err().code(), "not-a-websocket");
        }
    }
}
