//! Events, written in the transaction that made them true.

use chrono::{DateTime, Utc};
use clinical::event::Event;
use clinical::id::{ClinicId, EventId};

use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, sql};

/// A told event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its identifier; later events have greater ones.
    pub event_id: EventId,
    /// What happened.
    pub event: Event,
    /// When it was told.
    pub told_at: DateTime<Utc>,
}

impl FromRow for Told {
    fn from_row(row: &Row) -> Result<Self> {
        let body: serde_json::Value = row.get("body")?;
        Ok(Self {
            event_id: row.id("event_id")?,
            event: serde_json::from_value(body).map_err(|_| DbError::Corrupt("events.body".to_owned()))?,
            told_at: row.get("told_at")?,
        })
    }
}

/// Tells `event`; it is heard once the transaction is committed, and never otherwise.
pub async fn tell(db: &mut Tx, clinic: ClinicId, event: &Event, now: DateTime<Utc>) -> Result<()> {
    sql("INSERT INTO events (event_id, clinic_id, name, body, told_at) VALUES ($1, $2, $3, $4, $5)")
        .bind(EventId::new())
        .bind(clinic)
        .bind(event.name())
        .bind(serde_json::json!(event))
        .bind(now)
        .defer(db)
        .await
}

/// The clinic's events of one name, oldest first.
pub async fn told(db: &mut Conn, clinic: ClinicId, name: &str, limit: i64) -> Result<Vec<Told>> {
    sql("SELECT event_id, body, told_at FROM events
          WHERE clinic_id = $1 AND name = $2 ORDER BY told_at, event_id LIMIT $3")
    .bind(clinic)
    .bind(name)
    .bind(limit)
    .fetch_all(db)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{now, on_both};
    use clinical::id::{InstanceId, StudyId};

    #[tokio::test]
    async fn an_event_is_heard_only_after_the_commit() {
        on_both(async |db| {
            let clinic = ClinicId::DEFAULT;
            let event = Event::InstanceStored { study_id: StudyId::new(), instance_id: InstanceId::new() };
            let mut dropped = db.begin().await.unwrap();
            tell(&mut dropped, clinic, &event, now()).await.unwrap();
            drop(dropped);
            let mut tx = db.begin().await.unwrap();
            tell(&mut tx, clinic, &event, now()).await.unwrap();
            tx.commit().await.unwrap();
            let mut read = db.read().await.unwrap();
            let heard = told(&mut read, clinic, "instance_stored", 10).await.unwrap();
            assert_eq!(heard.into_iter().map(|told| told.event).collect::<Vec<_>>(), [event]);
        })
        .await;
    }
}
