//! ONNX Runtime: a shared library that is found when it is asked for, never downloaded or linked.
//!
//! One image a thread, each with a session of its own: `ort` runs a session for one thread at a time, and
//! one thread an image beats threads within a network. The weights as the library packs them are shared.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use models::Card;
use ndarray::ArrayViewD;
use ort::environment::Environment;
use ort::ep::{CUDA, ExecutionProvider};
use ort::session::builder::{GraphOptimizationLevel, PrepackedWeights};
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session};
use ort::value::TensorRef;

use super::library::ONNXRUNTIME;
use super::pool::Pool;
use super::{InferenceBackend, LoadedNetwork, Outputs, check_shape, guarded, onnx_file};
use crate::InferenceError;

const NAME: &str = "onnxruntime";

/// The library can be loaded once in a process.
static LOADED: Mutex<Option<Loaded>> = Mutex::new(None);

#[derive(Clone)]
struct Loaded {
    path: PathBuf,
    environment: Environment,
}

/// Runs ONNX networks with ONNX Runtime.
#[derive(Clone)]
pub struct OnnxRuntimeBackend {
    path: PathBuf,
    environment: Environment,
    threads: usize,
    has_cuda: bool,
}

impl fmt::Debug for OnnxRuntimeBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnnxRuntimeBackend")
            .field("path", &self.path)
            .field("threads", &self.threads)
            .finish()
    }
}

impl OnnxRuntimeBackend {
    /// The library that `told` names (a file, or a folder such as `site-packages`), else a system's.
    ///
    /// `threads` images run at a time. Where the library knows CUDA and a GPU is there, that is used.
    ///
    /// # Errors
    ///
    /// [`InferenceError::NotAvailable`] where there is no such library, or another one or version.
    pub fn open(told: Option<&Path>, threads: usize) -> Result<Self, InferenceError> {
        let not_available = |reason: String| InferenceError::NotAvailable { backend: NAME, reason };
        let path = ONNXRUNTIME.find(told).map_err(not_available)?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match loaded.as_ref() {
            Some(known) if known.path == path => known.clone(),
            Some(known) => {
                let other = known.path.display();
                return Err(not_available(format!("{other} is loaded already, and only one library can be")));
            }
            None => {
                let environment = guarded(|| {
                    let builder = ort::init_from(&path).map_err(|error| error.to_string())?;
                    builder
                        .with_name("medilink")
                        .with_telemetry(false)
                        .build()
                        .map_err(|error| error.to_string())
                })
                .map_err(not_available)?;
                loaded.insert(Loaded { path: path.clone(), environment }).clone()
            }
        };
        let has_cuda = guarded(|| CUDA::is_available().map_err(|error| error.to_string())).unwrap_or(false);
        Ok(Self { path, environment: known.environment, threads: threads.max(1), has_cuda })
    }

    fn session(&self, weights: &[u8], packed: &PrepackedWeights) -> Result<Session, String> {
        let session = |with_cuda: bool| {
            guarded(|| {
                let build = || -> ort::Result<Session> {
                    let mut builder = Session::builder(&self.environment)?
                        .with_optimization_level(GraphOptimizationLevel::All)?
                        .with_intra_threads(1)?
                        .with_inter_threads(1)?
                        .with_intra_op_spinning(false)?
                        .with_inter_op_spinning(false)?
                        .with_prepacked_weights(packed)?;
                    if with_cuda {
                        // TF32 rounds to 10 bits: further from the reference than is allowed.
                        let cuda = CUDA::default().with_tf32(false).build().error_on_failure();
                        builder = builder.with_execution_providers([cuda])?;
                    }
                    builder.commit_from_memory(weights)
                };
                build().map_err(|error| error.to_string())
            })
        };
        // The library may know CUDA where no GPU, driver or cuDNN is.
        if self.has_cuda { session(true).or_else(|_| session(false)) } else { session(false) }
    }
}

/// One thread's session, and which outputs it is asked for.
struct Member {
    session: Session,
    options: RunOptions<HasSelectedOutputs>,
}

struct OnnxRuntimeNetwork {
    backend: OnnxRuntimeBackend,
    weights: Arc<[u8]>,
    packed: PrepackedWeights,
    members: Pool<Member>,
    input: String,
    shape: Vec<usize>,
    outputs: Vec<String>,
}

impl InferenceBackend for OnnxRuntimeBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> String {
        version_of(&self.path)
    }

    fn load(&self, card: &Card, weights: &[u8]) -> Result<Box<dyn LoadedNetwork>, InferenceError> {
        let not_loaded = |reason| InferenceError::NotLoaded { backend: NAME, network: card.title(), reason };
        drop(onnx_file::read(NAME, card, weights)?);
        let packed = guarded(|| Ok::<_, String>(PrepackedWeights::new())).map_err(not_loaded)?;
        let outputs: Vec<String> = card.tensors().into_iter().map(str::to_owned).collect();
        let first = member(self, weights, &packed, &outputs).map_err(not_loaded)?;
        Ok(Box::new(OnnxRuntimeNetwork {
            backend: self.clone(),
            weights: weights.into(),
            packed,
            members: Pool::of(first, self.threads),
            input: card.input.name.clone(),
            shape: card.input.shape.clone(),
            outputs,
        }))
    }
}

fn member(
    backend: &OnnxRuntimeBackend,
    weights: &[u8],
    packed: &PrepackedWeights,
    outputs: &[String],
) -> Result<Member, String> {
    let session = backend.session(weights, packed)?;
    let selector = outputs.iter().fold(OutputSelector::no_default(), |selector, name| selector.with(name));
    let options = guarded(|| RunOptions::new().map_err(|error| error.to_string()))?.with_outputs(selector);
    Ok(Member { session, options })
}

impl LoadedNetwork for OnnxRuntimeNetwork {
    fn run(&self, input: ArrayViewD<'_, f32>) -> Result<Outputs, InferenceError> {
        check_shape(&self.shape, &input)?;
        let packed = input.as_standard_layout();
        let make = || member(&self.backend, &self.weights, &self.packed, &self.outputs);
        let work = |member: &mut Member| {
            guarded(|| {
                let mut run = || -> ort::Result<Outputs> {
                    let tensor = TensorRef::from_array_view(packed.view())?;
                    let answers = member
                        .session
                        .run_with_options(ort::inputs![self.input.as_str() => tensor], &member.options)?;
                    let mut outputs = Outputs::new();
                    for name in &self.outputs {
                        let answer = answers
                            .get(name)
                            .ok_or_else(|| ort::Error::new(format!("it gave no output {name:?}")))?;
                        outputs.insert(name.clone(), answer.try_extract_array::<f32>()?.to_owned());
                    }
                    Ok(outputs)
                };
                run().map_err(|error| error.to_string())
            })
        };
        self.members.with(make, work).map_err(InferenceError::NotRun)
    }
}

/// The version by the file's name, once links are followed; else what the library says of its own build.
fn version_of(path: &Path) -> String {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = real.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match name.split_once(".so.") {
        Some((_, version)) => version.to_owned(),
        None => guarded(|| Ok::<_, String>(ort::info().chars().take(80).collect()))
            .unwrap_or_else(|_| "of unknown version".to_owned()),
    }
}
