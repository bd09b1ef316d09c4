//! What providers tell, in whichever order and however often.

use billing::Difference;
use billing::provider::{DisputeState, ProviderName};
use chrono::TimeDelta;
use clinical::id::ClinicId;
use serde_json::json;
use storage::audit::{Filter, Recorded, search};
use storage::records::clinic::Clinic;
use storage::testing::{now, on_both};

use crate::fake::Mood;
use crate::support::{CLINIC, about_payment, amounts, house};

#[tokio::test]
async fn fifty_of_the_same_webhook_at_once_are_one_payment() {
    on_both(async |db| {
        let house = std::sync::Arc::new(house(&db));
        let invoice = house.bill(15_000).await;
        let (payment, intent) = house.begin(&invoice).await;
        house.stripe.pay(&intent);
        let mut hooks = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let (house, event) = (std::sync::Arc::clone(&house), about_payment("evt_1", &intent));
            hooks.spawn(async move { house.told(event).await.status });
        }
        assert!(hooks.join_all().await.iter().all(|status| *status == 200));
        assert_eq!(house.payment(&payment).await["status"], "succeeded");
        assert_eq!(house.invoice(&invoice).await["status"], "paid");
        assert_eq!(house.balances().await, amounts(&[("clearing:stripe", 15_000), ("revenue", -15_000)]));
        assert_eq!(storage::testing::count(&db, "provider_events").await, 1);
        assert_eq!(storage::testing::count(&db, "ledger_transactions").await, 2, "issued, paid");
    })
    .await;
}

/// What a process that ends between the provider's answer and its commit leaves: a row that was asked, and nothing else.
#[tokio::test]
async fn a_webhook_before_the_answer_and_a_lost_answer_end_in_one_charge() {
    on_both(async |db| {
        let house = house(&db);
        let invoice = house.bill(7_500).await;
        house.stripe.be(Mood::AnswerLost);
        let lost = house
            .post("/api/payments/create-intent", json!({"invoiceId": invoice, "provider": "stripe"}))
            .await;
        assert_eq!(lost.problem().0, 502, "nothing can have been charged before the payer acts");
        house.stripe.be(Mood::Well);
        house.stripe.pay("pi_stripe_1");
        let told = house.told(about_payment("evt_1", "pi_stripe_1")).await;
        assert_eq!(told.status, 200);
        assert_eq!(house.invoice(&invoice).await["status"], "paid", "our reference names the payment");
        house.pass(TimeDelta::minutes(10)).await;
        assert_eq!(house.stripe.charges(), 1);
        assert_eq!(house.balances().await, amounts(&[("clearing:stripe", 7_500), ("revenue", -7_500)]));
    })
    .await;
}

#[tokio::test]
async fn what_happens_in_the_providers_dashboard_is_heard_of_and_what_is_not_is_named() {
    on_both(async |db| {
        let house = house(&db);
        let (_, payment, intent) = house.paid(10_000).await;
        house.stripe.refund_outside(&intent, 2_500);
        house.told(about_payment("evt_2", &intent)).await;
        assert_eq!(house.payment(&payment).await["amountRefunded"], 2_500);
        let other = house.bill(4_000).await;
        let (unheard, intent) = house.begin(&other).await;
        house.stripe.pay(&intent);
        let found = house.cashier.reconcile(CLINIC, now() - TimeDelta::days(1)).await.unwrap();
        let [Difference::Sums { payment_id, captured, .. }] = found.differences.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!((payment_id.to_string(), *captured), (unheard, (0, 4_000)));
        assert_eq!((found.payments, found.asked, found.not_asked.len()), (2, 2, 0));

        house.stripe.be(Mood::Away);
        let away = house.cashier.reconcile(CLINIC, now() - TimeDelta::days(1)).await.unwrap();
        let [one] = away.not_asked.as_slice() else { panic!("{away:?}") };
        assert_eq!((one.provider, one.payments), (ProviderName::Stripe, 2));
        assert_eq!((away.payments, away.asked, away.differences.len()), (2, 0, 0), "nobody has answered");
    })
    .await;
}

#[tokio::test]
async fn a_webhook_that_is_not_signed_or_is_about_another_clinics_payment_changes_nothing() {
    on_both(async |db| {
        let house = house(&db);
        let invoice = house.bill(10_000).await;
        let (payment, intent) = house.begin(&invoice).await;
        house.stripe.pay(&intent);
        let event = || about_payment("evt_1", &intent);
        let stripe = "/api/payments/webhooks/stripe";
        let forged = house.told_at(stripe, "mallory", event()).await;
        assert_eq!(forged.problem(), (400, "webhook-signature".into()));
        assert_eq!(house.told_at(stripe, "mallory", event()).await.problem().0, 400);
        let mut tx = db.begin().await.unwrap();
        let other = Clinic::create(&mut tx, "North", "UTC", now()).await.unwrap().clinic_id;
        tx.commit().await.unwrap();
        let nowhere = format!("{stripe}/{}", ClinicId::new());
        assert_eq!(house.told_at(&nowhere, "stripe", event()).await.problem().0, 404);
        let elsewhere = format!("{stripe}/{other}");
        assert_eq!(
            house.told_at(&elsewhere, "stripe", event()).await.problem(),
            (403, "webhook-other-clinic".into())
        );
        let unknown = house.told_at("/api/payments/webhooks/razorpay", "razorpay", event()).await;
        assert_eq!(unknown.problem().0, 404, "nobody has set it up");
        assert_eq!(house.told_at("/api/payments/webhooks/square", "x", event()).await.problem().0, 404);
        assert_eq!(
            house.told_at(stripe, "stripe", json!({"odd": 1})).await.problem(),
            (400, "webhook-malformed".into())
        );
        let endless = house.told_at(stripe, "stripe", json!({"odd": "x".repeat(1 << 20)})).await;
        assert_eq!(endless.problem(), (413, "too-large".into()));
        assert_eq!(house.payment(&payment).await["status"], "requires_action");
        assert_eq!(storage::testing::count(&db, "provider_events").await, 0);
        let refused = Filter { action: Some("payment:webhook".into()), ..Filter::default() };
        for (clinic, codes) in [
            (CLINIC, &["webhook-malformed", "webhook-signature"][..]),
            (other, &["webhook-other-clinic"][..]),
        ] {
            let rows = search(&mut db.read().await.unwrap(), clinic, &refused, None, 9).await.unwrap();
            let reason =
                |it: &Recorded| it.entry.detail.as_ref().unwrap()["reason"].as_str().unwrap().to_owned();
            let mut told: Vec<_> = rows.iter().map(reason).collect();
            told.sort_unstable();
            assert_eq!(told, codes, "once a minute each");
        }
    })
    .await;
}

#[tokio::test]
async fn a_dispute_takes_money_and_gives_it_back_or_not() {
    on_both(async |db| {
        let house = house(&db);
        let invoice = house.bill(10_000).await;
        let (payment, intent) = house.begin(&invoice).await;
        house.stripe.pay(&intent);
        let about = |event: &str| {
            json!({"id": event, "type": "dispute", "subject": {"about": "dispute", "id": format!("dp_{intent}")}})
        };
        house.stripe.dispute(&intent, 10_000, DisputeState::Open);
        house.told(about("evt_1")).await;
        let open = amounts(&[("disputed", 10_000), ("revenue", -10_000)]);
        assert_eq!(house.balances().await, open);
        let refused = house.post("/api/payments/refund", json!({"paymentId": payment, "amount": 1})).await;
        assert_eq!(refused.problem().0, 422, "what the bank holds cannot be given back");
        house.stripe.dispute(&intent, 10_000, DisputeState::Lost);
        house.told(about("evt_2")).await;
        assert_eq!(house.balances().await, amounts(&[("dispute_loss", 10_000), ("revenue", -10_000)]));
        assert_eq!(house.payment(&payment).await["disputes"][0]["status"], "lost");
    })
    .await;
}

#[tokio::test]
async fn an_event_that_comes_while_its_provider_cannot_be_asked_is_settled_when_it_can() {
    on_both(async |db| {
        let house = house(&db);
        let invoice = house.bill(10_000).await;
        let (_, intent) = house.begin(&invoice).await;
        house.stripe.pay(&intent);
        house.stripe.be(Mood::Away);
        assert_eq!(house.told(about_payment("evt_1", &intent)).await.status, 200);
        for _ in 0..40 {
            house.pass(TimeDelta::seconds(20)).await;
        }
        house.stripe.be(Mood::Well);
        house.pass(TimeDelta::minutes(7)).await;
        assert_eq!(house.invoice(&invoice).await["status"], "paid");
        let dead = storage::queue::dead(&mut db.read().await.unwrap(), 9).await.unwrap();
        assert!(dead.is_empty(), "no job has given up");
    })
    .await;
}
