//! From a notice to a provider: who hears of it, when, in which words, and what becomes of it.

use chrono::{DateTime, TimeDelta, Utc};
use clinical::clock::Clock;
use clinical::id::{ClinicId, UserId};
use clinical::role::Role;
use gate::testing::TOKEN;
use http::Method;
use notifications::channel::{Channel, Fate, Provider, Report};
use serde_json::{Value, json};
use storage::db::sql;
use storage::outbox;
use storage::records::member::Position;
use storage::testing::on_both;

use crate::support::{CLINIC, House};

const PATH: &str = "/api/v1/notifications";

fn notice(user: UserId, category: &str, urgency: &str) -> Value {
    json!({"userId": user, "category": category, "urgency": urgency, "title": "HIV test positive",
           "body": "Read <b>me</b>", "channels": ["email"]})
}

async fn deliveries(house: &House) -> Vec<Value> {
    house.get(&format!("{PATH}/deliveries"), TOKEN).await.as_array().unwrap().clone()
}

#[tokio::test]
async fn a_notice_reaches_the_mailbox_once_and_its_subject_tells_nothing_of_health() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (ada, of_ada) = house.person(Role::Doctor).await;
        house.post(PATH, &of_ada, notice(ada, "clinical", "normal")).await;
        assert_eq!(house.work().await, 2, "a plan and a delivery");
        let letters = house.mailbox.letters();
        assert_eq!(letters.len(), 1);
        let subject = letters[0]["subject"].as_str().unwrap();
        assert!(subject.starts_with("A new message from "), "{subject}");
        assert_eq!(letters[0]["textbody"], "Read <b>me</b>");
        assert_eq!(letters[0]["htmlbody"], "<p>Read &lt;b&gt;me&lt;/b&gt;</p>");
        let (_, admin) = house.person_at(&Position::of(Role::ClinicAdmin)).await;
        house.put(&format!("{PATH}/settings"), &admin, json!({"showsDetails": true, "locale": "en"})).await;
        house.post(PATH, &of_ada, notice(ada, "clinical", "normal")).await;
        house.work().await;
        assert_eq!(house.mailbox.letters()[1]["subject"], "HIV test positive", "the clinic allows it");
        let fared = deliveries(&house).await;
        assert!(fared.iter().all(|it| it["state"] == "sent" && it["provider"] == "zeptomail"), "{fared:?}");
        let numbers = house.get(&format!("{PATH}/analytics"), &admin).await;
        let mail = numbers.as_array().unwrap().iter().find(|it| it["channel"] == "email").unwrap();
        assert_eq!(
            (&mail["planned"], &mail["sent"], &mail["takenPercent"]),
            (&json!(2), &json!(2), &json!(100.0))
        );
        let push = numbers.as_array().unwrap().iter().find(|it| it["channel"] == "push").unwrap();
        assert_eq!(push["takenPercent"], Value::Null, "a percentage of nothing is none");
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_fails_is_tried_again_later_with_growing_waits_until_it_takes_the_message() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (ada, of_ada) = house.person(Role::Doctor).await;
        // Three times at once, and once that it is asked to wait.
        for _ in 0..3 {
            house.mailbox.will_answer(503, json!({}));
        }
        house
            .mailbox
            .will_answer(429, json!({"error": {"code": "TM_3501", "details": [{"code": "LE_101"}]}}));
        house.post(PATH, &of_ada, notice(ada, "system", "normal")).await;
        house.work().await;
        let waiting = deliveries(&house).await;
        assert_eq!((&waiting[0]["state"], &waiting[0]["tries"]), (&json!("waiting"), &json!(1)));
        assert_eq!(house.work().await, 0, "not at once");
        for _ in 0..6 {
            house.clock.forward(TimeDelta::minutes(2));
            house.work().await;
        }
        let done = deliveries(&house).await;
        assert_eq!((&done[0]["state"], &done[0]["tries"]), (&json!("sent"), &json!(3)));
        let letters = house.mailbox.letters();
        assert_eq!(letters.len(), 5);
        assert!(
            letters.iter().all(|it| it["client_reference"] == letters[0]["client_reference"]),
            "one message"
        );
    })
    .await;
}

#[tokio::test]
async fn an_address_that_bounces_gets_nothing_more_until_somebody_says_so() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (ada, of_ada) = house.person(Role::Doctor).await;
        let (_, admin) = house.person_at(&Position::of(Role::ClinicAdmin)).await;
        let bad = json!({"error": {"code": "TM_4001", "details": [{"code": "SM_113", "target": "to"}]}});
        house.mailbox.will_answer(400, bad);
        house.post(PATH, &of_ada, notice(ada, "system", "normal")).await;
        house.work().await;
        assert_eq!(deliveries(&house).await[0]["state"], "failed");
        let mut read = db.read().await.unwrap();
        let told = outbox::told(&mut read, ClinicId::DEFAULT, "notification_settled", 10).await.unwrap();
        drop(read);
        assert_eq!((told.len(), &told[0].body["state"]), (1, &json!("unsent")), "no provider took it");
        let path = format!("{PATH}/suppressions");
        let list = house.get(&path, &admin).await;
        assert_eq!((&list[0]["reason"], &list[0]["channel"]), (&json!("bounce"), &json!("email")));
        assert!(list[0]["address"].as_str().unwrap().ends_with("…@example.org"), "{list}");
        house.post(PATH, &of_ada, notice(ada, "system", "normal")).await;
        house.work().await;
        assert_eq!(deliveries(&house).await[0]["state"], "suppressed");
        assert_eq!(house.mailbox.letters().len(), 1);
        let id = list[0]["id"].as_str().unwrap();
        let again = house.call(Method::DELETE, &format!("{path}/{id}"), Some(&admin), None).await;
        assert_eq!(again.status.as_u16(), 204);
        house.post(PATH, &of_ada, notice(ada, "system", "normal")).await;
        house.work().await;
        assert_eq!(house.mailbox.letters().len(), 2);
    })
    .await;
}

/// Berlin is at UTC+2 in September: 22:30 there is 20:30 UTC.
#[tokio::test]
async fn quiet_hours_hold_a_message_and_not_an_emergency() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (ada, of_ada) = house.person(Role::Doctor).await;
        let wishes = json!({"quietHours": {"start": "22:00", "end": "07:00"}, "timeZone": "Europe/Berlin"});
        house.put(&format!("{PATH}/preferences"), &of_ada, wishes).await;
        let evening: DateTime<Utc> = "2026-09-21T20:30:00Z".parse().unwrap();
        house.clock.set(evening);
        house.post(PATH, &of_ada, notice(ada, "system", "high")).await;
        house.work().await;
        assert_eq!(house.mailbox.letters().len(), 0);
        assert_eq!(deliveries(&house).await[0]["nextAt"], "2026-09-22T05:00:00Z");
        house.post(PATH, &of_ada, notice(ada, "emergency", "critical")).await;
        house.work().await;
        assert_eq!(house.mailbox.letters().len(), 1);
        house.clock.set("2026-09-22T05:00:01Z".parse().unwrap());
        house.work().await;
        assert_eq!(house.mailbox.letters().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn what_can_wait_is_gathered_into_one_mail_in_the_readers_language() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (ada, of_ada) = house.person(Role::Doctor).await;
        let wishes =
            json!({"digest": "daily", "digestAt": "08:00", "timeZone": "Africa/Nairobi", "locale": "de"});
        house.put(&format!("{PATH}/preferences"), &of_ada, wishes).await;
        house.clock.set("2026-09-21T20:00:00Z".parse().unwrap());
        for _ in 0..3 {
            house.post(PATH, &of_ada, notice(ada, "system", "normal")).await;
        }
        house.work().await;
        assert_eq!(house.mailbox.letters().len(), 0);
        house.clock.set("2026-09-22T05:00:01Z".parse().unwrap());
        house.work().await;
        let letters = house.mailbox.letters();
        assert_eq!(letters.len(), 1);
        assert!(
            letters[0]["subject"].as_str().unwrap().starts_with("3 neue Nachrichten von "),
            "{letters:?}"
        );
        assert_eq!(letters[0]["textbody"].as_str().unwrap().matches("HIV test positive").count(), 3);
        assert!(deliveries(&house).await.iter().all(|it| it["state"] == "sent"));
    })
    .await;
}

/// Who hears of things once a day, at 08:00 in Nairobi (UTC+3).
async fn gathers(house: &House, token: &str) {
    let wishes = json!({"digest": "daily", "digestAt": "08:00", "timeZone": "Africa/Nairobi"});
    house.put(&format!("{PATH}/preferences"), token, wishes).await;
    house.clock.set("2026-09-21T20:00:00Z".parse().unwrap());
}

#[tokio::test]
async fn a_digest_that_is_full_is_followed_by_another() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (ada, of_ada) = house.person(Role::Doctor).await;
        gathers(&house, &of_ada).await;
        let all: Vec<Value> = (0..101).map(|_| notice(ada, "system", "normal")).collect();
        house.post(&format!("{PATH}/bulk"), &of_ada, json!({"notifications": all})).await;
        house.work().await;
        house.clock.set("2026-09-22T05:00:01Z".parse().unwrap());
        house.work().await;
        assert_eq!(house.mailbox.letters().len(), 2, "of a hundred, and of one");
        let waiting = sql("SELECT count(*) FROM notification_deliveries WHERE state = 'digest'");
        let waiting: i64 = waiting.fetch_one(&mut db.read().await.unwrap()).await.unwrap();
        assert_eq!(waiting, 0, "none is left behind");
    })
    .await;
}

#[tokio::test]
async fn a_digest_to_an_address_that_bounces_is_the_last() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (ada, of_ada) = house.person(Role::Doctor).await;
        gathers(&house, &of_ada).await;
        house.post(PATH, &of_ada, notice(ada, "system", "normal")).await;
        house.work().await;
        let bad = json!({"error": {"code": "TM_4001", "details": [{"code": "SM_113", "target": "to"}]}});
        house.mailbox.will_answer(400, bad);
        house.clock.set("2026-09-22T05:00:01Z".parse().unwrap());
        house.work().await;
        assert_eq!(deliveries(&house).await[0]["state"], "failed");
        house.post(PATH, &of_ada, notice(ada, "system", "high")).await;
        house.work().await;
        assert_eq!(deliveries(&house).await[0]["state"], "suppressed");
        assert_eq!(house.mailbox.letters().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_young_message_of_a_digest_is_tried_as_often_as_an_old_one() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (ada, of_ada) = house.person(Role::Doctor).await;
        gathers(&house, &of_ada).await;
        for _ in 0..2 {
            house.post(PATH, &of_ada, notice(ada, "system", "normal")).await;
        }
        house.work().await;
        let mut tx = db.begin().await.unwrap();
        let tried = "UPDATE notification_deliveries SET tries = 7 WHERE delivery_id =
                        (SELECT delivery_id FROM notification_deliveries ORDER BY delivery_id LIMIT 1)";
        sql(tried).execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        for _ in 0..3 {
            house.mailbox.will_answer(503, json!({}));
        }
        house.clock.set("2026-09-22T05:00:01Z".parse().unwrap());
        house.work().await;
        let states: Vec<Value> = deliveries(&house).await.iter().map(|it| it["state"].clone()).collect();
        assert_eq!(
            states,
            ["digest", "failed"],
            "newest first: the eighth try of the older one was its last"
        );
    })
    .await;
}

#[tokio::test]
async fn what_a_provider_reports_settles_the_delivery_and_a_complaint_ends_all_mail() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (ada, of_ada) = house.person(Role::Doctor).await;
        house.post(PATH, &of_ada, notice(ada, "system", "normal")).await;
        house.work().await;
        let address =
            house.mailbox.letters()[0]["to"][0]["email_address"]["address"].as_str().unwrap().to_owned();
        let report = |fate| Report {
            provider: Provider::Zeptomail,
            clinic_id: None,
            channel: Channel::Email,
            provider_message_id: Some("r-1".into()),
            address: Some(address.clone()),
            fate,
            reason: None,
            at: house.app.clock.now(),
        };
        let reports = notifications::reports(&house.app);
        for (fate, state) in [
            (Fate::Delivered, "delivered"),
            (Fate::Delivered, "delivered"),
            (Fate::Complained, "failed"),
            (Fate::Delivered, "failed"),
        ] {
            reports.take(&[report(fate)]).await.unwrap();
            assert_eq!(deliveries(&house).await[0]["state"], state, "{fate:?}");
        }
        let strange = Report {
            provider_message_id: Some("nobody's".into()),
            address: Some("x@example.org".into()),
            ..report(Fate::Bounced)
        };
        reports.take(&[strange]).await.unwrap();
        let list = house.get(&format!("{PATH}/suppressions"), TOKEN).await;
        assert_eq!(list.as_array().unwrap().len(), 1, "a report about no message of ours suppresses nobody");
        house.post(PATH, &of_ada, notice(ada, "system", "normal")).await;
        house.work().await;
        assert_eq!(house.mailbox.letters().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn who_has_left_the_clinic_is_written_to_no_more() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (ada, of_ada) = house.person(Role::Doctor).await;
        house.post(PATH, &of_ada, notice(ada, "system", "normal")).await;
        let mut tx = db.begin().await.unwrap();
        storage::db::sql("DELETE FROM memberships WHERE user_id = $1")
            .bind(ada)
            .execute(&mut tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        house.work().await;
        assert_eq!(deliveries(&house).await[0]["state"], "suppressed");
        assert_eq!(house.mailbox.letters().len(), 0);
    })
    .await;
}

#[tokio::test]
async fn the_link_for_a_new_password_is_mailed_in_the_programs_own_words_and_again_while_nobody_takes_it() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (ada, of_ada) = house.person(Role::Doctor).await;
        let (_, admin) = house.person_at(&Position::of(Role::ClinicAdmin)).await;
        let words =
            json!({"subject": "x", "text": "x", "html": "<img src=\"https://evil.example/{{link}}\">"});
        let own = format!("{PATH}/templates/password_reset/en");
        let refused = house.call(Method::PUT, &own, Some(&admin), Some(words)).await;
        assert_eq!(refused.status.as_u16(), 404, "no clinic says it otherwise");
        let wishes = json!({"quietHours": {"start": "00:00", "end": "23:59"}, "locale": "de"});
        house.put(&format!("{PATH}/preferences"), &of_ada, wishes).await;

        let id = uuid::Uuid::now_v7();
        let mail = async || house.deliverer.mail_password_reset(CLINIC, ada, id, "mls_x").await.unwrap();
        for _ in 0..3 {
            house.mailbox.will_answer(503, json!({}));
        }
        let again = mail().await.expect("it may go through later");
        assert_eq!(again - house.clock.now(), TimeDelta::seconds(30));
        house.clock.set(again);
        assert_eq!(mail().await, None);
        let letters = house.mailbox.letters();
        let last = letters.last().unwrap();
        assert_eq!(last["subject"], "Ein neues Passwort für Ihr Konto");
        let text = last["textbody"].as_str().unwrap();
        assert!(text.contains("https://app.example/reset-password#mls_x"), "{text}");
        assert!(letters.iter().all(|it| it["client_reference"] == last["client_reference"]), "one message");

        let bad = json!({"error": {"code": "TM_4001", "details": [{"code": "SM_113", "target": "to"}]}});
        house.mailbox.will_answer(400, bad);
        assert_eq!(mail().await, None, "no other try would help");
    })
    .await;
}
