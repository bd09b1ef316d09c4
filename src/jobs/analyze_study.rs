//! `AnalyzeStudy`: every active network over every instance of a study that came from a sender.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use clinical::event::Event;
use clinical::id::StudyId;
use clinical::imaging::AbstentionCode;
use futures::{StreamExt, TryStreamExt};
use storage::records::analysis::{Analysis, NewAnalysis};
use storage::records::instance::Instance;
use storage::{outbox, queue};

use crate::reader::{Asked, ReadError, Reading};
use crate::wiring::House;

/// So many instances' results share a transaction, so that none holds the writer long.
const PER_TRANSACTION: usize = 100;
/// So many instances are fetched, decoded and analysed at a time.
const AT_A_TIME: usize = 4;

/// Reads the study and writes what was found; run twice, it leaves the same rows.
pub async fn run(house: &Arc<House>, claimed: &queue::Claimed, study_id: StudyId) -> Result<()> {
    let clinic = claimed.clinic_id;
    let instances = Instance::to_analyze(&mut house.db.read().await?, clinic, study_id).await?;
    let mut analysis_ids = Vec::new();
    for some in instances.chunks(PER_TRANSACTION) {
        let with_pixels = some.iter().filter(|instance| instance.frame_count.is_some()).cloned();
        let reads: Vec<_> = with_pixels.map(|instance| read(Arc::clone(house), instance)).collect();
        let readings: Vec<Vec<NewAnalysis>> =
            futures::stream::iter(reads).buffered(AT_A_TIME).try_collect().await?;
        let found = readings.concat();
        let mut tx = house.db.begin().await?;
        for new in &found {
            analysis_ids.push(Analysis::record(&mut tx, clinic, new, house.clock.now()).await?);
        }
        tx.commit().await?;
    }
    let mut tx = house.db.begin().await?;
    outbox::tell(&mut tx, clinic, &Event::FindingsReady { study_id, analysis_ids }, house.clock.now())
        .await?;
    queue::finish(&mut tx, claimed).await?;
    tx.commit().await?;
    Ok(())
}

/// What the active networks say of one instance.
async fn read(house: Arc<House>, instance: Instance) -> Result<Vec<NewAnalysis>> {
    let readings = readings(&house, &instance).await?;
    Ok(readings.into_iter().map(|reading| new_analysis(&instance, reading)).collect())
}

async fn readings(house: &Arc<House>, instance: &Instance) -> Result<Vec<Reading>> {
    let started = Instant::now();
    if !house.reader.is_for(instance.modality.as_deref()) {
        let modality = instance.modality.as_deref().unwrap_or("none");
        let reason = format!("no active network is meant for modality {modality}");
        return Ok(vec![Reading::abstained(None, AbstentionCode::NoNetwork, reason, started)]);
    }
    let bytes = house.archive.get(&instance.blob_key).await.context("the instance's bytes")?;
    let reader = Arc::clone(&house.reader);
    let readings = tokio::task::spawn_blocking(move || reader.read(bytes, &Asked::Active)).await?;
    match readings {
        Ok(readings) => Ok(readings),
        // It was stored, so it was whole then; what has become of it since is no reason to drop the others.
        Err(ReadError::File(error)) => {
            Ok(vec![Reading::abstained(None, AbstentionCode::NotDecodable, error.to_string(), started)])
        }
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
        network_sha256: card.map_or_else(String::new, |card| card.sha256),
        outcome: reading.outcome,
        findings_text: reading.summary.findings,
        recommendations: reading.summary.recommendations,
        confidence_percent: reading.summary.confidence,
        duration_ms: reading.duration_ms,
    }
}
