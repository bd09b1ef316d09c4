//! Networks that take the slices of a series together.
//!
//! Their word on a series hangs on the slice of it that came last, so that a slice that comes late leads to a new one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use bytes::Bytes;
use clinical::id::{InstanceId, SeriesId};
use clinical::imaging::{AbstentionCode, LabelScore};
use futures::{StreamExt, TryStreamExt};
use inference::{Network, Volume};
use ingest::part10::Part10;
use models::Card;
use storage::archive::ArchiveError;
use storage::records::analysis::{NetworkKey, NewAnalysis};
use storage::records::instance::Instance;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::analyze_study::{new_analysis, room};
use crate::compute;
use crate::networks::{self, AtHand};
use crate::reader::NetworkError;
use crate::series::{self, Place, Refusal, Slices};
use crate::wiring::House;

/// So many slices are fetched ahead of the one that is decoded.
const AHEAD: usize = 2;

/// What the networks at hand say of each series that they have not read as it is now.
pub(super) async fn read(
    house: &Arc<House>,
    at_hand: &AtHand,
    held: &Semaphore,
    instances: &[Instance],
    done: &HashMap<(InstanceId, NetworkKey), bool>,
) -> Result<Vec<NewAnalysis>> {
    let mut series: BTreeMap<SeriesId, Vec<&Instance>> = BTreeMap::new();
    if !(at_hand.active.is_empty() && at_hand.shadow.is_empty()) {
        for instance in instances.iter().filter(|instance| instance.frame_count.is_some()) {
            series.entry(instance.series_id).or_default().push(instance);
        }
    }
    let mut found = Vec::new();
    for slices in series.into_values() {
        let Some(last) = slices.iter().max_by_key(|slice| slice.instance_id) else { continue };
        let meant = at_hand.meant_for(last.modality.as_deref());
        for card in meant.active.iter().chain(&meant.shadow) {
            let before = done.get(&(last.instance_id, networks::key_of(card)));
            if before == Some(&false) || (before.is_some() && at_hand.is_shadow(card)) {
                continue;
            }
            let started = Instant::now();
            let said = match of_series(house, card, held, &slices).await {
                Err(error) if at_hand.is_shadow(card) => {
                    // A network that nobody is shown is no reason to show nothing.
                    let (network, error) = (card.title(), format!("{error:#}"));
                    tracing::warn!(network, error, "a series is read without a network in the shadow");
                    continue;
                }
                said => said?,
            };
            let reading = series::reading(card, said, started, false);
            found.push(NewAnalysis { is_of_series: true, ..new_analysis(last, at_hand, reading) });
        }
    }
    Ok(found)
}

/// A series as a network wants it.
pub(super) struct Series {
    pub(super) network: Arc<Network>,
    pub(super) volume: Volume,
    /// The volume's slices in their order.
    pub(super) places: Vec<Place>,
    /// Frame of Reference UID (0020,0052), where the slices say one.
    pub(super) frame_of_reference_uid: Option<String>,
}

/// The labels that a network sees in a series, or why it would not look.
async fn of_series(
    house: &Arc<House>,
    card: &Card,
    held: &Semaphore,
    slices: &[&Instance],
) -> Result<Result<Vec<LabelScore>, Refusal>> {
    match series(house, card, held, slices).await? {
        Ok(series) => segmented(series.network, series.volume).await,
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// The series as one volume, or why a network would not look at it; each slice is decoded once.
pub(super) async fn series(
    house: &Arc<House>,
    card: &Card,
    held: &Semaphore,
    slices: &[&Instance],
) -> Result<Result<Series, Refusal>> {
    let network = {
        let (house, card) = (Arc::clone(house), card.clone());
        match compute::spawn(move || house.reader.network(&card)).await? {
            Ok(network) => network,
            Err(NetworkError::Unhealthy(reason)) => {
                return Ok(Err((AbstentionCode::NetworkUnhealthy, reason)));
            }
            Err(NetworkError::NotReady(error)) => return Err(error),
        }
    };
    let mut said = Slices::default();
    for (index, slice) in slices.iter().enumerate() {
        let (object, _room) = match object(house, held, slice).await? {
            Ok(object) => object,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Some(refusal) = series::unfit(card, &object) {
            return Ok(Err(refusal));
        }
        if let Err(refusal) = said.add(index, &object) {
            return Ok(Err(refusal));
        }
    }
    let (mut volume, places) = match said.stacked(card) {
        Ok(stacked) => stacked,
        Err(error) => return Ok(Err(series::misfit(&error))),
    };
    let fetch = |run: Vec<Place>| {
        let slice = slices[run[0].slice];
        async move { anyhow::Ok((run, object(house, held, slice).await?)) }
    };
    let runs: Vec<Vec<Place>> = series::runs(&places).map(<[Place]>::to_vec).collect();
    let mut objects = futures::stream::iter(runs.into_iter().map(fetch)).buffered(AHEAD);
    while let Some((run, object)) = objects.try_next().await? {
        let (object, _room) = match object {
            Ok(object) => object,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let house = Arc::clone(house);
        let (pushed, with_slices) = compute::spawn(move || {
            let pushed = series::push(&house.reader, &object, &run, &mut volume);
            (pushed, volume)
        })
        .await?;
        volume = with_slices;
        if let Err(refusal) = pushed {
            return Ok(Err(refusal));
        }
    }
    drop(objects);
    Ok(Ok(Series { network, volume, places, frame_of_reference_uid: said.frame_of_reference_uid }))
}

/// What the network says of the whole volume.
async fn segmented(network: Arc<Network>, volume: Volume) -> Result<Result<Vec<LabelScore>, Refusal>> {
    let said = compute::spawn(move || series::segmented(&network, volume)).await??;
    // The score hangs on one object, in which most slices are not.
    let of_one =
        |scores: Vec<LabelScore>| scores.into_iter().map(|score| LabelScore { frame: 0, ..score }).collect();
    Ok(said.map(of_one))
}

/// The stored object of a slice, and its room in memory; where its bytes are lost or damaged, that.
async fn object<'h>(
    house: &House,
    held: &'h Semaphore,
    slice: &Instance,
) -> Result<Result<(Part10, SemaphorePermit<'h>), Refusal>> {
    let room = room(held, slice).await?;
    let bytes: Bytes = match house.archive.get(&slice.blob_key).await {
        Ok(bytes) => bytes,
        Err(error @ (ArchiveError::NotFound | ArchiveError::Damaged(_))) => {
            return Ok(Err((AbstentionCode::NotDecodable, error.to_string())));
        }
        Err(error) => return Err(error).context("a slice's bytes"),
    };
    let limits = house.config.receive()?.limits.part10;
    let object = Part10::read(bytes, &limits).map(|object| (object, room));
    Ok(object.map_err(|error| (AbstentionCode::NotDecodable, error.to_string())))
}
