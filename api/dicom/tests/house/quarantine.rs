//! What is held back is seen, released and thrown away.

use axum::http::{Method, StatusCode};
use clinical::id::ClinicId;
use gate::testing::{request, send};
use serde_json::{Value, json};
use storage::records::clinic::Clinic;
use storage::testing::on_both;

use crate::support::*;

/// The house holds back what does not match; here two objects without a study.
#[tokio::test]
async fn what_is_held_is_listed_released_and_discarded() {
    on_both(async |db| {
        let house = house(&db);
        let mut tx = db.begin().await.unwrap();
        let settings = serde_json::from_value(json!({ "holdRefused": true })).unwrap();
        Clinic::set(&mut tx, ClinicId::DEFAULT, &settings).await.unwrap();
        tx.commit().await.unwrap();
        for uid in ["1.2.3.1.1", "1.2.3.1.2"] {
            let file = without_pixels(uid);
            let cut = &file[..file.len() - (14 + 16)];
            let answer = upload(&house, cut).await;
            assert_eq!(
                (answer.status, answer.json()["code"].clone()),
                (StatusCode::UNPROCESSABLE_ENTITY, json!("held-back"))
            );
        }
        let ask = async |method: Method, path: String| {
            send(&house.router, request(method, &path).body(axum::body::Body::empty()).unwrap()).await
        };
        let list =
            async || ask(Method::GET, "/api/v1/quarantine".into()).await.json().as_array().unwrap().clone();
        let held: Vec<Value> = list().await;
        assert_eq!(
            (held.len(), &held[0]["reason"], &held[0]["detail"]),
            (2, &json!("refused"), &json!("missing-uid"))
        );
        let path = |held: &Value| format!("/api/v1/quarantine/{}", held["id"].as_str().unwrap());
        let still_refused = ask(Method::POST, format!("{}/release", path(&held[0]))).await;
        assert_eq!(still_refused.status, StatusCode::BAD_REQUEST, "it has no study, whoever releases it");
        assert_eq!(ask(Method::DELETE, path(&held[0])).await.status, StatusCode::NO_CONTENT);
        assert_eq!(ask(Method::DELETE, path(&held[0])).await.status, StatusCode::NOT_FOUND);
        assert_eq!(list().await.len(), 1);
        assert_eq!(house.files_left(), 1, "the bytes of what is still held");
    })
    .await;
}
