//! Why a network gave no answer, not even an abstention.

use crate::PrepareError;

/// A failure of the network or of the values around it; the instance stays without a finding.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InferenceError {
    /// The weights are no network that the backend runs.
    #[error("{backend} does not load {network}: {reason}")]
    NotLoaded {
        /// The backend.
        backend: &'static str,
        /// Name and version of the network.
        network: String,
        /// What the backend says.
        reason: String,
    },
    /// The network does not have what its card says.
    #[error("{network} does not fit its card: {what}")]
    CardMismatch {
        /// Name and version of the network.
        network: String,
        /// Which part, as it is and as the card has it.
        what: String,
    },
    /// An input of another shape than the card's.
    #[error("the input has shape {found:?}, the network takes {expected:?}")]
    WrongShape {
        /// What the network takes.
        expected: Vec<usize>,
        /// What was given.
        found: Vec<usize>,
    },
    /// The backend failed while running.
    #[error("the network failed: {0}")]
    NotRun(String),
    /// An output holds NaN or an infinity.
    #[error("the network's output {0} is not finite")]
    NotFinite(String),
    /// An output that should be probabilities is not.
    #[error("the network's output {0} holds no probabilities: they must be 0 to 1 and together 1")]
    NotProbabilities(String),
    /// A frame cannot be made into an input.
    #[error("frame {frame} does not fit: {error}")]
    Frame {
        /// The frame, counted from 0.
        frame: u32,
        /// Why.
        error: PrepareError,
    },
    /// The reference vectors of the box do not read.
    #[error(transparent)]
    Reference(#[from] models::ReferenceError),
    /// The network answers otherwise than its reference vectors say.
    #[error("the network is {difference} away from its reference vectors, {allowed} is allowed")]
    NotReference {
        /// The largest difference of a probability.
        difference: f32,
        /// The largest that is allowed.
        allowed: f32,
    },
}
