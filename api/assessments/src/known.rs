//! What a body must keep before anything looks at it, and the answer that may be remembered.

use axum::response::{IntoResponse, Response};
use clinical::decision::{Presentation, Urgency};
use clinical::id::{ClinicId, PatientId};
use clinical::invalid::invalid;
use gate::{Caller, Problem};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::AssessmentsState;
use crate::assess::whose;
use crate::cache::Answer;

/// Says whether an answer was remembered (RFC 9211).
const CACHE_STATUS: &str = "cache-status";

/// Passes a presentation in which every number is possible and every list is bounded.
///
/// # Errors
///
/// 422 `invalid-presentation`, with each member.
pub(crate) fn checked(presentation: &Presentation) -> Result<(), Problem> {
    presentation.check().map_err(|faults| Problem::invalid("invalid-presentation", faults.0))
}

/// Passes a presentation that tells of something.
///
/// # Errors
///
/// As [`checked`]; 422 `nothing-told`.
pub(crate) fn told(presentation: &Presentation) -> Result<(), Problem> {
    checked(presentation)?;
    if presentation.is_empty() {
        let fault = invalid("symptoms", "or text or vitals must tell of something");
        return Err(Problem::invalid("nothing-told", vec![fault]));
    }
    Ok(())
}

/// Takes out of a presentation whose it is: `patient_id`, or `patientId`.
///
/// # Errors
///
/// 422 `invalid-presentation` where it is no identifier.
pub(crate) fn patient_of(presentation: &mut Presentation) -> Result<Option<PatientId>, Problem> {
    let named = ["patient_id", "patientId"].map(|name| presentation.ignored.remove(name));
    let Some(value) = named.into_iter().flatten().find(|value| !value.is_null()) else { return Ok(None) };
    let id = value.as_str().and_then(|text| text.parse().ok());
    let wrong = || {
        Problem::invalid(
            "invalid-presentation",
            vec![invalid("patient_id", "is the identifier of a patient")],
        )
    };
    id.map(Some).ok_or_else(wrong)
}

impl AssessmentsState {
    /// The answer of `kind` to a presentation as [`canonical`] writes it, remembered or made by `make`, and whether it was
    /// remembered.
    pub(crate) fn answer<T: Serialize>(
        &self,
        clinic: ClinicId,
        kind: &str,
        asked: &str,
        make: impl FnOnce() -> (T, Urgency),
    ) -> Result<(Answer, bool), Problem> {
        let asked = [kind, asked, self.advisor.version()];
        let made = self.cache.answer(clinic, asked, self.app.clock.now(), || {
            let (answer, urgency) = make();
            serde_json::to_vec(&answer).map(|text| (text, urgency.as_str()))
        });
        made.map_err(|error| Problem::internal("answer-failed", &error))
    }

    /// Writes down that something was asked of a patient, where one was named, of whom nothing is kept.
    ///
    /// # Errors
    ///
    /// 404 where the clinic has no such patient; 403 where the caller does not see them.
    pub(crate) async fn about(&self, caller: &Caller, named: Option<PatientId>) -> Result<(), Problem> {
        if named.is_none() {
            return Ok(());
        }
        let mut tx = self.app.db.of(caller.clinic).begin().await?;
        whose(&mut tx, caller, named).await?;
        caller.write_down(&mut tx).await?;
        Ok(tx.commit().await?)
    }
}

/// The presentation as one text, however it was spelled.
pub(crate) fn canonical(presentation: &Presentation) -> Result<String, Problem> {
    serde_json::to_string(presentation).map_err(|error| Problem::internal("answer-failed", &error))
}

/// An answer that is JSON text already.
pub(crate) fn respond(status: StatusCode, answer: &Answer, was_remembered: bool) -> Response {
    let text = answer.text.clone();
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], text).into_response();
    let cache = if was_remembered { "medilink; hit" } else { "medilink; fwd=miss" };
    response.headers_mut().insert(CACHE_STATUS, HeaderValue::from_static(cache));
    response
}
