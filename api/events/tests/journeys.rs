//! Events, webhooks, their deliveries and dead jobs over HTTP, on both databases.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

use axum::Router;
use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clinical::event::Event;
use clinical::id::{ClinicId, FindingId, StudyId, WebhookId};
use clinical::job::{Job, Queue};
use clinical::role::Role;
use gate::testing::{Answer, app, get, post_json, request, send, token_of};
use gate::{App, HttpLimits, layers};
use http::{Method, header};
use serde_json::{Value, json};
use storage::db::{Db, sql};
use storage::outbox::relay::{Work, place_all};
use storage::outbox::{after, tell};
use storage::queue::{self, QueueLimits};
use storage::records::member::Position;
use storage::records::webhook::delivery::Delivery;
use storage::records::webhook::target::Targets;
use storage::testing::{now, on_both};

const CLINIC: ClinicId = ClinicId::DEFAULT;
const HOOK: &str = "https://example.org/hook";

fn house(db: &Db) -> (Router, App, tempfile::TempDir) {
    let (app, folder) = app(db, HttpLimits::default(), now());
    (layers(events::routes(app.clone(), Targets::PublicOnly), app.clone()), app, folder)
}

async fn call(house: &Router, method: Method, path: &str, body: Option<Value>) -> Answer {
    let request = request(method, path).header(header::CONTENT_TYPE, "application/json");
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    send(house, request.body(body).unwrap()).await
}

/// A webhook made over HTTP; its answer.
async fn made(house: &Router) -> Value {
    let answer =
        post_json(house, "/api/v1/webhooks", &json!({"url": HOOK, "description": " the archive "})).await;
    assert_eq!(answer.status.as_u16(), 201, "{:?}", answer.body);
    answer.json()
}

async fn told(db: &Db, event: &Event) {
    let mut tx = db.begin().await.unwrap();
    tell(&mut tx, CLINIC, event, now()).await.unwrap();
    tx.commit().await.unwrap();
    place_all(db, Work::None).await.unwrap();
}

/// A delivery of each event so far, planned as the hub plans it.
async fn planned(db: &Db, webhook: &Value) {
    let webhook: WebhookId = webhook["id"].as_str().unwrap().parse().unwrap();
    let events = after(&mut db.read().await.unwrap(), 0, 100).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    for told in events {
        Delivery::plan(&mut tx, webhook, &told, now()).await.unwrap();
    }
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn the_clinics_events_are_listed_by_category_and_name() {
    on_both(async |db| {
        let (house, _app, _folder) = house(&db);
        let (study_id, finding_id) = (StudyId::new(), FindingId::new());
        told(&db, &Event::FindingsReady { study_id, analysis_ids: Vec::new(), found: None }).await;
        told(&db, &Event::FindingReviewed { finding_id, review: None }).await;
        told(&db, &Event::WebhookDisabled { webhook_id: WebhookId::new() }).await;
        let all = get(&house, "/api/v1/events").await.json();
        assert_eq!(all.as_array().unwrap().len(), 3);
        assert_eq!(all[0]["type"], "webhook_disabled", "newest first");
        let records = get(&house, "/api/v1/events?category=EHR_RECORD").await.json();
        assert_eq!(records, json!([all[1], all[2]]));
        let ready = get(&house, "/api/v1/events?type=findings_ready").await.json();
        assert_eq!(ready, json!([all[2]]));
        assert_eq!(ready[0]["aggregate"], json!({"kind": "study", "id": study_id}));
        assert_eq!(ready[0]["data"], json!({"study_id": study_id, "analysis_ids": []}));
        assert_eq!(ready[0]["priority"], "HIGH");
        assert_eq!(
            get(&house, "/api/v1/events?category=BILLING&type=findings_ready").await.json(),
            json!([])
        );
        assert_eq!(get(&house, "/api/v1/events?category=LUNCH").await.problem().0, 400);

        let page = get(&house, "/api/v1/events?category=EHR_RECORD&limit=1").await;
        let link = page.header("link").to_owned();
        let next = get(&house, &link[1..link.find('>').unwrap()]).await;
        assert_eq!((page.json(), next.json()), (json!([all[1]]), json!([all[2]])));
    })
    .await;
}

#[tokio::test]
async fn a_webhook_shows_its_secret_once_and_keeps_it_sealed() {
    on_both(async |db| {
        let (house, app, _folder) = house(&db);
        let made = made(&house).await;
        let secret = made["secret"].as_str().unwrap();
        let bytes = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        assert_eq!(bytes.len(), 32);
        assert_eq!((&made["state"], &made["description"]), (&json!("active"), &json!("the archive")));
        let path = format!("/api/v1/webhooks/{}", made["id"].as_str().unwrap());
        let shown = get(&house, &path).await.json();
        assert!(shown.get("secret").is_none());
        assert_eq!(get(&house, "/api/v1/webhooks").await.json(), json!([shown]));
        let kept: String =
            sql("SELECT secret FROM webhooks").fetch_one(&mut db.read().await.unwrap()).await.unwrap();
        assert!(!kept.contains(secret.trim_start_matches("whsec_")));
        let opened = app.authenticator.keyring().open(CLINIC, "webhook", &kept.parse().unwrap()).unwrap();
        assert_eq!(*opened, *bytes);

        let rotated = call(&house, Method::POST, &format!("{path}/rotate-secret"), None).await;
        assert_eq!(rotated.status.as_u16(), 200);
        assert_ne!(rotated.json()["secret"], made["secret"]);
        let previous: i64 = sql("SELECT count(*) FROM webhooks WHERE previous_secret IS NOT NULL")
            .fetch_one(&mut db.read().await.unwrap())
            .await
            .unwrap();
        assert_eq!(previous, 1);

        assert_eq!(call(&house, Method::DELETE, &path, None).await.status.as_u16(), 204);
        assert_eq!(get(&house, &path).await.problem(), (404, "not-found".into()));
    })
    .await;
}

#[tokio::test]
async fn a_webhook_that_does_not_read_is_not_made() {
    on_both(async |db| {
        let (house, _app, _folder) = house(&db);
        let refusals = [
            (json!({"url": "http://169.254.169.254/latest"}), (400, "invalid-url")),
            (json!({"url": "http://localhost:9200/"}), (400, "invalid-url")),
            (json!({"url": "http://[::ffff:10.0.0.1]/"}), (400, "invalid-url")),
            (json!({"url": "file:///etc/passwd"}), (400, "invalid-url")),
            (json!({"url": HOOK, "events": ["moon_landed"]}), (400, "unknown-event")),
            (json!({"url": HOOK, "description": "x".repeat(501)}), (400, "invalid-text")),
            (json!({"url": HOOK, "description": "\0"}), (400, "invalid-text")),
            (json!({"url": HOOK, "secret": "mine"}), (422, "invalid-json")),
            (json!({"url": HOOK, "clinicId": ClinicId::new()}), (422, "invalid-json")),
            (json!({}), (422, "invalid-json")),
        ];
        for (body, (status, code)) in refusals {
            let refused = post_json(&house, "/api/v1/webhooks", &body).await.problem();
            assert_eq!(refused, (status, code.to_owned()), "{body}");
        }
        assert_eq!(get(&house, "/api/v1/webhooks").await.json(), json!([]));
        let path = format!("/api/v1/webhooks/{}", made(&house).await["id"].as_str().unwrap());
        let inside = Some(json!({"url": "http://10.0.0.1/"}));
        assert_eq!(call(&house, Method::PATCH, &path, inside).await.problem(), (400, "invalid-url".into()));
    })
    .await;
}

#[tokio::test]
async fn a_delivery_is_listed_and_replayed_while_the_webhook_is_on() {
    on_both(async |db| {
        let (house, _app, _folder) = house(&db);
        let webhook = made(&house).await;
        told(&db, &Event::FindingReviewed { finding_id: FindingId::new(), review: None }).await;
        planned(&db, &webhook).await;
        let path = format!("/api/v1/webhooks/{}", webhook["id"].as_str().unwrap());
        let waiting = get(&house, &format!("{path}/deliveries?state=waiting")).await.json();
        assert_eq!((&waiting[0]["type"], &waiting[0]["tries"]), (&json!("finding_reviewed"), &json!(0)));
        assert_eq!(get(&house, &format!("{path}/deliveries?state=dead")).await.json(), json!([]));
        let replay = format!("{path}/deliveries/{}/replay", waiting[0]["id"].as_str().unwrap());
        let again = call(&house, Method::POST, &replay, None).await;
        assert_eq!((again.status.as_u16(), &again.json()["state"]), (202, &json!("waiting")));
        let mut read = db.read().await.unwrap();
        assert!(queue::is_due_in(&mut read, Queue::Notification, now()).await.unwrap());
        drop(read);
        let claimed = queue::claim(&db, QueueLimits::default(), now()).await.unwrap().unwrap();
        let mut tx = db.begin().await.unwrap();
        queue::finish(&mut tx, &claimed).await.unwrap();
        tx.commit().await.unwrap();

        let off = call(&house, Method::PATCH, &path, Some(json!({"state": "disabled"}))).await.json();
        assert_eq!((&off["state"], &off["disabledReason"]), (&json!("disabled"), &json!("by the clinic")));
        let refused = call(&house, Method::POST, &replay, None).await.problem();
        assert_eq!(refused, (409, "webhook-disabled".into()));
        let on = call(&house, Method::PATCH, &path, Some(json!({"state": "active", "events": []}))).await;
        assert_eq!(on.json()["disabledReason"], Value::Null);
        let resumed = queue::claim(&db, QueueLimits::default(), now()).await.unwrap().unwrap();
        assert!(matches!(resumed.job, Job::DeliverEvent { .. }), "what waits is asked for again");
        let unknown = format!("{path}/deliveries/{}/replay", WebhookId::new());
        assert_eq!(call(&house, Method::POST, &unknown, None).await.problem().0, 404);
    })
    .await;
}

#[tokio::test]
async fn a_dead_job_is_listed_and_replayed() {
    on_both(async |db| {
        let (house, _app, _folder) = house(&db);
        let job = Job::AnalyzeStudy { study_id: StudyId::new() };
        let limits = QueueLimits { tries: 1, ..QueueLimits::default() };
        let mut tx = db.begin().await.unwrap();
        queue::pull_forward(&mut tx, CLINIC, &job, now()).await.unwrap();
        tx.commit().await.unwrap();
        let claimed = queue::claim(&db, limits, now()).await.unwrap().unwrap();
        let mut tx = db.begin().await.unwrap();
        queue::fail(&mut tx, &claimed, "no disk", limits, now()).await.unwrap();
        tx.commit().await.unwrap();
        let dead = get(&house, "/api/v1/jobs?state=dead").await.json();
        assert_eq!((&dead[0]["kind"], &dead[0]["lastError"]), (&json!("analyze_study"), &json!("no disk")));
        assert_eq!(get(&house, "/api/v1/jobs?state=running").await.problem().0, 400);
        let replay = format!("/api/v1/jobs/{}/replay", dead[0]["id"].as_str().unwrap());
        assert_eq!(call(&house, Method::POST, &replay, None).await.status.as_u16(), 204);
        assert_eq!(call(&house, Method::POST, &replay, None).await.problem().0, 404);
        assert_eq!(get(&house, "/api/v1/jobs").await.json(), json!([]));
        assert_eq!(queue::claim(&db, limits, now()).await.unwrap().unwrap().job, job);
    })
    .await;
}

#[tokio::test]
async fn another_clinic_and_another_role_see_nothing() {
    on_both(async |db| {
        let (house, app, _folder) = house(&db);
        let webhook = made(&house).await;
        told(&db, &Event::FindingReviewed { finding_id: FindingId::new(), review: None }).await;
        let theirs = ClinicId::new();
        let mut tx = db.begin().await.unwrap();
        sql("INSERT INTO clinics (clinic_id, name, created_at) VALUES ($1, 'Theirs', $2)")
            .bind(theirs)
            .bind(now())
            .execute(&mut tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let admin = token_of(&app, theirs, &Position::of(Role::ClinicAdmin)).await;
        let nurse = token_of(&app, CLINIC, &Position::of(Role::Nurse)).await;
        let as_who = async |token: &str, method: Method, path: &str| {
            let request = http::Request::builder()
                .method(method)
                .uri(path)
                .header(header::AUTHORIZATION, format!("Bearer {token}"));
            send(&house, request.body(Body::empty()).unwrap()).await
        };
        let path = format!("/api/v1/webhooks/{}", webhook["id"].as_str().unwrap());
        for (method, path) in [
            (Method::GET, path.clone()),
            (Method::DELETE, path.clone()),
            (Method::POST, format!("{path}/rotate-secret")),
            (Method::GET, format!("{path}/deliveries")),
        ] {
            assert_eq!(
                as_who(&admin, method.clone(), &path).await.problem(),
                (404, "not-found".into()),
                "{path}"
            );
            assert_eq!(as_who(&nurse, method, &path).await.status.as_u16(), 403, "{path}");
        }
        assert_eq!(as_who(&admin, Method::GET, "/api/v1/webhooks").await.json(), json!([]));
        assert_eq!(as_who(&admin, Method::GET, "/api/v1/events").await.json(), json!([]));
        assert_eq!(as_who(&nurse, Method::GET, "/api/v1/events").await.status.as_u16(), 403);
    })
    .await;
}
