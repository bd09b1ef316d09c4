//! What belongs to no house, on both databases.

use axum::body::Body;
use axum::http::Request;
use gate::testing::{Answer, get, send};
use serde_json::json;
use storage::testing::on_both;

use crate::support::{Built, street};

/// Without a token.
async fn publicly(street: &Built, path: &str) -> Answer {
    send(&street.router, Request::get(path).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn health_is_ok_and_ready_waits_for_the_doors() {
    on_both(async |db| {
        let street = street(&db);
        assert_eq!(publicly(&street, "/health").await.json(), json!({"status": "ok"}));
        let closed = publicly(&street, "/ready").await;
        assert_eq!(closed.status.as_u16(), 503);
        let answer = json!({"status": "not-ready", "database": "ok", "archive": "ok", "doors": "closed"});
        assert_eq!(closed.json(), answer);
        street.doors.open();
        assert_eq!(publicly(&street, "/ready").await.status.as_u16(), 200);
        street.doors.close();
        assert_eq!(publicly(&street, "/ready").await.status.as_u16(), 503);
    })
    .await;
}

#[tokio::test]
async fn without_a_database_the_service_lives_but_is_not_ready() {
    on_both(async |db| {
        let street = street(&db);
        street.doors.open();
        db.close().await;
        assert_eq!(publicly(&street, "/health").await.status.as_u16(), 200);
        let answer = publicly(&street, "/ready").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["database"]), (503, &json!("failed")));
    })
    .await;
}

#[tokio::test]
async fn the_numbers_need_a_token_and_show_the_queue() {
    gate::metrics::install().unwrap();
    on_both(async |db| {
        let street = street(&db);
        assert_eq!(publicly(&street, "/metrics").await.problem(), (401, "token-missing".into()));
        let text = String::from_utf8(get(&street.router, "/metrics").await.body.to_vec()).unwrap();
        for line in
            ["medilink_jobs{state=\"queued\"} 0", "medilink_jobs{state=\"dead\"} 0", "of_another_room 3"]
        {
            assert!(text.contains(line), "{line} is missing in {text}");
        }
    })
    .await;
}
