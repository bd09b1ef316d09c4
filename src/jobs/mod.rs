//! What the service does beside its doors: jobs of every queue, events to whoever cares, sweeps.

mod analyze_study;
mod analyze_volumes;
mod events;
mod explain_findings;
mod mail_invoice;
mod mail_password_reset;
mod prove_network;
mod report_findings;
mod seal;

use std::sync::Arc;
use std::time::Duration;

use billing::Cashier;
use clinical::job::{Job, Queue};
use futures::future::{join, join_all};
use hub::courier::Courier;
use hub::worker::{self, Run, Worker};
use ingest::forward::Forwarder;
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use notifications::Deliverer;
use storage::db::DbError;
use storage::queue::Claimed;
use storage::records::commitment::Commitment;
use storage::records::idempotency;
use storage::records::rejection;
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
/// For so long a request for storage commitment is remembered.
const COMMITMENTS_KEPT: chrono::TimeDelta = chrono::TimeDelta::days(30);
const NO_DELIVERER: &str = "this worker cannot send messages";
const NO_CASHIER: &str = "this worker cannot take money in";
const NO_FORWARDER: &str = "this worker cannot call other application entities";

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
    describe_counter!(
        "notification_deliveries_total",
        Unit::Count,
        "Tries to bring a message to a person, by channel and by what became of them"
    );
    describe_counter!(
        "notification_reports_total",
        Unit::Count,
        "What providers report of messages, by fate"
    );
    describe_gauge!("socket_connections", Unit::Count, "Open WebSocket connections");
    describe_counter!(
        "socket_messages_total",
        Unit::Count,
        "Messages for connected people: brought to their connection, or left because it was too slow"
    );
    describe_counter!("socket_heard_total", Unit::Count, "Messages of clients: taken or refused");
    describe_counter!("network_frames_decoded_total", Unit::Count, "Frames decoded for networks");
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
        limits: house.config.queue(Queue::Imaging),
        look: worker::LOOK,
        run: runner(Arc::clone(&house), courier, forwarder(&house), deliverer(&house), cashier(&house)),
    };
    let queues = Queue::ALL.iter().map(|queue| {
        let at_a_time = house.config.queues.of(*queue);
        let limits = house.config.queue(*queue);
        Worker { limits, ..worker.clone() }.work(*queue, at_a_time, stop.clone())
    });
    join_all(queues).await;
}

/// What calls other application entities; `None` where the settings do not let it.
fn forwarder(house: &House) -> Option<Forwarder> {
    let made = || {
        let ae_title = house.config.scp()?.ae_title;
        let clock = Arc::clone(&house.clock);
        anyhow::Ok(Forwarder::new(house.db.clone(), clock, house.peers()?, house.shelves()?, ae_title))
    };
    made()
        .inspect_err(|error| error!(error = format!("{error:#}"), "no application entity can be called"))
        .ok()
}

/// What takes money in; `None` where the machine does not let it.
fn cashier(house: &House) -> Option<Cashier> {
    let made = house.cashier();
    made.inspect_err(|error| error!(error = format!("{error:#}"), "no money can be taken in")).ok()
}

/// What brings messages to people; `None` where the machine does not let it.
fn deliverer(house: &House) -> Option<Deliverer> {
    let made = house.deliverer();
    made.inspect_err(|error| error!(error = format!("{error:#}"), "no message can be sent to anybody")).ok()
}

fn runner(
    house: Arc<House>,
    courier: Option<Courier>,
    forwarder: Option<Forwarder>,
    deliverer: Option<Deliverer>,
    cashier: Option<Cashier>,
) -> Run {
    Arc::new(move |claimed: Claimed| {
        let (house, courier, forwarder) = (Arc::clone(&house), courier.clone(), forwarder.clone());
        let (deliverer, cashier) = (deliverer.clone(), cashier.clone());
        Box::pin(async move {
            match &claimed.job {
                Job::AnalyzeStudy { study_id } => {
                    let done = analyze_study::run(&house, &claimed, *study_id).await;
                    if done.is_err() {
                        analyze_study::give_up(&house, &claimed, *study_id).await?;
                    }
                    Ok(done?)
                }
                Job::ExplainFindings { study_id } => {
                    Ok(explain_findings::run(&house, &claimed, *study_id).await?)
                }
                Job::SegmentFindings { study_id } => {
                    Ok(report_findings::masks::run(&house, &claimed, *study_id).await?)
                }
                Job::ReportFindings { study_id } => {
                    Ok(report_findings::run(&house, &claimed, *study_id).await?)
                }
                Job::ProveNetwork { network_id } => {
                    Ok(prove_network::run(&house, &claimed, *network_id).await?)
                }
                Job::SettlePayment { payment_id } => {
                    let cashier = cashier.ok_or(NO_CASHIER)?;
                    Ok(cashier.look_after(&claimed, *payment_id).await?)
                }
                Job::SettleProviderEvent { provider_event_id } => {
                    let cashier = cashier.ok_or(NO_CASHIER)?;
                    Ok(cashier.settle_later(&claimed, *provider_event_id).await?)
                }
                Job::RenewSubscription { subscription_id } => {
                    cashier.ok_or(NO_CASHIER)?.renew(&claimed, *subscription_id).await
                }
                Job::DunInvoice { invoice_id } => cashier.ok_or(NO_CASHIER)?.dun(&claimed, *invoice_id).await,
                Job::PlanNotice { notification_id } => {
                    let deliverer = deliverer.ok_or(NO_DELIVERER)?;
                    Ok(deliverer.plan(&claimed, *notification_id).await?)
                }
                Job::DeliverNotice { delivery_id } | Job::MailNotice { delivery_id } => {
                    let deliverer = deliverer.ok_or(NO_DELIVERER)?;
                    Ok(deliverer.deliver(&claimed, *delivery_id).await?)
                }
                Job::MailPasswordReset { single_use_token_id } => {
                    let deliverer = deliverer.ok_or(NO_DELIVERER)?;
                    Ok(mail_password_reset::run(&house, &deliverer, &claimed, *single_use_token_id).await?)
                }
                Job::MailInvoice { invoice_id, since } => {
                    let deliverer = deliverer.ok_or(NO_DELIVERER)?;
                    Ok(mail_invoice::run(&house, &deliverer, &claimed, *invoice_id, *since).await?)
                }
                Job::SendDigest { user_id } => {
                    let deliverer = deliverer.ok_or(NO_DELIVERER)?;
                    Ok(deliverer.digest(&claimed, *user_id).await?)
                }
                Job::DeliverEvent { webhook_id, aggregate } => {
                    let courier = courier.ok_or("this worker cannot call webhooks")?;
                    Ok(courier.run(&claimed, *webhook_id, aggregate).await?)
                }
                Job::ForwardInstances { study_id, peer_id } => {
                    let forwarder = forwarder.ok_or(NO_FORWARDER)?;
                    Ok(forwarder.forward(&claimed, *study_id, *peer_id).await?)
                }
                Job::ReportCommitment { commitment_id } => {
                    let forwarder = forwarder.ok_or(NO_FORWARDER)?;
                    Ok(forwarder.report(&claimed, *commitment_id).await?)
                }
                Job::AwaitCommitment { peer_id, transaction_uid, since } => {
                    let forwarder = forwarder.ok_or(NO_FORWARDER)?;
                    Ok(forwarder.await_report(&claimed, *peer_id, transaction_uid, *since).await?)
                }
            }
        })
    })
}

/// Asks from time to time how the providers are that carry messages, until `stop`: in each process for itself.
pub async fn watch(house: Arc<House>, stop: CancellationToken) {
    let watched = async {
        match house.switchboard() {
            Ok(switchboard) => switchboard.watch().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = watched => {}
        () = stop.cancelled() => {}
    }
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
        if let Err(error) = purge(house).await {
            warn!(error = %error, "what was removed and need not be kept goes later");
        }
        if let Err(error) = forget_deliveries(house).await {
            warn!(error = %error, "old deliveries are removed later");
        }
        if let Err(error) = forget_commitments(house).await {
            warn!(error = %error, "old storage commitments are removed later");
        }
        if let Err(error) = notifications::sweep(&house.db, house.clock.now()).await {
            warn!(error = %error, "old notifications are removed later");
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

/// Removes for good what was deleted or rejected, once the law no longer keeps it.
async fn purge(house: &House) -> Result<(), DbError> {
    let done = rejection::purge_due(&house.db, &house.archive, house.clock.now()).await?;
    if done.removals > 0 {
        info!(
            removals = done.removals,
            blobs = done.blobs,
            left = done.left,
            "what was removed is gone for good"
        );
    }
    Ok(())
}

/// Removes sign-ins that ended long ago.
async fn forget_sessions(house: &House) -> Result<(), DbError> {
    let mut tx = house.db.begin().await?;
    Session::sweep(&mut tx, house.clock.now() - SESSIONS_KEPT).await?;
    tx.commit().await
}

/// Removes requests for storage commitment that were made long ago.
async fn forget_commitments(house: &House) -> Result<(), DbError> {
    let mut tx = house.db.begin().await?;
    Commitment::forget(&mut tx, house.clock.now() - COMMITMENTS_KEPT, DELIVERIES_AT_A_TIME).await?;
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
