//! Listeners at work beside one another, as the service runs them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use clinical::clock::{Clock, SystemClock};
use clinical::event::Event;
use futures::future::BoxFuture;
use hub::dispatch;
use storage::db::Db;
use storage::outbox::{HearError, Listener, Told, tell};
use storage::testing::on_both;
use tokio_util::sync::CancellationToken;

use crate::support::{CLINIC, reviewed};

const PATIENCE: Duration = Duration::from_secs(20);

/// Writes down what it hears; the first time it fails.
#[derive(Default)]
struct Scribe {
    heard: Mutex<Vec<Event>>,
    times: Mutex<u32>,
}

impl Listener for Scribe {
    fn name(&self) -> &'static str {
        "scribe"
    }

    fn hears(&self, _: &Told) -> bool {
        true
    }

    fn hear<'a>(&'a self, told: &'a [Told]) -> BoxFuture<'a, Result<(), HearError>> {
        Box::pin(async move {
            let mut times = self.times.lock().unwrap();
            *times += 1;
            if *times == 1 {
                return Err(HearError::new("not yet"));
            }
            self.heard.lock().unwrap().extend(told.iter().map(|told| told.event.clone()));
            Ok(())
        })
    }
}

async fn told(db: &Db, event: &Event) {
    let mut tx = db.begin().await.unwrap();
    tell(&mut tx, CLINIC, event, SystemClock.now()).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn what_is_committed_is_heard_soon_in_order_and_whatever_fails() {
    on_both(async |db| {
        let stop = CancellationToken::new();
        let scribe = Arc::new(Scribe::default());
        let clock = Arc::new(SystemClock);
        let tasks = [
            tokio::spawn(dispatch::relay(db.clone(), stop.clone())),
            tokio::spawn(dispatch::hear_others(db.clone(), stop.clone())),
            tokio::spawn(dispatch::listen(db.clone(), clock.clone(), scribe.clone(), stop.clone())),
            // As in another process: it never hears while the first one does.
            tokio::spawn(dispatch::listen(db.clone(), clock, scribe.clone(), stop.clone())),
        ];
        // A listener hears what is told after it began.
        while storage::testing::count(&db, "event_listeners").await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let events: Vec<Event> = (0..40).map(|_| reviewed()).collect();
        for event in &events {
            told(&db, event).await;
        }
        let all = async {
            while scribe.heard.lock().unwrap().len() < events.len() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("all are heard in time");
        assert_eq!(*scribe.heard.lock().unwrap(), events);
        stop.cancel();
        for task in tasks {
            task.await.unwrap();
        }
    })
    .await;
}
