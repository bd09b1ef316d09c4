//! What the service does beside its doors: jobs of every queue, events to whoever cares, sweeps.

mod analyze_study;
mod events;
mod seal;

use std::sync::Arc;
use std::time::Duration;

use clinical::job::{Job, Queue};
use futures::future::{join, join_all};
use hub::courier::Courier;
use hub::worker::{self, Run, Worker};
use metrics::{Unit, describe_counter, describe_histogram};
use storage::db::DbError;
use storage::queue::Claimed;
use storage::records::idempotency;
use storage::records::session::Session;
use storage::records::webhook::delivery::Delivery;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

pub use events::{listen, relay};
pub use seal::seal;

use crate::wiring::House;

/// How often it is looked for deliveries that no job will bring.
const STRANDED: Duration = Duration::from_secs(5 * 60);
/// How often the archive is swept.
const SWEEP: Duration = Duration::from_secs(6 * 3600);
/// A sign-in that has ended is remembered for so long.
const SESSIONS_KEPT: chrono::TimeDelta = chrono::TimeDelta::days(30);
/// For so long a delivery to a webhook that is over is still listed.
const DELIVERIES_KEPT: chrono::TimeDelta = chrono::TimeDelta::days(30);
/// So many of them are removed in one transaction.
const DELIVERIES_AT_A_TIME: i64 = 500;

/// Tells the recorder of the process what this room and the hall count.
pub fn describe_numbers() {
    describe_counter!("jobs_total", Unit::Count, "Tries of jobs by kind and outcome: done or failed");
    describe_histogram!("job_duration_seconds", Unit::Seconds, "How long a try of a job took");
    describe_counter!(
        "webhook_deliveries_total",
        Unit::Count,
        "Tries to call a webhook, by what became of them"
    );
    describe_counter!(
        "event_listener_failures_total",
        Unit::Count,
        "Batches of events that a listener did not hear"
    );
    describe_counter!("event_messages_too_long_total", Unit::Count, "Events that are longer than NATS takes");
    describe_counter!("ingest_instances_total", Unit::Count, "Instances taken in, by what became of them");
}

/// Runs the jobs of every queue until `stop`; those under way are finished first. Dropped in the middle of one, it
/// keeps that job's lease no longer, and another worker takes over when the lease has run out.
pub async fn work(house: Arc<House>, stop: CancellationToken) {
    let courier = Courier::new(
        house.db.clone(),
        Arc::clone(&house.clock),
        house.keyring.clone(),
        house.config.courier(),
    );
    let courier =
        courier.inspect_err(|error| error!(error = %hub::Chain(error), "webhooks cannot be called")).ok();
    let worker = Worker {
        db: house.db.clone(),
        clock: Arc::clone(&house.clock),
        limits: house.config.queue(),
        look: worker::LOOK,
        run: runner(Arc::clone(&house), courier),
    };
    let queues = Queue::ALL.iter().map(|queue| {
        let at_a_time = house.config.queues.of(*queue);
        worker.clone().work(*queue, at_a_time, stop.clone())
    });
    join_all(queues).await;
}

fn runner(house: Arc<House>, courier: Option<Courier>) -> Run {
    Arc::new(move |claimed: Claimed| {
        let (house, courier) = (Arc::clone(&house), courier.clone());
        Box::pin(async move {
            match &claimed.job {
                Job::AnalyzeStudy { study_id } => Ok(analyze_study::run(&house, &claimed, *study_id).await?),
                Job::DeliverEvent { webhook_id, aggregate } => {
                    let courier = courier.ok_or("this worker cannot call webhooks")?;
                    Ok(courier.run(&claimed, *webhook_id, aggregate).await?)
                }
            }
        })
    })
}

/// Clears up at the start and from time to time, until `stop`.
pub async fn sweep(house: Arc<House>, stop: CancellationToken) {
    join(clear_away(&house, &stop), bring_stranded(&house, &stop)).await;
}

/// Asks for what waits for webhooks and would wait for ever.
async fn bring_stranded(house: &House, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        match Delivery::ask_for_stranded(&house.db, house.clock.now()).await {
            Ok(0) => {}
            Ok(records) => info!(records, "deliveries that had no job have one"),
            Err(error) => warn!(error = %error, "stranded deliveries are looked for later"),
        }
        rest(stop, STRANDED).await;
    }
}

/// Removes abandoned blobs, and what is kept for a time alone.
async fn clear_away(house: &House, stop: &CancellationToken) {
    let age = chrono::TimeDelta::seconds(house.config.sweep_after_seconds);
    while !stop.is_cancelled() {
        match house.archive.sweep(&house.db, house.clock.now(), age).await {
            Ok(swept) if swept.removed > 0 => {
                info!(seen = swept.seen, removed = swept.removed, "abandoned blobs swept");
            }
            Ok(_) => {}
            Err(error) => warn!(error = %error, "the sweep failed and is tried again later"),
        }
        if let Err(error) = forget_deliveries(house).await {
            warn!(error = %error, "old deliveries are removed later");
        }
        if let Err(error) = forget_sessions(house).await {
            warn!(error = %error, "old sessions are removed later");
        }
        if let Err(error) = idempotency::forget_old(&house.db, house.clock.now()).await {
            warn!(error = %error, "old answers are removed later");
        }
        rest(stop, SWEEP).await;
    }
}

/// Removes sign-ins that ended long ago.
async fn forget_sessions(house: &House) -> Result<(), DbError> {
    let mut tx = house.db.begin().await?;
    Session::sweep(&mut tx, house.clock.now() - SESSIONS_KEPT).await?;
    tx.commit().await
}

/// Removes what was delivered to webhooks, or given up, long ago.
async fn forget_deliveries(house: &House) -> Result<(), DbError> {
    let before = house.clock.now() - DELIVERIES_KEPT;
    loop {
        let mut tx = house.db.begin().await?;
        let gone = Delivery::forget(&mut tx, before, DELIVERIES_AT_A_TIME).await?;
        tx.commit().await?;
        if gone < DELIVERIES_AT_A_TIME as u64 {
            return Ok(());
        }
    }
}

async fn rest(stop: &CancellationToken, pause: Duration) {
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = stop.cancelled() => {}
    }
}
