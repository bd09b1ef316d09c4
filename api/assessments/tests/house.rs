//! Assessments over HTTP, on both databases.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

use std::sync::{Arc, LazyLock};

use assessments::AssessmentsState;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, header};
use chrono::{DateTime, TimeDelta, Utc};
use clinical::id::{ClinicId, PatientId};
use clinical::role::Role;
use gate::testing::{Answer, app, get, post_json, send, token_of};
use gate::{App, HttpLimits, layers};
use serde_json::{Value, json};
use storage::db::Db;
use storage::outbox::told;
use storage::records::member::Position;
use storage::records::patient::{Patient, PatientFacts};
use storage::testing::{now, on_both};
use tempfile::TempDir;
use triage::Advisor;

const CLINIC: ClinicId = ClinicId::DEFAULT;

static ADVISOR: LazyLock<Arc<Advisor>> = LazyLock::new(|| Arc::new(Advisor::built_in().unwrap()));

struct House {
    router: Router,
    app: App,
    _folder: TempDir,
}

fn house(db: &Db) -> House {
    house_at(db, now())
}

fn house_at(db: &Db, now: DateTime<Utc>) -> House {
    let (app, folder) = app(db, HttpLimits::default(), now);
    let state = AssessmentsState::new(app.clone(), Arc::clone(&ADVISOR));
    House { router: layers(assessments::routes(state), app.clone()), app, _folder: folder }
}

async fn patient(db: &Db, mrn: &str) -> PatientId {
    let mut tx = db.begin().await.unwrap();
    let facts = PatientFacts { mrn: mrn.into(), ..PatientFacts::default() };
    let uid = "1.2.3".parse().unwrap();
    let patient = Patient::ensure(&mut tx, CLINIC, &facts, &uid, now()).await.unwrap();
    tx.commit().await.unwrap();
    patient
}

async fn as_whom(house: &House, token: &str, method: Method, path: &str, body: Option<&Value>) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json");
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    send(&house.router, request.body(body).unwrap()).await
}

fn flu() -> Value {
    json!({
        "symptoms": ["fever", "cough", "headache"], "age": 30, "gender": "male", "severity": "moderate",
        "duration": 3, "medicalHistory": ["diabetes"], "allergies": ["penicillin"], "shoeSize": 43,
    })
}

#[tokio::test]
async fn an_assessment_is_kept_told_and_read_again_to_the_byte() {
    on_both(async |db| {
        let house = house(&db);
        let mut body = flu();
        let patient = patient(&db, "1").await;
        body["patient_id"] = json!(patient);
        let made = post_json(&house.router, "/api/v1/assessments", &body).await;
        assert_eq!(made.status.as_u16(), 201, "{:?}", made.body);
        assert_eq!(made.header("cache-status"), "medilink; fwd=miss");
        let answer = made.json();
        assert!(answer["urgency"].is_string() && answer["differential"][0]["probability"].is_number());
        assert_eq!(answer["ignored"], json!(["shoeSize"]));

        let path = made.header("location").to_owned();
        let kept = get(&house.router, &path).await;
        let whole = String::from_utf8(kept.body.to_vec()).unwrap();
        assert!(whole.contains(std::str::from_utf8(&made.body).unwrap()), "the same bytes stand inside");
        assert_eq!(kept.json()["patient_id"], json!(patient));
        let list = get(&house.router, &format!("/api/v1/assessments?patient_id={patient}")).await.json();
        assert_eq!(list[0]["urgency"], answer["urgency"]);
        let mut rows = db.read().await.unwrap();
        assert_eq!(told(&mut rows, CLINIC, "assessment_made", 9).await.unwrap().len(), 1);
    })
    .await;
}

/// The clinic application's own bound, 30 minutes, and the same answer to the byte.
#[tokio::test]
async fn the_same_question_gets_the_same_bytes_however_it_is_spelled() {
    on_both(async |db| {
        let house = house(&db);
        let first = post_json(&house.router, "/api/v1/assessments", &flu()).await;
        let mut spelled = flu();
        let history = spelled["medicalHistory"].take();
        spelled.as_object_mut().unwrap().remove("medicalHistory");
        spelled["medical_history"] = history;
        let again = post_json(&house.router, "/api/v1/assessments", &spelled).await;
        assert_eq!(again.header("cache-status"), "medilink; hit");
        assert_eq!(first.body, again.body);
        assert_ne!(first.header("location"), again.header("location"), "each is kept");
        let predicted = post_json(&house.router, "/api/v1/predictions", &flu()).await;
        assert_eq!(predicted.header("cache-status"), "medilink; fwd=miss", "another kind of answer");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_is_named_member_by_member() {
    on_both(async |db| {
        let house = house(&db);
        let odd = json!({"symptoms": ["cough"], "age": 300, "vitals": {"spo2": 140}});
        for path in ["/api/v1/assessments", "/api/v1/predictions", "/api/v1/drug-screens"] {
            let refused = post_json(&house.router, path, &odd).await;
            assert_eq!(refused.problem(), (422, "invalid-presentation".into()), "{path}");
            let pointers: Vec<_> =
                refused.json()["errors"].as_array().unwrap().iter().map(|it| it["pointer"].clone()).collect();
            assert_eq!(pointers, ["#/age", "#/vitals/spo2"]);
        }
        let many = json!({"symptoms": vec!["cough"; 10_000]});
        let refused = post_json(&house.router, "/api/v1/assessments", &many).await;
        assert_eq!(refused.json()["errors"][0]["pointer"], "#/symptoms");
        for nothing in [json!({}), json!({"symptoms": []}), json!({"text": "  "})] {
            let refused = post_json(&house.router, "/api/v1/assessments", &nothing).await;
            assert_eq!(refused.problem(), (422, "nothing-told".into()));
        }
        let text = json!({"symptoms": ["cough"], "age": "old"});
        let refused = post_json(&house.router, "/api/v1/assessments", &text).await;
        assert_eq!(refused.problem(), (422, "invalid-json".into()));
        assert!(refused.json()["detail"].as_str().unwrap().contains("age"));
        let nobody = json!({"symptoms": ["cough"], "patient_id": PatientId::new()});
        assert_eq!(post_json(&house.router, "/api/v1/assessments", &nobody).await.problem().0, 404);
    })
    .await;
}

#[tokio::test]
async fn words_that_nobody_understands_are_no_reason_to_stay_at_home() {
    on_both(async |db| {
        let house = house(&db);
        let odd = json!({"symptoms": ["xqzzyplugh"]});
        let answer = post_json(&house.router, "/api/v1/assessments", &odd).await.json();
        assert_eq!(answer["unmatched"], json!(["xqzzyplugh"]));
        assert_ne!(answer["urgency"], "self-care");
    })
    .await;
}

/// The clinic application's example: its names, its call, its categories.
#[tokio::test]
async fn the_prediction_service_answers_by_the_names_of_the_clinic_application() {
    on_both(async |db| {
        let house = house(&db);
        let answer = post_json(&house.router, "/api/v1/predictions", &flu()).await.json();
        let first = &answer["predictions"][0];
        assert!(first["disease"].is_string() && first["confidence"].as_f64().unwrap() > 0.0, "{first}");
        let categories: Vec<&str> = answer["predictions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["category"].as_str().unwrap())
            .collect();
        assert!(categories.contains(&"respiratory") || categories.contains(&"infectious"), "{categories:?}");

        let asked =
            json!({"disease": "influenza", "patientProfile": {"age": 30, "allergies": ["penicillin"]}});
        let drugs = post_json(&house.router, "/api/v1/drug-recommendations", &asked).await;
        assert_eq!(drugs.status.as_u16(), 200, "{:?}", drugs.body);
        assert!(drugs.json()["recommendations"].is_array());
        let unknown = json!({"disease": "moon fever"});
        let refused = post_json(&house.router, "/api/v1/drug-recommendations", &unknown).await;
        assert_eq!(refused.problem(), (422, "unknown-condition".into()));
    })
    .await;
}

#[tokio::test]
async fn a_conversation_goes_on_from_what_the_client_kept() {
    on_both(async |db| {
        let house = house(&db);
        let begin = json!({"state": {"symptoms": ["headache"], "age": 40, "sex": "female"}});
        let first = post_json(&house.router, "/api/v1/assessments/next", &begin).await.json();
        let asked = first["questions"][0]["finding"].clone();
        assert!(asked.is_string(), "{first}");
        let next = json!({"state": first["state"], "answers": [{"finding": asked, "state": "absent"}]});
        let second = post_json(&house.router, "/api/v1/assessments/next", &next).await.json();
        let questions = second["questions"].as_array().unwrap();
        assert!(questions.iter().all(|question| question["finding"] != asked), "not asked again");
        assert_eq!(second["state"]["symptoms"][1]["state"], "absent");
        // Another service, or the same after a restart, goes on from there.
        let elsewhere = self::house(&db);
        let again = post_json(&elsewhere.router, "/api/v1/assessments/next", &next).await.json();
        assert_eq!(again, second);
    })
    .await;
}

#[tokio::test]
async fn a_batch_answers_each_in_its_order() {
    on_both(async |db| {
        let house = house(&db);
        let batch =
            json!({"presentations": [{"symptoms": ["cough"]}, {}, {"symptoms": ["cough"], "age": -1}]});
        let scored = post_json(&house.router, "/api/v1/assessments/batch", &batch).await.json();
        assert!(scored[0]["assessment"]["urgency"].is_string());
        assert_eq!(scored[1]["errors"], json!(["symptoms or text or vitals must tell of something"]));
        assert_eq!(scored[2]["errors"], json!(["age is 0 to 125 years"]));
        let many = json!({"presentations": vec![json!({}); 1_001]});
        let refused = post_json(&house.router, "/api/v1/assessments/batch", &many).await;
        assert_eq!(refused.problem(), (422, "too-many".into()));
    })
    .await;
}

#[tokio::test]
async fn an_issue_is_overridden_for_a_reason_that_is_kept() {
    on_both(async |db| {
        let house = house(&db);
        let drugs = json!({"symptoms": ["cough"], "medications": ["warfarin", "ibuprofen"], "age": 70});
        let made = post_json(&house.router, "/api/v1/assessments", &drugs).await;
        let issue = made.json()["detected_issues"][0].clone();
        assert_eq!(issue["kind"], "interaction", "{:?}", made.json()["not_checked"]);
        let path = made.header("location").to_owned();
        let id = path.rsplit('/').next().unwrap();
        let word = |reason: &str, comment: Option<&str>, drugs: &Value| {
            json!({"assessment_id": id, "kind": issue["kind"], "drugs": drugs, "reason": reason, "comment": comment})
        };
        let overrides = "/api/v1/issue-overrides";
        let other = post_json(&house.router, overrides, &word("other", None, &issue["drugs"])).await;
        assert_eq!(other.problem(), (422, "comment-missing".into()));
        let none = post_json(&house.router, overrides, &word("monitoring", None, &json!(["aspirin"]))).await;
        assert_eq!(none.problem(), (422, "no-such-issue".into()));
        let mut elsewhere = word("monitoring", None, &issue["drugs"]);
        elsewhere["with"] = json!("penicillin");
        let elsewhere = post_json(&house.router, overrides, &elsewhere).await;
        assert_eq!(elsewhere.problem(), (422, "no-such-issue".into()), "the issue has no such circumstance");
        let uncoded = post_json(&house.router, overrides, &word("because", None, &issue["drugs"])).await;
        assert_eq!(uncoded.problem(), (422, "invalid-json".into()));
        let kept = post_json(&house.router, overrides, &word("monitoring", Some("INR weekly"), &issue["drugs"])).await;
        assert_eq!(kept.status.as_u16(), 201, "{:?}", kept.body);
        assert_eq!(get(&house.router, &path).await.json()["overrides"][0]["reason"], "monitoring");
        assert_eq!(get(&house.router, overrides).await.json()[0]["comment"], "INR weekly");
        let mut rows = db.read().await.unwrap();
        assert_eq!(told(&mut rows, CLINIC, "issue_overridden", 9).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_override_is_of_the_assessments_own_patient() {
    on_both(async |db| {
        let house = house(&db);
        let (own, other) = (patient(&db, "1").await, patient(&db, "2").await);
        let asked = json!({"symptoms": ["cough"], "medications": ["warfarin", "ibuprofen"], "age": 70, "patient_id": own});
        let made = post_json(&house.router, "/api/v1/assessments", &asked).await;
        let issue = made.json()["detected_issues"][0].clone();
        let id = made.header("location").rsplit('/').next().unwrap().to_owned();
        let word = |patient: PatientId| {
            json!({"assessment_id": id, "patient_id": patient, "kind": issue["kind"], "drugs": issue["drugs"],
                   "with": issue["with"], "reason": "monitoring"})
        };
        let refused = post_json(&house.router, "/api/v1/issue-overrides", &word(other)).await;
        assert_eq!(refused.problem(), (422, "invalid-override".into()));
        assert_eq!(refused.json()["errors"][0]["pointer"], "#/patient_id");
        let kept = post_json(&house.router, "/api/v1/issue-overrides", &word(own)).await;
        assert_eq!(kept.status.as_u16(), 201, "{:?}", kept.body);
        assert_eq!(kept.json()["patient_id"], json!(own));
    })
    .await;
}

#[tokio::test]
async fn a_drug_that_nobody_knows_is_not_checked_and_not_safe() {
    on_both(async |db| {
        let house = house(&db);
        let screen =
            post_json(&house.router, "/api/v1/drug-screens", &json!({"medications": ["xqzzyplugh"]})).await;
        let screen = screen.json();
        assert!(
            screen["not_checked"].as_array().unwrap().iter().any(|it| it["what"] == "xqzzyplugh"),
            "{screen}"
        );
        let none = post_json(&house.router, "/api/v1/drug-screens", &json!({})).await;
        assert_eq!(none.problem(), (422, "no-medication".into()));
    })
    .await;
}

#[tokio::test]
async fn a_patient_asks_for_themselves_alone() {
    on_both(async |db| {
        let house = house(&db);
        let (own, other) = (patient(&db, "1").await, patient(&db, "2").await);
        let position = Position { patient_id: Some(own), ..Position::of(Role::Patient) };
        let token = token_of(&house.app, CLINIC, &position).await;
        let ask = |patient: Option<PatientId>| json!({"symptoms": ["cough"], "patient_id": patient});
        let path = "/api/v1/assessments";
        let made = as_whom(&house, &token, Method::POST, path, Some(&ask(None))).await;
        assert_eq!(made.status.as_u16(), 201, "{:?}", made.body);
        let seen = as_whom(&house, &token, Method::GET, made.header("location"), None).await;
        assert_eq!(seen.json()["patient_id"], json!(own));
        let elsewhere = as_whom(&house, &token, Method::POST, path, Some(&ask(Some(other)))).await;
        assert_eq!(elsewhere.problem().0, 404);
        let of_other = post_json(&house.router, path, &ask(Some(other))).await;
        let hidden = as_whom(&house, &token, Method::GET, of_other.header("location"), None).await;
        assert_eq!(hidden.problem().0, 404);
        assert_eq!(as_whom(&house, &token, Method::GET, path, None).await.problem().0, 403);
    })
    .await;
}

#[tokio::test]
async fn what_was_remembered_is_forgotten_after_half_an_hour() {
    on_both(async |db| {
        let (early, late) = (house(&db), house_at(&db, now() + TimeDelta::minutes(31)));
        let first = post_json(&early.router, "/api/v1/predictions", &flu()).await;
        let second = post_json(&late.router, "/api/v1/predictions", &flu()).await;
        assert_eq!(first.body, second.body, "the same knowledge says the same");
        assert_eq!(second.header("cache-status"), "medilink; fwd=miss");
    })
    .await;
}
