//! Our own identifiers: UUIDs that cannot be mistaken for one another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new identifier, ordered by the time of its making (RFC 9562, version 7).
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        #[cfg(feature = "schema")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
                let uuid = SchemaFormat::KnownFormat(KnownFormat::Uuid);
                ObjectBuilder::new().schema_type(Type::String).format(Some(uuid)).into()
            }
        }

        #[cfg(feature = "schema")]
        impl utoipa::ToSchema for $name {}
    )*};
}

ids! {
    /// A clinic: the tenant that owns a record.
    ClinicId
    /// A patient of one clinic.
    PatientId
    /// A study of one clinic.
    StudyId
    /// A series within a study.
    SeriesId
    /// A stored instance; `dicomId` on the path `/api/dicom`.
    InstanceId
    /// A kept version of an instance whose bytes differ from the current one's.
    VersionId
    /// One network's run over one instance.
    AnalysisId
    /// One thing a network saw.
    FindingId
    /// One unit of work in the queue.
    JobId
    /// One told event.
    EventId
    /// A person who signs in.
    UserId
    /// A person's place in one clinic.
    MembershipId
    /// A place of a clinic.
    LocationId
    /// One sign-in of a person, until it is revoked.
    SessionId
    /// A key for a machine.
    ApiKeyId
    /// One row of the audit trail.
    AuditId
    /// Where a clinic wants events sent.
    WebhookId
    /// One attempt, or series of attempts, to bring one event to one webhook.
    DeliveryId
    /// A clinical statement about a patient: an allergy, a condition, a medication, a vital sign.
    StatementId
    /// Access to one restricted record, given for a while.
    GrantId
    /// A sealed provider credential.
    CredentialId
    /// An application entity to which a clinic sends.
    PeerId
    /// A rule that says what is forwarded to which peer.
    ForwardRuleId
    /// A peer's request for storage commitment.
    CommitmentId
    /// What was removed, by whom and why.
    TombstoneId
    /// A unified procedure step of a worklist.
    WorkitemId
    /// An object that is held back.
    HeldId
    /// A network that was added.
    NetworkId
    /// Symptoms that were assessed.
    AssessmentId
    /// An issue with drugs that somebody overrode.
    OverrideId
    /// A program of another house that may ask through CDS Hooks.
    CdsClientId
    /// What came of a card.
    CdsFeedbackId
    /// A message to people.
    NotificationId
    /// A device or a browser that shows messages.
    PushTargetId
    /// A clinic's own words for a kind of message.
    TemplateId
    /// An address to which nothing is sent any more.
    SuppressionId
    /// A visit of a patient, booked or held.
    VisitId
    /// Who is billed.
    CustomerId
    /// What a customer pays with.
    PaymentMethodId
    /// An invoice.
    InvoiceId
    /// A payment.
    PaymentId
    /// Money that is given back.
    RefundId
    /// A payment that the payer's bank disputes.
    DisputeId
    /// A billing plan.
    PlanId
    /// A subscription to a plan.
    SubscriptionId
}

impl ClinicId {
    /// The clinic that every caller or AE without a clinic means.
    pub const DEFAULT: Self = Self(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0001));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_reads_back_from_its_text() {
        let id = StudyId::new();
        assert_eq!(id.to_string().parse::<StudyId>().ok(), Some(id));
    }

    #[test]
    fn later_identifiers_sort_after_earlier_ones() {
        let earlier = JobId::new();
        assert!(earlier < JobId::new());
    }
}
