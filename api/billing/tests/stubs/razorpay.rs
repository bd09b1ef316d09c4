//! Razorpay as its API reference describes it.

use std::collections::HashMap;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use billing::provider::razorpay::{Razorpay, RazorpaySettings};
use billing::provider::{PaymentProvider, Secret, Wire};
use chrono::{DateTime, Utc};
use clinical::clock::{Clock, SystemClock};
use clinical::money::Money;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Asked, Book, Ending, Keys, PATIENCE, Sent, Server, Stub, Told, Trouble};

const KEY_ID: &str = "rzp_test_honest";
const KEY_SECRET: &str = "honest_secret";
const WEBHOOK_SECRET: &str = "honest_webhook";

struct Order {
    id: String,
    amount: i64,
    currency: String,
    receipt: String,
    notes: Value,
    captures: bool,
    created_at: i64,
}

struct Payment {
    id: String,
    order: String,
    amount: i64,
    status: &'static str,
}

struct Refund {
    id: String,
    payment: String,
    amount: i64,
    receipt: Value,
    notes: Value,
}

#[derive(Default)]
pub struct RazorpayBook {
    keys: Keys,
    orders: Vec<Order>,
    payments: Vec<Payment>,
    refunds: Vec<Refund>,
    /// Dispute → payment and status.
    disputes: HashMap<String, (String, &'static str)>,
    tokens: HashMap<String, Vec<&'static str>>,
    next: usize,
}

fn bad(description: &str) -> Told {
    let error =
        json!({"code": "BAD_REQUEST_ERROR", "description": description, "reason": "NA", "source": "NA"});
    (400, json!({ "error": error }))
}

fn unknown() -> Told {
    bad("The id provided does not exist")
}

impl RazorpayBook {
    fn name(&mut self, prefix: &str) -> String {
        self.next += 1;
        format!("{prefix}_{:014}", self.next)
    }

    fn refunded(&self, payment: &str) -> i64 {
        self.refunds.iter().filter(|it| it.payment == payment).map(|it| it.amount).sum()
    }

    fn show_order(&self, order: &Order) -> Value {
        let of = || self.payments.iter().filter(|payment| payment.order == order.id);
        let paid: i64 = of().filter(|it| it.status == "captured").map(|it| it.amount).sum();
        let status = match of().count() {
            0 => "created",
            _ if paid > 0 => "paid",
            _ => "attempted",
        };
        json!({
            "id": order.id, "entity": "order", "amount": order.amount, "amount_paid": paid,
            "amount_due": order.amount - paid, "currency": order.currency, "receipt": order.receipt,
            "status": status, "notes": order.notes, "created_at": order.created_at, "offer_id": null,
        })
    }

    fn show_payment(&self, payment: &Payment) -> Value {
        let order = self.orders.iter().find(|order| order.id == payment.order).unwrap();
        let refunded = self.refunded(&payment.id);
        let is_all = refunded == payment.amount && payment.status == "captured";
        json!({
            "id": payment.id, "entity": "payment", "amount": payment.amount, "currency": order.currency,
            "status": if is_all { "refunded" } else { payment.status }, "order_id": payment.order,
            "captured": payment.status == "captured", "amount_refunded": refunded,
            "error_code": if payment.status == "failed" { json!("BAD_REQUEST_ERROR") } else { Value::Null },
            "error_reason": if payment.status == "failed" { json!("payment_failed") } else { Value::Null },
        })
    }

    fn show_refund(&self, refund: &Refund) -> Value {
        json!({
            "id": refund.id, "entity": "refund", "amount": refund.amount, "currency": "INR",
            "payment_id": refund.payment, "receipt": refund.receipt, "notes": refund.notes, "status": "processed",
        })
    }

    fn list(items: Vec<Value>) -> Told {
        (200, json!({ "entity": "collection", "count": items.len(), "items": items }))
    }

    fn make_order(&mut self, asked: &Asked) -> Told {
        let body = asked.json();
        const KNOWN: [&str; 5] = ["amount", "currency", "receipt", "notes", "payment_capture"];
        if let Some(odd) =
            body.as_object().and_then(|body| body.keys().find(|name| !KNOWN.contains(&name.as_str())))
        {
            return bad(&format!("{odd} is/are not required and should not be sent"));
        }
        let (Some(amount), Some(currency)) = (body["amount"].as_i64(), body["currency"].as_str()) else {
            return bad("The amount field is required.");
        };
        let receipt = body["receipt"].as_str().unwrap_or_default();
        if amount < 100 || receipt.len() > 40 {
            return bad("The amount must be at least INR 1.00");
        }
        let order = Order {
            amount,
            currency: currency.to_owned(),
            receipt: receipt.to_owned(),
            notes: body["notes"].clone(),
            captures: body["payment_capture"].as_bool().unwrap_or(false),
            created_at: SystemClock.now().timestamp(),
            id: self.name("order"),
        };
        self.orders.push(order);
        (200, self.show_order(self.orders.last().unwrap()))
    }

    fn capture(&mut self, id: &str, asked: &Asked) -> Told {
        let body = asked.json();
        let Some(payment) = self.payments.iter_mut().find(|payment| payment.id == id) else {
            return unknown();
        };
        match payment.status {
            "captured" => bad("This payment has already been captured"),
            "authorized" if body["amount"] == payment.amount && body["currency"] == "INR" => {
                payment.status = "captured";
                (200, self.show_payment(self.payments.iter().find(|payment| payment.id == id).unwrap()))
            }
            "authorized" => bad("Capture amount must be equal to the amount authorized"),
            _ => bad("Only payments which have been authorized and not yet captured can be captured"),
        }
    }

    fn refund(&mut self, id: &str, asked: &Asked) -> Told {
        let body = asked.json();
        let gone = self.refunded(id);
        let Some(payment) = self.payments.iter().find(|payment| payment.id == id) else { return unknown() };
        let amount = body["amount"].as_i64().unwrap_or(payment.amount);
        if payment.status != "captured" {
            return bad("The payment status should be captured for action to be taken");
        }
        if gone == payment.amount {
            return bad("The payment has been fully refunded already");
        }
        if amount < 100 || amount > payment.amount - gone {
            return bad("The total refund amount is greater than the refund payment amount");
        }
        let (receipt, notes) = (body["receipt"].clone(), body["notes"].clone());
        let refund = Refund { id: self.name("rfnd"), payment: id.to_owned(), amount, receipt, notes };
        self.refunds.push(refund);
        (200, self.show_refund(self.refunds.last().unwrap()))
    }

    fn keyed_refund(&mut self, id: &str, asked: &Asked) -> Told {
        let key = asked.header("x-refund-idempotency").unwrap_or_default().to_owned();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if key.len() < 10 || !key.bytes().all(is_plain) {
            return bad("The idempotency key must be at least 10 characters");
        }
        let request = format!("{} {}", asked.path, asked.json());
        match self.keys.before(&key, &request) {
            Ok(Some(told)) => told,
            Err(()) => bad("Different request with the same idempotency key has already been processed."),
            Ok(None) => {
                let told = self.refund(id, asked);
                self.keys.keep(&key, &request, &told);
                told
            }
        }
    }

    fn get(&self, asked: &Asked) -> Told {
        let get = &Method::GET;
        let order = |id: &str| self.orders.iter().find(|order| order.id == id);
        if asked.path == "/v1/orders" {
            let number = |name: &str| asked.query.get(name).and_then(|text| text.parse::<i64>().ok());
            let is_meant = |order: &&Order| {
                asked.query.get("receipt").is_none_or(|receipt| *receipt == order.receipt)
                    && number("from").is_none_or(|from| order.created_at >= from)
            };
            let (skip, count) = (number("skip").unwrap_or(0), number("count").unwrap_or(10));
            let found = self.orders.iter().rev().filter(is_meant).skip(skip as usize).take(count as usize);
            return Self::list(found.map(|order| self.show_order(order)).collect());
        }
        if let Some(id) = asked.part(get, "/v1/orders/{}/payments") {
            let of = self.payments.iter().rev().filter(|payment| payment.order == id);
            return if order(id).is_some() {
                Self::list(of.map(|it| self.show_payment(it)).collect())
            } else {
                unknown()
            };
        }
        if let Some(id) = asked.part(get, "/v1/orders/{}") {
            return order(id).map_or_else(unknown, |order| (200, self.show_order(order)));
        }
        if let Some(id) = asked.part(get, "/v1/payments/{}/refunds") {
            let of = self.refunds.iter().filter(|refund| refund.payment == id);
            return Self::list(of.map(|refund| self.show_refund(refund)).collect());
        }
        if let Some(id) = asked.part(get, "/v1/payments/{}") {
            let payment = self.payments.iter().find(|payment| payment.id == id);
            return payment.map_or_else(unknown, |payment| (200, self.show_payment(payment)));
        }
        if let Some(id) = asked.part(get, "/v1/disputes/{}") {
            return self.disputes.get(id).map_or_else(unknown, |(payment, status)| {
                let amount = self.payments.iter().find(|it| it.id == *payment).unwrap().amount;
                (
                    200,
                    json!({"id": id, "entity": "dispute", "payment_id": payment, "amount": amount,
                    "currency": "INR", "status": status, "reason_code": "goods_or_services_not_received"}),
                )
            });
        }
        if let Some(customer) = asked.part(get, "/v1/customers/{}/tokens") {
            let card = json!({"last4": "1111", "network": "Visa", "expiry_month": "8", "expiry_year": 2031});
            let tokens = self.tokens.get(customer).into_iter().flatten();
            return Self::list(tokens.map(|id| json!({"id": id, "method": "card", "card": card})).collect());
        }
        if asked.path == "/v1/subscriptions/sub_known" {
            return (
                200,
                json!({"id": "sub_known", "status": "halted", "customer_id": "cust_1", "plan_id": "plan_1",
                "current_start": 1_700_000_000, "current_end": 1_702_592_000, "notes": []}),
            );
        }
        unknown()
    }
}

impl Book for RazorpayBook {
    fn answer(&mut self, asked: &Asked) -> Told {
        let credentials = format!("Basic {}", STANDARD.encode(format!("{KEY_ID}:{KEY_SECRET}")));
        if asked.header("authorization") != Some(&credentials) {
            return (
                401,
                json!({"error": {"code": "BAD_REQUEST_ERROR", "description": "Authentication failed"}}),
            );
        }
        let part = |method: &Method, pattern: &str| asked.part(method, pattern).map(str::to_owned);
        if asked.method == Method::GET {
            return self.get(asked);
        }
        if asked.is(&Method::POST, "/v1/orders") {
            return self.make_order(asked);
        }
        if let Some(id) = part(&Method::POST, "/v1/payments/{}/capture") {
            return self.capture(&id, asked);
        }
        if let Some(id) = part(&Method::POST, "/v1/payments/{}/refund") {
            return self.keyed_refund(&id, asked);
        }
        if asked.is(&Method::POST, "/v1/customers") {
            let id = self.name("cust");
            self.tokens.insert(id.clone(), vec!["token_1"]);
            return (200, json!({ "id": id, "entity": "customer" }));
        }
        if let Some((customer, token)) =
            asked.path.strip_prefix("/v1/customers/").and_then(|it| it.split_once("/tokens/"))
        {
            let tokens = self.tokens.get_mut(customer).filter(|tokens| tokens.contains(&token));
            return tokens.map_or_else(unknown, |tokens| {
                tokens.retain(|it| *it != token);
                (200, json!({ "deleted": true }))
            });
        }
        unknown()
    }
}

/// Razorpay with an account.
pub struct RazorpayStub(Server<RazorpayBook>);

impl RazorpayStub {
    pub async fn start() -> Self {
        Self(Server::start(RazorpayBook::default()).await)
    }

    fn adapter(&self, secret: &str, webhook: &str) -> Box<dyn PaymentProvider> {
        let settings = RazorpaySettings {
            key_id: KEY_ID.to_owned(),
            key_secret: Secret::new(secret),
            webhook_secrets: vec![Secret::new(webhook)],
            base_url: self.0.base_url.clone(),
        };
        Box::new(Razorpay::new(settings, &Wire::with_patience(PATIENCE).unwrap()).unwrap())
    }

    fn attempt(&self, order_id: &str, status: &'static str) {
        let mut book = self.0.book();
        let id = book.name("pay");
        let order = book.orders.iter().find(|order| order.id == order_id).unwrap();
        let status = if status == "authorized" && order.captures { "captured" } else { status };
        let payment = Payment { id, order: order.id.clone(), amount: order.amount, status };
        book.payments.push(payment);
    }
}

fn send(event: &Value) -> Sent {
    let body = event.to_string().into_bytes();
    let key = hmac::Key::new(hmac::HMAC_SHA256, WEBHOOK_SECRET.as_bytes());
    let tag = data_encoding::HEXLOWER.encode(hmac::sign(&key, &body).as_ref());
    let mut headers = HeaderMap::new();
    headers.insert("x-razorpay-signature", tag.parse().unwrap());
    (headers, body)
}

impl Stub for RazorpayStub {
    fn provider(&self) -> Box<dyn PaymentProvider> {
        self.adapter(KEY_SECRET, WEBHOOK_SECRET)
    }

    fn stranger(&self) -> Box<dyn PaymentProvider> {
        self.adapter("other_secret", "other_webhook")
    }

    fn sum(&self, minor: i64) -> Money {
        Money::new(minor, "INR".parse().unwrap())
    }

    fn payer_agrees(&self, provider_id: &str) {
        self.attempt(provider_id, "authorized");
    }

    fn payer_is_declined(&self, provider_id: &str) {
        self.attempt(provider_id, "failed");
    }

    fn taken(&self, reference: Uuid) -> (i64, usize) {
        let book = self.0.book();
        let ours = |payment: &&Payment| {
            let order = book.orders.iter().find(|order| order.id == payment.order).unwrap();
            order.receipt == reference.to_string() && payment.status == "captured"
        };
        book.payments.iter().filter(ours).fold((0, 0), |(sum, count), it| (sum + it.amount, count + 1))
    }

    fn given_back(&self, reference: Uuid) -> (i64, usize) {
        let book = self.0.book();
        let order = book.orders.iter().find(|order| order.receipt == reference.to_string()).unwrap();
        let ours = |refund: &&Refund| {
            book.payments.iter().any(|payment| payment.id == refund.payment && payment.order == order.id)
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
        let id = book.name("disp");
        let payment = book.payments.iter().find(|payment| payment.order == provider_id).unwrap().id.clone();
        book.disputes.insert(id.clone(), (payment, "open"));
        Some(id)
    }

    fn dispute_ends(&self, dispute_id: &str, end: Ending) {
        let status = if end == Ending::Won { "won" } else { "lost" };
        self.0.book().disputes.get_mut(dispute_id).unwrap().1 = status;
    }

    fn payment_webhook(&self, provider_id: &str, turn: u32, at: DateTime<Utc>) -> Sent {
        let book = self.0.book();
        let payment = book.payments.iter().rfind(|payment| payment.order == provider_id).unwrap();
        send(
            &json!({"entity": "event", "account_id": "acc_1", "event": "payment.captured", "contains": ["payment"],
            "payload": {"payment": {"entity": book.show_payment(payment)}},
            "created_at": at.timestamp() + i64::from(turn)}),
        )
    }

    fn dispute_webhook(&self, dispute_id: &str, at: DateTime<Utc>) -> Sent {
        send(&json!({"entity": "event", "event": "payment.dispute.created", "created_at": at.timestamp(),
            "payload": {"payment": {"entity": {"id": "pay_1"}}, "dispute": {"entity": {"id": dispute_id}}}}))
    }
}
