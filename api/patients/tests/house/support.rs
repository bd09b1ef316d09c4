//! The house with people of every kind before it.

use axum::Router;
use axum::body::Body;
use clinical::id::{ClinicId, PatientId, StudyId};
use clinical::role::Role;
use gate::testing::{Answer, app, send, token_of};
use gate::{App, HttpLimits, layers};
use http::{Method, Request, header};
use serde_json::{Value, json};
use storage::db::Db;
use storage::records::clinic::Clinic;
use storage::records::member::Position;
use storage::records::patient::{Patient, PatientFacts};
use storage::records::study::{Study, StudyFacts};
use storage::testing::now;
use tempfile::TempDir;

pub const CLINIC: ClinicId = ClinicId::DEFAULT;

pub struct House {
    pub app: App,
    pub router: Router,
    pub admin: String,
    pub doctor: String,
    pub nurse: String,
    pub receptionist: String,
    /// The doctor of another clinic.
    pub stranger: String,
    _folder: TempDir,
}

impl House {
    pub async fn over(db: &Db) -> Self {
        let (app, folder) = app(db, HttpLimits::default(), now());
        let mut tx = db.begin().await.unwrap();
        let other = Clinic::create(&mut tx, "Other", "UTC", now()).await.unwrap().clinic_id;
        tx.commit().await.unwrap();
        let token = async |clinic, role| token_of(&app, clinic, &Position::of(role)).await;
        Self {
            admin: token(CLINIC, Role::ClinicAdmin).await,
            doctor: token(CLINIC, Role::Doctor).await,
            nurse: token(CLINIC, Role::Nurse).await,
            receptionist: token(CLINIC, Role::Receptionist).await,
            stranger: token(other, Role::Doctor).await,
            router: layers(patients::routes(app.clone()), app.clone()),
            app,
            _folder: folder,
        }
    }

    /// Somebody whose own record is `patient`.
    pub async fn patient(&self, patient: PatientId) -> String {
        let own = Position { patient_id: Some(patient), ..Position::of(Role::Patient) };
        token_of(&self.app, CLINIC, &own).await
    }

    pub async fn ask(&self, token: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.ask_text(token, method, path, body.map(|body| body.to_string())).await
    }

    pub async fn ask_text(&self, token: &str, method: Method, path: &str, body: Option<String>) -> Answer {
        let path = if path.starts_with("/api") { path.to_owned() } else { format!("/api/v1{path}") };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json");
        send(&self.router, request.body(body.map_or_else(Body::empty, Body::from)).unwrap()).await
    }

    pub async fn get(&self, token: &str, path: &str) -> Answer {
        self.ask(token, Method::GET, path, None).await
    }

    pub async fn post(&self, token: &str, path: &str, body: Value) -> Answer {
        self.ask(token, Method::POST, path, Some(body)).await
    }

    pub async fn patch(&self, token: &str, path: &str, body: Value) -> Answer {
        self.ask(token, Method::PATCH, path, Some(body)).await
    }

    /// A patient, registered by the administrator.
    pub async fn registered(&self, body: Value) -> PatientId {
        let made = self.post(&self.admin, "/patients", body).await;
        assert_eq!(made.status.as_u16(), 201, "{:?}", made.body);
        made.json()["id"].as_str().unwrap().parse().unwrap()
    }
}

pub fn ada() -> Value {
    json!({"name": {"family": "Test", "given": "Ada"}, "birthDate": "1980-02-01", "sex": "female"})
}

/// A study of whom an image means by this Patient ID.
pub async fn study_of(db: &Db, mrn: &str, uid: &str) -> (PatientId, StudyId) {
    let uid = uid.parse().unwrap();
    let facts = PatientFacts { mrn: mrn.into(), name: "Test^Ada".into(), ..PatientFacts::default() };
    let mut tx = db.begin().await.unwrap();
    let patient = Patient::ensure(&mut tx, CLINIC, &facts, &uid, now()).await.unwrap();
    let study = Study::ensure(&mut tx, CLINIC, patient, &uid, &StudyFacts::default(), now()).await.unwrap();
    tx.commit().await.unwrap();
    (patient, study)
}
