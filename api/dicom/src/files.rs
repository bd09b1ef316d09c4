//! A patient's files, and what is kept beside one.

use axum::extract::State;
use chrono::{DateTime, Utc};
use clinical::id::{InstanceId, PatientId, VersionId};
use gate::{App, Caller, Cursor, Json, Paged, Path, Problem};
use serde::Serialize;
use storage::records::instance::{Instance, Version};
use storage::records::patient::Patient;
use utoipa::ToSchema;

use crate::FileView;
use crate::view::file_url;

/// `GET /api/dicom/patient/{patientId}`: the patient's files, newest first.
pub(crate) async fn of_patient(
    State(app): State<App>,
    caller: Caller,
    page: Cursor,
    Path(id): Path<PatientId>,
) -> Result<Paged<FileView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let patient = Patient::survivor(&mut rows, caller.clinic, id).await?;
    caller.sees(&mut rows, patient.patient_id).await?;
    let (after, limit) = (page.after.map(InstanceId), page.rows());
    let files = Instance::of_patient(&mut rows, caller.clinic, patient.patient_id, after, limit).await?;
    Ok(page.of_rows(files, |file| file.instance_id.0).map(FileView::from))
}

/// One set of bytes that came under a file's SOP Instance UID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = InstanceVersion)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VersionView {
    /// `null` for the current one.
    version_id: Option<VersionId>,
    /// Where the bytes can be had.
    file_url: String,
    /// `current`; `aside`: it came later and was kept aside; `superseded`: a newcomer replaced it.
    state: String,
    sha256: String,
    size_bytes: i64,
    received_at: DateTime<Utc>,
}

/// `GET /api/dicom/files/{dicomId}/versions`: the current bytes, then those kept beside them, oldest first.
pub(crate) async fn versions(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<InstanceId>,
) -> Result<Json<Vec<VersionView>>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let current = Instance::find(&mut rows, caller.clinic, id).await?;
    caller.sees(&mut rows, current.patient_id).await?;
    let beside = Version::of(&mut rows, caller.clinic, id).await?;
    let mut versions = vec![VersionView {
        version_id: None,
        file_url: file_url(id),
        state: "current".to_owned(),
        sha256: current.sha256,
        size_bytes: current.size_bytes,
        received_at: current.stored_at,
    }];
    versions.extend(beside.into_iter().map(|version| VersionView {
        version_id: Some(version.version_id),
        file_url: format!("{}?version={}", file_url(id), version.version_id),
        state: version.state,
        sha256: version.sha256,
        size_bytes: version.size_bytes,
        received_at: version.received_at,
    }));
    Ok(Json(versions))
}
