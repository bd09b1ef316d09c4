//! What people are told of by itself: events of the other houses become notices.
//!
//! Told twice, an event reaches nobody twice: its identifier is the notice's key.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clinical::clock::Clock;
use clinical::event::Event;
use clinical::id::{AssessmentId, ClinicId, PatientId, StudyId, UserId};
use clinical::money::{Currency, Money};
use clinical::notice::{Notice, NoticeCategory, NoticeUrgency};
use clinical::role::Role;
use futures::future::BoxFuture;
use storage::db::{Db, DbError, Tx, sql};
use storage::live::{self, To};
use storage::outbox::{HearError, Listener, Told};
use storage::records::assessment::Assessment;
use storage::records::finding::Finding;
use storage::records::patient::{Access, Reader};
use uuid::Uuid;

use crate::settings;
use crate::templates;

/// Levels of urgency that somebody must act on now.
const EMERGENCIES: [&str; 2] = ["emergency", "emergency-ambulance"];
/// Most people of a patient's own who are told.
const OWN_PEOPLE: i64 = 20;

/// Hears what has happened and tells people.
pub struct Triggers {
    db: Db,
    clock: Arc<dyn Clock>,
}

impl Triggers {
    /// Works over the system's handle.
    pub fn new(db: Db, clock: Arc<dyn Clock>) -> Self {
        Self { db, clock }
    }

    async fn tell(&self, told: &Told) -> Result<(), DbError> {
        let clinic = told.clinic_id;
        let mut tx = self.db.begin().await?;
        match &told.event {
            Event::FindingsReady { study_id, .. } => {
                findings_ready(&mut tx, told, *study_id, self.clock.now()).await?
            }
            Event::AssessmentMade { assessment_id, .. } => {
                assessment_made(&mut tx, told, *assessment_id, self.clock.now()).await?;
            }
            event => {
                if let Some((patient, draft)) = of_money(event) {
                    let people = people_of(&mut tx, clinic, patient).await?;
                    draft.tell(&mut tx, told, To::People(&people), self.clock.now()).await?;
                }
            }
        }
        tx.commit().await
    }
}

impl Listener for Triggers {
    fn name(&self) -> &'static str {
        "notifications"
    }

    fn hears(&self, told: &Told) -> bool {
        matches!(told.event, Event::FindingsReady { .. } | Event::AssessmentMade { .. })
            || of_money(&told.event).is_some()
    }

    fn hear<'a>(&'a self, told: &'a [Told]) -> BoxFuture<'a, Result<(), HearError>> {
        Box::pin(async move {
            // Of what came together the urgent is told first; told again, what was told stays told once.
            let mut order: Vec<&Told> = told.iter().collect();
            order.sort_by_key(|told| !matches!(told.event, Event::AssessmentMade { .. }));
            for told in order {
                self.tell(told).await.map_err(HearError::new)?;
            }
            Ok(())
        })
    }
}

/// A notice that is yet to be put into the clinic's words.
struct Draft {
    category: NoticeCategory,
    urgency: NoticeUrgency,
    template: &'static str,
    values: Vec<(&'static str, String)>,
    link: Option<String>,
}

impl Draft {
    /// Tells it in the language of the clinic; other channels put it into the reader's.
    async fn tell(self, tx: &mut Tx, told: &Told, to: To<'_>, now: DateTime<Utc>) -> Result<(), DbError> {
        let locale = settings::of(tx, told.clinic_id).await?.locale;
        let data = self.values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let said = templates::words(tx, told.clinic_id, self.template, &locale).await?.render(&data);
        let mut notice = Notice::new(self.category, self.urgency, &said.subject, &said.text);
        (notice.data, notice.link, notice.template) = (data, self.link, Some(self.template.to_owned()));
        let key = format!("e:{}", told.event_id);
        live::notify(tx, told.clinic_id, to, &notice, Some(&key), now).await.map(|_| ())
    }
}

/// Physicians are told that findings wait; those that are present come first and by every channel.
async fn findings_ready(tx: &mut Tx, told: &Told, study: StudyId, now: DateTime<Utc>) -> Result<(), DbError> {
    let findings = Finding::of_study(tx, told.clinic_id, study).await?;
    let is_present =
        |finding: &&Finding| finding.threshold.is_some_and(|threshold| finding.probability >= threshold);
    let present = findings.iter().filter(is_present).count();
    if findings.is_empty() {
        return Ok(());
    }
    let draft = Draft {
        category: NoticeCategory::Clinical,
        urgency: if present > 0 { NoticeUrgency::High } else { NoticeUrgency::Low },
        template: "findings_ready",
        values: vec![
            ("study_id", study.to_string()),
            ("present", present.to_string()),
            ("count", findings.len().to_string()),
        ],
        link: Some(format!("/studies/{study}")),
    };
    let patient: Option<Uuid> = sql("SELECT patient_id FROM studies WHERE clinic_id = $1 AND study_id = $2")
        .bind(told.clinic_id)
        .bind(study)
        .fetch_optional(tx)
        .await?;
    let doctors = seeing(tx, told.clinic_id, &[Role::Doctor], patient.map(PatientId), now).await?;
    draft.tell(tx, told, To::People(&doctors), now).await
}

/// Physicians and nurses are told of an assessment that is an emergency, whatever the hour.
async fn assessment_made(
    tx: &mut Tx,
    told: &Told,
    id: AssessmentId,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let assessment = match Assessment::find(tx, told.clinic_id, id).await {
        Ok(assessment) => assessment,
        Err(DbError::NotFound) => return Ok(()),
        Err(error) => return Err(error),
    };
    if !EMERGENCIES.contains(&assessment.urgency.as_str()) {
        return Ok(());
    }
    let draft = Draft {
        category: NoticeCategory::Emergency,
        urgency: NoticeUrgency::Critical,
        template: "emergency",
        values: vec![("assessment_id", id.to_string()), ("urgency", assessment.urgency)],
        link: Some(format!("/assessments/{id}")),
    };
    let people = seeing(tx, told.clinic_id, &[Role::Doctor, Role::Nurse], assessment.patient_id, now).await?;
    draft.tell(tx, told, To::People(&people), now).await
}

/// Those with one of the roles who may see the patient's records at this moment.
async fn seeing(
    tx: &mut Tx,
    clinic: ClinicId,
    roles: &[Role],
    patient: Option<PatientId>,
    now: DateTime<Utc>,
) -> Result<Vec<UserId>, DbError> {
    let mut people = Vec::new();
    for role in roles {
        let members: Vec<Uuid> = sql("SELECT user_id FROM memberships WHERE clinic_id = $1 AND role = $2")
            .bind(clinic)
            .bind(role.as_str())
            .fetch_all(tx)
            .await?;
        let Some(patient) = patient else {
            people.extend(members.into_iter().map(UserId));
            continue;
        };
        for user in members.into_iter().map(UserId) {
            let reader = Reader { role: Some(*role), user_id: Some(user), own: None };
            if Access::to_patient(tx, clinic, &reader, patient, now).await? == Access::Open {
                people.push(user);
            }
        }
    }
    Ok(people)
}

/// The people whose own record the patient's is.
async fn people_of(tx: &mut Tx, clinic: ClinicId, patient: PatientId) -> Result<Vec<UserId>, DbError> {
    let find = "SELECT user_id FROM memberships WHERE clinic_id = $1 AND patient_id = $2 LIMIT $3";
    let found: Vec<Uuid> = sql(find).bind(clinic).bind(patient).bind(OWN_PEOPLE).fetch_all(tx).await?;
    Ok(found.into_iter().map(UserId).collect())
}

/// What is told of money, and to whose people.
fn of_money(event: &Event) -> Option<(PatientId, Draft)> {
    let amount = |minor: i64, currency: Currency| ("amount", Money::new(minor, currency).to_string());
    let (patient, template, urgency, values) = match event {
        Event::InvoiceIssued { invoice_id, patient_id, amount_minor, currency } => (
            *patient_id,
            "invoice_issued",
            NoticeUrgency::Normal,
            vec![("invoice_id", invoice_id.to_string()), amount(*amount_minor, *currency)],
        ),
        Event::InvoicePaid { invoice_id, patient_id, amount_minor, currency } => (
            *patient_id,
            "invoice_paid",
            NoticeUrgency::Low,
            vec![("invoice_id", invoice_id.to_string()), amount(*amount_minor, *currency)],
        ),
        Event::InvoiceReminded { invoice_id, patient_id, reminder } => (
            *patient_id,
            "invoice_reminded",
            NoticeUrgency::Normal,
            vec![("invoice_id", invoice_id.to_string()), ("reminder", reminder.to_string())],
        ),
        Event::PaymentFailed { payment_id, patient_id, amount_minor, currency, .. } => (
            *patient_id,
            "payment_failed",
            NoticeUrgency::High,
            vec![("payment_id", payment_id.to_string()), amount(*amount_minor, *currency)],
        ),
        _ => return None,
    };
    let link = Some("/billing".to_owned());
    Some((patient?, Draft { category: NoticeCategory::Billing, urgency, template, values, link }))
}
