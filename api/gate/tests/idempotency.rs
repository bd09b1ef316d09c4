//! A request that is sent twice is done once, on both databases.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Extension;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use clinical::id::ClinicId;
use gate::testing::{Answer, app};
use gate::{App, HttpLimits, Json, Problem, ShownOnce, idempotent};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::json;
use storage::records::idempotency::LEASE;
use storage::testing::{count, now, on_both};
use tokio::sync::Notify;

const CLINIC: ClinicId = ClinicId::DEFAULT;
const BODY: &str = r#"{"name":"Front desk"}"#;

/// Counts how often it ran.
#[derive(Clone, Default)]
struct Runs(Arc<AtomicUsize>);

impl Runs {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Makes a record that says which run made it.
    async fn create(self, request: Request<Body>) -> Response {
        let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let made = json!({"run": number, "bytes": body.len()});
        (StatusCode::CREATED, [(header::LOCATION, format!("/things/{number}"))], Json(made)).into_response()
    }
}

fn post(key: &str, body: &str) -> Request<Body> {
    let request = Request::post("/things?kind=1").header("idempotency-key", key);
    request.header("content-type", "application/json").body(Body::from(body.to_owned())).unwrap()
}

async fn read(answer: Response) -> Answer {
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

async fn send<F: Future<Output = Response> + Send + 'static>(
    app: &App,
    request: Request<Body>,
    run: impl FnOnce(Request<Body>) -> F + Send + 'static,
) -> Answer {
    read(idempotent(app, "user:1", CLINIC, request, run).await).await
}

async fn create(app: &App, request: Request<Body>, runs: &Runs) -> Answer {
    let runs = runs.clone();
    send(app, request, |request| runs.create(request)).await
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_and_nothing_runs_again() {
    on_both(async |db| {
        let (app, _folder) = app(&db, HttpLimits::default(), now());
        let runs = Runs::default();
        let first = create(&app, post("k-1", BODY), &runs).await;
        assert_eq!((first.status.as_u16(), first.header("idempotency-replayed")), (201, ""));
        assert_eq!(first.json(), json!({"run": 1, "bytes": BODY.len()}), "the handler read the whole body");
        let second = create(&app, post("k-1", BODY), &runs).await;
        assert_eq!((second.status, &second.body), (first.status, &first.body));
        assert_eq!(second.header("idempotency-replayed"), "true");
        assert_eq!(
            (second.header("location"), second.header("content-type")),
            ("/things/1", "application/json")
        );
        assert_eq!(create(&app, post("k-2", BODY), &runs).await.json()["run"], 2, "another key");
        assert_eq!(runs.count(), 2);
    })
    .await;
}

#[tokio::test]
async fn without_a_key_or_with_a_body_that_is_no_json_every_request_runs() {
    on_both(async |db| {
        let (app, _folder) = app(&db, HttpLimits::default(), now());
        let runs = Runs::default();
        for _ in 0..2 {
            let plain = Request::post("/things").body(Body::from(BODY)).unwrap();
            create(&app, plain, &runs).await;
            let mut form = post("k", BODY);
            form.headers_mut().insert(header::CONTENT_TYPE, "multipart/form-data".parse().unwrap());
            create(&app, form, &runs).await;
        }
        assert_eq!((runs.count(), count(&db, "idempotency").await), (4, 0));
    })
    .await;
}

#[tokio::test]
async fn another_body_or_path_under_the_same_key_is_refused() {
    on_both(async |db| {
        let (app, _folder) = app(&db, HttpLimits::default(), now());
        let runs = Runs::default();
        create(&app, post("k", BODY), &runs).await;
        let reused = (422, "idempotency-key-reused".to_owned());
        assert_eq!(create(&app, post("k", "{}"), &runs).await.problem(), reused);
        let mut elsewhere = post("k", BODY);
        *elsewhere.uri_mut() = "/things?kind=2".parse().unwrap();
        assert_eq!(create(&app, elsewhere, &runs).await.problem(), reused);
        let theirs = runs.clone();
        let answer = idempotent(&app, "user:2", CLINIC, post("k", "{}"), |it| theirs.create(it)).await;
        assert_eq!(answer.status(), 201, "a key is its caller's own");
        assert_eq!(runs.count(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_repeat_that_overtakes_the_first_is_told_to_wait() {
    on_both(async |db| {
        let (app, _folder) = app(&db, HttpLimits::default(), now());
        let (began, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let first = {
            let (app, began, go) = (app.clone(), began.clone(), go.clone());
            tokio::spawn(async move {
                let slow = |_| async move {
                    began.notify_one();
                    go.notified().await;
                    Json(json!("done")).into_response()
                };
                send(&app, post("k", BODY), slow).await
            })
        };
        began.notified().await;
        let early = create(&app, post("k", BODY), &Runs::default()).await;
        assert_eq!(early.problem(), (409, "request-in-progress".into()));
        assert_eq!(early.header("retry-after"), "1");
        go.notify_one();
        assert_eq!(first.await.unwrap().json(), "done");
        assert_eq!(create(&app, post("k", BODY), &Runs::default()).await.json(), "done");
    })
    .await;
}

/// The client's next try must find the answer that it missed.
#[tokio::test]
async fn a_client_that_hangs_up_does_not_stop_what_it_began() {
    on_both(async |db| {
        let (app, _folder) = app(&db, HttpLimits::default(), now());
        let (began, go, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let first = {
            let (app, began, go, done) = (app.clone(), began.clone(), go.clone(), done.clone());
            tokio::spawn(async move {
                let slow = |_| async move {
                    began.notify_one();
                    go.notified().await;
                    done.notify_one();
                    Json(json!("done")).into_response()
                };
                send(&app, post("k", BODY), slow).await
            })
        };
        began.notified().await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        go.notify_one();
        done.notified().await;
        let replayed = loop {
            let answer = create(&app, post("k", BODY), &Runs::default()).await;
            if answer.status != StatusCode::CONFLICT {
                break answer;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!((replayed.json(), replayed.header("idempotency-replayed")), (json!("done"), "true"));
    })
    .await;
}

#[tokio::test]
async fn what_failed_or_may_pass_later_runs_again_and_a_refusal_is_repeated() {
    on_both(async |db| {
        let (app, _folder) = app(&db, HttpLimits::default(), now());
        for status in [500, 503, 401, 403, 408, 429] {
            let key = format!("k-{status}");
            let fails = move |_| async move { StatusCode::from_u16(status).unwrap().into_response() };
            assert_eq!(send(&app, post(&key, BODY), fails).await.status, status);
            assert_eq!(create(&app, post(&key, BODY), &Runs::default()).await.status, 201, "{status}");
        }
        let taken = |_| async { Problem::conflict("taken", "it is taken").into_response() };
        assert_eq!(send(&app, post("k", BODY), taken).await.problem(), (409, "taken".into()));
        let again = create(&app, post("k", BODY), &Runs::default()).await;
        assert_eq!(again.problem(), (409, "taken".into()));
        assert_eq!(again.header("idempotency-replayed"), "true");
    })
    .await;
}

#[tokio::test]
async fn after_a_panic_the_request_runs_again() {
    on_both(async |db| {
        let (app, _folder) = app(&db, HttpLimits::default(), now());
        let broken = {
            let app = app.clone();
            tokio::spawn(async move {
                let panics = |_| async { panic!("a bug") };
                send(&app, post("k", BODY), panics).await
            })
        };
        assert!(broken.await.unwrap_err().is_panic(), "the net around all handlers hears of it");
        assert_eq!(create(&app, post("k", BODY), &Runs::default()).await.status, 201);
    })
    .await;
}

#[tokio::test]
async fn a_secret_or_long_answer_is_not_kept_and_its_request_not_run_twice() {
    on_both(async |db| {
        let (app, _folder) = app(&db, HttpLimits::default(), now());
        let secret = |_| async { (Extension(ShownOnce), Json(json!({"key": "mk_secret"}))).into_response() };
        let long = |_| async { Json("x".repeat(256 << 10)).into_response() };
        let other = |_| async { "plain".into_response() };
        assert_eq!(send(&app, post("secret", BODY), secret).await.json()["key"], "mk_secret");
        assert_eq!(send(&app, post("long", BODY), long).await.body.len(), (256 << 10) + 2);
        assert_eq!(send(&app, post("other", BODY), other).await.body, "plain");
        let runs = Runs::default();
        for key in ["secret", "long", "other"] {
            let repeat = create(&app, post(key, BODY), &runs).await;
            assert_eq!(repeat.problem(), (409, "answer-not-kept".into()), "{key}");
        }
        assert_eq!(runs.count(), 0);
        let kept = "SELECT count(*) FROM idempotency WHERE body IS NOT NULL";
        let mut read = db.read().await.unwrap();
        assert_eq!(storage::db::sql(kept).fetch_one::<i64>(&mut read).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn an_answer_without_a_body_is_kept_as_well() {
    on_both(async |db| {
        let (app, _folder) = app(&db, HttpLimits::default(), now());
        let empty = || Request::post("/x").header("idempotency-key", "k").body(Body::empty()).unwrap();
        let nothing = |_| async { StatusCode::NO_CONTENT.into_response() };
        assert_eq!(send(&app, empty(), nothing).await.status, 204);
        let repeat = create(&app, empty(), &Runs::default()).await;
        assert_eq!((repeat.status.as_u16(), repeat.header("idempotency-replayed")), (204, "true"));
        assert!(repeat.body.is_empty());
    })
    .await;
}

/// What a killed process leaves is a row that nobody finishes.
#[tokio::test]
async fn after_a_kill_a_repeat_is_refused_until_the_lease_is_over_and_then_says_that_it_ran_again() {
    on_both(async |db| {
        let (before, _folder) = app(&db, HttpLimits::default(), now());
        let lost = tokio::spawn(async move {
            send(&before, post("k", BODY), |_| std::future::pending()).await;
        });
        while count(&db, "idempotency").await == 0 {
            tokio::task::yield_now().await;
        }
        lost.abort();
        let runs = Runs::default();
        let (early, _folder) = app(&db, HttpLimits::default(), now() + LEASE / 2);
        let refused = create(&early, post("k", BODY), &runs).await;
        assert_eq!((refused.problem(), runs.count()), ((409, "request-in-progress".into()), 0));
        let (late, _folder) = app(&db, HttpLimits::default(), now() + LEASE);
        let second = create(&late, post("k", BODY), &runs).await;
        assert_eq!((second.status.as_u16(), second.header("idempotency-taken-over")), (201, "true"));
    })
    .await;
}

/// The draft leaves the key's form to the service, section 2.2 asks it to say which.
#[tokio::test]
async fn a_key_that_is_none_and_a_body_that_is_too_long_are_refused() {
    on_both(async |db| {
        let (app, _folder) = app(&db, HttpLimits { json_bytes: 64, ..HttpLimits::default() }, now());
        let runs = Runs::default();
        for key in ["", "a b", "k\u{e9}", &"k".repeat(256)] {
            let answer = create(&app, post(key, BODY), &runs).await;
            assert_eq!(answer.problem(), (400, "invalid-idempotency-key".into()), "{key:?}");
        }
        let mut twice = post("k", BODY);
        twice.headers_mut().append("idempotency-key", "l".parse().unwrap());
        assert_eq!(create(&app, twice, &runs).await.problem().0, 400);
        let long = format!(r#""{}""#, "x".repeat(64));
        assert_eq!(create(&app, post("k", &long), &runs).await.problem(), (413, "too-large".into()));
        assert_eq!(runs.count(), 0);
        assert_eq!(create(&app, post(&"k".repeat(255), BODY), &runs).await.status, 201);
    })
    .await;
}
