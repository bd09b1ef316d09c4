//! `medilink worker`: runs jobs of a shared database, without any door.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::serve::stop_signal;
use crate::jobs;
use crate::tasks::Tasks;
use crate::wiring::House;

/// Works until told to stop; the job under way has the time of a shutdown to finish.
pub async fn run(house: Arc<House>) -> Result<()> {
    let stop = CancellationToken::new();
    let mut tasks = Tasks::default();
    tasks.spawn("the relay of events", jobs::relay(Arc::clone(&house), stop.clone()));
    tasks.spawn("the listeners to events", jobs::listen(Arc::clone(&house), stop.clone()));
    tasks.spawn("the worker", jobs::work(Arc::clone(&house), stop.clone()));
    tasks.spawn("the watch over providers", jobs::watch(Arc::clone(&house), stop.clone()));
    tasks.spawn("the sweep", jobs::sweep(Arc::clone(&house), stop.clone()));
    info!("working");
    let cause = tokio::select! {
        () = stop_signal() => Ok(()),
        error = tasks.first_end() => Err(error),
    };
    match &cause {
        Ok(()) => info!("stopping"),
        Err(error) => error!(error = %format!("{error:#}"), "stopping"),
    }
    stop.cancel();
    let until = Instant::now() + Duration::from_secs(house.config.shutdown_seconds);
    let finished = tasks.finish(until).await;
    house.db.close().await;
    cause.and(finished)
}
