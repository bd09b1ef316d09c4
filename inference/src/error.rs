//! Why a network gave no answer, not even an abstention.

use crate::PrepareError;

/// A failure of the network or of the values around it; the instance stays without a finding.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InferenceError {
    /// The runtime is not there, or not in a version that serves.
    #[error("{backend} is not available: {reason}")]
    NotAvailable {
        /// The backend.
        backend: &'static str,
        /// What is missing.
        reason: String,
    },
    /// The network needs operators that the backend does not have.
    #[error("{backend} does not run {network}: it has no operator {}", operators.join(", "))]
    UnsupportedOperator {
        /// The backend.
        backend: &'static str,
        /// Name and version of the network.
        network: String,
        /// The operators, as the file names them.
        operators: Vec<String>,
    },
    /// Tensors of the network lie in other files; no path in a network that comes as bytes is followed.
    #[error(
        "{network} keeps its tensor {tensor:?} in another file, {file:?}: store all tensors in the ONNX file itself (medilink models add brings in those of the main graph from files beside it)"
    )]
    ExternalData {
        /// Name and version of the network.
        network: String,
        /// The first such tensor; empty where it is not known.
        tensor: String,
        /// Its file as the network says it.
        file: String,
    },
    /// The file is something else than a network.
    #[error("the file is no ONNX network: {0}")]
    NotOnnx(String),
    /// The network's file alone does not say how it is run.
    #[error("the network needs a card to run: {0}")]
    NoCard(&'static str),
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
    /// Boxes or a mask of a shape that says nothing.
    #[error("the network's output {output} has shape {found:?}, it must be {expected}")]
    OutputShape {
        /// The output.
        output: String,
        /// In words.
        expected: String,
        /// As it came.
        found: Vec<usize>,
    },
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

impl InferenceError {
    /// The stable code of the problem.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAvailable { .. } => "runtime-missing",
            Self::UnsupportedOperator { .. } => "unsupported-operator",
            Self::ExternalData { .. } => "external-data",
            Self::NotOnnx(_) | Self::NotLoaded { .. } => "network-unreadable",
            Self::NoCard(_) | Self::CardMismatch { .. } => "card-mismatch",
            Self::WrongShape { .. } => "wrong-shape",
            Self::NotRun(_) => "network-failed",
            Self::NotFinite(_) => "not-finite",
            Self::NotProbabilities(_) => "not-probabilities",
            Self::Frame { .. } => "frame-unfit",
            Self::Reference(_) => "reference-misfit",
            Self::NotReference { .. } => "not-reference",
            Self::OutputShape { .. } => "output-shape",
        }
    }
}
