//! A stored file, as it was sent.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use clinical::id::{InstanceId, VersionId};
use gate::{Caller, Path, Problem, Query};
use serde::Deserialize;
use storage::records::instance::{Instance, Version};
use utoipa::IntoParams;

use crate::DicomState;
use crate::file_name::disposition;
use crate::view::file_name;

/// Which bytes are asked for.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct Wish {
    /// Bytes that were kept aside, instead of the current ones.
    version: Option<VersionId>,
}

/// `GET /uploads/dicom/{dicomId}.dcm?version=…`: the bytes, bit for bit but for a program in their preamble;
/// without a version the current ones.
pub(crate) async fn download(
    State(state): State<DicomState>,
    caller: Caller,
    Path(file): Path<String>,
    Query(wish): Query<Wish>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id: InstanceId =
        file.strip_suffix(".dcm").and_then(|id| id.parse().ok()).ok_or_else(Problem::not_found)?;
    let mut rows = state.app.db.of(caller.clinic).read().await?;
    let instance = Instance::find(&mut rows, caller.clinic, id).await?;
    caller.sees(&mut rows, instance.patient_id).await?;
    let (sha256, size_bytes, blob_key) = match wish.version {
        None => (instance.sha256, instance.size_bytes, instance.blob_key),
        Some(asked) => {
            let versions = Version::of(&mut rows, caller.clinic, id).await?;
            let version = versions.into_iter().find(|version| version.version_id == asked);
            let version = version.ok_or_else(Problem::not_found)?;
            (version.sha256, version.size_bytes, version.blob_key)
        }
    };
    drop(rows);

    let tag = format!("\"{sha256}\"");
    let etag = HeaderValue::try_from(&tag).map_err(|error| Problem::internal("database-failed", &error))?;
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if known.split(',').any(|each| each.trim().trim_start_matches("W/") == tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    let bytes = state.app.archive.stream_out(&blob_key).await?;
    let name = disposition(&file_name(instance.file_name, id));
    let mut answer = Response::new(Body::from_stream(bytes));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/dicom"));
    headers.insert(header::CONTENT_LENGTH, size_bytes.into());
    headers.insert(header::ETAG, etag);
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::try_from(name).map_err(|error| Problem::internal("internal", &error))?,
    );
    Ok(answer)
}
