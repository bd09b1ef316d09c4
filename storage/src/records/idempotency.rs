//! Answers kept for a day, so that a request that is sent twice is done once.
//!
//! A request is claimed before it runs and its answer is written after. What
//! happens between is not one transaction with the claim: a process that dies
//! there leaves the row `running`, and nobody knows whether the change was
//! committed. For [`LEASE`] such a row refuses every repeat; after it a repeat
//! runs the request again, as [`Run::is_second`] tells.

use chrono::{DateTime, TimeDelta, Utc};
use clinical::id::ClinicId;
use uuid::Uuid;

use crate::db::{Db, DbError, FromRow, Result, Row, Tx, sql};

/// How long a running request keeps its repeats away; longer than any request that can be claimed may take.
pub const LEASE: TimeDelta = TimeDelta::minutes(5);
/// How long an answer is kept.
pub const KEPT: TimeDelta = TimeDelta::hours(24);

/// Rows that go in one transaction of the sweep.
const SWEEP_ROWS: i64 = 1_000;
/// A row that another removes at the same moment is claimed anew so often.
const CLAIM_TRIES: usize = 3;

/// A request that its caller has named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// In whose clinic it is made.
    pub clinic: ClinicId,
    /// By whom.
    pub caller: String,
    /// The name that the caller gave it.
    pub key: String,
    /// SHA-256 of what was asked, in hexadecimal.
    pub fingerprint: String,
}

/// What there is already under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Nothing: the claimant runs the request.
    Run(Run),
    /// It runs at this moment, or ran in a process that died less than [`LEASE`] ago.
    Running,
    /// Another request has this name.
    Reused,
    /// It is done, and this was the answer.
    Done(Kept),
}

/// An answer as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its status.
    pub status: u16,
    /// Its headers by name, as far as a repeat needs them.
    pub headers: serde_json::Value,
    /// Its body; `None` where only that it was given is known.
    pub body: Option<String>,
}

/// The right to run a request; ends by [`Run::keep`] or [`Run::forget`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    clinic: ClinicId,
    run_id: Uuid,
    /// Whether an earlier run was given up without an answer: it may have done its work.
    pub is_second: bool,
}

struct Present {
    fingerprint: String,
    run_id: Uuid,
    started_at: DateTime<Utc>,
    kept: Option<Kept>,
}

impl FromRow for Present {
    fn from_row(row: &Row) -> Result<Self> {
        let kept = match row.get::<String>("state")?.as_str() {
            "running" => None,
            "done" => Some(Kept {
                status: u16::try_from(row.get::<i64>("status")?)
                    .map_err(|_| DbError::Corrupt("idempotency.status".to_owned()))?,
                headers: row.get("headers")?,
                body: row.get("body")?,
            }),
            _ => return Err(DbError::Corrupt("idempotency.state".to_owned())),
        };
        Ok(Self {
            fingerprint: row.get("fingerprint")?,
            run_id: row.get("run_id")?,
            started_at: row.get("started_at")?,
            kept,
        })
    }
}

/// Claims a named request, or says what became of it; commits at once.
///
/// # Errors
///
/// [`DbError`] when the database fails; [`DbError::Conflict`] when others come and go under the same name.
pub async fn claim(db: &Db, named: &Named, now: DateTime<Utc>) -> Result<Claim> {
    let db = db.of(named.clinic);
    for _ in 0..CLAIM_TRIES {
        let mut tx = db.begin().await?;
        if let Some(run) = insert(&mut tx, named, now).await? {
            tx.commit().await?;
            return Ok(Claim::Run(run));
        }
        let Some(present) = find(&mut tx, named).await? else { continue };
        let is_gone = now - present.started_at >= KEPT;
        if !is_gone && present.fingerprint != named.fingerprint {
            return Ok(Claim::Reused);
        }
        let is_second = match present.kept {
            _ if is_gone => false,
            Some(kept) => return Ok(Claim::Done(kept)),
            None if now - present.started_at < LEASE => return Ok(Claim::Running),
            None => true,
        };
        if let Some(run) = take_over(&mut tx, named, present.run_id, is_second, now).await? {
            tx.commit().await?;
            return Ok(Claim::Run(run));
        }
    }
    Err(DbError::Conflict)
}

async fn insert(db: &mut Tx, named: &Named, now: DateTime<Utc>) -> Result<Option<Run>> {
    let run = Run { clinic: named.clinic, run_id: Uuid::now_v7(), is_second: false };
    let insert = "INSERT INTO idempotency
                         (clinic_id, caller, idempotency_key, fingerprint, run_id, state, started_at)
                  VALUES ($1, $2, $3, $4, $5, 'running', $6)
                  ON CONFLICT (clinic_id, caller, idempotency_key) DO NOTHING";
    let inserted = sql(insert)
        .bind(named.clinic)
        .bind(&named.caller)
        .bind(&named.key)
        .bind(&named.fingerprint)
        .bind(run.run_id)
        .bind(now)
        .execute(db)
        .await?;
    Ok((inserted == 1).then_some(run))
}

async fn find(db: &mut Tx, named: &Named) -> Result<Option<Present>> {
    let select = "SELECT fingerprint, run_id, state, status, headers, body, started_at FROM idempotency
                   WHERE clinic_id = $1 AND caller = $2 AND idempotency_key = $3";
    sql(select).bind(named.clinic).bind(&named.caller).bind(&named.key).fetch_optional(db).await
}

/// The run in place of `old`, unless another was faster.
async fn take_over(
    db: &mut Tx,
    named: &Named,
    old: Uuid,
    is_second: bool,
    now: DateTime<Utc>,
) -> Result<Option<Run>> {
    let run = Run { clinic: named.clinic, run_id: Uuid::now_v7(), is_second };
    let update = "UPDATE idempotency SET run_id = $3, fingerprint = $4, started_at = $5,
                         state = 'running', status = NULL, headers = NULL, body = NULL
                   WHERE clinic_id = $1 AND run_id = $2";
    let changed = sql(update)
        .bind(named.clinic)
        .bind(old)
        .bind(run.run_id)
        .bind(&named.fingerprint)
        .bind(now)
        .execute(db)
        .await?;
    Ok((changed == 1).then_some(run))
}

impl Run {
    /// Keeps the answer for repeats; one whose run was taken over keeps nothing.
    ///
    /// # Errors
    ///
    /// [`DbError`] when the database fails: the request then counts as running until its lease is over.
    pub async fn keep(self, db: &Db, kept: Kept) -> Result<()> {
        let update = "UPDATE idempotency SET state = 'done', status = $3, headers = $4, body = $5
                       WHERE clinic_id = $1 AND run_id = $2";
        let mut tx = db.of(self.clinic).begin().await?;
        sql(update)
            .bind(self.clinic)
            .bind(self.run_id)
            .bind(i64::from(kept.status))
            .bind(kept.headers)
            .bind(kept.body)
            .execute(&mut tx)
            .await?;
        tx.commit().await
    }

    /// Forgets the request, which has changed nothing: a repeat runs anew.
    ///
    /// # Errors
    ///
    /// As [`Run::keep`].
    pub async fn forget(self, db: &Db) -> Result<()> {
        let mut tx = db.of(self.clinic).begin().await?;
        sql("DELETE FROM idempotency WHERE clinic_id = $1 AND run_id = $2")
            .bind(self.clinic)
            .bind(self.run_id)
            .execute(&mut tx)
            .await?;
        tx.commit().await
    }
}

/// Removes what is older than [`KEPT`], of all clinics, and says how many rows it was; `db` is the system's.
///
/// # Errors
///
/// [`DbError`] when the database fails; what was removed before stays removed.
pub async fn forget_old(db: &Db, now: DateTime<Utc>) -> Result<u64> {
    let delete = "DELETE FROM idempotency WHERE run_id IN
                         (SELECT run_id FROM idempotency WHERE started_at <= $1 ORDER BY started_at LIMIT $2)";
    let mut all = 0;
    loop {
        let mut tx = db.begin().await?;
        let removed = sql(delete).bind(now - KEPT).bind(SWEEP_ROWS).execute(&mut tx).await?;
        tx.commit().await?;
        all += removed;
        if removed < SWEEP_ROWS.unsigned_abs() {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{count, now, on_both};

    fn named(key: &str) -> Named {
        Named {
            clinic: ClinicId::DEFAULT,
            caller: "user:1".to_owned(),
            key: key.to_owned(),
            fingerprint: "aa".to_owned(),
        }
    }

    fn kept() -> Kept {
        Kept {
            status: 201,
            headers: serde_json::json!({"location": "/x/1"}),
            body: Some(r#"{"id":"1"}"#.to_owned()),
        }
    }

    async fn run(db: &Db, named: &Named, at: DateTime<Utc>) -> Run {
        match claim(db, named, at).await.unwrap() {
            Claim::Run(run) => run,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_repeat_waits_for_the_first_and_then_gets_its_answer() {
        on_both(async |db| {
            let run = run(&db, &named("k"), now()).await;
            assert_eq!(claim(&db, &named("k"), now()).await.unwrap(), Claim::Running);
            run.keep(&db, kept()).await.unwrap();
            assert_eq!(claim(&db, &named("k"), now()).await.unwrap(), Claim::Done(kept()));
        })
        .await;
    }

    #[tokio::test]
    async fn another_request_under_the_same_name_is_refused_while_it_runs_and_after() {
        on_both(async |db| {
            let run = run(&db, &named("k"), now()).await;
            let other = Named { fingerprint: "bb".to_owned(), ..named("k") };
            assert_eq!(claim(&db, &other, now()).await.unwrap(), Claim::Reused);
            run.keep(&db, kept()).await.unwrap();
            assert_eq!(claim(&db, &other, now()).await.unwrap(), Claim::Reused);
        })
        .await;
    }

    #[tokio::test]
    async fn a_name_is_its_callers_and_its_clinics_own() {
        on_both(async |db| {
            let clinic = ClinicId::new();
            let mut tx = db.begin().await.unwrap();
            let insert = "INSERT INTO clinics (clinic_id, name, created_at) VALUES ($1, 'second', $2)";
            sql(insert).bind(clinic).bind(now()).execute(&mut tx).await.unwrap();
            tx.commit().await.unwrap();
            run(&db, &named("k"), now()).await;
            run(&db, &Named { caller: "user:2".to_owned(), ..named("k") }, now()).await;
            run(&db, &Named { clinic, ..named("k") }, now()).await;
            assert_eq!(count(&db, "idempotency").await, 3);
        })
        .await;
    }

    #[tokio::test]
    async fn a_failed_run_leaves_nothing_behind() {
        on_both(async |db| {
            run(&db, &named("k"), now()).await.forget(&db).await.unwrap();
            assert!(!run(&db, &named("k"), now()).await.is_second);
        })
        .await;
    }

    #[tokio::test]
    async fn a_run_that_a_killed_process_left_is_taken_over_after_its_lease_and_says_so() {
        on_both(async |db| {
            let lost = run(&db, &named("k"), now()).await;
            let almost = now() + LEASE - TimeDelta::milliseconds(1);
            assert_eq!(claim(&db, &named("k"), almost).await.unwrap(), Claim::Running);
            let second = run(&db, &named("k"), now() + LEASE).await;
            assert!(second.is_second);
            lost.keep(&db, Kept { status: 500, ..kept() }).await.unwrap();
            assert_eq!(claim(&db, &named("k"), now() + LEASE).await.unwrap(), Claim::Running);
            second.keep(&db, kept()).await.unwrap();
            assert_eq!(claim(&db, &named("k"), now() + LEASE).await.unwrap(), Claim::Done(kept()));
        })
        .await;
    }

    #[tokio::test]
    async fn of_many_at_once_one_runs() {
        on_both(async |db| {
            for left_at in [None, Some(now() - LEASE)] {
                let key = format!("{left_at:?}");
                if let Some(at) = left_at {
                    run(&db, &named(&key), at).await;
                }
                let mut claims = tokio::task::JoinSet::new();
                for _ in 0..20 {
                    let (db, named) = (db.clone(), named(&key));
                    claims.spawn(async move { claim(&db, &named, now()).await.unwrap() });
                }
                let claims = claims.join_all().await;
                let runs = claims.iter().filter(|claim| matches!(claim, Claim::Run(_))).count();
                assert_eq!(runs, 1, "{claims:?}");
                assert_eq!(claims.iter().filter(|claim| **claim == Claim::Running).count(), 19);
            }
        })
        .await;
    }

    #[tokio::test]
    async fn after_a_day_an_answer_is_gone_with_or_without_the_sweep() {
        on_both(async |db| {
            run(&db, &named("old"), now()).await.keep(&db, kept()).await.unwrap();
            run(&db, &named("old-too"), now()).await;
            run(&db, &named("young"), now() + TimeDelta::seconds(1)).await;
            let other = Named { fingerprint: "bb".to_owned(), ..named("old") };
            let again = run(&db, &other, now() + KEPT).await;
            assert!(!again.is_second);
            again.forget(&db).await.unwrap();
            assert_eq!(forget_old(&db, now() + KEPT).await.unwrap(), 1);
            assert_eq!(count(&db, "idempotency").await, 1);
        })
        .await;
    }
}
