use clinical::event::Event;
use serde_json::{Value, json};
use storage::audit::{Filter, Outcome, search};
use storage::outbox::told;
use storage::testing::on_both;

use crate::support::{CLINIC, House, ada};

fn restricted() -> Value {
    let mut body = ada();
    body["isRestricted"] = json!(true);
    body
}

#[tokio::test]
async fn whoever_breaks_the_glass_sees_the_record_and_is_written_down() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let id = house.registered(restricted()).await;
        let (record, glass) = (format!("/patients/{id}"), format!("/patients/{id}/break-glass"));
        for path in ["", "/allergies", "/vitals", "/export"] {
            let refused = house.get(&house.doctor, &format!("{record}{path}")).await;
            assert_eq!(refused.problem(), (403, "record-restricted".into()), "{path}");
        }
        let change = house.patch(&house.nurse, &record, json!({"phone": "123"})).await;
        assert_eq!(change.problem(), (403, "record-restricted".into()));

        let list = house.get(&house.doctor, "/patients").await.json();
        assert_eq!((&list[0]["isRedacted"], &list[0]["displayName"]), (&json!(true), &json!("")));
        assert_eq!(list[0]["birthDate"], json!(null));

        for reason in ["", "x", " padded "] {
            assert_eq!(house.post(&house.doctor, &glass, json!({"reason": reason})).await.problem().0, 400);
        }
        let reason = json!({"reason": "brought in unconscious"});
        let grant = house.post(&house.doctor, &glass, reason.clone()).await;
        assert_eq!(grant.status.as_u16(), 201);
        let grant = grant.json();
        let open = house.get(&house.doctor, &record).await;
        assert_eq!(open.json()["displayName"], "Ada Test");
        assert_eq!(house.get(&house.doctor, "/patients").await.json()[0]["isRedacted"], false);
        assert_eq!(
            house.get(&house.nurse, &record).await.problem().0,
            403,
            "the doctor's access is the doctor's"
        );

        assert_eq!(house.get(&house.admin, "/break-glass").await.json(), json!([grant]));
        assert_eq!(house.get(&house.doctor, "/break-glass").await.problem().0, 403);
        let mut rows = db.read().await.unwrap();
        let events = told(&mut rows, CLINIC, "glass_broken", 9).await.unwrap();
        let grant_id = grant["id"].as_str().unwrap().parse().unwrap();
        assert_eq!(events[0].event, Event::GlassBroken { patient_id: id, grant_id });
        let about = Filter {
            action: Some("break_glass:create".into()),
            patient_id: Some(id),
            outcome: Some(Outcome::Success),
            ..Filter::default()
        };
        let lines = search(&mut rows, CLINIC, &about, None, 9).await.unwrap();
        assert_eq!(lines[0].entry.detail, Some(reason));
    })
    .await;
}

#[tokio::test]
async fn who_does_not_treat_does_not_learn_that_the_record_is_there() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let id = house.registered(restricted()).await;
        let record = format!("/patients/{id}");
        for token in [&house.receptionist, &house.stranger] {
            assert_eq!(house.get(token, &record).await.problem(), (404, "not-found".into()));
            assert_eq!(house.get(token, "/patients").await.json(), json!([]));
        }
        let glass = house
            .post(&house.receptionist, &format!("{record}/break-glass"), json!({"reason": "curious"}))
            .await;
        assert_eq!(glass.problem(), (403, "not-allowed".into()));
        let elsewhere =
            house.post(&house.stranger, &format!("{record}/break-glass"), json!({"reason": "curious"})).await;
        assert_eq!(elsewhere.problem(), (404, "not-found".into()));
        assert_eq!(house.get(&house.admin, &record).await.json()["displayName"], "Ada Test");
        let own = house.patient(id).await;
        assert_eq!(house.get(&own, &record).await.json()["displayName"], "Ada Test");
    })
    .await;
}

#[tokio::test]
async fn the_administrators_alone_restrict_a_record_and_open_it() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let made = house.post(&house.doctor, "/patients", restricted()).await;
        assert_eq!(made.problem(), (403, "not-allowed".into()));
        let id = house.registered(ada()).await;
        let record = format!("/patients/{id}");
        let change = house.patch(&house.doctor, &record, json!({"isRestricted": true})).await;
        assert_eq!(change.problem(), (403, "not-allowed".into()));
        let early = house
            .post(&house.doctor, &format!("{record}/break-glass"), json!({"reason": "for nothing"}))
            .await;
        assert_eq!(early.problem(), (409, "not-restricted".into()));
        for is_restricted in [true, false] {
            let change = house.patch(&house.admin, &record, json!({"isRestricted": is_restricted})).await;
            assert_eq!(change.json()["isRestricted"], is_restricted);
            let seen = house.get(&house.doctor, &record).await.status.as_u16();
            assert_eq!(seen, if is_restricted { 403 } else { 200 });
        }
    })
    .await;
}

#[tokio::test]
async fn a_merge_with_a_restricted_record_needs_the_glass_broken() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (shut, open) = (house.registered(restricted()).await, house.registered(ada()).await);
        let merge = format!("/patients/{open}/merge");
        let refused = house.post(&house.doctor, &merge, json!({"from": shut})).await;
        assert_eq!(refused.problem(), (403, "record-restricted".into()));
        let done = house.post(&house.admin, &merge, json!({"from": shut})).await;
        assert_eq!(done.status.as_u16(), 200);
        for id in [open, shut] {
            let seen = house.get(&house.doctor, &format!("/patients/{id}")).await;
            assert_eq!(seen.problem(), (403, "record-restricted".into()));
        }
    })
    .await;
}
