//! Runs jobs: each queue so many at a time, so that a slow queue holds up no other.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clinical::clock::Clock;
use clinical::job::Queue;
use futures::FutureExt;
use futures::future::BoxFuture;
use metrics::{counter, histogram};
use storage::bell::Bell;
use storage::db::{Db, DbError};
use storage::queue::{self, Claimed, QueueLimits};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

use crate::Chain;

/// How often an idle queue is looked into, where nobody rings: for jobs that were put off, and those of other
/// processes over SQLite.
pub const LOOK: Duration = Duration::from_millis(200);
/// The pause when the database does not answer.
const TROUBLE: Duration = Duration::from_secs(2);

/// Why a job failed.
pub type JobError = Box<dyn std::error::Error + Send + Sync>;

/// What does a job; it ends it, in the transaction that writes its results.
pub type Run = Arc<dyn Fn(Claimed) -> BoxFuture<'static, Result<(), JobError>> + Send + Sync>;

/// Claims jobs and lets them be done.
#[derive(Clone)]
pub struct Worker {
    /// Where the jobs are.
    pub db: Db,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How patiently they are tried.
    pub limits: QueueLimits,
    /// How often an idle queue is looked into beside the wake-ups; usually [`LOOK`].
    pub look: Duration,
    /// What does them.
    pub run: Run,
}

impl Worker {
    /// Runs the jobs of one queue, up to `at_a_time` of them together, until `stop`; those under way are finished
    /// first. Dropped in the middle, it keeps their leases no longer, and another worker takes over.
    pub async fn work(self, queue: Queue, at_a_time: usize, stop: CancellationToken) {
        if queue.kinds().next().is_none() {
            // No kind of job waits in this queue yet.
            return stop.cancelled().await;
        }
        let mut ear = self.db.bells().ear(Bell::Jobs);
        let mut under_way = JoinSet::new();
        let at_a_time = at_a_time.max(1);
        while !stop.is_cancelled() {
            // Those that ended while others were claimed leave their places to as many at once.
            while under_way.try_join_next().is_some() {}
            if under_way.len() >= at_a_time {
                tokio::select! {
                    _ = under_way.join_next() => {}
                    () = stop.cancelled() => {}
                }
                continue;
            }
            // Half of the free places: a clinic whose jobs hang leaves the others to the next clinic.
            let at_most = (at_a_time - under_way.len()).div_ceil(2);
            let pause = match self.next(queue, at_most).await {
                Ok(claimed) if !claimed.is_empty() => {
                    for claimed in claimed {
                        under_way.spawn(self.clone().one(claimed));
                    }
                    continue;
                }
                Ok(_) => self.look,
                Err(error) => {
                    error!(queue = queue.as_str(), error = %Chain(&error), "the queue cannot be reached");
                    TROUBLE
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = ear.rung(), if pause == self.look => {}
                Some(_) = under_way.join_next() => {}
                () = stop.cancelled() => {}
            }
        }
        while under_way.join_next().await.is_some() {}
    }

    async fn next(&self, queue: Queue, at_most: usize) -> Result<Vec<Claimed>, DbError> {
        if !queue::is_due_in(&mut self.db.read().await?, queue, self.clock.now()).await? {
            return Ok(Vec::new());
        }
        queue::claim_some(&self.db, queue, at_most, self.limits, self.clock.now()).await
    }

    /// Runs one job under its lease, and stops it where another has taken it; what panics has failed.
    async fn one(self, claimed: Claimed) {
        let started = Instant::now();
        let (kind, key) = (claimed.job.kind(), claimed.job.key());
        let lost = AbortOnDropHandle::new(tokio::spawn(self.clone().keep(claimed.clone())));
        let longest = self.limits.longest.to_std().unwrap_or(Duration::MAX);
        let done = tokio::select! {
            biased;
            done = AssertUnwindSafe((self.run)(claimed.clone())).catch_unwind() => done,
            () = tokio::time::sleep(longest) => Ok(Err("the job took too long".into())),
            _ = lost => {
                return warn!(job.kind = kind, job.key = key, "job stopped: it is no longer in this worker's hands");
            }
        };
        let done = done.unwrap_or_else(|_| Err("the job panicked".into()));
        let spent = started.elapsed();
        let outcome = if done.is_ok() { "done" } else { "failed" };
        counter!("jobs_total", "kind" => kind, "outcome" => outcome).increment(1);
        histogram!("job_duration_seconds", "kind" => kind).record(spent);
        match done {
            Ok(()) => {
                info!(job.kind = kind, job.key = key, duration_ms = spent.as_millis() as u64, "job done")
            }
            Err(error) => {
                let reason = Chain(&*error).to_string();
                warn!(job.kind = kind, job.key = key, tries = claimed.tries, error = %reason, "job failed");
                if let Err(error) = self.fail(&claimed, &reason).await {
                    error!(job.kind = kind, error = %Chain(&error), "a failure was not written down");
                }
            }
        }
    }

    async fn fail(&self, claimed: &Claimed, reason: &str) -> Result<(), DbError> {
        let mut tx = self.db.begin().await?;
        queue::fail(&mut tx, claimed, reason, self.limits, self.clock.now()).await?;
        tx.commit().await
    }

    /// Renews the lease while the job runs; returns when it is lost.
    async fn keep(self, claimed: Claimed) {
        let pause = (self.limits.lease / 3).to_std().unwrap_or(LOOK);
        loop {
            tokio::time::sleep(pause).await;
            let renewed = async {
                let mut tx = self.db.begin().await?;
                let kept = queue::keep(&mut tx, &claimed, self.limits, self.clock.now()).await?;
                tx.commit().await?;
                Ok::<_, DbError>(kept)
            };
            match renewed.await {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => warn!(error = %Chain(&error), "a lease was not renewed"),
            }
        }
    }
}
