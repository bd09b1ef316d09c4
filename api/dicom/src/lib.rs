//! DICOM files for the clinic's own application: up, down, and analysed.
//!
//! Paths and field names are those of the application that was there first.
//! Tells nothing itself: `ingest` tells `instance_stored`, the worker
//! `findings_ready`, for which [`analyze`](mod@analyze) waits by looking.

mod analyses;
mod analyze;
mod download;
mod file_name;
mod files;
mod refusal;
mod state;
mod upload;
mod view;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

pub use state::DicomState;
pub use view::{AnalysisView, FileView};

/// What a form may hold besides its file, in bytes.
const FORM_BYTES: usize = 1 << 20;

/// The house, ready to be joined to others.
pub fn routes(state: DicomState) -> Router {
    let file_bytes = usize::try_from(state.app.limits.upload_bytes).unwrap_or(usize::MAX);
    let form = DefaultBodyLimit::max(file_bytes.saturating_add(FORM_BYTES));
    Router::new()
        .route("/api/dicom/upload", post(upload::upload).layer(form))
        .route("/uploads/dicom/{file}", get(download::download))
        .route("/api/dicom/analyze/{dicomId}", post(analyze::analyze))
        .route("/api/dicom/analyses", get(analyses::list))
        .route("/api/dicom/patient/{patientId}", get(files::of_patient))
        .route("/api/dicom/files/{dicomId}/versions", get(files::versions))
        .with_state(state)
}
