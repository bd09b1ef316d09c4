use http::Method;
use serde_json::{Value, json};
use storage::outbox::told;
use storage::testing::{now, on_both};

use crate::support::{CLINIC, House, ada};

fn coding(system: &str, code: &str, display: &str) -> Value {
    json!({"system": system, "code": code, "display": display})
}

/// One of each kind, by its path.
fn examples() -> [(&'static str, Value); 4] {
    let loinc = "http://loinc.org";
    [
        (
            "allergies",
            json!({
                "coding": coding("http://snomed.info/sct", "91936005", "Allergy to penicillin"),
                "type": "allergy", "criticality": "high",
                "reactions": [{"manifestation": coding("http://snomed.info/sct", "247472004", "Hives")}],
            }),
        ),
        ("conditions", json!({"coding": coding("http://snomed.info/sct", "233604007", "Pneumonia")})),
        (
            "medications",
            json!({
                "coding": coding("http://www.whocc.no/atc", "J01CA04", "amoxicillin"),
                "dose": {"value": 500.0, "unit": "mg"}, "startedOn": "2026-01-01",
            }),
        ),
        (
            "vitals",
            json!({"coding": coding(loinc, "8867-4", "Heart rate"), "value": 72.0, "unit": "/min", "takenAt": now()}),
        ),
    ]
}

#[tokio::test]
async fn each_kind_is_stated_read_changed_and_taken_back() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let id = house.registered(ada()).await;
        for (kind, body) in examples() {
            let all = format!("/patients/{id}/{kind}");
            let made = house.post(&house.doctor, &all, body.clone()).await;
            assert_eq!(made.status.as_u16(), 201, "{kind}: {:?}", made.body);
            let (one, made) = (made.header("location").to_owned(), made.json());
            assert_eq!(made["coding"], body["coding"]);
            assert!(made["recordedBy"].as_str().unwrap().starts_with("user:"));
            assert_eq!(house.get(&house.nurse, &one).await.json(), made);
            assert_eq!(house.get(&house.nurse, &all).await.json(), json!([made]));

            let changed = house.patch(&house.nurse, &one, json!({"note": "seen again"})).await.json();
            assert_eq!((&changed["note"], &changed["coding"]), (&json!("seen again"), &made["coding"]));
            let wrong = house.patch(&house.nurse, &one, json!({"coding": {"code": ""}})).await;
            assert_eq!(wrong.problem(), (400, "invalid-value".into()));
            let foreign = house.patch(&house.nurse, &one, json!({"patientId": id})).await;
            assert_eq!(foreign.problem(), (422, "invalid-json".into()));

            for _ in 0..2 {
                let gone = house.ask(&house.doctor, Method::DELETE, &one, None).await;
                assert_eq!(gone.status.as_u16(), 204);
            }
            assert_eq!(house.get(&house.nurse, &all).await.json(), json!([]));
            assert_eq!(house.get(&house.nurse, &one).await.json()["isEnteredInError"], true);
            let late = house.patch(&house.nurse, &one, json!({"note": "x"})).await;
            assert_eq!(late.problem(), (409, "entered-in-error".into()));
        }
        let mut rows = db.read().await.unwrap();
        for name in ["statement_recorded", "statement_changed", "statement_retracted"] {
            assert_eq!(told(&mut rows, CLINIC, name, 9).await.unwrap().len(), 4, "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_statement_is_found_under_its_own_patient_and_kind_alone() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (id, other) = (house.registered(ada()).await, house.registered(ada()).await);
        let (_, allergy) = examples()[0].clone();
        let made = house.post(&house.doctor, &format!("/patients/{id}/allergies"), allergy).await.json();
        let statement = made["id"].as_str().unwrap();
        for path in
            [format!("/patients/{other}/allergies/{statement}"), format!("/patients/{id}/vitals/{statement}")]
        {
            assert_eq!(house.get(&house.doctor, &path).await.problem(), (404, "not-found".into()), "{path}");
            let change = house.patch(&house.doctor, &path, json!({"note": "x"})).await;
            assert_eq!(change.problem().0, 404);
            assert_eq!(house.ask(&house.doctor, Method::DELETE, &path, None).await.problem().0, 404);
        }
        let receptionist = house.get(&house.receptionist, &format!("/patients/{id}/allergies")).await;
        assert_eq!(receptionist.problem(), (403, "not-allowed".into()));
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_measured_is_refused() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let id = house.registered(ada()).await;
        let (_, rate) = examples()[3].clone();
        for (member, value) in [
            ("value", json!(720)),
            ("unit", json!("Hz")),
            ("takenAt", json!(now() + chrono::TimeDelta::hours(1))),
            ("components", json!([{"coding": rate["coding"], "value": 1.0, "unit": "/min"}])),
        ] {
            let mut body = rate.clone();
            body[member] = value;
            let refused = house.post(&house.nurse, &format!("/patients/{id}/vitals"), body).await;
            assert_eq!(refused.problem(), (400, "invalid-value".into()), "{member}");
        }
    })
    .await;
}

#[tokio::test]
async fn following_the_links_shows_every_statement_once() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let id = house.registered(ada()).await;
        for _ in 0..5 {
            let (_, rate) = examples()[3].clone();
            house.post(&house.nurse, &format!("/patients/{id}/vitals"), rate).await;
        }
        let mut path = format!("/patients/{id}/vitals?limit=2");
        let mut seen = std::collections::HashSet::new();
        for _ in 0..3 {
            let page = house.get(&house.nurse, &path).await;
            for vital in page.json().as_array().unwrap() {
                assert!(seen.insert(vital["id"].to_string()), "shown twice");
            }
            let link = page.header("link").to_owned();
            path = link.trim_start_matches('<').split('>').next().unwrap().to_owned();
        }
        assert_eq!((seen.len(), path.as_str()), (5, ""));
    })
    .await;
}
