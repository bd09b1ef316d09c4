//! The providers that carry a clinic's messages.

use clinical::id::ClinicId;
use notifications::channel::ChannelSettings;
use serde_json::{Value, json};
use storage::db::sql;
use storage::records::credential::Credential;
use storage::records::webhook::target::Targets;
use storage::testing::on_both;

use crate::support::House;

/// The clinic application's own example.
fn zeptomail() -> Value {
    json!({"email": {
        "primary": {"provider": "zeptomail", "credentials": {
            "sendMailToken": "s3cret-token", "fromEmail": "noreply@clinic.com", "fromName": "Clinic Name"
        }},
        "fallback": [{"provider": "aws_ses", "credentials": {"secretAccessKey": "s3cret-key"}}]
    }})
}

#[tokio::test]
async fn secrets_are_sealed_and_never_come_back() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let path = format!("/api/v1/clinics/{}/communication/config", house.other);
        let written = house.put(&path, &zeptomail()).await;
        assert_eq!(written.status.as_u16(), 200);
        let shown = house.get(&path).await;
        assert_eq!(shown.body, written.body);
        assert!(!String::from_utf8_lossy(&shown.body).contains("s3cret"));
        let email = &shown.json()["email"];
        let primary = json!({
            "provider": "zeptomail", "fromEmail": "noreply@clinic.com", "fromName": "Clinic Name",
            "credentials": {"set": true}
        });
        assert_eq!((&email["from"], &email["primary"]), (&json!("clinic"), &primary));
        assert_eq!(email["fallback"][0]["provider"], "aws_ses");
        assert_eq!(shown.json()["sms"], Value::Null);

        let mut rows = db.read().await.unwrap();
        let stored: Vec<String> = sql("SELECT sealed FROM credentials").fetch_all(&mut rows).await.unwrap();
        assert!(
            stored.len() == 2
                && stored.iter().all(|text| text.starts_with("test.") && !text.contains("s3cret"))
        );
        let kept = Credential::serving(&mut rows, house.other, "email").await.unwrap();
        let opened = kept[0].open(house.app.authenticator.keyring()).unwrap().unwrap();
        assert_eq!(&*opened, br#"{"sendMailToken":"s3cret-token"}"#);
    })
    .await;
}

#[tokio::test]
async fn who_is_set_or_taken_away_is_shown_so_at_once() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let path = |of: &str| format!("/api/v1/clinics/{}/communication/{of}", house.other);
        let carriers = async || {
            let health = house.get(&path("health")).await.json();
            health[0]["providers"].as_array().unwrap().len()
        };
        assert_eq!(carriers().await, 0);
        house.put(&path("config"), &zeptomail()).await;
        assert_eq!(carriers().await, 2);
        house.put(&path("config"), &json!({})).await;
        assert_eq!(carriers().await, 0);
    })
    .await;
}

#[tokio::test]
async fn what_was_shown_can_be_sent_back_and_keeps_the_secret() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let path = format!("/api/v1/clinics/{}/communication/config", house.other);
        house.put(&path, &zeptomail()).await;
        let mut shown = house.get(&path).await.json();
        shown["email"].as_object_mut().unwrap().remove("from");
        shown["email"]["primary"]["fromName"] = json!("New Name");
        let written = house.put(&path, &shown).await;
        assert_eq!(written.status.as_u16(), 200, "{:?}", written.body);
        assert_eq!(written.json()["email"]["primary"]["fromName"], "New Name");
        let mut rows = db.read().await.unwrap();
        let kept = Credential::serving(&mut rows, house.other, "email").await.unwrap();
        let opened = kept[0].open(house.app.authenticator.keyring()).unwrap().unwrap();
        assert_eq!(&*opened, br#"{"sendMailToken":"s3cret-token"}"#);
    })
    .await;
}

#[tokio::test]
async fn a_channel_that_a_clinic_has_not_set_is_served_by_the_global_one() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let path = format!("/api/v1/clinics/{}/communication/config", house.other);
        let global = "/api/v1/communication/config";
        assert_eq!(house.get(&path).await.json()["email"], Value::Null);
        let smtp = json!({"email": {"primary": {"provider": "smtp", "credentials": {}}}});
        assert_eq!(house.put(global, &smtp).await.json()["email"]["from"], "global");
        let served = house.get(&path).await.json();
        assert_eq!(
            (&served["email"]["from"], &served["email"]["primary"]["provider"]),
            (&json!("global"), &json!("smtp"))
        );
        assert_eq!(served["email"]["primary"]["credentials"], json!({"set": false}));
        assert_eq!(house.put(&path, &zeptomail()).await.json()["email"]["from"], "clinic");
        let theirs = format!("/api/v1/clinics/{}/communication/config", ClinicId::DEFAULT);
        assert_eq!(house.get(&theirs).await.json()["email"]["primary"]["provider"], "smtp");
        assert_eq!(house.put(&path, &json!({})).await.json()["email"]["from"], "global");
    })
    .await;
}

#[tokio::test]
async fn a_refusal_repeats_no_secret() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let path = format!("/api/v1/clinics/{}/communication/config", house.other);
        let with = |provider: Value| json!({"email": {"primary": provider}});
        let one = json!({"provider": "smtp", "credentials": {"password": "s3cret"}});
        for (body, refusal) in [
            (
                with(json!({"provider": "pigeon", "credentials": {"seed": "s3cret"}})),
                (422, "unknown-provider"),
            ),
            (
                with(json!({"provider": "smtp", "credentials": {"password": ["s3cret"]}})),
                (422, "invalid-json"),
            ),
            (
                with(json!({"provider": "smtp", "credentials": {"fromName": "s3cret\u{0}x"}})),
                (422, "invalid-text"),
            ),
            (with(json!({"provider": "smtp", "password": "s3cret"})), (422, "invalid-json")),
            (
                json!({"email": {"primary": one, "fallback": [one, one, one, one, one]}}),
                (422, "too-many-providers"),
            ),
        ] {
            let refused = house.put(&path, &body).await;
            assert_eq!(refused.problem(), (refusal.0, refusal.1.to_owned()), "{body}");
            assert!(!String::from_utf8_lossy(&refused.body).contains("s3cret"), "{body}");
        }
        assert_eq!(house.get(&path).await.json()["email"], Value::Null);
    })
    .await;
}

#[tokio::test]
async fn a_clinic_names_no_mail_server_inside_unless_that_is_allowed() {
    on_both(async |db| {
        let strict = House::with(&db, ChannelSettings::default(), Targets::PublicOnly).await;
        let lenient = House::with(&db, ChannelSettings::default(), Targets::PrivateToo).await;
        let path = |of: &House| format!("/api/v1/clinics/{}/communication/config", of.other);
        let with = |host: &str| {
            let smtp =
                json!({"provider": "smtp", "credentials": {"host": host, "fromEmail": "a@clinic.com"}});
            json!({"email": {"primary": zeptomail()["email"]["primary"], "fallback": [smtp]}})
        };
        for inside in ["127.0.0.1", "::1", "localhost", "10.0.0.5", "169.254.169.254", "2130706433"] {
            let refused = strict.put(&path(&strict), &with(inside)).await;
            assert_eq!(refused.problem(), (422, "invalid-host".to_owned()), "{inside}");
            assert_eq!(lenient.put(&path(&lenient), &with(inside)).await.status.as_u16(), 200, "{inside}");
        }
        assert_eq!(strict.get(&path(&strict)).await.json()["email"], Value::Null, "nothing has changed");
        assert_eq!(strict.put(&path(&strict), &with("mail.clinic.com")).await.status.as_u16(), 200);
        let global = strict.put("/api/v1/communication/config", &with("127.0.0.1")).await;
        assert_eq!(global.status.as_u16(), 200, "the operator's own");
    })
    .await;
}
