//! What became of each instance, as the Store Instances Response Module (PS3.18, section 10.5.3 and annex I.2).

use std::collections::HashSet;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use clinical::uid::{SopClassUid, SopInstanceUid, StudyInstanceUid};
use gate::Problem;
use ingest::receive::{Disposition, Fault, ReceiveError, Received};
use ingest::stow_response::{FailureReason, StoreResponse, WarningReason};

use crate::base_url::BaseUrl;
use crate::dicom_json::DICOM_JSON;

/// What became of one part.
pub(super) enum Outcome {
    Done(Result<Received, ReceiveError>),
    /// Its Content-Type was not `application/dicom`.
    OtherMedia,
    /// Its metadata and bulk data made no file.
    Unmade(Option<(SopClassUid, SopInstanceUid)>),
}

/// 200, 202 or 409 with the module, 507 with it where nothing was stored for want of room; 400 `no-instances` for a body without parts, and 500
/// where nothing was stored through our own fault, so that the sender tries again.
pub(super) fn response(
    study: Option<&StudyInstanceUid>,
    base: &BaseUrl,
    outcomes: Vec<Outcome>,
) -> Result<Response, Problem> {
    if outcomes.is_empty() {
        return Err(Problem::bad_request("no-instances", "the body holds no instance"));
    }
    if outcomes.iter().all(|outcome| matches!(outcome, Outcome::OtherMedia)) {
        return Err(Problem::unsupported_media_type("parts of application/dicom"));
    }
    let url = |study: &StudyInstanceUid| format!("{}/studies/{study}", base.0);
    let mut module = StoreResponse::new(study.map(url));
    let mut studies: HashSet<StudyInstanceUid> = HashSet::new();
    let (mut has_aside, mut has_own_fault, mut is_full) = (false, false, false);
    for outcome in outcomes {
        match outcome {
            Outcome::OtherMedia | Outcome::Unmade(None) => {
                module.failed_without_identity(FailureReason::CannotUnderstand);
            }
            Outcome::Unmade(Some((class, instance))) => {
                module.failed(&class, &instance, FailureReason::CannotUnderstand);
            }
            Outcome::Done(Ok(received)) => {
                let Received { study_uid, series_uid, sop_uid, sop_class_uid, disposition, .. } = received;
                let at = format!("{}/series/{series_uid}/instances/{sop_uid}", url(&study_uid));
                let warning = (disposition == Disposition::KeptAside).then_some(WarningReason::KeptAside);
                has_aside |= warning.is_some();
                module.stored(&sop_class_uid, &sop_uid, &at, warning);
                studies.insert(study_uid);
            }
            Outcome::Done(Err(error)) => {
                has_own_fault |= error.fault() == Fault::House;
                is_full |= error.fault() == Fault::Full;
                tracing::warn!(code = error.code(), "an instance was not stored: {}", error.code());
                match error.identity() {
                    Some((class, instance)) => module.failed(&class, &instance, reason(&error)),
                    None => module.failed_without_identity(reason(&error)),
                }
            }
        }
    }
    if study.is_none()
        && let (Some(study), 1) = (studies.iter().next(), studies.len())
    {
        module.set_study_url(url(study));
    }
    let mut status = StatusCode::from_u16(module.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status == StatusCode::CONFLICT && is_full {
        status = StatusCode::INSUFFICIENT_STORAGE;
    } else if status == StatusCode::CONFLICT && has_own_fault {
        status = StatusCode::INTERNAL_SERVER_ERROR;
    }
    let document = module.into_json();
    let mut response = (status, document.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(DICOM_JSON));
    if has_aside {
        let warning = "299 medilink \"Other bytes are stored under a SOP Instance UID; the newcomers were kept aside \
                       as versions\"";
        headers.insert(header::WARNING, HeaderValue::from_static(warning));
    }
    Ok(response)
}

/// PS3.18, table I.2-2.
fn reason(error: &ReceiveError) -> FailureReason {
    match (error.fault(), error) {
        (Fault::House, _) => FailureReason::ProcessingFailure,
        (Fault::TooLarge | Fault::Full, _) => FailureReason::OutOfResources,
        (Fault::Held, _) => FailureReason::HeldBack,
        (Fault::Mismatch, _) => FailureReason::DoesNotMatch,
        (Fault::Conflict, _) => FailureReason::DuplicateInstance,
        (Fault::Closed, _) => FailureReason::StudyClosed,
        (Fault::Sender, ReceiveError::Identity(_)) => FailureReason::InvalidInstance,
        (Fault::Sender, _) => FailureReason::CannotUnderstand,
    }
}
