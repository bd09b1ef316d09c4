//! Payments: begun, settled, reserved, given up.

use chrono::{Datelike, TimeDelta};
use serde_json::Value;
use serde_json::json;
use storage::testing::{now, on_both};

use crate::fake::Mood;
use crate::support::{CLINIC, about_payment, amounts, house};

/// The clinic application's own shapes: sums in major units here, in minor ones there.
#[tokio::test]
async fn a_bill_is_made_paid_and_confirmed_as_the_first_application_did() {
    on_both(async |db| {
        let house = house(&db);
        let patient = house.patient("Doe^John").await;
        let bill = r#"{"patientId":"PATIENT","amount":150.00,"description":"Home care services",
                       "dueDate":"2026-12-31T00:00:00Z"}"#
            .replace("PATIENT", &patient.to_string());
        let made = house.post("/api/payments/generate-bill", serde_json::from_str(&bill).unwrap()).await;
        assert_eq!(made.status, 201, "{:?}", made.body);
        assert!(String::from_utf8_lossy(&made.body).contains(r#""amount":150.00"#), "{:?}", made.body);
        let bill = made.json();
        assert_eq!((&bill["status"], &bill["patientName"]), (&json!("unpaid"), &json!("John Doe")));

        let id = bill["id"].as_str().unwrap();
        let begun = house.post("/api/payments/create-intent", json!({"invoiceId": id})).await.json();
        assert_eq!((&begun["amount"], &begun["currency"]), (&json!(15_000), &json!("usd")));
        let intent = begun["paymentIntentId"].as_str().unwrap();
        assert_eq!(begun["clientSecret"], format!("{intent}_secret"));
        let again = house.post("/api/payments/intent", json!({"invoiceId": bill["number"]})).await.json();
        assert_eq!(
            again["paymentIntentId"], begun["paymentIntentId"],
            "one payment, however often it is begun"
        );

        let claim = json!({"paymentIntentId": intent, "status": "succeeded", "amount": 15_000});
        let early = house.post("/api/payments/confirm", claim.clone()).await;
        assert_eq!(early.problem(), (409, "not-paid".into()), "what the client claims is not believed");
        house.stripe.pay(intent);
        let confirmed = house.post("/api/payments/confirm", claim.clone()).await;
        assert_eq!(confirmed.status, 200, "{:?}", confirmed.body);
        assert_eq!(confirmed.json()["invoice"]["status"], "paid");
        let twice = house.post("/api/payments/confirm", claim).await;
        assert_eq!(twice.problem(), (409, "already-confirmed".into()));

        let list = house.get("/api/payments/invoices").await;
        assert_eq!((list[0]["status"].as_str(), list[0]["amount"].as_f64()), (Some("paid"), Some(150.0)));
        assert_eq!(house.get("/api/payments/history").await[0]["status"], "succeeded");
        assert_eq!(house.balances().await, amounts(&[("clearing:stripe", 15_000), ("revenue", -15_000)]));
    })
    .await;
}

#[tokio::test]
async fn a_time_out_after_charging_a_stored_method_is_settled_by_its_job_and_charged_once() {
    on_both(async |db| {
        let house = house(&db);
        let method = house.stored_method().await;
        let invoice = house.bill(9_900).await;
        house.stripe.be(Mood::AnswerLost);
        let ask = json!({"invoiceId": invoice, "paymentMethodId": method});
        let open = house.post("/api/v1/billing/payments", ask.clone()).await;
        assert_eq!(open.status, 202, "{:?}", open.body);
        assert_eq!(open.json()["status"], "asked");
        assert_eq!(house.paypal.calls(), 0, "no other provider is asked where this one may have charged");
        house.stripe.be(Mood::Well);
        let again = house.post("/api/v1/billing/payments", ask).await;
        assert_eq!((again.status.as_u16(), again.json()["id"].clone()), (201, open.json()["id"].clone()));
        house.pass(TimeDelta::minutes(10)).await;
        assert_eq!((house.stripe.charges(), house.stripe.intents()), (1, 1));
        assert_eq!(house.invoice(&invoice).await["status"], "paid");
        let found = house.cashier.reconcile(CLINIC, now() - TimeDelta::days(1)).await.unwrap();
        assert_eq!(found.differences, [], "{found:?}");
        assert_eq!((found.invoices, found.payments, found.asked), (1, 1, 1));
    })
    .await;
}

#[tokio::test]
async fn the_next_provider_is_asked_where_the_first_cannot_have_charged() {
    on_both(async |db| {
        let house = house(&db);
        let invoice = house.bill(5_000).await;
        house.stripe.be(Mood::Away);
        let begun = house.post("/api/v1/billing/payments", json!({"invoiceId": invoice})).await;
        assert_eq!((begun.status.as_u16(), begun.json()["provider"].as_str()), (201, Some("paypal")));
        let list = house.get(&format!("/api/v1/billing/payments?invoiceId={invoice}")).await;
        assert_eq!(list[1]["status"], "failed");
        house.paypal.be(Mood::Away);
        let invoice = house.bill(5_000).await;
        let nobody = house.post("/api/v1/billing/payments", json!({"invoiceId": invoice})).await;
        assert_eq!(nobody.problem(), (502, "provider-unreachable".into()));
        assert_eq!(house.invoice(&invoice).await["status"], "open");
    })
    .await;
}

#[tokio::test]
async fn money_is_reserved_and_taken_later_or_never() {
    on_both(async |db| {
        let house = house(&db);
        let method = house.stored_method().await;
        let ask = json!({"amount": 900, "currency": "EUR", "paymentMethodId": method, "capture": "manual"});
        let made = house.post("/api/v1/billing/payments", ask.clone()).await.json();
        assert_eq!(made["status"], "authorized");
        let path = format!("/api/v1/billing/payments/{}", made["id"].as_str().unwrap());
        let more = house.post(&format!("{path}/capture"), json!({"amount": 901})).await;
        assert_eq!(more.problem(), (422, "invalid-amount".into()));
        let taken = house.post(&format!("{path}/capture"), json!({"amount": 600})).await.json();
        assert_eq!((&taken["status"], &taken["amountCaptured"]), (&json!("succeeded"), &json!(600)));
        assert_eq!(house.balances().await, amounts(&[("clearing:stripe", 600), ("credit", -600)]));
        let all = house.post("/api/v1/billing/payments", ask.clone()).await.json();
        let path = format!("/api/v1/billing/payments/{}", all["id"].as_str().unwrap());
        assert_eq!(house.post_nothing(&format!("{path}/capture")).await.json()["amountCaptured"], 900);
        let unsaid = house.post_nothing(&format!("{path}/refunds")).await;
        assert_eq!(
            unsaid.problem(),
            (415, "unsupported-media-type".into()),
            "money leaves when that is said"
        );
        let other = house.post("/api/v1/billing/payments", ask).await.json();
        let path = format!("/api/v1/billing/payments/{}/cancel", other["id"].as_str().unwrap());
        assert_eq!(house.post(&path, Value::Null).await.json()["status"], "canceled");
        assert_eq!(house.post(&path, Value::Null).await.problem(), (409, "wrong-state".into()));
    })
    .await;
}

#[tokio::test]
async fn a_payment_that_the_bank_declines_stays_unpaid_and_can_be_begun_anew() {
    on_both(async |db| {
        let house = house(&db);
        let invoice = house.bill(100).await;
        let (payment, intent) = house.begin(&invoice).await;
        house.stripe.decline(&intent);
        let confirm = json!({"paymentIntentId": intent, "status": "succeeded"});
        assert_eq!(
            house.post("/api/payments/confirm", confirm).await.problem(),
            (402, "payment-declined".into())
        );
        assert_eq!(house.payment(&payment).await["failure"], "insufficient_funds");
        let (again, _) = house.begin(&invoice).await;
        assert_ne!(again, payment);
    })
    .await;
}

#[tokio::test]
async fn a_second_look_at_a_payment_that_may_have_charged_asks_for_no_other() {
    on_both(async |db| {
        let house = house(&db);
        let ask =
            json!({"invoiceId": house.bill(9_900).await, "paymentMethodId": house.stored_method().await});
        house.stripe.be(Mood::AnswerLost);
        let open = house.post("/api/v1/billing/payments", ask.clone()).await;
        for mood in [Mood::Busy, Mood::Away, Mood::Locked] {
            house.stripe.be(mood);
            let again = house.post("/api/v1/billing/payments", ask.clone()).await;
            assert_eq!((again.status.as_u16(), &again.json()["id"]), (202, &open.json()["id"]), "{mood:?}");
            assert_eq!(again.json()["status"], "asked", "{mood:?}");
        }
        house.stripe.be(Mood::Well);
        assert_eq!(house.post("/api/v1/billing/payments", ask).await.json()["id"], open.json()["id"]);
        assert_eq!((house.stripe.charges(), house.stripe.intents()), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn a_checkout_that_the_payer_may_be_at_stays_while_its_provider_is_away() {
    on_both(async |db| {
        let house = house(&db);
        let invoice = house.bill(5_000).await;
        let (payment, intent) = house.begin(&invoice).await;
        house.stripe.be(Mood::Away);
        let again = house.post("/api/payments/create-intent", json!({"invoiceId": invoice})).await;
        assert_eq!(
            (again.status.as_u16(), again.json()["paymentIntentId"].as_str()),
            (202, Some(intent.as_str()))
        );
        assert_eq!(house.payment(&payment).await["status"], "requires_action");
        assert_eq!(house.paypal.calls(), 0, "nobody else opens a second one");
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_is_away_for_an_hour_ends_no_settling() {
    on_both(async |db| {
        let house = house(&db);
        let invoice = house.bill(9_900).await;
        house.stripe.be(Mood::AnswerLost);
        let ask = json!({"invoiceId": invoice, "paymentMethodId": house.stored_method().await});
        assert_eq!(house.post("/api/v1/billing/payments", ask).await.status, 202);
        house.stripe.be(Mood::Away);
        for _ in 0..60 {
            house.pass(TimeDelta::minutes(1)).await;
        }
        house.stripe.be(Mood::Well);
        house.pass(TimeDelta::hours(1)).await;
        assert_eq!(house.invoice(&invoice).await["status"], "paid");
        assert_eq!(house.stripe.charges(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_checkout_that_nobody_finishes_ends_and_a_late_payment_counts_all_the_same() {
    on_both(async |db| {
        let house = house(&db);
        let invoice = house.bill(5_000).await;
        let (payment, intent) = house.begin(&invoice).await;
        house.pass(TimeDelta::days(7)).await;
        assert_eq!(house.payment(&payment).await["status"], "requires_action");
        house.pass(TimeDelta::days(2)).await;
        assert_eq!(house.payment(&payment).await["status"], "canceled");
        house.stripe.pay(&intent);
        house.told(about_payment("evt_1", &intent)).await;
        assert_eq!(house.payment(&payment).await["status"], "succeeded");
        assert_eq!(house.invoice(&invoice).await["status"], "paid");
    })
    .await;
}

#[tokio::test]
async fn a_stored_method_counts_as_long_as_its_provider_keeps_it_and_it_has_not_ended() {
    on_both(async |db| {
        let house = house(&db);
        let method = house.stored_method().await;
        let path = format!("/api/payments/methods/{}/validate", method.as_str().unwrap());
        let check = async || house.post(&path, Value::Null).await;
        assert_eq!(check().await.json()["isValid"], true);
        let (month, year) = (u8::try_from(now().month()).unwrap(), u16::try_from(now().year()).unwrap());
        house.stripe.expire_methods(month, year);
        assert_eq!(check().await.json()["isValid"], true, "until the end of its month");
        house.stripe.expire_methods(month, year - 1);
        assert_eq!(check().await.json()["reason"], "expired");
        house.stripe.forget_methods();
        assert_eq!(check().await.json()["reason"], "unknown-to-provider");
        house.stripe.be(Mood::Away);
        assert_eq!(check().await.problem(), (502, "provider-unreachable".into()));
    })
    .await;
}
