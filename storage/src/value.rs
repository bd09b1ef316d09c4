//! A bound argument, in the types that both engines keep natively.

use chrono::{DateTime, Utc};
use clinical::id::{
    AnalysisId, ApiKeyId, AssessmentId, AuditId, CdsClientId, CdsFeedbackId, ClinicId, CommitmentId,
    CredentialId, CustomerId, DeliveryId, DisputeId, EventId, FindingId, ForwardRuleId, GrantId, HeldId,
    InstanceId, InvoiceId, JobId, LocationId, MembershipId, NetworkId, NotificationId, OverrideId, PatientId,
    PaymentId, PaymentMethodId, PeerId, PlanId, PushTargetId, RefundId, SeriesId, SessionId, StatementId,
    StudyId, SubscriptionId, SuppressionId, TemplateId, TombstoneId, UserId, VersionId, WebhookId,
    WorkitemId,
};
use clinical::uid::{
    SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransactionUid, TransferSyntaxUid,
};
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, Encode, Postgres, Sqlite, Type};
use uuid::Uuid;

/// One argument of a statement; `None` is SQL's NULL of that type.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// UUID; a 16-byte BLOB on SQLite.
    Uuid(Option<Uuid>),
    /// TEXT.
    Text(Option<String>),
    /// BIGINT.
    Integer(Option<i64>),
    /// DOUBLE PRECISION.
    Real(Option<f64>),
    /// BOOLEAN.
    Boolean(Option<bool>),
    /// TIMESTAMPTZ; RFC 3339 text on SQLite, which sorts as time does.
    Instant(Option<DateTime<Utc>>),
    /// JSONB; text on SQLite.
    Json(Option<serde_json::Value>),
    /// BYTEA; BLOB on SQLite.
    Bytes(Option<Vec<u8>>),
}

impl Value {
    pub(crate) fn add_to_sqlite(&self, arguments: &mut SqliteArguments) -> Result<(), sqlx::Error> {
        self.add::<Sqlite, _>(arguments)
    }

    pub(crate) fn add_to_postgres(&self, arguments: &mut PgArguments) -> Result<(), sqlx::Error> {
        self.add::<Postgres, _>(arguments)
    }

    fn add<DB, A>(&self, arguments: &mut A) -> Result<(), sqlx::Error>
    where
        DB: sqlx::Database,
        A: Arguments<Database = DB>,
        for<'q> Option<Uuid>: Encode<'q, DB> + Type<DB>,
        for<'q> Option<String>: Encode<'q, DB> + Type<DB>,
        for<'q> Option<i64>: Encode<'q, DB> + Type<DB>,
        for<'q> Option<f64>: Encode<'q, DB> + Type<DB>,
        for<'q> Option<bool>: Encode<'q, DB> + Type<DB>,
        for<'q> Option<DateTime<Utc>>: Encode<'q, DB> + Type<DB>,
        for<'q> Option<serde_json::Value>: Encode<'q, DB> + Type<DB>,
        for<'q> Option<Vec<u8>>: Encode<'q, DB> + Type<DB>,
    {
        match self {
            Self::Uuid(value) => arguments.add(*value),
            // PostgreSQL keeps no NUL in a text, so neither does SQLite.
            Self::Text(value) => arguments.add(value.as_ref().map(|text| text.replace('\0', ""))),
            Self::Integer(value) => arguments.add(*value),
            Self::Real(value) => arguments.add(*value),
            Self::Boolean(value) => arguments.add(*value),
            Self::Instant(value) => arguments.add(*value),
            Self::Json(value) => arguments.add(value.clone()),
            Self::Bytes(value) => arguments.add(value.clone()),
        }
        .map_err(sqlx::Error::Encode)
    }
}

macro_rules! binds {
    ($($type:ty => $variant:ident($value:ident) $convert:expr;)*) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Self {
                Self::$variant(Some($convert))
            }
        }

        impl From<Option<$type>> for Value {
            fn from(value: Option<$type>) -> Self {
                Self::$variant(value.map(|$value| $convert))
            }
        }
    )*};
}

binds! {
    Uuid => Uuid(value) value;
    ClinicId => Uuid(value) value.0;
    PatientId => Uuid(value) value.0;
    StudyId => Uuid(value) value.0;
    SeriesId => Uuid(value) value.0;
    InstanceId => Uuid(value) value.0;
    VersionId => Uuid(value) value.0;
    AnalysisId => Uuid(value) value.0;
    FindingId => Uuid(value) value.0;
    JobId => Uuid(value) value.0;
    EventId => Uuid(value) value.0;
    UserId => Uuid(value) value.0;
    MembershipId => Uuid(value) value.0;
    LocationId => Uuid(value) value.0;
    SessionId => Uuid(value) value.0;
    ApiKeyId => Uuid(value) value.0;
    AuditId => Uuid(value) value.0;
    WebhookId => Uuid(value) value.0;
    DeliveryId => Uuid(value) value.0;
    StatementId => Uuid(value) value.0;
    GrantId => Uuid(value) value.0;
    CredentialId => Uuid(value) value.0;
    PeerId => Uuid(value) value.0;
    ForwardRuleId => Uuid(value) value.0;
    CommitmentId => Uuid(value) value.0;
    TombstoneId => Uuid(value) value.0;
    HeldId => Uuid(value) value.0;
    NetworkId => Uuid(value) value.0;
    AssessmentId => Uuid(value) value.0;
    OverrideId => Uuid(value) value.0;
    CdsClientId => Uuid(value) value.0;
    CdsFeedbackId => Uuid(value) value.0;
    NotificationId => Uuid(value) value.0;
    PushTargetId => Uuid(value) value.0;
    TemplateId => Uuid(value) value.0;
    SuppressionId => Uuid(value) value.0;
    WorkitemId => Uuid(value) value.0;
    CustomerId => Uuid(value) value.0;
    PaymentMethodId => Uuid(value) value.0;
    InvoiceId => Uuid(value) value.0;
    PaymentId => Uuid(value) value.0;
    RefundId => Uuid(value) value.0;
    DisputeId => Uuid(value) value.0;
    PlanId => Uuid(value) value.0;
    SubscriptionId => Uuid(value) value.0;
    String => Text(value) value;
    &str => Text(value) value.to_owned();
    &String => Text(value) value.clone();
    &StudyInstanceUid => Text(value) value.to_string();
    &SeriesInstanceUid => Text(value) value.to_string();
    &SopInstanceUid => Text(value) value.to_string();
    &SopClassUid => Text(value) value.to_string();
    &TransferSyntaxUid => Text(value) value.to_string();
    &TransactionUid => Text(value) value.to_string();
    i64 => Integer(value) value;
    i32 => Integer(value) value.into();
    u32 => Integer(value) value.into();
    f64 => Real(value) value;
    f32 => Real(value) value.into();
    bool => Boolean(value) value;
    DateTime<Utc> => Instant(value) value;
    serde_json::Value => Json(value) value;
    Vec<u8> => Bytes(value) value;
    &[u8] => Bytes(value) value.to_vec();
}
