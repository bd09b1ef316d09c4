//! What people are told of by itself: events of the other houses become notices.
//!
//! Told twice, an event reaches nobody twice: its identifier is the notice's key. A study of many images is told of
//! many times; whoever has heard that it has findings, or that none of them is present, hears the same no more.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clinical::clock::Clock;
use clinical::event::{Aggregate, Event};
use clinical::id::{AssessmentId, ClinicId, PatientId, StudyId, UserId};
use clinical::money::{Currency, Money};
use clinical::notice::{Notice, NoticeCategory, NoticeUrgency};
use clinical::role::{Resource, Role};
use futures::future::BoxFuture;
use storage::db::{Db, DbError, Tx, sql};
use storage::live::{self, To};
use storage::outbox::{HearError, Listener, Told};
use storage::records::assessment::Assessment;
use storage::records::finding::{Finding, Waiting};
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
            // Where nothing was written there is nothing to look at.
            Event::FindingsReady { analysis_ids, .. } if analysis_ids.is_empty() => return Ok(()),
            Event::FindingsReady { study_id, .. } => {
                findings_ready(&mut tx, clinic, *study_id, self.clock.now()).await?;
            }
            Event::AssessmentMade { assessment_id, .. } => {
                assessment_made(&mut tx, told, *assessment_id, self.clock.now()).await?;
            }
            event => {
                if let Some((patient, draft)) = of_money(event) {
                    let people = people_of(&mut tx, clinic, patient).await?;
                    draft.tell(&mut tx, clinic, &people, &key_of(told), self.clock.now()).await?;
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
    /// Who has a notice with this key gets no other.
    async fn tell(
        self,
        tx: &mut Tx,
        clinic: ClinicId,
        people: &[UserId],
        key: &str,
        now: DateTime<Utc>,
    ) -> Result<(), DbError> {
        if people.is_empty() {
            return Ok(());
        }
        let locale = settings::of(tx, clinic).await?.locale;
        let data = self.values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let said = templates::words(tx, clinic, self.template, &locale).await?.render(&data);
        let mut notice = Notice::new(self.category, self.urgency, &said.subject, &said.text);
        (notice.data, notice.link, notice.template) = (data, self.link, Some(self.template.to_owned()));
        live::notify(tx, clinic, To::People(people), &notice, Some(key), now).await.map(|_| ())
    }
}

/// The key of what is told of one event.
fn key_of(told: &Told) -> String {
    format!("e:{}", told.event_id)
}

/// Physicians are told that findings wait, each once that some are and once that some are present; those that are
/// present come first and by every channel.
async fn findings_ready(
    tx: &mut Tx,
    clinic: ClinicId,
    study: StudyId,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let Waiting { count, present_count } = Finding::waiting(tx, clinic, study).await?;
    if count == 0 {
        return Ok(());
    }
    let draft = Draft {
        category: NoticeCategory::Clinical,
        urgency: if present_count > 0 { NoticeUrgency::High } else { NoticeUrgency::Low },
        template: "findings_ready",
        values: vec![
            ("study_id", study.to_string()),
            ("present", present_count.to_string()),
            ("count", count.to_string()),
        ],
        link: Some(format!("/studies/{study}")),
    };
    let key = format!("f:{study}:{}", present_count > 0);
    let patient: Option<Uuid> = sql("SELECT patient_id FROM studies WHERE clinic_id = $1 AND study_id = $2")
        .bind(clinic)
        .bind(study)
        .fetch_optional(tx)
        .await?;
    let doctors = seeing(tx, clinic, &[Role::Doctor], patient.map(PatientId), &key, now).await?;
    draft.tell(tx, clinic, &doctors, &key, now).await
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
    let (roles, key) = ([Role::Doctor, Role::Nurse], key_of(told));
    let people = seeing(tx, told.clinic_id, &roles, assessment.patient_id, &key, now).await?;
    draft.tell(tx, told.clinic_id, &people, &key, now).await
}

/// Those with one of the roles who may see the patient's records at this moment and have no notice with this key.
async fn seeing(
    tx: &mut Tx,
    clinic: ClinicId,
    roles: &[Role],
    patient: Option<PatientId>,
    key: &str,
    now: DateTime<Utc>,
) -> Result<Vec<UserId>, DbError> {
    // What a stranger sees everybody sees: a record that is not restricted.
    let is_open = match patient {
        Some(patient) => {
            let stranger = Reader { role: None, user_id: None, own: None };
            Access::to_patient(tx, clinic, &stranger, patient, now).await? == Access::Open
        }
        None => true,
    };
    let mut people = Vec::new();
    for role in roles {
        let members = live::not_told(tx, clinic, *role, key).await?;
        let Some(patient) = patient.filter(|_| !is_open) else {
            people.extend(members);
            continue;
        };
        for user in members {
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
        Event::InvoiceSent { invoice_id, patient_id, amount_minor, currency } => (
            *patient_id,
            "invoice_sent",
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
    let link = Some(match event.aggregate() {
        Some(Aggregate { kind: Resource::Invoice, id }) => format!("/billing/invoices/{id}"),
        _ => "/billing".to_owned(),
    });
    Some((patient?, Draft { category: NoticeCategory::Billing, urgency, template, values, link }))
}
