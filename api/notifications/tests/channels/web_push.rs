//! Web Push against a foreign push service and browser: npm's web-push-testing, which checks VAPID and decrypts.

use notifications::channel::{Address, ChannelSettings, SendError, Subscription, Undelivered};
use serde_json::{Value, json};
use storage::records::webhook::target::Targets;
use storage::testing::{count, told_by_test};

use crate::peer::{Peer, free_port};
use crate::support::{House, database, outgoing};

struct PushService {
    _peer: Peer,
    base: String,
    http: reqwest::Client,
}

impl PushService {
    async fn start() -> Self {
        let port = free_port();
        let server =
            format!("{}/web-push-testing/src/bin/server.js", told_by_test("MEDILINK_TEST_NODE_MODULES"));
        let mut peer = Peer::start(&told_by_test("MEDILINK_TEST_NODE"), &[&server, &port.to_string()]);
        assert!(peer.line().contains("running"));
        Self { _peer: peer, base: format!("http://localhost:{port}"), http: reqwest::Client::new() }
    }

    async fn ask(&self, path: &str, body: &Value) -> Value {
        let request =
            self.http.post(format!("{}{path}", self.base)).header("content-type", "application/json");
        let text = request.body(body.to_string()).send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    }

    /// A browser that subscribes with our key; also what the service calls it.
    async fn subscribe(&self, key: &str) -> (Subscription, String) {
        let asked = json!({"userVisibleOnly": "true", "applicationServerKey": key});
        let told = self.ask("/subscribe", &asked).await["data"].clone();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let (endpoint, keys) = (text(&told["endpoint"]), &told["keys"]);
        let (p256dh, auth) = (text(&keys["p256dh"]), text(&keys["auth"]));
        (
            Subscription::check(&endpoint, &p256dh, &auth, Targets::PrivateToo).unwrap(),
            text(&told["clientHash"]),
        )
    }
}

#[tokio::test]
async fn a_browser_reads_what_was_pushed_and_an_expired_subscription_is_told() {
    let (db, _folder) = database().await;
    let house = House::over(&db).await;
    let service = PushService::start().await;
    house.switchboard.make_push_key().await.unwrap();
    let key = house.switchboard.vapid_public_key().await.unwrap();
    let (browser, hash) = service.subscribe(&key).await;
    let message = outgoing(Address::Browser(browser.clone()));
    house.switchboard.send(house.other, &message).await.unwrap();
    let read = service.ask("/get-notifications", &json!({"clientHash": hash})).await;
    let payload: Value = serde_json::from_str(read["data"]["messages"][0].as_str().unwrap()).unwrap();
    assert_eq!((&payload["title"], &payload["body"]), (&json!(message.subject), &json!(message.text)));
    assert_eq!(payload["data"]["kind"], "finding");

    service.ask(&format!("/expire-subscription/{hash}"), &json!({})).await;
    let gone = house.switchboard.send(house.other, &message).await.unwrap_err();
    assert!(matches!(gone, Undelivered::Refused(SendError::BadAddress(_))), "{gone:?}");
}

#[tokio::test]
async fn the_key_of_browsers_is_made_once_and_kept() {
    let (db, _folder) = database().await;
    let (one, other) = (House::over(&db).await, House::over(&db).await);
    let path = format!("/api/v1/clinics/{}/communication/health", one.other);
    assert_eq!(one.get(&path).await.json()[1]["providers"], json!([]), "nobody can have subscribed");
    assert!(one.switchboard.vapid_public_key().await.is_err(), "who asks for it does not make it");
    assert_eq!(count(&db, "credentials").await, 0);
    let (made, again) = tokio::join!(one.switchboard.make_push_key(), other.switchboard.make_push_key());
    made.and(again).unwrap();
    assert_eq!(count(&db, "credentials").await, 1);
    let key = one.switchboard.vapid_public_key().await.unwrap();
    assert_eq!(other.switchboard.vapid_public_key().await.unwrap(), key);
    let private = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw".to_owned();
    let settings = ChannelSettings { vapid_private_key: private, ..ChannelSettings::default() };
    let set =
        House::with(&db, settings, Targets::PublicOnly).await.switchboard.vapid_public_key().await.unwrap();
    assert!(set.starts_with("BP4z9KsN6nGRTbVYI_c7") && set != key, "the operator's own");
}

#[tokio::test]
async fn an_endpoint_that_means_this_machine_is_never_called() {
    let (db, _folder) = database().await;
    let house = House::with(&db, ChannelSettings::default(), Targets::PublicOnly).await;
    let service = PushService::start().await;
    house.switchboard.make_push_key().await.unwrap();
    let key = house.switchboard.vapid_public_key().await.unwrap();
    // It was taken while inside addresses were allowed, and is called when they are no more.
    let (browser, hash) = service.subscribe(&key).await;
    let refused =
        house.switchboard.send(house.other, &outgoing(Address::Browser(browser))).await.unwrap_err();
    assert!(matches!(refused, Undelivered::Refused(SendError::Unreachable(_))), "{refused:?}");
    let read = service.ask("/get-notifications", &json!({"clientHash": hash})).await;
    assert_eq!(read["data"]["messages"], json!([]));
}
