//! What the worker runs: it claims one job after another and ends each in one transaction.

mod analyze_study;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use clinical::job::Job;
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use storage::queue::{self, Claimed, QueueLimits};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

use crate::wiring::House;

/// How often an idle worker looks for work.
const LOOK: Duration = Duration::from_millis(200);
/// How often the archive is swept.
const SWEEP: Duration = Duration::from_secs(6 * 3600);

/// Tells the recorder of the process what this room and the hall count.
pub fn describe_numbers() {
    describe_counter!("jobs_total", Unit::Count, "Tries of jobs by kind and outcome: done or failed");
    describe_histogram!("job_duration_seconds", Unit::Seconds, "How long a try of a job took");
    describe_counter!("ingest_instances_total", Unit::Count, "Instances taken in, by what became of them");
}

/// Runs jobs until `stop`; the one under way is finished first. Dropped in the middle of one, it keeps that
/// job's lease no longer, and another worker takes over when the lease has run out.
pub async fn work(house: Arc<House>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match run_next(&house).await {
            Ok(true) => {}
            Ok(false) => rest(&stop, LOOK).await,
            Err(error) => {
                error!(error = %format!("{error:#}"), "the queue cannot be reached");
                rest(&stop, Duration::from_secs(2)).await;
            }
        }
    }
}

/// Removes abandoned blobs at the start and from time to time, until `stop`.
pub async fn sweep(house: Arc<House>, stop: CancellationToken) {
    let age = chrono::TimeDelta::seconds(house.config.sweep_after_seconds);
    while !stop.is_cancelled() {
        match house.archive.sweep(&house.db, house.clock.now(), age).await {
            Ok(swept) if swept.removed > 0 => {
                info!(seen = swept.seen, removed = swept.removed, "abandoned blobs swept");
            }
            Ok(_) => {}
            Err(error) => warn!(error = %error, "the sweep failed and is tried again later"),
        }
        rest(&stop, SWEEP).await;
    }
}

async fn rest(stop: &CancellationToken, pause: Duration) {
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = stop.cancelled() => {}
    }
}

/// Runs the next job; `false` when there is none.
async fn run_next(house: &Arc<House>) -> Result<bool> {
    if !queue::is_due(&mut house.db.read().await?, house.clock.now()).await? {
        return Ok(false);
    }
    let limits = house.config.queue();
    let Some(claimed) = queue::claim(&house.db, limits, house.clock.now()).await? else { return Ok(false) };
    let started = Instant::now();
    let kept = AbortOnDropHandle::new(tokio::spawn(keep(Arc::clone(house), claimed.clone(), limits)));
    let done = match claimed.job {
        Job::AnalyzeStudy { study_id } => analyze_study::run(house, &claimed, study_id).await,
    };
    drop(kept);
    let (kind, key) = (claimed.job.kind(), claimed.job.key());
    let spent = started.elapsed();
    let outcome = if done.is_ok() { "done" } else { "failed" };
    counter!("jobs_total", "kind" => kind, "outcome" => outcome).increment(1);
    histogram!("job_duration_seconds", "kind" => kind).record(spent);
    let duration_ms = spent.as_millis() as u64;
    match done {
        Ok(()) => info!(job.kind = kind, job.key = key, duration_ms, "job done"),
        Err(error) => {
            let reason = format!("{error:#}");
            warn!(job.kind = kind, job.key = key, tries = claimed.tries, error = %reason, "job failed");
            let mut tx = house.db.begin().await?;
            queue::fail(&mut tx, &claimed, &reason, limits, house.clock.now()).await?;
            tx.commit().await?;
        }
    }
    Ok(true)
}

/// Renews the lease while the job runs.
async fn keep(house: Arc<House>, claimed: Claimed, limits: QueueLimits) {
    let pause = (limits.lease / 3).to_std().unwrap_or(LOOK);
    loop {
        tokio::time::sleep(pause).await;
        let renewed = async {
            let mut tx = house.db.begin().await?;
            queue::keep(&mut tx, &claimed, limits, house.clock.now()).await?;
            tx.commit().await
        };
        if let Err(error) = renewed.await {
            warn!(error = %error, "a lease was not renewed");
        }
    }
}
