//! The house over one database, and a stub of ZeptoMail that remembers what it was given.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use chrono::{DateTime, TimeDelta, Utc};
use clinical::clock::Clock;
use clinical::id::{ClinicId, UserId};
use clinical::job::{Job, Queue};
use clinical::role::Role;
use gate::testing::{Answer, app, request, send, token_of};
use gate::{App, HttpLimits, layers};
use http::{Method, StatusCode, header};
use notifications::channel::{ChannelSettings, Switchboard};
use notifications::{Deliverer, NotificationsState};
use serde_json::{Value, json};
use storage::db::{Db, sql};
use storage::queue::{self, QueueLimits};
use storage::records::member::Position;
use storage::records::webhook::target::Targets;
use storage::testing::now;
use tokio::net::TcpListener;

pub const CLINIC: ClinicId = ClinicId::DEFAULT;

/// A clock that is set by hand.
#[derive(Clone)]
pub struct HandClock(Arc<Mutex<DateTime<Utc>>>);

impl HandClock {
    pub fn forward(&self, by: TimeDelta) {
        *self.0.lock().unwrap() += by;
    }

    pub fn set(&self, at: DateTime<Utc>) {
        *self.0.lock().unwrap() = at;
    }
}

impl Clock for HandClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

/// What the stub answers next, and what it was sent.
#[derive(Default)]
pub struct Mailbox {
    answers: Mutex<VecDeque<(u16, Value)>>,
    letters: Mutex<Vec<Value>>,
}

impl Mailbox {
    pub fn will_answer(&self, status: u16, body: Value) {
        self.answers.lock().unwrap().push_back((status, body));
    }

    pub fn letters(&self) -> Vec<Value> {
        // Who asks whether it is there writes to nobody.
        let all = self.letters.lock().unwrap();
        all.iter().filter(|letter| letter.get("to").is_some()).cloned().collect()
    }
}

/// Checks what ZeptoMail checks: the token, a sender, a recipient, a subject on one line.
async fn take(
    State(mailbox): State<Arc<Mailbox>>,
    headers: http::HeaderMap,
    Json(letter): Json<Value>,
) -> (StatusCode, Json<Value>) {
    if headers.get("authorization").is_none_or(|token| token != "Zoho-enczapikey secret") {
        let body = json!({"error": {"code": "TM_4001", "details": [{"code": "SERR_157"}]}});
        return (StatusCode::INTERNAL_SERVER_ERROR, Json(body));
    }
    let subject = letter["subject"].as_str().unwrap_or_default();
    let is_whole = letter["from"]["address"].is_string()
        && letter["to"][0]["email_address"]["address"].is_string()
        && !subject.is_empty()
        && !subject.contains(['\r', '\n']);
    if !is_whole {
        return (
            StatusCode::BAD_REQUEST,
            Json(json!({"error": {"code": "TM_3201", "details": [{"code": "GE_102"}]}})),
        );
    }
    let mut letters = mailbox.letters.lock().unwrap();
    letters.push(letter);
    let number = letters.len();
    drop(letters);
    match mailbox.answers.lock().unwrap().pop_front() {
        Some((status, body)) => (StatusCode::from_u16(status).unwrap(), Json(body)),
        None => (StatusCode::CREATED, Json(json!({"request_id": format!("r-{number}"), "message": "OK"}))),
    }
}

pub struct House {
    pub app: App,
    pub router: Router,
    pub clock: HandClock,
    pub mailbox: Arc<Mailbox>,
    pub deliverer: Deliverer,
    _folder: tempfile::TempDir,
}

impl House {
    pub async fn over(db: &Db) -> Self {
        // A second test of the process finds it installed.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mailbox = Arc::new(Mailbox::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let stub = Router::new().route("/v1.1/email", post(take)).with_state(Arc::clone(&mailbox));
        tokio::spawn(async move { axum::serve(listener, stub).await });
        let settings = ChannelSettings {
            from_email: "clinic@example.org".into(),
            from_name: "Clinic".into(),
            zeptomail_token: "secret".into(),
            zeptomail_base_url: base,
            ..ChannelSettings::default()
        };
        let (app, folder) = app(db, HttpLimits::default(), now());
        let clock = HandClock(Arc::new(Mutex::new(now())));
        let keys = app.authenticator.keyring().clone();
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let switchboard =
            Switchboard::new(db.clone(), Arc::clone(&shared), keys.clone(), settings, Targets::PublicOnly)
                .unwrap();
        let deliverer = Deliverer::new(db.clone(), shared, keys, switchboard.clone(), "https://app.example/");
        let state = NotificationsState::new(app.clone(), switchboard, "https://app.example");
        let router = layers(notifications::routes(state), app.clone());
        Self { app, router, clock, mailbox, deliverer, _folder: folder }
    }

    /// A new person and their token.
    pub async fn person(&self, role: Role) -> (UserId, String) {
        self.person_at(&Position::of(role)).await
    }

    pub async fn person_at(&self, position: &Position) -> (UserId, String) {
        let token = token_of(&self.app, CLINIC, position).await;
        let newest = sql("SELECT user_id FROM users ORDER BY user_id DESC LIMIT 1");
        let user: uuid::Uuid = newest.fetch_one(&mut self.app.db.read().await.unwrap()).await.unwrap();
        (UserId(user), token)
    }

    pub async fn call(&self, method: Method, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
        let mut request = request(method, path).header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request
                .headers_mut()
                .unwrap()
                .insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        send(&self.router, request.body(body).unwrap()).await
    }

    pub async fn get(&self, path: &str, token: &str) -> Value {
        let answer = self.call(Method::GET, path, Some(token), None).await;
        assert_eq!(answer.status.as_u16(), 200, "{path}: {:?}", answer.body);
        answer.json()
    }

    pub async fn post(&self, path: &str, token: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(token), Some(body)).await
    }

    pub async fn put(&self, path: &str, token: &str, body: Value) -> Answer {
        self.call(Method::PUT, path, Some(token), Some(body)).await
    }

    /// Does all work that is due; how many jobs there were.
    pub async fn work(&self) -> usize {
        let mut done = 0;
        loop {
            let mut claimed = None;
            for queue in [Queue::Notification, Queue::Email] {
                if claimed.is_none() {
                    let limits = QueueLimits::default();
                    claimed = queue::claim_from(&self.app.db, queue, limits, self.clock.now()).await.unwrap();
                }
            }
            let Some(claimed) = claimed else { return done };
            done += 1;
            match &claimed.job {
                Job::PlanNotice { notification_id } => self.deliverer.plan(&claimed, *notification_id).await,
                Job::DeliverNotice { delivery_id } | Job::MailNotice { delivery_id } => {
                    self.deliverer.deliver(&claimed, *delivery_id).await
                }
                Job::SendDigest { user_id } => self.deliverer.digest(&claimed, *user_id).await,
                job => panic!("{job:?}"),
            }
            .unwrap();
        }
    }
}
