//! OpenVINO: a shared library that is found when it is asked for, never downloaded or linked.
//!
//! Its own default is bf16 wherever the processor has it, so the precision is always said: `f32`, and
//! bf16 only for a card that allows it on a processor that lists it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use models::{Card, Precision};
use ndarray::{ArrayD, ArrayViewD, IxDyn};
use openvino::{
    CompiledModel, Core, DeviceType, ElementType, InferRequest, PartialShape, PropertyKey, RwPropertyKey,
};

use super::library::OPENVINO;
use super::pool::Pool;
use super::{InferenceBackend, LoadedNetwork, Outputs, check_shape, guarded, onnx_file};
use crate::InferenceError;

const NAME: &str = "openvino";

/// The library can be loaded once in a process.
static LOADED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Runs ONNX networks with OpenVINO on the processor.
#[derive(Clone)]
pub struct OpenvinoBackend {
    path: PathBuf,
    core: Arc<Mutex<Core>>,
    version: String,
    threads: usize,
    has_bf16: bool,
    precision: Precision,
}

impl fmt::Debug for OpenvinoBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenvinoBackend")
            .field("path", &self.path)
            .field("precision", &self.precision)
            .finish()
    }
}

impl OpenvinoBackend {
    /// The library that `told` names (a file, or a folder such as `site-packages`), else a system's.
    ///
    /// `threads` images run at a time, in 32 bits.
    ///
    /// # Errors
    ///
    /// [`InferenceError::NotAvailable`] where there is no such library, or another one or version.
    pub fn open(told: Option<&Path>, threads: usize) -> Result<Self, InferenceError> {
        let not_available = |reason: String| InferenceError::NotAvailable { backend: NAME, reason };
        let path = OPENVINO.find(told).map_err(not_available)?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = loaded.as_ref().filter(|other| **other != path) {
            let other = other.display();
            return Err(not_available(format!("{other} is loaded already, and only one library can be")));
        }
        let core = guarded(|| {
            openvino_sys::library::load_from(&path)?;
            *loaded = Some(path.clone());
            Core::new().map_err(|error| error.to_string())
        })
        .map_err(not_available)?;
        let about = guarded(|| {
            let capabilities = core
                .get_property(&DeviceType::CPU, &PropertyKey::DeviceCapabilities)
                .map_err(|error| error.to_string())?;
            Ok::<_, String>((openvino::version().build_number, capabilities))
        });
        let (version, capabilities) = about.map_err(not_available)?;
        Ok(Self {
            path,
            core: Arc::new(Mutex::new(core)),
            version: version.split('-').next().unwrap_or_default().to_owned(),
            threads: threads.max(1),
            has_bf16: capabilities.split_whitespace().any(|it| it.trim_matches(',') == "BF16"),
            precision: Precision::F32,
        })
    }

    /// Whether the processor reckons in bf16.
    pub fn has_bf16(&self) -> bool {
        self.has_bf16
    }

    /// The same library, reckoning in bf16 for the cards that allow it.
    ///
    /// # Errors
    ///
    /// [`InferenceError::NotAvailable`] where the processor does not.
    pub fn in_bf16(self) -> Result<Self, InferenceError> {
        if self.has_bf16 {
            return Ok(Self { precision: Precision::Bf16, ..self });
        }
        let reason = "the processor does not reckon in bf16".to_owned();
        Err(InferenceError::NotAvailable { backend: NAME, reason })
    }

    fn compile(
        &self,
        card: &Card,
        weights: &[u8],
        precision: Precision,
    ) -> Result<CompiledModel, openvino::InferenceError> {
        let threads = self.threads.to_string();
        let mut core = lock(&self.core);
        core.set_properties(
            &DeviceType::CPU,
            [
                (RwPropertyKey::HintInferencePrecision, precision.as_str()),
                (RwPropertyKey::NumStreams, threads.as_str()),
                (RwPropertyKey::InferenceNumThreads, threads.as_str()),
                // Two processes that pin would share the first cores and leave the others idle.
                (RwPropertyKey::HintEnableCpuPinning, "NO"),
            ],
        )?;
        let mut model = core.read_model_from_buffer(weights, None)?;
        if model.is_dynamic() {
            let sides: Vec<i64> = card.input.shape.iter().map(|side| *side as i64).collect();
            model.reshape_single_input(&PartialShape::new_static(sides.len() as i64, &sides)?)?;
        }
        core.compile_model(&model, DeviceType::CPU)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct OpenvinoNetwork {
    compiled: Mutex<CompiledModel>,
    requests: Pool<InferRequest>,
    input: String,
    shape: Vec<usize>,
    outputs: Vec<String>,
    precision: Precision,
}

impl InferenceBackend for OpenvinoBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> String {
        self.version.clone()
    }

    fn load(&self, card: &Card, weights: &[u8]) -> Result<Box<dyn LoadedNetwork>, InferenceError> {
        let not_loaded = |reason| InferenceError::NotLoaded { backend: NAME, network: card.title(), reason };
        drop(onnx_file::read(NAME, card, weights)?);
        let precision = if card.run.bears(self.precision) { self.precision } else { Precision::F32 };
        let (compiled, first) = guarded(|| {
            let mut compiled = self.compile(card, weights, precision)?;
            let first = compiled.create_infer_request()?;
            Ok::<_, openvino::InferenceError>((compiled, first))
        })
        .map_err(not_loaded)?;
        Ok(Box::new(OpenvinoNetwork {
            compiled: Mutex::new(compiled),
            requests: Pool::of(first, self.threads),
            input: card.input.name.clone(),
            shape: card.input.shape.clone(),
            outputs: card.tensors().into_iter().map(str::to_owned).collect(),
            precision,
        }))
    }
}

impl LoadedNetwork for OpenvinoNetwork {
    fn run(&self, input: ArrayViewD<'_, f32>) -> Result<Outputs, InferenceError> {
        check_shape(&self.shape, &input)?;
        let make = || guarded(|| lock(&self.compiled).create_infer_request());
        let work = |request: &mut InferRequest| guarded(|| self.run_with(request, &input));
        self.requests.with(make, work).map_err(InferenceError::NotRun)
    }

    fn precision(&self) -> Precision {
        self.precision
    }
}

impl OpenvinoNetwork {
    fn run_with(&self, request: &mut InferRequest, input: &ArrayViewD<'_, f32>) -> Result<Outputs, String> {
        let told = |error: openvino::InferenceError| error.to_string();
        let mut tensor = request.get_tensor(&self.input).map_err(told)?;
        let place = tensor.get_data_mut::<f32>().map_err(told)?;
        match input.as_slice() {
            Some(values) if values.len() == place.len() => place.copy_from_slice(values),
            _ if input.len() == place.len() => {
                place.iter_mut().zip(input).for_each(|(place, value)| *place = *value);
            }
            _ => return Err(format!("its input takes {} values, the card's {}", place.len(), input.len())),
        }
        request.infer().map_err(told)?;
        let mut outputs = Outputs::new();
        for name in &self.outputs {
            let tensor = request.get_tensor(name).map_err(told)?;
            if tensor.get_element_type().map_err(told)? != ElementType::F32 {
                return Err(format!(
                    "its output {name:?} holds other values than 32-bit floating-point ones"
                ));
            }
            let shape: Vec<usize> = (tensor.get_shape().map_err(told)?.get_dimensions().iter())
                .map(|side| usize::try_from(*side).unwrap_or(0))
                .collect();
            let values = tensor.get_data::<f32>().map_err(told)?.to_vec();
            let answer = ArrayD::from_shape_vec(IxDyn(&shape), values).map_err(|error| error.to_string())?;
            outputs.insert(name.clone(), answer);
        }
        Ok(outputs)
    }
}
