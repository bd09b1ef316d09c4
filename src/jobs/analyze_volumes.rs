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
use dicom_dictionary_std::tags;
use futures::{StreamExt, TryStreamExt};
use inference::{InferenceError, Network, Stack, Summary, Volume, VolumeError};
use ingest::part10::Part10;
use ingest::pixels::{self, PixelError};
use models::{Card, Eligibility};
use storage::archive::ArchiveError;
use storage::records::analysis::{NetworkKey, NewAnalysis};
use storage::records::instance::Instance;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::analyze_study::{new_analysis, room};
use crate::compute;
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
            let reading = match said {
                Ok(scores) => {
                    let outcome = Outcome::Scored(scores);
                    Reading {
                        network: Some(card.clone()),
                        summary: Summary::of(card, &outcome),
                        outcome,
                        brightness: None,
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
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    /// Its object's place among the slices.
    pub(super) slice: usize,
    pub(super) frame: u32,
    pub(super) position: SlicePosition,
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
    let (mut places, mut frame_of_reference_uid): (Vec<Place>, _) = (Vec::new(), None);
    for (index, slice) in slices.iter().enumerate() {
        let (object, _room) = match object(house, held, slice).await? {
            Ok(object) => object,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Some(refusal) = unfit(card, &object) {
            return Ok(Err(refusal));
        }
        frame_of_reference_uid = frame_of_reference_uid.or_else(|| frame_of_reference(&object));
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
    let fetch = |run: Vec<Place>| {
        let slice = slices[run[0].slice];
        async move { anyhow::Ok((run, object(house, held, slice).await?)) }
    };
    let mut objects = futures::stream::iter(runs(&order, &places).into_iter().map(fetch)).buffered(AHEAD);
    while let Some((run, object)) = objects.try_next().await? {
        let (object, _room) = match object {
            Ok(object) => object,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let house = Arc::clone(house);
        let (pushed, with_slices) = compute::spawn(move || {
            let pushed = run.iter().try_for_each(|place| push(&house, &object, place.frame, &mut volume));
            (pushed, volume)
        })
        .await?;
        volume = with_slices;
        match pushed {
            Ok(()) => {}
            Err(PushError::Volume(error)) => return refused(error),
            Err(PushError::Pixels(error)) => {
                let reason = format!("{}: {error}", error.code());
                return Ok(Err((AbstentionCode::NotDecodable, reason)));
            }
        }
    }
    drop(objects);
    let places = order.iter().map(|index| places[*index]).collect();
    Ok(Ok(Series { network, volume, places, frame_of_reference_uid }))
}

/// Frame of Reference UID (0020,0052), where the object says one.
pub(super) fn frame_of_reference(object: &Part10) -> Option<String> {
    let text = object.header().get(tags::FRAME_OF_REFERENCE_UID)?.to_str().ok()?;
    let text = text.trim_matches(['\0', ' ']);
    (!text.is_empty()).then(|| text.to_owned())
}

/// The places in the order in which they lie, those parted that are of one object: none is fetched for each of its frames.
fn runs(order: &[usize], places: &[Place]) -> Vec<Vec<Place>> {
    let ordered: Vec<Place> = order.iter().map(|index| places[*index]).collect();
    ordered.chunk_by(|one, next| one.slice == next.slice).map(<[Place]>::to_vec).collect()
}

/// Why a frame is not in the volume.
enum PushError {
    Pixels(PixelError),
    Volume(VolumeError),
}

/// Decodes a frame and puts it into the volume, behind those before.
fn push(house: &House, object: &Part10, frame: u32, volume: &mut Volume) -> Result<(), PushError> {
    let request = DecodeRequest::frame(frame);
    let frames = pixels::decode(object, &request, &house.config.pixels(), house.reader.pool());
    let frames = frames.map_err(PushError::Pixels)?;
    let frame = frames.first().ok_or(PushError::Volume(VolumeError::Slices))?;
    volume.push(frame).map_err(PushError::Volume)
}

/// What the network says of the whole volume.
async fn segmented(network: Arc<Network>, volume: Volume) -> Result<Result<Vec<LabelScore>, Refusal>> {
    // The score hangs on one object, in which most slices are not.
    let scores = move || {
        let segmented = volume.segment(&network)?;
        Ok(segmented.labels().map(|label| LabelScore { frame: 0, ..label.score() }).collect())
    };
    match compute::spawn(scores).await? {
        Ok(scores) => Ok(Ok(scores)),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn place(slice: usize, frame: u32) -> Place {
        let position = SlicePosition { position_mm: [0.0; 3], orientation: [0.0; 6], spacing_mm: [1.0, 1.0] };
        Place { slice, frame, position }
    }

    #[test]
    fn an_object_of_many_frames_is_fetched_once() {
        let frames: Vec<Place> = (0..500).map(|frame| place(0, frame)).collect();
        let backwards: Vec<usize> = (0..500).rev().collect();
        assert_eq!(runs(&backwards, &frames), [frames.into_iter().rev().collect::<Vec<_>>()]);
        let two = [place(0, 0), place(1, 0), place(1, 1), place(0, 1)];
        assert_eq!(runs(&[0, 2, 1, 3], &two), [vec![two[0]], vec![two[2], two[1]], vec![two[3]]]);
    }
}
