//! From frames to findings.
//!
//! A pure engine: values in, values out; no clock, no network, no database, no
//! `async`. The worker calls [`analyze`] once an instance.

mod analyze;
mod backend;
mod error;
mod interpret;
mod out_of_distribution;
mod prepare;
mod quality_gate;
pub mod report;
mod runtimes;
mod saliency;
mod summary;
mod volume;

pub use analyze::{Analyzed, Network, analyze, analyze_forced, segment};
pub use backend::blocked::BlockedBackend;
pub use backend::conformance::conforms;
pub use backend::fake::FakeBackend;
pub use backend::onnx_file::bare_card;
pub use backend::onnxruntime::OnnxRuntimeBackend;
pub use backend::openvino::OpenvinoBackend;
pub use backend::tract::TractBackend;
pub use backend::{Coverage, InferenceBackend, LoadedNetwork, Outputs, RegionFigures};
pub use error::InferenceError;
pub use interpret::segmentation::Mask;
pub use kernels::Isa;
pub use prepare::{PrepareError, prepare};
pub use runtimes::{BackendChoice, Candidate, Runtime, Runtimes, UnknownBackend};
pub use saliency::overlay::overlay;
pub use saliency::{Means, Saliency, explain};
pub use summary::Summary;
pub use volume::{Segmented, SegmentedLabel, Stack, Volume, VolumeError};
