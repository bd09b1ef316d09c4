//! What a worker does with a job: claims it, keeps it, ends it.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use clinical::id::{ClinicId, JobId};
use clinical::job::{Job, Priority, Queue};

use super::QueueLimits;
use crate::db::{Conn, Db, DbError, FromRow, Result, Row, Tx, built_sql, sql};

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

/// Takes the most urgent job of any queue whose time has come, if there is one; of equally urgent ones that of the clinic
/// whose turn is the longest ago, so that no clinic waits behind all that another has asked for.
///
/// A job whose last allowed worker died without a word is buried instead.
pub async fn claim(db: &Db, limits: QueueLimits, now: DateTime<Utc>) -> Result<Option<Claimed>> {
    Ok(claim_kinds(db, &known_kinds(), 1, limits, now).await?.pop())
}

/// As [`claim`], of one queue.
pub async fn claim_from(
    db: &Db,
    queue: Queue,
    limits: QueueLimits,
    now: DateTime<Utc>,
) -> Result<Option<Claimed>> {
    Ok(claim_some(db, queue, 1, limits, now).await?.pop())
}

/// As [`claim_from`], up to `at_most` jobs of one kind, priority and clinic in one transaction.
pub async fn claim_some(
    db: &Db,
    queue: Queue,
    at_most: usize,
    limits: QueueLimits,
    now: DateTime<Utc>,
) -> Result<Vec<Claimed>> {
    claim_kinds(db, &listed(queue.kinds()), at_most, limits, now).await
}

async fn claim_kinds(
    db: &Db,
    kinds: &str,
    at_most: usize,
    limits: QueueLimits,
    now: DateTime<Utc>,
) -> Result<Vec<Claimed>> {
    let mut tx = db.begin().await?;
    built_sql(format!(
        "UPDATE jobs SET state = 'dead', last_error = 'the worker vanished in the middle of it'
          WHERE state = 'running' AND run_at <= $1 AND tries >= $2 AND kind IN ({kinds})"
    ))
    .bind(now)
    .bind(limits.tries)
    .execute(&mut tx)
    .await?;
    let mut claimed = Vec::new();
    // What another claimer holds at this moment is passed by.
    for heap in next_heaps(&mut tx, kinds, now).await? {
        claimed = take(&mut tx, &heap, at_most, now, now + limits.lease).await?;
        if !claimed.is_empty() {
            break;
        }
    }
    let clinics: BTreeSet<ClinicId> = claimed.iter().map(|claimed| claimed.clinic_id).collect();
    for clinic in clinics {
        let turn = "INSERT INTO job_turns (clinic_id, turn) VALUES ($1, $2)
                    ON CONFLICT (clinic_id) DO UPDATE SET turn = excluded.turn";
        sql(turn).bind(clinic).bind(now.timestamp_micros()).execute(&mut tx).await?;
    }
    tx.commit().await?;
    Ok(claimed)
}

/// Waiting jobs of one kind, priority and clinic, or one whose worker has vanished.
struct Heap {
    kind: String,
    priority: i64,
    clinic_id: ClinicId,
    /// Whether its first job is wanted by a time.
    is_wanted: bool,
    vanished: Option<JobId>,
}

impl FromRow for Heap {
    fn from_row(row: &Row) -> Result<Self> {
        let is_queued = row.get::<String>("state")? == "queued";
        Ok(Self {
            kind: row.get("kind")?,
            priority: row.get("priority")?,
            clinic_id: row.id("clinic_id")?,
            is_wanted: row.get::<i64>("is_wanted")? == 1,
            vanished: if is_queued { None } else { Some(row.id("job_id")?) },
        })
    }
}

/// So many heaps are tried where others hold the first jobs of those before.
const HEAPS: usize = 16;

/// Where the jobs lie whose turn it is, and those after them: of each heap the first alone is looked at, and the heaps
/// are found by stepping from clinic to clinic, so that a thousand waiting jobs cost no more than one.
async fn next_heaps(tx: &mut Tx, kinds: &str, now: DateTime<Utc>) -> Result<Vec<Heap>> {
    let priorities: Vec<_> = Priority::ALL.iter().map(|priority| format!("({})", *priority as i64)).collect();
    let kind_rows: Vec<_> = kinds.split(", ").map(|kind| format!("({kind})")).collect();
    let clinic = |of: &str, and: &str| {
        format!(
            "(SELECT clinic_id FROM jobs WHERE state = 'queued' AND kind = {of}.kind
                 AND priority = {of}.priority {and} ORDER BY clinic_id LIMIT 1)"
        )
    };
    let first = |is_wanted: bool| {
        format!(
            "(SELECT job_id FROM jobs
               WHERE state = 'queued' AND kind = heaps.kind AND priority = heaps.priority
                 AND clinic_id = heaps.clinic_id AND {} AND {} LIMIT 1)",
            claimable("$1"),
            in_order(is_wanted)
        )
    };
    let find = format!(
        "WITH RECURSIVE kinds (kind) AS (VALUES {}), priorities (priority) AS (VALUES {}),
           pairs AS (SELECT kind, priority FROM kinds CROSS JOIN priorities),
           heaps (kind, priority, clinic_id) AS
             (SELECT kind, priority, {} FROM pairs
              UNION ALL
              SELECT kind, priority, {} FROM heaps WHERE clinic_id IS NOT NULL),
           firsts AS
             (SELECT coalesce({}, {}) AS job_id FROM heaps WHERE clinic_id IS NOT NULL
              UNION ALL
              SELECT job_id FROM jobs WHERE state = 'running' AND kind IN ({kinds}) AND {claimable})
         SELECT jobs.job_id, jobs.kind, jobs.priority, jobs.clinic_id, jobs.state,
                CAST(CASE WHEN jobs.due_at IS NULL THEN 0 ELSE 1 END AS BIGINT) AS is_wanted
           FROM firsts JOIN jobs ON jobs.job_id = firsts.job_id
           LEFT JOIN job_turns ON job_turns.clinic_id = jobs.clinic_id
          ORDER BY jobs.priority DESC, coalesce(job_turns.turn, 0),
                   jobs.due_at IS NULL, jobs.due_at, jobs.run_at
          LIMIT {HEAPS}",
        kind_rows.join(", "),
        priorities.join(", "),
        clinic("pairs", ""),
        clinic("heaps", "AND clinic_id > heaps.clinic_id"),
        first(true),
        first(false),
        claimable = claimable("$1"),
    );
    built_sql(find).bind(now).fetch_all(tx).await
}

/// Which jobs of a heap, those that are wanted by a time or the others, and in which order: that of an index of theirs.
fn in_order(is_wanted: bool) -> &'static str {
    if is_wanted { "due_at IS NOT NULL ORDER BY due_at, run_at" } else { "due_at IS NULL ORDER BY run_at" }
}

/// Takes up to `at_most` jobs out of a heap, in their order.
async fn take(
    tx: &mut Tx,
    heap: &Heap,
    at_most: usize,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Vec<Claimed>> {
    let which = match heap.vanished {
        Some(_) => "job_id = $3",
        None => "state = 'queued' AND kind = $3 AND priority = $4 AND clinic_id = $5",
    };
    // Materialized: a subquery may be run again for each row, and would lock others each time.
    let text = format!(
        "WITH next AS MATERIALIZED
           (SELECT job_id FROM jobs WHERE {which} AND {} AND {} LIMIT {at_most}{})
         UPDATE jobs SET state = 'running', tries = tries + 1, run_at = $1
          WHERE job_id IN (SELECT job_id FROM next)
         RETURNING job_id, clinic_id, body, tries",
        claimable("$2"),
        in_order(heap.is_wanted),
        tx.skip_locked()
    );
    let take = built_sql(text).bind(until).bind(now);
    match heap.vanished {
        Some(job_id) => take.bind(job_id),
        None => take.bind(heap.kind.as_str()).bind(heap.priority).bind(heap.clinic_id),
    }
    .fetch_all(tx)
    .await
}

/// Whether anything of any queue could be claimed, asked without a write.
pub async fn is_due(db: &mut Conn, now: DateTime<Utc>) -> Result<bool> {
    are_due(db, &known_kinds(), now).await
}

/// As [`is_due`], of one queue.
pub async fn is_due_in(db: &mut Conn, queue: Queue, now: DateTime<Utc>) -> Result<bool> {
    are_due(db, &listed(queue.kinds()), now).await
}

async fn are_due(db: &mut Conn, kinds: &str, now: DateTime<Utc>) -> Result<bool> {
    let due = format!("SELECT 1 FROM jobs WHERE kind IN ({kinds}) AND {} LIMIT 1", claimable("$1"));
    Ok(built_sql(due).bind(now).fetch_optional::<One>(db).await?.is_some())
}

/// Whether a job could be claimed at the argument `now`: its time has come, and no worker has the same job. One that
/// waits leaves the turn to one whose worker has vanished in the middle of it.
fn claimable(now: &str) -> String {
    format!(
        "state IN ('queued', 'running') AND run_at <= {now}
         AND NOT EXISTS (SELECT 1 FROM jobs AS held
                          WHERE held.clinic_id = jobs.clinic_id AND held.kind = jobs.kind
                            AND held.job_key = jobs.job_key AND held.state = 'running'
                            AND held.job_id <> jobs.job_id
                            AND (jobs.state = 'queued' OR held.run_at > {now}))"
    )
}

/// What a claim leaves to newer programs beside this one: a job that it could not even read.
fn known_kinds() -> String {
    listed(Job::KINDS.iter().map(|(kind, _)| *kind))
}

/// Kinds as SQL lists them; of none, a text that no kind has.
fn listed(kinds: impl Iterator<Item = &'static str>) -> String {
    let kinds: Vec<_> = kinds.map(|kind| format!("'{kind}'")).collect();
    if kinds.is_empty() { "''".to_owned() } else { kinds.join(", ") }
}

/// A row whose being there is all that counts.
struct One;

impl FromRow for One {
    fn from_row(_: &Row) -> Result<Self> {
        Ok(Self)
    }
}

/// Puts a job back that can go on from where it is, when a more urgent one of its queue could be claimed; whether it did.
///
/// The job keeps its priority, and this try does not count.
pub async fn give_way(db: &Db, queue: Queue, claimed: &Claimed, now: DateTime<Utc>) -> Result<bool> {
    let more_urgent = format!(
        "SELECT 1 FROM jobs WHERE kind IN ({}) AND {} AND priority > (SELECT mine.priority FROM jobs AS mine
                                                                   WHERE mine.job_id = $2) LIMIT 1",
        listed(queue.kinds()),
        claimable("$1")
    );
    let mut tx = db.begin().await?;
    let found = built_sql(more_urgent).bind(now).bind(claimed.job_id).fetch_optional::<One>(&mut tx).await?;
    if found.is_none() {
        return Ok(false);
    }
    // The same work may have been asked for anew meanwhile: then that request carries on.
    let back = "UPDATE jobs SET state = 'queued', tries = tries - 1, run_at = $1
                 WHERE job_id = $2 AND tries = $3 AND state = 'running'
                   AND NOT EXISTS (SELECT 1 FROM jobs AS again
                                    WHERE again.clinic_id = jobs.clinic_id AND again.kind = jobs.kind
                                      AND again.job_key = jobs.job_key AND again.state = 'queued')";
    let returned = sql(back).bind(now).bind(claimed.job_id).bind(claimed.tries).execute(&mut tx).await?;
    if returned == 0 {
        finish(&mut tx, claimed).await?;
    }
    tx.commit().await?;
    Ok(true)
}

/// Whether the job is still in this worker's hands: nobody has taken it back or over.
pub async fn is_held(db: &mut Conn, claimed: &Claimed) -> Result<bool> {
    let held = "SELECT 1 FROM jobs WHERE job_id = $1 AND state = 'running' AND tries = $2";
    Ok(sql(held).bind(claimed.job_id).bind(claimed.tries).fetch_optional::<One>(db).await?.is_some())
}

/// Tells the others that the worker is still at it; 0 when the job is no longer in its hands, else 1.
pub async fn keep(db: &mut Tx, claimed: &Claimed, limits: QueueLimits, now: DateTime<Utc>) -> Result<u64> {
    sql("UPDATE jobs SET run_at = $1 WHERE job_id = $2 AND state = 'running' AND tries = $3")
        .bind(now + limits.lease)
        .bind(claimed.job_id)
        .bind(claimed.tries)
        .execute(db)
        .await
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
