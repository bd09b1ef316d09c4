//! `medilink ingest PATH…`: takes files in, through the same hall as every other door.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use clinical::id::ClinicId;
use futures::StreamExt;
use ingest::receive::{Receipt, ReceiveError, Received};
use storage::audit::Trail;
use tokio::sync::mpsc;

use super::progress;
use crate::inputs::{self, Input, InputError};
use crate::wiring::House;

/// So many files are under way at a time, so that they share commits.
const AT_A_TIME: usize = 16;
/// So many pieces of a file are read before the spool has taken them.
const PIECES_AHEAD: usize = 2;

/// What to take in.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// DICOM files, folders and zip archives
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
enum IngestError {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Receive(#[from] ReceiveError),
}

impl IngestError {
    fn code(&self) -> &'static str {
        match self {
            Self::Input(error) => error.code(),
            Self::Receive(error) => error.code(),
        }
    }
}

/// Takes every file in; fails when any was refused. The worker of a server over the same data analyses them.
pub async fn run(house: Arc<House>, arguments: &Arguments) -> Result<()> {
    let (inputs, unseen) = inputs::collect(&arguments.paths);
    let bar = progress::bar(inputs.len());
    let trail = Trail::new(house.db.clone());
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, error) in &unseen {
        eprintln!("{name}: {error} ({})", error.code());
        *counts.entry("refused").or_default() += 1;
    }
    let mut received = futures::stream::iter(inputs)
        .map(|input| {
            let (house, trail) = (Arc::clone(&house), trail.clone());
            async move {
                let outcome = take_in(&house, &trail, &input).await;
                (input.name, outcome)
            }
        })
        .buffer_unordered(AT_A_TIME);
    while let Some((name, outcome)) = received.next().await {
        bar.inc(1);
        match outcome {
            Ok(received) => *counts.entry(received.disposition.as_str()).or_default() += 1,
            Err(error) => {
                *counts.entry("refused").or_default() += 1;
                bar.suspend(|| eprintln!("{name}: {error} ({})", error.code()));
            }
        }
    }
    bar.finish_and_clear();
    for (what, count) in &counts {
        println!("{count} {what}");
    }
    house.db.close().await;
    if counts.contains_key("refused") {
        bail!("some files were refused");
    }
    if counts.is_empty() {
        bail!("there is no file to take in");
    }
    Ok(())
}

async fn take_in(house: &Arc<House>, trail: &Trail, input: &Input) -> Result<Received, IngestError> {
    let mut spool = house.receiver.spool();
    let (pieces, mut taken) = mpsc::channel(PIECES_AHEAD);
    let (source, limit) = (input.clone(), house.config.instance_bytes);
    let reading = tokio::task::spawn_blocking(move || {
        source.pieces(limit, |piece| pieces.blocking_send(piece).is_ok())
    });
    while let Some(piece) = taken.recv().await {
        spool.write(piece).await.map_err(ReceiveError::from)?;
    }
    reading.await.map_err(|error| InputError::Io(std::io::Error::other(error)))??;
    let file_name = input.name.rsplit(['/', '\\']).next().map(str::to_owned);
    let receipt = Receipt { file_name, ..Receipt::from_sender(ClinicId::DEFAULT) };
    let received = house.receiver.receive(receipt, spool).await?;
    let detail = serde_json::json!({ "command": "ingest" });
    let entry = received.entry(ClinicId::DEFAULT, house.clock.now(), "medilink ingest", None, detail);
    trail.record_once(entry, received.study_id.to_string()).await.map_err(ReceiveError::from)?;
    Ok(received)
}
