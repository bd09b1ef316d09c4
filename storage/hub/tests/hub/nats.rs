//! Events over a real NATS server with JetStream.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{self, consumer::pull};
use clinical::clock::{Clock, SystemClock};
use clinical::event::Event;
use clinical::id::{AnalysisId, ClinicId, StudyId};
use futures::StreamExt;
use hub::nats::{Nats, STREAM};
use serde_json::Value;
use storage::db::{Db, sql};
use storage::outbox::relay::{Work, place_all};
use storage::outbox::{Hearing, Listener, Step, StepError, after, progress, tell};
use storage::testing::{now, on_both, told_by_test};

use crate::support::{ready, stored};

/// A clinic of its own, for the server is shared.
async fn new_clinic(db: &Db) -> ClinicId {
    let clinic = ClinicId::new();
    let mut tx = db.begin().await.unwrap();
    sql("INSERT INTO clinics (clinic_id, name, created_at) VALUES ($1, 'Other', $2)")
        .bind(clinic)
        .bind(now())
        .execute(&mut tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    clinic
}

async fn told(db: &Db, clinic: ClinicId, study: StudyId, instances: usize) {
    let mut tx = db.begin().await.unwrap();
    for _ in 0..instances {
        tell(&mut tx, clinic, &stored(study), now()).await.unwrap();
    }
    tell(&mut tx, clinic, &ready(study), now()).await.unwrap();
    tx.commit().await.unwrap();
    place_all(db, Work::None).await.unwrap();
}

/// What the stream holds of a clinic: subject, message identifier and message.
async fn messages_of(clinic: ClinicId, at_most: usize) -> Vec<(String, String, Value)> {
    let client = async_nats::connect(told_by_test("MEDILINK_TEST_NATS")).await.unwrap();
    let stream = jetstream::new(client).get_stream(STREAM).await.unwrap();
    let filter = pull::Config { filter_subject: format!("medilink.{clinic}.>"), ..pull::Config::default() };
    let consumer = stream.create_consumer(filter).await.unwrap();
    let fetched =
        consumer.fetch().max_messages(at_most).expires(Duration::from_secs(2)).messages().await.unwrap();
    fetched
        .map(|message| {
            let message = message.unwrap();
            let id = message.headers.as_ref().unwrap().get("Nats-Msg-Id").unwrap().to_string();
            (message.subject.to_string(), id, serde_json::from_slice(&message.payload).unwrap())
        })
        .collect()
        .await
}

#[tokio::test]
async fn events_are_published_in_order_and_once_though_they_are_heard_twice() {
    on_both(async |db| {
        let clinic = new_clinic(&db).await;
        let nats = Arc::new(Nats::connect(&told_by_test("MEDILINK_TEST_NATS")).await.unwrap());
        let mut hearing = Hearing::new(db.clone(), nats.clone());
        hearing.step(SystemClock.now()).await.unwrap();
        let study = StudyId::new();
        told(&db, clinic, study, 5).await;
        assert_eq!(hearing.step(SystemClock.now()).await.unwrap(), Step::Heard);
        let events = after(&mut db.read().await.unwrap(), 0, 100).await.unwrap();
        nats.hear(&events).await.unwrap();

        let published = messages_of(clinic, 20).await;
        let ids: Vec<_> = published.iter().map(|(_, id, _)| id.clone()).collect();
        assert_eq!(ids, events.iter().map(|told| told.event_id.to_string()).collect::<Vec<_>>());
        let (subject, _, last) = &published[5];
        assert_eq!(*subject, format!("medilink.{clinic}.findings_ready"));
        assert_eq!(*last, events[5].envelope());
    })
    .await;
}

/// Servers take 1 MiB unless they are told otherwise; an identifier is 39 bytes of it.
#[tokio::test]
async fn an_event_that_is_too_long_stops_none_behind_it() {
    on_both(async |db| {
        let clinic = new_clinic(&db).await;
        let nats = Nats::connect(&told_by_test("MEDILINK_TEST_NATS")).await.unwrap();
        let mut hearing = Hearing::new(db.clone(), Arc::new(nats));
        hearing.step(SystemClock.now()).await.unwrap();
        let study_id = StudyId::new();
        let analysis_ids = (0..30_000).map(|_| AnalysisId::new()).collect();
        let mut tx = db.begin().await.unwrap();
        tell(&mut tx, clinic, &Event::FindingsReady { study_id, analysis_ids, found: None }, now())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        told(&db, clinic, study_id, 0).await;
        assert_eq!(hearing.step(SystemClock.now()).await.unwrap(), Step::Heard);
        assert_eq!(messages_of(clinic, 5).await.len(), 1);
    })
    .await;
}

/// Nobody listens on this port: it was free a moment ago.
#[tokio::test]
async fn while_the_server_is_away_nothing_counts_as_heard() {
    on_both(async |db| {
        let clinic = new_clinic(&db).await;
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let nats = Nats::connect(&format!("nats://127.0.0.1:{port}")).await.unwrap();
        let mut hearing = Hearing::new(db.clone(), Arc::new(nats));
        hearing.step(SystemClock.now()).await.unwrap();
        told(&db, clinic, StudyId::new(), 0).await;
        let failed = hearing.step(SystemClock.now()).await;
        assert!(matches!(failed, Err(StepError::Listener(_))), "{failed:?}");
        let progress = progress(&mut db.read().await.unwrap()).await.unwrap();
        assert_eq!((progress[0].position, progress[0].last), (0, 1));

        let real = Nats::connect(&told_by_test("MEDILINK_TEST_NATS")).await.unwrap();
        hearing.release().await.unwrap();
        let mut again = Hearing::new(db.clone(), Arc::new(real));
        assert_eq!(again.step(SystemClock.now()).await.unwrap(), Step::Heard);
        assert_eq!(messages_of(clinic, 5).await.len(), 1);
    })
    .await;
}
