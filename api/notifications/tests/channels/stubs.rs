//! Stand-ins for the providers that nobody gives away: each refuses what the real one documents that it refuses
//! (authentication, missing fields, unknown addresses) and keeps what it has taken.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use clinical::clock::{Clock, SystemClock};
use http::{HeaderMap, StatusCode, header};
use notifications::channel::{Address, ChannelSettings, Provider, ProviderTemplate, SendError, Undelivered};
use rcgen::{KeyPair, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize};
use serde_json::{Value, json};
use storage::records::webhook::target::Targets;

use crate::support::{House, database, mailbox, outgoing, with_paper};

/// What the stand-ins have taken, and the public key of the service account.
#[derive(Default)]
pub(crate) struct Taken {
    messages: Mutex<Vec<Value>>,
    tokens: Mutex<u32>,
    google_key: Mutex<Vec<u8>>,
}

/// The stand-ins, at one address.
pub(crate) struct Stubs {
    pub(crate) base: String,
    pub(crate) taken: Arc<Taken>,
}

type Kept = State<Arc<Taken>>;

impl Stubs {
    pub(crate) async fn start() -> Self {
        let taken = Arc::new(Taken::default());
        let router = Router::new()
            .route("/v1.1/email", post(zeptomail))
            .route("/token", post(google_token))
            .route("/v1/projects/{project}/{call}", post(fcm))
            .route("/v23.0/{number}/messages", post(whatsapp))
            .route("/v23.0/{number}", get(whatsapp_number))
            .route("/2010-04-01/Accounts/{account}/Messages.json", post(twilio))
            .with_state(Arc::clone(&taken));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { base, taken }
    }

    pub(crate) fn settings(&self) -> ChannelSettings {
        ChannelSettings {
            zeptomail_base_url: self.base.clone(),
            fcm_base_url: self.base.clone(),
            fcm_token_url: format!("{}/token", self.base),
            whatsapp_base_url: self.base.clone(),
            twilio_base_url: self.base.clone(),
            ..ChannelSettings::default()
        }
    }

    pub(crate) fn messages(&self) -> Vec<Value> {
        self.taken.messages.lock().unwrap().clone()
    }
}

fn bearer(headers: &HeaderMap) -> &str {
    headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn fields(body: &[u8]) -> HashMap<String, String> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

/// ZeptoMail's help, «API reference» and «API error codes».
async fn zeptomail(State(taken): Kept, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let error = |status: u16, code: &str, sub: &str, target: &str| {
        let detail = json!({"code": sub, "message": "…", "target": target});
        let body = json!({"error": {"code": code, "details": [detail], "message": "…"}, "request_id": "e1"});
        (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
    };
    if bearer(&headers) != "Zoho-enczapikey good-token" {
        return error(500, "TM_4001", "SERR_157", "");
    }
    for field in ["from", "to", "subject"] {
        if body[field].is_null() {
            return error(400, "TM_3201", "GE_102", field);
        }
    }
    let to = body["to"][0]["email_address"]["address"].as_str().unwrap_or_default();
    if to.starts_with("nobody@") {
        return error(400, "TM_4001", "SM_113", "to");
    }
    if body["textbody"].is_null() && body["htmlbody"].is_null() {
        return error(400, "TM_3201", "GE_102", "htmlbody");
    }
    for file in body["attachments"].as_array().into_iter().flatten() {
        let is_base64 = file["content"].as_str().is_some_and(|text| STANDARD.decode(text).is_ok());
        let is_named = file["name"].is_string() && file["mime_type"].is_string();
        // A file is there by its content or by the key of one that was uploaded before.
        if file["file_cache_key"].is_null() && !(is_base64 && is_named) {
            return error(400, "TM_3301", "SM_101", "attachments");
        }
    }
    taken.messages.lock().unwrap().push(body);
    let data = json!([{"code": "EM_104", "additional_info": [], "message": "Email request received"}]);
    (
        StatusCode::CREATED,
        Json(json!({"data": data, "message": "OK", "request_id": "2d6f.77", "object": "email"})),
    )
        .into_response()
}

/// RFC 7523, section 3, as Google checks it: signature, issuer, audience, scope, and an hour at most.
async fn google_token(State(taken): Kept, headers: HeaderMap, body: Bytes) -> Response {
    let form = fields(&body);
    let refuse = || (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant"}))).into_response();
    if form.get("grant_type").map(String::as_str) != Some("urn:ietf:params:oauth:grant-type:jwt-bearer") {
        return refuse();
    }
    let assertion = form.get("assertion").cloned().unwrap_or_default();
    let Some((signed, signature)) = assertion.rsplit_once('.') else { return refuse() };
    let key = taken.google_key.lock().unwrap().clone();
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key);
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
    if key.verify(signed.as_bytes(), &signature).is_err() {
        return refuse();
    }
    let part = |text: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let (header, claims) = (part(header), part(claims));
    let host = headers[header::HOST].to_str().unwrap();
    let now = SystemClock.now().timestamp();
    let times = (claims["iat"].as_i64().unwrap_or(0), claims["exp"].as_i64().unwrap_or(0));
    let is_good = header["alg"] == "RS256"
        && header["kid"] == "key-1"
        && claims["iss"] == "sender@clinic-1.iam.gserviceaccount.com"
        && claims["scope"] == "https://www.googleapis.com/auth/firebase.messaging"
        && claims["aud"] == format!("http://{host}/token")
        && (now - times.0).abs() < 60
        && times.1 - times.0 <= 3_600;
    if !is_good {
        return refuse();
    }
    *taken.tokens.lock().unwrap() += 1;
    Json(json!({"access_token": "ya29.good", "expires_in": 3_599, "token_type": "Bearer"})).into_response()
}

/// FCM's REST reference, `projects.messages.send`.
async fn fcm(
    State(taken): Kept,
    Path((project, call)): Path<(String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let error = |status: u16, word: &str, details: Value| {
        let error = json!({"code": status, "message": "…", "status": word, "details": details});
        (StatusCode::from_u16(status).unwrap(), Json(json!({"error": error}))).into_response()
    };
    if bearer(&headers) != "Bearer ya29.good" {
        return error(401, "UNAUTHENTICATED", json!([]));
    }
    if (project.as_str(), call.as_str()) != ("clinic-1", "messages:send") {
        return error(404, "NOT_FOUND", json!([]));
    }
    let kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
    match body["message"]["token"].as_str() {
        Some("gone") => error(404, "NOT_FOUND", json!([{"@type": kind, "errorCode": "UNREGISTERED"}])),
        Some(_)
            if body["message"]["data"]
                .as_object()
                .is_none_or(|data| !data.values().all(Value::is_string)) =>
        {
            error(400, "INVALID_ARGUMENT", json!([]))
        }
        Some(_) => {
            taken.messages.lock().unwrap().push(body);
            Json(json!({"name": "projects/clinic-1/messages/0:1500415314455276%31bd1c9631bd1c96"}))
                .into_response()
        }
        None => error(400, "INVALID_ARGUMENT", json!([{"@type": kind, "errorCode": "INVALID_ARGUMENT"}])),
    }
}

fn meta_error(status: u16, code: i64) -> Response {
    let error = json!({"message": "…", "type": "OAuthException", "code": code, "fbtrace_id": "A"});
    (StatusCode::from_u16(status).unwrap(), Json(json!({"error": error}))).into_response()
}

/// The Cloud API's reference, «Messages» and «Error codes».
async fn whatsapp(
    State(taken): Kept,
    Path(number): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    if bearer(&headers) != "Bearer EAAG-good" {
        return meta_error(401, 190);
    }
    if number != "106540352242922" || body["messaging_product"] != "whatsapp" {
        return meta_error(400, 100);
    }
    match (body["to"].as_str(), body["type"].as_str(), body["template"]["name"].as_str()) {
        (Some("4915100000000"), ..) => return meta_error(400, 131_026),
        // Nobody has written within a day: templates alone.
        (_, Some("text"), _) => return meta_error(400, 131_047),
        (_, Some("template"), Some("result_ready")) => {}
        _ => return meta_error(404, 132_001),
    }
    let to = body["to"].clone();
    taken.messages.lock().unwrap().push(body);
    Json(json!({"messaging_product": "whatsapp", "contacts": [{"input": to, "wa_id": to}],
        "messages": [{"id": "wamid.HBgL"}]}))
    .into_response()
}

async fn whatsapp_number(Path(number): Path<String>, headers: HeaderMap) -> Response {
    if bearer(&headers) != "Bearer EAAG-good" {
        meta_error(401, 190)
    } else {
        Json(json!({"id": number})).into_response()
    }
}

/// Twilio's «Create a Message resource».
async fn twilio(
    State(taken): Kept,
    Path(account): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let error = |status: u16, code: i64| {
        (StatusCode::from_u16(status).unwrap(), Json(json!({"code": code, "message": "…", "status": status})))
            .into_response()
    };
    // `AC1:good` as RFC 7617 writes it.
    if account != "AC1" || bearer(&headers) != "Basic QUMxOmdvb2Q=" {
        return error(401, 20_003);
    }
    let form = fields(&body);
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    if field("Body").is_empty() || field("From").is_empty() {
        return error(400, 21_602);
    }
    if !field("To").starts_with('+') {
        return error(400, 21_211);
    }
    taken.messages.lock().unwrap().push(json!(form));
    (StatusCode::CREATED, Json(json!({"sid": "SM1", "status": "queued"}))).into_response()
}

fn refused(result: Result<notifications::channel::Sent, Undelivered>) -> SendError {
    match result {
        Err(Undelivered::Refused(error)) => error,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn zeptomail_credentials(token: &str) -> Value {
    json!({"sendMailToken": token, "webhookKey": "zepto-key", "fromEmail": "noreply@clinic.com", "fromName": "Clinic"})
}

#[tokio::test]
async fn zeptomail_takes_a_mail_and_names_bad_addresses_and_tokens() {
    let stubs = Stubs::start().await;
    let (db, _folder) = database().await;
    let house = House::with(&db, stubs.settings(), Targets::PublicOnly).await;
    house.serve_by("email", &[("zeptomail", zeptomail_credentials("good-token"))]).await;
    let message = outgoing(mailbox("ana@example.org"));
    let sent = house.switchboard.send(house.other, &message).await.unwrap();
    assert_eq!((sent.provider, sent.provider_message_id.as_deref()), (Provider::Zeptomail, Some("2d6f.77")));
    let taken = &stubs.messages()[0];
    assert_eq!(taken["from"], json!({"address": "noreply@clinic.com", "name": "Clinic"}));
    assert_eq!(taken["client_reference"], message.dedupe_id.to_string());
    let unknown = house.switchboard.send(house.other, &outgoing(mailbox("nobody@example.org"))).await;
    assert!(matches!(refused(unknown), SendError::BadAddress(_)));
    house.switchboard.probe_all().await.unwrap();
    let path = format!("/api/v1/clinics/{}/communication/health", house.other);
    assert_eq!(house.get(&path).await.json()[0]["providers"][0]["health"], "healthy");

    let other = House::with(&db, stubs.settings(), Targets::PublicOnly).await;
    other.serve_by("email", &[("zeptomail", zeptomail_credentials("bad-token"))]).await;
    let shut_out = other.switchboard.send(other.other, &message).await;
    assert!(matches!(refused(shut_out), SendError::Authentication(_)));
    other.switchboard.probe_all().await.unwrap();
    let path = format!("/api/v1/clinics/{}/communication/health", other.other);
    let shown = other.get(&path).await.json()[0]["providers"][0].clone();
    assert_eq!((&shown["health"], &shown["lastFailure"]), (&json!("refusing"), &json!("authentication")));
}

/// ZeptoMail's help, «API reference», `attachments`: name, media type and base64 of each file.
#[tokio::test]
async fn zeptomail_gets_the_paper_of_an_invoice_byte_for_byte() {
    let stubs = Stubs::start().await;
    let (db, _folder) = database().await;
    let house = House::with(&db, stubs.settings(), Targets::PublicOnly).await;
    house.serve_by("email", &[("zeptomail", zeptomail_credentials("good-token"))]).await;
    let message = with_paper(outgoing(mailbox("ana@example.org")));
    house.switchboard.send(house.other, &message).await.unwrap();
    let [file] = stubs.messages()[0]["attachments"].as_array().unwrap().clone().try_into().unwrap();
    let paper = message.enclosure.unwrap();
    assert_eq!((&file["name"], &file["mime_type"]), (&json!(paper.file_name), &json!("application/pdf")));
    assert_eq!(STANDARD.decode(file["content"].as_str().unwrap()).unwrap(), paper.bytes);
}

#[tokio::test]
async fn firebase_gives_one_token_for_many_pushes() {
    let stubs = Stubs::start().await;
    let (db, _folder) = database().await;
    let house = House::with(&db, stubs.settings(), Targets::PublicOnly).await;
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    *stubs.taken.google_key.lock().unwrap() = key.der_bytes().to_vec();
    let account = json!({
        "type": "service_account", "project_id": "clinic-1", "private_key_id": "key-1",
        "private_key": key.serialize_pem(), "client_email": "sender@clinic-1.iam.gserviceaccount.com",
        "token_uri": "http://169.254.169.254/token"
    });
    house.serve_by("push", &[("firebase_fcm", json!({"serviceAccount": account.to_string()}))]).await;
    for _ in 0..3 {
        let push = outgoing(Address::FcmToken("device-1".into()));
        let sent = house.switchboard.send(house.other, &push).await.unwrap();
        assert!(sent.provider_message_id.unwrap().starts_with("projects/clinic-1/messages/"));
    }
    assert_eq!(
        *stubs.taken.tokens.lock().unwrap(),
        1,
        "it is kept; and the file's own token_uri was not called"
    );
    let push = &stubs.messages()[0]["message"];
    assert_eq!((&push["token"], &push["android"]["priority"]), (&json!("device-1"), &json!("HIGH")));
    let gone = house.switchboard.send(house.other, &outgoing(Address::FcmToken("gone".into()))).await;
    assert!(matches!(refused(gone), SendError::BadAddress(_)));
}

#[tokio::test]
async fn whatsapp_takes_templates_and_says_who_has_no_whatsapp() {
    let stubs = Stubs::start().await;
    let (db, _folder) = database().await;
    let house = House::with(&db, stubs.settings(), Targets::PublicOnly).await;
    let credentials = json!({"accessToken": "EAAG-good", "phoneNumberId": "106540352242922"});
    house.serve_by("whatsapp", &[("meta_business", credentials)]).await;
    let to = |number: &str| {
        let values = vec!["Ana".to_owned()];
        let template = ProviderTemplate { name: "result_ready".into(), language: "en".into(), values };
        let mut message = outgoing(Address::Whatsapp(number.parse().unwrap()));
        message.template = Some(template);
        message
    };
    let sent = house.switchboard.send(house.other, &to("+49 151 12345678")).await.unwrap();
    assert_eq!(sent.provider_message_id.as_deref(), Some("wamid.HBgL"));
    assert_eq!(stubs.messages()[0]["template"]["components"][0]["parameters"][0]["text"], "Ana");
    assert!(matches!(
        refused(house.switchboard.send(house.other, &to("+4915100000000")).await),
        SendError::BadAddress(_)
    ));
    let mut text = to("+4915112345678");
    text.template = None;
    assert!(matches!(refused(house.switchboard.send(house.other, &text).await), SendError::Refused(_)));
    house.switchboard.probe_all().await.unwrap();
    let path = format!("/api/v1/clinics/{}/communication/health", house.other);
    let shown = house.get(&path).await.json();
    let whatsapp = shown.as_array().unwrap().iter().find(|it| it["channel"] == "whatsapp").unwrap();
    assert_eq!(whatsapp["providers"][0]["health"], "healthy");
}

#[tokio::test]
async fn twilio_takes_short_messages() {
    let stubs = Stubs::start().await;
    let (db, _folder) = database().await;
    let house = House::with(&db, stubs.settings(), Targets::PublicOnly).await;
    let credentials = json!({"accountSid": "AC1", "authToken": "good", "fromNumber": "+15005550006"});
    house.serve_by("sms", &[("twilio", credentials)]).await;
    let message = outgoing(Address::Sms("+4915112345678".parse().unwrap()));
    let sent = house.switchboard.send(house.other, &message).await.unwrap();
    assert_eq!((sent.provider, sent.provider_message_id.as_deref()), (Provider::Twilio, Some("SM1")));
    assert_eq!(stubs.messages()[0]["Body"], message.text);
}
