//! Every route × every role × {own, same clinic, other clinic, no token, expired token}, walked from the router
//! itself: a route that is added is walked too, and one without a rule cannot be added.

use axum::body::Body;
use axum::http::{Method, Request, header};
use chrono::TimeDelta;
use clinical::id::{ClinicId, PatientId};
use clinical::role::{Reach, Role};
use gate::Rule;
use gate::testing::{Answer, send, token_of};
use storage::db::Db;
use storage::records::clinic::Clinic;
use storage::records::member::Position;
use storage::records::patient::{Patient, PatientFacts};
use storage::testing::now;

use crate::support::{Built, street, street_at};

/// What the gate says before any handler has looked.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It let the request through, whatever the handler then said.
    Passed,
    /// 401.
    Unknown,
    /// 403 `not-allowed`.
    NotAllowed,
    /// 404 before the handler.
    NotThere,
}

struct Scene {
    built: Built,
    here: ClinicId,
    elsewhere: ClinicId,
    own: PatientId,
    other: PatientId,
}

async fn scene(db: &Db) -> Scene {
    let mut tx = db.begin().await.unwrap();
    let here = Clinic::create(&mut tx, "Here", "UTC", now()).await.unwrap().clinic_id;
    let elsewhere = Clinic::create(&mut tx, "Elsewhere", "UTC", now()).await.unwrap().clinic_id;
    let own = patient(&mut tx, here, "P1").await;
    let other = patient(&mut tx, here, "P2").await;
    tx.commit().await.unwrap();
    Scene { built: street(db), here, elsewhere, own, other }
}

async fn patient(tx: &mut storage::db::Tx, clinic: ClinicId, mrn: &str) -> PatientId {
    let facts = PatientFacts { mrn: mrn.to_owned(), ..PatientFacts::default() };
    Patient::ensure(tx, clinic, &facts, &"1.2.3".parse().unwrap(), now()).await.unwrap()
}

impl Scene {
    async fn ask(
        &self,
        route: &(Method, String, Rule),
        token: Option<&str>,
        clinic: ClinicId,
        patient: PatientId,
    ) -> Answer {
        let (method, path, _) = route;
        let uri = path
            .replace("{patientId}", &patient.to_string())
            .replace("{clinicId}", &clinic.to_string())
            .split('/')
            .map(|part| if part.starts_with('{') { "1" } else { part })
            .collect::<Vec<_>>()
            .join("/");
        let mut request =
            Request::builder().method(method).uri(uri).header("x-clinic-id", clinic.to_string());
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        send(&self.built.router, request.body(Body::empty()).unwrap()).await
    }
}

/// The verdict that an answer shows; `expected` tells a 404 of the gate from one of the handler's.
fn verdict(answer: &Answer, expected: &Verdict) -> Verdict {
    let is_problem = answer.header("content-type") == "application/problem+json";
    let code = if is_problem { answer.problem().1 } else { String::new() };
    match (answer.status.as_u16(), code.as_str()) {
        (401, "token-missing" | "token-invalid") => Verdict::Unknown,
        (403, "not-allowed") => Verdict::NotAllowed,
        (404, "not-found") if *expected == Verdict::NotThere => Verdict::NotThere,
        _ => Verdict::Passed,
    }
}

/// What the table and the route's rule say, from the description of the route alone.
fn expected(rule: &serde_json::Value, reach: Option<Reach>, is_here: bool, is_own: bool) -> Verdict {
    let by_path = rule["ownRecord"]["path"].is_string();
    match (reach, is_here) {
        (Some(Reach::Every), _) => Verdict::Passed,
        (_, false) => Verdict::NotThere,
        (None, true) => Verdict::NotAllowed,
        (Some(Reach::Clinic), true) => Verdict::Passed,
        (Some(Reach::Own), true) if rule["ownRecord"].is_null() => Verdict::NotAllowed,
        (Some(Reach::Own), true) if by_path && !is_own => Verdict::NotThere,
        (Some(Reach::Own), true) => Verdict::Passed,
    }
}

#[tokio::test]
async fn every_route_lets_in_whom_the_table_names_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&format!("sqlite:{}", folder.path().join("rows.sqlite").display())).await.unwrap();
    db.migrate().await.unwrap();
    let scene = scene(&db).await;
    let earlier = street_at(&db, now() - TimeDelta::hours(1));
    let document: serde_json::Value =
        serde_json::from_slice(&gate::testing::get(&scene.built.router, "/openapi.json").await.body).unwrap();
    let routes = &scene.built.rules;
    assert!(routes.len() > 80, "only {} routes were found", routes.len());

    for role in Role::ALL {
        let position = Position { patient_id: Some(scene.own), ..Position::of(*role) };
        let token = token_of(&scene.built.app, scene.here, &position).await;
        let expired = token_of(&earlier.app, scene.here, &position).await;
        for route in routes {
            let (method, path, rule) = route;
            let operation = &document["paths"][path][method.as_str().to_lowercase()];
            let Some(permission) = rule.permission() else {
                assert_eq!(operation["x-public"], true, "{method} {path}");
                let answer = scene.ask(route, None, scene.here, scene.own).await;
                assert_eq!(verdict(&answer, &Verdict::Passed), Verdict::Passed, "{method} {path}");
                continue;
            };
            let described = &operation["x-permission"];
            assert_eq!(described["resource"], permission.resource.as_str(), "{method} {path}");
            for token in [None, Some(expired.as_str())] {
                let answer = scene.ask(route, token, scene.here, scene.own).await;
                assert_eq!(
                    verdict(&answer, &Verdict::Unknown),
                    Verdict::Unknown,
                    "{method} {path} {token:?}"
                );
            }
            if path == "/api/v1/auth/logout" {
                continue; // it would end the session that the rest of the walk needs
            }
            let reach = role.reach(permission);
            for (clinic, patient) in
                [(scene.here, scene.own), (scene.here, scene.other), (scene.elsewhere, scene.own)]
            {
                let expected = expected(described, reach, clinic == scene.here, patient == scene.own);
                let answer = scene.ask(route, Some(&token), clinic, patient).await;
                let seen = verdict(&answer, &expected);
                let what = format!("{role} {method} {path} in {clinic} of {patient}: {answer:?}");
                assert_eq!(seen, expected, "{what}");
            }
        }
    }
}
