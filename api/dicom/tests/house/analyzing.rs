//! Asking for an analysis, waiting for it, and reading it.

use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use clinical::id::{ClinicId, InstanceId};
use clinical::imaging::{Abstention, AbstentionCode, NetworkState, Outcome, ReviewState};
use gate::HttpLimits;
use gate::testing::{Answer, get, request, send};
use ingest::receive::OnConflict;
use serde_json::{Value, json};
use storage::db::Db;
use storage::queue::{QueueLimits, claim, depth, finish};
use storage::records::analysis::{Analysis, NewAnalysis};
use storage::records::finding::{Finding, Review};
use storage::records::instance::Instance;
use storage::records::network::States;
use storage::testing::{now, on_both, scored};

use crate::support::{House, NETWORK, house, house_with, image, networks, upload, without_pixels};

const CLINIC: ClinicId = ClinicId::DEFAULT;

async fn analyze(house: &House, id: &str) -> Answer {
    let request = request(Method::POST, &format!("/api/dicom/analyze/{id}"));
    send(&house.router, request.body(Body::empty()).unwrap()).await
}

async fn uploaded(house: &House) -> String {
    let answer = upload(house, &image("1.2.3.1.1", *b"abcdefgh")).await;
    answer.json()["id"].as_str().unwrap().to_owned()
}

async fn record(db: &Db, id: &str, change: impl FnOnce(&mut NewAnalysis)) {
    let id: InstanceId = id.parse().unwrap();
    let mut tx = db.begin().await.unwrap();
    let instance = Instance::find(&mut tx, CLINIC, id).await.unwrap();
    let mut run = scored(instance.study_id, id, &instance.sha256, 0.75);
    change(&mut run);
    Analysis::record(&mut tx, CLINIC, &run, now()).await.unwrap();
    tx.commit().await.unwrap();
}

fn abstention(run: &mut NewAnalysis) {
    let reason = "age is 40 years".to_owned();
    run.outcome = Outcome::Abstained(Abstention { code: AbstentionCode::NotEligible, reason });
    (run.findings_text, run.recommendations, run.confidence_percent) = (None, None, None);
    run.network_sha256 = "dd".to_owned();
    run.network_name = "other".to_owned();
}

#[tokio::test]
async fn a_study_that_is_asked_for_goes_first_and_its_analysis_is_the_answer() {
    on_both(async |db| {
        let house = house(&db);
        let id = uploaded(&house).await;
        let due = claim(&db, QueueLimits::default(), now()).await.unwrap();
        assert_eq!(due, None, "the study is not quiet yet");

        let (answer, ()) = tokio::join!(analyze(&house, &id), work(&db, &id, |_| ()));
        assert_eq!(answer.status.as_u16(), 200, "{:?}", answer.body);
        let analysis = answer.json();
        for (field, value) in [
            ("fileName", json!("chest.dcm")),
            ("findings", json!("pneumonia suspected")),
            ("confidence", json!(75.0)),
            ("recommendations", json!("review by a physician")),
            ("analyzedAt", json!("2026-09-21T14:13:20.123456Z")),
            ("physicianId", Value::Null),
            ("dicomId", json!(id)),
            ("network", json!({"name": "example", "version": "1", "sha256": "cc"})),
            ("abstention", Value::Null),
            ("durationMs", json!(12.5)),
        ] {
            assert_eq!(analysis[field], value, "{field}");
        }
        let label = &analysis["probabilities"][0];
        assert_eq!((&label["label"], &label["probability"]), (&json!("pneumonia"), &json!(0.75)));
        assert_eq!((&label["threshold"], &label["isPositive"]), (&json!(0.5), &json!(true)));
        assert_eq!(label["reviewState"], "open");

        assert_eq!(analyze(&house, &id).await.json(), analysis, "asked again, it is the same");
        assert_eq!(depth(&mut db.read().await.unwrap()).await.unwrap().queued, 0, "and nothing is run anew");
        let list = get(&house.router, "/api/dicom/analyses").await.json();
        assert_eq!(list, json!([analysis]));
        let of_file = get(&house.router, &format!("/api/dicom/analyses?dicomId={id}&limit=1")).await;
        assert_eq!(of_file.json(), list);
    })
    .await;
}

#[tokio::test]
async fn who_waited_long_enough_is_told_where_to_look() {
    on_both(async |db| {
        let limits = HttpLimits { analysis_wait: Duration::from_millis(60), ..HttpLimits::default() };
        let house = house_with(&db, limits, OnConflict::Keep);
        let id = uploaded(&house).await;
        let answer = analyze(&house, &id).await;
        assert_eq!(answer.status.as_u16(), 202);
        let place = format!("/api/dicom/analyses?dicomId={id}");
        assert_eq!(answer.header("location"), place);
        assert_eq!(get(&house.router, &place).await.json(), json!([]));
        record(&db, &id, |_| ()).await;
        assert_eq!(get(&house.router, &place).await.json()[0]["dicomId"], json!(id));
    })
    .await;
}

#[tokio::test]
async fn an_abstention_has_its_reason_and_no_texts_and_labels_go_before_it() {
    on_both(async |db| {
        let house = house(&db);
        let id = uploaded(&house).await;
        record(&db, &id, abstention).await;
        let answer = analyze(&house, &id).await.json();
        assert_eq!(answer["abstention"], json!({"code": "not-eligible", "reason": "age is 40 years"}));
        for field in ["findings", "confidence", "recommendations"] {
            assert_eq!(answer[field], Value::Null, "{field}");
        }
        assert_eq!(answer["probabilities"], json!([]));
        record(&db, &id, |_| ()).await;
        assert_eq!(analyze(&house, &id).await.json()["network"]["name"], NETWORK);
        let other = analyze(&house, &format!("{id}?network=other")).await.json();
        assert_eq!(other, answer);
    })
    .await;
}

#[tokio::test]
async fn after_a_review_the_physician_is_named() {
    on_both(async |db| {
        let house = house(&db);
        let id = uploaded(&house).await;
        record(&db, &id, |_| ()).await;
        let finding = &analyze(&house, &id).await.json()["probabilities"][0]["findingId"];
        let finding = finding.as_str().unwrap().parse().unwrap();
        let review =
            Review { decision: ReviewState::Accepted, reviewer: "dr-test".to_owned(), comment: None };
        let mut tx = db.begin().await.unwrap();
        Finding::review(&mut tx, CLINIC, finding, &review, house.app.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        let reviewed = analyze(&house, &id).await.json();
        assert_eq!(reviewed["physicianId"], "dr-test");
        assert_eq!(reviewed["probabilities"][0]["reviewState"], "accepted");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_analysed_is_said_at_once() {
    on_both(async |db| {
        let house = house(&db);
        let blank = upload(&house, &without_pixels("1.2.3.1.2")).await.json();
        let blank = analyze(&house, blank["id"].as_str().unwrap()).await;
        assert_eq!(blank.problem(), (422, "no-pixels".into()));
        for unknown in [InstanceId::new().to_string(), "dicom-123".to_owned()] {
            assert_eq!(analyze(&house, &unknown).await.problem(), (404, "not-found".into()));
        }
        let id = uploaded(&house).await;
        let unknown = analyze(&house, &format!("{id}?network=oracle")).await;
        assert_eq!(unknown.problem(), (404, "unknown-network".into()));
    })
    .await;
}

#[tokio::test]
async fn a_network_is_asked_for_by_name_while_it_is_active_for_the_clinic() {
    on_both(async |db| {
        let house = house(&db);
        let id = uploaded(&house).await;
        record(&db, &id, |run| run.network_name = "new".to_owned()).await;
        let wish = format!("{id}?network=new");
        for (state, status) in [
            (None, 404),
            (Some(NetworkState::Active), 200),
            (Some(NetworkState::Shadow), 404),
            (Some(NetworkState::Active), 200),
        ] {
            if let Some(state) = state {
                let mut tx = db.begin().await.unwrap();
                let changed = ("new", "1", state);
                States::change(&mut tx, Some(CLINIC), &networks(), changed, "a", now()).await.unwrap();
                tx.commit().await.unwrap();
            }
            assert_eq!(analyze(&house, &wish).await.status, status, "{state:?}");
        }
    })
    .await;
}

/// Plays the worker of the next job.
async fn work(db: &Db, id: &str, change: impl FnOnce(&mut NewAnalysis)) {
    let job = loop {
        match claim(db, QueueLimits::default(), now()).await.unwrap() {
            Some(job) => break job,
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    record(db, id, change).await;
    let mut tx = db.begin().await.unwrap();
    finish(&mut tx, &job).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_network_that_was_added_since_is_run_when_it_is_asked_for() {
    on_both(async |db| {
        let house = house(&db);
        let id = uploaded(&house).await;
        record(&db, &id, |_| ()).await;
        let wish = format!("{id}?network=other");
        let (answer, ()) = tokio::join!(analyze(&house, &wish), work(&db, &id, abstention));
        assert_eq!((answer.status.as_u16(), &answer.json()["network"]["name"]), (200, &json!("other")));
    })
    .await;
}

#[tokio::test]
async fn a_network_that_has_nothing_to_say_after_the_work_was_not_run() {
    on_both(async |db| {
        let house = house(&db);
        let id = uploaded(&house).await;
        record(&db, &id, |_| ()).await;
        let wish = format!("{id}?network=other");
        let (answer, ()) = tokio::join!(analyze(&house, &wish), work(&db, &id, |_| ()));
        assert_eq!(answer.problem(), (409, "network-not-run".into()));
    })
    .await;
}

#[tokio::test]
async fn where_no_network_is_meant_for_the_image_none_is_named() {
    on_both(async |db| {
        let house = house(&db);
        let id = uploaded(&house).await;
        let nobody = |run: &mut NewAnalysis| {
            abstention(run);
            (run.network_name, run.network_version, run.network_sha256) =
                ("none".to_owned(), String::new(), String::new());
        };
        record(&db, &id, nobody).await;
        let answer = analyze(&house, &id).await.json();
        assert_eq!((&answer["network"], answer["abstention"].is_object()), (&Value::Null, true));
    })
    .await;
}
