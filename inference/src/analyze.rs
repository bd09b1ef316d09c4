//! One network over one instance.

use clinical::imaging::{
    Abstention, AbstentionCode, DecodeRequest, Frame, FrameSelection, ImageContext, LabelScore, Outcome,
};
use models::{Card, Eligibility, Input, Precision, ReferenceVectors, Task};
use ndarray::{Array4, ArrayD, ArrayViewD, Axis, Dimension, IxDyn};
use rayon::prelude::*;

use crate::interpret::{self, classification, segmentation};
use crate::{
    InferenceBackend, InferenceError, LoadedNetwork, Mask, Outputs, out_of_distribution, prepare,
    quality_gate,
};

/// The most that a probability may differ from a reference vector's.
const fn reference_tolerance(precision: Precision) -> f32 {
    match precision {
        Precision::F32 => 1e-4,
        Precision::Bf16 => 5e-3,
    }
}

/// A decoder may leave out resolution down to so many times the input: a wavelet's smaller image lies up to half of its
/// pixels beside the larger one, which then is no more than a quarter of the input's.
const MARGIN: u32 = 2;

/// A network with its card, loaded and ready.
pub struct Network {
    card: Card,
    backend: &'static str,
    loaded: Box<dyn LoadedNetwork>,
}

impl Network {
    /// Loads a network; `weights` are those of `models::Registry::weights`, which has verified them.
    ///
    /// # Errors
    ///
    /// [`InferenceError::NotLoaded`] or [`InferenceError::CardMismatch`].
    pub fn load(backend: &dyn InferenceBackend, card: &Card, weights: &[u8]) -> Result<Self, InferenceError> {
        let loaded = backend.load(card, weights)?;
        Ok(Self { card: card.clone(), backend: backend.name(), loaded })
    }

    /// The network's card.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// The name of the backend that runs it.
    pub fn backend(&self) -> &'static str {
        self.backend
    }

    /// The numbers that it reckons in.
    pub fn precision(&self) -> Precision {
        self.loaded.precision()
    }

    /// What the network wants decoded: at most so many frames as its card says, at full size, or, where the card
    /// allows it, at no less than twice the size of the input.
    pub fn decode_request(&self) -> DecodeRequest {
        let input = &self.card.input;
        let side = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).saturating_mul(MARGIN);
        let least_size = input.reduced_decoding.then(|| (side(input.rows()), side(input.columns())));
        DecodeRequest { frames: FrameSelection::Spread(input.frames_at_most), least_size }
    }

    /// Runs the reference vectors; gives the largest difference of a probability.
    ///
    /// # Errors
    ///
    /// [`InferenceError::NotReference`] for a difference above 1e-4, or above 5e-3 in bf16; else as [`analyze`].
    pub fn self_check(&self, reference: &ReferenceVectors) -> Result<f32, InferenceError> {
        let mut difference = 0.0_f32;
        for vector in &reference.vectors {
            let outputs = self.run(self.input_of(reference, &vector.image)?.view())?;
            let found = classification::probabilities(&self.card, &outputs)?;
            for (found, expected) in found.iter().zip(&vector.probabilities) {
                difference = difference.max((found - expected).abs());
            }
        }
        let allowed = reference_tolerance(self.precision());
        if difference <= allowed {
            return Ok(difference);
        }
        Err(InferenceError::NotReference { difference, allowed })
    }

    /// Returns once nothing is done beside the network any more, so that what is timed is its own work.
    pub fn settle(&self) {
        self.loaded.settle();
    }

    /// Runs the network once over stripes within its value range, to see that it gives numbers.
    ///
    /// # Errors
    ///
    /// As [`analyze`].
    pub fn try_out(&self) -> Result<(), InferenceError> {
        let input = &self.card.input;
        let [black, white] = input.value_range;
        let stripes = ArrayD::from_shape_fn(IxDyn(input.shape.as_slice()), |at| {
            let (mean, deviation) = input.normalisation(at[1]);
            let shade = at.as_array_view().iter().sum::<usize>() % 17;
            (black + (white - black) * shade as f32 / 16.0 - mean) / deviation
        });
        let outputs = self.run(stripes.view())?;
        if self.card.task.is_of_whole_images() {
            classification::probabilities(&self.card, &outputs)?;
        }
        Ok(())
    }

    /// The network's input for an 8-bit grey image of its size.
    fn input_of(&self, reference: &ReferenceVectors, image: &[u8]) -> Result<ArrayD<f32>, InferenceError> {
        let input = &self.card.input;
        let [black, white] = input.value_range;
        let mut values = Vec::with_capacity(image.len() * input.channels.count());
        for channel in 0..input.channels.count() {
            let (mean, deviation) = input.normalisation(channel);
            values.extend(
                image
                    .iter()
                    .map(|grey| (black + (white - black) * f32::from(*grey) / 255.0 - mean) / deviation),
            );
        }
        let shape = [1, input.channels.count(), reference.rows as usize, reference.columns as usize];
        ArrayD::from_shape_vec(shape.to_vec(), values)
            .map_err(|error| InferenceError::NotRun(error.to_string()))
    }

    /// The outputs for an input, once all of them have proved to be numbers.
    pub(crate) fn run(&self, input: ArrayViewD<'_, f32>) -> Result<Outputs, InferenceError> {
        let outputs = self.loaded.run(input)?;
        match outputs.iter().find(|(_, values)| !values.iter().all(|value| value.is_finite())) {
            Some((name, _)) => Err(InferenceError::NotFinite(name.clone())),
            None => Ok(outputs),
        }
    }
}

/// What the network answered to one frame, before anything is made of it.
enum Answer {
    Given(Outputs),
    Unfit(AbstentionCode, String),
}

/// What came of one frame.
enum Seen {
    Scored(Vec<LabelScore>),
    Unfit(AbstentionCode, String),
}

/// What came of one instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Analyzed {
    /// Labels, or why there are none.
    pub outcome: Outcome,
    /// The mean brightness of what the network was shown, 0.0 at the lower end of its value range to 1.0 at the upper;
    /// `None` where it was shown nothing.
    pub brightness: Option<f32>,
}

/// What the network sees in the frames of one instance, or why it would not look.
///
/// An image that the card does not fit, that has no frames, or none fit to be read or like those the
/// network learned from, leads to an abstention. Of the frames that are fit, run in parallel, each label keeps the highest probability
/// and the frame that gave it.
///
/// # Errors
///
/// [`InferenceError`]; one bad frame fails the instance.
pub fn analyze(
    network: &Network,
    frames: &[Frame],
    image: &ImageContext,
) -> Result<Analyzed, InferenceError> {
    match ineligibility(&network.card, image) {
        Some(reason) => Ok(unseen(AbstentionCode::NotEligible, reason)),
        None => analyze_forced(network, frames),
    }
}

/// As [`analyze`], whatever the image says that it is of: for evaluation only. What it shows is judged all the same.
///
/// # Errors
///
/// As [`analyze`].
pub fn analyze_forced(network: &Network, frames: &[Frame]) -> Result<Analyzed, InferenceError> {
    if network.card.task == Task::Segmentation3d {
        let reason = "the network takes the slices of a series together".to_owned();
        return Ok(unseen(AbstentionCode::NotEligible, reason));
    }
    if frames.is_empty() {
        return Ok(unseen(AbstentionCode::NoPixels, "the object holds no frames".to_owned()));
    }
    let seen: Vec<(Seen, Option<f32>)> = match frames {
        // Without a detour over other threads.
        [frame] => vec![score(network, frame)?],
        frames => frames.par_iter().map(|frame| score(network, frame)).collect::<Result<_, _>>()?,
    };
    let mut best: Vec<LabelScore> = Vec::new();
    let mut objection = (AbstentionCode::NoPixels, String::new());
    let shown: Vec<f32> = seen.iter().filter_map(|(_, brightness)| *brightness).collect();
    let brightness = (!shown.is_empty()).then(|| shown.iter().sum::<f32>() / shown.len() as f32);
    for (frame, _) in seen {
        match frame {
            Seen::Unfit(code, reason) => objection = (code, reason),
            Seen::Scored(scores) if best.is_empty() => best = scores,
            Seen::Scored(scores) => best = interpret::join(&network.card, best, scores),
        }
    }
    let outcome = if best.is_empty() { abstained(objection.0, objection.1) } else { Outcome::Scored(best) };
    Ok(Analyzed { outcome, brightness })
}

/// The masks of a segmentation network over one frame, by the card's labels in their order: each is handed over before
/// the next one is made. There are none over a frame that [`analyze`] would not score.
///
/// # Errors
///
/// As [`analyze`], of the same frame.
pub fn segment(network: &Network, frame: &Frame, take: &mut dyn FnMut(Mask)) -> Result<(), InferenceError> {
    let card = &network.card;
    if card.task != Task::Segmentation {
        return Ok(());
    }
    if let (Answer::Given(outputs), _) = look(network, frame)? {
        segmentation::masks(card, &card.labels, &outputs, frame)?.for_each(take);
    }
    Ok(())
}

/// What the network says of one frame, unless it is not fit to be scored.
fn score(network: &Network, frame: &Frame) -> Result<(Seen, Option<f32>), InferenceError> {
    let (answer, brightness) = look(network, frame)?;
    let seen = match answer {
        Answer::Given(outputs) => Seen::Scored(interpret::scores(&network.card, &outputs, frame)?),
        Answer::Unfit(code, reason) => Seen::Unfit(code, reason),
    };
    Ok((seen, brightness))
}

/// Prepares one frame and runs the network over it, unless the quality gate objects, or its distance does; with it, how
/// bright is what the network was shown.
fn look(network: &Network, frame: &Frame) -> Result<(Answer, Option<f32>), InferenceError> {
    let input = &network.card.input;
    let prepared =
        prepare(frame, input).map_err(|error| InferenceError::Frame { frame: frame.index, error })?;
    // What is no number would come out as none, and the network would be blamed for the image.
    if !prepared.iter().all(|value| value.is_finite()) {
        let reason = "its look-up tables make values that are not finite".to_owned();
        return Ok((Answer::Unfit(AbstentionCode::PoorQuality, reason), None));
    }
    if let Some(reason) = quality_gate::objection(frame, input, prepared.view()) {
        return Ok((Answer::Unfit(AbstentionCode::PoorQuality, reason), None));
    }
    let brightness = Some(brightness(input, &prepared));
    let outputs = network.run(prepared.view().into_dyn())?;
    let answer = match out_of_distribution::objection(&network.card, &outputs)? {
        Some(reason) => Answer::Unfit(AbstentionCode::OutOfDistribution, reason),
        None => Answer::Given(outputs),
    };
    Ok((answer, brightness))
}

/// The mean of an input's values as parts of its value range.
fn brightness(input: &Input, prepared: &Array4<f32>) -> f32 {
    let [black, white] = input.value_range;
    let channels = prepared.axis_iter(Axis(1)).enumerate().map(|(channel, values)| {
        let (mean, deviation) = input.normalisation(channel);
        let shown = values.mean().unwrap_or_default() * deviation + mean;
        (shown - black) / (white - black)
    });
    channels.sum::<f32>() / input.channels.count() as f32
}

/// Why the card does not fit the image, or `None` if it does.
fn ineligibility(card: &Card, image: &ImageContext) -> Option<String> {
    match card.eligibility(image) {
        Eligibility::Eligible => None,
        Eligibility::Ineligible { reasons } => Some(reasons.join(". ")),
        Eligibility::NotForModality => Some(format!(
            "the network is not meant for this modality, but for {}",
            card.eligibility.modality.join(" or ")
        )),
    }
}

fn abstained(code: AbstentionCode, reason: String) -> Outcome {
    Outcome::Abstained(Abstention { code, reason })
}

fn unseen(code: AbstentionCode, reason: String) -> Analyzed {
    Analyzed { outcome: abstained(code, reason), brightness: None }
}

#[cfg(test)]
mod tests;
