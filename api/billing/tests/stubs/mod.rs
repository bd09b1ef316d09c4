//! Honest stand-ins of the providers: they check who asks, what is required, keys, states and amounts as the public
//! documents say it, keep their own books, and do on demand what the real ones do on bad days.

pub mod paypal;
pub mod phonepe;
pub mod razorpay;
pub mod stripe;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use billing::provider::PaymentProvider;
use chrono::{DateTime, Utc};
use clinical::money::Money;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::Value;
use uuid::Uuid;

/// How long the adapters of the tests wait for an answer.
pub const PATIENCE: Duration = Duration::from_millis(700);

/// A bad day, once, for the next request that makes or changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It is done, and the answer never comes.
    SilentAfter,
    /// It is done, and the answer is 500.
    FailingAfter,
    /// It is not done, and the answer is 503.
    FailingBefore,
    /// It is not done, and the answer is 429.
    Busy,
}

/// How a dispute ends for the clinic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Won,
    Lost,
}

/// A request as the books see it.
pub struct Asked {
    pub method: Method,
    pub path: String,
    pub query: HashMap<String, String>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn is(&self, method: &Method, path: &str) -> bool {
        self.method == *method && self.path == path
    }

    /// What stands in the place of `{}` in `pattern`.
    pub fn part<'a>(&'a self, method: &Method, pattern: &str) -> Option<&'a str> {
        let (before, after) = pattern.split_once("{}").unwrap();
        let part = self.path.strip_prefix(before)?.strip_suffix(after)?;
        (self.method == *method && !part.is_empty() && !part.contains('/')).then_some(part)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn form(&self) -> BTreeMap<String, String> {
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }
}

pub type Told = (u16, Value);

/// A provider's books: what it answers, and what it takes and gives back by that.
pub trait Book: Send + 'static {
    fn answer(&mut self, asked: &Asked) -> Told;
}

/// The books behind a door.
pub struct Server<B> {
    pub base_url: String,
    book: Arc<Mutex<B>>,
    trouble: Arc<Mutex<Option<Trouble>>>,
    asked: Arc<AtomicUsize>,
}

struct Door<B> {
    book: Arc<Mutex<B>>,
    trouble: Arc<Mutex<Option<Trouble>>>,
    asked: Arc<AtomicUsize>,
}

impl<B> Clone for Door<B> {
    fn clone(&self) -> Self {
        Self { book: self.book.clone(), trouble: self.trouble.clone(), asked: self.asked.clone() }
    }
}

impl<B: Book> Server<B> {
    pub async fn start(book: B) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let door = Door { book: Arc::new(Mutex::new(book)), trouble: Arc::default(), asked: Arc::default() };
        let (book, trouble, asked) = (door.book.clone(), door.trouble.clone(), door.asked.clone());
        let router = Router::new().fallback(answer::<B>).with_state(door);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { base_url, book, trouble, asked }
    }

    pub fn book(&self) -> MutexGuard<'_, B> {
        self.book.lock().unwrap()
    }

    pub fn trouble(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap() = Some(trouble);
    }

    /// How many requests came.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn answer<B: Book>(
    State(door): State<Door<B>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    door.asked.fetch_add(1, Ordering::SeqCst);
    let query =
        url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let asked = Asked { path: uri.path().to_owned(), method, query, headers, body };
    let is_preparation = asked.path.ends_with("/token") || asked.path.contains("verify-webhook");
    let changes = asked.method != Method::GET && !is_preparation;
    let trouble = if changes { door.trouble.lock().unwrap().take() } else { None };
    match trouble {
        Some(Trouble::FailingBefore) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Some(Trouble::Busy) => {
            return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")]).into_response();
        }
        _ => {}
    }
    let (status, value) = door.book.lock().unwrap().answer(&asked);
    match trouble {
        Some(Trouble::SilentAfter) => tokio::time::sleep(PATIENCE * 4).await,
        Some(Trouble::FailingAfter) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        _ => {}
    }
    (StatusCode::from_u16(status).unwrap(), axum::Json(value)).into_response()
}

/// Answers of requests with a key: the same again, and a refusal where another request uses it.
#[derive(Default)]
pub struct Keys(HashMap<String, (String, Told)>);

impl Keys {
    /// What was answered to `key`; `Err` where that was to something else.
    pub fn before(&self, key: &str, request: &str) -> Result<Option<Told>, ()> {
        match self.0.get(key) {
            Some((same, told)) if same == request => Ok(Some(told.clone())),
            Some(_) => Err(()),
            None => Ok(None),
        }
    }

    pub fn keep(&mut self, key: &str, request: &str, told: &Told) {
        self.0.insert(key.to_owned(), (request.to_owned(), told.clone()));
    }
}

/// A webhook as it is sent.
pub type Sent = (HeaderMap, Vec<u8>);

/// What the suite needs of a stand-in.
pub trait Stub: Sync {
    /// The adapter with the right credentials.
    fn provider(&self) -> Box<dyn PaymentProvider>;
    /// The adapter with wrong ones, for webhooks too.
    fn stranger(&self) -> Box<dyn PaymentProvider>;
    /// A sum that the provider takes.
    fn sum(&self, minor: i64) -> Money;
    /// The payer agrees, at the provider.
    fn payer_agrees(&self, provider_id: &str);
    /// The payer tries, and is declined.
    fn payer_is_declined(&self, provider_id: &str);
    /// How much was taken for our payment, in minor units, and in how many charges.
    fn taken(&self, reference: Uuid) -> (i64, usize);
    /// How much was given back for our payment, and in how many refunds.
    fn given_back(&self, reference: Uuid) -> (i64, usize);
    /// The next bad day.
    fn trouble(&self, trouble: Trouble);
    /// How many requests came.
    fn asked(&self) -> usize;
    /// The payer objects to a payment: the dispute's identifier; `None` where the provider tells of none.
    fn dispute(&self, provider_id: &str) -> Option<String>;
    /// The dispute ends.
    fn dispute_ends(&self, dispute_id: &str, end: Ending);
    /// A webhook about a payment on which the payer has acted, sent at `at`; `turn` tells two about the same apart.
    fn payment_webhook(&self, provider_id: &str, turn: u32, at: DateTime<Utc>) -> Sent;
    /// A webhook about a dispute, another one at each second.
    fn dispute_webhook(&self, dispute_id: &str, at: DateTime<Utc>) -> Sent;
}
