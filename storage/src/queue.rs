//! The durable queue: work is enqueued in the transaction of the change that needs it.
//!
//! A job is `queued` until a worker claims it, then `running` under a lease;
//! a worker that dies lets the lease run out and another takes over. After the
//! last try a job is `dead`: kept, counted in `/metrics`, listed by `doctor`.
//! What is done is deleted.

use chrono::{DateTime, TimeDelta, Utc};
use clinical::id::{ClinicId, JobId};
use clinical::job::{Job, Priority};

use crate::db::{Conn, Db, DbError, FromRow, Result, Row, Tx, built_sql, sql};

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
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { tries: 5, first_wait: TimeDelta::seconds(2), lease: TimeDelta::minutes(2) }
    }
}

/// A job in a worker's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Its identifier.
    pub job_id: JobId,
    /// The clinic whose work it is.
    pub clinic_id: ClinicId,
    /// The work.
    pub job: Job,
    /// Which try this is, counted from 1.
    pub tries: i64,
}

impl FromRow for Claimed {
    fn from_row(row: &Row) -> Result<Self> {
        let body: serde_json::Value = row.get("body")?;
        Ok(Self {
            job_id: row.id("job_id")?,
            clinic_id: row.id("clinic_id")?,
            job: serde_json::from_value(body).map_err(|_| DbError::Corrupt("jobs.body".to_owned()))?,
            tries: row.get("tries")?,
        })
    }
}

/// A job that was tried too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// Its identifier.
    pub job_id: JobId,
    /// Its kind.
    pub kind: String,
    /// What it was about: the key of a record.
    pub key: String,
    /// How often it was tried.
    pub tries: i64,
    /// Why it failed the last time.
    pub last_error: String,
}

impl FromRow for Dead {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            job_id: row.id("job_id")?,
            kind: row.get("kind")?,
            key: row.get("job_key")?,
            tries: row.get("tries")?,
            last_error: row.get::<Option<String>>("last_error")?.unwrap_or_default(),
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

struct Waiting {
    job_id: JobId,
    run_at: DateTime<Utc>,
}

impl FromRow for Waiting {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { job_id: row.id("job_id")?, run_at: row.get("run_at")? })
    }
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
    let find = format!(
        "SELECT job_id, run_at FROM jobs
          WHERE clinic_id = $1 AND kind = $2 AND job_key = $3 AND state = 'queued'{}",
        db.share_lock()
    );
    for _ in 0..INSERT_TRIES {
        let find = built_sql(find.clone()).bind(clinic).bind(job.kind()).bind(job.key());
        let waiting: Option<Waiting> = find.fetch_optional(db).await?;
        if let Some(waiting) = waiting {
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
    insert(db, clinic, job, Priority::Urgent, now, now).await?;
    sql("UPDATE jobs SET run_at = $1, priority = $2
          WHERE clinic_id = $3 AND kind = $4 AND job_key = $5 AND state = 'queued'")
    .bind(now)
    .bind(Priority::Urgent as i64)
    .bind(clinic)
    .bind(job.kind())
    .bind(job.key())
    .execute(db)
    .await?;
    Ok(())
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
    Ok(written == 1)
}

/// Takes the most urgent job whose time has come, if there is one.
///
/// A job whose last allowed worker died without a word is buried instead.
pub async fn claim(db: &Db, limits: QueueLimits, now: DateTime<Utc>) -> Result<Option<Claimed>> {
    let mut tx = db.begin().await?;
    sql("UPDATE jobs SET state = 'dead', last_error = 'the worker vanished in the middle of it'
          WHERE state = 'running' AND run_at <= $1 AND tries >= $2")
    .bind(now)
    .bind(limits.tries)
    .execute(&mut tx)
    .await?;
    let take = format!(
        "UPDATE jobs SET state = 'running', tries = tries + 1, run_at = $1
          WHERE job_id = (SELECT job_id FROM jobs
                           WHERE state IN ('queued', 'running') AND run_at <= $2
                             AND kind IN ({})
                           ORDER BY priority DESC, run_at LIMIT 1{})
          RETURNING job_id, clinic_id, body, tries",
        known_kinds(),
        tx.skip_locked()
    );
    let claimed = built_sql(take).bind(now + limits.lease).bind(now).fetch_optional(&mut tx).await?;
    tx.commit().await?;
    Ok(claimed)
}

/// Whether anything could be claimed, asked without a write.
pub async fn is_due(db: &mut Conn, now: DateTime<Utc>) -> Result<bool> {
    let due: Option<i64> = built_sql(format!(
        "SELECT 1 FROM jobs WHERE state IN ('queued', 'running') AND run_at <= $1 AND kind IN ({}) LIMIT 1",
        known_kinds()
    ))
    .bind(now)
    .fetch_optional::<One>(db)
    .await?
    .map(|_| 1);
    Ok(due.is_some())
}

/// What a claim leaves to newer programs beside this one: a job that it could not even read.
fn known_kinds() -> String {
    Job::KINDS.iter().map(|kind| format!("'{kind}'")).collect::<Vec<_>>().join(", ")
}

/// A row whose being there is all that counts.
struct One;

impl FromRow for One {
    fn from_row(_: &Row) -> Result<Self> {
        Ok(Self)
    }
}

/// Tells the others that the worker is still at it.
pub async fn keep(db: &mut Tx, claimed: &Claimed, limits: QueueLimits, now: DateTime<Utc>) -> Result<()> {
    sql("UPDATE jobs SET run_at = $1 WHERE job_id = $2 AND state = 'running' AND tries = $3")
        .bind(now + limits.lease)
        .bind(claimed.job_id)
        .bind(claimed.tries)
        .execute(db)
        .await?;
    Ok(())
}

/// The work is done: the job goes in the transaction that wrote its results.
pub async fn finish(db: &mut Tx, claimed: &Claimed) -> Result<()> {
    sql("DELETE FROM jobs WHERE job_id = $1 AND tries = $2")
        .bind(claimed.job_id)
        .bind(claimed.tries)
        .execute(db)
        .await?;
    Ok(())
}

/// The work failed: it comes back after a growing wait, or is dead after the last try.
pub async fn fail(
    db: &mut Tx,
    claimed: &Claimed,
    error: &str,
    limits: QueueLimits,
    now: DateTime<Utc>,
) -> Result<()> {
    let doublings = u32::try_from(claimed.tries - 1).unwrap_or(0).min(16);
    let wait = (limits.first_wait * 2_i32.pow(doublings)).min(TimeDelta::hours(1));
    // The same work may have been asked for anew meanwhile: then that request carries on.
    let update = "UPDATE jobs
                     SET state = CASE WHEN tries >= $1 THEN 'dead' ELSE 'queued' END, run_at = $2, last_error = $3
                   WHERE job_id = $4 AND tries = $5 AND state = 'running'
                     AND NOT EXISTS (SELECT 1 FROM jobs AS again
                                      WHERE again.clinic_id = jobs.clinic_id AND again.kind = jobs.kind
                                        AND again.job_key = jobs.job_key AND again.state = 'queued')";
    let returned = sql(update)
        .bind(limits.tries)
        .bind(now + wait)
        .bind(error)
        .bind(claimed.job_id)
        .bind(claimed.tries)
        .execute(db)
        .await?;
    if returned == 0 { finish(db, claimed).await } else { Ok(()) }
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
    sql("SELECT job_id, kind, job_key, tries, last_error FROM jobs WHERE state = 'dead'
          ORDER BY run_at DESC LIMIT $1")
    .bind(limit)
    .fetch_all(db)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{now, on_both};
    use clinical::id::StudyId;

    const CLINIC: ClinicId = ClinicId::DEFAULT;

    fn job() -> Job {
        Job::AnalyzeStudy { study_id: StudyId::new() }
    }

    async fn ask(db: &Db, job: &Job, now: DateTime<Utc>, delay: TimeDelta) {
        let mut tx = db.begin().await.unwrap();
        put_off(&mut tx, CLINIC, job, now, delay).await.unwrap();
        tx.commit().await.unwrap();
    }

    #[tokio::test]
    async fn a_job_waits_for_its_time_and_each_request_puts_it_off() {
        on_both(async |db| {
            let (job, ten) = (job(), TimeDelta::seconds(10));
            ask(&db, &job, now(), ten).await;
            ask(&db, &job, now() + TimeDelta::seconds(8), ten).await;
            let limits = QueueLimits::default();
            assert_eq!(claim(&db, limits, now() + ten).await.unwrap(), None);
            assert!(!is_due(&mut db.read().await.unwrap(), now() + ten).await.unwrap());
            let later = now() + TimeDelta::seconds(18);
            assert!(is_due(&mut db.read().await.unwrap(), later).await.unwrap());
            let claimed = claim(&db, limits, later).await.unwrap().unwrap();
            assert_eq!((&claimed.job, claimed.tries), (&job, 1));
            assert_eq!(claim(&db, limits, later).await.unwrap(), None, "one worker has it");
            let mut read = db.read().await.unwrap();
            let mine = depth_of(&mut read, CLINIC, &claimed.job).await.unwrap();
            assert_eq!(mine, Depth { running: 1, ..Depth::default() });
            let other = Job::AnalyzeStudy { study_id: StudyId::new() };
            assert_eq!(depth_of(&mut read, CLINIC, &other).await.unwrap(), Depth::default());
        })
        .await;
    }

    /// Share locks that two upgrade at once were a deadlock on PostgreSQL; pynetdicom's parallel senders met it.
    #[tokio::test]
    async fn many_may_put_off_one_job_at_once() {
        on_both(async |db| {
            let (job, delay) = (job(), TimeDelta::milliseconds(4));
            let mut senders = tokio::task::JoinSet::new();
            for sender in 0..8 {
                let (db, job) = (db.clone(), job.clone());
                senders.spawn(async move {
                    for step in 0..25 {
                        ask(&db, &job, now() + TimeDelta::milliseconds(step * 8 + sender), delay).await;
                    }
                });
            }
            senders.join_all().await;
            assert_eq!(depth(&mut db.read().await.unwrap()).await.unwrap().queued, 1);
        })
        .await;
    }

    #[tokio::test]
    async fn a_request_during_the_work_is_not_lost() {
        on_both(async |db| {
            let (job, limits) = (job(), QueueLimits::default());
            ask(&db, &job, now(), TimeDelta::zero()).await;
            let first = claim(&db, limits, now()).await.unwrap().unwrap();
            ask(&db, &job, now(), TimeDelta::zero()).await;
            let mut tx = db.begin().await.unwrap();
            finish(&mut tx, &first).await.unwrap();
            tx.commit().await.unwrap();
            let second = claim(&db, limits, now()).await.unwrap().unwrap();
            assert_eq!(second.job, job);
        })
        .await;
    }

    #[tokio::test]
    async fn an_urgent_request_overtakes_routine_work() {
        on_both(async |db| {
            let (routine, urgent, limits) = (job(), job(), QueueLimits::default());
            ask(&db, &routine, now(), TimeDelta::zero()).await;
            ask(&db, &urgent, now(), TimeDelta::hours(1)).await;
            let mut tx = db.begin().await.unwrap();
            pull_forward(&mut tx, CLINIC, &urgent, now()).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(claim(&db, limits, now()).await.unwrap().unwrap().job, urgent);
            assert_eq!(claim(&db, limits, now()).await.unwrap().unwrap().job, routine);
        })
        .await;
    }

    #[tokio::test]
    async fn a_failing_job_comes_back_ever_later_and_dies_in_the_end() {
        on_both(async |db| {
            let limits = QueueLimits { tries: 3, ..QueueLimits::default() };
            ask(&db, &job(), now(), TimeDelta::zero()).await;
            let mut at = now();
            for wait in [2, 4, 0] {
                let claimed = claim(&db, limits, at).await.unwrap().unwrap();
                let mut tx = db.begin().await.unwrap();
                fail(&mut tx, &claimed, "no disk", limits, at).await.unwrap();
                tx.commit().await.unwrap();
                assert_eq!(claim(&db, limits, at).await.unwrap(), None, "not at once");
                at += TimeDelta::seconds(wait);
            }
            let mut read = db.read().await.unwrap();
            assert_eq!(depth(&mut read).await.unwrap(), Depth { queued: 0, running: 0, dead: 1 });
            let dead = dead(&mut read, 10).await.unwrap();
            assert_eq!((dead[0].tries, dead[0].last_error.as_str()), (3, "no disk"));
        })
        .await;
    }

    #[tokio::test]
    async fn the_job_of_a_vanished_worker_is_taken_over_and_at_last_buried() {
        on_both(async |db| {
            let limits = QueueLimits { tries: 2, ..QueueLimits::default() };
            ask(&db, &job(), now(), TimeDelta::zero()).await;
            let mut at = now();
            for tries in [1, 2] {
                assert_eq!(claim(&db, limits, at).await.unwrap().unwrap().tries, tries);
                assert_eq!(claim(&db, limits, at).await.unwrap(), None);
                at += limits.lease;
            }
            assert_eq!(claim(&db, limits, at).await.unwrap(), None);
            assert_eq!(depth(&mut db.read().await.unwrap()).await.unwrap().dead, 1);
        })
        .await;
    }

    #[tokio::test]
    async fn a_job_of_a_newer_program_does_not_stop_the_queue() {
        on_both(async |db| {
            let known = job();
            ask(&db, &known, now(), TimeDelta::zero()).await;
            let mut tx = db.begin().await.unwrap();
            let newer =
                sql("INSERT INTO jobs (job_id, clinic_id, kind, job_key, body, priority, state, tries,
                                               run_at, enqueued_at)
                             VALUES ($1, $2, 'newer', 'x', $3, 99, 'queued', 0, $4, $4)");
            let newer =
                newer.bind(JobId::new()).bind(CLINIC).bind(serde_json::json!({"type": "newer"})).bind(now());
            newer.execute(&mut tx).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(claim(&db, QueueLimits::default(), now()).await.unwrap().unwrap().job, known);
            assert!(!is_due(&mut db.read().await.unwrap(), now()).await.unwrap());
        })
        .await;
    }

    #[tokio::test]
    async fn two_workers_never_hold_the_same_job() {
        on_both(async |db| {
            for _ in 0..20 {
                ask(&db, &job(), now(), TimeDelta::zero()).await;
            }
            let mut workers = tokio::task::JoinSet::new();
            for _ in 0..4 {
                let db = db.clone();
                workers.spawn(async move {
                    let mut taken = Vec::new();
                    while let Some(claimed) = claim(&db, QueueLimits::default(), now()).await.unwrap() {
                        taken.push(claimed.job_id);
                    }
                    taken
                });
            }
            let mut taken = workers.join_all().await.concat();
            taken.sort();
            taken.dedup();
            assert_eq!(taken.len(), 20);
        })
        .await;
    }
}
