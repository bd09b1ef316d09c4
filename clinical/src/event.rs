//! What happened, told in the same transaction that made it so.

mod facts;

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::decision::Urgency;
use crate::id::{
    AnalysisId, AssessmentId, ClinicId, FindingId, GrantId, InstanceId, InvoiceId, MembershipId,
    NotificationId, OverrideId, PatientId, PaymentId, StatementId, StudyId, SubscriptionId, TombstoneId,
    UserId, VisitId, WebhookId, WorkitemId,
};
use crate::money::Currency;
use crate::role::Resource;

pub use facts::{Found, Reviewed, SeriesBegun};

/// What part of the day of a clinic an event belongs to.
///
/// Source: the event system of the clinic application that was there first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Category {
    /// What a person did with an account.
    UserActivity,
    /// Medical records, images and findings among them.
    EhrRecord,
    /// Appointments.
    Appointment,
    /// Money.
    Billing,
    /// The running of a clinic.
    Clinic,
    /// Video consultations.
    Video,
}

/// How soon an event should be heard; higher goes first where hearers queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Priority {
    /// One of many, as each stored instance is.
    Low,
    /// The day's work.
    Normal,
    /// Somebody waits for it.
    High,
    /// Somebody must act.
    Critical,
}

/// The record that an event is about: its events are heard in the order in which they were told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Aggregate {
    /// What kind of record.
    pub kind: Resource,
    /// Which one.
    pub id: Uuid,
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)
    }
}

/// Each event on one line: its variant, its stable name, category, priority, and the record that it is about.
macro_rules! events {
    ($(
        $(#[$doc:meta])*
        $variant:ident $name:literal $category:ident $priority:ident $kind:ident($about:ident) {
            $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
        }
    )*) => {
        /// Something that others may care about. It names records, never people.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "type", rename_all = "snake_case")]
        pub enum Event {
            $($(#[$doc])* $variant { $($(#[$field_doc])* $field: $type,)* },)*
            /// An event of a newer program, whose words this one does not know; it is never told.
            #[serde(other)]
            Unknown,
        }

        impl Event {
            /// The names of all of them.
            pub const NAMES: &[&str] = &[$($name,)*];

            /// The stable name under which the event is stored and heard.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $name,)*
                    Self::Unknown => "unknown",
                }
            }

            /// What part of the day of a clinic it belongs to.
            pub fn category(&self) -> Category {
                match self {
                    $(Self::$variant { .. } => Category::$category,)*
                    Self::Unknown => Category::Clinic,
                }
            }

            /// How soon it should be heard.
            pub fn priority(&self) -> Priority {
                match self {
                    $(Self::$variant { .. } => Priority::$priority,)*
                    Self::Unknown => Priority::Normal,
                }
            }

            /// The record that it is about; `None` for an event of a newer program.
            pub fn aggregate(&self) -> Option<Aggregate> {
                match self {
                    $(Self::$variant { $about, .. } => {
                        Some(Aggregate { kind: Resource::$kind, id: Uuid::from(*$about) })
                    })*
                    Self::Unknown => None,
                }
            }
        }

        impl Category {
            /// The names of its events.
            pub fn events(self) -> Vec<&'static str> {
                let all = [$(($name, Category::$category),)*];
                all.into_iter().filter(|(_, category)| *category == self).map(|(name, _)| name).collect()
            }
        }
    };
}

events! {
    /// An instance is stored for good.
    InstanceStored "instance_stored" EhrRecord Low Study(study_id) {
        /// The study it belongs to.
        study_id: StudyId,
        /// The instance.
        instance_id: InstanceId,
        /// The series that it is the first of; with a later one of a series nothing is told of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        begins: Option<SeriesBegun>,
    }
    /// Other bytes came under the UID of a stored instance.
    InstanceVersioned "instance_versioned" EhrRecord Normal Study(study_id) {
        /// The study it belongs to.
        study_id: StudyId,
        /// The instance.
        instance_id: InstanceId,
    }
    /// Instances of a study were deleted or rejected: nobody finds them any more.
    InstancesRemoved "instances_removed" EhrRecord High Study(study_id) {
        /// The study they belonged to.
        study_id: StudyId,
        /// Which, by whom and why.
        tombstone_id: TombstoneId,
    }
    /// Nothing is stored into a study any more.
    StudyLocked "study_locked" EhrRecord Normal Study(study_id) {
        /// The study.
        study_id: StudyId,
    }
    /// A study takes instances again.
    StudyUnlocked "study_unlocked" EhrRecord Normal Study(study_id) {
        /// The study.
        study_id: StudyId,
    }
    /// A step of a worklist was made, or changed its state or its data.
    WorkitemChanged "workitem_changed" EhrRecord Normal Workitem(workitem_id) {
        /// The step.
        workitem_id: WorkitemId,
    }
    /// The networks have looked at a study.
    FindingsReady "findings_ready" EhrRecord High Study(study_id) {
        /// The study.
        study_id: StudyId,
        /// The analyses that were written.
        analysis_ids: Vec<AnalysisId>,
        /// What came of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        found: Option<Found>,
    }
    /// A physician has accepted or rejected a finding.
    FindingReviewed "finding_reviewed" EhrRecord Normal Finding(finding_id) {
        /// The finding.
        finding_id: FindingId,
        /// What they said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        review: Option<Reviewed>,
    }
    /// A patient's record was made by hand.
    PatientRegistered "patient_registered" EhrRecord Normal Patient(patient_id) {
        /// The patient.
        patient_id: PatientId,
    }
    /// A patient's demographics were changed.
    PatientChanged "patient_changed" EhrRecord Normal Patient(patient_id) {
        /// The patient.
        patient_id: PatientId,
    }
    /// Two records of one person have become one; studies and statements have moved along.
    PatientMerged "patient_merged" EhrRecord High Patient(patient_id) {
        /// The record that stands for both.
        patient_id: PatientId,
        /// The record that points to it now.
        from_patient_id: PatientId,
    }
    /// What the law lets be removed of a patient was removed.
    PatientErased "patient_erased" EhrRecord High Patient(patient_id) {
        /// The patient.
        patient_id: PatientId,
    }
    /// Somebody looks at a restricted record, for a reason that they gave.
    GlassBroken "glass_broken" EhrRecord Critical Patient(patient_id) {
        /// The patient.
        patient_id: PatientId,
        /// The access that was given.
        grant_id: GrantId,
    }
    /// An allergy, condition, medication or vital sign was stated.
    StatementRecorded "statement_recorded" EhrRecord Normal Patient(patient_id) {
        /// The patient.
        patient_id: PatientId,
        /// What was stated.
        statement_id: StatementId,
        /// Of which kind.
        kind: Resource,
    }
    /// An allergy, condition, medication or vital sign was changed.
    StatementChanged "statement_changed" EhrRecord Normal Patient(patient_id) {
        /// The patient.
        patient_id: PatientId,
        /// What was changed.
        statement_id: StatementId,
        /// Of which kind.
        kind: Resource,
    }
    /// An allergy, condition, medication or vital sign was entered in error.
    StatementRetracted "statement_retracted" EhrRecord High Patient(patient_id) {
        /// The patient.
        patient_id: PatientId,
        /// What was never true.
        statement_id: StatementId,
        /// Of which kind.
        kind: Resource,
    }
    /// Symptoms were assessed.
    AssessmentMade "assessment_made" EhrRecord Normal Assessment(assessment_id) {
        /// The assessment.
        assessment_id: AssessmentId,
        /// How soon somebody should be seen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        urgency: Option<Urgency>,
    }
    /// An issue with drugs was overridden, for a reason that was given.
    IssueOverridden "issue_overridden" EhrRecord High IssueOverride(override_id) {
        /// The override.
        override_id: OverrideId,
    }
    /// A visit was booked, or moved to another time or physician.
    VisitBooked "visit_booked" Appointment Normal Appointment(visit_id) {
        /// The visit.
        visit_id: VisitId,
        /// Who comes.
        patient_id: PatientId,
        /// Who sees them.
        physician_id: UserId,
        /// What for, in the clinic's own words.
        specialty: Option<String>,
        /// When it begins.
        starts_at: DateTime<Utc>,
    }
    /// A visit took place, booked before or not.
    VisitHeld "visit_held" Appointment Normal Appointment(visit_id) {
        /// The visit.
        visit_id: VisitId,
        /// Who came.
        patient_id: PatientId,
        /// Who saw them.
        physician_id: UserId,
        /// What for, in the clinic's own words.
        specialty: Option<String>,
        /// When it began.
        starts_at: DateTime<Utc>,
    }
    /// A visit will not take place.
    VisitCancelled "visit_cancelled" Appointment Normal Appointment(visit_id) {
        /// The visit.
        visit_id: VisitId,
        /// Who was to come.
        patient_id: PatientId,
    }
    /// A person did something in an app of the clinic's, as the app tells it.
    AppUsed "app_used" UserActivity Low Account(user_id) {
        /// The person.
        user_id: UserId,
        /// What, in the app's own word, as `screen.opened`.
        what: String,
        /// How often, since the app told of it last.
        times: i64,
    }
    /// What became of a message to one person on one channel.
    NotificationSettled "notification_settled" Clinic Low Notification(notification_id) {
        /// The message.
        notification_id: NotificationId,
        /// By which way, as `email`.
        channel: String,
        /// `sent`, after which `delivered` or `failed` may follow; `suppressed`; or `unsent`, where no provider took it.
        state: String,
    }
    /// A person was made a user.
    UserCreated "user_created" UserActivity Normal Account(user_id) {
        /// The person.
        user_id: UserId,
    }
    /// A person has forgotten their password; the token for a new one lies sealed beside their account.
    PasswordResetAsked "password_reset_asked" UserActivity High Account(user_id) {
        /// The person.
        user_id: UserId,
    }
    /// A webhook was switched off, because nobody answered there for days or its owner said that it is gone.
    WebhookDisabled "webhook_disabled" Clinic High Webhook(webhook_id) {
        /// The webhook.
        webhook_id: WebhookId,
    }
    /// A clinic was made.
    ClinicCreated "clinic_created" Clinic Normal Clinic(clinic_id) {
        /// The clinic.
        clinic_id: ClinicId,
    }
    /// A clinic was renamed, suspended or opened, or has other settings or providers.
    ClinicChanged "clinic_changed" Clinic Normal Clinic(clinic_id) {
        /// The clinic.
        clinic_id: ClinicId,
    }
    /// A person belongs to the clinic from now on.
    MemberJoined "member_joined" UserActivity Normal Member(membership_id) {
        /// Their membership.
        membership_id: MembershipId,
    }
    /// A member has another role, specialty, place or record.
    MemberChanged "member_changed" UserActivity Normal Member(membership_id) {
        /// Their membership.
        membership_id: MembershipId,
    }
    /// An invoice has its number and is due.
    InvoiceIssued "invoice_issued" Billing Normal Invoice(invoice_id) {
        /// The invoice.
        invoice_id: InvoiceId,
        /// Whose care it is for.
        patient_id: Option<PatientId>,
        /// What is due, in minor units.
        amount_minor: i64,
        /// Of which currency.
        currency: Currency,
    }
    /// An invoice is paid in full.
    InvoicePaid "invoice_paid" Billing Normal Invoice(invoice_id) {
        /// The invoice.
        invoice_id: InvoiceId,
        /// Whose care it was for.
        patient_id: Option<PatientId>,
        /// What was due, in minor units.
        amount_minor: i64,
        /// Of which currency.
        currency: Currency,
    }
    /// Somebody asked that its people are told of an invoice once more.
    InvoiceSent "invoice_sent" Billing Normal Invoice(invoice_id) {
        /// The invoice.
        invoice_id: InvoiceId,
        /// Whose care it is for.
        patient_id: Option<PatientId>,
        /// What it comes to, in minor units.
        amount_minor: i64,
        /// Of which currency.
        currency: Currency,
    }
    /// An invoice is past its day and somebody is to be reminded of it.
    InvoiceReminded "invoice_reminded" Billing Normal Invoice(invoice_id) {
        /// The invoice.
        invoice_id: InvoiceId,
        /// Whose care it is for.
        patient_id: Option<PatientId>,
        /// How often that was so, this time included.
        reminder: i64,
    }
    /// An issued invoice is due no more: it was void, or nobody will pay it.
    InvoiceClosed "invoice_closed" Billing Normal Invoice(invoice_id) {
        /// The invoice.
        invoice_id: InvoiceId,
        /// Whose care it was for.
        patient_id: Option<PatientId>,
        /// What is due no more, in minor units.
        amount_minor: i64,
        /// Of which currency.
        currency: Currency,
    }
    /// Money has come in.
    PaymentSucceeded "payment_succeeded" Billing Normal Payment(payment_id) {
        /// The payment.
        payment_id: PaymentId,
        /// What it pays.
        invoice_id: Option<InvoiceId>,
        /// Whose care it is for.
        patient_id: Option<PatientId>,
        /// How much has come in anew, in minor units.
        amount_minor: i64,
        /// Of which currency.
        currency: Currency,
    }
    /// A payment was tried and declined.
    PaymentFailed "payment_failed" Billing High Payment(payment_id) {
        /// The payment.
        payment_id: PaymentId,
        /// What it was to pay.
        invoice_id: Option<InvoiceId>,
        /// Whose care it is for.
        patient_id: Option<PatientId>,
        /// How much it was, in minor units.
        amount_minor: i64,
        /// Of which currency.
        currency: Currency,
    }
    /// Money was given back.
    PaymentRefunded "payment_refunded" Billing Normal Payment(payment_id) {
        /// The payment.
        payment_id: PaymentId,
        /// What it had paid.
        invoice_id: Option<InvoiceId>,
        /// Whose care it was for.
        patient_id: Option<PatientId>,
        /// How much anew, in minor units.
        amount_minor: i64,
        /// Of which currency.
        currency: Currency,
    }
    /// The payer's bank takes money back, or has given it back again.
    PaymentDisputed "payment_disputed" Billing High Payment(payment_id) {
        /// The payment.
        payment_id: PaymentId,
        /// Whose care it was for.
        patient_id: Option<PatientId>,
        /// How much anew, in minor units; below zero where it comes back.
        amount_minor: i64,
        /// Of which currency.
        currency: Currency,
    }
    /// A subscription began, changed its plan or its state, was renewed or has ended.
    SubscriptionChanged "subscription_changed" Billing Normal Subscription(subscription_id) {
        /// The subscription.
        subscription_id: SubscriptionId,
        /// Whose it is.
        patient_id: Option<PatientId>,
        /// Its state from now on, as `active`.
        status: String,
    }
    /// A person belongs to the clinic no more.
    MemberLeft "member_left" UserActivity Normal Member(membership_id) {
        /// The membership that has ended.
        membership_id: MembershipId,
    }
}

#[cfg(test)]
mod tests;
