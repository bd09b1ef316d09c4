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

    fn abstention(analyzed: Analyzed) -> Abstention {
        match analyzed.outcome {
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
                let Outcome::Scored(scores) = outcome.outcome else { panic!("a child's chest is eligible") };
                assert!((scores[0].probability - (1.0 - vector.probabilities[0])).abs() < 1e-4, "{name}");
            }
        }
    }

    /// Children upside down, on their side, and in negative: none of them like those the network learned from.
    #[test]
    fn an_image_unlike_those_it_learned_from_is_not_scored_even_when_forced() {
        let network = network(&TractBackend, "pneumonia224");
        let reference = ReferenceVectors::of(network.card()).unwrap().unwrap();
        let side = reference.rows as usize;
        for vector in &reference.vectors {
            let image = &vector.image;
            let negative: Vec<u8> = image.iter().map(|grey| 255 - grey).collect();
            let turned = (0..side * side).map(|at| image[(at % side) * side + at / side]).collect();
            let noise = (0..side * side).map(|at| (at.wrapping_mul(2_654_435_761) >> 7) as u8).collect();
            for pixels in [negative, turned, noise] {
                let frames = [frame(0, reference.rows, pixels)];
                for outcome in [analyze(&network, &frames, &child()), analyze_forced(&network, &frames)] {
                    let abstention = abstention(outcome.unwrap());
                    assert_eq!(abstention.code, AbstentionCode::OutOfDistribution);
                    assert!(abstention.reason.contains("times the limit"), "{}", abstention.reason);
                }
            }
        }
    }

    /// A MONOCHROME2 image that says MONOCHROME1 is shown in negative.
    #[test]
    fn a_chest_of_the_wrong_photometric_interpretation_is_not_scored() {
        let network = network(&TractBackend, "pneumonia224");
        let reference = ReferenceVectors::of(network.card()).unwrap().unwrap();
        for vector in &reference.vectors {
            let right = frame(0, reference.rows, vector.image.clone());
            let wrong = Frame { photometric: Photometric::Monochrome1, ..right };
            let abstention = abstention(analyze(&network, &[wrong], &child()).unwrap());
            assert_eq!(abstention.code, AbstentionCode::OutOfDistribution);
        }
    }

    /// By ONNX Runtime 1.31 with the same weights: what numpy says of the statistics, to the fourth digit.
    #[test]
    fn the_distance_is_that_of_another_runtime() {
        for (name, expected) in [
            ("pneumonia224", &[25.061186_f32, 24.930376][..]),
            ("pneumonia28", &[17.804375, 16.307697, 18.449514, 23.930439]),
            ("breast28", &[14.759596, 12.127199, 11.609802, 15.007439]),
        ] {
            let network = network(&TractBackend, name);
            let reference = ReferenceVectors::of(network.card()).unwrap().unwrap();
            for (vector, expected) in reference.vectors.iter().zip(expected) {
                let input = network.input_of(&reference, &vector.image).unwrap();
                let found = network.run(input.view()).unwrap()["distance"][[0, 0]];
                assert!((found - expected).abs() < 1e-4 * expected, "{name}: {found}, not {expected}");
            }
        }
    }

    #[test]
    fn a_child_without_an_age_is_scored() {
        let network = network(&TractBackend, "pneumonia224");
        let reference = ReferenceVectors::of(network.card()).unwrap().unwrap();
        let ageless = ImageContext { age_years: None, ..child() };
        let frames = [frame(0, reference.rows, reference.vectors[0].image.clone())];
        assert!(matches!(analyze(&network, &frames, &ageless).unwrap().outcome, Outcome::Scored(_)));
    }

    #[test]
    fn each_label_keeps_the_frame_that_gave_the_most() {
        let network = network(&FakeBackend::by_brightness(), "pneumonia28");
        let frames = [chequered(3, 60), chequered(5, 200), chequered(9, 120)];
        let Outcome::Scored(scores) = analyze(&network, &frames, &child()).unwrap().outcome else {
            panic!("it looks")
        };
        assert_eq!(scores[0].frame, 5);
        assert!((scores[0].probability - 200.0 / 255.0).abs() < 1e-3);
    }

    /// The mean of 60, 200 and 120 of 255.
    #[test]
    fn it_is_told_how_bright_what_the_network_was_shown_is() {
        let network = network(&FakeBackend::by_brightness(), "pneumonia28");
        let frames = [chequered(3, 60), chequered(5, 200), chequered(9, 120)];
        let brightness = analyze(&network, &frames, &child()).unwrap().brightness.unwrap();
        assert!((brightness - 380.0 / 3.0 / 255.0).abs() < 1e-3, "{brightness}");
        let adult = ImageContext { age_years: Some(43.0), ..child() };
        assert_eq!(analyze(&network, &frames, &adult).unwrap().brightness, None, "it was shown nothing");
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
        let Outcome::Scored(scores) = analyze(&network, &frames, &child()).unwrap().outcome else {
            panic!("it looks")
        };
        assert_eq!(scores[0].frame, 1);
    }

    /// Far from all images, and with an answer that is none.
    struct Afar;

    impl LoadedNetwork for Afar {
        fn run(&self, _: ArrayViewD<'_, f32>) -> Result<Outputs, InferenceError> {
            let of = |name: &str, value| (name.to_owned(), ArrayD::from_elem(IxDyn(&[1, 1]), value));
            Ok(Outputs::from([of("distance", 1e9), of("probabilities", 7.0)]))
        }
    }

    #[test]
    fn nothing_is_made_of_an_answer_to_an_image_that_is_out_of_distribution() {
        let card = Registry::built_in().get("pneumonia28").unwrap().clone();
        let network = Network { card, backend: "afar", loaded: Box::new(Afar) };
        let abstention = abstention(analyze(&network, &[chequered(0, 100)], &child()).unwrap());
        assert_eq!(abstention.code, AbstentionCode::OutOfDistribution);
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

    #[test]
    fn only_a_card_that_allows_it_has_less_than_the_whole_image_decoded() {
        let mut network = network(&FakeBackend::by_brightness(), "pneumonia224");
        assert_eq!(network.decode_request().least_size, Some((448, 448)));
        network.card.input.reduced_decoding = false;
        assert_eq!(network.decode_request().least_size, None);
    }
}
