//! Rows about reads: whoever waits at the same time shares one commit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use clinical::audit::{Actor, Entry, Outcome};
use clinical::id::ClinicId;
use tokio::sync::{OnceCell, mpsc, oneshot};

use crate::audit::{id_at, insert, pieces};
use crate::db::{Db, DbError, Result};

/// So many rows wait at most; who comes then waits to wait.
const MOST_WAITING: usize = 4_096;
/// So many rows share a commit at most.
const MOST_PER_COMMIT: usize = 512;
/// So many things that were written once a minute are remembered; past them a row is written twice.
const MOST_REMEMBERED: usize = 65_536;

/// The way of rows that no change carries; cheap to clone.
#[derive(Clone)]
pub struct Trail {
    sender: mpsc::Sender<Waiting>,
    recent: Arc<Mutex<Recent>>,
}

struct Waiting {
    entry: Entry,
    told: oneshot::Sender<Result<(), String>>,
}

/// What was written in the present minute.
#[derive(Default)]
struct Recent {
    minute: i64,
    written: HashMap<Once, Arc<OnceCell<()>>>,
}

/// What makes two rows of a minute one.
#[derive(PartialEq, Eq, Hash)]
struct Once {
    clinic_id: ClinicId,
    actor: Actor,
    action: String,
    outcome: Outcome,
    key: String,
}

impl Trail {
    /// A trail into `db`; its task ends with the last clone.
    ///
    /// # Panics
    ///
    /// Outside a `tokio` runtime.
    pub fn new(db: Db) -> Self {
        let (sender, waiting) = mpsc::channel(MOST_WAITING);
        tokio::spawn(carry(db, waiting));
        Self { sender, recent: Arc::default() }
    }

    /// Adds `entry`; returns once it is on disk. A caller who gives up meanwhile does not take the row back.
    ///
    /// # Errors
    ///
    /// [`DbError::Commit`] when the shared commit failed.
    pub async fn record(&self, entry: Entry) -> Result<()> {
        const ENDED: &str = "the audit trail has stopped";
        let (told, outcome) = oneshot::channel();
        let waiting = Waiting { entry, told };
        self.sender.send(waiting).await.map_err(|_| DbError::Commit(ENDED.to_owned()))?;
        outcome.await.unwrap_or_else(|_| Err(ENDED.to_owned())).map_err(DbError::Commit)
    }

    /// As [`Trail::record`], but one row alone for the same clinic, actor, action, outcome and `key` within a
    /// minute (of `entry.at`): frames that are fetched one by one are one act on one study. Returns once that one
    /// row is on disk, whoever wrote it. Counted in this process alone.
    ///
    /// # Errors
    ///
    /// As [`Trail::record`].
    pub async fn record_once(&self, entry: Entry, key: impl Into<String>) -> Result<()> {
        let once = Once {
            clinic_id: entry.clinic_id,
            actor: entry.actor,
            action: entry.action.clone(),
            outcome: entry.outcome,
            key: key.into(),
        };
        let cell =
            self.recent.lock().unwrap_or_else(PoisonError::into_inner).cell(entry.at.timestamp() / 60, once);
        cell.get_or_try_init(|| self.record(entry)).await.map(|_| ())
    }
}

impl Recent {
    fn cell(&mut self, minute: i64, once: Once) -> Arc<OnceCell<()>> {
        if minute != self.minute || self.written.len() >= MOST_REMEMBERED {
            self.minute = minute;
            self.written.clear();
        }
        Arc::clone(self.written.entry(once).or_default())
    }
}

/// Writes all that wait, again and again: while one commit lasts, the next one's rows gather.
async fn carry(db: Db, mut waiting: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::with_capacity(MOST_PER_COMMIT);
    while waiting.recv_many(&mut batch, MOST_PER_COMMIT).await > 0 {
        let outcome = write_all(&db, &batch).await.map_err(|error| error.to_string());
        for Waiting { told, .. } in batch.drain(..) {
            // Who no longer listens has given up.
            let _ = told.send(outcome.clone());
        }
    }
}

async fn write_all(db: &Db, batch: &[Waiting]) -> Result<()> {
    let rows: Vec<_> = batch.iter().map(|waiting| (id_at(&waiting.entry), &waiting.entry)).collect();
    let mut tx = db.begin().await?;
    for rows in pieces(&rows) {
        insert(rows).defer(&mut tx).await?;
    }
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::tests::entry;
    use crate::testing::{count, on_both};
    use chrono::TimeDelta;
    use tokio::task::JoinSet;

    #[tokio::test]
    async fn rows_that_wait_together_are_all_written() {
        on_both(async |db| {
            let trail = Trail::new(db.clone());
            let mut tasks = JoinSet::new();
            for number in 0..700 {
                let trail = trail.clone();
                tasks.spawn(async move { trail.record(entry(number)).await });
            }
            for outcome in tasks.join_all().await {
                outcome.unwrap();
            }
            assert_eq!(count(&db, "audit_trail").await, 700);
        })
        .await;
    }

    #[tokio::test]
    async fn frames_of_one_study_are_one_row_a_person_and_minute() {
        on_both(async |db| {
            let trail = Trail::new(db.clone());
            let (ours, theirs) = (entry(0), entry(1));
            let mut tasks = JoinSet::new();
            for number in 0..60 {
                let (trail, who) = (trail.clone(), if number % 2 == 0 { &ours } else { &theirs }.clone());
                let study = if number % 3 == 0 { "1.2.3" } else { "1.2.4" };
                tasks.spawn(async move { trail.record_once(who, study).await });
            }
            for outcome in tasks.join_all().await {
                outcome.unwrap();
            }
            assert_eq!(count(&db, "audit_trail").await, 4, "two persons by two studies");
            let later = Entry { at: ours.at + TimeDelta::seconds(60), ..ours };
            trail.record_once(later, "1.2.3").await.unwrap();
            assert_eq!(count(&db, "audit_trail").await, 5);
        })
        .await;
    }

    #[tokio::test]
    async fn who_cannot_be_written_down_is_told_so() {
        on_both(async |db| {
            let trail = Trail::new(db.clone());
            db.close().await;
            let mut tx = match db.begin().await {
                Ok(tx) => tx,
                Err(_) => return assert!(trail.record(entry(0)).await.is_err()),
            };
            crate::db::sql("DROP TABLE audit_trail").execute(&mut tx).await.unwrap();
            tx.commit().await.unwrap();
            assert!(trail.record(entry(0)).await.is_err());
            assert!(trail.record_once(entry(0), "1.2.3").await.is_err());
        })
        .await;
    }
}
