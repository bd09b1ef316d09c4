//! The trail over HTTP, on both databases.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

use axum::Router;
use axum::body::Body;
use chrono::TimeDelta;
use clinical::audit::{Actor, Entry, Outcome};
use clinical::id::{ClinicId, PatientId, UserId};
use clinical::role::Role;
use gate::testing::{Answer, app, get, send, token_of};
use gate::{App, HttpLimits, layers};
use http::{Method, Request, header};
use serde_json::Value;
use storage::audit::{seal_pending, write};
use storage::db::Db;
use storage::records::member::Position;
use storage::testing::{now, on_both};

const CLINIC: ClinicId = ClinicId::DEFAULT;

/// The house over `db`.
fn house(db: &Db) -> (Router, App, tempfile::TempDir) {
    let (app, folder) = app(db, HttpLimits::default(), now());
    (layers(audit_house::routes(app.clone()), app.clone()), app, folder)
}

/// What was read so many seconds before the requests of these tests.
fn entry(seconds: i64) -> Entry {
    Entry {
        clinic_id: CLINIC,
        at: now() - TimeDelta::seconds(seconds),
        actor: Actor::User(UserId::new()),
        role: Some(Role::Nurse),
        session: None,
        action: "patient:read".to_owned(),
        record_id: None,
        patient_id: Some(PatientId::new()),
        route: "GET /api/v1/patients/{patientId}".to_owned(),
        address: Some("192.0.2.7".to_owned()),
        request_id: None,
        outcome: Outcome::Success,
        detail: None,
    }
}

async fn written(db: &Db, entries: &[Entry]) {
    let mut tx = db.begin().await.unwrap();
    for entry in entries {
        write(&mut tx, entry).await.unwrap();
    }
    tx.commit().await.unwrap();
}

fn actors(answer: &Answer) -> Vec<String> {
    let lines = answer.json();
    lines.as_array().unwrap().iter().map(|line| line["actor"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_trail_is_searched_newest_first_and_a_page_at_a_time() {
    on_both(async |db| {
        let (house, ..) = house(&db);
        let denied = Entry { outcome: Outcome::Denied, action: "account:sign-in".to_owned(), ..entry(10) };
        let foreign = Entry { clinic_id: ClinicId::new(), ..entry(5) };
        let all = [entry(30), entry(20), denied, foreign];
        written(&db, &all).await;
        seal_pending(&db).await.unwrap();
        let to = "to=2026-09-21T14:13:20Z";
        let [first, second, denied, _] = all.each_ref().map(|entry| entry.actor.to_string());
        let page = get(&house, &format!("/api/v1/audit?limit=2&{to}")).await;
        assert_eq!(actors(&page), [denied.clone(), second.clone()]);
        let next = page.header("link").trim_start_matches('<').split('>').next().unwrap().to_owned();
        assert_eq!(actors(&get(&house, &next).await), std::slice::from_ref(&first));
        let patient = all[1].patient_id.unwrap();
        for (query, expected) in [
            (format!("actor={first}"), &first),
            (format!("patientId={patient}"), &second),
            ("outcome=denied".to_owned(), &denied),
            ("action=account:sign-in".to_owned(), &denied),
            ("from=2026-09-21T14:13:10Z".to_owned(), &denied),
        ] {
            let found = get(&house, &format!("/api/v1/audit?{query}&{to}")).await;
            assert_eq!(actors(&found), std::slice::from_ref(expected), "{query}");
        }
        let line = &page.json()[0];
        assert_eq!(line["seq"], 3);
        let one = get(&house, &format!("/api/v1/audit/{}", line["id"].as_str().unwrap())).await;
        assert_eq!(&one.json(), line);
        for odd in ["actor=robot", "outcome=fine", "from=yesterday", "patientId=1"] {
            assert_eq!(
                get(&house, &format!("/api/v1/audit?{odd}")).await.problem().1,
                "invalid-query",
                "{odd}"
            );
        }
    })
    .await;
}

/// Longer than a page of the export.
#[tokio::test]
async fn the_trail_is_taken_away_by_lines_also_as_fhir() {
    on_both(async |db| {
        let (house, ..) = house(&db);
        let all: Vec<_> = (1..=1_001).map(entry).collect();
        written(&db, &all).await;
        for (format, kind, media_type) in [
            ("", Value::Null, "application/x-ndjson"),
            ("&format=fhir", Value::from("AuditEvent"), "application/fhir+ndjson"),
        ] {
            let answer = get(&house, &format!("/api/v1/audit/export?action=patient:read{format}")).await;
            assert_eq!(answer.header("content-type"), media_type);
            let lines: Vec<Value> = String::from_utf8(answer.body.to_vec())
                .unwrap()
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            assert_eq!(lines.len(), 1_001);
            assert!(lines.iter().all(|line| line["resourceType"] == kind));
        }
        let none = get(&house, "/api/v1/audit/export?action=none").await;
        assert_eq!((none.status.as_u16(), none.body.len()), (200, 0));
    })
    .await;
}

#[tokio::test]
async fn only_who_keeps_watch_may_look_and_their_look_is_written_down() {
    on_both(async |db| {
        let (house, app, _folder) = house(&db);
        written(&db, &[entry(1)]).await;
        for (role, status) in [(Role::SystemAuditor, 200), (Role::ClinicAdmin, 403), (Role::Doctor, 403)] {
            let token = token_of(&app, CLINIC, &Position::of(role)).await;
            for path in ["/api/v1/audit", "/api/v1/audit/export"] {
                let request = Request::builder()
                    .method(Method::GET)
                    .uri(path)
                    .header(header::AUTHORIZATION, format!("Bearer {token}"))
                    .body(Body::empty())
                    .unwrap();
                assert_eq!(send(&house, request).await.status.as_u16(), status, "{role} {path}");
            }
        }
        let looks = get(&house, "/api/v1/audit?action=audit:list").await.json();
        let outcomes: Vec<_> =
            looks.as_array().unwrap().iter().map(|line| line["outcome"].as_str().unwrap()).collect();
        assert_eq!(outcomes.iter().filter(|it| **it == "success").count(), 1, "the auditor's");
        assert_eq!(outcomes.iter().filter(|it| **it == "denied").count(), 2);
    })
    .await;
}
