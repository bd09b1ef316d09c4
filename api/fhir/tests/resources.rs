//! Records as FHIR, on both databases.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

use axum::Router;
use axum::body::Body;
use axum::middleware::from_fn;
use clinical::coding::Coding;
use clinical::id::{AssessmentId, ClinicId, PatientId};
use clinical::person::{Demographics, Identifier, PersonName, Sex};
use clinical::role::Role;
use clinical::statement::{Fact, Statement};
use gate::testing::{Answer, app, send, token_of};
use gate::{App, HttpLimits, layers};
use http::{Request, header};
use serde_json::{Value, json};
use storage::db::{Db, Tx};
use storage::records::assessment::Assessment;
use storage::records::clinic::Clinic;
use storage::records::member::Position;
use storage::records::patient::{Grant, Patient};
use storage::records::statement;
use storage::records::study::{Study, StudyFacts};
use storage::records::user::User;
use storage::testing::{now, on_both};
use tempfile::TempDir;

const CLINIC: ClinicId = ClinicId::DEFAULT;
const FHIR: &str = "application/fhir+json";

struct House {
    app: App,
    router: Router,
    doctor: String,
    _folder: TempDir,
}

impl House {
    async fn over(db: &Db) -> Self {
        let (app, folder) = app(db, HttpLimits::default(), now());
        let router = layers(fhir::routes(app.clone()), app.clone()).layer(from_fn(fhir::as_outcome));
        let doctor = token_of(&app, CLINIC, &Position::of(Role::Doctor)).await;
        Self { app, router, doctor, _folder: folder }
    }

    async fn token(&self, role: Role) -> String {
        token_of(&self.app, CLINIC, &Position::of(role)).await
    }

    async fn ask(&self, token: &str, path: &str, accept: &str) -> Answer {
        let path = path.split_once("/fhir/R4").map_or(path, |(_, path)| path);
        let request = Request::get(format!("/fhir/R4{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::HOST, "clinic.example")
            .header(header::ACCEPT, accept);
        send(&self.router, request.body(Body::empty()).unwrap()).await
    }

    /// What a good answer holds.
    async fn get(&self, token: &str, path: &str) -> Value {
        let answer = self.ask(token, path, FHIR).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, FHIR), "{:?}", answer.body);
        answer.json()
    }

    async fn problem(&self, token: &str, path: &str) -> (u16, String) {
        self.ask(token, path, "*/*").await.problem()
    }
}

fn ada() -> Demographics {
    Demographics {
        name: PersonName::from_dicom("Test^Ada"),
        birth_date: "1980-02-01".parse().ok(),
        sex: Sex::Female,
        identifiers: vec![Identifier { issuer: "urn:oid:1.2".into(), value: "1".into() }],
        ..Demographics::default()
    }
}

async fn registered(db: &Db, person: &Demographics, is_restricted: bool) -> PatientId {
    let mut tx = db.begin().await.unwrap();
    let id = Patient::register(&mut tx, CLINIC, person, is_restricted, now()).await.unwrap();
    tx.commit().await.unwrap();
    id
}

async fn stated(tx: &mut Tx, patient: PatientId, kind: &str) -> Statement {
    let mut fact = json!({"kind": kind, "coding": Coding::of("http://loinc.org", "8867-4", "Heart rate")});
    if kind == "vital" {
        fact["takenAt"] = json!(now());
        (fact["value"], fact["unit"]) = (json!(72.0), json!("/min"));
    }
    let fact: Fact = serde_json::from_value(fact).unwrap();
    statement::record(tx, CLINIC, patient, fact, "user:1", now()).await.unwrap()
}

/// One statement of each kind and a study.
async fn filled(db: &Db, patient: PatientId) -> Vec<Statement> {
    let mut tx = db.begin().await.unwrap();
    let mut all = Vec::new();
    for kind in ["allergy", "condition", "medication", "vital"] {
        all.push(stated(&mut tx, patient, kind).await);
    }
    let uid = "1.2.3".parse().unwrap();
    Study::ensure(&mut tx, CLINIC, patient, &uid, &StudyFacts::default(), now()).await.unwrap();
    tx.commit().await.unwrap();
    all
}

fn resources(bundle: &Value) -> Vec<&Value> {
    bundle["entry"].as_array().into_iter().flatten().map(|entry| &entry["resource"]).collect()
}

#[tokio::test]
async fn anybody_may_read_what_the_service_can_do() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let statement = house.get("", "/metadata").await;
        assert_eq!(statement["fhirVersion"], "4.0.1");
        assert_eq!(statement["implementation"]["url"], "http://clinic.example/fhir/R4");
    })
    .await;
}

#[tokio::test]
async fn a_patient_is_read_and_found() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let id = registered(&db, &ada(), false).await;
        let read = house.get(&house.doctor, &format!("/Patient/{id}")).await;
        assert_eq!((&read["birthDate"], &read["name"][0]["family"]), (&json!("1980-02-01"), &json!("Test")));
        for query in [
            "identifier=urn:oid:1.2%7C1",
            "identifier=1",
            "name=ad",
            "birthdate=eq1980-02-01",
            "_format=json",
        ] {
            let found = house.get(&house.doctor, &format!("/Patient?{query}")).await;
            assert_eq!(resources(&found), [&read], "{query}");
            let full_url = &found["entry"][0]["fullUrl"];
            assert_eq!(full_url, &json!(format!("http://clinic.example/fhir/R4/Patient/{id}")));
        }
        let none = house.get(&house.doctor, "/Patient?name=zed").await;
        assert_eq!((none["type"].as_str(), resources(&none).len()), (Some("searchset"), 0));
        for query in ["birthdate=1980", "name=", "_count=0", "_cursor=x"] {
            assert_eq!(house.problem(&house.doctor, &format!("/Patient?{query}")).await.0, 400, "{query}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_stated_and_seen_of_a_patient_is_searched_and_read() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let id = registered(&db, &ada(), false).await;
        filled(&db, id).await;
        for kind in ["AllergyIntolerance", "Condition", "MedicationStatement", "Observation", "ImagingStudy"]
        {
            let found = house.get(&house.doctor, &format!("/{kind}?patient=Patient/{id}")).await;
            let found = resources(&found);
            assert_eq!((found.len(), &found[0]["resourceType"]), (1, &json!(kind)));
            let read =
                house.get(&house.doctor, &format!("/{kind}/{}", found[0]["id"].as_str().unwrap())).await;
            assert_eq!(&read, found[0]);
            assert_eq!(house.problem(&house.doctor, &format!("/{kind}")).await.0, 400, "{kind} of whom?");
            assert_eq!(house.problem(&house.doctor, &format!("/{kind}/{id}")).await.0, 404);
        }
        let everything = house.get(&house.doctor, &format!("/Patient/{id}/$everything")).await;
        let types: Vec<_> =
            resources(&everything).iter().map(|it| it["resourceType"].as_str().unwrap()).collect();
        let expected = [
            "Patient",
            "ImagingStudy",
            "Observation",
            "MedicationStatement",
            "Condition",
            "AllergyIntolerance",
        ];
        assert_eq!(types, expected);
    })
    .await;
}

#[tokio::test]
async fn following_the_links_shows_everything_once() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let id = registered(&db, &ada(), false).await;
        filled(&db, id).await;
        let mut path = format!("/Patient/{id}/$everything?_count=2");
        let mut seen = std::collections::HashSet::new();
        for page in 1.. {
            let bundle = house.get(&house.doctor, &path).await;
            for resource in resources(&bundle) {
                assert!(seen.insert(resource["id"].to_string()), "shown twice");
            }
            let Some(next) = bundle["link"].get(1) else {
                assert_eq!(page, 3);
                break;
            };
            path = next["url"].as_str().unwrap().to_owned();
        }
        assert_eq!(seen.len(), 6);
    })
    .await;
}

#[tokio::test]
async fn what_was_entered_in_error_leaves_the_search_and_stays_readable() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let id = registered(&db, &ada(), false).await;
        let allergy = filled(&db, id).await.remove(0).statement_id;
        let mut tx = db.begin().await.unwrap();
        statement::retract(&mut tx, CLINIC, allergy, now()).await.unwrap();
        tx.commit().await.unwrap();
        let found = house.get(&house.doctor, &format!("/AllergyIntolerance?patient={id}")).await;
        assert_eq!(resources(&found).len(), 0);
        let read = house.get(&house.doctor, &format!("/AllergyIntolerance/{allergy}")).await;
        assert_eq!(read["verificationStatus"]["coding"][0]["code"], "entered-in-error");
    })
    .await;
}

#[tokio::test]
async fn a_merged_patient_links_to_the_one_that_replaced_it() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let from = registered(&db, &ada(), false).await;
        let into = registered(&db, &Demographics { identifiers: Vec::new(), ..ada() }, false).await;
        filled(&db, from).await;
        let mut tx = db.begin().await.unwrap();
        Patient::merge(&mut tx, CLINIC, into, from, now()).await.unwrap();
        tx.commit().await.unwrap();
        let merged = house.get(&house.doctor, &format!("/Patient/{from}")).await;
        assert_eq!((&merged["active"], &merged["link"][0]["type"]), (&json!(false), &json!("replaced-by")));
        let found = house.get(&house.doctor, &format!("/Condition?patient={from}")).await;
        assert_eq!(resources(&found)[0]["subject"]["reference"], format!("Patient/{into}"));
    })
    .await;
}

#[tokio::test]
async fn a_record_of_another_clinic_or_another_patient_does_not_exist() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (own, other) = (
            registered(&db, &ada(), false).await,
            registered(&db, &Demographics { identifiers: Vec::new(), ..ada() }, false).await,
        );
        let mut tx = db.begin().await.unwrap();
        let elsewhere = Clinic::create(&mut tx, "Other", "UTC", now()).await.unwrap().clinic_id;
        tx.commit().await.unwrap();
        let stranger = token_of(&house.app, elsewhere, &Position::of(Role::Doctor)).await;
        let position = Position { patient_id: Some(other), ..Position::of(Role::Patient) };
        let another = token_of(&house.app, CLINIC, &position).await;
        let statements = filled(&db, own).await;
        let allergy = format!("/AllergyIntolerance/{}", statements[0].statement_id);
        for token in [&stranger, &another] {
            for path in [
                format!("/Patient/{own}"),
                format!("/Patient/{own}/$everything"),
                format!("/Condition?patient={own}"),
                format!("/ImagingStudy?patient={own}"),
                allergy.clone(),
            ] {
                assert_eq!(house.problem(token, &path).await, (404, "not-found".into()), "{path}");
            }
        }
        let position = Position { patient_id: Some(own), ..Position::of(Role::Patient) };
        let mine = token_of(&house.app, CLINIC, &position).await;
        for path in [format!("/Patient/{own}"), format!("/Condition?patient={own}"), allergy] {
            house.get(&mine, &path).await;
        }
        assert_eq!(house.problem(&mine, "/Patient").await.0, 403);
    })
    .await;
}

#[tokio::test]
async fn a_restricted_record_shows_that_it_is_there_and_opens_with_the_glass_broken() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let id = registered(&db, &ada(), true).await;
        let statements = filled(&db, id).await;
        let paths = [
            format!("/Patient/{id}"),
            format!("/Patient/{id}/$everything"),
            format!("/Observation?patient={id}"),
            format!("/ImagingStudy?patient={id}"),
            format!("/AllergyIntolerance/{}", statements[0].statement_id),
        ];
        for path in &paths {
            let refused = house.problem(&house.doctor, path).await;
            assert_eq!(refused, (403, "record-restricted".into()), "{path}");
        }
        let found = house.get(&house.doctor, "/Patient").await;
        assert_eq!(resources(&found)[0]["meta"]["security"][1]["code"], "REDACTED");
        assert!(resources(&found)[0].get("name").is_none());
        let receptionist = house.token(Role::Receptionist).await;
        assert_eq!(resources(&house.get(&receptionist, "/Patient").await).len(), 0);
        assert_eq!(house.problem(&receptionist, &paths[0]).await.0, 404);

        let mut tx = db.begin().await.unwrap();
        let users = User::list_in(&mut tx, CLINIC, None, 9).await.unwrap();
        for user in users {
            Grant::give(&mut tx, CLINIC, id, user.user_id, "unconscious", now()).await.unwrap();
        }
        tx.commit().await.unwrap();
        for path in &paths {
            house.get(&house.doctor, path).await;
        }
        let found = house.get(&house.doctor, "/Patient").await;
        assert_eq!(
            resources(&found)[0]["meta"]["security"],
            json!([{
                "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R",
            }])
        );
    })
    .await;
}

#[tokio::test]
async fn a_refusal_is_an_operation_outcome_for_those_who_ask_for_fhir() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let path = format!("/Patient/{}", PatientId::new());
        let outcome = house.ask(&house.doctor, &path, FHIR).await;
        assert_eq!((outcome.status.as_u16(), outcome.header("content-type")), (404, FHIR));
        let outcome = outcome.json();
        assert_eq!(
            (&outcome["resourceType"], &outcome["issue"][0]["code"]),
            (&json!("OperationOutcome"), &json!("not-found"))
        );
        let stranger = house.ask("nobody", &path, FHIR).await;
        assert_eq!((stranger.status.as_u16(), &stranger.json()["issue"][0]["code"]), (401, &json!("login")));
        assert_eq!(house.problem(&house.doctor, &path).await, (404, "not-found".into()));
    })
    .await;
}

#[tokio::test]
async fn the_auditor_reads_the_trail_and_nothing_else() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let id = registered(&db, &ada(), false).await;
        house.get(&house.doctor, &format!("/Patient/{id}")).await;
        let auditor = house.token(Role::SystemAuditor).await;
        let found = house.get(&auditor, &format!("/AuditEvent?patient=Patient/{id}&date=ge2026-01-01")).await;
        let events = resources(&found);
        assert_eq!((events.len(), &events[0]["resourceType"]), (1, &json!("AuditEvent")));
        let none = house.get(&auditor, &format!("/AuditEvent?patient={id}&date=lt2026-01-01")).await;
        assert_eq!(resources(&none).len(), 0);
        assert_eq!(house.problem(&auditor, "/AuditEvent?date=yesterday").await.0, 400);
        assert_eq!(house.problem(&auditor, &format!("/Patient/{id}")).await.0, 403);
        assert_eq!(house.problem(&house.doctor, "/AuditEvent").await.0, 403);
    })
    .await;
}

#[tokio::test]
async fn what_was_assessed_is_a_risk_and_an_impression() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let patient = registered(&db, &ada(), false).await;
        let mut tx = db.begin().await.unwrap();
        let answer = json!({
            "urgency": "consultation", "urgency_reasons": [], "unmatched": ["blurgh"],
            "differential": [{"condition": "common-cold", "name": "Common cold", "icd10": ["J00"], "probability": 0.9}],
        });
        let made = |patient_id| Assessment {
            assessment_id: AssessmentId::new(),
            patient_id,
            presentation: "{}".into(),
            answer: answer.to_string(),
            urgency: "consultation".into(),
            knowledge_version: "aa".into(),
            made_by: "administrator".into(),
            made_at: now(),
        };
        let (of_patient, of_nobody) = (made(Some(patient)), made(None));
        for assessment in [&of_patient, &of_nobody] {
            assessment.record(&mut tx, CLINIC).await.unwrap();
        }
        tx.commit().await.unwrap();
        for (kind, member) in [("RiskAssessment", "prediction"), ("ClinicalImpression", "finding")] {
            let path = format!("/{kind}/{}", of_patient.assessment_id);
            let resource = house.get(&house.doctor, &path).await;
            assert_eq!((&resource["resourceType"], &resource["subject"]["reference"]), (&json!(kind), &json!(format!("Patient/{patient}"))));
            assert_eq!(resource[member].as_array().unwrap().len(), 1, "{resource}");
            assert_eq!(resource["note"][0]["text"], "Not understood: blurgh");
            let found = house.get(&house.doctor, &format!("/{kind}?patient={patient}")).await;
            assert_eq!(found["entry"][0]["resource"], resource);
            let subjectless = format!("/{kind}/{}", of_nobody.assessment_id);
            assert_eq!(house.problem(&house.doctor, &subjectless).await.0, 404);
        }
    })
    .await;
}
