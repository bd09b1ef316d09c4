//! The inbox: each event of a provider once, kept before it is answered.

use chrono::{DateTime, Utc};
use clinical::id::ClinicId;
use storage::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql, sql};
use uuid::Uuid;

use crate::provider::{ProviderEvent, ProviderName, Subject};
use crate::told_subscription::Hint;
use crate::words::words;

words! {
    /// What became of an event.
    EventState, "provider_events.state" {
        /// It is kept, and the job that settles it is asked for.
        Waiting = "waiting",
        /// What it is about was read again and written down.
        Settled = "settled",
        /// It is about nothing that is kept here.
        Ignored = "ignored",
    }
}

/// An event as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// Our identifier.
    pub provider_event_id: Uuid,
    /// Who sent it.
    pub provider: ProviderName,
    /// The provider's own identifier.
    pub event_ref: String,
    /// As `payment_intent.succeeded`.
    pub kind: String,
    /// What it is about.
    pub subject: Subject,
    /// What it says of a subscription that the provider keeps.
    pub hint: Option<Hint>,
    /// When it happened there.
    pub happened_at: Option<DateTime<Utc>>,
    /// Whether the clinic's own account sent it, or one that serves many.
    pub is_own: bool,
    /// What became of it.
    pub state: EventState,
    /// When it came.
    pub received_at: DateTime<Utc>,
    /// When it was settled.
    pub settled_at: Option<DateTime<Utc>>,
}

const COLUMNS: &str =
    "provider_event_id, provider, event_ref, kind, subject, hint, happened_at, is_own, state, received_at,
    settled_at";

impl FromRow for Received {
    fn from_row(row: &Row) -> Result<Self> {
        let corrupt = |_| DbError::Corrupt("provider_events".to_owned());
        let hint: Option<serde_json::Value> = row.get("hint")?;
        Ok(Self {
            provider_event_id: row.get("provider_event_id")?,
            provider: row.parse("provider")?,
            event_ref: row.get("event_ref")?,
            kind: row.get("kind")?,
            subject: serde_json::from_value(row.get("subject")?).map_err(corrupt)?,
            hint: hint.map(serde_json::from_value).transpose().map_err(corrupt)?,
            happened_at: row.get("happened_at")?,
            is_own: row.get("is_own")?,
            state: row.parse("state")?,
            received_at: row.get("received_at")?,
            settled_at: row.get("settled_at")?,
        })
    }
}

impl Received {
    /// An event that has just come.
    pub(crate) fn new(
        provider: ProviderName,
        event: ProviderEvent,
        hint: Option<Hint>,
        is_own: bool,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            provider_event_id: Uuid::now_v7(),
            provider,
            event_ref: event.event_id.chars().take(255).collect(),
            kind: event.kind.chars().take(255).collect(),
            subject: event.subject,
            hint,
            happened_at: event.happened_at,
            is_own,
            state: EventState::Waiting,
            received_at: now,
            settled_at: None,
        }
    }

    /// Keeps it; `false` where it came before.
    pub(crate) async fn keep(&self, db: &mut Tx, clinic: ClinicId) -> Result<bool> {
        let insert = "INSERT INTO provider_events (clinic_id, provider_event_id, provider, event_ref, kind, subject, hint,
                             happened_at, is_own, state, received_at)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
                      ON CONFLICT (clinic_id, provider, event_ref) DO NOTHING";
        let written = sql(insert)
            .bind(clinic)
            .bind(self.provider_event_id)
            .bind(self.provider.as_str())
            .bind(&self.event_ref)
            .bind(&self.kind)
            .bind(serde_json::json!(self.subject))
            .bind(self.hint.as_ref().map(|hint| serde_json::json!(hint)))
            .bind(self.happened_at)
            .bind(self.is_own)
            .bind(self.state.as_str())
            .bind(self.received_at)
            .execute(db)
            .await?;
        Ok(written == 1)
    }

    /// One event of one clinic.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when the clinic has none of that identifier.
    pub(crate) async fn find(db: &mut Conn, clinic: ClinicId, id: Uuid) -> Result<Self> {
        let text =
            format!("SELECT {COLUMNS} FROM provider_events WHERE clinic_id = $1 AND provider_event_id = $2");
        built_sql(text).bind(clinic).bind(id).fetch_one(db).await
    }

    /// Those that came before `until` and are not settled, the oldest first.
    pub(crate) async fn waiting(
        db: &mut Conn,
        clinic: ClinicId,
        until: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<Self>> {
        let text = format!(
            "SELECT {COLUMNS} FROM provider_events WHERE clinic_id = $1 AND state = 'waiting' AND received_at < $2
              ORDER BY provider_event_id LIMIT $3"
        );
        built_sql(text).bind(clinic).bind(until).bind(limit).fetch_all(db).await
    }
}

/// Writes down what became of an event.
pub(crate) async fn end(
    db: &mut Tx,
    clinic: ClinicId,
    id: Uuid,
    state: EventState,
    now: DateTime<Utc>,
) -> Result<()> {
    let update = "UPDATE provider_events SET state = $3, settled_at = $4
                   WHERE clinic_id = $1 AND provider_event_id = $2";
    sql(update).bind(clinic).bind(id).bind(state.as_str()).bind(now).execute(db).await.map(|_| ())
}
