//! `medilink serve`: opens every door, runs the work, and closes in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use api::Doors;
use ingest::dimse_door::DimseDoor;
use ingest::scp::{self, Listeners, ScpEvents};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::jobs;
use crate::tasks::Tasks;
use crate::wiring::{self, House};

/// How much longer than a shutdown the doors may take.
const DOORS_MARGIN: Duration = Duration::from_secs(5);
/// So long the audit trail and the events may then take to be sealed and placed.
const LAST_MARGIN: Duration = Duration::from_secs(5);

/// Serves until told to stop.
pub async fn run(house: Arc<House>, with_worker: bool) -> Result<()> {
    start(house, with_worker).await?.until_stopped().await
}

/// A service whose doors are open.
pub struct Running {
    house: Arc<House>,
    address: SocketAddr,
    token: String,
    stop: CancellationToken,
    /// What `/ready` tells.
    doors_open: Doors,
    /// What takes work in; it ends first.
    doors: Tasks,
    /// What works; it ends when nothing comes in any more.
    workers: Tasks,
    stop_last: CancellationToken,
    /// What seals and places what all the others have written: it ends after them.
    last: Tasks,
}

/// Opens every door; returns once all of them are open.
pub async fn start(house: Arc<House>, with_worker: bool) -> Result<Running> {
    raise_descriptor_limit();
    let (token, is_new) = wiring::token(&house.config)?;
    if house.config.has_weak_token() {
        warn!("the token has fewer than 16 characters: who can reach the HTTP port might guess it");
    }
    gate::metrics::install().context("the numbers cannot be counted")?;
    jobs::describe_numbers();
    let (http, dicom) = (house.config.http_address()?, house.config.dicom_address()?);
    let http = TcpListener::bind(http).await.with_context(|| format!("HTTP cannot be served on {http}"))?;
    let dicom =
        TcpListener::bind(dicom).await.with_context(|| format!("DIMSE cannot be served on {dicom}"))?;
    let address = http.local_addr()?;
    let scp_settings = house.config.scp()?;
    info!(http = %address, dicom = %dicom.local_addr()?, ae_title = scp_settings.ae_title.as_str(), "doors open");
    let listeners = listeners(&house, dicom).await?;
    if is_new {
        let kept = house.config.data_dir.join("token");
        println!("The administrator's token, shown once and kept in {}:\n  {token}", kept.display());
    }
    let stop = CancellationToken::new();
    let events = Arc::new(ScpEvents::default());
    let doors_open = Doors::default();
    let street = wiring::street(&house, &token, doors_open.clone(), Arc::clone(&events))?;
    if let Err(error) = street.notifications.switchboard.make_push_key().await {
        warn!(%error, "there is no key for pushes to browsers");
    }
    invite_first_administrator(&street, &format!("http://{address}")).await?;
    let sockets = street.sockets.clone();
    let router = gate::open_to(house.config.origins()?, api::router(street));
    let (receiver, clock) = (house.receiver.clone(), Arc::clone(&house.clock));
    let door = DimseDoor::new(receiver, house.db.clone(), clock, house.shelves()?, house.peers()?);
    let door = Arc::new(door);
    let mut doors = Tasks::default();
    let stopped = || stop.clone().cancelled_owned();
    doors.spawn("the HTTP door", gate::serve(http, router, house.config.http()?, stopped()));
    let stop_sockets = stopped();
    doors.spawn("the socket", async move { sockets.run(stop_sockets).await });
    doors.spawn("the DIMSE door", scp::serve(listeners, scp_settings, door, events, stopped()));
    doors_open.open();
    let (mut last, stop_last) = (Tasks::default(), CancellationToken::new());
    last.spawn("the sealer of the audit trail", jobs::seal(Arc::clone(&house), stop_last.clone()));
    last.spawn("the relay of events", jobs::relay(Arc::clone(&house), stop_last.clone()));
    let mut workers = Tasks::default();
    workers.spawn("the watch over providers", jobs::watch(Arc::clone(&house), stop.clone()));
    if with_worker {
        workers.spawn("the listeners to events", jobs::listen(Arc::clone(&house), stop.clone()));
        workers.spawn("the worker", jobs::work(Arc::clone(&house), stop.clone()));
        workers.spawn("the sweep", jobs::sweep(Arc::clone(&house), stop.clone()));
    }
    Ok(Running { house, address, token, stop, doors_open, doors, workers, stop_last, last })
}

impl Running {
    /// Where HTTP is served.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The administrator's token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Waits for the signal to stop, then lets what is under way finish and closes.
    ///
    /// A door or worker that ends before the signal ends the service, with an error.
    pub async fn until_stopped(mut self) -> Result<()> {
        let cause = tokio::select! {
            () = stop_signal() => Ok(()),
            error = self.doors.first_end() => Err(error),
            error = self.workers.first_end() => Err(error),
            error = self.last.first_end() => Err(error),
        };
        match &cause {
            Ok(()) => info!("stopping: what is under way is finished first"),
            Err(error) => {
                error!(error = %format!("{error:#}"), "stopping, for a part of the service has ended")
            }
        }
        self.doors_open.close();
        self.stop.cancel();
        let until = Instant::now() + Duration::from_secs(self.house.config.shutdown_seconds);
        // The doors keep to the same time themselves, and need a moment more to cut off what is left.
        let doors = self.doors.finish(until + DOORS_MARGIN).await;
        let workers = self.workers.finish(until).await;
        self.stop_last.cancel();
        let last = self.last.finish(Instant::now() + LAST_MARGIN).await;
        self.house.db.close().await;
        info!("stopped");
        cause.and(doors).and(workers).and(last)
    }
}

/// Where DIMSE is served: beside `plain` over TLS, where the settings say so.
async fn listeners(house: &House, plain: TcpListener) -> Result<Listeners> {
    let listeners = Listeners::from(plain);
    let Some(address) = house.config.dicom_tls_address()? else { return Ok(listeners) };
    let tls = house.config.tls_server()?;
    let secure = TcpListener::bind(address).await;
    let secure = secure.with_context(|| format!("DIMSE cannot be served over TLS on {address}"))?;
    info!(dicom_tls = %secure.local_addr()?, "door open");
    Ok(listeners.and_tls(secure, tls))
}

/// While nobody is there, prints how the first administrator signs up: once a start, with a token of its own.
async fn invite_first_administrator(street: &api::Street, base: &str) -> Result<()> {
    let token = identity::setup_link(&street.app).await;
    let token = token.map_err(|problem| anyhow::anyhow!("nobody can be invited: {}", problem.code()))?;
    if let Some(token) = token {
        println!(
            "Nobody has an account yet. The first administrator makes one, once, within 24 hours:\n  \
             curl -H 'Content-Type: application/json' {base}/api/v1/auth/setup \\\n    \
             -d '{{\"token\": \"{token}\", \"email\": \"…\", \"password\": \"…\", \"name\": \"…\"}}'"
        );
    }
    Ok(())
}

/// Each connection and spooled file needs a descriptor; many systems begin with 1024 and allow far more.
fn raise_descriptor_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => debug!(limit, "open files allowed"),
        Err(error) => warn!(%error, "the limit on open files stays as it is"),
    }
}

/// Returns at SIGTERM or Ctrl-C.
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
