//! Networks that take the slices of a series together.
//!
//! Their word on a series hangs on the slice of it that came last, so that a slice that comes late leads to a new one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use bytes::Bytes;
use clinical::id::{InstanceId, SeriesId};
use clinical::imaging::{AbstentionCode, DecodeRequest, LabelScore, Outcome, SlicePosition};
use futures::{StreamExt, TryStreamExt};
use inference::{InferenceError, Network, Stack, Summary, Volume, VolumeError};
use ingest::part10::Part10;
use ingest::pixels;
use models::{Card, Eligibility};
use storage::archive::ArchiveError;
use storage::records::analysis::{NetworkKey, NewAnalysis};
use storage::records::instance::Instance;

use super::analyze_study::new_analysis;
use crate::networks::{self, AtHand};
use crate::reader::{NetworkError, Reading};
use crate::wiring::House;

/// So many slices are fetched ahead of the one that is decoded.
const AHEAD: usize = 2;

/// Why a series was not read, which is a word on the series.
type Refusal = (AbstentionCode, String);

/// What the networks at hand say of each series that they have not read as it is now.
pub(super) async fn read(
    house: &Arc<House>,
    at_hand: &AtHand,
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
            let reading = match of_series(house, card, &slices).await? {
                Ok(scores) => {
                    let outcome = Outcome::Scored(scores);
                    Reading {
                        network: Some(card.clone()),
                        summary: Summary::of(card, &outcome),
                        outcome,
                        duration_ms: (started.elapsed().as_secs_f64() * 1e6).round() / 1e3,
                        is_forced: false,
                    }
                }
                Err((code, reason)) => Reading::abstained(Some(card), code, reason, started),
            };
            found.push(NewAnalysis { is_of_series: true, ..new_analysis(last, at_hand, reading) });
        }
    }
    Ok(found)
}

/// A frame of a slice's object, and where it lies.
#[derive(Clone, Copy)]
struct Place {
    /// Its object's place among the slices.
    slice: usize,
    frame: u32,
    position: SlicePosition,
}

/// The labels that a network sees in a series, or why it would not look; each slice is decoded once.
async fn of_series(
    house: &Arc<House>,
    card: &Card,
    slices: &[&Instance],
) -> Result<Result<Vec<LabelScore>, Refusal>> {
    let network = {
        let (house, card) = (Arc::clone(house), card.clone());
        match tokio::task::spawn_blocking(move || house.reader.network(&card)).await? {
            Ok(network) => network,
            Err(NetworkError::Unhealthy(reason)) => {
                return Ok(Err((AbstentionCode::NetworkUnhealthy, reason)));
            }
            Err(NetworkError::NotReady(error)) => return Err(error),
        }
    };
    let mut places: Vec<Place> = Vec::new();
    for (index, slice) in slices.iter().enumerate() {
        let object = match object(house, slice).await? {
            Ok(object) => object,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Some(refusal) = unfit(card, &object) {
            return Ok(Err(refusal));
        }
        for frame in 0..object.frame_count() {
            let Some(position) = pixels::slice_position(object.header(), frame) else {
                let reason = "a slice does not say where it lies".to_owned();
                return Ok(Err((AbstentionCode::NotEligible, reason)));
            };
            places.push(Place { slice: index, frame, position });
        }
    }
    let positions: Vec<SlicePosition> = places.iter().map(|place| place.position).collect();
    let size = |edge: Option<i64>| edge.and_then(|edge| u32::try_from(edge).ok()).unwrap_or(0);
    let (rows, columns) = slices.first().map_or((0, 0), |first| (size(first.rows), size(first.columns)));
    let begun = Stack::of(&positions).and_then(|stack| {
        let order = stack.order().to_vec();
        Ok((order, Volume::of(card, stack, rows, columns)?))
    });
    let (order, mut volume) = match begun {
        Ok(begun) => begun,
        Err(error) => return refused(error),
    };
    let fetch = |index: usize| {
        let place = places[index];
        async move { anyhow::Ok((place, object(house, slices[place.slice]).await?)) }
    };
    let mut objects = futures::stream::iter(order.into_iter().map(fetch)).buffered(AHEAD);
    while let Some((place, object)) = objects.try_next().await? {
        let object = match object {
            Ok(object) => object,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let house = Arc::clone(house);
        let pushed = tokio::task::spawn_blocking(move || {
            let request = DecodeRequest::frame(place.frame);
            let frames = pixels::decode(&object, &request, &house.config.pixels(), house.reader.pool());
            let pushed =
                frames.map(|frames| frames.first().map_or(Err(VolumeError::Slices), |it| volume.push(it)));
            (volume, pushed)
        });
        let (with_slice, pushed) = pushed.await?;
        volume = with_slice;
        match pushed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return refused(error),
            Err(error) => {
                let reason = format!("{}: {error}", error.code());
                return Ok(Err((AbstentionCode::NotDecodable, reason)));
            }
        }
    }
    drop(objects);
    segmented(network, volume).await
}

/// What the network says of the whole volume.
async fn segmented(network: Arc<Network>, volume: Volume) -> Result<Result<Vec<LabelScore>, Refusal>> {
    match tokio::task::spawn_blocking(move || volume.segment(&network)).await? {
        // The score hangs on one object, in which most slices are not.
        Ok(masks) => Ok(Ok(masks.into_iter().map(|mask| LabelScore { frame: 0, ..mask.score }).collect())),
        Err(error) => refused(error),
    }
}

/// A word on the series, unless only the network failed.
fn refused<T>(error: VolumeError) -> Result<Result<T, Refusal>> {
    match error {
        VolumeError::Network(
            error @ (InferenceError::NotFinite(_)
            | InferenceError::NotProbabilities(_)
            | InferenceError::OutputShape { .. }),
        ) => Ok(Err((AbstentionCode::NetworkUnhealthy, error.to_string()))),
        VolumeError::Network(error) => Err(error.into()),
        error @ (VolumeError::Prepare(_) | VolumeError::NotFinite) => {
            Ok(Err((AbstentionCode::PoorQuality, error.to_string())))
        }
        error => Ok(Err((AbstentionCode::NotEligible, error.to_string()))),
    }
}

/// Why the card does not fit an object of the series.
fn unfit(card: &Card, object: &Part10) -> Option<Refusal> {
    match card.eligibility(&pixels::image_context(object.header())) {
        Eligibility::Eligible => None,
        Eligibility::Ineligible { reasons } => Some((AbstentionCode::NotEligible, reasons.join("; "))),
        Eligibility::NotForModality => {
            Some((AbstentionCode::NotEligible, "the network is not meant for this modality".to_owned()))
        }
    }
}

/// The stored object of a slice; where its bytes are lost or damaged, that.
async fn object(house: &House, slice: &Instance) -> Result<Result<Part10, Refusal>> {
    let bytes: Bytes = match house.archive.get(&slice.blob_key).await {
        Ok(bytes) => bytes,
        Err(error @ (ArchiveError::NotFound | ArchiveError::Damaged(_))) => {
            return Ok(Err((AbstentionCode::NotDecodable, error.to_string())));
        }
        Err(error) => return Err(error).context("a slice's bytes"),
    };
    let limits = house.config.receive()?.limits.part10;
    Ok(Part10::read(bytes, &limits).map_err(|error| (AbstentionCode::NotDecodable, error.to_string())))
}
