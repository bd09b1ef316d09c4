//! CDS Hooks as another system calls it, on both databases, against the schema of its bodies.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, header};
use cds_hooks::CdsHooksState;
use clinical::audit::Outcome;
use clinical::id::{CdsClientId, ClinicId};
use gate::testing::{Answer, app, get, post_json, send};
use gate::{HttpLimits, layers};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use storage::db::{Db, sql};
use storage::records::cds_client::CdsClient;
use storage::records::clinic::Clinic;
use storage::testing::{now, on_both, told_by_test};
use tempfile::TempDir;
use triage::Advisor;

const ISSUER: &str = "https://ehr.example.org";
const SIGN: &str = "/cds-services/medilink-order-sign";

static ADVISOR: LazyLock<Arc<Advisor>> = LazyLock::new(|| Arc::new(Advisor::built_in().unwrap()));

struct House {
    router: Router,
    _folder: TempDir,
}

fn house(db: &Db) -> House {
    let (app, folder) = app(db, HttpLimits::default(), now());
    let state = CdsHooksState::new(app.clone(), Arc::clone(&ADVISOR), "https://here.example");
    House { router: layers(cds_hooks::routes(state), app), _folder: folder }
}

/// A key of the other system.
struct Key {
    private: EncodingKey,
    algorithm: Algorithm,
}

impl Key {
    fn elliptic() -> Self {
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        Self { private: EncodingKey::from_ec_der(document.as_ref()), algorithm: Algorithm::ES256 }
    }

    fn rsa() -> Self {
        let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let document = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
        // The key itself (RFC 8017, A.1.2) begins behind the 26 bytes that PKCS #8 puts before one of 2,048 bits.
        Self { private: EncodingKey::from_rsa_der(&document.as_ref()[26..]), algorithm: Algorithm::RS256 }
    }

    fn jwks(&self) -> Value {
        json!({"keys": [Jwk::from_encoding_key(&self.private, self.algorithm).unwrap()]})
    }

    fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        let at = now().timestamp();
        let mut claims = json!({
            "iss": ISSUER, "aud": format!("https://here.example{SIGN}"), "iat": at, "exp": at + 300,
            "jti": uuid::Uuid::new_v4(),
        });
        change(&mut claims);
        let header = Header { typ: Some("JWT".into()), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, &claims, &self.private).unwrap()
    }
}

async fn named(house: &House, key: &Key) {
    let client = json!({"issuer": ISSUER, "name": "The other system", "jwks": key.jwks()});
    let made = post_json(&house.router, "/api/v1/cds-clients", &client).await;
    assert_eq!(made.status.as_u16(), 201, "{:?}", made.body);
}

async fn call(house: &House, path: &str, token: Option<&str>, body: &Value) -> Answer {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::HOST, "here.example")
        .header(header::ORIGIN, "https://ehr.example.org")
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    send(&house.router, request.body(Body::from(body.to_string())).unwrap()).await
}

/// What the schema says against these bodies.
fn faults(bodies: &[(&str, Value)]) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let mut check = Command::new(told_by_test("MEDILINK_TEST_PYTHON"))
        .arg(format!("{folder}/schema.py"))
        .arg(format!("{folder}/data/cds-hooks-2.schema.json"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(json!(bodies).to_string().as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn bundle(resources: Vec<Value>) -> Value {
    let entries: Vec<Value> = resources.into_iter().map(|it| json!({ "resource": it })).collect();
    json!({"resourceType": "Bundle", "type": "searchset", "entry": entries})
}

fn request(hook: &str) -> Value {
    let order = json!({
        "resourceType": "MedicationRequest", "id": "103", "status": "draft", "intent": "order",
        "medicationCodeableConcept": {"text": "ibuprofen"},
    });
    let mut context = json!({"userId": "Practitioner/1", "patientId": "1"});
    if hook != "patient-view" {
        context["draftOrders"] = bundle(vec![order]);
    }
    if hook == "order-select" {
        context["selections"] = json!(["MedicationRequest/103"]);
    }
    json!({
        "hook": hook, "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea", "context": context,
        "prefetch": {
            "patient": {"resourceType": "Patient", "id": "1", "birthDate": "1950-05-01", "gender": "male"},
            "conditions": bundle(vec![]), "allergies": bundle(vec![]), "observations": bundle(vec![]),
            "medications": bundle(vec![json!({
                "resourceType": "MedicationStatement", "status": "active",
                "medicationCodeableConcept": {"text": "warfarin"},
            })]),
            "requests": bundle(vec![]),
        },
    })
}

#[tokio::test]
async fn the_services_are_discovered_by_anyone_and_fit_the_schema() {
    on_both(async |db| {
        let house = house(&db);
        let request = Request::builder().uri("/cds-services").body(Body::empty()).unwrap();
        let answer = send(&house.router, request).await;
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        let hooks: Vec<_> =
            answer.json()["services"].as_array().unwrap().iter().map(|it| it["hook"].clone()).collect();
        assert_eq!(hooks, ["patient-view", "order-select", "order-sign"]);
        assert_eq!(faults(&[("discovery", answer.json())]), "");
        let preflight = Request::builder().method(Method::OPTIONS).uri(SIGN).body(Body::empty()).unwrap();
        let preflight = send(&house.router, preflight).await;
        assert_eq!(preflight.status.as_u16(), 204);
        let of_none =
            Request::builder().method(Method::OPTIONS).uri("/cds-services/none").body(Body::empty()).unwrap();
        assert_eq!(send(&house.router, of_none).await.status.as_u16(), 404);
        assert!(preflight.header("access-control-allow-headers").contains("authorization"));
    })
    .await;
}

#[tokio::test]
async fn an_order_that_does_not_go_with_what_is_taken_gets_a_card_with_a_suggestion() {
    on_both(async |db| {
        let house = house(&db);
        for key in [Key::elliptic(), Key::rsa()] {
            let list = get(&house.router, "/api/v1/cds-clients").await.json();
            if let Some(id) = list[0]["id"].as_str() {
                let path = format!("/api/v1/cds-clients/{id}");
                let remove = gate::testing::request(Method::DELETE, &path).body(Body::empty()).unwrap();
                assert_eq!(send(&house.router, remove).await.status.as_u16(), 204);
            }
            named(&house, &key).await;
            for hook in ["order-select", "order-sign"] {
                let path = format!("/cds-services/medilink-{hook}");
                let token =
                    key.token(|claims| claims["aud"] = json!([format!("https://here.example{path}")]));
                let answer = call(&house, &path, Some(&token), &request(hook)).await;
                assert_eq!(answer.status.as_u16(), 200, "{:?}", answer.body);
                assert_eq!(answer.header("access-control-allow-origin"), "*");
                let cards = answer.json();
                assert_eq!(faults(&[("request", request(hook)), ("response", cards.clone())]), "");
                let card = &cards["cards"][0];
                assert!(card["summary"].as_str().unwrap().contains("warfarin"), "{cards}");
                assert_eq!(card["suggestions"][0]["actions"][0]["resourceId"], "MedicationRequest/103");
                assert!(card["overrideReasons"].as_array().unwrap().len() >= 5);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_did_not_come_is_said_not_to_be_checked() {
    on_both(async |db| {
        let (house, key) = (house(&db), Key::elliptic());
        named(&house, &key).await;
        let mut asked = request("order-sign");
        asked["prefetch"].as_object_mut().unwrap().remove("allergies");
        let cards = call(&house, SIGN, Some(&key.token(|_| {})), &asked).await.json();
        let last = cards["cards"].as_array().unwrap().last().unwrap();
        assert_eq!(last["indicator"], "info");
        assert!(last["detail"].as_str().unwrap().contains("prefetch.allergies was not sent"), "{cards}");

        let mut bare = request("patient-view");
        bare.as_object_mut().unwrap().remove("prefetch");
        let path = "/cds-services/medilink-patient-view";
        let token = key.token(|claims| claims["aud"] = json!("https://here.example/cds-services"));
        let answer = call(&house, path, Some(&token), &bare).await;
        assert_eq!(answer.problem(), (412, "prefetch-missing".into()));
    })
    .await;
}

#[tokio::test]
async fn a_token_that_no_clinic_believes_opens_nothing() {
    on_both(async |db| {
        let (house, key) = (house(&db), Key::elliptic());
        named(&house, &key).await;
        let asked = request("order-sign");
        let stranger = Key::elliptic();
        let at = now().timestamp();
        let good = key.token(|_| {});
        assert_eq!(call(&house, SIGN, Some(&good), &asked).await.status.as_u16(), 200);
        let hmac = {
            let claims = json!({"iss": ISSUER, "aud": SIGN, "iat": at, "exp": at + 300, "jti": "1"});
            jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(b"x"))
                .unwrap()
        };
        for (what, token) in [
            ("none", None),
            ("shown twice", Some(good)),
            ("another key", Some(stranger.token(|_| {}))),
            ("another algorithm", Some(hmac)),
            ("no JWT", Some("abc".to_owned())),
            ("ended", Some(key.token(|claims| claims["exp"] = json!(at - 61)))),
            ("too long a life", Some(key.token(|claims| claims["exp"] = json!(at + 3_601)))),
            ("from the future", Some(key.token(|claims| claims["iat"] = json!(at + 120)))),
            ("another host", Some(key.token(|claims| claims["aud"] = json!(format!("https://there{SIGN}"))))),
            ("another service", Some(key.token(|claims| claims["aud"] = json!("https://here.example/x")))),
            ("another issuer", Some(key.token(|claims| claims["iss"] = json!("https://other")))),
            ("without jti", Some(key.token(|claims| claims["jti"] = Value::Null))),
            ("another tenant", Some(key.token(|claims| claims["tenant"] = json!(ClinicId::DEFAULT)))),
            (
                "another scheme",
                Some(key.token(|claims| claims["aud"] = json!(format!("http://here.example{SIGN}")))),
            ),
        ] {
            let answer = call(&house, SIGN, token.as_deref(), &asked).await;
            assert_eq!(answer.problem(), (401, "client-untrusted".into()), "{what}");
            assert_eq!(answer.header("access-control-allow-origin"), "*", "{what}");
        }
        let nowhere = call(&house, "/cds-services/other", None, &asked).await;
        assert_eq!(nowhere.problem(), (404, "not-found".into()));
        let denied = rows(&db, "cds_client:ask", Outcome::Denied).await;
        assert_eq!(denied, 1, "one row an address and minute");
        assert_eq!(rows(&db, "cds_client:ask", Outcome::Success).await, 1);
    })
    .await;
}

/// How many rows of the trail tell of an action that ended so.
async fn rows(db: &Db, action: &str, outcome: Outcome) -> i64 {
    let mut rows = db.read().await.unwrap();
    let count = "SELECT count(*) FROM audit_trail WHERE action = $1 AND outcome = $2";
    sql(count).bind(action).bind(outcome.as_str()).fetch_one(&mut rows).await.unwrap()
}

/// RFC 8725, 3.9: the audience is what this service is, never what the request says that it is.
#[tokio::test]
async fn a_header_that_names_another_host_changes_no_audience() {
    on_both(async |db| {
        let (house, key) = (house(&db), Key::elliptic());
        named(&house, &key).await;
        let stolen = key.token(|claims| claims["aud"] = json!(format!("https://elsewhere.example{SIGN}")));
        let request = Request::builder()
            .method(Method::POST)
            .uri(SIGN)
            .header(header::HOST, "elsewhere.example")
            .header("x-forwarded-host", "elsewhere.example")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {stolen}"))
            .body(Body::from(self::request("order-sign").to_string()))
            .unwrap();
        let refused = send(&house.router, request).await;
        assert_eq!(refused.problem(), (401, "client-untrusted".into()));
    })
    .await;
}

/// Of two who show one token at the same time, one alone is heard, also where they come to two processes.
#[tokio::test]
async fn a_token_counts_once_over_all_processes() {
    on_both(async |db| {
        let (first, second, key) = (house(&db), house(&db), Key::elliptic());
        named(&first, &key).await;
        let (token, asked) = (key.token(|_| {}), request("order-sign"));
        let (one, other) =
            tokio::join!(call(&first, SIGN, Some(&token), &asked), call(&second, SIGN, Some(&token), &asked));
        let mut both = [one.status.as_u16(), other.status.as_u16()];
        both.sort_unstable();
        assert_eq!(both, [200, 401]);
    })
    .await;
}

#[tokio::test]
async fn a_request_that_is_none_is_refused_member_by_member() {
    on_both(async |db| {
        let (house, key) = (house(&db), Key::elliptic());
        named(&house, &key).await;
        let odd = json!({"hook": "order-select", "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea", "context": {}});
        let refused = call(&house, SIGN, Some(&key.token(|_| {})), &odd).await;
        assert_eq!(refused.problem(), (422, "invalid-request".into()));
        let pointers: Vec<_> =
            refused.json()["errors"].as_array().unwrap().iter().map(|it| it["pointer"].clone()).collect();
        assert_eq!(pointers, ["#/hook", "#/context/userId", "#/context/patientId", "#/context/draftOrders"]);
    })
    .await;
}

#[tokio::test]
async fn feedback_is_kept_for_the_clinic_that_named_the_program() {
    on_both(async |db| {
        let (house, key) = (house(&db), Key::elliptic());
        named(&house, &key).await;
        let feedback = json!({"feedback": [{
            "card": "f6b95768-b1c8-40dc-8385-bf3504b82ffb", "outcome": "overridden",
            "overrideReason": {"reason": {"code": "monitoring"}, "userComment": "INR weekly"},
            "outcomeTimestamp": "2026-11-22T00:05:31Z",
        }]});
        assert_eq!(faults(&[("feedback", feedback.clone())]), "");
        let path = format!("{SIGN}/feedback");
        let told = call(&house, &path, Some(&key.token(|_| {})), &feedback).await;
        assert_eq!(told.status.as_u16(), 200, "{:?}", told.body);
        let kept = get(&house.router, "/api/v1/cds-feedback").await.json();
        assert_eq!((&kept[0]["outcome"], &kept[0]["reason"]), (&json!("overridden"), &json!("monitoring")));
        assert_eq!(rows(&db, "cds_client:feedback", Outcome::Success).await, 1);
        let untold = json!({"feedback": [{"card": "1", "outcome": "accepted", "outcomeTimestamp": "2026-11-22T00:05:31Z"}]});
        let refused = call(&house, &path, Some(&key.token(|_| {})), &untold).await;
        assert_eq!(refused.problem(), (422, "invalid-request".into()));
        assert_eq!(rows(&db, "cds_client:feedback", Outcome::Refused).await, 1);
    })
    .await;
}

#[tokio::test]
async fn two_clinics_may_name_one_program_and_the_token_says_which_is_meant() {
    on_both(async |db| {
        let (house, key) = (house(&db), Key::elliptic());
        named(&house, &key).await;
        let mut tx = db.begin().await.unwrap();
        let mut others = Vec::new();
        for name in ["Second", "Third", "Fourth"] {
            others.push(Clinic::create(&mut tx, name, "UTC", now()).await.unwrap().clinic_id);
        }
        tx.commit().await.unwrap();
        let there = Key::elliptic();
        let name_there = |clinic: ClinicId, tenant: Option<&str>| {
            let client =
                json!({"issuer": ISSUER, "tenant": tenant, "name": "The other system", "jwks": there.jwks()});
            gate::testing::request(Method::POST, "/api/v1/cds-clients")
                .header("x-clinic-id", clinic.to_string())
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(client.to_string()))
                .unwrap()
        };
        for (clinic, tenant) in [(others[0], None), (others[1], Some("north"))] {
            assert_eq!(send(&house.router, name_there(clinic, tenant)).await.status.as_u16(), 201);
            let again = send(&house.router, name_there(clinic, tenant)).await;
            assert_eq!(again.problem(), (409, "cds-client-exists".into()));
        }
        let asked = request("order-sign");
        let of_tenant = |key: &Key, tenant: &str| key.token(|claims| claims["tenant"] = json!(tenant));
        for (token, status) in [
            (key.token(|_| {}), 200),
            (of_tenant(&there, "north"), 200),
            (of_tenant(&key, "north"), 401),
            (of_tenant(&there, "south"), 401),
            (there.token(|_| {}), 200),
            (Key::elliptic().token(|_| {}), 401),
        ] {
            assert_eq!(call(&house, SIGN, Some(&token), &asked).await.status.as_u16(), status);
        }
        // The public keys of another are no way to be meant in its place, nor to keep it out.
        let copied = json!({"issuer": ISSUER, "tenant": "north", "name": "x", "jwks": there.jwks()});
        let taken = post_json(&house.router, "/api/v1/cds-clients", &copied).await;
        assert_eq!(taken.problem(), (409, "cds-key-taken".into()));
        let mut tx = db.begin().await.unwrap();
        let found = CdsClient::of_issuer(&mut tx, ISSUER, Some("north")).await.unwrap();
        let twice = CdsClient { client_id: CdsClientId::new(), clinic_id: others[2], ..found[0].clone() };
        twice.record(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        let refused = call(&house, SIGN, Some(&of_tenant(&there, "north")), &asked).await;
        assert_eq!(refused.problem(), (401, "client-untrusted".into()), "nobody guesses which is meant");
    })
    .await;
}

#[tokio::test]
async fn a_program_is_named_with_public_keys_of_strength_alone() {
    on_both(async |db| {
        let (house, key) = (house(&db), Key::elliptic());
        let jwks = key.jwks();
        let with = |member: &str, value: &str| {
            let mut jwks = jwks.clone();
            jwks["keys"][0][member] = json!(value);
            jwks
        };
        for jwks in [
            json!({"keys": []}),
            json!([]),
            with("d", "c2VjcmV0"),
            json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}),
            json!({"keys": [{"kty": "RSA", "n": "c2hvcnQ", "e": "AQAB"}]}),
        ] {
            let client = json!({"issuer": ISSUER, "name": "x", "jwks": jwks});
            let refused = post_json(&house.router, "/api/v1/cds-clients", &client).await;
            assert_eq!(refused.problem(), (422, "invalid-cds-client".into()), "{jwks}");
        }
        named(&house, &key).await;
        let again = json!({"issuer": ISSUER, "name": "x", "jwks": key.jwks()});
        let refused = post_json(&house.router, "/api/v1/cds-clients", &again).await;
        assert_eq!(refused.problem(), (409, "cds-client-exists".into()));
    })
    .await;
}
