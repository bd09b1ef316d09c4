//! The status page says what each part said when it was really asked.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use chrono::TimeDelta;
use clinical::id::{ClinicId, StudyId};
use clinical::job::Job;
use gate::testing::send;
use serde_json::{Value, json};
use storage::db::Db;
use storage::queue;
use storage::testing::{now, on_both};

use crate::support::{Built, street};

async fn status(street: &Built) -> Value {
    let answer = send(&street.router, Request::get("/api/status").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status.as_u16(), 200);
    answer.json()
}

async fn enqueue(db: &Db, due: TimeDelta) {
    let mut tx = db.begin().await.unwrap();
    let job = Job::AnalyzeStudy { study_id: StudyId::new() };
    queue::put_off(&mut tx, ClinicId::DEFAULT, &job, now() + due, TimeDelta::zero()).await.unwrap();
    tx.commit().await.unwrap();
}

/// The members are those of the seeds' `ServiceStatus`.
#[tokio::test]
async fn what_is_not_built_says_so_and_does_not_spoil_the_whole() {
    on_both(async |db| {
        let street = street(&db);
        street.doors.open();
        let sockets = street.sockets.clone();
        let running = tokio::spawn(async move { sockets.run(std::future::pending()).await });
        while !street.sockets.is_open() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        street.switchboard.make_push_key().await.unwrap();
        let status = status(&street).await;
        let states = [("webrtc", "not-built"), ("offlineSync", "not-built"), ("payments", "not-configured")];
        for (part, state) in states {
            assert_eq!((&status[part], &status["parts"][part]["state"]), (&json!(false), &json!(state)));
        }
        for part in ["websocket", "pushNotifications"] {
            assert_eq!((&status[part], &status["parts"][part]["state"]), (&json!(true), &json!("ok")));
        }
        for part in ["database", "archive", "doors", "queue", "worker", "networks"] {
            assert_eq!(status["parts"][part]["state"], "ok", "{part}");
        }
        running.abort();
        assert_eq!(status["parts"]["networks"]["numbers"], json!({"active": 1}));
        assert_eq!((&status["mlOptimization"], &status["overall"]), (&json!(true), &json!(true)));
        assert!(street.archive_is_empty(), "the probe is removed again");
    })
    .await;
}

#[tokio::test]
async fn who_asks_how_it_is_writes_nothing() {
    on_both(async |db| {
        let status = status(&street(&db)).await;
        assert_eq!(
            status["parts"]["pushNotifications"]["state"], "not-configured",
            "the start makes their key"
        );
        assert_eq!(storage::testing::count(&db, "credentials").await, 0);
    })
    .await;
}

#[tokio::test]
async fn closed_doors_and_lost_rooms_are_told_and_spoil_the_whole() {
    on_both(async |db| {
        let street = street(&db);
        db.close().await;
        street.lose_archive();
        let status = status(&street).await;
        let states = ["database", "queue", "worker", "archive", "doors"]
            .map(|part| status["parts"][part]["state"].as_str().unwrap().to_owned());
        assert_eq!(states, ["failed", "failed", "failed", "failed", "closed"]);
        assert_eq!((&status["mlOptimization"], &status["overall"]), (&json!(false), &json!(false)));
    })
    .await;
}

/// A worker looks five times a second, so a job that waits for more than a minute has none.
#[tokio::test]
async fn work_that_nobody_takes_is_noticed_and_work_that_is_done_is_not() {
    on_both(async |db| {
        enqueue(&db, -TimeDelta::seconds(61)).await;
        enqueue(&db, TimeDelta::seconds(5)).await;
        let late = status(&street(&db)).await;
        assert_eq!(late["parts"]["worker"], json!({"state": "late", "numbers": {"waitedSeconds": 61}}));
        let queue_part = json!({"state": "ok", "numbers": {"queued": 2, "running": 0, "dead": 0}});
        assert_eq!(late["parts"]["queue"], queue_part);
        assert_eq!((&late["mlOptimization"], &late["overall"]), (&json!(false), &json!(false)));

        enqueue(&db, -TimeDelta::seconds(90)).await;
        queue::claim(&db, queue::QueueLimits::default(), now()).await.unwrap().unwrap();
        let busy = status(&street(&db)).await;
        assert_eq!(busy["parts"]["worker"]["state"], "ok", "one is at work, the other has to wait");
    })
    .await;
}

#[tokio::test]
async fn however_many_ask_the_parts_are_asked_once_in_a_while() {
    on_both(async |db| {
        let street = street(&db);
        let before = status(&street).await;
        street.doors.open();
        assert_eq!(status(&street).await, before);
    })
    .await;
}
