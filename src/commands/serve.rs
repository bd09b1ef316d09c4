//! `medilink serve`: opens every door, runs the work, and closes in order.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use api::Doors;
use ingest::dimse_door::DimseDoor;
use ingest::scp::{self, ScpEvents};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::jobs;
use crate::wiring::{self, House};

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
    doors: Vec<JoinHandle<()>>,
    /// What works; it ends when nothing comes in any more.
    workers: Vec<JoinHandle<()>>,
}

/// Opens every door; returns once all of them are open.
pub async fn start(house: Arc<House>, with_worker: bool) -> Result<Running> {
    let (token, is_new) = wiring::token(&house.config)?;
    gate::metrics::install().context("the numbers cannot be counted")?;
    let (http, dicom) = (house.config.http_address()?, house.config.dicom_address()?);
    let http = TcpListener::bind(http).await.with_context(|| format!("HTTP cannot be served on {http}"))?;
    let dicom =
        TcpListener::bind(dicom).await.with_context(|| format!("DIMSE cannot be served on {dicom}"))?;
    let address = http.local_addr()?;
    let scp_settings = house.config.scp()?;
    info!(http = %address, dicom = %dicom.local_addr()?, ae_title = scp_settings.ae_title.as_str(), "doors open");
    if is_new {
        let kept = house.config.data_dir.join("token");
        println!("The administrator's token, shown once and kept in {}:\n  {token}", kept.display());
    }
    let stop = CancellationToken::new();
    let events = Arc::new(ScpEvents::default());
    let doors_open = Doors::default();
    let router = api::router(wiring::street(&house, &token, doors_open.clone(), Arc::clone(&events)));
    let door = Arc::new(DimseDoor::new(house.receiver.clone()));
    let doors = vec![
        tokio::spawn(gate::serve(http, router, house.config.http(), stop.clone().cancelled_owned())),
        tokio::spawn(scp::serve(dicom, scp_settings, door, events, stop.clone().cancelled_owned())),
    ];
    doors_open.open();
    let mut workers = Vec::new();
    if with_worker {
        workers.push(tokio::spawn(jobs::work(Arc::clone(&house), stop.clone())));
        workers.push(tokio::spawn(jobs::sweep(Arc::clone(&house), stop.clone())));
    }
    Ok(Running { house, address, token, stop, doors_open, doors, workers })
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
    pub async fn until_stopped(self) -> Result<()> {
        stop_signal().await;
        info!("stopping: what is under way is finished first");
        self.doors_open.close();
        self.stop.cancel();
        for task in self.doors.into_iter().chain(self.workers) {
            task.await.context("a door or worker failed")?;
        }
        self.house.db.close().await;
        info!("stopped");
        Ok(())
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
