//! What every backend must keep.

use models::{Card, Registry};
use ndarray::{ArrayD, ArrayViewD, Axis, IxDyn};
use rayon::prelude::*;

use super::{InferenceBackend, LoadedNetwork};
use crate::InferenceError;

/// The promises of an [`InferenceBackend`], tried with the small networks of the box; each adapter's tests call this.
///
/// # Panics
///
/// When a promise is broken; the message says which.
pub fn conforms(backend: &dyn InferenceBackend) {
    let registry = Registry::built_in();
    for name in ["pneumonia28", "breast28"] {
        let card = registry.get(name).expect("the network is in the box");
        let weights = registry.weights(card).expect("the box holds its weights");
        let network = backend.load(card, &weights).expect("a sound network loads");
        answers_are_probabilities(card, network.as_ref());
        threads_do_not_disturb_each_other(card, network.as_ref());
        a_wrong_shape_is_an_error(card, network.as_ref());
        broken_weights_are_an_error(backend, card, &weights);
    }
}

fn answers_are_probabilities(card: &Card, network: &dyn LoadedNetwork) {
    for seed in 0..4 {
        let answer = probabilities(card, network, image(card, seed).view());
        assert_eq!(answer.len(), card.outputs.classes.len(), "one probability a class");
        assert!(answer.iter().all(|value| (0.0..=1.0).contains(value)), "each is 0 to 1: {answer:?}");
        assert!((answer.iter().sum::<f32>() - 1.0).abs() < 1e-4, "together they are 1: {answer:?}");
    }
}

fn threads_do_not_disturb_each_other(card: &Card, network: &dyn LoadedNetwork) {
    let alone: Vec<Vec<f32>> =
        (0..8).map(|seed| probabilities(card, network, image(card, seed).view())).collect();
    let together: Vec<Vec<f32>> = (0..64)
        .into_par_iter()
        .map(|seed| probabilities(card, network, image(card, seed % 8).view()))
        .collect();
    for (index, answer) in together.iter().enumerate() {
        assert_eq!(answer, &alone[index % 8], "the same input gives the same bits, on any thread");
    }
}

fn a_wrong_shape_is_an_error(card: &Card, network: &dyn LoadedNetwork) {
    let (channels, rows, columns) = (card.input.channels.count(), card.input.rows(), card.input.columns());
    for shape in [
        vec![],
        vec![rows, columns],
        vec![2, channels, rows, columns],
        vec![1, 3, rows, columns],
        vec![1, channels, rows + 1, columns],
        vec![1, channels, 0, columns],
    ] {
        let refused = network.run(ArrayD::zeros(IxDyn(&shape)).view());
        assert!(
            matches!(refused, Err(InferenceError::WrongShape { .. })),
            "an input of shape {shape:?} is refused"
        );
    }
    let turned = image(card, 1);
    let mut view = turned.view();
    view.swap_axes(2, 3);
    let copied =
        ArrayD::from_shape_vec(view.raw_dim(), view.iter().copied().collect()).expect("the same shape");
    let (strided, packed) = (probabilities(card, network, view), probabilities(card, network, copied.view()));
    assert_eq!(strided, packed, "values count, not how they lie in memory");
}

fn broken_weights_are_an_error(backend: &dyn InferenceBackend, card: &Card, weights: &[u8]) {
    let half = &weights[..weights.len() / 2];
    for broken in [&[][..], b"<html>not a network</html>", half] {
        let refused = backend.load(card, broken).err();
        assert!(refused.is_some(), "{} bytes that are no network are refused", broken.len());
    }
}

fn probabilities(card: &Card, network: &dyn LoadedNetwork, input: ArrayViewD<'_, f32>) -> Vec<f32> {
    let outputs = network.run(input).expect("a sound network runs");
    outputs[card.outputs.answer()].index_axis(Axis(0), 0).iter().copied().collect()
}

/// A picture of stripes whose brightness and width hang on the seed.
fn image(card: &Card, seed: u32) -> ArrayD<f32> {
    ArrayD::from_shape_fn(IxDyn(card.input.shape.as_slice()), |at| {
        let stripe = (at[2] as u32 * (seed + 1) + at[3] as u32 * 3) % 17;
        stripe as f32 / 17.0 * (1.0 - seed as f32 * 0.1).max(0.1)
    })
}
