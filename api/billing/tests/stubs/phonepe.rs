//! PhonePe's payment gateway, version 1, as its reference describes it.

use std::collections::HashMap;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use billing::provider::phonepe::{PhonePe, PhonePeSettings};
use billing::provider::{PaymentProvider, Secret, Wire};
use chrono::{DateTime, Utc};
use clinical::money::Money;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Asked, Book, Ending, PATIENCE, Sent, Server, Stub, Told, Trouble};

const MERCHANT: &str = "HONESTCLINIC";
const SALT: &str = "099eb0cd-02cf-4e2a-8aca-3e6c6aff0399";
const INDEX: &str = "1";

struct Transaction {
    amount: i64,
    code: &'static str,
    /// What a refund gives back.
    of: Option<String>,
}

#[derive(Default)]
pub struct PhonePeBook {
    transactions: HashMap<String, Transaction>,
}

fn checksum(content: &str, path: &str) -> String {
    let text = format!("{content}{path}{SALT}");
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    format!("{}###{INDEX}", data_encoding::HEXLOWER.encode(digest.as_ref()))
}

fn refused(status: u16, code: &str) -> Told {
    (status, json!({ "success": false, "code": code, "message": "refused", "data": {} }))
}

impl PhonePeBook {
    fn gone(&self, of: &str) -> i64 {
        let refunds = self
            .transactions
            .values()
            .filter(|it| it.of.as_deref() == Some(of) && it.code != "PAYMENT_ERROR");
        refunds.map(|it| it.amount).sum()
    }

    fn show(&self, name: &str) -> Told {
        let Some(it) = self.transactions.get(name) else { return refused(200, "TRANSACTION_NOT_FOUND") };
        let state = match it.code {
            "PAYMENT_SUCCESS" => "COMPLETED",
            "PAYMENT_PENDING" => "PENDING",
            _ => "FAILED",
        };
        let response = if it.code == "PAYMENT_ERROR" { "ZM" } else { it.code };
        let data = json!({
            "merchantId": MERCHANT, "merchantTransactionId": name, "transactionId": format!("T{name}"),
            "amount": it.amount, "state": state, "responseCode": response, "paymentInstrument": null,
        });
        (200, json!({ "success": it.code != "PAYMENT_ERROR", "code": it.code, "message": "", "data": data }))
    }

    fn pay(&mut self, body: &Value) -> Told {
        let name = body["merchantTransactionId"].as_str().unwrap_or_default();
        let amount = body["amount"].as_i64().unwrap_or_default();
        let is_whole = body["paymentInstrument"]["type"] == "PAY_PAGE"
            && body["merchantUserId"].as_str().is_some_and(|it| it.len() < 36);
        if name.is_empty() || name.len() >= 35 || amount < 100 || !is_whole || body["merchantId"] != MERCHANT
        {
            return refused(400, "BAD_REQUEST");
        }
        if self.transactions.contains_key(name) {
            return refused(400, "DUPLICATE_TXN_REQUEST");
        }
        self.transactions.insert(name.to_owned(), Transaction { amount, code: "PAYMENT_PENDING", of: None });
        let redirect =
            json!({"url": format!("https://mercury.phonepe.com/transact/{name}"), "method": "GET"});
        let data = json!({"merchantId": MERCHANT, "merchantTransactionId": name,
            "instrumentResponse": {"type": "PAY_PAGE", "redirectInfo": redirect}});
        (
            200,
            json!({ "success": true, "code": "PAYMENT_INITIATED", "message": "Payment initiated", "data": data }),
        )
    }

    fn refund(&mut self, body: &Value) -> Told {
        let name = body["merchantTransactionId"].as_str().unwrap_or_default();
        let of = body["originalTransactionId"].as_str().unwrap_or_default();
        let amount = body["amount"].as_i64().unwrap_or_default();
        if name.is_empty() || name.len() >= 35 || body["merchantId"] != MERCHANT {
            return refused(400, "BAD_REQUEST");
        }
        if self.transactions.contains_key(name) {
            return refused(400, "DUPLICATE_TXN_REQUEST");
        }
        let Some(paid) = self.transactions.get(of).filter(|it| it.code == "PAYMENT_SUCCESS") else {
            return refused(200, "TRANSACTION_NOT_FOUND");
        };
        if amount < 1 || amount > paid.amount - self.gone(of) {
            return (
                200,
                json!({"success": false, "code": "PAYMENT_ERROR", "data": {"responseCode": "EXCESS_REFUND_AMOUNT"}}),
            );
        }
        let refund = Transaction { amount, code: "PAYMENT_SUCCESS", of: Some(of.to_owned()) };
        self.transactions.insert(name.to_owned(), refund);
        let data = json!({"merchantId": MERCHANT, "merchantTransactionId": name, "amount": amount, "state": "PENDING"});
        (200, json!({ "success": true, "code": "PAYMENT_PENDING", "message": "", "data": data }))
    }
}

impl Book for PhonePeBook {
    fn answer(&mut self, asked: &Asked) -> Told {
        let body = asked.json();
        let content = body["request"].as_str().unwrap_or_default();
        if asked.header("x-verify") != Some(&checksum(content, &asked.path)) {
            return refused(401, "AUTHORIZATION_FAILED");
        }
        let status = format!("/pg/v1/status/{MERCHANT}/{{}}");
        if let Some(name) = asked.part(&Method::GET, &status) {
            return if asked.header("x-merchant-id") == Some(MERCHANT) {
                self.show(name)
            } else {
                refused(400, "BAD_REQUEST")
            };
        }
        let plain: Value =
            STANDARD.decode(content).ok().and_then(|it| serde_json::from_slice(&it).ok()).unwrap_or_default();
        match asked.path.as_str() {
            "/pg/v1/pay" => self.pay(&plain),
            "/pg/v1/refund" => self.refund(&plain),
            _ => refused(404, "BAD_REQUEST"),
        }
    }
}

/// PhonePe with a merchant.
pub struct PhonePeStub(Server<PhonePeBook>);

impl PhonePeStub {
    pub async fn start() -> Self {
        Self(Server::start(PhonePeBook::default()).await)
    }

    fn adapter(&self, salt: &str) -> Box<dyn PaymentProvider> {
        let settings = PhonePeSettings {
            merchant_id: MERCHANT.to_owned(),
            salt_key: Secret::new(salt),
            salt_index: INDEX.to_owned(),
            base_url: self.0.base_url.clone(),
        };
        Box::new(PhonePe::new(settings, &Wire::with_patience(PATIENCE).unwrap()).unwrap())
    }

    fn finish(&self, provider_id: &str, code: &'static str) {
        self.0.book().transactions.get_mut(provider_id).unwrap().code = code;
    }
}

fn payment_name(reference: Uuid) -> String {
    format!("p{}", reference.simple())
}

impl Stub for PhonePeStub {
    fn provider(&self) -> Box<dyn PaymentProvider> {
        self.adapter(SALT)
    }

    fn stranger(&self) -> Box<dyn PaymentProvider> {
        self.adapter("another salt")
    }

    fn sum(&self, minor: i64) -> Money {
        Money::new(minor, "INR".parse().unwrap())
    }

    fn payer_agrees(&self, provider_id: &str) {
        self.finish(provider_id, "PAYMENT_SUCCESS");
    }

    fn payer_is_declined(&self, provider_id: &str) {
        self.finish(provider_id, "PAYMENT_ERROR");
    }

    fn taken(&self, reference: Uuid) -> (i64, usize) {
        let book = self.0.book();
        let paid = book.transactions.get(&payment_name(reference)).filter(|it| it.code == "PAYMENT_SUCCESS");
        paid.map_or((0, 0), |it| (it.amount, 1))
    }

    fn given_back(&self, reference: Uuid) -> (i64, usize) {
        let book = self.0.book();
        let of = payment_name(reference);
        (book.gone(&of), book.transactions.values().filter(|it| it.of.as_ref() == Some(&of)).count())
    }

    fn trouble(&self, trouble: Trouble) {
        self.0.trouble(trouble);
    }

    fn asked(&self) -> usize {
        self.0.asked()
    }

    fn dispute(&self, _: &str) -> Option<String> {
        None
    }

    fn dispute_ends(&self, _: &str, _: Ending) {}

    fn payment_webhook(&self, provider_id: &str, turn: u32, _: DateTime<Utc>) -> Sent {
        let (_, mut told) = self.0.book().show(provider_id);
        told["message"] = json!(format!("time {turn}"));
        let response = STANDARD.encode(told.to_string());
        let mut headers = HeaderMap::new();
        headers.insert("x-verify", checksum(&response, "").parse().unwrap());
        (headers, json!({ "response": response }).to_string().into_bytes())
    }

    fn dispute_webhook(&self, _: &str, _: DateTime<Utc>) -> Sent {
        unreachable!("PhonePe tells of no disputes")
    }
}
