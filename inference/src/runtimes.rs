//! Which runtimes there are, and in which numbers each could run a network.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use models::{Card, Precision};

use crate::backend::library;
use crate::{
    BlockedBackend, InferenceBackend, InferenceError, OnnxRuntimeBackend, OpenvinoBackend, TractBackend,
};

/// A runtime for networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Runtime {
    /// Our own kernels, in the binary; `tract` where those end.
    Blocked,
    /// `tract`, in the binary.
    Tract,
    /// ONNX Runtime, a shared library.
    OnnxRuntime,
    /// OpenVINO, a shared library.
    Openvino,
}

impl Runtime {
    /// All of them, those in the binary first.
    pub const ALL: [Self; 4] = [Self::Blocked, Self::Tract, Self::OnnxRuntime, Self::Openvino];

    /// The name as settings and people say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Tract => "tract",
            Self::OnnxRuntime => "onnxruntime",
            Self::Openvino => "openvino",
        }
    }

    /// Whether it is in the binary, and needs no library.
    pub fn is_built_in(self) -> bool {
        matches!(self, Self::Blocked | Self::Tract)
    }
}

/// Which runtime is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BackendChoice {
    /// The fastest that answers as a network's reference vectors say.
    #[default]
    Auto,
    /// This one.
    Only(Runtime),
}

/// A text that names no backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a backend is auto, blocked, tract, onnxruntime or openvino")]
pub struct UnknownBackend;

impl BackendChoice {
    /// The choice as settings say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Only(runtime) => runtime.as_str(),
        }
    }
}

impl FromStr for BackendChoice {
    type Err = UnknownBackend;

    fn from_str(text: &str) -> Result<Self, UnknownBackend> {
        if text == Self::Auto.as_str() {
            return Ok(Self::Auto);
        }
        Runtime::ALL.into_iter().find(|it| it.as_str() == text).map(Self::Only).ok_or(UnknownBackend)
    }
}

/// One way to run a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// The runtime.
    pub runtime: Runtime,
    /// The numbers.
    pub precision: Precision,
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.runtime.as_str(), self.precision.as_str())
    }
}

/// Where the runtimes are, and how many images they run at a time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runtimes {
    /// ONNX Runtime's library, or a folder that holds it, such as a `site-packages`; `None`: where systems keep it.
    pub onnxruntime_library: Option<PathBuf>,
    /// OpenVINO's library, likewise.
    pub openvino_library: Option<PathBuf>,
    /// The folder where packed weights are kept, which other processes share; `None`: each process packs its own.
    pub packed_weights: Option<PathBuf>,
    /// So many images at a time; at least one.
    pub threads: usize,
}

impl Runtimes {
    /// The library's file; `None` for a runtime in the binary. Nothing is loaded.
    ///
    /// # Errors
    ///
    /// [`InferenceError::NotAvailable`] with where it was looked for.
    pub fn library(&self, runtime: Runtime) -> Result<Option<PathBuf>, InferenceError> {
        let found = match runtime {
            Runtime::Blocked | Runtime::Tract => return Ok(None),
            Runtime::OnnxRuntime => library::ONNXRUNTIME.find(self.onnxruntime_library.as_deref()),
            Runtime::Openvino => library::OPENVINO.find(self.openvino_library.as_deref()),
        };
        found.map(Some).map_err(|reason| InferenceError::NotAvailable { backend: runtime.as_str(), reason })
    }

    /// The ways to run a card's network: of all runtimes that are found, or of the one that is wanted.
    pub fn candidates(&self, choice: BackendChoice, card: &Card) -> Vec<Candidate> {
        let runtimes: Vec<Runtime> = match choice {
            BackendChoice::Only(runtime) => vec![runtime],
            BackendChoice::Auto => {
                Runtime::ALL.into_iter().filter(|runtime| self.library(*runtime).is_ok()).collect()
            }
        };
        let mut candidates = Vec::new();
        for runtime in runtimes {
            let knows_bf16 = matches!(runtime, Runtime::Blocked | Runtime::Openvino);
            if knows_bf16 && card.run.bears(Precision::Bf16) && !card.run.exact {
                candidates.push(Candidate { runtime, precision: Precision::Bf16 });
            }
            candidates.push(Candidate { runtime, precision: Precision::F32 });
        }
        candidates
    }

    /// The runtime of a candidate, its library loaded.
    ///
    /// # Errors
    ///
    /// [`InferenceError::NotAvailable`]
    pub fn open(&self, candidate: Candidate) -> Result<Box<dyn InferenceBackend>, InferenceError> {
        Ok(match candidate.runtime {
            Runtime::Blocked => {
                let mut backend = BlockedBackend::default();
                if let Some(folder) = &self.packed_weights {
                    backend = backend.with_packed_weights_in(folder);
                }
                match candidate.precision {
                    Precision::F32 => Box::new(backend),
                    Precision::Bf16 => Box::new(backend.in_bf16()?),
                }
            }
            Runtime::Tract => Box::new(TractBackend),
            Runtime::OnnxRuntime => {
                Box::new(OnnxRuntimeBackend::open(self.onnxruntime_library.as_deref(), self.threads)?)
            }
            Runtime::Openvino => {
                let backend = OpenvinoBackend::open(self.openvino_library.as_deref(), self.threads)?;
                match candidate.precision {
                    Precision::F32 => Box::new(backend),
                    Precision::Bf16 => Box::new(backend.in_bf16()?),
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use models::Registry;

    use super::*;

    #[test]
    fn a_backend_reads_as_it_is_written() {
        for text in ["auto", "blocked", "tract", "onnxruntime", "openvino"] {
            assert_eq!(text.parse::<BackendChoice>().unwrap().as_str(), text);
        }
        assert_eq!("rten".parse::<BackendChoice>(), Err(UnknownBackend));
    }

    #[test]
    fn sixteen_bits_are_tried_only_where_the_card_allows_them() {
        let mut card = Registry::built_in().get("pneumonia28").unwrap().clone();
        let runtimes = Runtimes::default();
        for runtime in [Runtime::Blocked, Runtime::Openvino] {
            let precisions = |card: &Card| -> Vec<Precision> {
                let candidates = runtimes.candidates(BackendChoice::Only(runtime), card);
                candidates.iter().map(|candidate| candidate.precision).collect()
            };
            (card.run.precision, card.run.exact) = (vec![Precision::F32], false);
            assert_eq!(precisions(&card), [Precision::F32]);
            card.run.precision = vec![Precision::F32, Precision::Bf16];
            assert_eq!(precisions(&card), [Precision::Bf16, Precision::F32]);
            card.run.exact = true;
            assert_eq!(precisions(&card), [Precision::F32]);
        }
    }

    #[test]
    fn without_libraries_the_runtimes_in_the_binary_are_left() {
        let card = Registry::built_in().get("pneumonia28").unwrap().clone();
        let nowhere = Some(PathBuf::from("/nonexistent"));
        let runtimes = Runtimes {
            onnxruntime_library: nowhere.clone(),
            openvino_library: nowhere,
            packed_weights: None,
            threads: 1,
        };
        let candidates = runtimes.candidates(BackendChoice::Auto, &card);
        let in_f32 = |runtime| Candidate { runtime, precision: Precision::F32 };
        assert_eq!(candidates, [in_f32(Runtime::Blocked), in_f32(Runtime::Tract)]);
        let missing = Candidate { runtime: Runtime::OnnxRuntime, precision: Precision::F32 };
        let refused = runtimes.open(missing).err().unwrap().to_string();
        assert!(refused.starts_with("onnxruntime is not available: /nonexistent"), "{refused}");
    }
}
