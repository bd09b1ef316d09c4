use clinical::event::Event;
use clinical::id::PatientId;
use http::Method;
use serde_json::json;
use storage::audit::{Filter, search};
use storage::outbox::told;
use storage::records::study::Study;
use storage::testing::on_both;

use crate::support::{CLINIC, House, ada, study_of};

#[tokio::test]
async fn a_patient_is_registered_read_found_and_changed() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let mut body = ada();
        body["identifiers"] = json!([{"issuer": "HOSP", "value": "1"}]);
        let made = house.post(&house.receptionist, "/patients", body.clone()).await;
        assert_eq!(made.status.as_u16(), 201);
        let (path, made) = (made.header("location").to_owned(), made.json());
        assert_eq!(made["displayName"], "Ada Test");
        assert_eq!(house.get(&house.doctor, &path).await.json(), made);

        for query in ["name=ada", "identifier=HOSP%7C1", "identifier=1", "birthDate=1980-02-01", ""] {
            let found = house.get(&house.nurse, &format!("/patients?{query}")).await.json();
            assert_eq!(found, json!([made]), "{query}");
        }
        for query in ["name=eve", "identifier=%7C1", "birthDate=1980-02-02"] {
            assert_eq!(
                house.get(&house.nurse, &format!("/patients?{query}")).await.json(),
                json!([]),
                "{query}"
            );
        }

        let patch = json!({"name": {"given": "Eve"}, "phone": "+254 20 123", "birthDate": null});
        let changed = house.patch(&house.nurse, &path, patch).await.json();
        assert_eq!(changed["name"]["family"], "Test", "what the patch does not name stays");
        assert_eq!((&changed["displayName"], &changed["birthDate"]), (&json!("Eve Test"), &json!(null)));
        assert_eq!(house.get(&house.doctor, &path).await.json(), changed);

        let again = house.post(&house.receptionist, "/patients", body).await;
        assert_eq!(again.problem(), (409, "identifier-taken".into()));
        let mut rows = db.read().await.unwrap();
        let patient_id: PatientId = made["id"].as_str().unwrap().parse().unwrap();
        let events = told(&mut rows, CLINIC, "patient_registered", 9).await.unwrap();
        assert_eq!(
            events.into_iter().map(|it| it.event).collect::<Vec<_>>(),
            [Event::PatientRegistered { patient_id }]
        );
        let about = Filter { patient_id: Some(patient_id), ..Filter::default() };
        let lines = search(&mut rows, CLINIC, &about, None, 99).await.unwrap();
        assert!(lines.iter().any(|line| line.entry.action == "patient:create"), "{lines:?}");
        assert!(lines.iter().any(|line| line.entry.action == "patient:update"));
    })
    .await;
}

#[tokio::test]
async fn a_record_of_another_clinic_does_not_exist() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let id = house.registered(ada()).await;
        let other = house.registered(ada()).await;
        for path in ["", "/allergies", "/vitals", "/export"] {
            let answer = house.get(&house.stranger, &format!("/patients/{id}{path}")).await;
            assert_eq!(answer.problem(), (404, "not-found".into()), "{path}");
        }
        let path = format!("/patients/{id}");
        assert_eq!(house.patch(&house.stranger, &path, json!({"phone": "123"})).await.problem().0, 404);
        let merge = house.post(&house.stranger, &format!("{path}/merge"), json!({"from": other})).await;
        assert_eq!(merge.problem().0, 404);
        assert_eq!(house.get(&house.stranger, "/patients").await.json(), json!([]));
    })
    .await;
}

#[tokio::test]
async fn a_patient_sees_their_own_record_and_no_other() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (own, other) = (house.registered(ada()).await, house.registered(ada()).await);
        let token = house.patient(own).await;
        for path in ["", "/allergies", "/conditions", "/medications", "/vitals", "/export"] {
            let mine = house.get(&token, &format!("/patients/{own}{path}")).await;
            assert_eq!(mine.status.as_u16(), 200, "{path}: {:?}", mine.body);
            let theirs = house.get(&token, &format!("/patients/{other}{path}")).await;
            assert_eq!(theirs.problem(), (404, "not-found".into()), "{path}");
        }
        assert_eq!(house.get(&token, "/patients").await.problem().0, 403);
        let change = house.patch(&token, &format!("/patients/{own}"), json!({"phone": "123"})).await;
        assert_eq!(change.problem().0, 403);
    })
    .await;
}

#[tokio::test]
async fn what_nobody_can_be_is_refused() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let with = |member: &str, value: serde_json::Value| {
            let mut body = ada();
            body[member] = value;
            body
        };
        for (body, refusal) in [
            (json!({"name": {}}), (400, "invalid-value")),
            (with("birthDate", json!("2999-01-01")), (400, "invalid-value")),
            (with("name", json!({"family": "A^B"})), (400, "invalid-value")),
            (with("name", json!({"family": "x".repeat(65)})), (400, "invalid-value")),
            (with("email", json!("ada")), (400, "invalid-value")),
            (with("birthDate", json!("1980-13-01")), (422, "invalid-json")),
            (with("sex", json!("M")), (422, "invalid-json")),
            (with("clinicId", json!(CLINIC)), (422, "invalid-json")),
            (with("mergedInto", json!(CLINIC)), (422, "invalid-json")),
        ] {
            let refused = house.post(&house.doctor, "/patients", body.clone()).await;
            assert_eq!(refused.problem(), (refusal.0, refusal.1.to_owned()), "{body}");
        }
        let id = house.registered(ada()).await;
        let path = format!("/patients/{id}");
        let twice = Some(r#"{"phone": "123", "phone": "456"}"#.to_owned());
        let twice = house.ask_text(&house.doctor, Method::PATCH, &path, twice).await;
        assert_eq!(twice.problem(), (422, "invalid-json".into()));
        for patch in [json!({"id": id}), json!({"name": null})] {
            assert_eq!(house.patch(&house.doctor, &path, patch).await.problem().0, 422);
        }
    })
    .await;
}

#[tokio::test]
async fn a_merge_moves_studies_and_statements_and_leaves_a_pointer() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (from, study) = study_of(&db, "P1", "1.2.3").await;
        let into = house.registered(ada()).await;
        let allergy = json!({"coding": {"system": "urn:x", "code": "1", "display": "penicillin"}});
        let stated = house.post(&house.doctor, &format!("/patients/{from}/allergies"), allergy.clone()).await;
        assert_eq!(stated.status.as_u16(), 201);

        let path = format!("/patients/{into}/merge");
        let body = json!({"from": from});
        assert_eq!(house.post(&house.nurse, &path, body.clone()).await.problem().0, 403);
        let merged = house.post(&house.doctor, &path, body.clone()).await;
        let expected = json!({"id": into, "from": from, "movedStudies": 1, "movedStatements": 1});
        assert_eq!(merged.json(), expected);
        let mut rows = db.read().await.unwrap();
        assert_eq!(Study::find(&mut rows, CLINIC, study).await.unwrap().patient_id, into);
        let events = told(&mut rows, CLINIC, "patient_merged", 9).await.unwrap();
        assert_eq!(events[0].event, Event::PatientMerged { patient_id: into, from_patient_id: from });

        let pointer = house.get(&house.doctor, &format!("/patients/{from}")).await.json();
        assert_eq!(pointer["mergedInto"], json!(into));
        let ours = house.get(&house.doctor, &format!("/patients/{into}/allergies")).await.json();
        assert_eq!((ours.as_array().unwrap().len(), &ours[0]["patientId"]), (1, &json!(into)));
        let theirs = house.get(&house.doctor, &format!("/patients/{from}/allergies")).await.json();
        assert_eq!(theirs, ours, "nobody reads an empty list of allergies under the old number");
        let late = house.post(&house.doctor, &format!("/patients/{from}/allergies"), allergy).await;
        assert_eq!(late.problem(), (409, "patient-merged".into()));
        assert_eq!(house.post(&house.doctor, &path, body).await.problem(), (409, "patient-merged".into()));
        let same = house.post(&house.doctor, &path, json!({"from": into})).await;
        assert_eq!(same.problem(), (409, "same-patient".into()));
        assert_eq!(study_of(&db, "P1", "1.2.4").await.0, into, "what comes later comes to the survivor");
    })
    .await;
}

#[tokio::test]
async fn an_erasure_says_what_it_kept_and_why() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (id, study) = study_of(&db, "P1", "1.2.3").await;
        let path = format!("/patients/{id}/erase");
        let reason = json!({"reason": "the person has asked for it"});
        assert_eq!(house.post(&house.doctor, &path, reason.clone()).await.problem().0, 403);
        assert_eq!(house.post(&house.admin, &path, json!({"reason": ""})).await.problem().0, 400);
        let erased = house.post(&house.admin, &path, reason.clone()).await.json();
        assert_eq!(
            erased["removed"],
            json!({"demographics": true, "identifiers": 1, "studies": 0, "statements": 0})
        );
        let kept: Vec<_> =
            erased["kept"].as_array().unwrap().iter().map(|it| it["what"].as_str().unwrap()).collect();
        assert_eq!(kept, ["studies", "audit-trail"]);
        assert!(erased["kept"][0]["because"].as_str().unwrap().contains("10 years"));
        assert!(erased["keptUntil"].is_string());

        assert!(Study::find(&mut db.read().await.unwrap(), CLINIC, study).await.is_ok());
        let left = house.get(&house.admin, &format!("/patients/{id}")).await.json();
        assert_eq!((&left["displayName"], &left["identifiers"]), (&json!(""), &json!([])));
        assert!(left["erasedAt"].is_string());
        assert_eq!(house.get(&house.doctor, "/patients").await.json(), json!([]));
        let late = house.patch(&house.admin, &format!("/patients/{id}"), json!({"phone": "123"})).await;
        assert_eq!(late.problem(), (409, "patient-erased".into()));

        let empty = house.registered(ada()).await;
        let gone = house.post(&house.admin, &format!("/patients/{empty}/erase"), reason).await.json();
        assert_eq!(gone["kept"].as_array().unwrap().len(), 1, "nothing but the trail");
        let about = Filter { patient_id: Some(id), ..Filter::default() };
        let lines = search(&mut db.read().await.unwrap(), CLINIC, &about, None, 99).await.unwrap();
        let line = lines.iter().find(|line| {
            line.entry.action == "patient:erase" && line.entry.outcome == storage::audit::Outcome::Success
        });
        assert_eq!(line.unwrap().entry.detail, Some(json!({"reason": "the person has asked for it"})));
    })
    .await;
}
