//! A second opinion: PyPI's `localstripe`, a Stripe that others wrote.
//!
//! It knows neither idempotency keys nor the version of the API, asks for nothing that it does not know, and its
//! cards are declined by number; what it has is held to what our stand-in says.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use billing::provider::stripe::{Stripe, StripeSettings};
use billing::provider::{
    CaptureMethod, IdempotencyKey, IntentState, NewCustomer, NewIntent, NewRefund, PayWith, PaymentProvider,
    ProviderError, Secret, Wire,
};
use clinical::clock::{Clock, SystemClock};
use clinical::money::Money;
use serde_json::Value;
use storage::testing::told_by_test;
use uuid::Uuid;

struct LocalStripe {
    child: Child,
    base_url: String,
    http: reqwest::Client,
}

impl Drop for LocalStripe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl LocalStripe {
    async fn start() -> Self {
        let port = std::net::TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(told_by_test("MEDILINK_TEST_PYTHON"))
            .args(["-m", "localstripe", "--from-scratch", "--port", &port.to_string()])
            .current_dir(std::env::temp_dir())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let http = reqwest::Client::new();
        let stripe = Self { child, base_url: format!("http://127.0.0.1:{port}"), http };
        for _ in 0..300 {
            if stripe.http.get(&stripe.base_url).send().await.is_ok() {
                return stripe;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("localstripe does not start");
    }

    fn provider(&self) -> Stripe {
        let settings = StripeSettings {
            secret_key: Secret::new("sk_test_12345"),
            webhook_secrets: Vec::new(),
            base_url: self.base_url.clone(),
        };
        Stripe::new(settings, &Wire::with_patience(Duration::from_secs(20)).unwrap()).unwrap()
    }

    /// A card as Stripe's script in the browser would store it.
    async fn card(&self, number: &str) -> String {
        let body =
            format!("type=card&card[number]={number}&card[exp_month]=8&card[exp_year]=2031&card[cvc]=123");
        let ask =
            self.http.post(format!("{}/v1/payment_methods", self.base_url)).bearer_auth("sk_test_12345");
        let ask = ask.header("content-type", "application/x-www-form-urlencoded").body(body);
        let answer: Value = ask.send().await.unwrap().json().await.unwrap();
        answer["id"].as_str().unwrap().to_owned()
    }
}

fn ask(customer_id: &str, method_id: &str, capture: CaptureMethod) -> NewIntent {
    let reference = Uuid::now_v7();
    NewIntent {
        amount: Money::new(15_000, "USD".parse().unwrap()),
        reference,
        key: IdempotencyKey::of(reference, "create"),
        customer_id: Some(customer_id.to_owned()),
        description: "Invoice 2026-0001".to_owned(),
        capture,
        pay_with: PayWith::Stored { method_id: method_id.to_owned() },
        return_url: None,
        webhook_url: None,
    }
}

#[tokio::test]
async fn a_stripe_that_others_wrote_agrees() {
    let stripe = LocalStripe::start().await;
    let provider = stripe.provider();
    let reference = Uuid::now_v7();
    let key = IdempotencyKey::of(reference, "customer");
    let customer = NewCustomer { reference, name: Some("Payer".to_owned()), email: None, key };
    let customer = provider.create_customer(&customer).await.unwrap().provider_id;

    // Stored, listed, charged, read, found.
    let card = stripe.card("4242424242424242").await;
    provider.attach_method(&customer, &card).await.unwrap();
    let methods = provider.methods(&customer).await.unwrap();
    assert_eq!((methods.len(), methods[0].last4.as_deref()), (1, Some("4242")));
    let asked = ask(&customer, &card, CaptureMethod::Automatic);
    let asked_at = SystemClock.now();
    let made = provider.create(&asked).await.unwrap();
    assert_eq!((made.state, made.captured), (IntentState::Succeeded, asked.amount));
    let found = provider.find(asked.reference, asked_at).await.unwrap().unwrap();
    assert_eq!((found.provider_id, found.captured), (made.provider_id.clone(), asked.amount));

    // Given back in part.
    let reference = Uuid::now_v7();
    let refund = NewRefund {
        payment_id: made.provider_id.clone(),
        amount: Money::new(5_000, asked.amount.currency),
        reference,
        payment_reference: asked.reference,
        key: IdempotencyKey::of(reference, "refund"),
    };
    let first = provider.refund(&refund).await.unwrap();
    assert_eq!(
        provider.find_refund(&refund).await.unwrap().map(|it| it.provider_id),
        Some(first.provider_id)
    );
    assert_eq!(provider.read(&made.provider_id).await.unwrap().refunded, Some(refund.amount));

    // Reserved and captured; reserved and let go.
    let asked = ask(&customer, &card, CaptureMethod::Manual);
    let made = provider.create(&asked).await.unwrap();
    assert_eq!((made.state, made.captured), (IntentState::Authorized, Money::zero(asked.amount.currency)));
    let key = IdempotencyKey::of(asked.reference, "capture");
    let captured = provider.capture(&made.provider_id, None, &key).await.unwrap();
    assert_eq!((captured.state, captured.captured), (IntentState::Succeeded, asked.amount));
    let made = provider.create(&ask(&customer, &card, CaptureMethod::Manual)).await.unwrap();
    let canceled = provider.cancel(&made.provider_id, &key).await.unwrap();
    assert_eq!(canceled.state, IntentState::Canceled);

    // Declined; unknown; forgotten.
    let declined = stripe.card("4000000000000341").await;
    provider.attach_method(&customer, &declined).await.unwrap();
    let refused = provider.create(&ask(&customer, &declined, CaptureMethod::Automatic)).await;
    assert!(
        matches!(&refused, Err(ProviderError::Declined { code, .. }) if code == "card_declined"),
        "{refused:?}"
    );
    assert_eq!(provider.read("pi_unknown").await, Err(ProviderError::NotFound));
    provider.detach_method(&customer, &card).await.unwrap();
    assert_eq!(provider.methods(&customer).await.unwrap().len(), 1);
}
