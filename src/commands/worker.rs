//! `medilink worker`: runs jobs of a shared database, without any door.

use std::sync::Arc;

use anyhow::Result;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::serve::stop_signal;
use crate::jobs;
use crate::wiring::House;

/// Works until told to stop; the job under way is finished first.
pub async fn run(house: Arc<House>) -> Result<()> {
    let stop = CancellationToken::new();
    let sweeper = tokio::spawn(jobs::sweep(Arc::clone(&house), stop.clone()));
    let worker = tokio::spawn(jobs::work(Arc::clone(&house), stop.clone()));
    info!("working");
    stop_signal().await;
    info!("stopping");
    stop.cancel();
    worker.await?;
    sweeper.await?;
    house.db.close().await;
    Ok(())
}
