//! What is in the queue, for people and programs that watch it, and another chance for what died.

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, JobId};
use clinical::job::{Job, Queue};

use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, sql};

/// A job that was tried too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// Its identifier.
    pub job_id: JobId,
    /// The clinic whose work it was.
    pub clinic_id: ClinicId,
    /// Its kind.
    pub kind: String,
    /// What it was about: the key of a record.
    pub key: String,
    /// How often it was tried.
    pub tries: i64,
    /// Why it failed the last time.
    pub last_error: String,
    /// When it was asked for.
    pub enqueued_at: DateTime<Utc>,
}

impl FromRow for Dead {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            job_id: row.id("job_id")?,
            clinic_id: row.id("clinic_id")?,
            kind: row.get("kind")?,
            key: row.get("job_key")?,
            tries: row.get("tries")?,
            last_error: row.get::<Option<String>>("last_error")?.unwrap_or_default(),
            enqueued_at: row.get("enqueued_at")?,
        })
    }
}

/// How many jobs there are in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Waiting.
    pub queued: i64,
    /// In a worker's hands.
    pub running: i64,
    /// Tried too often.
    pub dead: i64,
}

/// How many jobs there are in each state, over all clinics.
pub async fn depth(db: &mut Conn) -> Result<Depth> {
    let mut depth = Depth::default();
    for (state, count) in
        [("queued", &mut depth.queued), ("running", &mut depth.running), ("dead", &mut depth.dead)]
    {
        *count = sql("SELECT count(*) FROM jobs WHERE state = $1").bind(state).fetch_one(db).await?;
    }
    Ok(depth)
}

/// In how many states, and how often, one job is there.
pub async fn depth_of(db: &mut Conn, clinic: ClinicId, job: &Job) -> Result<Depth> {
    let states: Vec<String> =
        sql("SELECT state FROM jobs WHERE clinic_id = $1 AND kind = $2 AND job_key = $3")
            .bind(clinic)
            .bind(job.kind())
            .bind(job.key())
            .fetch_all(db)
            .await?;
    let count = |state: &str| states.iter().filter(|it| *it == state).count() as i64;
    Ok(Depth { queued: count("queued"), running: count("running"), dead: count("dead") })
}

/// The dead jobs over all clinics, the latest first.
pub async fn dead(db: &mut Conn, limit: i64) -> Result<Vec<Dead>> {
    sql("SELECT job_id, clinic_id, kind, job_key, tries, last_error, enqueued_at FROM jobs WHERE state = 'dead'
          ORDER BY run_at DESC LIMIT $1")
    .bind(limit)
    .fetch_all(db)
    .await
}

/// The dead jobs of one clinic before `before`, the latest asked first.
pub async fn dead_of(
    db: &mut Conn,
    clinic: ClinicId,
    before: Option<JobId>,
    limit: i64,
) -> Result<Vec<Dead>> {
    sql("SELECT job_id, clinic_id, kind, job_key, tries, last_error, enqueued_at FROM jobs
          WHERE clinic_id = $1 AND state = 'dead' AND job_id < $2 ORDER BY job_id DESC LIMIT $3")
    .bind(clinic)
    .bind(before.unwrap_or(JobId(uuid::Uuid::max())))
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Gives a dead job of the clinic all its tries anew; where the same job waits already, that one does for both.
///
/// # Errors
///
/// [`DbError::NotFound`] when the clinic has no dead job of that identifier.
pub async fn replay(db: &mut Tx, clinic: ClinicId, job_id: JobId, now: DateTime<Utc>) -> Result<()> {
    let again = "UPDATE jobs SET state = 'queued', tries = 0, run_at = $1
                  WHERE clinic_id = $2 AND job_id = $3 AND state = 'dead'
                    AND NOT EXISTS (SELECT 1 FROM jobs AS again
                                     WHERE again.clinic_id = jobs.clinic_id AND again.kind = jobs.kind
                                       AND again.job_key = jobs.job_key AND again.state = 'queued')";
    db.has_asked();
    if sql(again).bind(now).bind(clinic).bind(job_id).execute(db).await? == 1 {
        return Ok(());
    }
    let gone = sql("DELETE FROM jobs WHERE clinic_id = $1 AND job_id = $2 AND state = 'dead'");
    match gone.bind(clinic).bind(job_id).execute(db).await? {
        0 => Err(DbError::NotFound),
        _ => Ok(()),
    }
}

/// How many jobs of one queue there are in each state, over all clinics.
pub async fn depth_of_queue(db: &mut Conn, queue: Queue) -> Result<Depth> {
    let mut depth = Depth::default();
    for kind in queue.kinds() {
        for (state, count) in
            [("queued", &mut depth.queued), ("running", &mut depth.running), ("dead", &mut depth.dead)]
        {
            let counted = sql("SELECT count(*) FROM jobs WHERE kind = $1 AND state = $2");
            *count += counted.bind(kind).bind(state).fetch_one::<i64>(db).await?;
        }
    }
    Ok(depth)
}

/// Since when a job could have been taken that nobody took; `None` where none waits, or a worker holds any.
pub async fn neglected_since(db: &mut Conn, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
    let longest = "SELECT run_at FROM jobs
                    WHERE state = 'queued' AND run_at <= $1
                      AND NOT EXISTS (SELECT 1 FROM jobs AS held WHERE held.state = 'running' AND held.run_at > $1)
                    ORDER BY run_at LIMIT 1";
    let since = sql(longest).bind(now).fetch_optional::<Since>(db).await?;
    Ok(since.map(|Since(since)| since))
}

struct Since(DateTime<Utc>);

impl FromRow for Since {
    fn from_row(row: &Row) -> Result<Self> {
        row.get(0).map(Self)
    }
}
