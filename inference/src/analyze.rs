//! One network over one instance.

use clinical::imaging::{
    Abstention, AbstentionCode, DecodeRequest, Frame, FrameSelection, ImageContext, LabelScore, Outcome,
};
use models::{Card, Eligibility, ReferenceVectors};
use ndarray::{ArrayView4, ArrayViewD};
use rayon::prelude::*;

use crate::interpret::classification;
use crate::{InferenceBackend, InferenceError, LoadedNetwork, prepare, quality_gate};

/// The most that a probability may differ from a reference vector's.
const REFERENCE_TOLERANCE: f32 = 1e-4;

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

    /// What the network wants decoded: at most so many frames as its card says, at full size.
    pub fn decode_request(&self) -> DecodeRequest {
        DecodeRequest { frames: FrameSelection::Spread(self.card.input.frames_at_most), least_size: None }
    }

    /// Runs the reference vectors; gives the largest difference of a probability.
    ///
    /// # Errors
    ///
    /// [`InferenceError::NotReference`] for a difference above 1e-4; else as [`analyze`].
    pub fn self_check(&self, reference: &ReferenceVectors) -> Result<f32, InferenceError> {
        let mut difference = 0.0_f32;
        for vector in &reference.vectors {
            let input: Vec<f32> = vector.image.iter().map(|grey| f32::from(*grey) / 255.0).collect();
            let shape = [1, 1, reference.rows as usize, reference.columns as usize];
            let input = ArrayViewD::from_shape(shape.to_vec(), &input)
                .map_err(|error| InferenceError::NotRun(error.to_string()))?;
            let outputs = self.loaded.run(input)?;
            let found = classification::probabilities(&self.card, &outputs)?;
            for (found, expected) in found.iter().zip(&vector.probabilities) {
                difference = difference.max((found - expected).abs());
            }
        }
        if difference <= REFERENCE_TOLERANCE {
            return Ok(difference);
        }
        Err(InferenceError::NotReference { difference, allowed: REFERENCE_TOLERANCE })
    }

    /// What the network says of one prepared image.
    fn score(&self, frame: u32, input: ArrayView4<'_, f32>) -> Result<Vec<LabelScore>, InferenceError> {
        let outputs = self.loaded.run(input.into_dyn())?;
        classification::labels(&self.card, &outputs, frame)
    }
}

/// What came of one frame.
enum Seen {
    Scored(Vec<LabelScore>),
    Unfit(String),
}

/// What the network sees in the frames of one instance, or why it would not look.
///
/// An image that the card does not fit, that has no frames, or none fit to be read, leads to an
/// abstention. Of the frames that are fit, run in parallel, each label keeps the highest probability
/// and the frame that gave it.
///
/// # Errors
///
/// [`InferenceError`]; one bad frame fails the instance.
pub fn analyze(network: &Network, frames: &[Frame], image: &ImageContext) -> Result<Outcome, InferenceError> {
    if let Some(reason) = ineligibility(&network.card, image) {
        return Ok(abstained(AbstentionCode::NotEligible, reason));
    }
    if frames.is_empty() {
        return Ok(abstained(AbstentionCode::NoPixels, "the object holds no frames".to_owned()));
    }
    let seen: Vec<Seen> = frames.par_iter().map(|frame| look(network, frame)).collect::<Result<_, _>>()?;
    let mut best: Vec<LabelScore> = Vec::new();
    let mut objection = String::new();
    for frame in seen {
        match frame {
            Seen::Unfit(reason) => objection = reason,
            Seen::Scored(scores) if best.is_empty() => best = scores,
            Seen::Scored(scores) => keep_the_higher(&mut best, scores),
        }
    }
    if best.is_empty() {
        Ok(abstained(AbstentionCode::PoorQuality, objection))
    } else {
        Ok(Outcome::Scored(best))
    }
}

/// Prepares one frame and runs the network over it, unless the quality gate objects.
fn look(network: &Network, frame: &Frame) -> Result<Seen, InferenceError> {
    let input = &network.card.input;
    let prepared =
        prepare(frame, input).map_err(|error| InferenceError::Frame { frame: frame.index, error })?;
    match quality_gate::objection(frame, input, prepared.view()) {
        Some(reason) => Ok(Seen::Unfit(reason)),
        None => network.score(frame.index, prepared.view()).map(Seen::Scored),
    }
}

/// Label by label, the score with the higher probability; of equal ones the earlier frame's.
fn keep_the_higher(best: &mut [LabelScore], scores: Vec<LabelScore>) {
    for (best, score) in best.iter_mut().zip(scores) {
        if score.probability > best.probability {
            *best = score;
        }
    }
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

#[cfg(test)]
mod tests {
    use clinical::imaging::{Photometric, Samples};
    use models::Registry;

    use super::*;
    use crate::{FakeBackend, TractBackend};

    fn network(backend: &dyn InferenceBackend, name: &str) -> Network {
        let registry = Registry::built_in();
        let card = registry.get(name).unwrap();
        Network::load(backend, card, &registry.weights(card).unwrap()).unwrap()
    }

    fn child() -> ImageContext {
        ImageContext {
            modality: Some("DX".to_owned()),
            body_part: Some("CHEST".to_owned()),
            view_position: Some("AP".to_owned()),
            age_years: Some(4.0),
            photometric_interpretation: Some("MONOCHROME2".to_owned()),
            frame_count: Some(1),
            ..ImageContext::default()
        }
    }

    fn frame(index: u32, side: u32, pixels: Vec<u8>) -> Frame {
        Frame {
            index,
            rows: side,
            columns: side,
            samples_per_pixel: 1,
            bits_stored: 8,
            samples: Samples::U8(pixels),
            photometric: Photometric::Monochrome2,
            modality_lut: None,
            voi_lut: None,
            padding: None,
        }
    }

    /// A chequered 28x28 frame of this mean brightness.
    fn chequered(index: u32, mean: u8) -> Frame {
        frame(
            index,
            28,
            (0..28 * 28).map(|at| if (at + at / 28) % 2 == 0 { mean - 10 } else { mean + 10 }).collect(),
        )
    }

    fn abstention(outcome: Outcome) -> Abstention {
        match outcome {
            Outcome::Abstained(abstention) => abstention,
            Outcome::Scored(scores) => panic!("{scores:?}"),
        }
    }

    /// models/reference: what ONNX Runtime says of the same images.
    #[test]
    fn the_reference_images_get_their_probabilities_all_the_way() {
        for name in ["pneumonia224", "pneumonia28"] {
            let network = network(&TractBackend, name);
            let reference = ReferenceVectors::of(network.card()).unwrap().unwrap();
            for vector in &reference.vectors {
                let outcome =
                    analyze(&network, &[frame(0, reference.rows, vector.image.clone())], &child()).unwrap();
                let Outcome::Scored(scores) = outcome else { panic!("a child's chest is eligible") };
                assert!((scores[0].probability - (1.0 - vector.probabilities[0])).abs() < 1e-4, "{name}");
            }
        }
    }

    #[test]
    fn each_label_keeps_the_frame_that_gave_the_most() {
        let network = network(&FakeBackend::by_brightness(), "pneumonia28");
        let frames = [chequered(3, 60), chequered(5, 200), chequered(9, 120)];
        let Outcome::Scored(scores) = analyze(&network, &frames, &child()).unwrap() else {
            panic!("it looks")
        };
        assert_eq!(scores[0].frame, 5);
        assert!((scores[0].probability - 200.0 / 255.0).abs() < 1e-3);
    }

    #[test]
    fn an_adult_gets_an_abstention_that_says_why() {
        let network = network(&FakeBackend::by_brightness(), "pneumonia28");
        let adult = ImageContext { age_years: Some(43.0), ..child() };
        let abstention = abstention(analyze(&network, &[chequered(0, 100)], &adult).unwrap());
        assert_eq!(abstention.code, AbstentionCode::NotEligible);
        assert!(abstention.reason.contains("43 years"), "{}", abstention.reason);
    }

    #[test]
    fn another_modality_gets_an_abstention_too_when_it_is_asked_for_by_name() {
        let network = network(&FakeBackend::by_brightness(), "pneumonia28");
        let ct = ImageContext { modality: Some("CT".to_owned()), ..child() };
        let abstention = abstention(analyze(&network, &[chequered(0, 100)], &ct).unwrap());
        assert_eq!(abstention.reason, "the network is not meant for this modality, but for CR or DX");
    }

    #[test]
    fn an_image_without_frames_contrast_or_size_is_not_read() {
        let network = network(&FakeBackend::by_brightness(), "pneumonia28");
        for (frames, code, hint) in [
            (vec![], AbstentionCode::NoPixels, "no frames"),
            (vec![frame(0, 28, vec![77; 28 * 28])], AbstentionCode::PoorQuality, "no contrast"),
            (vec![frame(0, 4, (0..16).map(|at| at * 16).collect())], AbstentionCode::PoorQuality, "4 rows"),
        ] {
            let abstention = abstention(analyze(&network, &frames, &child()).unwrap());
            assert_eq!(abstention.code, code);
            assert!(abstention.reason.contains(hint), "{}", abstention.reason);
        }
    }

    #[test]
    fn an_empty_frame_among_others_is_passed_over() {
        let network = network(&FakeBackend::by_brightness(), "pneumonia28");
        let frames = [frame(0, 28, vec![255; 28 * 28]), chequered(1, 100)];
        let Outcome::Scored(scores) = analyze(&network, &frames, &child()).unwrap() else {
            panic!("it looks")
        };
        assert_eq!(scores[0].frame, 1);
    }

    #[test]
    fn an_answer_that_is_not_finite_is_an_error_and_no_finding() {
        let network = network(&FakeBackend::answering(vec![f32::NAN, 1.0]), "pneumonia28");
        let refused = analyze(&network, &[chequered(0, 100)], &child());
        assert_eq!(refused, Err(InferenceError::NotFinite("probabilities".to_owned())));
    }

    #[test]
    fn a_frame_that_contradicts_itself_fails_the_instance_and_is_named() {
        let network = network(&FakeBackend::by_brightness(), "pneumonia28");
        let refused = analyze(&network, &[chequered(0, 100), frame(6, 28, vec![0; 5])], &child());
        assert!(matches!(refused, Err(InferenceError::Frame { frame: 6, .. })), "{refused:?}");
    }

    #[test]
    fn a_network_that_left_its_reference_is_found_out() {
        let network = network(&FakeBackend::by_brightness(), "pneumonia28");
        let reference = ReferenceVectors::of(network.card()).unwrap().unwrap();
        assert!(matches!(network.self_check(&reference), Err(InferenceError::NotReference { .. })));
    }

    #[test]
    fn a_long_instance_is_sampled() {
        let network = network(&FakeBackend::by_brightness(), "pneumonia28");
        assert_eq!(network.decode_request().frames.of(1), [0]);
        assert_eq!(network.decode_request().frames.of(500).len(), 16);
    }
}
