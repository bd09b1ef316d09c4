//! The house over a database, and events to tell in it.

use analytics::catch_up;
use axum::Router;
use axum::body::Body;
use chrono::{DateTime, NaiveDate, Utc};
use clinical::event::{Event, Found, Reviewed, SeriesBegun};
use clinical::id::{
    ClinicId, FindingId, InstanceId, InvoiceId, PatientId, PaymentId, StudyId, UserId, VisitId,
};
use clinical::person::{Demographics, PersonName, Sex};
use gate::testing::{Answer, app, get, send};
use gate::{App, HttpLimits, layers};
use http::{Request, header};
use serde_json::Value;
use storage::db::Db;
use storage::outbox::relay::{Work, place_all};
use storage::outbox::tell;
use storage::records::patient::Patient;

pub const CLINIC: ClinicId = ClinicId::DEFAULT;

/// A Sunday in November.
pub fn now() -> DateTime<Utc> {
    at("2026-11-22T12:00:00Z")
}

pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub struct House {
    pub db: Db,
    pub app: App,
    pub router: Router,
    _folder: tempfile::TempDir,
}

impl House {
    pub fn open(db: &Db) -> Self {
        let (app, folder) = app(db, HttpLimits::default(), now());
        let router = layers(analytics::routes(app.clone()), app.clone());
        Self { db: db.clone(), app, router, _folder: folder }
    }

    pub async fn tell(&self, events: &[(&str, Event)]) {
        let mut tx = self.db.begin().await.unwrap();
        for (when, event) in events {
            tell(&mut tx, CLINIC, event, at(when)).await.unwrap();
        }
        tx.commit().await.unwrap();
        place_all(&self.db, Work::None).await.unwrap();
    }

    pub async fn counted(&self) -> u64 {
        catch_up(&self.db).await.unwrap()
    }

    pub async fn json(&self, path: &str) -> Value {
        let answer = get(&self.router, path).await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        answer.json()
    }

    pub async fn get_as(&self, token: &str, clinic: ClinicId, path: &str) -> Answer {
        let request = Request::get(path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header("x-clinic-id", clinic.to_string());
        send(&self.router, request.body(Body::empty()).unwrap()).await
    }

    /// A patient of this sex and birth date, who is told of.
    pub async fn patient(&self, when: &str, sex: Sex, born: Option<&str>) -> PatientId {
        let demographics = Demographics {
            name: PersonName { family: Some("Somebody".to_owned()), ..PersonName::default() },
            sex,
            birth_date: born.map(|day| day.parse::<NaiveDate>().unwrap()),
            ..Demographics::default()
        };
        let mut tx = self.db.begin().await.unwrap();
        let patient_id = Patient::register(&mut tx, CLINIC, &demographics, false, at(when)).await.unwrap();
        tx.commit().await.unwrap();
        self.tell(&[(when, Event::PatientRegistered { patient_id })]).await;
        patient_id
    }
}

pub fn visit(visit_id: VisitId, physician_id: UserId, specialty: &str, starts_at: &str) -> Event {
    let specialty = Some(specialty.to_owned());
    Event::VisitBooked {
        visit_id,
        patient_id: PatientId::new(),
        physician_id,
        specialty,
        starts_at: at(starts_at),
    }
}

pub fn paid(amount_minor: i64, code: &str) -> Event {
    Event::PaymentSucceeded {
        payment_id: PaymentId::new(),
        invoice_id: Some(InvoiceId::new()),
        patient_id: None,
        amount_minor,
        currency: code.parse().unwrap(),
    }
}

pub fn refunded(amount_minor: i64, code: &str) -> Event {
    Event::PaymentRefunded {
        payment_id: PaymentId::new(),
        invoice_id: None,
        patient_id: None,
        amount_minor,
        currency: code.parse().unwrap(),
    }
}

pub fn stored(study_id: StudyId, modality: &str) -> Event {
    let begins = SeriesBegun {
        patient_id: PatientId::new(),
        modality: Some(modality.to_owned()),
        is_own_result: false,
    };
    Event::InstanceStored { study_id, instance_id: InstanceId::new(), begins: Some(begins) }
}

pub fn ready(study_id: StudyId, positive: i64) -> Event {
    let found = Found { scored: 1, abstained: 0, positive };
    Event::FindingsReady { study_id, analysis_ids: Vec::new(), found: Some(found) }
}

pub fn word(finding_id: FindingId, study_id: StudyId, is_accepted: bool) -> Event {
    let review = Reviewed { study_id, user_id: None, is_accepted };
    Event::FindingReviewed { finding_id, review: Some(review) }
}
