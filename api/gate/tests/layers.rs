//! What stands around every house, asked through a router of the smallest houses.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use clinical::role::{Action, Resource};
use gate::testing::{Answer, TOKEN, app, get, post_json, request, send};
use gate::{Caller, HttpLimits, Json, Path, Problem, Query, Routes, Rule, layers};
use http::{Method, Request};
use storage::db::Db;
use storage::testing::now;
use uuid::Uuid;

async fn whoami(caller: Caller) -> String {
    caller.name
}

async fn panics() -> &'static str {
    panic!("Test^Ada, born 19800101");
}

async fn echo(Json(value): Json<Vec<u32>>) -> Json<Vec<u32>> {
    Json(value)
}

async fn record(Path(id): Path<Uuid>) -> String {
    id.to_string()
}

#[derive(serde::Deserialize)]
struct Filter {
    number: u32,
}

async fn filtered(Query(filter): Query<Filter>) -> String {
    filter.number.to_string()
}

async fn refuses_unread() -> Problem {
    Problem::conflict("taken", "it is taken")
}

async fn reads_bytes(body: Bytes) -> String {
    body.len().to_string()
}

async fn street() -> (Router, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&format!("sqlite:{}", folder.path().join("rows.sqlite").display())).await.unwrap();
    db.migrate().await.unwrap();
    let (app, _) = app(&db, HttpLimits { json_bytes: 64, ..HttpLimits::default() }, now());
    let me = Rule::may(Action::Read, Resource::Account).own_by_caller();
    let routes = Routes::new("smallest")
        .add(gate::get("/me", me), whoami)
        .add(gate::get("/panics", Rule::PUBLIC), panics)
        .add(gate::post("/echo", Rule::PUBLIC), echo)
        .add(gate::get("/records/{id}", Rule::PUBLIC), record)
        .add(gate::get("/filtered", Rule::PUBLIC), filtered)
        .add(gate::post("/refuses", Rule::PUBLIC), refuses_unread)
        .add(gate::post("/bytes", Rule::PUBLIC), reads_bytes)
        .with_state(app.clone());
    (layers(routes, app), folder)
}

async fn plain(router: &Router, method: Method, path: &str, header: (&str, &str)) -> Answer {
    let request = Request::builder().method(method).uri(path).header(header.0, header.1);
    send(router, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn without_the_token_nothing_is_told() {
    let (router, _folder) = street().await;
    let missing = plain(&router, Method::GET, "/me", ("accept", "*/*")).await;
    assert_eq!(missing.problem(), (401, "token-missing".into()));
    assert_eq!(missing.header("www-authenticate"), "Bearer");
    let wrong = plain(&router, Method::GET, "/me", ("authorization", "Bearer guess")).await;
    assert_eq!(wrong.problem(), (401, "token-invalid".into()));
    assert!(wrong.header("www-authenticate").starts_with("Bearer "));
    let right = plain(&router, Method::GET, "/me", ("authorization", &format!("bearer {TOKEN}"))).await;
    assert_eq!((right.status.as_u16(), &right.body[..]), (200, &b"administrator"[..]));
}

#[tokio::test]
async fn every_answer_has_the_request_id_that_came_or_a_new_one() {
    let (router, _folder) = street().await;
    let kept = plain(&router, Method::GET, "/nowhere", ("x-request-id", "mine-1")).await;
    assert_eq!(kept.header("x-request-id"), "mine-1");
    assert_eq!(kept.json()["instance"], "urn:medilink:request:mine-1");
    let made = plain(&router, Method::GET, "/nowhere", ("x-request-id", "not a token")).await;
    assert_eq!(made.header("x-request-id").len(), 32, "a UUID without dashes");
    assert_eq!(get(&router, "/me").await.header("x-content-type-options"), "nosniff");
    assert_eq!(get(&router, "/me").await.header("cache-control"), "no-store");
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_allowed_are_problems() {
    let (router, _folder) = street().await;
    assert_eq!(get(&router, "/nowhere").await.problem(), (404, "no-such-path".into()));
    let method = send(&router, request(Method::DELETE, "/echo").body(Body::empty()).unwrap()).await;
    assert_eq!(method.problem(), (405, "method-not-allowed".into()));
    assert_eq!(method.header("allow"), "POST");
    assert_eq!(get(&router, "/records/dicom-123").await.problem(), (404, "not-found".into()));
    assert_eq!(get(&router, "/filtered?number=x").await.problem(), (400, "invalid-query".into()));
}

#[tokio::test]
async fn a_bad_json_body_is_told_apart_by_its_fault() {
    let (router, _folder) = street().await;
    let post = async |kind: &str, body: &str| {
        let request = request(Method::POST, "/echo").header("content-type", kind);
        send(&router, request.body(Body::from(body.to_owned())).unwrap()).await.problem()
    };
    assert_eq!(post("text/html", "[1]").await, (415, "unsupported-media-type".into()));
    assert_eq!(post("application/json", "[1").await, (400, "invalid-json".into()));
    assert_eq!(post("application/json", "{}").await, (422, "invalid-json".into()));
    assert_eq!(post("application/json", &"[1] ".repeat(50)).await, (413, "too-large".into()));
    let whole = post_json(&router, "/echo", &serde_json::json!([1, 2])).await;
    assert_eq!(whole.json(), serde_json::json!([1, 2]));
}

#[tokio::test]
async fn a_panic_is_a_500_that_says_nothing_of_its_cause() {
    let (router, _folder) = street().await;
    let answer = get(&router, "/panics").await;
    assert_eq!(answer.problem(), (500, "internal".into()));
    assert!(!String::from_utf8_lossy(&answer.body).contains("Ada"));
}

#[tokio::test]
async fn a_refusal_hears_the_body_out() {
    let (router, _folder) = street().await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let body = futures::stream::unfold(receiver, async |mut receiver| {
        let piece = receiver.recv().await?;
        Some((Ok::<_, std::io::Error>(piece), receiver))
    });
    let sending = tokio::spawn(async move {
        for _ in 0..50 {
            sender.send(Bytes::from(vec![0; 1_000])).await.unwrap();
        }
    });
    let request = request(Method::POST, "/refuses").body(Body::from_stream(body)).unwrap();
    assert_eq!(send(&router, request).await.problem(), (409, "taken".into()));
    sending.await.expect("every piece was taken");
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_path() {
    gate::metrics::install().unwrap();
    gate::metrics::install().expect("a second call changes nothing");
    let (router, _folder) = street().await;
    let id = Uuid::nil();
    assert_eq!(get(&router, &format!("/records/{id}?name=Ada")).await.status.as_u16(), 200);
    assert_eq!(get(&router, "/patients/Ada").await.status.as_u16(), 404);
    let text = gate::metrics::render();
    assert!(
        text.contains(r#"http_requests_total{method="GET",route="/records/{id}",status="200"}"#),
        "{text}"
    );
    assert!(text.contains(r#"http_requests_total{method="GET",route="unmatched",status="404"}"#), "{text}");
    assert!(text.contains(r#"http_request_duration_seconds_bucket{method="GET",route="/records/{id}",le="#));
    assert!(!text.contains("Ada") && !text.contains(&id.to_string()), "{text}");
}
