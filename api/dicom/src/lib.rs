//! DICOM files for the clinic's own application: up, down, analysed, and held back.
//!
//! Paths and field names are those of the application that was there first.
//! Tells nothing itself: `ingest` tells `instance_stored`, the worker
//! `findings_ready`, for which [`analyze`](mod@analyze) waits by looking.

mod analyses;
mod analyze;
mod download;
mod file_name;
mod files;
mod quarantine;
mod refusal;
mod state;
mod upload;
mod view;

use clinical::role::{Action, Resource};
use gate::{Routes, Rule, delete, get, post};
use serde_json::json;

pub use state::DicomState;
pub use view::{AnalysisView, FileView};

/// The name under which a file lies: its identifier and `.dcm`.
const FILE: &str = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\\.dcm$";
/// What a form may hold besides its file, in bytes.
const FORM_BYTES: usize = 1 << 20;

/// The house, ready to be joined to others.
pub fn routes(state: DicomState) -> Routes {
    let file_bytes = usize::try_from(state.app.limits.upload_bytes).unwrap_or(usize::MAX);
    let form = json!({
        "type": "object", "required": ["file"], "properties": {"file": {"type": "string", "format": "binary"}}
    });
    let may = Rule::may;
    Routes::new("dicom")
        .add(
            post("/api/dicom/upload", may(Action::Create, Resource::Study))
                .says("Takes one DICOM file in; answered once it is durable.")
                .takes_bytes("multipart/form-data", form)
                .answers::<upload::Uploaded>(200, "The stored file.")
                .refuses(400, "invalid-multipart, file-missing, not-dicom and others: it is no such file")
                .refuses(413, "too-large: the file has too many bytes")
                .refuses(422, "held-back: a person has to judge it first")
                .refuses(507, "insufficient-storage: there is no room left")
                .body_limit(file_bytes.saturating_add(FORM_BYTES))
                .streamed(),
            upload::upload,
        )
        .add(
            get("/uploads/dicom/{file}", may(Action::Read, Resource::Study).own_by_record())
                .says("A stored file, as it was sent: {dicomId}.dcm.")
                .path_value("file", json!({"type": "string", "pattern": FILE}))
                .query::<download::Wish>()
                .answers_bytes(200, "application/dicom", "The bytes, bit for bit.")
                .answers_nothing(304, "The client has them already.")
                .streamed(),
            download::download,
        )
        .add(
            post("/api/dicom/analyze/{dicomId}", may(Action::Create, Resource::Analysis))
                .says("Analyses a file, or tells what is known of it already.")
                .query::<analyze::Wish>()
                .answers::<AnalysisView>(200, "The analysis.")
                .answers::<analyze::Pending>(202, "It takes longer: where to look.")
                .refuses(409, "network-not-run: the network is not meant for such images")
                .refuses(422, "no-pixels: there is nothing to analyse")
                .streamed(),
            analyze::analyze,
        )
        .add(
            delete("/api/dicom/analyze/{dicomId}", may(Action::Create, Resource::Analysis))
                .says("Takes back an analysis that waits or is under way: that of the file's whole study.")
                .answers_nothing(204, "It is not analysed; what was said until now stays.")
                .refuses(409, "not-waiting: there is nothing to take back"),
            analyze::cancel,
        )
        .add(
            get("/api/dicom/analyses", may(Action::List, Resource::Analysis))
                .says("What the networks said, newest first; of one file, of its present bytes.")
                .query::<analyses::Filter>()
                .paged::<AnalysisView>("The analyses."),
            analyses::list,
        )
        .add(
            get(
                "/api/dicom/patient/{patientId}",
                may(Action::Read, Resource::Study).own_by_path("patientId"),
            )
            .says("A patient's files, newest first.")
            .paged::<FileView>("The files."),
            files::of_patient,
        )
        .add(
            get("/api/dicom/files/{dicomId}/versions", may(Action::Read, Resource::Study).own_by_record())
                .says("A file's current bytes, then those kept beside them, oldest first.")
                .answers::<Vec<files::VersionView>>(200, "The versions."),
            files::versions,
        )
        .add(
            get("/api/v1/quarantine", may(Action::List, Resource::Quarantine))
                .says("Objects that are held back, newest first.")
                .paged::<quarantine::HeldView>("The objects."),
            quarantine::list,
        )
        .add(
            post("/api/v1/quarantine/{heldId}/release", may(Action::Update, Resource::Quarantine))
                .says("Stores an object that is held back after all; it is not scanned again.")
                .answers::<quarantine::Released>(200, "What it has become.")
                .refuses(400, "missing-uid and others: it is no such file")
                .refuses(409, "instance-conflict and others: it cannot be stored")
                .refuses(413, "too-large and others: it has too many bytes")
                .refuses(507, "insufficient-storage: there is no room left"),
            quarantine::release,
        )
        .add(
            delete("/api/v1/quarantine/{heldId}", may(Action::Delete, Resource::Quarantine))
                .says("Throws away an object that is held back.")
                .answers_nothing(204, "It is gone."),
            quarantine::discard,
        )
        .with_state(state)
}
