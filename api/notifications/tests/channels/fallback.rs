//! Primary and fallback: the next provider is asked where the first fails, and only there.

use notifications::channel::{Provider, SendError, Undelivered};
use serde_json::json;
use storage::records::webhook::target::Targets;

use crate::stubs::{Stubs, zeptomail_credentials};
use crate::support::{House, database, mailbox, outgoing};

#[tokio::test]
async fn the_fallback_takes_what_the_first_cannot() {
    let stubs = Stubs::start().await;
    let (db, _folder) = database().await;
    let house = House::with(&db, stubs.settings(), Targets::PrivateToo).await;
    // Nobody listens at port 1.
    let smtp = json!({"host": "127.0.0.1", "port": "1", "security": "none", "fromEmail": "a@clinic.com"});
    house
        .serve_by("email", &[("smtp", smtp.clone()), ("zeptomail", zeptomail_credentials("good-token"))])
        .await;
    let sent = house.switchboard.send(house.other, &outgoing(mailbox("ana@example.org"))).await.unwrap();
    assert_eq!(sent.provider, Provider::Zeptomail);
    for _ in 0..3 {
        house.switchboard.send(house.other, &outgoing(mailbox("ana@example.org"))).await.unwrap();
    }
    let path = format!("/api/v1/clinics/{}/communication/health", house.other);
    let shown = house.get(&path).await.json()[0]["providers"].clone();
    assert_eq!((&shown[0]["provider"], &shown[0]["isLeftInPeace"]), (&json!("smtp"), &json!(true)));
    assert_eq!((&shown[1]["provider"], &shown[1]["isLeftInPeace"]), (&json!("zeptomail"), &json!(false)));
    assert_eq!(stubs.messages().len(), 4);
}

#[tokio::test]
async fn a_bad_address_ends_the_round_and_a_clinic_without_providers_is_told() {
    let stubs = Stubs::start().await;
    let (db, _folder) = database().await;
    let house = House::with(&db, stubs.settings(), Targets::PrivateToo).await;
    let mail = outgoing(mailbox("nobody@example.org"));
    let none = house.switchboard.send(house.other, &mail).await.unwrap_err();
    assert!(matches!(none, Undelivered::NoProvider) && !none.is_worth_another_try());
    let fallback = json!({"host": "127.0.0.1", "port": "1", "security": "none", "fromEmail": "a@clinic.com"});
    house.serve_by("email", &[("zeptomail", zeptomail_credentials("good-token")), ("smtp", fallback)]).await;
    // What a clinic has set holds within a few seconds.
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    let refused = house.switchboard.send(house.other, &mail).await.unwrap_err();
    assert!(matches!(refused, Undelivered::Refused(SendError::BadAddress(_))), "{refused:?}");
}

#[tokio::test]
async fn credentials_that_do_not_do_are_named_and_passed_by() {
    let stubs = Stubs::start().await;
    let (db, _folder) = database().await;
    let house = House::with(&db, stubs.settings(), Targets::PublicOnly).await;
    let providers =
        [("aws_ses", json!({"region": "eu-central-1"})), ("zeptomail", zeptomail_credentials("good-token"))];
    house.serve_by("email", &providers).await;
    let sent = house.switchboard.send(house.other, &outgoing(mailbox("ana@example.org"))).await.unwrap();
    assert_eq!(sent.provider, Provider::Zeptomail);
    let path = format!("/api/v1/clinics/{}/communication/health", house.other);
    let shown = house.get(&path).await.json()[0]["providers"][0].clone();
    assert_eq!(
        (&shown["health"], &shown["fault"]),
        (&json!("refusing"), &json!("the credentials lack accessKeyId"))
    );
}

#[tokio::test]
async fn what_the_operator_has_set_serves_clinics_without_their_own() {
    let stubs = Stubs::start().await;
    let (db, _folder) = database().await;
    let mut settings = stubs.settings();
    settings.zeptomail_token = "good-token".into();
    settings.from_email = "noreply@operator.example".into();
    let house = House::with(&db, settings, Targets::PublicOnly).await;
    house.switchboard.send(house.other, &outgoing(mailbox("ana@example.org"))).await.unwrap();
    assert_eq!(stubs.messages()[0]["from"]["address"], "noreply@operator.example");
}
