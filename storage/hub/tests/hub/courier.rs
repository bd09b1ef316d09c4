//! From what was told to what a clinic's webhook receives.

use std::time::Duration;

use axum::response::IntoResponse;
use chrono::TimeDelta;
use clinical::clock::Clock;
use clinical::id::StudyId;
use http::{StatusCode, header};
use hub::courier::CourierSettings;
use storage::outbox::told;
use storage::records::webhook::delivery::{Delivery, DeliveryState};
use storage::records::webhook::target::Targets;
use storage::records::webhook::{SECRET_PURPOSE, Webhook, WebhookChange, WebhookState};
use storage::testing::on_both;

use crate::support::{CLINIC, Message, Rig, SECRET, ready, reviewed, stored};

/// Whether the reference library of Standard Webhooks takes the signature for this secret.
fn is_signed_by(message: &Message, secret: &[u8]) -> bool {
    let verifier = standardwebhooks::Webhook::from_bytes(secret.to_vec()).unwrap();
    verifier.verify(&message.body, &message.headers).is_ok()
}

#[tokio::test]
async fn what_is_told_arrives_signed_and_in_order() {
    on_both(async |db| {
        let mut rig = Rig::new(&db).await;
        let study = StudyId::new();
        for _ in 0..25 {
            rig.tell(&stored(study)).await;
        }
        rig.tell(&ready(study)).await;
        rig.work().await;
        let taken = rig.receiver.taken();
        let events = told(&mut db.read().await.unwrap(), CLINIC, "instance_stored", 100).await.unwrap();
        let sent: Vec<_> = taken.iter().take(25).map(|message| message.json()["id"].clone()).collect();
        assert_eq!(sent, events.iter().map(|told| serde_json::json!(told.event_id)).collect::<Vec<_>>());
        assert_eq!(taken[25].about(), ("findings_ready".to_owned(), study.to_string()));
        assert_eq!(taken.len(), 26);
        for message in &taken {
            assert!(is_signed_by(message, SECRET));
            assert!(!is_signed_by(message, b"another secret, also of 32 bytes"));
            assert_eq!(message.headers["webhook-id"], message.json()["id"].as_str().unwrap());
            assert_eq!(message.headers[header::CONTENT_TYPE], "application/json");
        }
        assert!(
            rig.deliveries().await.iter().all(|it| it.state == DeliveryState::Delivered && it.tries == 1)
        );
    })
    .await;
}

#[tokio::test]
async fn a_failed_delivery_holds_back_its_record_and_no_other() {
    on_both(async |db| {
        let mut rig = Rig::new(&db).await;
        let study = StudyId::new();
        rig.receiver.plans([StatusCode::INTERNAL_SERVER_ERROR]);
        rig.tell(&stored(study)).await;
        rig.work().await;
        rig.tell(&ready(study)).await;
        rig.tell(&reviewed()).await;
        rig.work().await;
        let names = |taken: Vec<Message>| taken.iter().map(|it| it.about().0).collect::<Vec<_>>();
        assert_eq!(names(rig.receiver.taken()), ["instance_stored", "finding_reviewed"]);
        let first = rig.deliveries().await.remove(0);
        assert_eq!((first.state, first.status), (DeliveryState::Waiting, Some(500)));
        assert_eq!(first.last_error.as_deref(), Some("it answered 500"));
        let wait = first.next_at - rig.clock.now();
        assert!(wait > TimeDelta::zero() && wait <= TimeDelta::seconds(6), "5 s, give or take a fifth");
        assert!(rig.webhook().await.failing_since.is_none(), "the other record's event has arrived since");

        rig.clock.forward(TimeDelta::seconds(7));
        rig.work().await;
        let all = ["instance_stored", "finding_reviewed", "instance_stored", "findings_ready"];
        assert_eq!(names(rig.receiver.taken()), all);
        let taken = rig.receiver.taken();
        assert_eq!(taken[0].headers["webhook-id"], taken[2].headers["webhook-id"], "the same message again");
        assert_eq!(taken[0].body, taken[2].body);
        assert!(rig.deliveries().await.iter().all(|it| it.state == DeliveryState::Delivered));
    })
    .await;
}

#[tokio::test]
async fn a_receiver_that_asks_to_wait_is_left_alone_so_long() {
    on_both(async |db| {
        let mut rig = Rig::new(&db).await;
        rig.receiver.plans([(StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "3600")])]);
        rig.tell(&reviewed()).await;
        rig.work().await;
        let wait = rig.deliveries().await[0].next_at - rig.clock.now();
        assert!(wait > TimeDelta::minutes(59) && wait <= TimeDelta::hours(1), "{wait}");
        rig.clock.forward(TimeDelta::minutes(58));
        rig.work().await;
        assert_eq!(rig.receiver.taken().len(), 1);
        rig.clock.forward(TimeDelta::minutes(3));
        rig.work().await;
        assert_eq!(rig.receiver.taken().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn after_the_last_try_a_delivery_is_dead_makes_way_and_can_be_replayed() {
    on_both(async |db| {
        let settings =
            CourierSettings { targets: Targets::PrivateToo, tries: 3, ..CourierSettings::default() };
        let mut rig = Rig::with(&db, settings).await;
        let study = StudyId::new();
        rig.receiver.plans([StatusCode::BAD_GATEWAY; 3]);
        rig.tell(&stored(study)).await;
        rig.tell(&ready(study)).await;
        for _ in 0..3 {
            rig.work().await;
            rig.clock.forward(TimeDelta::hours(1));
        }
        let [dead, next] = <[Delivery; 2]>::try_from(rig.deliveries().await).unwrap();
        assert_eq!((dead.state, dead.tries, dead.status), (DeliveryState::Dead, 3, Some(502)));
        assert_eq!(next.state, DeliveryState::Delivered);

        let mut tx = db.begin().await.unwrap();
        let now = rig.clock.now();
        let replayed = Delivery::replay(&mut tx, CLINIC, rig.webhook, dead.delivery_id, now).await.unwrap();
        Delivery::ask(&mut tx, CLINIC, rig.webhook, replayed.aggregate, now).await.unwrap();
        tx.commit().await.unwrap();
        rig.work().await;
        assert_eq!(rig.receiver.taken().last().unwrap().about().0, "instance_stored");
        assert!(rig.deliveries().await.iter().all(|it| it.state == DeliveryState::Delivered));
    })
    .await;
}

#[tokio::test]
async fn a_webhook_that_fails_for_days_or_is_gone_is_disabled_and_goes_on_when_it_is_active_again() {
    for days in [0, 6] {
        on_both(async |db| {
            let mut rig = Rig::new(&db).await;
            if days == 0 {
                rig.receiver.plans([StatusCode::GONE]);
            } else {
                rig.receiver.plans([StatusCode::NOT_FOUND; 2]);
            }
            rig.tell(&reviewed()).await;
            rig.work().await;
            rig.clock.forward(TimeDelta::days(days));
            rig.work().await;
            let off = rig.webhook().await;
            assert_eq!(off.state, WebhookState::Disabled, "{:?}", rig.deliveries().await);
            let seen = rig.receiver.taken().len();
            rig.tell(&reviewed()).await;
            rig.clock.forward(TimeDelta::days(1));
            rig.work().await;
            assert_eq!(rig.receiver.taken().len(), seen, "nothing is sent");
            let events = told(&mut db.read().await.unwrap(), CLINIC, "webhook_disabled", 10).await.unwrap();
            assert!(events.iter().any(|told| told.body["webhook_id"] == serde_json::json!(rig.webhook)));

            let mut tx = db.begin().await.unwrap();
            let on = WebhookChange { state: Some(WebhookState::Active), ..WebhookChange::default() };
            Webhook::change(&mut tx, CLINIC, rig.webhook, &on).await.unwrap();
            Delivery::resume(&mut tx, CLINIC, rig.webhook, rig.clock.now()).await.unwrap();
            tx.commit().await.unwrap();
            rig.work().await;
            let came = rig.receiver.taken().len() - seen;
            assert_eq!(came, usize::from(days > 0), "what waited comes; what was answered by Gone is dead");
        })
        .await;
    }
}

#[tokio::test]
async fn nobody_is_followed_and_nobody_waited_for_long() {
    on_both(async |db| {
        let settings = CourierSettings {
            targets: Targets::PrivateToo,
            longest: Duration::from_millis(300),
            ..CourierSettings::default()
        };
        let mut rig = Rig::with(&db, settings).await;
        rig.receiver.plans([(StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "/hook")])]);
        rig.tell(&reviewed()).await;
        rig.work().await;
        assert_eq!(rig.receiver.taken().len(), 1);
        assert_eq!(rig.deliveries().await[0].last_error.as_deref(), Some("it answered 307"));

        *rig.receiver.delay.lock().unwrap() = Duration::from_secs(5);
        rig.tell(&reviewed()).await;
        rig.work().await;
        let late = rig.deliveries().await.remove(1);
        assert_eq!((late.status, late.last_error.as_deref()), (None, Some("no answer in time")));
    })
    .await;
}

/// An answer without end is not read to its end, and one that is an error page is not kept.
#[tokio::test]
async fn an_answer_without_end_counts_by_its_status() {
    on_both(async |db| {
        let mut rig = Rig::new(&db).await;
        let chunks = futures::stream::repeat_with(|| Ok::<_, std::io::Error>("x".repeat(4096)));
        rig.receiver.plans([axum::body::Body::from_stream(chunks).into_response()]);
        rig.tell(&reviewed()).await;
        rig.work().await;
        let arrived = rig.deliveries().await.remove(0);
        assert_eq!((arrived.state, arrived.status), (DeliveryState::Delivered, Some(200)));
    })
    .await;
}

#[tokio::test]
async fn what_is_private_is_not_reached_unless_it_is_allowed() {
    on_both(async |db| {
        let mut rig = Rig::with(&db, CourierSettings::default()).await;
        rig.tell(&reviewed()).await;
        rig.work().await;
        assert!(rig.receiver.taken().is_empty());
        let refused = rig.deliveries().await.remove(0);
        assert_eq!(refused.last_error.as_deref(), Some("the address is none of the public Internet"));
    })
    .await;
}

#[tokio::test]
async fn a_changed_secret_and_the_one_before_it_both_sign_for_a_while() {
    on_both(async |db| {
        let mut rig = Rig::new(&db).await;
        let new = b"the new one, also of 32 bytes...".as_slice();
        let sealed = rig.keys.seal(CLINIC, SECRET_PURPOSE, new).unwrap();
        let mut tx = db.begin().await.unwrap();
        let until = rig.clock.now() + TimeDelta::seconds(60);
        Webhook::change_secret(&mut tx, CLINIC, rig.webhook, &sealed, until).await.unwrap();
        tx.commit().await.unwrap();
        rig.tell(&reviewed()).await;
        rig.work().await;
        let first = rig.receiver.taken().remove(0);
        assert!(is_signed_by(&first, SECRET) && is_signed_by(&first, new));
        rig.clock.forward(TimeDelta::seconds(61));
        rig.tell(&reviewed()).await;
        rig.work().await;
        let second = rig.receiver.taken().remove(1);
        assert!(is_signed_by(&second, new) && !is_signed_by(&second, SECRET));
    })
    .await;
}
