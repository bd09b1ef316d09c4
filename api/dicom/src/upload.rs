//! A file from a web form.

use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Request, State};
use axum::http::header;
use chrono::{DateTime, Utc};
use clinical::id::{InstanceId, PatientId, StudyId};
use clinical::role::{Action, Permission, Resource};
use clinical::uid::{SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};
use gate::{Caller, Json, Problem, body_problem};
use ingest::receive::{Receipt, ReceiveError, Received};
use ingest::spool::Spool;
use serde::Serialize;
use utoipa::ToSchema;

use crate::DicomState;
use crate::file_name::sanitized;
use crate::refusal::refusal;
use crate::view::{file_name, file_url};

/// The field of the form that holds the file.
const FILE: &str = "file";
/// Most fields of a form.
const FIELDS: usize = 32;

/// The answer to an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Uploaded {
    id: InstanceId,
    file_name: String,
    file_url: String,
    uploaded_at: DateTime<Utc>,
    patient_id: PatientId,
    study_id: StudyId,
    study_instance_uid: StudyInstanceUid,
    series_instance_uid: SeriesInstanceUid,
    sop_instance_uid: SopInstanceUid,
    /// `stored`, `already-stored`, `kept-aside` or `replaced`.
    #[schema(value_type = String)]
    disposition: &'static str,
}

/// `POST /api/dicom/upload`: answers once the file is durable.
pub(crate) async fn upload(
    State(state): State<DicomState>,
    caller: Caller,
    request: Request,
) -> Result<Json<Uploaded>, Problem> {
    let mut form = form(request, &state).await?;
    let (name, spool) = file(&mut form, &state).await?;

    let mut receipt = Receipt::from_sender(caller.clinic);
    receipt.file_name = name.clone();
    receipt.may_reject = caller.may(Permission { resource: Resource::Study, action: Action::Delete });
    let most_bytes = state.app.limits.upload_bytes;
    // In a task of its own: who hangs up now has stored it all the same, and it is written down.
    let storing = tokio::spawn(async move {
        let stored =
            state.receiver.receive(receipt, spool).await.map_err(|error| refusal(error, most_bytes))?;
        caller.write_down_once(&state.app.trail, stored.study_id, stored.patient_id).await?;
        Ok::<_, Problem>(stored)
    });
    let stored = storing.await.map_err(|error| Problem::internal("internal", &error))??;

    Ok(Json(answer(stored, name)))
}

fn answer(stored: Received, name: Option<String>) -> Uploaded {
    Uploaded {
        id: stored.instance_id,
        file_name: file_name(name, stored.instance_id),
        file_url: file_url(stored.instance_id),
        uploaded_at: stored.stored_at,
        patient_id: stored.patient_id,
        study_id: stored.study_id,
        study_instance_uid: stored.study_uid,
        series_instance_uid: stored.series_uid,
        sop_instance_uid: stored.sop_uid,
        disposition: stored.disposition.as_str(),
    }
}

async fn form(request: Request, state: &DicomState) -> Result<Multipart, Problem> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("multipart/form-data") {
        return Err(Problem::unsupported_media_type("multipart/form-data"));
    }
    let length = request.headers().get(header::CONTENT_LENGTH);
    if length.is_some_and(|length| length == "0") {
        return Err(Problem::bad_request("empty-body", "the body is empty"));
    }
    Multipart::from_request(request, state)
        .await
        .map_err(|_| Problem::bad_request("invalid-multipart", "the Content-Type names no boundary"))
}

/// The form's one file, spooled, and its name.
///
/// The form is read to its end before the file counts: a boundary that stood
/// in the file's own bytes leaves a rest that is no field, and so a refusal
/// instead of a shorter file.
async fn file(form: &mut Multipart, state: &DicomState) -> Result<(Option<String>, Spool), Problem> {
    let most_bytes = state.app.limits.upload_bytes;
    let mut found = None;
    for _ in 0..FIELDS {
        let Some(mut field) = form.next_field().await.map_err(unreadable)? else {
            let missing = "the form has no field named file";
            return found.ok_or_else(|| Problem::bad_request("file-missing", missing));
        };
        if field.name() != Some(FILE) {
            while field.chunk().await.map_err(unreadable)?.is_some() {}
            continue;
        }
        if found.is_some() {
            return Err(Problem::bad_request("one-file-only", "the form has more than one file"));
        }
        let name = field.file_name().and_then(sanitized);
        let mut spool = state.receiver.spool_up_to(most_bytes);
        fill(&mut spool, &mut field, most_bytes).await?;
        found = Some((name, spool));
    }
    Err(Problem::bad_request("invalid-multipart", "the form has too many fields"))
}

async fn fill(spool: &mut Spool, field: &mut Field<'_>, most_bytes: u64) -> Result<(), Problem> {
    while let Some(chunk) = field.chunk().await.map_err(unreadable)? {
        spool.write(chunk).await.map_err(|error| refusal(ReceiveError::from(error), most_bytes))?;
    }
    Ok(())
}

fn unreadable(error: MultipartError) -> Problem {
    let problem = body_problem(&error);
    if problem.code() != "body-broken" {
        return problem;
    }
    Problem::bad_request("invalid-multipart", "the body is not a whole multipart form")
}
