//! Listeners: each hears every event that it cares for, in order, at least once.
//!
//! A listener's position is a row, and so is the lease that lets one process at a
//! time hear for it; what was heard but not yet written down is heard again.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use uuid::Uuid;

use super::{Told, after};
use crate::db::{Conn, Db, FromRow, Result, Row, Tx, sql};

/// So many events are heard at a time.
const BATCH: i64 = 200;
/// A process that says nothing for so long has lost its listeners to others.
const LEASE: TimeDelta = TimeDelta::seconds(30);
/// The lease is renewed, and a position written down though nothing was heard, after this part of it.
const RENEW: TimeDelta = TimeDelta::seconds(10);

/// Why a listener could not hear; the same events are told to it again.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct HearError(Box<dyn std::error::Error + Send + Sync>);

impl HearError {
    /// Wraps what went wrong.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

/// Someone who cares for events.
///
/// Its promises: it may be told the same event twice, and must then leave what one telling leaves; it has heard
/// all of `told` or fails; it is done well within half a minute.
pub trait Listener: Send + Sync {
    /// The name under which its position is kept; it never changes.
    fn name(&self) -> &'static str;

    /// Whether it cares for this one.
    fn hears(&self, told: &Told) -> bool;

    /// Hears events, which stand in order.
    fn hear<'a>(&'a self, told: &'a [Told]) -> BoxFuture<'a, std::result::Result<(), HearError>>;
}

/// A listener at work in this process.
pub struct Hearing {
    db: Db,
    listener: Arc<dyn Listener>,
    holder: Uuid,
    /// Behind which event it stands, and when that was last written down; `None` where another process hears.
    held: Option<(i64, DateTime<Utc>)>,
}

/// Why a step of a listener failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] crate::db::DbError),
    /// The listener failed; nothing of the batch counts as heard.
    #[error("the listener failed")]
    Listener(#[source] HearError),
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It heard what there was; there may be more.
    Heard,
    /// There is nothing new.
    Idle,
    /// Another process hears for this listener.
    Elsewhere,
}

impl Hearing {
    /// Begins; a listener that is new to the database hears what is told from now on.
    pub fn new(db: Db, listener: Arc<dyn Listener>) -> Self {
        Self { db, listener, holder: Uuid::now_v7(), held: None }
    }

    /// Its listener's name.
    pub fn name(&self) -> &'static str {
        self.listener.name()
    }

    /// Lets the listener hear the next batch.
    ///
    /// # Errors
    ///
    /// [`StepError`]: the batch is heard again by the next step.
    pub async fn step(&mut self, now: DateTime<Utc>) -> std::result::Result<Step, StepError> {
        let (position, written_at) = match self.held {
            Some((position, written_at)) if now - written_at < RENEW => (position, written_at),
            held => match self.take(held.map(|(position, _)| position), now).await? {
                Some(position) => (position, now),
                None => {
                    self.held = None;
                    return Ok(Step::Elsewhere);
                }
            },
        };
        self.held = Some((position, written_at));
        let batch = after(&mut self.db.read().await?, position, BATCH).await?;
        let Some(last) = batch.last().and_then(|told| told.position) else { return Ok(Step::Idle) };
        let cared_for: Vec<Told> = batch.into_iter().filter(|told| self.listener.hears(told)).collect();
        if cared_for.is_empty() {
            // Read again after a crash, which costs less than a row for every batch.
            self.held = Some((last, written_at));
            return Ok(Step::Heard);
        }
        self.listener.hear(&cared_for).await.map_err(StepError::Listener)?;
        self.held = self.take(Some(last), now).await?.map(|position| (position, now));
        Ok(Step::Heard)
    }

    /// Takes or keeps the lease, and writes down how much was heard; the position, or `None` where another holds it.
    async fn take(&self, heard: Option<i64>, now: DateTime<Utc>) -> Result<Option<i64>> {
        let name = self.listener.name();
        let mut tx = self.db.begin().await?;
        let keep = "UPDATE event_listeners
                       SET held_by = $1, held_until = $2,
                           position = CASE WHEN held_by = $1 AND $3 > position THEN $3 ELSE position END
                     WHERE name = $4 AND (held_by = $1 OR held_until IS NULL OR held_until <= $5)
                 RETURNING position";
        let keep =
            || sql(keep).bind(self.holder).bind(now + LEASE).bind(heard.unwrap_or(0)).bind(name).bind(now);
        let mut position: Option<i64> = keep().fetch_optional(&mut tx).await?;
        if position.is_none() && begin(&mut tx, name).await? {
            position = keep().fetch_optional(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(position)
    }

    /// Gives the lease back, so that another process need not wait for its end.
    ///
    /// # Errors
    ///
    /// [`crate::db::DbError`] when the database failed: the lease ends by itself.
    pub async fn release(self) -> Result<()> {
        let Some((position, _)) = self.held else { return Ok(()) };
        let mut tx = self.db.begin().await?;
        sql("UPDATE event_listeners SET held_by = NULL, held_until = NULL, position = $1
              WHERE name = $2 AND held_by = $3")
        .bind(position)
        .bind(self.listener.name())
        .bind(self.holder)
        .execute(&mut tx)
        .await?;
        tx.commit().await
    }
}

/// Lets a listener hear what is told from now on; whether it is new to the database.
async fn begin(tx: &mut Tx, name: &str) -> Result<bool> {
    let begin = "INSERT INTO event_listeners (name, position)
                 SELECT $1, COALESCE(max(position), 0) FROM events WHERE position IS NOT NULL
                 ON CONFLICT (name) DO NOTHING";
    Ok(sql(begin).bind(name).execute(tx).await? == 1)
}

/// Lets a listener that is new hear what is told from now on, before anybody hears for it: whoever wants what was told
/// before as well reads that after this, and misses nothing between.
pub async fn expect(db: &Db, name: &str) -> Result<()> {
    let mut tx = db.begin().await?;
    begin(&mut tx, name).await?;
    tx.commit().await
}

/// How far a listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Its name.
    pub name: String,
    /// The position of the last event that it is known to have heard.
    pub position: i64,
    /// The last position that any event has.
    pub last: i64,
}

impl FromRow for Progress {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { name: row.get("name")?, position: row.get("position")?, last: row.get("last")? })
    }
}

/// How far each listener is, by name.
pub async fn progress(db: &mut Conn) -> Result<Vec<Progress>> {
    sql("SELECT name, position, (SELECT COALESCE(max(position), 0) FROM events WHERE position IS NOT NULL) AS last
           FROM event_listeners ORDER BY name")
    .fetch_all(db)
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::outbox::{relay, tell};
    use crate::testing::{now, on_both};
    use clinical::event::Event;
    use clinical::id::{ClinicId, FindingId, InstanceId, StudyId};

    /// Writes down what it heard, unless it is told to fail.
    #[derive(Default)]
    struct Scribe {
        heard: Mutex<Vec<Event>>,
        fails: AtomicBool,
    }

    impl Listener for Scribe {
        fn name(&self) -> &'static str {
            "scribe"
        }

        fn hears(&self, told: &Told) -> bool {
            told.name != "instance_stored"
        }

        fn hear<'a>(&'a self, told: &'a [Told]) -> BoxFuture<'a, std::result::Result<(), HearError>> {
            Box::pin(async move {
                if self.fails.load(Ordering::SeqCst) {
                    return Err(HearError::new("no ink"));
                }
                self.heard.lock().unwrap().extend(told.iter().map(|told| told.event.clone()));
                Ok(())
            })
        }
    }

    async fn told(db: &Db, event: &Event) {
        let mut tx = db.begin().await.unwrap();
        tell(&mut tx, ClinicId::DEFAULT, event, now()).await.unwrap();
        tx.commit().await.unwrap();
        relay::place_all(db, relay::Work::None).await.unwrap();
    }

    fn event() -> Event {
        Event::FindingReviewed { finding_id: FindingId::new(), review: None }
    }

    #[tokio::test]
    async fn a_listener_hears_in_order_what_it_cares_for_and_goes_on_where_it_was() {
        on_both(async |db| {
            told(&db, &event()).await;
            let scribe = Arc::new(Scribe::default());
            let mut hearing = Hearing::new(db.clone(), scribe.clone());
            assert_eq!(
                hearing.step(now()).await.unwrap(),
                Step::Idle,
                "what was told before it is not heard"
            );
            let events = [event(), event(), event()];
            for event in &events {
                told(&db, event).await;
            }
            let stored = Event::InstanceStored {
                study_id: StudyId::new(),
                instance_id: InstanceId::new(),
                begins: None,
            };
            told(&db, &stored).await;
            assert_eq!(hearing.step(now()).await.unwrap(), Step::Heard);
            assert_eq!(hearing.step(now()).await.unwrap(), Step::Idle);
            assert_eq!(*scribe.heard.lock().unwrap(), events);

            hearing.release().await.unwrap();
            let last = event();
            told(&db, &last).await;
            let mut anew = Hearing::new(db.clone(), scribe.clone());
            anew.step(now()).await.unwrap();
            assert_eq!(scribe.heard.lock().unwrap()[3..], [last]);
            let progress = progress(&mut db.read().await.unwrap()).await.unwrap();
            assert_eq!((progress[0].name.as_str(), progress[0].position), ("scribe", progress[0].last));
        })
        .await;
    }

    #[tokio::test]
    async fn what_a_listener_failed_to_hear_is_told_to_it_again() {
        on_both(async |db| {
            let scribe = Arc::new(Scribe::default());
            let mut hearing = Hearing::new(db.clone(), scribe.clone());
            hearing.step(now()).await.unwrap();
            let first = event();
            told(&db, &first).await;
            scribe.fails.store(true, Ordering::SeqCst);
            assert!(matches!(hearing.step(now()).await, Err(StepError::Listener(_))));
            scribe.fails.store(false, Ordering::SeqCst);
            hearing.step(now()).await.unwrap();
            assert_eq!(*scribe.heard.lock().unwrap(), [first]);
        })
        .await;
    }

    #[tokio::test]
    async fn one_process_hears_at_a_time_and_another_takes_over_when_it_is_gone() {
        on_both(async |db| {
            let (here, there) = (Arc::new(Scribe::default()), Arc::new(Scribe::default()));
            let mut first = Hearing::new(db.clone(), here.clone());
            let mut second = Hearing::new(db.clone(), there.clone());
            assert_eq!(first.step(now()).await.unwrap(), Step::Idle);
            told(&db, &event()).await;
            assert_eq!(second.step(now()).await.unwrap(), Step::Elsewhere);
            assert_eq!(first.step(now()).await.unwrap(), Step::Heard);
            let later = now() + LEASE;
            told(&db, &event()).await;
            assert_eq!(second.step(later).await.unwrap(), Step::Heard);
            assert_eq!(first.step(later).await.unwrap(), Step::Elsewhere);
            let both = (here.heard.lock().unwrap().len(), there.heard.lock().unwrap().len());
            assert_eq!(both, (1, 1));
        })
        .await;
    }
}
