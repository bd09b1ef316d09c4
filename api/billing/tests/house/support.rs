//! The house over a database of its own, with two providers in memory.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use billing::provider::ProviderName;
use billing::{Account, Accounts, BillingState, Cashier};
use chrono::{DateTime, TimeDelta, Utc};
use clinical::clock::Clock;
use clinical::id::{ClinicId, PatientId};
use clinical::job::Job;
use gate::testing::{Answer, TOKEN, app, post_json, send};
use gate::{App, HttpLimits, layers};
use http::{Method, header};
use serde_json::{Value, json};
use storage::db::Db;
use storage::queue::{self, QueueLimits};
use storage::records::patient::{Patient, PatientFacts};
use storage::testing::now;
use tempfile::TempDir;

use crate::fake::Fake;

pub const CLINIC: ClinicId = ClinicId::DEFAULT;

/// A clock that a test moves.
#[derive(Debug, Clone)]
pub struct Hands(Arc<std::sync::Mutex<DateTime<Utc>>>);

impl Clock for Hands {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

pub struct House {
    pub app: App,
    pub router: Router,
    pub cashier: Cashier,
    pub stripe: Fake,
    pub paypal: Fake,
    pub hands: Hands,
    _folder: TempDir,
}

pub fn house(db: &Db) -> House {
    let (app, folder) = app(db, HttpLimits::default(), now());
    let (stripe, paypal) = (Fake::new(ProviderName::Stripe), Fake::new(ProviderName::PayPal));
    let common: [Account; 2] = [Arc::new(stripe.clone()), Arc::new(paypal.clone())];
    let keyring = app.authenticator.keyring().clone();
    let accounts = Accounts::new(db.clone(), keyring, common, Arc::new(|_, _| None));
    let hands = Hands(Arc::new(std::sync::Mutex::new(now())));
    let cashier = Cashier::new(db.clone(), Arc::new(hands.clone()), accounts, "https://clinic.example");
    let state = BillingState::new(app.clone(), cashier.clone());
    let router = layers(billing::routes(state), app.clone());
    House { app, router, cashier, stripe, paypal, hands, _folder: folder }
}

impl House {
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        post_json(&self.router, path, &body).await
    }

    /// Without a body.
    pub async fn post_nothing(&self, path: &str) -> Answer {
        send(&self.router, gate::testing::request(Method::POST, path).body(Body::empty()).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Value {
        let answer = gate::testing::get(&self.router, path).await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        answer.json()
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.as_who(TOKEN, Method::PUT, path, body).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.as_who(TOKEN, Method::PATCH, path, body).await
    }

    /// As whoever has this token.
    pub async fn as_who(&self, token: &str, method: Method, path: &str, body: Value) -> Answer {
        let request = http::Request::builder().method(method).uri(path);
        let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        let request = request.header(header::CONTENT_TYPE, "application/json");
        send(&self.router, request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// An issued invoice over `minor` cents; its id.
    pub async fn bill(&self, minor: i64) -> String {
        let body = json!({
            "description": "Home care visit", "issue": true,
            "lines": [{"description": "Visit", "unitAmount": minor}]
        });
        let made = self.post("/api/v1/billing/invoices", body).await;
        assert_eq!(made.status, 201, "{:?}", made.body);
        made.json()["id"].as_str().unwrap().to_owned()
    }

    /// A payment of an invoice that the payer has not acted on: our id, and the provider's.
    pub async fn begin(&self, invoice: &str) -> (String, String) {
        let begun = self.post("/api/payments/create-intent", json!({"invoiceId": invoice})).await;
        assert_eq!(begun.status, 200, "{:?}", begun.body);
        let begun = begun.json();
        let text = |name: &str| begun[name].as_str().unwrap().to_owned();
        (text("paymentId"), text("paymentIntentId"))
    }

    /// An invoice over `minor` cents that is paid through Stripe: its id, our payment's and the provider's.
    pub async fn paid(&self, minor: i64) -> (String, String, String) {
        let invoice = self.bill(minor).await;
        let (payment, intent) = self.begin(&invoice).await;
        self.stripe.pay(&intent);
        assert_eq!(self.told(about_payment("evt_1", &intent)).await.status, 200);
        (invoice, payment, intent)
    }

    /// Pays an invoice through Stripe.
    pub async fn pay(&self, invoice: &Value) {
        let invoice = invoice.as_str().unwrap();
        let (_, intent) = self.begin(invoice).await;
        self.stripe.pay(&intent);
        self.told(about_payment(&format!("evt_{intent}"), &intent)).await;
        assert_eq!(self.invoice(invoice).await["status"], "paid");
    }

    /// A method that Stripe keeps of a new customer.
    pub async fn stored_method(&self) -> Value {
        let customer = self.post("/api/payments/customers", json!({"name": "Jane Doe"})).await;
        assert_eq!(customer.status, 201, "{:?}", customer.body);
        let body =
            json!({"customerId": customer.json()["id"], "paymentMethodId": "pm_1", "provider": "stripe"});
        let method = self.post("/api/payments/methods", body).await;
        assert_eq!(method.status, 201, "{:?}", method.body);
        assert_eq!(method.json()["isDefault"], true);
        method.json()["id"].clone()
    }

    pub async fn plan(&self, body: Value) -> Value {
        let made = self.post("/api/v1/billing/plans", body).await;
        assert_eq!(made.status, 201, "{:?}", made.body);
        made.json()["id"].clone()
    }

    /// A subscription, and its path.
    pub async fn subscribe(&self, body: Value) -> (Value, String) {
        let made = self.post("/api/v1/billing/subscriptions", body).await;
        assert_eq!(made.status, 201, "{:?}", made.body);
        let made = made.json();
        let path = format!("/api/v1/billing/subscriptions/{}", made["id"].as_str().unwrap());
        (made, path)
    }

    pub async fn invoice(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/billing/invoices/{id}")).await
    }

    pub async fn payment(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/billing/payments/{id}")).await
    }

    /// The accounts of the ledger that are not at zero, which must sum to zero.
    pub async fn balances(&self) -> Vec<(String, i64)> {
        let all = self.get("/api/v1/billing/balances").await;
        let all = all.as_array().unwrap().iter();
        let all: Vec<_> = all
            .map(|it| (it["account"].as_str().unwrap().to_owned(), it["amount"].as_i64().unwrap()))
            .filter(|(_, amount)| *amount != 0)
            .collect();
        assert_eq!(all.iter().map(|(_, amount)| amount).sum::<i64>(), 0, "{all:?}");
        all
    }

    /// What Stripe tells, signed.
    pub async fn told(&self, event: Value) -> Answer {
        self.told_at("/api/payments/webhooks/stripe", "stripe", event).await
    }

    pub async fn told_at(&self, path: &str, signature: &str, event: Value) -> Answer {
        let request = http::Request::builder().method(Method::POST).uri(path);
        let request = request.header("x-fake-signature", signature);
        send(&self.router, request.body(Body::from(event.to_string())).unwrap()).await
    }

    pub async fn patient(&self, name: &str) -> PatientId {
        let mut tx = self.app.db.begin().await.unwrap();
        let facts = PatientFacts { mrn: name.into(), name: name.into(), ..PatientFacts::default() };
        let uid = "1.2.3".parse().unwrap();
        let patient = Patient::ensure(&mut tx, CLINIC, &facts, &uid, now()).await.unwrap();
        tx.commit().await.unwrap();
        patient
    }

    /// Lets so much time pass, and does the work of the queue that is due then.
    pub async fn pass(&self, time: TimeDelta) {
        let end = { *self.hands.0.lock().unwrap() } + time;
        *self.hands.0.lock().unwrap() = end;
        for _ in 0..50 {
            let due = queue::claim(&self.app.db, QueueLimits::default(), end).await.unwrap();
            let Some(claimed) = due else { return };
            let done = match claimed.job.clone() {
                Job::SettlePayment { payment_id } => {
                    self.cashier.look_after(&claimed, payment_id).await.map_err(|error| error.to_string())
                }
                Job::SettleProviderEvent { provider_event_id } => self
                    .cashier
                    .settle_later(&claimed, provider_event_id)
                    .await
                    .map_err(|error| error.to_string()),
                Job::RenewSubscription { subscription_id } => {
                    self.cashier.renew(&claimed, subscription_id).await.map_err(|error| error.to_string())
                }
                Job::DunInvoice { invoice_id } => {
                    self.cashier.dun(&claimed, invoice_id).await.map_err(|error| error.to_string())
                }
                other => panic!("{other:?}"),
            };
            if let Err(error) = done {
                let mut tx = self.app.db.begin().await.unwrap();
                queue::fail(&mut tx, &claimed, &error, QueueLimits::default(), end).await.unwrap();
                tx.commit().await.unwrap();
            }
        }
        panic!("the queue does not come to an end");
    }
}

/// What a payment's event says.
pub fn about_payment(event: &str, payment: &str) -> Value {
    json!({"id": event, "type": "payment", "subject": {"about": "payment", "id": payment}})
}

pub fn amounts(pairs: &[(&str, i64)]) -> Vec<(String, i64)> {
    pairs.iter().map(|(code, minor)| ((*code).to_owned(), *minor)).collect()
}
