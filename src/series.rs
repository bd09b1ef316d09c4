//! The slices of a series as one volume: what each says of its place, then their frames in the order in which they lie.
//!
//! The same for a job of the worker, which fetches the objects from the archive, and for `medilink analyze`.

use std::time::Instant;

use clinical::imaging::{AbstentionCode, DecodeRequest, LabelScore, Outcome, SlicePosition};
use dicom_dictionary_std::tags;
use inference::{InferenceError, Network, Stack, Summary, Volume, VolumeError};
use ingest::part10::Part10;
use ingest::pixels;
use models::{Card, Eligibility};

use crate::reader::{Reader, Reading};

/// Why a series was not read, which is a word on the series.
pub type Refusal = (AbstentionCode, String);

/// A frame of a slice's object, and where it lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// The object's number, as the caller counts.
    pub slice: usize,
    /// The frame, counted from 0.
    pub frame: u32,
    /// Where it lies.
    pub position: SlicePosition,
}

/// What the objects of a series say of themselves.
#[derive(Debug, Default)]
pub struct Slices {
    places: Vec<Place>,
    size: (u32, u32),
    /// Frame of Reference UID (0020,0052), where an object says one.
    pub frame_of_reference_uid: Option<String>,
}

impl Slices {
    /// Takes an object of the series, under the caller's number.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] of the whole series, where a frame of it does not say where it lies.
    pub fn add(&mut self, slice: usize, object: &Part10) -> Result<(), Refusal> {
        if self.places.is_empty() {
            let image = pixels::image_context(object.header());
            self.size = (image.rows.unwrap_or(0), image.columns.unwrap_or(0));
        }
        if self.frame_of_reference_uid.is_none() {
            self.frame_of_reference_uid = frame_of_reference(object);
        }
        for frame in 0..object.frame_count() {
            let Some(position) = pixels::slice_position(object.header(), frame) else {
                return Err((AbstentionCode::NotEligible, "a slice does not say where it lies".to_owned()));
            };
            self.places.push(Place { slice, frame, position });
        }
        Ok(())
    }

    /// The volume that the frames make for a network, still empty, and the frames in the order in which it takes them.
    ///
    /// # Errors
    ///
    /// [`VolumeError`], where they make none.
    pub fn stacked(&self, card: &Card) -> Result<(Volume, Vec<Place>), VolumeError> {
        let positions: Vec<SlicePosition> = self.places.iter().map(|place| place.position).collect();
        let stack = Stack::of(&positions)?;
        let ordered = stack.order().iter().map(|index| self.places[*index]).collect();
        Ok((Volume::of(card, stack, self.size.0, self.size.1)?, ordered))
    }
}

/// Frame of Reference UID (0020,0052), where the object says one.
pub fn frame_of_reference(object: &Part10) -> Option<String> {
    let text = object.header().get(tags::FRAME_OF_REFERENCE_UID)?.to_str().ok()?;
    let text = text.trim_matches(['\0', ' ']);
    (!text.is_empty()).then(|| text.to_owned())
}

/// The places parted into those that follow each other in one object, so that none is fetched for each of its frames.
pub fn runs(ordered: &[Place]) -> impl Iterator<Item = &[Place]> {
    ordered.chunk_by(|one, next| one.slice == next.slice)
}

/// Decodes frames of one object, each once, and puts them into the volume, behind those before.
///
/// # Errors
///
/// A [`Refusal`] of the whole series, where one cannot be decoded or does not fit.
pub fn push(reader: &Reader, object: &Part10, run: &[Place], volume: &mut Volume) -> Result<(), Refusal> {
    for place in run {
        let frames = reader.decode(object, &DecodeRequest::frame(place.frame));
        let frames =
            frames.map_err(|error| (AbstentionCode::NotDecodable, format!("{}: {error}", error.code())))?;
        let pushed = frames.first().ok_or(VolumeError::Slices).and_then(|frame| volume.push(frame));
        pushed.map_err(|error| misfit(&error))?;
    }
    Ok(())
}

/// The labels that a network sees in a whole volume; each names the slice, in their order, in which most of it lies.
///
/// # Errors
///
/// The outer one where only the network failed, which is no word on the series.
pub fn segmented(
    network: &Network,
    volume: Volume,
) -> Result<Result<Vec<LabelScore>, Refusal>, InferenceError> {
    match volume.segment(network) {
        Ok(segmented) => Ok(Ok(segmented.labels().map(|label| label.score()).collect())),
        Err(VolumeError::Network(
            error @ (InferenceError::NotFinite(_)
            | InferenceError::NotProbabilities(_)
            | InferenceError::OutputShape { .. }),
        )) => Ok(Err((AbstentionCode::NetworkUnhealthy, error.to_string()))),
        Err(VolumeError::Network(error)) => Err(error),
        Err(error) => Ok(Err(misfit(&error))),
    }
}

/// Why slices are no volume for a network.
pub fn misfit(error: &VolumeError) -> Refusal {
    let code = match error {
        VolumeError::Prepare(_) | VolumeError::NotFinite => AbstentionCode::PoorQuality,
        _ => AbstentionCode::NotEligible,
    };
    (code, error.to_string())
}

/// Why the card does not fit an object of the series.
pub fn unfit(card: &Card, object: &Part10) -> Option<Refusal> {
    match card.eligibility(&pixels::image_context(object.header())) {
        Eligibility::Eligible => None,
        Eligibility::Ineligible { reasons } => Some((AbstentionCode::NotEligible, reasons.join("; "))),
        Eligibility::NotForModality => {
            Some((AbstentionCode::NotEligible, "the network is not meant for this modality".to_owned()))
        }
    }
}

/// What was said of a series, as of an image.
pub fn reading(
    card: &Card,
    said: Result<Vec<LabelScore>, Refusal>,
    started: Instant,
    is_forced: bool,
) -> Reading {
    let scores = match said {
        Ok(scores) => scores,
        Err((code, reason)) => return Reading::abstained(Some(card), code, reason, started),
    };
    let outcome = Outcome::Scored(scores);
    Reading {
        network: Some(card.clone()),
        summary: Summary::of(card, &outcome),
        outcome,
        brightness: None,
        duration_ms: (started.elapsed().as_secs_f64() * 1e6).round() / 1e3,
        is_forced,
    }
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
        let backwards: Vec<Place> = (0..500).rev().map(|frame| place(0, frame)).collect();
        assert_eq!(runs(&backwards).collect::<Vec<_>>(), [backwards.as_slice()]);
        let two = [place(0, 0), place(1, 1), place(1, 0), place(0, 1)];
        assert_eq!(runs(&two).collect::<Vec<_>>(), [&two[..1], &two[1..3], &two[3..]]);
    }
}
