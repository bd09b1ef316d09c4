//! Events, written in the transaction that made them true.
//!
//! [`tell`] writes one; it has a position once [`relay::place`] has given it one
//! (SQLite gives it at once), in an order that readers can follow without ever
//! passing one by. A [`Listener`] hears them in that order, at least once.

mod listen;
pub mod relay;

use chrono::{DateTime, Utc};
use clinical::event::Event;
use clinical::id::{ClinicId, EventId};
use serde_json::{Value, json};

use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql, sql};

pub use listen::{HearError, Hearing, Listener, Progress, Step, StepError, expect, progress};

/// The columns of a [`Told`].
const COLUMNS: &str = "event_id, clinic_id, position, name, body, told_at";

/// A told event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its identifier.
    pub event_id: EventId,
    /// The clinic in which it happened.
    pub clinic_id: ClinicId,
    /// Its place among all events of the database; `None` until the relay has given it one.
    pub position: Option<i64>,
    /// Its stable name.
    pub name: String,
    /// What happened; [`Event::Unknown`] where a newer program told it.
    pub event: Event,
    /// What happened, as it is stored.
    pub body: Value,
    /// When it was told.
    pub told_at: DateTime<Utc>,
}

impl FromRow for Told {
    fn from_row(row: &Row) -> Result<Self> {
        let body: Value = row.get("body")?;
        Ok(Self {
            event_id: row.id("event_id")?,
            clinic_id: row.id("clinic_id")?,
            position: row.get("position")?,
            name: row.get("name")?,
            event: serde_json::from_value(body.clone())
                .map_err(|_| DbError::Corrupt("events.body".to_owned()))?,
            body,
            told_at: row.get("told_at")?,
        })
    }
}

impl Told {
    /// What keeps its order with others: the record that it is about; of a newer program's event the event itself.
    pub fn aggregate(&self) -> String {
        match self.event.aggregate() {
            Some(aggregate) => aggregate.to_string(),
            None => format!("event:{}", self.event_id),
        }
    }

    /// What happened, without its name: the members depend on it.
    pub fn data(&self) -> Value {
        let mut data = self.body.clone();
        if let Some(members) = data.as_object_mut() {
            members.remove("type");
        }
        data
    }

    /// The event as other programs get it: `type`, `timestamp` and `data` are those of Standard Webhooks 1.0.
    pub fn envelope(&self) -> Value {
        json!({
            "id": self.event_id,
            "type": self.name,
            "timestamp": self.told_at,
            "clinicId": self.clinic_id,
            "category": self.event.category(),
            "priority": self.event.priority(),
            "aggregate": self.event.aggregate(),
            "data": self.data(),
        })
    }
}

/// Tells `event`; it is heard once the transaction is committed, and never otherwise.
pub async fn tell(db: &mut Tx, clinic: ClinicId, event: &Event, now: DateTime<Utc>) -> Result<()> {
    db.has_told();
    sql("INSERT INTO events (event_id, clinic_id, name, body, told_at) VALUES ($1, $2, $3, $4, $5)")
        .bind(EventId::new())
        .bind(clinic)
        .bind(event.name())
        .bind(json!(event))
        .bind(now)
        .defer(db)
        .await
}

/// The clinic's events of one name, oldest first.
pub async fn told(db: &mut Conn, clinic: ClinicId, name: &str, limit: i64) -> Result<Vec<Told>> {
    built_sql(format!(
        "SELECT {COLUMNS} FROM events WHERE clinic_id = $1 AND name = $2 ORDER BY told_at, event_id LIMIT $3"
    ))
    .bind(clinic)
    .bind(name)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// The clinic's events before `before`, the latest first; of `names` alone, where some are given.
///
/// `names` are words of this program ([`Event::NAMES`]), never a caller's.
pub async fn list(
    db: &mut Conn,
    clinic: ClinicId,
    names: Option<&[&'static str]>,
    before: Option<EventId>,
    limit: i64,
) -> Result<Vec<Told>> {
    let of_names = match names {
        None => String::new(),
        Some([]) => return Ok(Vec::new()),
        Some(names) => format!("AND name IN ('{}')", names.join("', '")),
    };
    built_sql(format!(
        "SELECT {COLUMNS} FROM events WHERE clinic_id = $1 AND event_id < $2 {of_names}
          ORDER BY event_id DESC LIMIT $3"
    ))
    .bind(clinic)
    .bind(before.unwrap_or(EventId(uuid::Uuid::max())))
    .bind(limit)
    .fetch_all(db)
    .await
}

/// One event of a clinic.
///
/// # Errors
///
/// [`DbError::NotFound`] where the clinic has none of that identifier.
pub async fn find(db: &mut Conn, clinic: ClinicId, event_id: EventId) -> Result<Told> {
    built_sql(format!("SELECT {COLUMNS} FROM events WHERE clinic_id = $1 AND event_id = $2"))
        .bind(clinic)
        .bind(event_id)
        .fetch_one(db)
        .await
}

/// The events of every clinic behind a position, in order.
pub async fn after(db: &mut Conn, position: i64, limit: i64) -> Result<Vec<Told>> {
    up_to(db, position, i64::MAX, limit).await
}

/// The events of every clinic behind a position and not behind `until`, in order.
pub async fn up_to(db: &mut Conn, position: i64, until: i64, limit: i64) -> Result<Vec<Told>> {
    built_sql(format!(
        "SELECT {COLUMNS} FROM events WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3"
    ))
    .bind(position)
    .bind(until)
    .bind(limit)
    .fetch_all(db)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{now, on_both};
    use clinical::id::{InstanceId, StudyId};

    const CLINIC: ClinicId = ClinicId::DEFAULT;

    #[tokio::test]
    async fn an_event_is_heard_only_after_the_commit() {
        on_both(async |db| {
            let event = Event::InstanceStored {
                study_id: StudyId::new(),
                instance_id: InstanceId::new(),
                begins: None,
            };
            let mut dropped = db.begin().await.unwrap();
            tell(&mut dropped, CLINIC, &event, now()).await.unwrap();
            drop(dropped);
            let mut tx = db.begin().await.unwrap();
            tell(&mut tx, CLINIC, &event, now()).await.unwrap();
            tx.commit().await.unwrap();
            let mut read = db.read().await.unwrap();
            let heard = told(&mut read, CLINIC, "instance_stored", 10).await.unwrap();
            assert_eq!(heard.into_iter().map(|told| told.event).collect::<Vec<_>>(), [event]);
        })
        .await;
    }

    #[tokio::test]
    async fn a_clinic_lists_its_own_events_the_latest_first() {
        on_both(async |db| {
            let study_id = StudyId::new();
            let mut tx = db.begin().await.unwrap();
            for _ in 0..2 {
                let stored = Event::InstanceStored { study_id, instance_id: InstanceId::new(), begins: None };
                tell(&mut tx, CLINIC, &stored, now()).await.unwrap();
            }
            let ready = Event::FindingsReady { study_id, analysis_ids: Vec::new(), found: None };
            tell(&mut tx, CLINIC, &ready, now()).await.unwrap();
            tx.commit().await.unwrap();
            let mut read = db.read().await.unwrap();
            let all = list(&mut read, CLINIC, None, None, 10).await.unwrap();
            assert_eq!(all.iter().map(|told| told.name.as_str()).collect::<Vec<_>>()[0], "findings_ready");
            assert_eq!(all.len(), 3);
            let older = list(&mut read, CLINIC, None, Some(all[0].event_id), 10).await.unwrap();
            assert_eq!(older, all[1..]);
            let ready = list(&mut read, CLINIC, Some(&["findings_ready"]), None, 10).await.unwrap();
            assert_eq!(ready, all[..1]);
            assert_eq!(find(&mut read, CLINIC, all[0].event_id).await.unwrap(), all[0]);
            let theirs = ClinicId::new();
            assert!(list(&mut read, theirs, None, None, 10).await.unwrap().is_empty());
            assert!(matches!(find(&mut read, theirs, all[0].event_id).await, Err(DbError::NotFound)));
        })
        .await;
    }

    /// The member names of Standard Webhooks 1.0, «Payload structure».
    #[tokio::test]
    async fn the_envelope_holds_type_timestamp_and_data() {
        on_both(async |db| {
            let study_id = StudyId::new();
            let mut tx = db.begin().await.unwrap();
            let ready = Event::FindingsReady { study_id, analysis_ids: Vec::new(), found: None };
            tell(&mut tx, CLINIC, &ready, now()).await.unwrap();
            tx.commit().await.unwrap();
            let told =
                told(&mut db.read().await.unwrap(), CLINIC, "findings_ready", 1).await.unwrap().remove(0);
            let envelope = told.envelope();
            assert_eq!(envelope["type"], "findings_ready");
            assert_eq!(envelope["timestamp"], json!(now()));
            assert_eq!(envelope["data"], json!({"study_id": study_id, "analysis_ids": []}));
            assert_eq!(
                (&envelope["category"], &envelope["priority"]),
                (&json!("EHR_RECORD"), &json!("HIGH"))
            );
            assert_eq!(envelope["aggregate"], json!({"kind": "study", "id": study_id}));
        })
        .await;
    }
}
