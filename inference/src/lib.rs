//! From frames to findings.
//!
//! A pure engine: values in, values out; no clock, no network, no database, no
//! `async`. The worker calls [`analyze`] once an instance.

mod analyze;
mod backend;
mod error;
mod interpret;
mod prepare;
mod quality_gate;
mod summary;

pub use analyze::{Network, analyze};
pub use backend::conformance::conforms;
pub use backend::fake::FakeBackend;
pub use backend::tract::TractBackend;
pub use backend::{InferenceBackend, LoadedNetwork, Outputs};
pub use error::InferenceError;
pub use prepare::{PrepareError, prepare};
pub use summary::Summary;
