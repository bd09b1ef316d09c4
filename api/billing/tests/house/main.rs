//! Journeys of money through the house, over two providers in memory.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

mod fake;
mod support;

use billing::Difference;
use billing::provider::{DisputeState, ProviderSubscription, SubscriptionStatus};
use chrono::TimeDelta;
use clinical::id::ClinicId;
use fake::Mood;
use serde_json::{Value, json};
use storage::records::clinic::Clinic;
use storage::testing::{now, on_both};
use support::{CLINIC, about_payment, house};

fn amounts(pairs: &[(&str, i64)]) -> Vec<(String, i64)> {
    pairs.iter().map(|(code, minor)| ((*code).to_owned(), *minor)).collect()
}

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
async fn a_time_out_after_charging_a_stored_method_is_settled_by_its_job_and_charged_once() {
    on_both(async |db| {
        let house = house(&db);
        let method = stored_method(&house).await;
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

async fn stored_method(house: &support::House) -> Value {
    let customer = house.post("/api/payments/customers", json!({"name": "Jane Doe"})).await;
    assert_eq!(customer.status, 201, "{:?}", customer.body);
    let body = json!({"customerId": customer.json()["id"], "paymentMethodId": "pm_1", "provider": "stripe"});
    let method = house.post("/api/payments/methods", body).await;
    assert_eq!(method.status, 201, "{:?}", method.body);
    assert_eq!(method.json()["isDefault"], true);
    method.json()["id"].clone()
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
        let invoice = house.bill(10_000).await;
        let (payment, intent) = house.begin(&invoice).await;
        house.stripe.pay(&intent);
        house.told(about_payment("evt_1", &intent)).await;
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
async fn what_happens_in_the_providers_dashboard_is_heard_of_and_what_is_not_is_named() {
    on_both(async |db| {
        let house = house(&db);
        let invoice = house.bill(10_000).await;
        let (payment, intent) = house.begin(&invoice).await;
        house.stripe.pay(&intent);
        house.told(about_payment("evt_1", &intent)).await;
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
        assert_eq!(house.payment(&payment).await["status"], "requires_action");
        assert_eq!(storage::testing::count(&db, "provider_events").await, 0);
    })
    .await;
}

#[tokio::test]
async fn sums_that_cannot_be_are_refused_and_nothing_is_written() {
    on_both(async |db| {
        let house = house(&db);
        let patient = house.patient("Doe^John").await;
        for (amount, currency) in [
            ("-1", "USD"),
            ("0", "USD"),
            ("0.001", "USD"),
            ("1.5", "JPY"),
            ("1", "XYZ"),
            ("99999999999999999999", "USD"),
            ("1e3", "USD"),
        ] {
            let body = format!(
                r#"{{"patientId":"{patient}","amount":{amount},"currency":"{currency}","description":"Visit"}}"#
            );
            let request = gate::testing::request(http::Method::POST, "/api/payments/generate-bill")
                .header("content-type", "application/json");
            let refused = gate::testing::send(&house.router, request.body(body.into()).unwrap()).await;
            assert_eq!(refused.problem().0, 422, "{amount} {currency}");
        }
        for amount in [json!(-5), json!(0), json!(1.5), json!(i64::MAX)] {
            let body = json!({"amount": amount, "currency": "usd"});
            assert_eq!(house.post("/api/payments/create-intent", body).await.problem().0, 422, "{amount}");
        }
        let card = json!({"amount": 5, "currency": "usd", "metadata": {"note": "4242 4242 4242 4242"}});
        let refused = house.post("/api/payments/create-intent", card).await;
        assert_eq!(refused.problem(), (422, "card-number-refused".into()));
        let names = json!({"patientId": patient, "amount": 5, "description": "Visit\r\nBcc: all"});
        assert_eq!(house.post("/api/payments/generate-bill", names).await.problem(), (422, "invalid-text".into()));
        let invoice = house.bill(1_000).await;
        let above = house.post("/api/v1/billing/payments", json!({"invoiceId": invoice, "amount": 1_001})).await;
        assert_eq!(above.problem(), (422, "amount-not-owed".into()));
        assert_eq!(storage::testing::count(&db, "payments").await, 0);
        assert_eq!(storage::testing::count(&db, "invoices").await, 1);
    })
    .await;
}

#[tokio::test]
async fn numbers_have_no_gaps_however_many_are_issued_at_once_and_some_fail() {
    on_both(async |db| {
        let house = std::sync::Arc::new(house(&db));
        let mut made = tokio::task::JoinSet::new();
        for number in 0..20 {
            let house = std::sync::Arc::clone(&house);
            made.spawn(async move {
                let quantity = if number % 4 == 0 { 0 } else { 1 };
                let body = json!({
                    "description": "Visit", "issue": true,
                    "lines": [{"description": "Visit", "unitAmount": 100, "quantity": quantity}]
                });
                house.post("/api/v1/billing/invoices", body).await.json()["number"].as_i64()
            });
        }
        let mut numbers: Vec<_> = made.join_all().await.into_iter().flatten().collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=15).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn a_draft_is_owed_by_nobody_and_a_void_or_hopeless_invoice_neither() {
    on_both(async |db| {
        let house = house(&db);
        let body = json!({"description": "Visit", "lines": [{"description": "Visit", "unitAmount": 100, "taxRate": 1_900}]});
        let draft = house.post("/api/v1/billing/invoices", body).await.json();
        let id = draft["id"].as_str().unwrap();
        assert_eq!((&draft["number"], &draft["amount"]), (&Value::Null, &json!(119)));
        let owed = house.post("/api/payments/create-intent", json!({"invoiceId": id})).await;
        assert_eq!(owed.problem(), (409, "nothing-owed".into()));
        let to = async |word: &str| {
            house.post(&format!("/api/v1/billing/invoices/{id}/{word}"), Value::Null).await
        };
        assert_eq!(to("issue").await.json()["number"], 1);
        assert_eq!(to("issue").await.problem(), (409, "wrong-state".into()));
        let issued = amounts(&[("receivable", 119), ("revenue", -100), ("tax", -19)]);
        assert_eq!(house.balances().await, issued);
        assert_eq!(to("void").await.json()["status"], "void");
        assert_eq!(house.balances().await, []);
        let lost = house.bill(500).await;
        house.post(&format!("/api/v1/billing/invoices/{lost}/uncollectible"), Value::Null).await;
        assert_eq!(house.balances().await, amounts(&[("bad_debt", 500), ("revenue", -500)]));
    })
    .await;
}

async fn plan(house: &support::House, body: Value) -> Value {
    let made = house.post("/api/v1/billing/plans", body).await;
    assert_eq!(made.status, 201, "{:?}", made.body);
    made.json()["id"].clone()
}

#[tokio::test]
async fn a_subscription_has_its_trial_is_renewed_charged_and_ends_with_its_period() {
    on_both(async |db| {
        let house = house(&db);
        let method = stored_method(&house).await;
        let body = json!({"name": "Care", "amount": 3_000, "trialDays": 7, "interval": "month"});
        let plan = plan(&house, body).await;
        let made = house
            .post("/api/v1/billing/subscriptions", json!({"planId": plan, "paymentMethodId": method}))
            .await;
        assert_eq!(made.status, 201, "{:?}", made.body);
        let path = format!("/api/v1/billing/subscriptions/{}", made.json()["id"].as_str().unwrap());
        assert_eq!(made.json()["status"], "trialing");
        house.pass(TimeDelta::days(7)).await;
        assert_eq!((house.get(&path).await["status"].as_str(), house.stripe.charges()), (Some("active"), 1));
        house.pass(TimeDelta::days(31)).await;
        assert_eq!(house.stripe.charges(), 2, "a month has 28 to 31 days");
        let ended = house.post(&format!("{path}/cancel"), json!({"atPeriodEnd": true})).await;
        assert_eq!(
            (&ended.json()["status"], &ended.json()["cancelAtPeriodEnd"]),
            (&json!("active"), &json!(true))
        );
        assert_eq!(
            house.post(&format!("{path}/reactivate"), Value::Null).await.json()["cancelAtPeriodEnd"],
            false
        );
        house.post(&format!("{path}/cancel"), json!({"atPeriodEnd": true, "reason": "moved"})).await;
        house.pass(TimeDelta::days(31)).await;
        assert_eq!(
            (house.get(&path).await["status"].as_str(), house.stripe.charges()),
            (Some("canceled"), 2)
        );
        assert_eq!(house.balances().await, amounts(&[("clearing:stripe", 6_000), ("revenue", -6_000)]));
    })
    .await;
}

#[tokio::test]
async fn a_plan_is_changed_to_the_day_put_on_hold_and_taken_up_again() {
    on_both(async |db| {
        let house = house(&db);
        let small =
            plan(&house, json!({"name": "Small", "amount": 3_000, "interval": "day", "intervalCount": 30}))
                .await;
        let large =
            plan(&house, json!({"name": "Large", "amount": 6_000, "interval": "day", "intervalCount": 30}))
                .await;
        let made = house.post("/api/v1/billing/subscriptions", json!({"planId": small})).await.json();
        assert_eq!(made["status"], "incomplete", "its first invoice is to be paid");
        let path = format!("/api/v1/billing/subscriptions/{}", made["id"].as_str().unwrap());
        let (_, intent) = house.begin(made["invoiceId"].as_str().unwrap()).await;
        house.stripe.pay(&intent);
        house.told(about_payment("evt_1", &intent)).await;
        assert_eq!(house.get(&path).await["status"], "active");
        // The requests' own clock stands at the first day: 30 of 30 days are left.
        let changed = house.patch(&path, json!({"planId": large})).await.json();
        let invoice = house.invoice(changed["invoiceId"].as_str().unwrap()).await;
        assert_eq!(invoice["amount"], 3_000);
        let back = house.patch(&path, json!({"planId": small})).await.json();
        assert_eq!((&back["creditAmount"], back.get("invoiceId")), (&json!(3_000), None));
        assert_eq!(house.post(&format!("{path}/pause"), Value::Null).await.json()["status"], "paused");
        assert_eq!(
            house.post(&format!("{path}/pause"), Value::Null).await.problem(),
            (409, "wrong-state".into())
        );
        assert_eq!(house.post(&format!("{path}/resume"), Value::Null).await.json()["status"], "active");
        house.pass(TimeDelta::days(30)).await;
        let list = house.get("/api/v1/billing/invoices?status=paid").await;
        assert_eq!(list[0]["amount"], 0, "what was owed to the customer pays the next period");
        assert_eq!(house.get(&path).await["creditAmount"], 0);
    })
    .await;
}

#[tokio::test]
async fn what_is_used_is_counted_once_and_not_beyond_what_the_plan_allows() {
    on_both(async |db| {
        let house = house(&db);
        let patient = house.patient("Doe^John").await;
        let body = json!({"name": "Care", "amount": 0, "limits": {"visit": 2}});
        let plan = plan(&house, body).await;
        let made = house
            .post("/api/v1/billing/subscriptions", json!({"planId": plan, "patientId": patient}))
            .await
            .json();
        let visit = |key: &str| json!({"subscriptionId": made["id"], "feature": "visit", "key": key});
        for (key, status) in [("a", 201), ("a", 201), ("b", 201), ("c", 409), ("b", 201)] {
            let used = house.post("/api/v1/billing/usage", visit(key)).await;
            assert_eq!(used.status.as_u16(), status, "{key}: {:?}", used.body);
        }
        let used = house
            .get(&format!("/api/v1/billing/usage?subscriptionId={}", made["id"].as_str().unwrap()))
            .await;
        assert_eq!(used, json!([{"feature": "visit", "used": 2, "limit": 2, "remaining": 0}]));
        let covered = house.get(&format!("/api/v1/billing/coverage?patientId={patient}&feature=visit")).await;
        assert_eq!(covered["isCovered"], false);
    })
    .await;
}

#[tokio::test]
async fn a_subscription_that_only_a_webhook_told_of_is_kept_and_shows_where_it_stands() {
    on_both(async |db| {
        let house = house(&db);
        let told = |event: &str, created: i64, status: &str| {
            json!({
                "id": event, "type": "customer.subscription.updated", "created": created,
                "subject": {"about": "subscription", "id": "sub_1"},
                "data": {"object": {"object": "subscription", "id": "sub_1", "status": status}}
            })
        };
        for (event, created, status) in [
            ("evt_2", 200, "past_due"),
            ("evt_1", 100, "active"),
            ("evt_2", 200, "past_due"),
            ("evt_3", 300, "canceled"),
        ] {
            house.told(told(event, created, status)).await;
        }
        house.told(told("evt_0", 50, "trialing")).await;
        assert_eq!(house.get("/api/v1/billing/subscriptions/sub_1").await["status"], "canceled");
        house.stripe.keep_subscription(ProviderSubscription {
            provider_id: "sub_1".into(),
            status: SubscriptionStatus::Active,
            customer_id: None,
            plan_id: None,
            reference: None,
            period_start: None,
            period_end: None,
            cancels_at_period_end: false,
        });
        house.told(told("evt_4", 400, "paused")).await;
        let shown = house.get("/api/v1/billing/subscriptions/sub_1").await;
        assert_eq!((shown["status"].as_str(), shown["providerId"].as_str()), (Some("active"), Some("sub_1")));
        let ours = format!("/api/v1/billing/subscriptions/{}", shown["id"].as_str().unwrap());
        assert_eq!(
            house.post(&format!("{ours}/pause"), Value::Null).await.problem(),
            (409, "kept-by-provider".into())
        );
    })
    .await;
}

#[tokio::test]
async fn an_invoice_past_its_day_is_reminded_of_charged_again_and_given_up() {
    on_both(async |db| {
        let house = house(&db);
        let settings = json!({"settings": {"dueDays": 10, "reminderDays": [1, 5], "giveUpDays": 30}});
        assert_eq!(house.put("/api/v1/billing/config", settings).await.status, 200);
        let method = stored_method(&house).await;
        let plan = plan(&house, json!({"name": "Care", "amount": 3_000, "interval": "year"})).await;
        house.stripe.be(Mood::Declines);
        let made = house
            .post("/api/v1/billing/subscriptions", json!({"planId": plan, "paymentMethodId": method}))
            .await;
        let made = made.json();
        let invoice = made["invoiceId"].as_str().unwrap();
        house.pass(TimeDelta::days(11)).await;
        assert_eq!(house.invoice(invoice).await["reminders"], 1);
        house.stripe.be(Mood::Well);
        house.pass(TimeDelta::days(4)).await;
        let paid = house.invoice(invoice).await;
        assert_eq!((paid["status"].as_str(), paid["reminders"].as_i64()), (Some("paid"), Some(2)));
        let path = format!("/api/v1/billing/subscriptions/{}", made["id"].as_str().unwrap());
        assert_eq!(house.get(&path).await["status"], "active");
        let forgotten = house.bill(700).await;
        house.pass(TimeDelta::days(60)).await;
        assert_eq!(house.invoice(&forgotten).await["status"], "uncollectible");
    })
    .await;
}

#[tokio::test]
async fn money_is_reserved_and_taken_later_or_never() {
    on_both(async |db| {
        let house = house(&db);
        let method = stored_method(&house).await;
        let ask = json!({"amount": 900, "currency": "EUR", "paymentMethodId": method, "capture": "manual"});
        let made = house.post("/api/v1/billing/payments", ask.clone()).await.json();
        assert_eq!(made["status"], "authorized");
        let path = format!("/api/v1/billing/payments/{}", made["id"].as_str().unwrap());
        let more = house.post(&format!("{path}/capture"), json!({"amount": 901})).await;
        assert_eq!(more.problem(), (422, "invalid-amount".into()));
        let taken = house.post(&format!("{path}/capture"), json!({"amount": 600})).await.json();
        assert_eq!((&taken["status"], &taken["amountCaptured"]), (&json!("succeeded"), &json!(600)));
        assert_eq!(house.balances().await, amounts(&[("clearing:stripe", 600), ("credit", -600)]));
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
