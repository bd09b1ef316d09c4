//! The durable queue: work is enqueued in the transaction of the change that needs it.
//!
//! A job is `queued` until a worker claims it, then `running` under a lease;
//! a worker that dies lets the lease run out and another takes over. After the
//! last try a job is `dead`: kept, counted in `/metrics`, listed by `doctor`.
//! What is done is deleted. Each kind of job waits in one of the queues of
//! [`clinical::job::Queue`]; the same job never runs twice at once.
//!
//! Here work is asked for; [`claim`] and what follows it is in `queue/work.rs`,
//! who only looks finds `queue/look.rs`.

mod look;
#[cfg(test)]
mod tests;
mod work;

use chrono::{DateTime, TimeDelta, Utc};
use clinical::id::{ClinicId, JobId};
use clinical::job::{Job, Priority};

use crate::db::{DbError, FromRow, Result, Row, Tx, built_sql, sql};

pub use look::{Dead, Depth, dead, dead_of, depth, depth_of, depth_of_queue, neglected_since, replay};
pub use work::{
    Claimed, claim, claim_from, claim_some, fail, finish, give_way, is_due, is_due_in, is_held, keep,
};

/// A job that another inserts at the same moment is looked for again so often.
const INSERT_TRIES: usize = 3;

/// How often and how patiently a job is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// After so many failed tries a job is dead.
    pub tries: i64,
    /// The wait after the first failure; each further one doubles it, up to an hour.
    pub first_wait: TimeDelta,
    /// A worker that says nothing for so long has lost its job to others.
    pub lease: TimeDelta,
    /// A try that takes longer is stopped, and has failed.
    pub longest: TimeDelta,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            tries: 5,
            first_wait: TimeDelta::seconds(2),
            lease: TimeDelta::minutes(2),
            longest: TimeDelta::hours(2),
        }
    }
}

struct Waiting {
    job_id: JobId,
    run_at: DateTime<Utc>,
}

impl FromRow for Waiting {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { job_id: row.id("job_id")?, run_at: row.get("run_at")? })
    }
}

/// The same job waiting already, locked in share, so that no worker claims it before this transaction's change
/// can be seen.
async fn waiting(db: &mut Tx, clinic: ClinicId, job: &Job) -> Result<Option<Waiting>> {
    let find = format!(
        "SELECT job_id, run_at FROM jobs
          WHERE clinic_id = $1 AND kind = $2 AND job_key = $3 AND state = 'queued'{}",
        db.share_lock()
    );
    built_sql(find).bind(clinic).bind(job.kind()).bind(job.key()).fetch_optional(db).await
}

/// Asks for `job` at `run_at`; where the same job waits already, it does for both, whenever it is due.
pub async fn ask(
    db: &mut Tx,
    clinic: ClinicId,
    job: &Job,
    priority: Priority,
    run_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<()> {
    for _ in 0..INSERT_TRIES {
        if waiting(db, clinic, job).await?.is_some() || insert(db, clinic, job, priority, run_at, now).await?
        {
            return Ok(());
        }
    }
    Err(DbError::Conflict)
}

/// Asks for `job` after `delay`; the same job waiting already is put off to then.
///
/// The waiting job is locked in share, so that no worker claims it before this transaction's change can be
/// seen. To put it off takes the row for oneself, which is tried without waiting and only when it would gain
/// more than a quarter of the delay: two who hold it in share and wait for one another would be a deadlock.
/// Where it does not succeed, another has just put it off, or the work is done twice.
pub async fn put_off(
    db: &mut Tx,
    clinic: ClinicId,
    job: &Job,
    now: DateTime<Utc>,
    delay: TimeDelta,
) -> Result<()> {
    let run_at = now + delay;
    for _ in 0..INSERT_TRIES {
        if let Some(waiting) = waiting(db, clinic, job).await? {
            if run_at - waiting.run_at <= delay / 4 {
                return Ok(());
            }
            let update = format!(
                "UPDATE jobs SET run_at = $1
                  WHERE job_id = (SELECT job_id FROM jobs WHERE job_id = $2 AND state = 'queued'{})",
                db.skip_locked()
            );
            built_sql(update).bind(run_at).bind(waiting.job_id).execute(db).await?;
            return Ok(());
        }
        if insert(db, clinic, job, Priority::Routine, run_at, now).await? {
            return Ok(());
        }
        // Another has asked at the same moment: his job is there to be locked now.
    }
    Err(DbError::Conflict)
}

/// Asks for `job` at once, ahead of routine work; the same job waiting already is pulled forward.
pub async fn pull_forward(db: &mut Tx, clinic: ClinicId, job: &Job, now: DateTime<Utc>) -> Result<()> {
    hurry(db, clinic, job, Priority::Urgent, now).await
}

/// Asks for `job` at once, with this priority; the same job waiting already is pulled forward, and never becomes less
/// urgent than it was.
pub async fn hurry(
    db: &mut Tx,
    clinic: ClinicId,
    job: &Job,
    priority: Priority,
    now: DateTime<Utc>,
) -> Result<()> {
    db.has_asked();
    for _ in 0..INSERT_TRIES {
        if insert(db, clinic, job, priority, now, now).await? {
            return Ok(());
        }
        let pulled =
            sql("UPDATE jobs SET run_at = $1, priority = CASE WHEN priority > $2 THEN priority ELSE $2 END
                           WHERE clinic_id = $3 AND kind = $4 AND job_key = $5 AND state = 'queued'")
            .bind(now)
            .bind(priority as i64)
            .bind(clinic)
            .bind(job.kind())
            .bind(job.key())
            .execute(db)
            .await?;
        if pulled == 1 {
            return Ok(());
        }
        // A worker has claimed it between the two, and may have looked before this transaction's change.
    }
    Err(DbError::Conflict)
}

/// Says by when the waiting `job` is wanted, unless it is wanted earlier already: of a clinic's jobs of one priority the
/// one that is wanted first runs first. Clinics take turns all the same.
pub async fn wanted_by(db: &mut Tx, clinic: ClinicId, job: &Job, due_at: DateTime<Utc>) -> Result<()> {
    sql("UPDATE jobs SET due_at = $1
          WHERE clinic_id = $2 AND kind = $3 AND job_key = $4 AND state = 'queued'
            AND (due_at IS NULL OR due_at > $1)")
    .bind(due_at)
    .bind(clinic)
    .bind(job.kind())
    .bind(job.key())
    .execute(db)
    .await?;
    Ok(())
}

/// Takes `job` back: it waits no more, and a worker that is at it loses it; how many there were.
///
/// A worker that loses a job stops when it renews its lease. What it has written until then stays.
pub async fn cancel(db: &mut Tx, clinic: ClinicId, job: &Job) -> Result<u64> {
    let delete = "DELETE FROM jobs
                   WHERE clinic_id = $1 AND kind = $2 AND job_key = $3 AND state IN ('queued', 'running')";
    sql(delete).bind(clinic).bind(job.kind()).bind(job.key()).execute(db).await
}

/// Writes the job; `false` when the same one waits already.
async fn insert(
    db: &mut Tx,
    clinic: ClinicId,
    job: &Job,
    priority: Priority,
    run_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool> {
    let insert = "INSERT INTO jobs (job_id, clinic_id, kind, job_key, body, priority, state, tries, run_at,
                                    enqueued_at)
                  VALUES ($1, $2, $3, $4, $5, $6, 'queued', 0, $7, $8)
                  ON CONFLICT (clinic_id, kind, job_key) WHERE state = 'queued' DO NOTHING";
    let written = sql(insert)
        .bind(JobId::new())
        .bind(clinic)
        .bind(job.kind())
        .bind(job.key())
        .bind(serde_json::json!(job))
        .bind(priority as i64)
        .bind(run_at)
        .bind(now)
        .execute(db)
        .await?;
    if written == 1 && run_at <= now {
        db.has_asked();
    }
    Ok(written == 1)
}
