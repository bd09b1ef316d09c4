//! One event on its way to one webhook.
//!
//! Of one record's events only the first that waits is sent; the next one goes
//! when that has arrived or is given up. Those of other records go meanwhile.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, DeliveryId, EventId, WebhookId};
use clinical::job::{Job, Priority};

use crate::db::{Conn, Db, DbError, FromRow, Result, Row, Tx, built_sql, sql};
use crate::outbox::Told;
use crate::queue;

/// So many records are asked for in one transaction: when a webhook is active again those at once, the rest by
/// [`Delivery::ask_for_stranded`].
const PAGE: i64 = 300;

const COLUMNS: &str =
    "delivery_id, clinic_id, webhook_id, event_id, event_name, aggregate, state, tries, next_at,
                       status, last_error, created_at, delivered_at";

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It has not arrived yet.
    Waiting,
    /// It has arrived.
    Delivered,
    /// It was tried too often and is sent no more, unless it is replayed.
    Dead,
}

impl DeliveryState {
    /// Its stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

impl FromStr for DeliveryState {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "waiting" => Ok(Self::Waiting),
            "delivered" => Ok(Self::Delivered),
            "dead" => Ok(Self::Dead),
            _ => Err(DbError::Corrupt("webhook_deliveries.state".to_owned())),
        }
    }
}

/// One event on its way to one webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its identifier.
    pub delivery_id: DeliveryId,
    /// The clinic in which the event happened.
    pub clinic_id: ClinicId,
    /// Where it goes.
    pub webhook_id: WebhookId,
    /// What goes there.
    pub event_id: EventId,
    /// The event's name.
    pub event_name: String,
    /// The record that the event is about.
    pub aggregate: String,
    /// How far it is.
    pub state: DeliveryState,
    /// How often it was tried, since it was told or replayed.
    pub tries: i64,
    /// It is not tried before.
    pub next_at: DateTime<Utc>,
    /// The HTTP status that the last try was answered with.
    pub status: Option<i64>,
    /// Why the last try failed.
    pub last_error: Option<String>,
    /// When it was planned.
    pub created_at: DateTime<Utc>,
    /// When it arrived.
    pub delivered_at: Option<DateTime<Utc>>,
}

impl FromRow for Delivery {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            delivery_id: row.id("delivery_id")?,
            clinic_id: row.id("clinic_id")?,
            webhook_id: row.id("webhook_id")?,
            event_id: row.id("event_id")?,
            event_name: row.get("event_name")?,
            aggregate: row.get("aggregate")?,
            state: row.parse("state")?,
            tries: row.get("tries")?,
            next_at: row.get("next_at")?,
            status: row.get("status")?,
            last_error: row.get("last_error")?,
            created_at: row.get("created_at")?,
            delivered_at: row.get("delivered_at")?,
        })
    }
}

/// One record of whose events some wait for a webhook.
struct Record {
    clinic_id: ClinicId,
    webhook_id: WebhookId,
    aggregate: String,
}

impl FromRow for Record {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            clinic_id: row.id("clinic_id")?,
            webhook_id: row.id("webhook_id")?,
            aggregate: row.get("aggregate")?,
        })
    }
}

impl Delivery {
    /// Plans to send an event to a webhook of its clinic; planned already, it stays as it is.
    pub async fn plan(db: &mut Tx, webhook: WebhookId, told: &Told, now: DateTime<Utc>) -> Result<()> {
        sql("INSERT INTO webhook_deliveries (delivery_id, clinic_id, webhook_id, event_id, event_name, aggregate,
                                             position, state, tries, next_at, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 'waiting', 0, $8, $8)
             ON CONFLICT (webhook_id, event_id) DO NOTHING")
        .bind(DeliveryId::new())
        .bind(told.clinic_id)
        .bind(webhook)
        .bind(told.event_id)
        .bind(&told.name)
        .bind(told.aggregate())
        .bind(told.position.unwrap_or(0))
        .bind(now)
        .defer(db)
        .await
    }

    /// The first that waits of one record's events.
    pub async fn next(
        db: &mut Conn,
        clinic: ClinicId,
        webhook: WebhookId,
        aggregate: &str,
    ) -> Result<Option<Self>> {
        built_sql(format!(
            "SELECT {COLUMNS} FROM webhook_deliveries
              WHERE clinic_id = $1 AND webhook_id = $2 AND aggregate = $3 AND state = 'waiting'
              ORDER BY position LIMIT 1"
        ))
        .bind(clinic)
        .bind(webhook)
        .bind(aggregate)
        .fetch_optional(db)
        .await
    }

    /// The records of which something waits.
    pub async fn waiting_aggregates(
        db: &mut Conn,
        clinic: ClinicId,
        webhook: WebhookId,
        limit: i64,
    ) -> Result<Vec<String>> {
        sql("SELECT DISTINCT aggregate FROM webhook_deliveries
              WHERE clinic_id = $1 AND webhook_id = $2 AND state = 'waiting' LIMIT $3")
        .bind(clinic)
        .bind(webhook)
        .bind(limit)
        .fetch_all(db)
        .await
    }

    /// One of a webhook of the clinic.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] where there is none.
    pub async fn find(db: &mut Conn, clinic: ClinicId, webhook: WebhookId, id: DeliveryId) -> Result<Self> {
        built_sql(format!(
            "SELECT {COLUMNS} FROM webhook_deliveries
              WHERE clinic_id = $1 AND webhook_id = $2 AND delivery_id = $3"
        ))
        .bind(clinic)
        .bind(webhook)
        .bind(id)
        .fetch_one(db)
        .await
    }

    /// Those of a webhook before `before`, the latest first; of one state alone, where one is given.
    pub async fn list(
        db: &mut Conn,
        clinic: ClinicId,
        webhook: WebhookId,
        state: Option<DeliveryState>,
        before: Option<DeliveryId>,
        limit: i64,
    ) -> Result<Vec<Self>> {
        let of_state = state.map_or_else(String::new, |state| format!("AND state = '{}'", state.as_str()));
        built_sql(format!(
            "SELECT {COLUMNS} FROM webhook_deliveries
              WHERE clinic_id = $1 AND webhook_id = $2 AND delivery_id < $3 {of_state}
              ORDER BY delivery_id DESC LIMIT $4"
        ))
        .bind(clinic)
        .bind(webhook)
        .bind(before.unwrap_or(DeliveryId(uuid::Uuid::max())))
        .bind(limit)
        .fetch_all(db)
        .await
    }

    /// It has arrived.
    pub async fn has_arrived(&self, db: &mut Tx, status: i64, now: DateTime<Utc>) -> Result<()> {
        sql("UPDATE webhook_deliveries
                SET state = 'delivered', tries = $1, status = $2, last_error = NULL, delivered_at = $3
              WHERE clinic_id = $4 AND delivery_id = $5")
        .bind(self.tries + 1)
        .bind(status)
        .bind(now)
        .bind(self.clinic_id)
        .bind(self.delivery_id)
        .execute(db)
        .await
        .map(|_| ())
    }

    /// It has not arrived: it waits until `again`, or is dead.
    pub async fn has_failed(
        &self,
        db: &mut Tx,
        status: Option<i64>,
        error: &str,
        again: Option<DateTime<Utc>>,
    ) -> Result<()> {
        let state = if again.is_some() { DeliveryState::Waiting } else { DeliveryState::Dead };
        sql("UPDATE webhook_deliveries
                SET state = $1, tries = $2, status = $3, last_error = $4, next_at = COALESCE($5, next_at)
              WHERE clinic_id = $6 AND delivery_id = $7 AND state = 'waiting'")
        .bind(state.as_str())
        .bind(self.tries + 1)
        .bind(status)
        .bind(error)
        .bind(again)
        .bind(self.clinic_id)
        .bind(self.delivery_id)
        .execute(db)
        .await
        .map(|_| ())
    }

    /// Sends it again, with all its tries anew; ahead of later events of the same record.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] where there is none.
    pub async fn replay(
        db: &mut Tx,
        clinic: ClinicId,
        webhook: WebhookId,
        id: DeliveryId,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        built_sql(format!(
            "UPDATE webhook_deliveries SET state = 'waiting', tries = 0, next_at = $1, delivered_at = NULL
              WHERE clinic_id = $2 AND webhook_id = $3 AND delivery_id = $4 RETURNING {COLUMNS}"
        ))
        .bind(now)
        .bind(clinic)
        .bind(webhook)
        .bind(id)
        .fetch_one(db)
        .await
    }

    /// Asks for the work that brings what waits to a webhook that is active again: of a first page of records.
    pub async fn resume(db: &mut Tx, clinic: ClinicId, webhook: WebhookId, now: DateTime<Utc>) -> Result<()> {
        for aggregate in Self::waiting_aggregates(db, clinic, webhook, PAGE).await? {
            Self::ask(db, clinic, webhook, aggregate, now).await?;
        }
        Ok(())
    }

    /// Asks, over all clinics, for the work that brings what waits for active webhooks and that no job will bring:
    /// its job has died, or was never asked for. Of how many records it was.
    pub async fn ask_for_stranded(db: &Db, now: DateTime<Utc>) -> Result<u64> {
        let (mut asked, mut last) = (0, (WebhookId(uuid::Uuid::nil()), String::new()));
        loop {
            let find = "SELECT d.clinic_id, d.webhook_id, d.aggregate FROM webhook_deliveries AS d
                          JOIN webhooks AS w ON w.webhook_id = d.webhook_id AND w.clinic_id = d.clinic_id
                         WHERE d.state = 'waiting' AND w.state = 'active' AND (d.webhook_id, d.aggregate) > ($1, $2)
                         GROUP BY d.clinic_id, d.webhook_id, d.aggregate
                         ORDER BY d.webhook_id, d.aggregate LIMIT $3";
            let mut read = db.read().await?;
            let page: Vec<Record> =
                sql(find).bind(last.0).bind(&last.1).bind(PAGE).fetch_all(&mut read).await?;
            let Some(end) = page.last() else { return Ok(asked) };
            last = (end.webhook_id, end.aggregate.clone());
            let mut stranded = Vec::new();
            for Record { clinic_id, webhook_id, aggregate } in page {
                let job = Job::DeliverEvent { webhook_id, aggregate };
                let depth = queue::depth_of(&mut read, clinic_id, &job).await?;
                if depth.queued + depth.running == 0 {
                    stranded.push((clinic_id, job));
                }
            }
            drop(read);
            if stranded.is_empty() {
                continue;
            }
            let mut tx = db.begin().await?;
            for (clinic, job) in &stranded {
                queue::ask(&mut tx, *clinic, job, Priority::Routine, now, now).await?;
            }
            tx.commit().await?;
            asked += stranded.len() as u64;
        }
    }

    /// Asks for the work that brings what waits of one record's events.
    pub async fn ask(
        db: &mut Tx,
        clinic: ClinicId,
        webhook: WebhookId,
        aggregate: String,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let job = Job::DeliverEvent { webhook_id: webhook, aggregate };
        queue::pull_forward(db, clinic, &job, now).await
    }

    /// Removes up to `limit` that have arrived or died and were planned before `before`; how many.
    pub async fn forget(db: &mut Tx, before: DateTime<Utc>, limit: i64) -> Result<u64> {
        sql("DELETE FROM webhook_deliveries
              WHERE delivery_id IN (SELECT delivery_id FROM webhook_deliveries
                                     WHERE state <> 'waiting' AND created_at < $1 LIMIT $2)")
        .bind(before)
        .bind(limit)
        .execute(db)
        .await
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use clinical::event::Event;
    use clinical::id::{FindingId, InstanceId, StudyId};

    use super::super::target::{Targets, WebhookUrl};
    use super::super::{SECRET_PURPOSE, Webhook};
    use super::*;
    use crate::outbox::{after, relay, tell};
    use crate::secret::Keyring;
    use crate::testing::{now, on_both};

    const CLINIC: ClinicId = ClinicId::DEFAULT;

    /// A webhook and, for each event, its planned delivery.
    async fn planned(db: &Db, events: &[Event]) -> (WebhookId, Vec<Told>) {
        let url = WebhookUrl::check("https://example.org/hook", Targets::PublicOnly).unwrap();
        let keys = Keyring::from_text("k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
        let secret = keys.seal(CLINIC, SECRET_PURPOSE, b"not shown").unwrap();
        let mut tx = db.begin().await.unwrap();
        let webhook =
            Webhook::create(&mut tx, CLINIC, &url, "", &[], &secret, now()).await.unwrap().webhook_id;
        for event in events {
            tell(&mut tx, CLINIC, event, now()).await.unwrap();
        }
        tx.commit().await.unwrap();
        relay::place_all(db, relay::Work::None).await.unwrap();
        let told = after(&mut db.read().await.unwrap(), 0, 1_000).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        for told in told.iter().chain(&told) {
            Delivery::plan(&mut tx, webhook, told, now()).await.unwrap();
        }
        tx.commit().await.unwrap();
        (webhook, told)
    }

    #[tokio::test]
    async fn of_one_record_the_first_that_waits_is_next_and_a_dead_one_makes_way() {
        on_both(async |db| {
            let study_id = StudyId::new();
            let stored = Event::InstanceStored { study_id, instance_id: InstanceId::new(), begins: None };
            let ready = Event::FindingsReady { study_id, analysis_ids: Vec::new(), found: None };
            let other = Event::FindingReviewed { finding_id: FindingId::new(), review: None };
            let (webhook, told) = planned(&db, &[stored, ready, other]).await;
            let study = told[0].aggregate();
            let mut tx = db.begin().await.unwrap();
            let mut records = Delivery::waiting_aggregates(&mut tx, CLINIC, webhook, 10).await.unwrap();
            records.sort();
            assert_eq!(records, [told[2].aggregate(), study.clone()]);

            let first = Delivery::next(&mut tx, CLINIC, webhook, &study).await.unwrap().unwrap();
            assert_eq!((first.event_id, first.tries), (told[0].event_id, 0));
            let later = now() + TimeDelta::minutes(1);
            first.has_failed(&mut tx, Some(503), "busy", Some(later)).await.unwrap();
            let still = Delivery::next(&mut tx, CLINIC, webhook, &study).await.unwrap().unwrap();
            assert_eq!((still.delivery_id, still.tries, still.next_at), (first.delivery_id, 1, later));
            assert_eq!((still.status, still.last_error.as_deref()), (Some(503), Some("busy")));
            still.has_failed(&mut tx, None, "no answer", None).await.unwrap();
            let second = Delivery::next(&mut tx, CLINIC, webhook, &study).await.unwrap().unwrap();
            assert_eq!(second.event_id, told[1].event_id);
            second.has_arrived(&mut tx, 204, now()).await.unwrap();
            assert_eq!(Delivery::next(&mut tx, CLINIC, webhook, &study).await.unwrap(), None);

            let again = Delivery::replay(&mut tx, CLINIC, webhook, first.delivery_id, now()).await.unwrap();
            assert_eq!((again.state, again.tries), (DeliveryState::Waiting, 0));
            assert_eq!(Delivery::next(&mut tx, CLINIC, webhook, &study).await.unwrap(), Some(again));
            let theirs = Delivery::replay(&mut tx, ClinicId::new(), webhook, first.delivery_id, now()).await;
            assert!(matches!(theirs, Err(DbError::NotFound)));
        })
        .await;
    }

    #[tokio::test]
    async fn what_waits_without_a_job_is_asked_for_once() {
        on_both(async |db| {
            let events: Vec<_> = (0..=PAGE)
                .map(|_| Event::FindingReviewed { finding_id: FindingId::new(), review: None })
                .collect();
            let (webhook, _) = planned(&db, &events).await;
            let waiting = events.len() as u64;
            let mut tx = db.begin().await.unwrap();
            Delivery::resume(&mut tx, CLINIC, webhook, now()).await.unwrap();
            tx.commit().await.unwrap();
            let left = waiting - PAGE as u64;
            assert_eq!(Delivery::ask_for_stranded(&db, now()).await.unwrap(), left);
            assert_eq!(Delivery::ask_for_stranded(&db, now()).await.unwrap(), 0);
            assert_eq!(crate::testing::count(&db, "jobs").await, events.len() as i64);
        })
        .await;
    }

    #[tokio::test]
    async fn what_was_planned_is_listed_once_and_forgotten_when_it_is_old_and_over() {
        on_both(async |db| {
            let finding = || Event::FindingReviewed { finding_id: FindingId::new(), review: None };
            let (webhook, told) = planned(&db, &[finding(), finding()]).await;
            let mut tx = db.begin().await.unwrap();
            let all = Delivery::list(&mut tx, CLINIC, webhook, None, None, 10).await.unwrap();
            assert_eq!(all.len(), 2, "planned twice, it is there once");
            assert_eq!(all[0].event_id, told[1].event_id, "the latest first");
            let older =
                Delivery::list(&mut tx, CLINIC, webhook, None, Some(all[0].delivery_id), 10).await.unwrap();
            assert_eq!(older, all[1..]);
            all[0].has_arrived(&mut tx, 200, now()).await.unwrap();
            let arrived = Some(DeliveryState::Delivered);
            let arrived = Delivery::list(&mut tx, CLINIC, webhook, arrived, None, 10).await.unwrap();
            assert_eq!((arrived.len(), arrived[0].delivered_at), (1, Some(now())));
            assert_eq!(Delivery::forget(&mut tx, now(), 10).await.unwrap(), 0, "not old enough");
            assert_eq!(Delivery::forget(&mut tx, now() + TimeDelta::days(1), 10).await.unwrap(), 1);
            let left = Delivery::find(&mut tx, CLINIC, webhook, all[1].delivery_id).await.unwrap();
            assert_eq!(left.state, DeliveryState::Waiting);
        })
        .await;
    }
}
