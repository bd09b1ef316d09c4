//! Subscriptions, plans, and what is used of them.

use billing::provider::{ProviderSubscription, SubscriptionStatus};
use chrono::TimeDelta;
use serde_json::{Value, json};
use storage::testing::on_both;

use crate::support::{amounts, house};

#[tokio::test]
async fn a_subscription_has_its_trial_is_renewed_charged_and_ends_with_its_period() {
    on_both(async |db| {
        let house = house(&db);
        let method = house.stored_method().await;
        let body = json!({"name": "Care", "amount": 3_000, "trialDays": 7, "interval": "month"});
        let plan = house.plan(body).await;
        let (made, path) = house.subscribe(json!({"planId": plan, "paymentMethodId": method})).await;
        assert_eq!(made["status"], "trialing");
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
async fn a_subscription_is_ended_without_a_word_of_how() {
    on_both(async |db| {
        let house = house(&db);
        let plan = house.plan(json!({"name": "Care", "amount": 3_000, "trialDays": 7})).await;
        let (_, path) = house.subscribe(json!({"planId": plan})).await;
        let ended = house.post_nothing(&format!("{path}/cancel")).await;
        assert_eq!((ended.status.as_u16(), &ended.json()["status"]), (200, &json!("canceled")));
    })
    .await;
}

#[tokio::test]
async fn a_plan_is_changed_to_the_day_put_on_hold_and_taken_up_again() {
    on_both(async |db| {
        let house = house(&db);
        let small = house
            .plan(json!({"name": "Small", "amount": 3_000, "interval": "day", "intervalCount": 30}))
            .await;
        let large = house
            .plan(json!({"name": "Large", "amount": 6_000, "interval": "day", "intervalCount": 30}))
            .await;
        let (made, path) = house.subscribe(json!({"planId": small})).await;
        assert_eq!(made["status"], "incomplete", "its first invoice is to be paid");
        house.pay(&made["invoiceId"]).await;
        assert_eq!(house.get(&path).await["status"], "active");
        // The requests' own clock stands at the first day: 30 of 30 days are left.
        let changed = house.patch(&path, json!({"planId": large})).await.json();
        let invoice = house.invoice(changed["invoiceId"].as_str().unwrap()).await;
        assert_eq!(invoice["amount"], 3_000);
        let unpaid = house.patch(&path, json!({"planId": small})).await;
        assert_eq!(unpaid.problem(), (409, "wrong-state".into()), "nothing is given back that was not paid");
        house.pay(&changed["invoiceId"]).await;
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
        let plan = house.plan(body).await;
        let (made, _) = house.subscribe(json!({"planId": plan, "patientId": patient})).await;
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
async fn a_period_that_nobody_paid_is_not_had_by_ending_and_taking_up_again() {
    on_both(async |db| {
        let house = house(&db);
        let plan = house.plan(json!({"name": "Care", "amount": 3_000, "interval": "month"})).await;
        let (made, path) = house.subscribe(json!({"planId": plan})).await;
        house.post(&format!("{path}/cancel"), json!({})).await;
        let again = house.post(&format!("{path}/reactivate"), Value::Null).await.json();
        assert_eq!(again["status"], "incomplete");
        house.post(&format!("{path}/cancel"), json!({})).await;
        let invoice = made["invoiceId"].as_str().unwrap();
        house.post(&format!("/api/v1/billing/invoices/{invoice}/void"), Value::Null).await;
        let again = house.post(&format!("{path}/reactivate"), Value::Null).await.json();
        assert_eq!(again["status"], "incomplete", "nothing was paid, though nothing is owed");

        let free = house.plan(json!({"name": "Free", "amount": 0, "interval": "month"})).await;
        let (_, path) = house.subscribe(json!({"planId": free})).await;
        let changed = house.patch(&path, json!({"planId": plan})).await.json();
        assert_eq!(changed["status"], "incomplete", "what was had for nothing does not make it paid");
        house.pay(&changed["invoiceId"]).await;
        assert_eq!(house.get(&path).await["status"], "active");

        let (made, path) = house.subscribe(json!({"planId": plan})).await;
        house.pay(&made["invoiceId"]).await;
        house.post(&format!("{path}/cancel"), json!({})).await;
        let again = house.post(&format!("{path}/reactivate"), Value::Null).await.json();
        assert_eq!(again["status"], "active");
    })
    .await;
}

#[tokio::test]
async fn from_years_to_months_the_next_month_is_billed() {
    on_both(async |db| {
        let house = house(&db);
        let yearly = house.plan(json!({"name": "Year", "amount": 1_000, "interval": "year"})).await;
        let monthly = house.plan(json!({"name": "Month", "amount": 800, "interval": "month"})).await;
        let (made, path) = house.subscribe(json!({"planId": yearly})).await;
        house.pay(&made["invoiceId"]).await;
        let changed = house.patch(&path, json!({"planId": monthly})).await.json();
        assert_eq!((&changed["status"], &changed["creditAmount"]), (&json!("active"), &json!(200)));
        house.pass(TimeDelta::days(31)).await;
        let open = house.get("/api/v1/billing/invoices?status=open").await;
        assert_eq!(open[0]["amount"], 600, "the second month, less what was left of the year");
    })
    .await;
}
