//! What parent and child say to each other: a line of JSON and the bytes that it announces, and lines of JSON back.

use std::path::PathBuf;

use inference::{Candidate, Runtime, Runtimes};
use models::{Card, Precision, ReferenceVector, ReferenceVectors};
use serde::{Deserialize, Serialize};

use super::Proof;

/// What the child shall do; the weights and then the reference images follow.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub card: Card,
    pub backend: String,
    pub precision: Precision,
    onnxruntime_library: Option<PathBuf>,
    openvino_library: Option<PathBuf>,
    packed_weights: Option<PathBuf>,
    pub weights_bytes: usize,
    reference: Option<Reference>,
}

/// Reference vectors without their images.
#[derive(Debug, Serialize, Deserialize)]
struct Reference {
    rows: u32,
    columns: u32,
    probabilities: Vec<Vec<f32>>,
}

/// How far the child has come.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// The network is ready.
    Loaded,
    /// It has read one image.
    Ran,
    /// It has answered as its reference vectors say.
    Agreed,
    /// It has shown all.
    Proved(Proof),
    /// The runtime is not there.
    NotAvailable(String),
    /// It has not proved itself.
    Refused {
        /// The stable code.
        code: String,
        /// What to mend.
        reason: String,
    },
}

impl Task {
    pub(super) fn of(
        runtimes: &Runtimes,
        candidate: Candidate,
        card: &Card,
        weights: &[u8],
        reference: Option<&ReferenceVectors>,
    ) -> Self {
        Self {
            card: card.clone(),
            backend: candidate.runtime.as_str().to_owned(),
            precision: candidate.precision,
            onnxruntime_library: runtimes.onnxruntime_library.clone(),
            openvino_library: runtimes.openvino_library.clone(),
            packed_weights: runtimes.packed_weights.clone(),
            weights_bytes: weights.len(),
            reference: reference.map(|reference| Reference {
                rows: reference.rows,
                columns: reference.columns,
                probabilities: reference.vectors.iter().map(|it| it.probabilities.clone()).collect(),
            }),
        }
    }

    /// The runtimes, for one image at a time.
    pub(super) fn runtimes(&self) -> Runtimes {
        Runtimes {
            onnxruntime_library: self.onnxruntime_library.clone(),
            openvino_library: self.openvino_library.clone(),
            packed_weights: self.packed_weights.clone(),
            threads: 1,
        }
    }

    pub(super) fn candidate(&self) -> Option<Candidate> {
        let runtime = Runtime::ALL.into_iter().find(|runtime| runtime.as_str() == self.backend)?;
        Some(Candidate { runtime, precision: self.precision })
    }

    /// The reference vectors, from what followed the weights.
    pub(super) fn reference(&self, images: &[u8]) -> Option<ReferenceVectors> {
        let Reference { rows, columns, probabilities } = self.reference.as_ref()?;
        let size = (*rows as usize * *columns as usize).max(1);
        let vectors =
            images.chunks_exact(size).zip(probabilities).map(|(image, probabilities)| ReferenceVector {
                class: String::new(),
                image: image.to_vec(),
                probabilities: probabilities.clone(),
            });
        Some(ReferenceVectors {
            rows: *rows,
            columns: *columns,
            runtime: String::new(),
            credit: String::new(),
            vectors: vectors.collect(),
        })
    }
}

/// What follows the line.
pub(super) fn body(weights: &[u8], reference: Option<&ReferenceVectors>) -> Vec<u8> {
    let images = reference.into_iter().flat_map(|it| &it.vectors).flat_map(|vector| &vector.image);
    weights.iter().chain(images).copied().collect()
}
