use models::{ReferenceVectors, Registry};
use ndarray::ArrayD;

use super::*;

#[test]
fn our_kernels_keep_the_promises_of_a_backend() {
    crate::conforms(&BlockedBackend::default());
}

/// models/reference: probabilities of ONNX Runtime; 1e-4 is what the engines of the house may differ by.
#[test]
fn our_kernels_agree_with_onnx_runtime_on_every_network_of_the_box() {
    let registry = Registry::built_in();
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_present()) {
        let backend = BlockedBackend::default().with_isa(isa).unwrap();
        for backend in [backend.clone(), backend.exact()] {
            for card in registry.iter() {
                let weights = registry.weights(card).unwrap();
                let network = crate::Network::load(&backend, card, &weights).unwrap();
                let reference = ReferenceVectors::of(card).unwrap().unwrap();
                let difference = network.self_check(&reference).unwrap();
                assert!(difference <= 1e-4, "{} on {isa}: {difference}", card.name);
                let loaded = backend.load(card, &weights).unwrap();
                let coverage = loaded.coverage().unwrap();
                assert!(coverage.share() > 0.99, "{}: {coverage:?}", card.name);
            }
        }
    }
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    let registry = Registry::built_in();
    let card = registry.get("pneumonia224").unwrap();
    let weights = registry.weights(card).unwrap();
    let image =
        ArrayD::from_shape_fn(card.input.shape.as_slice(), |at| ((at[2] * 7 + at[3]) % 13) as f32 / 13.0);
    let answers = [1, 2, 3].map(|threads| {
        let backend = BlockedBackend::default().with_threads(threads).unwrap();
        backend.load(card, &weights).unwrap().run(image.view()).unwrap()
    });
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
}

#[test]
fn an_image_that_holds_no_number_is_refused_before_it_is_spread() {
    let registry = Registry::built_in();
    let card = registry.get("pneumonia28").unwrap();
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_present()) {
        let backend = BlockedBackend::default().with_isa(isa).unwrap();
        let network = backend.load(card, &registry.weights(card).unwrap()).unwrap();
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [[0, 0, 0, 0], [0, 0, 3, 5], [0, 0, 27, 27]] {
                let mut image = ArrayD::zeros(card.input.shape.as_slice());
                image[place] = wrong;
                let refused = network.run(image.view()).unwrap_err();
                assert!(refused.to_string().contains("its input holds an infinite value"), "{refused}");
                // turned, its numbers do not lie side by side
                image.swap_axes(2, 3);
                let refused = network.run(image.view()).unwrap_err();
                assert!(refused.to_string().contains("its input holds an infinite value"), "{refused}");
            }
        }
    }
}

#[test]
fn a_network_that_asks_for_more_memory_than_its_card_allows_is_refused() {
    let registry = Registry::built_in();
    let mut card = registry.get("pneumonia224").unwrap().clone();
    card.run.memory_limit_mib = 1;
    let weights = registry.weights(&card).unwrap();
    let refused = BlockedBackend::default().load(&card, &weights).err().unwrap().to_string();
    assert!(refused.contains("its card allows 1 MiB"), "{refused}");
}

#[test]
fn instructions_that_the_processor_lacks_are_refused() {
    for isa in Isa::ALL {
        assert_eq!(BlockedBackend::default().with_isa(isa).is_ok(), isa.is_present());
    }
}
