//! What providers report: believed when it is signed, for the clinic whose secret signs it.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clinical::id::ClinicId;
use data_encoding::HEXLOWER;
use notifications::channel::Fate;
use serde_json::json;

use crate::stubs::zeptomail_credentials;
use crate::support::{House, database};

fn bounce() -> String {
    json!({"event_name": ["hardbounce"], "event_message": [{
        "request_id": "2d6f.77",
        "email_info": {"to": [{"email_address": {"address": "ana@example.org"}}]},
        "event_data": [{"object": "hardbounce", "details": [{"reason": "unknown"}]}]
    }]})
    .to_string()
}

fn zeptomail_signature(key: &str, body: &str) -> String {
    let tag = STANDARD.encode(sign(&Key::new(HMAC_SHA256, key.as_bytes()), body.as_bytes()));
    format!(
        "ts=1790000000000;s={};s-algorithm=HmacSHA256",
        tag.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
    )
}

#[tokio::test]
async fn a_bounce_reaches_whoever_knows_the_deliveries_of_that_clinic_alone() {
    let (db, _folder) = database().await;
    let house = House::over(&db).await;
    house.serve_by("email", &[("zeptomail", zeptomail_credentials("t"))]).await;
    let own = format!("/api/v1/communication/webhooks/zeptomail/{}", house.other);
    let signature = zeptomail_signature("zepto-key", &bounce());
    let headers = [("producer-signature", signature.as_str()), ("content-type", "application/json")];
    assert_eq!(house.call(&own, &headers, &bounce()).await.status.as_u16(), 204);
    let heard = house.heard.all();
    assert_eq!((heard.len(), heard[0].fate, heard[0].clinic_id), (1, Fate::Bounced, Some(house.other)));
    assert_eq!(heard[0].provider_message_id.as_deref(), Some("2d6f.77"));
    assert!(!format!("{heard:?}").contains("ana@"), "an address is somebody's");

    let theirs = format!("/api/v1/communication/webhooks/zeptomail/{}", ClinicId::DEFAULT);
    for (path, headers) in [
        (theirs.as_str(), headers.as_slice()),
        ("/api/v1/communication/webhooks/zeptomail", headers.as_slice()),
        (own.as_str(), &headers[1..]),
    ] {
        let refused = house.call(path, headers, &bounce()).await;
        assert_eq!(refused.problem(), (401, "invalid-signature".to_owned()), "{path}");
    }
    let changed = bounce().replace("ana@", "bob@");
    assert_eq!(house.call(&own, &headers, &changed).await.status.as_u16(), 401);
    assert_eq!(house.heard.all().len(), 1);
}

#[tokio::test]
async fn whatsapp_sets_its_webhook_up_and_reports_by_it() {
    let (db, _folder) = database().await;
    let house = House::over(&db).await;
    let credentials = json!({
        "accessToken": "t", "phoneNumberId": "1", "appSecret": "app-s3cret", "verifyToken": "agreed"
    });
    house.serve_by("whatsapp", &[("meta_business", credentials)]).await;
    let own = format!("/api/v1/communication/webhooks/meta_business/{}", house.other);
    let asked =
        |token: &str| format!("{own}?hub.mode=subscribe&hub.verify_token={token}&hub.challenge=1158201444");
    let answer = house.get(&asked("agreed")).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_ref()), (200, b"1158201444".as_slice()));
    assert_eq!(house.get(&asked("guess")).await.status.as_u16(), 401);
    let body = json!({"entry": [{"changes": [{"value": {"statuses": [
        {"id": "wamid.1", "status": "delivered", "timestamp": "1789999999", "recipient_id": "4915112345678"}
    ]}}]}]})
    .to_string();
    let tag = HEXLOWER.encode(sign(&Key::new(HMAC_SHA256, b"app-s3cret"), body.as_bytes()).as_ref());
    let signature = format!("sha256={tag}");
    let taken = house.call(&own, &[("x-hub-signature-256", signature.as_str())], &body).await;
    assert_eq!((taken.status.as_u16(), house.heard.all()[0].fate), (204, Fate::Delivered));
    let late = house.call(&own, &[("x-hub-signature-256", "sha256=00")], &body).await;
    assert_eq!(late.status.as_u16(), 401);
}

#[tokio::test]
async fn a_topic_that_nobody_has_named_is_not_heard_and_nobody_else_reports() {
    let (db, _folder) = database().await;
    let house = House::over(&db).await;
    // Its certificate would be fetched from its address only if the topic were ours.
    let body = json!({
        "Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:us-east-1:1:theirs", "Message": "{}",
        "Timestamp": "2026-09-21T00:00:00.000Z", "SignatureVersion": "2", "Signature": "AAAA",
        "SigningCertURL": "https://sns.us-east-1.amazonaws.com/x.pem"
    });
    let refused = house.call("/api/v1/communication/webhooks/aws_ses", &[], &body.to_string()).await;
    assert_eq!(refused.problem(), (401, "invalid-signature".to_owned()));
    for provider in ["smtp", "pigeon", "firebase_fcm"] {
        let path = format!("/api/v1/communication/webhooks/{provider}");
        assert_eq!(house.call(&path, &[], "{}").await.problem(), (404, "not-found".to_owned()), "{provider}");
    }
    let long = "x".repeat(300 << 10);
    let path = "/api/v1/communication/webhooks/zeptomail";
    assert_eq!(house.call(path, &[], &long).await.problem(), (413, "too-large".to_owned()));
}
