//! `AnalyzeStudy`: every active network over every instance of a study that came from a sender.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use clinical::event::Event;
use clinical::id::{InstanceId, StudyId};
use clinical::imaging::AbstentionCode;
use clinical::job::Queue;
use futures::{StreamExt, TryStreamExt};
use storage::archive::ArchiveError;
use storage::records::analysis::{Analysis, NewAnalysis};
use storage::records::instance::Instance;
use storage::records::workitem;
use storage::{outbox, queue};
use tokio::sync::Semaphore;

use crate::reader::{Asked, ReadError, Reading};
use crate::wiring::House;

/// So many instances' results share a transaction, so that none holds the writer long.
const PER_TRANSACTION: usize = 100;
/// So many instances are fetched, decoded and analysed at a time …
const AT_A_TIME: usize = 4;
/// … and so many MiB of them are held in memory; a longer one is read alone.
const HELD_MIB: u32 = 512;

/// Hash of the network of a reading that no network was meant for.
const NO_NETWORK: &str = "";

/// Reads what is not read yet and writes what was found; run twice, it leaves the same rows.
pub async fn run(house: &Arc<House>, claimed: &queue::Claimed, study_id: StudyId) -> Result<()> {
    let clinic = claimed.clinic_id;
    let mut tx = house.db.begin().await?;
    workitem::started(&mut tx, clinic, study_id, house.clock.now()).await?;
    tx.commit().await?;
    let mut rows = house.db.read().await?;
    let instances = Instance::to_analyze(&mut rows, clinic, study_id).await?;
    let done = Analysis::done_of_study(&mut rows, clinic, study_id).await?;
    drop(rows);
    let unread: Vec<_> = instances.into_iter().filter(|instance| is_unread(house, instance, &done)).collect();
    let held = Arc::new(Semaphore::new(HELD_MIB as usize));
    let mut all_ids = Vec::new();
    let transactions = unread.len().div_ceil(PER_TRANSACTION).max(1);
    for number in 1..=transactions {
        let reads: Vec<_> = unread
            .iter()
            .skip((number - 1) * PER_TRANSACTION)
            .take(PER_TRANSACTION)
            .map(|instance| read(Arc::clone(house), Arc::clone(&held), instance.clone()))
            .collect();
        let found: Vec<Vec<NewAnalysis>> =
            futures::stream::iter(reads).buffered(AT_A_TIME).try_collect().await?;
        let mut analysis_ids = Vec::new();
        let mut tx = house.db.begin().await?;
        for new in found.iter().flatten() {
            analysis_ids.push(Analysis::record(&mut tx, clinic, new, house.clock.now()).await?);
        }
        all_ids.extend_from_slice(&analysis_ids);
        // With what it tells of: a job that dies between two of them has told of each that is written.
        outbox::tell(&mut tx, clinic, &Event::FindingsReady { study_id, analysis_ids }, house.clock.now())
            .await?;
        if number == transactions {
            workitem::completed(&mut tx, clinic, study_id, &all_ids, house.clock.now()).await?;
            queue::finish(&mut tx, claimed).await?;
        }
        tx.commit().await?;
    }
    Ok(())
}

/// Gives up the worklist's steps that wait for an analysis which will not be tried again.
pub async fn give_up(house: &House, claimed: &queue::Claimed, study_id: StudyId) -> Result<()> {
    if claimed.tries < house.config.queue(Queue::Imaging).tries {
        return Ok(());
    }
    let mut tx = house.db.begin().await?;
    workitem::failed(&mut tx, claimed.clinic_id, study_id, house.clock.now()).await?;
    Ok(tx.commit().await?)
}

/// Whether any network that is meant for the image has still to read it.
fn is_unread(house: &House, instance: &Instance, done: &HashSet<(InstanceId, String)>) -> bool {
    if instance.frame_count.is_none() {
        return false;
    }
    let is_done = |network: &str| done.contains(&(instance.instance_id, network.to_owned()));
    let networks = house.reader.meant_for(instance.modality.as_deref());
    if networks.is_empty() { !is_done(NO_NETWORK) } else { !networks.into_iter().all(is_done) }
}

/// What the active networks say of one instance.
async fn read(house: Arc<House>, held: Arc<Semaphore>, instance: Instance) -> Result<Vec<NewAnalysis>> {
    let size_mib = u32::try_from(instance.size_bytes >> 20).unwrap_or(HELD_MIB);
    let _held = held.acquire_many(size_mib.clamp(1, HELD_MIB)).await?;
    let readings = readings(&house, &instance).await?;
    Ok(readings.into_iter().map(|reading| new_analysis(&instance, reading)).collect())
}

async fn readings(house: &Arc<House>, instance: &Instance) -> Result<Vec<Reading>> {
    let started = Instant::now();
    if house.reader.meant_for(instance.modality.as_deref()).is_empty() {
        let modality = instance.modality.as_deref().unwrap_or("none");
        let reason = format!("no active network is meant for modality {modality}");
        return Ok(vec![Reading::abstained(None, AbstentionCode::NoNetwork, reason, started)]);
    }
    let unreadable =
        |reason: String| Ok(vec![Reading::abstained(None, AbstentionCode::NotDecodable, reason, started)]);
    let bytes = match house.archive.get(&instance.blob_key).await {
        Ok(bytes) => bytes,
        // A lost or damaged blob is no reason to drop the other instances.
        Err(error @ (ArchiveError::NotFound | ArchiveError::Damaged(_))) => {
            return unreadable(error.to_string());
        }
        Err(error) => return Err(error).context("the instance's bytes"),
    };
    let reader = Arc::clone(&house.reader);
    match tokio::task::spawn_blocking(move || reader.read(bytes, &Asked::Active)).await? {
        Ok(readings) => Ok(readings),
        // It was stored, so it was whole then.
        Err(ReadError::File(error)) => unreadable(error.to_string()),
        Err(error) => Err(error.into()),
    }
}

fn new_analysis(instance: &Instance, reading: Reading) -> NewAnalysis {
    let card = reading.network;
    NewAnalysis {
        study_id: instance.study_id,
        instance_id: instance.instance_id,
        instance_sha256: instance.sha256.clone(),
        network_name: card.as_ref().map_or_else(|| "none".to_owned(), |card| card.name.clone()),
        network_version: card.as_ref().map_or_else(String::new, |card| card.version.clone()),
        network_sha256: card.map_or_else(|| NO_NETWORK.to_owned(), |card| card.sha256),
        outcome: reading.outcome,
        findings_text: reading.summary.findings,
        recommendations: reading.summary.recommendations,
        confidence_percent: reading.summary.confidence,
        duration_ms: reading.duration_ms,
    }
}
