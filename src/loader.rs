//! Makes networks ready: chooses the runtime, once the network has proved itself on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use inference::{BackendChoice, Candidate, InferenceBackend, InferenceError, Network, Runtime, Runtimes};
use models::{Card, Precision, ReferenceError, ReferenceVectors, Registry};

use crate::proof::{Proof, ProofError, Prover};

/// Loads networks by the settings.
pub struct Loader {
    runtimes: Runtimes,
    choice: BackendChoice,
    prover: Prover,
    /// The cards of the box, whose networks the tests of this program have proved on the runtimes in the binary.
    in_the_box: Vec<Card>,
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
        let in_the_box = Registry::built_in().iter().cloned().collect();
        Self { runtimes, choice, prover, in_the_box, opened: Mutex::default() }
    }

    /// Which runtime is wanted.
    pub fn choice(&self) -> BackendChoice {
        self.choice
    }

    /// Sees that the runtime that is wanted is there, before anything is asked of it.
    ///
    /// # Errors
    ///
    /// [`LoadError::NotTried`] with where it was looked for.
    pub fn check(&self) -> Result<(), LoadError> {
        match self.choice {
            BackendChoice::Auto => Ok(()),
            BackendChoice::Only(runtime) => {
                let found = self.runtimes.library(runtime).map(drop);
                found.map_err(|error| LoadError::NotTried(error.to_string()))
            }
        }
    }

    /// Where the runtimes are.
    pub fn runtimes(&self) -> &Runtimes {
        &self.runtimes
    }

    /// The network, ready, on the wanted runtime or on the fastest that it has proved itself on: over its reference
    /// vectors, where it has some.
    ///
    /// # Errors
    ///
    /// [`LoadError::Unfit`] for a network that is not to be run, [`LoadError::NotTried`] where the wanted runtime is not there.
    pub fn load(
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
        if let [first, ..] = candidates.as_slice()
            && candidates.iter().all(|it| it.runtime.is_built_in())
            && self.is_of_the_box(card, reference)?
        {
            return Ok(*first);
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

    /// Whether this process may load a network by our own kernels: it is of the box, or has proved itself in a child.
    ///
    /// # Errors
    ///
    /// [`LoadError`]: it may not.
    pub fn may_load_blocked(
        &self,
        card: &Card,
        weights: &[u8],
        reference: Option<&ReferenceVectors>,
    ) -> Result<(), LoadError> {
        if self.is_of_the_box(card, reference)? {
            return Ok(());
        }
        let candidate = Candidate { runtime: Runtime::Blocked, precision: Precision::F32 };
        self.prover.proof(&self.runtimes, candidate, card, weights, reference)?;
        Ok(())
    }

    /// Whether it is a network of the box, told by the whole of its card but the state, with the box's own vectors.
    fn is_of_the_box(
        &self,
        card: &Card,
        reference: Option<&ReferenceVectors>,
    ) -> Result<bool, ReferenceError> {
        let is_it = |own: &Card| *own == Card { state: own.state, ..card.clone() };
        Ok(self.in_the_box.iter().any(is_it) && reference == ReferenceVectors::of(card)?.as_ref())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A loader of the runtime in the binary alone, whose children end before they have proved anything.
    fn loader() -> Loader {
        let prover = Prover { program: "/bin/false".into(), arguments: Vec::new(), data_dir: None };
        let runtimes = Runtimes { threads: 1, ..Runtimes::default() };
        Loader::new(runtimes, BackendChoice::Only(Runtime::Tract), prover)
    }

    #[test]
    fn only_what_is_wholly_of_the_box_need_not_prove_itself() {
        let (registry, loader) = (Registry::built_in(), loader());
        let card = registry.get("pneumonia28").unwrap();
        let weights = registry.weights(card).unwrap();
        let vectors = ReferenceVectors::of(card).unwrap().unwrap();
        let shadow = Card { state: models::State::Shadow, ..card.clone() };
        for card in [card, &shadow] {
            loader.load(card, &weights, Some(&vectors)).unwrap();
        }

        loader.may_load_blocked(card, &weights, Some(&vectors)).unwrap();

        let mut other_vectors = vectors.clone();
        other_vectors.vectors[0].probabilities.reverse();
        let renamed = Card { name: "mine".to_owned(), ..card.clone() };
        let mut other_scale = card.clone();
        other_scale.input.value_range = [0.0, 255.0];
        for (card, vectors) in [
            (card, Some(&other_vectors)),
            (card, None),
            (&renamed, None),
            (&renamed, Some(&vectors)),
            (&other_scale, Some(&vectors)),
        ] {
            let refused = loader.load(card, &weights, vectors).err().map(|error| error.code().to_owned());
            assert_eq!(refused.as_deref(), Some("network-ended"), "its child is asked");
            let refused = loader.may_load_blocked(card, &weights, vectors).unwrap_err();
            assert_eq!(refused.code(), "network-ended", "no word of it is loaded here either");
        }
    }
}
