//! Keeping the counts: events go in once each, in their order, whoever brings them and however often.
//!
//! The position of the last event that is in the numbers is a row, which changes in the transaction that writes the
//! numbers. What is counted anew has a row of its own, and takes the place of the other once both are as far.

use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use storage::db::{Conn, Db, DbError, FromRow, Result, Row, Tx, built_sql};
use storage::outbox::{HearError, Listener, Told};

use crate::batch::Batch;
use crate::fold::counts;

/// A listener that has more to catch up with than fits this time is told the rest again.
const PATIENCE: Duration = Duration::from_secs(10);

/// The name of the listener that counts.
pub const LISTENER: &str = "analytics";

/// The listener that counts.
pub struct Counter {
    db: Db,
}

impl Counter {
    /// Counts in `db`, every clinic.
    pub fn new(db: Db) -> Self {
        Self { db }
    }
}

impl Listener for Counter {
    fn name(&self) -> &'static str {
        LISTENER
    }

    fn hears(&self, told: &Told) -> bool {
        counts(&told.event)
    }

    fn hear<'a>(&'a self, told: &'a [Told]) -> BoxFuture<'a, std::result::Result<(), HearError>> {
        Box::pin(async move {
            let Some(until) = told.last().and_then(|told| told.position) else { return Ok(()) };
            let started = Instant::now();
            while !step(&self.db, Generation::Current, until).await.map_err(HearError::new)?.is_all {
                if started.elapsed() > PATIENCE {
                    return Err(HearError::new("there is more to count than fits one hearing"));
                }
            }
            Ok(())
        })
    }
}

/// Counts what was told and is not counted yet; how many events that were.
///
/// # Errors
///
/// Those of the database; what is counted stays so.
pub async fn catch_up(db: &Db) -> Result<u64> {
    count_on(db, Generation::Current, i64::MAX).await
}

/// Counts what was told up to `until`; how many events that were.
pub(crate) async fn count_on(db: &Db, which: Generation, until: i64) -> Result<u64> {
    let mut counted = 0;
    loop {
        let Stepped { events, is_all } = step(db, which, until).await?;
        counted += events;
        if is_all {
            return Ok(counted);
        }
    }
}

/// What a step has taken in.
struct Stepped {
    events: u64,
    /// Whether there was no more.
    is_all: bool,
}

/// Takes in the next events up to `until`.
async fn step(db: &Db, which: Generation, until: i64) -> Result<Stepped> {
    // Whatever is read here was true of this position; a transaction that finds another begins again.
    loop {
        let mut read = db.read().await?;
        let place = which.find(&mut read, "").await?;
        let batch = Batch::read(&mut read, place, until).await?;
        drop(read);
        let Batch { events, is_all, last, .. } = batch;
        if last.is_none() {
            return Ok(Stepped { events, is_all });
        }
        let mut tx = db.begin().await?;
        match which.lock(&mut tx).await {
            Ok(held) if held == place => {}
            Ok(_) => continue,
            // On PostgreSQL: while this waited for the row, another has taken its place.
            Err(DbError::NotFound) if which == Generation::Current => continue,
            Err(error) => return Err(error),
        }
        batch.write(&mut tx, place.generation).await?;
        tx.commit().await?;
        return Ok(Stepped { events, is_all });
    }
}

/// Which set of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generation {
    /// The one that is shown.
    Current,
    /// One that is being made.
    Number(i64),
}

/// How far a set of numbers is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub generation: i64,
    pub position: i64,
}

impl FromRow for Place {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { generation: row.get("generation")?, position: row.get("position")? })
    }
}

impl Generation {
    /// How far it is; `lock` is of the engine, or nothing.
    pub async fn find(self, db: &mut Conn, lock: &str) -> Result<Place> {
        let (clause, number) = match self {
            Self::Current => ("is_current AND generation >= $1", 0),
            Self::Number(number) => ("NOT is_current AND generation = $1", number),
        };
        built_sql(format!("SELECT generation, position FROM analytics_generations WHERE {clause}{lock}"))
            .bind(number)
            .fetch_one(db)
            .await
    }

    /// Nobody else adds to it until the transaction ends.
    pub async fn lock(self, tx: &mut Tx) -> Result<Place> {
        let lock = tx.change_lock();
        self.find(tx, lock).await
    }
}
