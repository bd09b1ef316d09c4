//! The seam to whatever multiplies the matrices.

pub(crate) mod conformance;
pub(crate) mod fake;
pub(crate) mod tract;

use std::collections::BTreeMap;

use models::Card;
use ndarray::{ArrayD, ArrayViewD};

use crate::InferenceError;

/// A network's answers, by the names on its card.
pub type Outputs = BTreeMap<String, ArrayD<f32>>;

/// A runtime for networks; each one keeps what [`crate::conforms`] asks.
pub trait InferenceBackend: Send + Sync {
    /// The runtime's name, for logs and people.
    fn name(&self) -> &'static str;

    /// Makes a network ready to run; the weights have proved to be the card's.
    ///
    /// # Errors
    ///
    /// [`InferenceError::NotLoaded`] for weights that are no network or hold what the runtime does not know;
    /// [`InferenceError::CardMismatch`] for tensors other than the card's.
    fn load(&self, card: &Card, weights: &[u8]) -> Result<Box<dyn LoadedNetwork>, InferenceError>;
}

/// A network that is ready; many threads may run it at once, each with one image.
pub trait LoadedNetwork: Send + Sync {
    /// Every output that the card names, for an input of the card's shape.
    ///
    /// # Errors
    ///
    /// [`InferenceError::WrongShape`], or [`InferenceError::NotRun`] when the runtime fails.
    fn run(&self, input: ArrayViewD<'_, f32>) -> Result<Outputs, InferenceError>;
}

/// The outputs that a card names, the probabilities first.
pub(crate) fn named_outputs(card: &Card) -> Vec<&str> {
    let outputs = &card.outputs;
    [Some(&outputs.probabilities), outputs.cam.as_ref(), outputs.embedding.as_ref()]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect()
}

/// `Ok` if an input has the shape that the network takes.
pub(crate) fn check_shape(expected: &[usize], input: &ArrayViewD<'_, f32>) -> Result<(), InferenceError> {
    if input.shape() == expected {
        return Ok(());
    }
    Err(InferenceError::WrongShape { expected: expected.to_vec(), found: input.shape().to_vec() })
}
