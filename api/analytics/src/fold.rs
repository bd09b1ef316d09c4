//! What an event changes: pure, from the events and what is kept of their records to sums.
//!
//! A study is counted where it was received, whatever is told of it later, so that what was read is never more than
//! what came in; a visit where it begins; everything else where it was told. A later word on a record takes the place
//! of an earlier: a visit moves, a finding is judged anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use clinical::event::{Event, Found, Reviewed, SeriesBegun};
use clinical::id::{ClinicId, FindingId, PatientId, StudyId, UserId, VisitId};
use clinical::money::Currency;
use clinical::person::Sex;
use serde::{Deserialize, Serialize};
use storage::outbox::Told;
use uuid::Uuid;

use crate::tally::Tally;
use crate::within::{self, Step};

/// The longest name of a kind, in characters.
const KIND_CHARACTERS: usize = 80;

/// What is kept of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Facts {
    /// A patient: since when, and who they are; one whose record has gone into another is counted no more.
    Patient { at: i64, person: Person, is_merged: bool },
    /// A study: received when, of what; when it was read first and judged first.
    Study { at: i64, modality: String, found_at: Option<i64>, is_positive: bool, reviewed_at: Option<i64> },
    /// A visit; one that is cancelled is counted no more, until it is booked anew.
    Visit {
        starts_at: i64,
        physician: UserId,
        specialty: String,
        is_held: bool,
        #[serde(default)]
        is_cancelled: bool,
    },
    /// A finding that was judged.
    Finding { at: i64, physician: Option<UserId>, is_accepted: bool },
}

/// What of a patient is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Person {
    /// Administrative sex.
    pub sex: Sex,
    /// The day of birth, counted from 1970.
    pub born: Option<i64>,
}

/// Which record of which clinic.
pub(crate) type Key = (ClinicId, Uuid);

/// Whether an event is counted at all: what an instance adds to a series that is known is not.
pub(crate) fn counts(event: &Event) -> bool {
    !matches!(event, Event::Unknown | Event::InstanceStored { begins: None, .. })
}

/// The records that an event may change.
pub(crate) fn records_of(event: &Event) -> Vec<Uuid> {
    match event {
        Event::InstanceStored { study_id, begins: Some(begins), .. } => vec![study_id.0, begins.patient_id.0],
        Event::FindingsReady { study_id, .. } => vec![study_id.0],
        Event::FindingReviewed { finding_id, review: Some(review) } => vec![finding_id.0, review.study_id.0],
        Event::VisitBooked { visit_id, .. }
        | Event::VisitHeld { visit_id, .. }
        | Event::VisitCancelled { visit_id, .. } => vec![visit_id.0],
        Event::PatientRegistered { patient_id }
        | Event::PatientChanged { patient_id }
        | Event::PatientErased { patient_id } => vec![patient_id.0],
        Event::PatientMerged { patient_id, from_patient_id } => vec![patient_id.0, from_patient_id.0],
        _ => Vec::new(),
    }
}

/// What is known of records, and what events have added.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// What is kept of the records at hand.
    pub facts: HashMap<Key, Facts>,
    /// Which of it is to be written.
    pub changed: BTreeSet<Key>,
    /// Who the patients are.
    pub people: BTreeMap<(ClinicId, PatientId), Person>,
    /// What was added.
    pub tally: Tally,
}

impl Ledger {
    /// The patient whose sex and birth date an event makes us ask for, once the facts of its records are at hand: one
    /// who is not known yet, or is and has changed.
    pub fn asks_for(&self, told: &Told) -> Option<PatientId> {
        let is_known = |patient: &PatientId| self.facts.contains_key(&(told.clinic_id, patient.0));
        match &told.event {
            Event::InstanceStored { begins: Some(begins), .. } if !begins.is_own_result => {
                Some(begins.patient_id).filter(|patient| !is_known(patient))
            }
            Event::PatientRegistered { patient_id } => Some(*patient_id).filter(|patient| !is_known(patient)),
            Event::PatientChanged { patient_id }
            | Event::PatientErased { patient_id }
            | Event::PatientMerged { patient_id, .. } => Some(*patient_id).filter(is_known),
            _ => None,
        }
    }

    /// Takes in one event; those of a clinic come in the order in which they were told.
    pub fn fold(&mut self, told: &Told) {
        if !counts(&told.event) {
            return;
        }
        let (clinic, at) = (told.clinic_id, told.told_at.timestamp());
        let mut here = Here { ledger: self, clinic, at };
        here.add("events", told.event.name(), at, 1);
        match &told.event {
            Event::InstanceStored { study_id, begins: Some(begins), .. } => here.received(*study_id, begins),
            Event::FindingsReady { study_id, found: Some(found), .. } => here.found(*study_id, *found),
            Event::FindingReviewed { finding_id, review: Some(review) } => here.reviewed(*finding_id, review),
            Event::PatientRegistered { patient_id } => here.registered(*patient_id),
            Event::PatientChanged { patient_id } | Event::PatientErased { patient_id } => {
                here.changed(*patient_id)
            }
            Event::PatientMerged { patient_id, from_patient_id } => {
                here.merged(*from_patient_id);
                here.changed(*patient_id);
            }
            Event::VisitBooked { visit_id, physician_id, specialty, starts_at, .. } => {
                here.visit(*visit_id, *physician_id, specialty.as_deref(), starts_at.timestamp(), false);
            }
            Event::VisitHeld { visit_id, physician_id, specialty, starts_at, .. } => {
                here.visit(*visit_id, *physician_id, specialty.as_deref(), starts_at.timestamp(), true);
            }
            Event::VisitCancelled { visit_id, .. } => here.cancelled(*visit_id),
            Event::AppUsed { what, times, .. } => here.add("app_events", what, at, (*times).max(0)),
            Event::AssessmentMade { urgency, .. } => {
                here.add("assessments", urgency.map_or("", |urgency| urgency.as_str()), at, 1);
            }
            Event::IssueOverridden { .. } => here.add("overrides", "", at, 1),
            Event::NotificationSettled { channel, state, .. } => {
                here.add("deliveries", &format!("{channel} {state}"), at, 1);
            }
            Event::SubscriptionChanged { status, .. } => here.add("subscriptions", status, at, 1),
            event => here.money(event),
        }
    }
}

/// The ledger where and when an event was told.
struct Here<'l> {
    ledger: &'l mut Ledger,
    clinic: ClinicId,
    at: i64,
}

impl Here<'_> {
    fn add(&mut self, metric: &'static str, dimension: &str, at: i64, amount: i64) {
        self.ledger.tally.add(self.clinic, metric, &kind(dimension), at, amount);
    }

    fn known(&self, record: Uuid) -> Option<Facts> {
        self.ledger.facts.get(&(self.clinic, record)).cloned()
    }

    fn keep(&mut self, record: Uuid, facts: Facts) {
        let key = (self.clinic, record);
        if self.ledger.facts.insert(key, facts.clone()).as_ref() != Some(&facts) {
            self.ledger.changed.insert(key);
        }
    }

    fn person(&self, patient: PatientId) -> Person {
        self.ledger.people.get(&(self.clinic, patient)).copied().unwrap_or_default()
    }

    fn count_person(&mut self, person: Person, amount: i64) {
        self.ledger.tally.add_person(self.clinic, person.sex, person.born, amount);
    }

    fn registered(&mut self, patient: PatientId) {
        if self.known(patient.0).is_some() {
            return;
        }
        let (at, person) = (self.at, self.person(patient));
        self.add("patients", "", at, 1);
        self.count_person(person, 1);
        self.keep(patient.0, Facts::Patient { at, person, is_merged: false });
    }

    /// A patient who is not known was there before anybody counted.
    fn changed(&mut self, patient: PatientId) {
        let Some(Facts::Patient { at, person: before, is_merged: false }) = self.known(patient.0) else {
            return;
        };
        let person = self.person(patient);
        self.count_person(before, -1);
        self.count_person(person, 1);
        self.keep(patient.0, Facts::Patient { at, person, is_merged: false });
    }

    /// Two records were one person all along: the one that goes was never somebody.
    fn merged(&mut self, from: PatientId) {
        let Some(Facts::Patient { at, person, is_merged: false }) = self.known(from.0) else { return };
        self.add("patients", "", at, -1);
        self.count_person(person, -1);
        self.keep(from.0, Facts::Patient { at, person: Person::default(), is_merged: true });
    }

    fn received(&mut self, study: StudyId, begins: &SeriesBegun) {
        if begins.is_own_result {
            return;
        }
        self.registered(begins.patient_id);
        if self.known(study.0).is_some() {
            return;
        }
        let (at, modality) = (self.at, kind(begins.modality.as_deref().unwrap_or_default()));
        self.add("studies", &modality, at, 1);
        self.keep(
            study.0,
            Facts::Study { at, modality, found_at: None, is_positive: false, reviewed_at: None },
        );
    }

    fn found(&mut self, study: StudyId, found: Found) {
        let Some(Facts::Study { at, modality, found_at, is_positive, reviewed_at }) = self.known(study.0)
        else {
            return;
        };
        if found.scored <= 0 {
            return;
        }
        if found_at.is_none() {
            self.add("studies_read", &modality, at, 1);
            self.took(Step::Found, at, self.at - at);
        }
        let is_new_positive = found.positive > 0 && !is_positive;
        if is_new_positive {
            self.add("studies_positive", &modality, at, 1);
        }
        let found_at = found_at.or(Some(self.at));
        let is_positive = is_positive || is_new_positive;
        self.keep(study.0, Facts::Study { at, modality, found_at, is_positive, reviewed_at });
    }

    fn reviewed(&mut self, finding: FindingId, review: &Reviewed) {
        if let Some(Facts::Finding { at, physician, is_accepted }) = self.known(finding.0) {
            self.word(at, physician, is_accepted, -1);
        }
        let (at, physician, is_accepted) = (self.at, review.user_id, review.is_accepted);
        self.word(at, physician, is_accepted, 1);
        self.keep(finding.0, Facts::Finding { at, physician, is_accepted });

        let study = review.study_id.0;
        let Some(Facts::Study { at, modality, found_at, is_positive, reviewed_at: None }) = self.known(study)
        else {
            return;
        };
        self.add("studies_reviewed", &modality, at, 1);
        if let Some(found_at) = found_at {
            self.took(Step::Reviewed, at, self.at - found_at);
        }
        self.took(Step::Closed, at, self.at - at);
        let reviewed_at = Some(self.at);
        self.keep(study, Facts::Study { at, modality, found_at, is_positive, reviewed_at });
    }

    fn word(&mut self, at: i64, physician: Option<UserId>, is_accepted: bool, amount: i64) {
        self.add("reviews", if is_accepted { "accepted" } else { "rejected" }, at, amount);
        if let Some(physician) = physician {
            self.add("physicians", &physician.to_string(), at, amount);
        }
    }

    /// How long a step of a study took that was received at `at`.
    fn took(&mut self, step: Step, at: i64, seconds: i64) {
        let seconds = seconds.max(0);
        self.add(step.seconds(), "", at, seconds);
        self.add(step.count(), within::class(seconds), at, 1);
    }

    fn visit(
        &mut self,
        visit: VisitId,
        physician: UserId,
        specialty: Option<&str>,
        starts_at: i64,
        is_held: bool,
    ) {
        let was_held = self.forget_visit(visit);
        let (specialty, is_held) = (kind(specialty.unwrap_or_default()), is_held || was_held);
        self.count_visit(physician, &specialty, starts_at, is_held, 1);
        self.keep(visit.0, Facts::Visit { starts_at, physician, specialty, is_held, is_cancelled: false });
    }

    /// Counts a visit no more that is counted; whether it was held.
    fn forget_visit(&mut self, visit: VisitId) -> bool {
        match self.known(visit.0) {
            Some(Facts::Visit { starts_at, physician, specialty, is_held, is_cancelled: false }) => {
                self.count_visit(physician, &specialty, starts_at, is_held, -1);
                is_held
            }
            _ => false,
        }
    }

    fn cancelled(&mut self, visit: VisitId) {
        self.forget_visit(visit);
        if let Some(Facts::Visit { starts_at, physician, specialty, is_held, .. }) = self.known(visit.0) {
            self.keep(visit.0, Facts::Visit { starts_at, physician, specialty, is_held, is_cancelled: true });
        }
    }

    fn count_visit(
        &mut self,
        physician: UserId,
        specialty: &str,
        starts_at: i64,
        is_held: bool,
        amount: i64,
    ) {
        self.add("visits", specialty, starts_at, amount);
        if is_held {
            self.add("visits_held", specialty, starts_at, amount);
        }
        self.add("physicians", &physician.to_string(), starts_at, amount);
    }

    fn money(&mut self, event: &Event) {
        let sum = |here: &mut Self, count, minor, currency: &Currency, amount_minor: i64| {
            here.add(count, currency.code(), here.at, 1);
            here.add(minor, currency.code(), here.at, amount_minor);
        };
        match event {
            Event::InvoiceIssued { amount_minor, currency, .. } => {
                sum(self, "invoices_issued", "issued_minor", currency, *amount_minor);
            }
            Event::InvoicePaid { amount_minor, currency, .. } => {
                sum(self, "invoices_paid", "paid_minor", currency, *amount_minor);
            }
            Event::InvoiceClosed { amount_minor, currency, .. } => {
                sum(self, "invoices_closed", "closed_minor", currency, *amount_minor);
            }
            Event::InvoiceReminded { .. } => self.add("reminders", "", self.at, 1),
            Event::PaymentSucceeded { amount_minor, currency, .. } => {
                sum(self, "payments", "received_minor", currency, *amount_minor);
            }
            Event::PaymentFailed { amount_minor, currency, .. } => {
                sum(self, "payments_failed", "failed_minor", currency, *amount_minor);
            }
            Event::PaymentRefunded { amount_minor, currency, .. } => {
                sum(self, "refunds", "refunded_minor", currency, *amount_minor);
            }
            Event::PaymentDisputed { amount_minor, currency, .. } => {
                sum(self, "disputes", "disputed_minor", currency, *amount_minor);
            }
            _ => {}
        }
    }
}

/// A kind as it is counted under: trimmed, and no longer than a name should be.
fn kind(text: &str) -> String {
    text.trim().chars().take(KIND_CHARACTERS).collect()
}
