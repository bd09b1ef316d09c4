//! Money that goes back, and whose it is.

use chrono::TimeDelta;
use clinical::person::{Demographics, PersonName};
use clinical::role::Role;
use gate::testing::token_of;
use http::Method;
use serde_json::{Value, json};
use storage::records::member::Position;
use storage::records::patient::Patient;
use storage::testing::{now, on_both};

use crate::fake::Mood;
use crate::support::{CLINIC, about_payment, amounts, house};

#[tokio::test]
async fn refunds_never_exceed_what_was_paid_however_many_are_asked_for_at_once() {
    on_both(async |db| {
        let house = std::sync::Arc::new(house(&db));
        let invoice = house.bill(10_000).await;
        let (payment, intent) = house.begin(&invoice).await;
        let early = house.post("/api/payments/refund", json!({"paymentId": payment})).await;
        assert_eq!(early.problem(), (409, "nothing-paid".into()));
        house.stripe.pay(&intent);
        house.told(about_payment("evt_1", &intent)).await;
        let mut asked = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let (house, body) =
                (std::sync::Arc::clone(&house), json!({"paymentIntentId": intent, "amount": 4_000}));
            asked.spawn(async move { house.post("/api/payments/refund", body).await.status.as_u16() });
        }
        let mut statuses = asked.join_all().await;
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 201, 422, 422, 422, 422]);
        assert_eq!(house.stripe.refunds(&intent).len(), 2);
        let shown = house.invoice(&invoice).await;
        assert_eq!(
            (shown["status"].as_str(), shown["amountRefunded"].as_i64()),
            (Some("partly_refunded"), Some(8_000))
        );
        let rest = house.post("/api/payments/refund", json!({"paymentId": payment})).await;
        assert_eq!((rest.status.as_u16(), rest.json()["amount"].as_i64()), (201, Some(2_000)));
        assert_eq!(house.invoice(&invoice).await["status"], "refunded");
        assert_eq!(house.balances().await, amounts(&[("returns", 10_000), ("revenue", -10_000)]));
    })
    .await;
}

#[tokio::test]
async fn a_refund_whose_answer_is_lost_is_made_once() {
    on_both(async |db| {
        let house = house(&db);
        let (_, payment, intent) = house.paid(10_000).await;
        house.stripe.be(Mood::AnswerLost);
        let lost = house.post("/api/payments/refund", json!({"paymentId": payment, "amount": 6_000})).await;
        assert_eq!((lost.status.as_u16(), lost.json()["status"].as_str()), (201, Some("asked")));
        house.stripe.be(Mood::Well);
        let more = house.post("/api/payments/refund", json!({"paymentId": payment, "amount": 6_000})).await;
        assert_eq!(more.problem(), (422, "refund-above-paid".into()), "what was asked for counts already");
        house.pass(TimeDelta::minutes(10)).await;
        assert_eq!(house.stripe.refunds(&intent).len(), 1);
        assert_eq!(house.payment(&payment).await["amountRefunded"], 6_000);
    })
    .await;
}

#[tokio::test]
async fn a_refund_that_is_on_its_way_is_asked_about_until_it_is_done_and_made_once() {
    on_both(async |db| {
        let house = house(&db);
        let (_, payment, _) = house.paid(10_000).await;
        house.stripe.be(Mood::Slow);
        let refund = house.post("/api/payments/refund", json!({"paymentId": payment, "amount": 6_000})).await;
        assert_eq!((refund.status.as_u16(), refund.json()["status"].as_str()), (201, Some("pending")));
        house.pass(TimeDelta::days(2)).await;
        assert_eq!(house.payment(&payment).await["refunds"][0]["status"], "pending");
        house.stripe.finish_refunds();
        house.pass(TimeDelta::days(1)).await;
        assert_eq!(house.payment(&payment).await["refunds"][0]["status"], "succeeded");
        assert_eq!(house.stripe.refunds_asked(), 1);
    })
    .await;
}

#[tokio::test]
async fn what_a_restricted_patient_pays_is_shown_and_changed_by_nobody_who_may_not_see_them() {
    on_both(async |db| {
        let house = house(&db);
        let accountant = token_of(&house.app, CLINIC, &Position::of(Role::Accountant)).await;
        let mut tx = db.begin().await.unwrap();
        let person = Demographics { name: PersonName::from_dicom("Test^Ada"), ..Demographics::default() };
        let patient = Patient::register(&mut tx, CLINIC, &person, true, now()).await.unwrap();
        tx.commit().await.unwrap();
        let made = house.post("/api/payments/customers", json!({"patientId": patient})).await;
        assert_eq!(made.status, 201, "{:?}", made.body);
        let sum = json!({"amount": 900, "currency": "EUR", "patientId": patient});
        let payment = house.post("/api/v1/billing/payments", sum).await.json()["id"].clone();
        let path = format!("/api/v1/billing/payments/{}", payment.as_str().unwrap());
        let list = house.as_who(&accountant, Method::GET, "/api/payments/customers", Value::Null).await;
        assert_eq!(list.json(), json!([]));
        for (act, body) in
            [("capture", json!({})), ("cancel", Value::Null), ("refunds", json!({"amount": 1}))]
        {
            let path = format!("{path}/{act}");
            let refused = house.as_who(&accountant, Method::POST, &path, body).await;
            assert!(matches!(refused.status.as_u16(), 403 | 404), "{path}: {:?}", refused.body);
        }
        assert_eq!(house.get(&path).await["status"], "requires_action");
    })
    .await;
}
