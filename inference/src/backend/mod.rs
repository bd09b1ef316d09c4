//! The seam to whatever multiplies the matrices.

pub(crate) mod blocked;
mod bounds;
pub(crate) mod conformance;
pub(crate) mod fake;
pub(crate) mod library;
pub(crate) mod onnx_file;
mod onnx_parts;
pub(crate) mod onnxruntime;
pub(crate) mod openvino;
mod pool;
pub(crate) mod tract;

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use models::{Card, Precision};
use ndarray::{ArrayD, ArrayViewD};

use crate::InferenceError;

/// The longest message of a runtime that is passed on, in characters.
const MAX_REASON: usize = 400;

/// A network's answers, by the names on its card.
pub type Outputs = BTreeMap<String, ArrayD<f32>>;

/// How much of a network our own kernels compute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Multiplications of all convolutions and products of one run.
    pub multiplications: u64,
    /// Those of them that are ours.
    pub covered: u64,
    /// The regions, in the order in which they run.
    pub regions: Vec<RegionFigures>,
    /// How often an operator that is not ours takes what a region gives, by the operator's name.
    pub ended_by: BTreeMap<String, usize>,
}

impl Coverage {
    /// The share that is ours, 0.0 to 1.0; 0.0 where nothing is multiplied.
    pub fn share(&self) -> f64 {
        if self.multiplications == 0 { 0.0 } else { self.covered as f64 / self.multiplications as f64 }
    }

    /// Bytes that one image needs while it runs.
    pub fn memory_bytes(&self) -> u64 {
        self.regions.iter().map(|it| it.memory_bytes).sum()
    }

    /// Bytes of packed weights.
    pub fn weights_bytes(&self) -> u64 {
        self.regions.iter().map(|it| it.weights_bytes).sum()
    }
}

/// One region of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegionFigures {
    /// Steps of its plan.
    pub steps: usize,
    /// Multiplications of one image.
    pub multiplications: u64,
    /// Bytes for the values of one image.
    pub memory_bytes: u64,
    /// Bytes of packed weights.
    pub weights_bytes: u64,
}

/// A runtime for networks; each one keeps what [`crate::conforms`] asks.
pub trait InferenceBackend: Send + Sync {
    /// The runtime's name, for logs and people.
    fn name(&self) -> &'static str;

    /// The runtime's own version.
    fn version(&self) -> String;

    /// Makes a network ready to run; the weights have proved to be the card's.
    ///
    /// # Errors
    ///
    /// [`InferenceError::NotLoaded`] for weights that are no network or hold what the runtime does not know;
    /// [`InferenceError::UnsupportedOperator`] where it says which; [`InferenceError::ExternalData`] for weights that
    /// lie in other files; [`InferenceError::CardMismatch`] for tensors other than the card's.
    fn load(&self, card: &Card, weights: &[u8]) -> Result<Box<dyn LoadedNetwork>, InferenceError>;

    /// Whether a network that was loaded before is ready sooner, since what was made of its weights is kept.
    fn keeps_packed_weights(&self) -> bool {
        false
    }
}

/// A network that is ready; many threads may run it at once, each with one image.
pub trait LoadedNetwork: Send + Sync {
    /// Every output that is read of the card's, for an input of the card's shape.
    ///
    /// # Errors
    ///
    /// [`InferenceError::WrongShape`], or [`InferenceError::NotRun`] when the runtime fails.
    fn run(&self, input: ArrayViewD<'_, f32>) -> Result<Outputs, InferenceError>;

    /// Returns once nothing is done beside it any more, so that what is timed is its own work.
    fn settle(&self) {}

    /// How much of it our own kernels compute; `None` for a foreign runtime.
    fn coverage(&self) -> Option<&Coverage> {
        None
    }

    /// The numbers that it reckons in.
    fn precision(&self) -> Precision {
        Precision::F32
    }
}

/// `Ok` if an input has the shape that the network takes.
pub(crate) fn check_shape(expected: &[usize], input: &ArrayViewD<'_, f32>) -> Result<(), InferenceError> {
    if input.shape() == expected {
        return Ok(());
    }
    Err(InferenceError::WrongShape { expected: expected.to_vec(), found: input.shape().to_vec() })
}

/// What `work` gives; an error or a panic inside a runtime becomes its message.
pub(crate) fn guarded<T, E: fmt::Display>(work: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(format!("{error:#}").chars().take(MAX_REASON).collect()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let said = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it said nothing");
            let said: String = said.chars().take(MAX_REASON).collect();
            Err(format!("the runtime cannot do what is asked of it, and broke off: {said}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_that_panics_is_an_error_that_says_why() {
        let divided = guarded(|| -> Result<u32, String> { Ok(1_u32.checked_div(0).expect("no zero")) });
        assert!(divided.unwrap_err().ends_with("broke off: no zero"));
        let sides = [0_usize; 2];
        let wide = guarded(|| -> Result<usize, String> { panic!("{} sides", sides.len()) });
        assert!(wide.unwrap_err().ends_with("broke off: 2 sides"));
    }
}
