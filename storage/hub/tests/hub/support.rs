//! A receiver of webhooks, a clock that can be moved, and what the journeys share.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use chrono::{DateTime, TimeDelta, Utc};
use clinical::clock::{Clock, SystemClock};
use clinical::event::Event;
use clinical::id::{ClinicId, FindingId, InstanceId, StudyId, WebhookId};
use clinical::job::{Job, Queue};
use http::{HeaderMap, StatusCode};
use hub::courier::{Courier, CourierSettings};
use hub::webhooks::Webhooks;
use storage::db::Db;
use storage::outbox::relay::{Work, place_all};
use storage::outbox::{Hearing, Step, tell};
use storage::queue::{QueueLimits, claim_from};
use storage::records::webhook::delivery::Delivery;
use storage::records::webhook::target::{Targets, WebhookUrl};
use storage::records::webhook::{SECRET_PURPOSE, Webhook};
use storage::secret::Keyring;

pub const CLINIC: ClinicId = ClinicId::DEFAULT;
pub const SECRET: &[u8] = b"a secret of 32 bytes, as we make";

/// The machine's time, moved forward by hand.
#[derive(Default)]
pub struct MovedClock(AtomicI64);

impl MovedClock {
    pub fn forward(&self, by: TimeDelta) {
        self.0.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
    }
}

impl Clock for MovedClock {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + TimeDelta::milliseconds(self.0.load(Ordering::SeqCst))
    }
}

/// One message that came in.
#[derive(Debug, Clone)]
pub struct Message {
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Message {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Its kind and the record that it is about.
    pub fn about(&self) -> (String, String) {
        let json = self.json();
        (json["type"].as_str().unwrap().to_owned(), json["aggregate"]["id"].as_str().unwrap().to_owned())
    }
}

/// A server that takes messages in, and answers each with the next of its planned answers, else 204.
#[derive(Clone, Default)]
pub struct Receiver {
    pub messages: Arc<Mutex<Vec<Message>>>,
    pub answers: Arc<Mutex<VecDeque<Response>>>,
    pub delay: Arc<Mutex<Duration>>,
}

impl Receiver {
    /// Starts it; the address of its hook.
    pub async fn start(&self) -> String {
        let router = Router::new().route("/hook", post(take)).with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}/hook")
    }

    pub fn plans(&self, answers: impl IntoIterator<Item = impl IntoResponse>) {
        self.answers.lock().unwrap().extend(answers.into_iter().map(IntoResponse::into_response));
    }

    pub fn taken(&self) -> Vec<Message> {
        self.messages.lock().unwrap().clone()
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    let delay = *receiver.delay.lock().unwrap();
    tokio::time::sleep(delay).await;
    receiver.messages.lock().unwrap().push(Message { headers, body });
    let planned = receiver.answers.lock().unwrap().pop_front();
    planned.unwrap_or_else(|| StatusCode::NO_CONTENT.into_response())
}

/// A clinic with one webhook at a receiver, and the courier.
pub struct Rig {
    pub db: Db,
    pub clock: Arc<MovedClock>,
    pub keys: Keyring,
    pub receiver: Receiver,
    pub courier: Courier,
    pub webhook: WebhookId,
    hearing: Hearing,
}

impl Rig {
    pub async fn new(db: &Db) -> Self {
        let settings = CourierSettings { targets: Targets::PrivateToo, ..CourierSettings::default() };
        Self::with(db, settings).await
    }

    pub async fn with(db: &Db, settings: CourierSettings) -> Self {
        let keys = Keyring::from_text("k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
        let receiver = Receiver::default();
        let clock = Arc::new(MovedClock::default());
        let url = WebhookUrl::check(&receiver.start().await, Targets::PrivateToo).unwrap();
        let secret = keys.seal(CLINIC, SECRET_PURPOSE, SECRET).unwrap();
        let mut tx = db.begin().await.unwrap();
        let made = Webhook::create(&mut tx, CLINIC, &url, "", &[], &secret, clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        let courier = Courier::new(db.clone(), clock.clone(), keys.clone(), settings).unwrap();
        let mut hearing = Hearing::new(db.clone(), Arc::new(Webhooks::new(db.clone(), clock.clone())));
        hearing.step(clock.now()).await.unwrap();
        Self { db: db.clone(), clock, keys, receiver, courier, webhook: made.webhook_id, hearing }
    }

    pub async fn tell(&mut self, event: &Event) {
        let mut tx = self.db.begin().await.unwrap();
        tell(&mut tx, CLINIC, event, self.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        place_all(&self.db, Work::None).await.unwrap();
        while self.hearing.step(self.clock.now()).await.unwrap() == Step::Heard {}
    }

    /// Does every job that is due.
    pub async fn work(&self) {
        let limits = QueueLimits::default();
        while let Some(claimed) =
            claim_from(&self.db, Queue::Notification, limits, self.clock.now()).await.unwrap()
        {
            let Job::DeliverEvent { webhook_id, aggregate } = claimed.job.clone() else { panic!() };
            self.courier.run(&claimed, webhook_id, &aggregate).await.unwrap();
        }
    }

    pub async fn deliveries(&self) -> Vec<Delivery> {
        let mut read = self.db.read().await.unwrap();
        let mut all = Delivery::list(&mut read, CLINIC, self.webhook, None, None, 100).await.unwrap();
        all.reverse();
        all
    }

    pub async fn webhook(&self) -> Webhook {
        Webhook::find(&mut self.db.read().await.unwrap(), CLINIC, self.webhook).await.unwrap()
    }
}

pub fn stored(study_id: StudyId) -> Event {
    Event::InstanceStored { study_id, instance_id: InstanceId::new(), begins: None }
}

pub fn ready(study_id: StudyId) -> Event {
    Event::FindingsReady { study_id, analysis_ids: Vec::new(), found: None }
}

pub fn reviewed() -> Event {
    Event::FindingReviewed { finding_id: FindingId::new(), review: None }
}
