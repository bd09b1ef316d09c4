//! What browsers are told about pages of other origins.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use gate::{Origins, open_to};
use http::{HeaderMap, Method, Request, StatusCode};
use tower::ServiceExt;

const VIEWER: &str = "https://viewer.example";

async fn ask(
    router: &Router,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, HeaderMap) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    (answer.status(), answer.headers().clone())
}

fn allowed(headers: &HeaderMap) -> Option<&str> {
    headers.get("access-control-allow-origin").map(|origin| origin.to_str().unwrap())
}

fn street(origins: &[&str]) -> Router {
    let origins: Vec<String> = origins.iter().map(|origin| (*origin).to_owned()).collect();
    let routes = Router::new()
        .route("/dicom-web/studies", get(async || "[]"))
        .route("/api/v1/patients", get(async || "[]"));
    open_to(Origins::read(&origins).unwrap(), routes)
}

/// WHATWG, «Fetch», section 3.2: the preflight, then the request itself.
#[tokio::test]
async fn a_page_of_a_named_origin_may_read_dicomweb_and_nothing_else() {
    let street = street(&[VIEWER]);
    let preflight = [("origin", VIEWER), ("access-control-request-method", "GET")];
    let (status, headers) = ask(&street, Method::OPTIONS, "/dicom-web/studies", &preflight).await;
    assert_eq!((status, allowed(&headers)), (StatusCode::NO_CONTENT, Some(VIEWER)));
    assert!(headers["access-control-allow-headers"].to_str().unwrap().contains("authorization"));
    assert_eq!(headers.get("access-control-allow-credentials"), None, "a token is shown, no cookie");

    let (status, headers) = ask(&street, Method::GET, "/dicom-web/studies", &[("origin", VIEWER)]).await;
    assert_eq!((status, allowed(&headers)), (StatusCode::OK, Some(VIEWER)));
    assert!(headers["access-control-expose-headers"].to_str().unwrap().contains("x-total-count"));
    assert_eq!(headers["vary"], "origin");

    let (_, headers) = ask(&street, Method::GET, "/api/v1/patients", &[("origin", VIEWER)]).await;
    assert_eq!(allowed(&headers), None);
}

#[tokio::test]
async fn a_page_of_another_origin_may_not_and_without_a_setting_none_may() {
    let other = [("origin", "https://viewer.example.evil"), ("access-control-request-method", "GET")];
    for street in [street(&[VIEWER]), street(&[])] {
        let (status, headers) = ask(&street, Method::OPTIONS, "/dicom-web/studies", &other).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(allowed(&headers), None);
    }
    let (_, headers) = ask(&street(&[]), Method::GET, "/dicom-web/studies", &[("origin", VIEWER)]).await;
    assert_eq!(allowed(&headers), None);
    let (_, headers) = ask(&street(&["*"]), Method::GET, "/dicom-web/studies", &[("origin", VIEWER)]).await;
    assert_eq!(allowed(&headers), Some("*"));
}
