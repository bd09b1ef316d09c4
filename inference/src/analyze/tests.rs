//! Images by hand, the reference images, and networks that answer what the tests tell them to.

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

/// Its own distance was fitted on images that were made small as here: it knows a child whose image is larger.
#[test]
fn the_small_network_scores_children_whose_images_are_larger() {
    let network = network(&TractBackend, "pneumonia28");
    let larger = ReferenceVectors::of(Registry::built_in().get("pneumonia224").unwrap()).unwrap().unwrap();
    for vector in &larger.vectors {
        let frame = frame(0, larger.rows, vector.image.clone());
        let outcome = analyze(&network, &[frame], &child()).unwrap().outcome;
        assert!(matches!(outcome, Outcome::Scored(_)), "{outcome:?}");
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
        ("pneumonia28", &[16.453817, 17.444494, 21.25677, 23.791368]),
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
