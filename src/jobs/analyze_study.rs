//! `AnalyzeStudy`: every active network over every instance of a study that came from a sender.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use clinical::event::{Event, Found};
use clinical::id::{InstanceId, StudyId};
use clinical::imaging::AbstentionCode;
use clinical::job::{Job, Priority, Queue};
use futures::{StreamExt, TryStreamExt};
use models::Card;
use storage::archive::ArchiveError;
use storage::records::analysis::{Analysis, NetworkKey, NewAnalysis};
use storage::records::instance::Instance;
use storage::records::workitem;
use storage::{outbox, queue};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::analyze_volumes;
use crate::compute;
use crate::networks::{self, AtHand};
use crate::reader::{Asked, ReadError, Reading};
use crate::wiring::House;

/// So many instances' results share a transaction, so that none holds the writer long.
const PER_TRANSACTION: usize = 100;
/// So many instances are fetched, decoded and analysed at a time …
const AT_A_TIME: usize = 4;
/// … and so many MiB of them are held in memory; a longer one is read alone.
pub(super) const HELD_MIB: u32 = 512;

/// Name of the network of a reading that no network was meant for; it has no version and no weights.
const NO_NETWORK: &str = "none";

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
    let (at_hand, of_volumes) = networks::at_hand(house, clinic).await?.parted();
    let at_hand = Arc::new(at_hand);
    let held = Arc::new(Semaphore::new(HELD_MIB as usize));
    let volumes = analyze_volumes::read(house, &of_volumes, &held, &instances, &done).await?;
    let unread: Vec<_> =
        instances.into_iter().filter(|instance| is_unread(&at_hand, &of_volumes, instance, &done)).collect();
    let mut all_ids = Vec::new();
    let transactions = unread.len().div_ceil(PER_TRANSACTION).max(1);
    for number in 1..=transactions {
        let reads: Vec<_> = unread
            .iter()
            .skip((number - 1) * PER_TRANSACTION)
            .take(PER_TRANSACTION)
            .map(|instance| {
                read(Arc::clone(house), Arc::clone(&at_hand), Arc::clone(&held), instance.clone())
            })
            .collect();
        let found: Vec<Vec<NewAnalysis>> =
            futures::stream::iter(reads).buffered(AT_A_TIME).try_collect().await?;
        let (mut analysis_ids, mut told) = (Vec::new(), Found::default());
        let mut tx = house.db.begin().await?;
        if !queue::is_held(&mut tx, claimed).await? {
            // Somebody has taken it back, or another worker has it: what is written stays.
            return Ok(());
        }
        // With the first: a job that gives way after it need not read them anew.
        let volumes = volumes.iter().filter(|_| number == 1);
        for new in found.iter().flatten().chain(volumes) {
            let analysis_id = Analysis::record(&mut tx, clinic, new, house.clock.now()).await?;
            if !new.is_shadow {
                analysis_ids.push(analysis_id);
                told.count(&new.outcome);
            }
        }
        all_ids.extend_from_slice(&analysis_ids);
        // With what it tells of: a job that dies between two of them has told of each that is written.
        let ready = Event::FindingsReady { study_id, analysis_ids, found: Some(told) };
        outbox::tell(&mut tx, clinic, &ready, house.clock.now()).await?;
        if number == transactions {
            workitem::completed(&mut tx, clinic, study_id, &all_ids, house.clock.now()).await?;
            let (report, now) = (Job::ReportFindings { study_id }, house.clock.now());
            queue::ask(&mut tx, clinic, &report, Priority::Routine, now, now).await?;
            // What was read before has no masks where the clinic has wanted them only since.
            let segment = Job::SegmentFindings { study_id };
            queue::ask(&mut tx, clinic, &segment, Priority::Spare, now, now).await?;
            if !all_ids.is_empty() {
                let explain = Job::ExplainFindings { study_id };
                queue::ask(&mut tx, clinic, &explain, Priority::Spare, now, now).await?;
            }
            queue::finish(&mut tx, claimed).await?;
        }
        tx.commit().await?;
        if number < transactions
            && queue::give_way(&house.db, Queue::Imaging, claimed, house.clock.now()).await?
        {
            return Ok(());
        }
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

/// Whether any network that is meant for the image has still to read it; what an active one said in the shadow
/// before is said anew, to be shown.
fn is_unread(
    at_hand: &AtHand,
    of_volumes: &AtHand,
    instance: &Instance,
    done: &HashMap<(InstanceId, NetworkKey), bool>,
) -> bool {
    if instance.frame_count.is_none() {
        return false;
    }
    let run = |network: NetworkKey| done.get(&(instance.instance_id, network));
    let is_shown = |network: NetworkKey| run(network) == Some(&false);
    let AtHand { active, shadow } = at_hand.meant_for(instance.modality.as_deref());
    let are_shown = match active.as_slice() {
        // What is read with its whole series is no image that nobody reads.
        [] => is_shown(no_network()) || !of_volumes.meant_for(instance.modality.as_deref()).active.is_empty(),
        active => active.iter().all(|card| is_shown(networks::key_of(card))),
    };
    !are_shown || !shadow.iter().all(|card| run(networks::key_of(card)).is_some())
}

/// What the networks say of one instance: the active ones and those in the shadow.
async fn read(
    house: Arc<House>,
    at_hand: Arc<AtHand>,
    held: Arc<Semaphore>,
    instance: Instance,
) -> Result<Vec<NewAnalysis>> {
    let _room = room(&held, &instance).await?;
    let readings = readings(&house, &at_hand, &instance).await?;
    Ok(readings.into_iter().map(|reading| new_analysis(&instance, &at_hand, reading)).collect())
}

/// Room in memory for an instance's bytes, once there is some.
pub(super) async fn room<'h>(held: &'h Semaphore, instance: &Instance) -> Result<SemaphorePermit<'h>> {
    let size_mib = u32::try_from(instance.size_bytes >> 20).unwrap_or(HELD_MIB);
    Ok(held.acquire_many(size_mib.clamp(1, HELD_MIB)).await?)
}

async fn readings(house: &Arc<House>, at_hand: &AtHand, instance: &Instance) -> Result<Vec<Reading>> {
    let started = Instant::now();
    let AtHand { active, shadow } = at_hand.meant_for(instance.modality.as_deref());
    let mut readings = Vec::new();
    if active.is_empty() {
        let modality = instance.modality.as_deref().unwrap_or("none");
        let reason = format!("no active network is meant for modality {modality}");
        readings.push(Reading::abstained(None, AbstentionCode::NoNetwork, reason, started));
        if shadow.is_empty() {
            return Ok(readings);
        }
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
    let ask = |cards: Vec<&Card>| {
        let asked = cards.iter().map(|card| (card.name.clone(), card.version.clone())).collect();
        let (reader, bytes) = (Arc::clone(&house.reader), bytes.clone());
        compute::spawn(move || reader.read(&reader.object(bytes)?, &Asked::These(asked)))
    };
    let mut said = ask(active.iter().chain(&shadow).collect()).await?;
    if let (Err(ReadError::Network(error)), false, false) = (&said, active.is_empty(), shadow.is_empty()) {
        // A network that nobody is shown is no reason to show nothing.
        tracing::warn!(error = format!("{error:#}"), "an image is read without the networks in the shadow");
        said = ask(active.iter().collect()).await?;
    }
    match said {
        Ok(said) => {
            let is_answer = |reading: &Reading| readings.is_empty() || reading.network.is_some();
            let said: Vec<Reading> = said.into_iter().filter(is_answer).collect();
            readings.extend(said);
            Ok(readings)
        }
        // It was stored, so it was whole then.
        Err(ReadError::File(error)) => unreadable(error.to_string()),
        Err(error) => Err(error.into()),
    }
}

fn no_network() -> NetworkKey {
    NetworkKey { name: NO_NETWORK.to_owned(), version: String::new(), sha256: String::new() }
}

pub(super) fn new_analysis(instance: &Instance, at_hand: &AtHand, reading: Reading) -> NewAnalysis {
    let card = reading.network;
    let is_shadow = card.as_ref().is_some_and(|card| at_hand.is_shadow(card));
    let network = card.as_ref().map_or_else(no_network, networks::key_of);
    NewAnalysis {
        study_id: instance.study_id,
        instance_id: instance.instance_id,
        instance_sha256: instance.sha256.clone(),
        network_name: network.name,
        network_version: network.version,
        network_sha256: network.sha256,
        outcome: reading.outcome,
        brightness: reading.brightness.map(f64::from),
        findings_text: reading.summary.findings,
        recommendations: reading.summary.recommendations,
        confidence_percent: reading.summary.confidence,
        duration_ms: reading.duration_ms,
        is_shadow,
        is_of_series: false,
    }
}
