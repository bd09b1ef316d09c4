//! PayPal's REST API as its reference describes it.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use billing::provider::paypal::{PayPal, PayPalSettings};
use billing::provider::{PaymentProvider, Secret, Wire};
use chrono::{DateTime, Utc};
use clinical::money::Money;
use http::{HeaderMap, Method};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Asked, Book, Ending, Keys, PATIENCE, Sent, Server, Stub, Told, Trouble};

const CLIENT: &str = "honest-client";
const SECRET: &str = "honest-secret";
const WEBHOOK: &str = "8PT597110X687430LKGECATA";
const TOKEN: &str = "A21AAhonest";

#[derive(Clone)]
struct Sum {
    id: String,
    status: &'static str,
    cents: i64,
}

struct Order {
    id: String,
    intent: String,
    status: &'static str,
    cents: i64,
    reference: String,
    is_declined: bool,
    captures: Vec<Sum>,
    authorizations: Vec<Sum>,
    /// With `custom_id`.
    refunds: Vec<(Sum, Value)>,
}

#[derive(Default)]
pub struct PayPalBook {
    keys: Keys,
    orders: Vec<Order>,
    /// Dispute → capture, status, outcome.
    disputes: HashMap<String, (String, &'static str, Option<&'static str>)>,
    /// Payment token → customer.
    tokens: HashMap<String, String>,
    next: usize,
    pub tokens_given: usize,
}

fn refusal(status: u16, name: &str, issue: &str) -> Told {
    (status, json!({ "name": name, "details": [{ "issue": issue }], "debug_id": "1" }))
}

fn unprocessable(issue: &str) -> Told {
    refusal(422, "UNPROCESSABLE_ENTITY", issue)
}

fn missing() -> Told {
    refusal(404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID")
}

fn cents(amount: &Value) -> Option<i64> {
    let (whole, fraction) = amount["value"].as_str()?.split_once('.')?;
    let is_plain = amount["currency_code"] == "USD" && fraction.len() == 2;
    is_plain.then(|| format!("{whole}{fraction}").parse().ok())?.filter(|cents| *cents > 0)
}

fn amount(cents: i64) -> Value {
    json!({ "currency_code": "USD", "value": format!("{}.{:02}", cents / 100, cents % 100) })
}

impl Order {
    fn gone(&self) -> i64 {
        self.refunds.iter().map(|(refund, _)| refund.cents).sum()
    }

    fn show_capture(&self, capture: &Sum) -> Value {
        let status = match self.gone() {
            0 => capture.status,
            gone if gone == capture.cents => "REFUNDED",
            _ => "PARTIALLY_REFUNDED",
        };
        json!({"id": capture.id, "status": status, "amount": amount(capture.cents), "custom_id": self.reference,
            "processor_response": {"response_code": "5120"},
            "supplementary_data": {"related_ids": {"order_id": self.id}}})
    }

    fn show(&self) -> Value {
        let plain = |it: &Sum| json!({"id": it.id, "status": it.status, "amount": amount(it.cents)});
        let refund = |(refund, custom): &(Sum, Value)| {
            let mut shown = plain(refund);
            shown["custom_id"] = custom.clone();
            shown
        };
        let refunds: Vec<_> = self.refunds.iter().map(refund).collect();
        json!({
            "id": self.id, "intent": self.intent, "status": self.status, "create_time": "2026-11-22T04:00:00Z",
            "purchase_units": [{
                "custom_id": self.reference, "invoice_id": self.reference, "amount": amount(self.cents),
                "payments": {
                    "captures": self.captures.iter().map(|it| self.show_capture(it)).collect::<Vec<_>>(),
                    "authorizations": self.authorizations.iter().map(plain).collect::<Vec<_>>(),
                    "refunds": refunds,
                },
            }],
            "links": [{"rel": "payer-action", "href": format!("https://www.paypal.com/checkoutnow?token={}", self.id)}],
        })
    }
}

impl PayPalBook {
    fn name(&mut self) -> String {
        self.next += 1;
        format!("{:017}", self.next)
    }

    fn order(&mut self, id: &str) -> Option<&mut Order> {
        self.orders.iter_mut().find(|order| order.id == id)
    }

    fn create(&mut self, body: &Value) -> Told {
        let unit = &body["purchase_units"][0];
        let (Some(cents), Some(reference)) = (cents(&unit["amount"]), unit["custom_id"].as_str()) else {
            return refusal(400, "INVALID_REQUEST", "INVALID_PARAMETER_VALUE");
        };
        if !matches!(body["intent"].as_str(), Some("CAPTURE" | "AUTHORIZE")) {
            return refusal(400, "INVALID_REQUEST", "MISSING_REQUIRED_PARAMETER");
        }
        let token = body["payment_source"]["token"]["id"].as_str();
        if token.is_some_and(|token| !self.tokens.contains_key(token)) {
            return unprocessable("TOKEN_ID_NOT_FOUND");
        }
        let order = Order {
            intent: body["intent"].as_str().unwrap().to_owned(),
            status: "PAYER_ACTION_REQUIRED",
            cents,
            reference: reference.to_owned(),
            is_declined: false,
            captures: Vec::new(),
            authorizations: Vec::new(),
            refunds: Vec::new(),
            id: self.name(),
        };
        let id = order.id.clone();
        self.orders.push(order);
        if token.is_some() {
            self.order(&id).unwrap().status = "APPROVED";
            return self.finish(&id, "capture");
        }
        (200, self.order(&id).unwrap().show())
    }

    fn finish(&mut self, id: &str, act: &str) -> Told {
        let name = self.name();
        let Some(order) = self.order(id) else { return missing() };
        let expected = if order.intent == "CAPTURE" { "capture" } else { "authorize" };
        match order.status {
            _ if act != expected => return unprocessable("ACTION_DOES_NOT_MATCH_INTENT"),
            "COMPLETED" => return unprocessable("ORDER_ALREADY_CAPTURED"),
            "APPROVED" if order.is_declined => return unprocessable("INSTRUMENT_DECLINED"),
            "APPROVED" => {}
            _ => return unprocessable("ORDER_NOT_APPROVED"),
        }
        order.status = "COMPLETED";
        let money = Sum { id: name, status: "COMPLETED", cents: order.cents };
        if act == "capture" {
            order.captures.push(money);
        } else {
            order.authorizations.push(Sum { status: "CREATED", ..money });
        }
        (201, order.show())
    }

    fn capture(&mut self, id: &str, body: &Value) -> Told {
        let name = self.name();
        let is_of = |order: &&mut Order| order.authorizations.iter().any(|it| it.id == id);
        let Some(order) = self.orders.iter_mut().find(is_of) else { return missing() };
        let authorization = order.authorizations.iter_mut().find(|it| it.id == id).unwrap();
        let wanted =
            if body["amount"].is_null() { Some(authorization.cents) } else { cents(&body["amount"]) };
        match wanted {
            _ if authorization.status == "VOIDED" => unprocessable("PREVIOUSLY_VOIDED"),
            _ if authorization.status != "CREATED" => unprocessable("AUTHORIZATION_ALREADY_CAPTURED"),
            Some(cents) if cents <= authorization.cents => {
                authorization.status = "CAPTURED";
                order.captures.push(Sum { id: name, status: "COMPLETED", cents });
                (201, order.show_capture(order.captures.last().unwrap()))
            }
            _ => unprocessable("MAX_CAPTURE_AMOUNT_EXCEEDED"),
        }
    }

    fn void(&mut self, id: &str) -> Told {
        let all = self.orders.iter_mut().flat_map(|order| &mut order.authorizations);
        let Some(authorization) = all.into_iter().find(|it| it.id == id) else { return missing() };
        if authorization.status != "CREATED" {
            return unprocessable("AUTHORIZATION_ALREADY_CAPTURED");
        }
        authorization.status = "VOIDED";
        (200, json!({ "id": id, "status": "VOIDED" }))
    }

    fn refund(&mut self, capture: &str, body: &Value) -> Told {
        let name = self.name();
        let is_of = |order: &&mut Order| order.captures.iter().any(|it| it.id == capture);
        let Some(order) = self.orders.iter_mut().find(is_of) else { return missing() };
        let left = order.captures[0].cents - order.gone();
        match cents(&body["amount"]) {
            _ if left == 0 => unprocessable("CAPTURE_FULLY_REFUNDED"),
            Some(cents) if cents <= left => {
                let refund = Sum { id: name, status: "COMPLETED", cents };
                let answer = json!({"id": refund.id, "status": "COMPLETED", "amount": amount(cents),
                    "custom_id": body["custom_id"]});
                order.refunds.push((refund, body["custom_id"].clone()));
                (201, answer)
            }
            _ => unprocessable("REFUND_AMOUNT_EXCEEDED"),
        }
    }

    fn token(&self, id: &str) -> Value {
        json!({"id": id, "customer": {"id": self.tokens.get(id)},
            "payment_source": {"card": {"brand": "VISA", "last_digits": "1111", "expiry": "2031-08"}}})
    }

    fn get(&self, asked: &Asked) -> Told {
        let get = &Method::GET;
        if let Some(id) = asked.part(get, "/v2/checkout/orders/{}") {
            return self
                .orders
                .iter()
                .find(|order| order.id == id)
                .map_or_else(missing, |order| (200, order.show()));
        }
        if let Some(id) = asked.part(get, "/v2/payments/captures/{}") {
            let mut all =
                self.orders.iter().flat_map(|order| order.captures.iter().map(move |it| (order, it)));
            return all
                .find(|(_, it)| it.id == id)
                .map_or_else(missing, |(order, it)| (200, order.show_capture(it)));
        }
        if let Some(id) = asked.part(get, "/v1/customer/disputes/{}") {
            return self.disputes.get(id).map_or_else(missing, |(capture, status, outcome)| {
                let order = self.orders.iter().find(|order| order.captures[0].id == *capture).unwrap();
                (200, json!({"dispute_id": id, "status": status, "reason": "MERCHANDISE_OR_SERVICE_NOT_RECEIVED",
                    "dispute_amount": amount(order.cents),
                    "dispute_outcome": outcome.map(|it| json!({"outcome_code": it})),
                    "disputed_transactions": [{"seller_transaction_id": capture}]}))
            });
        }
        if asked.path == "/v3/vault/payment-tokens" {
            let of = asked.query.get("customer_id");
            let mine = self.tokens.iter().filter(|(_, customer)| Some(*customer) == of);
            return (
                200,
                json!({ "payment_tokens": mine.map(|(id, _)| self.token(id)).collect::<Vec<_>>() }),
            );
        }
        if let Some(id) = asked.part(get, "/v3/vault/payment-tokens/{}") {
            return if self.tokens.contains_key(id) { (200, self.token(id)) } else { missing() };
        }
        if asked.path == "/v1/billing/subscriptions/I-KNOWN" {
            return (
                200,
                json!({"id": "I-KNOWN", "status": "SUSPENDED", "plan_id": "P-1", "subscriber": {"payer_id": "PAYER"},
                "billing_info": {"next_billing_time": "2026-12-01T00:00:00Z", "failed_payments_count": 0}}),
            );
        }
        missing()
    }

    fn post(&mut self, asked: &Asked) -> Told {
        let body = asked.json();
        let part = |pattern: &str| asked.part(&Method::POST, pattern).map(str::to_owned);
        if asked.path == "/v2/checkout/orders" {
            return self.create(&body);
        }
        if let Some(id) = part("/v2/checkout/orders/{}/capture") {
            return self.finish(&id, "capture");
        }
        if let Some(id) = part("/v2/checkout/orders/{}/authorize") {
            return self.finish(&id, "authorize");
        }
        if let Some(id) = part("/v2/payments/authorizations/{}/capture") {
            return self.capture(&id, &body);
        }
        if let Some(id) = part("/v2/payments/authorizations/{}/void") {
            return self.void(&id);
        }
        if let Some(id) = part("/v2/payments/captures/{}/refund") {
            return self.refund(&id, &body);
        }
        if asked.path == "/v3/vault/payment-tokens"
            && body["payment_source"]["token"]["type"] == "SETUP_TOKEN"
        {
            let id = self.name();
            self.tokens.insert(id.clone(), body["customer"]["id"].as_str().unwrap_or_default().to_owned());
            return (201, self.token(&id));
        }
        missing()
    }

    /// PayPal signs with its private key; here the digest of what it signs stands for that.
    fn verify(asked: &Asked) -> Told {
        let body = asked.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let raw: HashMap<String, Box<RawValue>> = serde_json::from_slice(&asked.body).unwrap();
        let event = raw["webhook_event"].get();
        let expected =
            sign(&text("transmission_id"), &text("transmission_time"), &text("webhook_id"), event.as_bytes());
        let is_right = text("transmission_sig") == expected && text("webhook_id") == WEBHOOK;
        let status = if is_right && text("auth_algo") == "SHA256withRSA" { "SUCCESS" } else { "FAILURE" };
        (200, json!({ "verification_status": status }))
    }
}

fn sign(id: &str, time: &str, webhook: &str, body: &[u8]) -> String {
    let content = [format!("{id}|{time}|{webhook}|").as_bytes(), body].concat();
    STANDARD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &content))
}

impl Book for PayPalBook {
    fn answer(&mut self, asked: &Asked) -> Told {
        if asked.path == "/v1/oauth2/token" {
            let credentials = format!("Basic {}", STANDARD.encode(format!("{CLIENT}:{SECRET}")));
            let is_right = asked.header("authorization") == Some(&credentials);
            if !is_right || asked.form().get("grant_type").is_none_or(|it| it != "client_credentials") {
                return (401, json!({ "error": "invalid_client" }));
            }
            self.tokens_given += 1;
            return (200, json!({ "access_token": TOKEN, "token_type": "Bearer", "expires_in": 32_400 }));
        }
        if asked.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
            return refusal(401, "AUTHENTICATION_FAILURE", "INVALID_TOKEN");
        }
        if asked.path == "/v1/notifications/verify-webhook-signature" {
            return Self::verify(asked);
        }
        if asked.method == Method::GET {
            return self.get(asked);
        }
        if let Some(id) = asked.part(&Method::DELETE, "/v3/vault/payment-tokens/{}") {
            return if self.tokens.remove(id).is_some() { (204, Value::Null) } else { missing() };
        }
        let Some(key) = asked.header("paypal-request-id").map(str::to_owned) else {
            return refusal(400, "INVALID_REQUEST", "PAYPAL_REQUEST_ID_REQUIRED");
        };
        let request = format!("{} {}", asked.path, asked.json());
        match self.keys.before(&key, &request) {
            Ok(Some(told)) => told,
            Err(()) => unprocessable("PAYPAL_REQUEST_ID_PREVIOUSLY_USED"),
            Ok(None) => {
                let told = self.post(asked);
                if told.0 < 300 {
                    self.keys.keep(&key, &request, &told);
                }
                told
            }
        }
    }
}

/// PayPal with an application and a webhook.
pub struct PayPalStub(Server<PayPalBook>);

impl PayPalStub {
    pub async fn start() -> Self {
        Self(Server::start(PayPalBook::default()).await)
    }

    /// How often a token was asked for.
    pub fn tokens_given(&self) -> usize {
        self.0.book().tokens_given
    }

    /// The capture of an order.
    pub fn capture_of(&self, order_id: &str) -> String {
        self.0.book().order(order_id).unwrap().captures[0].id.clone()
    }

    fn adapter(&self, secret: &str, webhook: &str) -> Box<dyn PaymentProvider> {
        let settings = PayPalSettings {
            client_id: CLIENT.to_owned(),
            client_secret: Secret::new(secret),
            webhook_id: Some(webhook.to_owned()),
            base_url: self.0.base_url.clone(),
        };
        Box::new(PayPal::new(settings, &Wire::with_patience(PATIENCE).unwrap()).unwrap())
    }
}

fn send(event: &Value, at: DateTime<Utc>) -> Sent {
    let (body, time) = (event.to_string().into_bytes(), at.to_rfc3339());
    let id = "69cd13f0-d67a-11e5-baa3-778b53f4ae55";
    let mut headers = HeaderMap::new();
    let mut set = |name: &'static str, value: &str| headers.insert(name, value.parse().unwrap());
    set("paypal-auth-algo", "SHA256withRSA");
    set("paypal-cert-url", "https://api.paypal.com/v1/notifications/certs/CERT-360caa42");
    set("paypal-transmission-id", id);
    set("paypal-transmission-time", &time);
    set("paypal-transmission-sig", &sign(id, &time, WEBHOOK, &body));
    (headers, body)
}

impl Stub for PayPalStub {
    fn provider(&self) -> Box<dyn PaymentProvider> {
        self.adapter(SECRET, WEBHOOK)
    }

    fn stranger(&self) -> Box<dyn PaymentProvider> {
        self.adapter("other-secret", "OTHERWEBHOOK")
    }

    fn sum(&self, minor: i64) -> Money {
        Money::new(minor, "USD".parse().unwrap())
    }

    fn payer_agrees(&self, provider_id: &str) {
        self.0.book().order(provider_id).unwrap().status = "APPROVED";
    }

    fn payer_is_declined(&self, provider_id: &str) {
        let mut book = self.0.book();
        let order = book.order(provider_id).unwrap();
        order.status = "APPROVED";
        order.is_declined = true;
    }

    fn taken(&self, reference: Uuid) -> (i64, usize) {
        let book = self.0.book();
        let ours = book.orders.iter().filter(|order| order.reference == reference.to_string());
        ours.flat_map(|order| &order.captures).fold((0, 0), |(sum, count), it| (sum + it.cents, count + 1))
    }

    fn given_back(&self, reference: Uuid) -> (i64, usize) {
        let book = self.0.book();
        let ours = book.orders.iter().filter(|order| order.reference == reference.to_string());
        ours.flat_map(|order| &order.refunds)
            .fold((0, 0), |(sum, count), (it, _)| (sum + it.cents, count + 1))
    }

    fn trouble(&self, trouble: Trouble) {
        self.0.trouble(trouble);
    }

    fn asked(&self) -> usize {
        self.0.asked()
    }

    fn dispute(&self, provider_id: &str) -> Option<String> {
        let capture = self.capture_of(provider_id);
        let mut book = self.0.book();
        let id = format!("PP-D-{}", book.name());
        book.disputes.insert(id.clone(), (capture, "UNDER_REVIEW", None));
        Some(id)
    }

    fn dispute_ends(&self, dispute_id: &str, end: Ending) {
        let outcome = if end == Ending::Won { "RESOLVED_SELLER_FAVOUR" } else { "RESOLVED_BUYER_FAVOUR" };
        let mut book = self.0.book();
        let dispute = book.disputes.get_mut(dispute_id).unwrap();
        (dispute.1, dispute.2) = ("RESOLVED", Some(outcome));
    }

    fn payment_webhook(&self, provider_id: &str, turn: u32, at: DateTime<Utc>) -> Sent {
        let (kind, about, resource) = {
            let mut book = self.0.book();
            let order = book.order(provider_id).unwrap();
            match order.captures.first() {
                Some(capture) => ("PAYMENT.CAPTURE.COMPLETED", "capture", order.show_capture(capture)),
                None => ("CHECKOUT.ORDER.APPROVED", "checkout-order", order.show()),
            }
        };
        send(
            &json!({"id": format!("WH-{provider_id}-{turn}"), "event_type": kind,
            "create_time": at.to_rfc3339(), "resource_type": about, "resource": resource}),
            at,
        )
    }

    fn dispute_webhook(&self, dispute_id: &str, at: DateTime<Utc>) -> Sent {
        send(
            &json!({"id": format!("WH-{dispute_id}-{}", at.timestamp()), "event_type": "CUSTOMER.DISPUTE.CREATED",
            "resource_type": "dispute", "resource": {"dispute_id": dispute_id}}),
            at,
        )
    }
}
