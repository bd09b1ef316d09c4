//! The whole way of money through the house, over each real adapter and the stand-in that it speaks to.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use billing::provider::PaymentProvider;
use billing::{Account, Accounts, BillingState, Cashier};
use chrono::{DateTime, TimeDelta, Utc};
use clinical::clock::{Clock, SystemClock};
use clinical::id::ClinicId;
use clinical::money::Money;
use futures::future::join_all;
use gate::testing::{Answer, app, get, post_json, send};
use gate::{HttpLimits, layers};
use http::Request;
use serde_json::{Value, json};
use storage::db::Db;
use tempfile::TempDir;
use uuid::Uuid;

use crate::stubs::{Ending, Sent, Stub, Trouble};

/// The house with these accounts, over a database of its own.
pub struct Desk {
    router: Router,
    cashier: Cashier,
    now: DateTime<Utc>,
    _folders: [TempDir; 2],
}

/// A payment that has begun: our name and the provider's.
struct Begun {
    invoice: String,
    payment: Uuid,
    provider_id: String,
    path: String,
}

impl Desk {
    pub async fn over(providers: impl IntoIterator<Item = Box<dyn PaymentProvider>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("rows.sqlite").display());
        let db = Db::open(&url).await.unwrap();
        db.migrate().await.unwrap();
        let now = SystemClock.now();
        let (app, files) = app(&db, HttpLimits::default(), now);
        let common = providers.into_iter().map(Account::from).collect::<Vec<_>>();
        let keyring = app.authenticator.keyring().clone();
        let accounts = Accounts::new(db.clone(), keyring, common, Arc::new(|_, _| None));
        let cashier = Cashier::new(db, Arc::new(SystemClock), accounts, "https://clinic.example");
        let state = BillingState::new(app.clone(), cashier.clone());
        let router = layers(billing::routes(state), app);
        Self { router, cashier, now, _folders: [folder, files] }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = get(&self.router, path).await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        answer.json()
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        post_json(&self.router, path, &body).await
    }

    /// An issued invoice.
    async fn bill(&self, sum: Money) -> String {
        let lines = json!([{"description": "Visit", "unitAmount": sum.minor}]);
        let body = json!({"description": "Visit", "issue": true, "currency": sum.currency, "lines": lines});
        let made = self.post("/api/v1/billing/invoices", body).await;
        assert_eq!(made.status, 201, "{:?}", made.body);
        made.json()["id"].as_str().unwrap().to_owned()
    }

    async fn begin(&self, sum: Money, provider: Option<&str>) -> (Begun, Value) {
        let invoice = self.bill(sum).await;
        let ask = json!({"invoiceId": invoice, "provider": provider});
        let made = self.post("/api/v1/billing/payments", ask.clone()).await;
        assert_eq!(made.status, 201, "{:?}", made.body);
        let made = made.json();
        let again = self.post("/api/v1/billing/payments", ask).await;
        assert_eq!(again.status, 201, "{:?}", again.body);
        for told in ["id", "provider", "providerId", "redirectUrl", "clientSecret"] {
            assert_eq!(again.json()[told], made[told], "{told}: asked twice, begun once");
        }
        let id = made["id"].as_str().unwrap();
        let begun = Begun {
            invoice,
            payment: id.parse().unwrap(),
            provider_id: made["providerId"].as_str().unwrap().to_owned(),
            path: format!("/api/v1/billing/payments/{id}"),
        };
        (begun, made)
    }

    async fn confirm(&self, begun: &Begun) -> Answer {
        let claim = json!({"paymentIntentId": begun.provider_id, "status": "succeeded", "amount": 1});
        self.post("/api/payments/confirm", claim).await
    }

    async fn told(&self, provider: &dyn PaymentProvider, (headers, body): Sent) -> u16 {
        let mut request = Request::post(format!("/api/payments/webhooks/{}", provider.name()));
        request.headers_mut().unwrap().extend(headers);
        send(&self.router, request.body(Body::from(body)).unwrap()).await.status.as_u16()
    }

    async fn status(&self, begun: &Begun) -> String {
        let invoice = self.get(&format!("/api/v1/billing/invoices/{}", begun.invoice)).await;
        invoice["status"].as_str().unwrap().to_owned()
    }

    /// The balance of an account; those of all sum to zero.
    async fn balance(&self, account: &str) -> i64 {
        let all = self.get("/api/v1/billing/balances").await;
        let all = all.as_array().unwrap();
        let minor = |it: &Value| it["amount"].as_i64().unwrap();
        assert_eq!(all.iter().map(minor).sum::<i64>(), 0, "{all:?}");
        all.iter().find(|it| it["account"] == account).map_or(0, minor)
    }

    /// Whether books and providers agree.
    async fn agrees(&self) {
        let found = self.cashier.reconcile(ClinicId::DEFAULT, self.now - TimeDelta::days(1)).await.unwrap();
        assert!(found.differences.is_empty() && found.not_asked.is_empty(), "{found:?}");
        assert_eq!(found.asked, found.payments);
    }
}

/// What the payer's side says is not believed; once the payer has agreed, the payment is confirmed and given back.
pub async fn confirmed_and_given_back(stub: &dyn Stub) {
    let (provider, desk) = (stub.provider(), Desk::over([stub.provider()]).await);
    let name = provider.name().as_str();
    let (begun, shown) = desk.begin(stub.sum(10_000), Some(name)).await;
    assert!(shown["redirectUrl"].is_string() || shown["clientSecret"].is_string(), "{shown}");
    assert_eq!(desk.confirm(&begun).await.problem(), (409, "not-paid".into()));
    assert_eq!((stub.taken(begun.payment), desk.status(&begun).await.as_str()), ((0, 0), "open"));

    stub.payer_agrees(&begun.provider_id);
    let confirmed = desk.confirm(&begun).await;
    assert_eq!((confirmed.status.as_u16(), &confirmed.json()["amount"]), (200, &json!(10_000)));
    assert_eq!(desk.confirm(&begun).await.problem(), (409, "already-confirmed".into()));
    assert_eq!((stub.taken(begun.payment), desk.status(&begun).await.as_str()), ((10_000, 1), "paid"));
    assert_eq!(desk.balance(&format!("clearing:{name}")).await, 10_000);

    let back = format!("{}/refunds", begun.path);
    for (amount, code) in [(0, "invalid-amount"), (-5, "invalid-amount"), (10_001, "refund-above-paid")] {
        assert_eq!(desk.post(&back, json!({"amount": amount})).await.problem(), (422, code.into()));
    }
    assert_eq!(desk.post(&back, json!({"amount": 4_000})).await.status, 201);
    assert_eq!(desk.status(&begun).await, "partly_refunded");
    assert_eq!(desk.post(&back, json!({"amount": 6_001})).await.problem().1, "refund-above-paid");
    assert_eq!(desk.post(&back, json!({})).await.status, 201);
    assert_eq!(desk.post(&back, json!({})).await.problem().1, "refund-above-paid");
    assert_eq!(
        (stub.given_back(begun.payment), desk.status(&begun).await.as_str()),
        ((10_000, 2), "refunded")
    );
    assert_eq!(desk.balance(&format!("clearing:{name}")).await, 0);
    desk.agrees().await;
}

/// The payer agrees and never comes back; what the provider tells is enough, in whichever order and however often.
pub async fn told_alone(stub: &dyn Stub) {
    let (provider, desk) = (stub.provider(), Desk::over([stub.provider()]).await);
    let name = provider.name().as_str();
    let (begun, _) = desk.begin(stub.sum(10_000), Some(name)).await;
    stub.payer_agrees(&begun.provider_id);
    let (headers, body) = stub.payment_webhook(&begun.provider_id, 2, desk.now);
    let mut changed = body.clone();
    let place = changed.iter().rposition(u8::is_ascii_digit).unwrap();
    changed[place] = if changed[place] == b'0' { b'1' } else { b'0' };
    assert_eq!(desk.told(&*provider, (headers.clone(), changed)).await, 400, "it is not what was signed");
    assert_eq!(desk.told(&*provider, (http::HeaderMap::new(), body.clone())).await, 400);
    assert_eq!(desk.status(&begun).await, "open");

    let at_once = join_all((0..50).map(|_| desk.told(&*provider, (headers.clone(), body.clone())))).await;
    assert!(at_once.iter().all(|status| *status == 200), "{at_once:?}");
    assert_eq!((stub.taken(begun.payment), desk.status(&begun).await.as_str()), ((10_000, 1), "paid"));
    let earlier = stub.payment_webhook(&begun.provider_id, 1, desk.now - TimeDelta::minutes(1));
    assert_eq!(desk.told(&*provider, earlier).await, 200);
    assert_eq!(desk.balance(&format!("clearing:{name}")).await, 10_000);
    desk.agrees().await;

    let Some(dispute) = stub.dispute(&begun.provider_id) else { return };
    for (second, end, [disputed, lost]) in
        [(1, None, [10_000, 0]), (2, Some(Ending::Won), [0, 0]), (3, None, [0, 0])]
    {
        if let Some(end) = end {
            stub.dispute_ends(&dispute, end);
        }
        let word = stub.dispute_webhook(&dispute, desk.now + TimeDelta::seconds(second));
        assert_eq!(desk.told(&*provider, word).await, 200);
        assert_eq!([desk.balance("disputed").await, desk.balance("dispute_loss").await], [disputed, lost]);
    }
    let dispute = stub.dispute(&begun.provider_id).unwrap();
    stub.dispute_ends(&dispute, Ending::Lost);
    assert_eq!(desk.told(&*provider, stub.dispute_webhook(&dispute, desk.now)).await, 200);
    assert_eq!(desk.balance("dispute_loss").await, 10_000, "its end was told and never its beginning");
}

/// A declined payment takes nothing and leaves the invoice to be paid.
pub async fn declined_and_refused(stub: &dyn Stub) {
    let (provider, desk) = (stub.provider(), Desk::over([stub.provider()]).await);
    let (begun, _) = desk.begin(stub.sum(10_000), Some(provider.name().as_str())).await;
    stub.payer_is_declined(&begun.provider_id);
    let refused = desk.confirm(&begun).await.problem();
    assert!(
        refused == (402, "payment-declined".into()) || refused == (409, "not-paid".into()),
        "{refused:?}"
    );
    assert_eq!((stub.taken(begun.payment), desk.status(&begun).await.as_str()), ((0, 0), "open"));
    assert_eq!(desk.balance("receivable").await, 10_000);
    let back = desk.post(&format!("{}/refunds", begun.path), json!({})).await;
    assert_eq!(back.problem(), (409, "nothing-paid".into()));
}

/// The clinic's next provider is asked where the first was not reached: nobody can have paid before the payer is led there.
pub async fn passed_over(first: &dyn Stub, next: &dyn Stub) {
    for trouble in [Trouble::FailingBefore, Trouble::FailingAfter, Trouble::SilentAfter, Trouble::Busy] {
        let desk = Desk::over([first.provider(), next.provider()]).await;
        first.trouble(trouble);
        let (begun, shown) = desk.begin(first.sum(10_000), None).await;
        assert_eq!(shown["provider"], next.provider().name().as_str(), "{trouble:?}");
        next.payer_agrees(&begun.provider_id);
        assert_eq!(desk.confirm(&begun).await.status, 200, "{trouble:?}");
        assert_eq!((next.taken(begun.payment), desk.status(&begun).await.as_str()), ((10_000, 1), "paid"));
        let all = desk.get(&format!("/api/v1/billing/payments?invoiceId={}", begun.invoice)).await;
        let states: Vec<_> = all.as_array().unwrap().iter().map(|it| it["status"].clone()).collect();
        assert_eq!(states, [json!("succeeded"), json!("failed")], "{trouble:?}");
    }
}
