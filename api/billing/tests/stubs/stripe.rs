//! Stripe as its API reference describes it, version 2026-09-30.endive.

use std::collections::{BTreeMap, HashMap};

use aws_lc_rs::hmac;
use billing::provider::stripe::{Stripe, StripeSettings};
use billing::provider::{PaymentProvider, Secret, Wire};
use chrono::{DateTime, Utc};
use clinical::clock::{Clock, SystemClock};
use clinical::money::Money;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Asked, Book, Ending, Keys, PATIENCE, Sent, Server, Stub, Told, Trouble};

const KEY: &str = "sk_test_honest";
const WEBHOOK_SECRET: &str = "whsec_honest";
const VERSION: &str = "2026-09-30.endive";
const OF_CREATE: [&str; 9] = [
    "amount",
    "currency",
    "customer",
    "payment_method",
    "confirm",
    "off_session",
    "return_url",
    "capture_method",
    "metadata",
];

struct Payment {
    id: String,
    amount: i64,
    currency: String,
    status: &'static str,
    is_manual: bool,
    received: i64,
    customer: Option<String>,
    method: Option<String>,
    metadata: BTreeMap<String, String>,
    decline: Option<&'static str>,
    has_charge: bool,
    created: i64,
}

struct Refund {
    id: String,
    payment: String,
    amount: i64,
    metadata: BTreeMap<String, String>,
}

#[derive(Default)]
pub struct StripeBook {
    keys: Keys,
    payments: Vec<Payment>,
    refunds: Vec<Refund>,
    /// Identifier, payment, status.
    disputes: Vec<(String, String, &'static str)>,
    /// Method → customer.
    methods: HashMap<String, Option<String>>,
    customers: usize,
    next: usize,
}

fn refusal(status: u16, kind: &str, code: &str) -> Told {
    (status, json!({ "error": { "type": kind, "code": code, "message": "refused" } }))
}

fn invalid(code: &str) -> Told {
    refusal(400, "invalid_request_error", code)
}

fn metadata(form: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let inner = |name: &str| Some(name.strip_prefix("metadata[")?.strip_suffix(']')?.to_owned());
    form.iter().filter_map(|(name, value)| Some((inner(name)?, value.clone()))).collect()
}

impl Payment {
    fn charge(&self, refunds: &[Refund]) -> Value {
        let refunded: i64 = refunds.iter().filter(|it| it.payment == self.id).map(|it| it.amount).sum();
        json!({
            "id": self.id.replace("pi_", "ch_"), "object": "charge", "payment_intent": self.id,
            "amount": self.amount, "amount_captured": self.received, "amount_refunded": refunded,
            "captured": self.received > 0, "currency": self.currency, "a_new_field": {"of": "tomorrow"},
        })
    }

    fn show(&self, refunds: &[Refund], expand: bool) -> Value {
        let charge = if expand { self.charge(refunds) } else { json!(self.id.replace("pi_", "ch_")) };
        json!({
            "id": self.id, "object": "payment_intent", "amount": self.amount, "currency": self.currency,
            "amount_received": self.received, "status": self.status, "created": self.created,
            "client_secret": format!("{}_secret_x", self.id), "customer": self.customer,
            "payment_method": self.method, "metadata": self.metadata,
            "latest_charge": if self.has_charge { charge } else { Value::Null },
            "last_payment_error": self.decline.map(|code| json!({"code": "card_declined", "decline_code": code})),
            "next_action": null,
        })
    }

    fn settle(&mut self) {
        self.has_charge = true;
        self.decline = None;
        if self.is_manual {
            self.status = "requires_capture";
        } else {
            self.status = "succeeded";
            self.received = self.amount;
        }
    }

    fn decline(&mut self, code: &'static str) {
        self.status = "requires_payment_method";
        self.decline = Some(code);
        self.method = None;
    }
}

impl StripeBook {
    fn name(&mut self, prefix: &str) -> String {
        self.next += 1;
        format!("{prefix}_{:024}", self.next)
    }

    fn payment(&mut self, id: &str) -> Option<&mut Payment> {
        self.payments.iter_mut().find(|payment| payment.id == id)
    }

    fn create(&mut self, form: &BTreeMap<String, String>) -> Told {
        let root = |name: &str| name.split('[').next().unwrap_or_default().to_owned();
        if form.keys().any(|name| !OF_CREATE.contains(&root(name).as_str())) {
            return invalid("parameter_unknown");
        }
        let field = |name: &str| form.get(name).cloned();
        let Some(Ok(amount)) = form.get("amount").map(|amount| amount.parse::<i64>()) else {
            return invalid("parameter_missing");
        };
        if !(1..=99_999_999).contains(&amount) {
            return invalid("amount_too_large");
        }
        let Some(currency) = field("currency").filter(|it| it.len() == 3 && *it == it.to_lowercase()) else {
            return invalid("parameter_invalid");
        };
        let (confirm, off_session) = (form.get("confirm").is_some(), form.get("off_session").is_some());
        if !confirm && (off_session || form.contains_key("return_url")) {
            return invalid("parameter_invalid");
        }
        let payment = Payment {
            id: self.name("pi"),
            amount,
            currency,
            status: if form.contains_key("payment_method") {
                "requires_confirmation"
            } else {
                "requires_payment_method"
            },
            is_manual: form.get("capture_method").is_some_and(|method| method == "manual"),
            received: 0,
            customer: field("customer"),
            method: field("payment_method"),
            metadata: metadata(form),
            decline: None,
            has_charge: false,
            created: SystemClock.now().timestamp(),
        };
        let id = payment.id.clone();
        self.payments.push(payment);
        if confirm { self.confirm(&id, form) } else { (200, self.show(&id, false)) }
    }

    fn show(&self, id: &str, expand: bool) -> Value {
        self.payments.iter().find(|payment| payment.id == id).unwrap().show(&self.refunds, expand)
    }

    fn confirm(&mut self, id: &str, form: &BTreeMap<String, String>) -> Told {
        let Some(payment) = self.payment(id) else {
            return refusal(404, "invalid_request_error", "resource_missing");
        };
        if let Some(method) = form.get("payment_method") {
            payment.method = Some(method.clone());
        }
        if payment.method.is_none()
            || !payment.status.starts_with("requires_")
            || payment.status == "requires_capture"
        {
            return invalid("payment_intent_unexpected_state");
        }
        if payment.method.as_deref() == Some("pm_card_chargeDeclinedInsufficientFunds") {
            payment.decline("insufficient_funds");
            let intent = self.show(id, false);
            let error = json!({"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds",
                "payment_intent": intent});
            return (402, json!({ "error": error }));
        }
        payment.settle();
        (200, self.show(id, false))
    }

    fn capture(&mut self, id: &str, form: &BTreeMap<String, String>) -> Told {
        let Some(payment) = self.payment(id) else {
            return refusal(404, "invalid_request_error", "resource_missing");
        };
        let amount = form.get("amount_to_capture").map_or(Ok(payment.amount), |amount| amount.parse());
        match amount {
            _ if payment.status != "requires_capture" => invalid("payment_intent_unexpected_state"),
            Ok(amount) if (1..=payment.amount).contains(&amount) => {
                payment.received = amount;
                payment.status = "succeeded";
                (200, self.show(id, false))
            }
            _ => invalid("amount_too_large"),
        }
    }

    fn cancel(&mut self, id: &str) -> Told {
        let Some(payment) = self.payment(id) else {
            return refusal(404, "invalid_request_error", "resource_missing");
        };
        if payment.status == "succeeded" || payment.status == "canceled" {
            return invalid("payment_intent_unexpected_state");
        }
        payment.status = "canceled";
        (200, self.show(id, false))
    }

    fn refund(&mut self, form: &BTreeMap<String, String>) -> Told {
        let id = form.get("payment_intent").cloned().unwrap_or_default();
        let gone: i64 = self.refunds.iter().filter(|it| it.payment == id).map(|it| it.amount).sum();
        let Some(payment) = self.payment(&id) else {
            return refusal(404, "invalid_request_error", "resource_missing");
        };
        let left = payment.received - gone;
        let amount: i64 = form.get("amount").and_then(|amount| amount.parse().ok()).unwrap_or(left);
        if left == 0 {
            return invalid("charge_already_refunded");
        }
        if !(1..=left).contains(&amount) {
            return (
                400,
                json!({"error": {"type": "invalid_request_error", "message": "greater than unrefunded amount"}}),
            );
        }
        let refund = Refund { id: self.name("re"), payment: id, amount, metadata: metadata(form) };
        self.refunds.push(refund);
        (200, self.show_refund(self.refunds.len() - 1))
    }

    fn show_refund(&self, place: usize) -> Value {
        let refund = &self.refunds[place];
        let payment = self.payments.iter().find(|payment| payment.id == refund.payment).unwrap();
        json!({
            "id": refund.id, "object": "refund", "amount": refund.amount, "currency": payment.currency,
            "payment_intent": refund.payment, "status": "succeeded", "metadata": refund.metadata,
        })
    }

    fn list<T>(asked: &Asked, all: Vec<(String, T)>, show: impl Fn(&T) -> Value) -> Told {
        let limit: usize = asked.query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(10);
        let after = asked.query.get("starting_after");
        let start = after
            .map_or(0, |after| all.iter().position(|(id, _)| id == after).map_or(all.len(), |at| at + 1));
        let page: Vec<_> = all[start..].iter().take(limit).map(|(_, it)| show(it)).collect();
        let has_more = start + page.len() < all.len();
        (200, json!({ "object": "list", "data": page, "has_more": has_more }))
    }

    fn method(&self, id: &str) -> Value {
        let card = json!({"brand": "visa", "last4": "4242", "exp_month": 8, "exp_year": 2031});
        json!({ "id": id, "object": "payment_method", "type": "card", "card": card, "customer": self.methods.get(id) })
    }

    fn get(&self, asked: &Asked) -> Told {
        let missing = || refusal(404, "invalid_request_error", "resource_missing");
        let get = &Method::GET;
        let find = |id: &str| self.payments.iter().find(|payment| payment.id == id);
        if asked.path == "/v1/payment_intents" {
            let all = self.payments.iter().rev().map(|payment| (payment.id.clone(), payment)).collect();
            return Self::list(asked, all, |payment| payment.show(&self.refunds, true));
        }
        if asked.path == "/v1/refunds" {
            let of = asked.query.get("payment_intent").cloned().unwrap_or_default();
            let places = (0..self.refunds.len()).rev().filter(|place| self.refunds[*place].payment == of);
            let all = places.map(|place| (self.refunds[place].id.clone(), place)).collect();
            return Self::list(asked, all, |place| self.show_refund(*place));
        }
        if asked.path == "/v1/payment_methods" {
            let of = asked.query.get("customer").cloned();
            let all = self.methods.iter().filter(|(_, customer)| **customer == of && of.is_some());
            return Self::list(asked, all.map(|(id, _)| (id.clone(), id)).collect(), |id| self.method(id));
        }
        if let Some(id) = asked.part(get, "/v1/payment_intents/{}") {
            let expand = asked.query.values().any(|value| value == "latest_charge");
            return find(id).map_or_else(missing, |payment| (200, payment.show(&self.refunds, expand)));
        }
        if let Some(id) = asked.part(get, "/v1/charges/{}") {
            return find(&id.replace("ch_", "pi_"))
                .map_or_else(missing, |it| (200, it.charge(&self.refunds)));
        }
        if let Some(id) = asked.part(get, "/v1/payment_methods/{}") {
            return if self.methods.contains_key(id) { (200, self.method(id)) } else { missing() };
        }
        if let Some(id) = asked.part(get, "/v1/disputes/{}") {
            let found = self.disputes.iter().find(|(dispute, ..)| dispute == id);
            return found.map_or_else(missing, |(id, payment, status)| {
                let of = find(payment).unwrap();
                (
                    200,
                    json!({"id": id, "object": "dispute", "payment_intent": payment, "amount": of.received,
                    "currency": of.currency, "status": status, "reason": "product_not_received"}),
                )
            });
        }
        if asked.path == "/v1/subscriptions/sub_known" {
            let (from, until) = (1_700_000_000, 1_702_592_000);
            let item = json!({"price": {"id": "price_1"}, "current_period_start": from, "current_period_end": until});
            return (
                200,
                json!({"id": "sub_known", "status": "past_due", "customer": "cus_1",
                "cancel_at_period_end": true, "items": {"data": [item]}, "metadata": {}}),
            );
        }
        missing()
    }

    fn post(&mut self, asked: &Asked) -> Told {
        let form = asked.form();
        let post = &Method::POST;
        let part = |pattern: &str| asked.part(post, pattern).map(str::to_owned);
        if asked.path == "/v1/payment_intents" {
            return self.create(&form);
        }
        if asked.path == "/v1/refunds" {
            return self.refund(&form);
        }
        if asked.path == "/v1/customers" {
            self.customers += 1;
            return (200, json!({ "id": format!("cus_{}", self.customers), "object": "customer" }));
        }
        if let Some(id) = part("/v1/payment_intents/{}/confirm") {
            return self.confirm(&id, &form);
        }
        if let Some(id) = part("/v1/payment_intents/{}/capture") {
            return self.capture(&id, &form);
        }
        if let Some(id) = part("/v1/payment_intents/{}/cancel") {
            return self.cancel(&id);
        }
        if let Some(id) = part("/v1/payment_methods/{}/attach") {
            self.methods.insert(id.clone(), form.get("customer").cloned());
            return (200, self.method(&id));
        }
        if let Some(id) = part("/v1/payment_methods/{}/detach") {
            self.methods.insert(id.clone(), None);
            return (200, self.method(&id));
        }
        refusal(404, "invalid_request_error", "resource_missing")
    }
}

impl Book for StripeBook {
    fn answer(&mut self, asked: &Asked) -> Told {
        if asked.header("authorization") != Some(&format!("Bearer {KEY}")) {
            return refusal(401, "invalid_request_error", "api_key_invalid");
        }
        if asked.header("stripe-version") != Some(VERSION) {
            return invalid("api_version_invalid");
        }
        if asked.method == Method::GET {
            return self.get(asked);
        }
        if !asked.body.is_empty() && asked.header("content-type") != Some("application/x-www-form-urlencoded")
        {
            return invalid("content_type");
        }
        let Some(key) = asked.header("idempotency-key").map(str::to_owned) else { return self.post(asked) };
        let request = format!("{} {:?}", asked.path, asked.form());
        match self.keys.before(&key, &request) {
            Ok(Some(told)) => told,
            Err(()) => (400, json!({ "error": { "type": "idempotency_error" } })),
            Ok(None) => {
                let told = self.post(asked);
                self.keys.keep(&key, &request, &told);
                told
            }
        }
    }
}

/// Stripe with an account and a card that is always declined.
pub struct StripeStub(Server<StripeBook>);

impl StripeStub {
    pub async fn start() -> Self {
        Self(Server::start(StripeBook::default()).await)
    }

    fn adapter(&self, key: &str, webhook: &str) -> Box<dyn PaymentProvider> {
        let settings = StripeSettings {
            secret_key: Secret::new(key),
            webhook_secrets: vec![Secret::new(webhook)],
            base_url: self.0.base_url.clone(),
        };
        Box::new(Stripe::new(settings, &Wire::with_patience(PATIENCE).unwrap()).unwrap())
    }
}

pub fn send(event: &Value, secret: &str, at: DateTime<Utc>) -> Sent {
    let body = event.to_string().into_bytes();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let content = [format!("{}.", at.timestamp()).as_bytes(), &body].concat();
    let tag = data_encoding::HEXLOWER.encode(hmac::sign(&key, &content).as_ref());
    let mut headers = HeaderMap::new();
    headers.insert("stripe-signature", format!("t={},v1={tag}", at.timestamp()).parse().unwrap());
    (headers, body)
}

impl Stub for StripeStub {
    fn provider(&self) -> Box<dyn PaymentProvider> {
        self.adapter(KEY, WEBHOOK_SECRET)
    }

    fn stranger(&self) -> Box<dyn PaymentProvider> {
        self.adapter("sk_test_other", "whsec_other")
    }

    fn sum(&self, minor: i64) -> Money {
        Money::new(minor, "USD".parse().unwrap())
    }

    fn payer_agrees(&self, provider_id: &str) {
        let mut book = self.0.book();
        let payment = book.payment(provider_id).unwrap();
        payment.method = Some("pm_card_visa".to_owned());
        payment.settle();
    }

    fn payer_is_declined(&self, provider_id: &str) {
        self.0.book().payment(provider_id).unwrap().decline("insufficient_funds");
    }

    fn taken(&self, reference: Uuid) -> (i64, usize) {
        let book = self.0.book();
        let ours = |payment: &&Payment| payment.metadata.get("reference") == Some(&reference.to_string());
        let taken = book.payments.iter().filter(ours).filter(|payment| payment.received > 0);
        taken.fold((0, 0), |(sum, count), payment| (sum + payment.received, count + 1))
    }

    fn given_back(&self, reference: Uuid) -> (i64, usize) {
        let book = self.0.book();
        let ours = |refund: &&Refund| {
            let payment = book.payments.iter().find(|payment| payment.id == refund.payment).unwrap();
            payment.metadata.get("reference") == Some(&reference.to_string())
        };
        book.refunds.iter().filter(ours).fold((0, 0), |(sum, count), it| (sum + it.amount, count + 1))
    }

    fn trouble(&self, trouble: Trouble) {
        self.0.trouble(trouble);
    }

    fn asked(&self) -> usize {
        self.0.asked()
    }

    fn dispute(&self, provider_id: &str) -> Option<String> {
        let mut book = self.0.book();
        let id = book.name("dp");
        book.disputes.push((id.clone(), provider_id.to_owned(), "needs_response"));
        Some(id)
    }

    fn dispute_ends(&self, dispute_id: &str, end: Ending) {
        let status = if end == Ending::Won { "won" } else { "lost" };
        self.0.book().disputes.iter_mut().find(|(id, ..)| id == dispute_id).unwrap().2 = status;
    }

    fn payment_webhook(&self, provider_id: &str, turn: u32, at: DateTime<Utc>) -> Sent {
        let object = self.0.book().show(provider_id, false);
        let event = json!({"id": format!("evt_{provider_id}_{turn}"), "object": "event", "created": at.timestamp(),
            "type": "payment_intent.succeeded", "data": {"object": object}});
        send(&event, WEBHOOK_SECRET, at)
    }

    fn dispute_webhook(&self, dispute_id: &str, at: DateTime<Utc>) -> Sent {
        let event = json!({"id": format!("evt_{dispute_id}_{}", at.timestamp()), "type": "charge.dispute.created",
            "data": {"object": {"object": "dispute", "id": dispute_id}}});
        send(&event, WEBHOOK_SECRET, at)
    }
}
