//! Makes networks ready: chooses the runtime, once the network has proved itself on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use inference::{BackendChoice, Candidate, InferenceBackend, InferenceError, Network, Runtime, Runtimes};
use models::{Card, ReferenceError, ReferenceVectors, Registry};

use crate::proof::{Proof, ProofError, Prover};

/// Loads networks by the settings.
pub struct Loader {
    runtimes: Runtimes,
    choice: BackendChoice,
    prover: Prover,
    /// Hashes of the networks of the box, which the tests of this program have proved on the runtime in the binary.
    in_the_box: Vec<String>,
    opened: Mutex<HashMap<Candidate, Arc<dyn InferenceBackend>>>,
}

/// Why a network is not ready.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// No word on the network: what would run it is not there.
    #[error("{0}")]
    NotTried(String),
    /// The network is not to be run.
    #[error("{reason}")]
    Unfit {
        /// The stable code.
        code: String,
        /// What to mend.
        reason: String,
    },
}

impl LoadError {
    /// The stable code of the problem.
    pub fn code(&self) -> &str {
        match self {
            Self::NotTried(_) => "runtime-missing",
            Self::Unfit { code, .. } => code,
        }
    }
}

impl From<ProofError> for LoadError {
    fn from(error: ProofError) -> Self {
        match error {
            ProofError::NotTried(_) => Self::NotTried(error.to_string()),
            _ => Self::Unfit { code: error.code().to_owned(), reason: error.to_string() },
        }
    }
}

impl From<InferenceError> for LoadError {
    fn from(error: InferenceError) -> Self {
        match error {
            InferenceError::NotAvailable { .. } => Self::NotTried(error.to_string()),
            _ => Self::Unfit { code: error.code().to_owned(), reason: error.to_string() },
        }
    }
}

impl From<ReferenceError> for LoadError {
    fn from(error: ReferenceError) -> Self {
        Self::Unfit { code: "reference-misfit".to_owned(), reason: error.to_string() }
    }
}

impl Loader {
    /// A loader; nothing is opened yet.
    pub fn new(runtimes: Runtimes, choice: BackendChoice, prover: Prover) -> Self {
        let in_the_box = Registry::built_in().iter().map(|card| card.sha256.clone()).collect();
        Self { runtimes, choice, prover, in_the_box, opened: Mutex::default() }
    }

    /// Which runtime is wanted.
    pub fn choice(&self) -> BackendChoice {
        self.choice
    }

    /// Where the runtimes are.
    pub fn runtimes(&self) -> &Runtimes {
        &self.runtimes
    }

    /// The network, ready, on the wanted runtime or on the fastest that it has proved itself on.
    ///
    /// # Errors
    ///
    /// [`LoadError::Unfit`] for a network that is not to be run, [`LoadError::NotTried`] where the wanted runtime is not there.
    pub fn load(&self, card: &Card, weights: &[u8]) -> Result<Network, LoadError> {
        self.load_by(card, weights, ReferenceVectors::of(card)?.as_ref())
    }

    /// As [`Loader::load`], with reference vectors that are not in the box.
    ///
    /// # Errors
    ///
    /// As [`Loader::load`].
    pub fn load_by(
        &self,
        card: &Card,
        weights: &[u8],
        reference: Option<&ReferenceVectors>,
    ) -> Result<Network, LoadError> {
        let candidate = self.choose(card, weights, reference)?;
        let backend = self.open(candidate)?;
        let network = Network::load(backend.as_ref(), card, weights)?;
        tracing::info!(network = card.title(), backend = %candidate, version = backend.version(), "a network is ready");
        Ok(network)
    }

    fn choose(
        &self,
        card: &Card,
        weights: &[u8],
        reference: Option<&ReferenceVectors>,
    ) -> Result<Candidate, LoadError> {
        let candidates = self.runtimes.candidates(self.choice, card);
        if let [only] = candidates.as_slice()
            && only.runtime == Runtime::Tract
            && self.in_the_box.contains(&card.sha256)
        {
            return Ok(*only);
        }
        let mut proved: Vec<(Candidate, Proof)> = Vec::new();
        let mut failed: Option<LoadError> = None;
        for candidate in candidates {
            match self.prover.proof(&self.runtimes, candidate, card, weights, reference) {
                Ok(proof) => proved.push((candidate, proof)),
                Err(error) => {
                    tracing::warn!(network = card.title(), backend = %candidate, %error, "a network did not prove itself");
                    let error = LoadError::from(error);
                    // What says something of the network says more than that a runtime is not there.
                    if !matches!(failed, Some(LoadError::Unfit { .. })) {
                        failed = Some(error);
                    }
                }
            }
        }
        let fastest = proved.iter().min_by(|(_, one), (_, other)| one.run_ms.total_cmp(&other.run_ms));
        let Some((candidate, _)) = fastest else {
            return Err(failed.unwrap_or_else(|| LoadError::NotTried("there is no runtime".to_owned())));
        };
        if proved.len() > 1 {
            let measured: Vec<String> = proved
                .iter()
                .map(|(candidate, proof)| format!("{candidate} {:.1} ms", proof.run_ms))
                .collect();
            let measured = measured.join(", ");
            tracing::info!(network = card.title(), backend = %candidate, measured, "the fastest that passes is chosen");
        }
        Ok(*candidate)
    }

    fn open(&self, candidate: Candidate) -> Result<Arc<dyn InferenceBackend>, LoadError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(backend) = opened.get(&candidate) {
            return Ok(Arc::clone(backend));
        }
        let backend: Arc<dyn InferenceBackend> = Arc::from(self.runtimes.open(candidate)?);
        opened.insert(candidate, Arc::clone(&backend));
        Ok(backend)
    }
}
